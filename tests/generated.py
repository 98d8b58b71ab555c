"""Nets made at random: of every layer type, in place or not, with inputs of any number of axes, rules, odd names.

Each choice is asked of a `random.Random`: one with a seed for a long run, hypothesis' own (`st.randoms`) in a test,
which then finds the smallest net. Most layers fit what they read; about every third net has one that does not.
"""

from typing import Any, List, NamedTuple, Optional, Tuple

from net_mutation import OWN_OPTIONS
from shape_nets import NOT_IN_EVERY_CAFFE

from netbuild.errors import NetbuildError
from netbuild.graph.check import problems
from netbuild.graph.view import NetView
from netbuild.layers.arity import arity
from netbuild.layers.table import TYPES, of_type
from netbuild.proto import NetState, copied, in_state
from netbuild.proto.upgrade import upgraded
from netbuild.schema import CARRIED, TEST, Message, is_repeated, schema
from netbuild.schema.forks import upstream

SOURCES = ("DummyData", "Input", "MemoryData", "Parameter")
NEED_FILES = ("Data", "HDF5Data", "HDF5Output", "ImageData", "Python", "WindowData")
KINDS = tuple(sorted({*TYPES} - {*SOURCES, *NEED_FILES}))
STAGES = ("a", "b", "")
ODD_NAMES = (
    "a/b",
    "with blank",
    "ünï",
    'quo"te',
    "data",
    "label",
    "..",
    "a_b_0_split_0",
    "0",
    "loss",
    "\x1b[2J",
    "a\nb",
)
FILLERS = ("constant", "gaussian", "uniform", "xavier", "msra", "positive_unitball", "bilinear")
USUAL = {
    "Convolution": {"num_output": (1, 2, 4), "kernel_size": (1, 2, 3)},
    "Deconvolution": {"num_output": (1, 2, 4), "kernel_size": (1, 2, 3)},
    "Im2col": {"kernel_size": (1, 2, 3)},
    "Pooling": {"kernel_size": (1, 2, 3)},
    "SPP": {"pyramid_height": (1, 2, 3)},
    "InnerProduct": {"num_output": (1, 2, 5)},
    "Embed": {"input_dim": (1, 3, 9), "num_output": (1, 2, 4)},
    "LSTM": {"num_output": (1, 2, 3)},
    "RNN": {"num_output": (1, 2, 3)},
    "Tile": {"tiles": (1, 2, 3)},
    "LRN": {"local_size": (1, 3, 5)},
}
"""What a layer of a type hardly ever lacks."""


class Made(NamedTuple):
    """A net and the state to build it in."""

    net: Message
    state: NetState


def made(random: Any) -> Made:
    """Return a net of one to eight layers and a state."""
    return _Maker(random).made()


class _Maker:
    def __init__(self, random: Any) -> None:
        self._random = random
        self.net = schema().NetParameter()
        self.state = NetState(
            random.randrange(2), random.choice((0, 0, 0, 1, -1, 2)), frozenset(random.sample(STAGES, self._few(2)))
        )
        self._odd = self._is(0.2)
        """Whether names are odd."""

    def _is(self, share: float) -> bool:
        return bool(self._random.random() < share)

    def _few(self, most: int) -> int:
        return min(int(most), self._random.choice((0, 0, 0, 1, 1, 2, most)))

    def made(self) -> Made:
        for _ in range(self._random.choice((1, 1, 2, 3))):
            self._add_input()
        self._set_rest()
        for _ in range(self._random.choice((1, 2, 3, 3, 4, 5, 6, 8))):
            if not self._add_layer():
                break
        return Made(self.net, self.state)

    def _set_rest(self) -> None:
        if self._is(0.3):
            self.net.name = self._random.choice(("a net", *ODD_NAMES))
        if self._is(0.1):
            self.net.force_backward = True
        if self._is(0.05):
            self.net.debug_info = True

    # Inputs.

    def _shape(self) -> Tuple[int, ...]:
        axes = self._random.choice((4, 4, 4, 4, 2, 2, 1, 3, 5, 0))
        if axes >= 4 and self._is(0.7):
            return (2, self._random.choice((1, 2, 3, 4)), *(self._random.choice((5, 6, 7)) for _ in range(axes - 2)))
        lengths = (1, 2, 2, 3, 4, 5, 6) if self._is(0.97) else (0, 1, 2)
        return tuple(self._random.choice(lengths) for _ in range(axes))

    def _add_input(self, shape: Optional[Tuple[int, ...]] = None) -> str:
        shape = self._shape() if shape is None else shape
        name = self._name("data")
        form = self._random.choice(("Input", "Input", "Input", "DummyData", "DummyData", "input_shape", "Parameter"))
        if form == "input_shape" and (not len(self.net.layer) or self.net.input):
            # The old form: Caffe puts an Input layer in front.
            self._add_old_input(name, shape)
            return name
        if form == "input_shape":
            form = "Input"
        layer = self.net.layer.add(name=self._name(form), type=form, top=[name])
        options = getattr(layer, of_type(form).options)
        if form == "Parameter":
            options.shape.dim.extend(shape)
        elif form == "DummyData" and len(shape) == 4 and self._is(0.3):
            for field, length in zip(("num", "channels", "height", "width"), shape):
                getattr(options, field).append(max(length, 0))
        else:
            options.shape.add(dim=shape)
        if form == "DummyData" and self._is(0.5):
            self._fill_filler(options.data_filler.add())
        if self._is(0.1):
            layer.top.append(self._name("more"))
        if self._is(0.1):
            self._add_rules(layer)
        return name

    def _add_old_input(self, name: str, shape: Tuple[int, ...]) -> None:
        self.net.input.append(name)
        if self._is(0.03):
            return
        if len(shape) == 4 and not self.net.input_shape and len(self.net.input_dim) == 4 * (len(self.net.input) - 1):
            self.net.input_dim.extend(shape)
        else:
            self.net.input_shape.add(dim=shape)

    # Names.

    def _name(self, base: str) -> str:
        if self._odd and self._is(0.25):
            return str(self._random.choice(ODD_NAMES))
        return f"{base}{len(self.net.layer)}{self._random.choice('abc')}"

    # Layers.

    def _blobs(self) -> List[str]:
        blobs = [*self.net.input, *(top for layer in self.net.layer for top in layer.top)]
        return list(dict.fromkeys(blobs)) or ["data"]

    def _add_layer(self) -> bool:
        """Add a layer; return False where it does not fit and yet is kept, as the last."""
        for attempt in range(6):
            before = len(self.net.layer)
            self._add_any()
            if (attempt == 0 and self._is(0.06)) or self._fits():
                return self._fits()
            if attempt < 5:
                del self.net.layer[before:]
        return False

    def _fits(self) -> bool:
        view = self._view()
        return view is not None and not view.misfits and not view.flow.faults

    def _view(self) -> Optional[NetView]:
        try:
            net = upgraded(copied(self.net), "net")
        except NetbuildError:
            return None
        return NetView(in_state(net, self.state.stages, self.state.level), self.state.phase)

    def _add_any(self) -> None:
        kind = self._random.choice(KINDS)
        layer = schema().LayerParameter(type=kind)
        self._set_options(layer)
        self._set_bottoms(layer)
        self._set_tops(layer)
        layer.name = "" if self._is(0.02) else self._name(kind)
        if self._is(0.02) and len(self.net.layer):
            layer.name = self._random.choice(self.net.layer).name
        self._set_layer_fields(layer)
        self.net.layer.add().CopyFrom(layer)

    def _bounds(self, limits: Tuple[int, int]) -> int:
        least, most = limits
        if self._is(0.01):
            return int(self._random.randrange(5))
        return int(self._random.randint(least, min(most, least + self._random.choice((0, 1, 2)))))

    def _set_bottoms(self, layer: Message) -> None:
        wanted = arity(layer)
        count = self._bounds(wanted.bottoms) if wanted else 1
        blobs = self._blobs()
        for position in range(count):
            if position and self._is(0.5):
                # Two of one blob fit each other more often than any two.
                layer.bottom.append(self._fitting(layer))
            else:
                layer.bottom.append(blobs[-1] if self._is(0.4) else self._random.choice(blobs))

    def _fitting(self, layer: Message) -> str:
        """Return a blob of a shape that follows from that of the first bottom: there already, or a new input."""
        view = self._view()
        shapes = view.shapes.blobs if view else {}
        shape = shapes.get(layer.bottom[0]) or ()
        if None in shape:
            return str(layer.bottom[0])
        wanted = self._random.choice(
            (
                *(shape, shape, shape[:1], shape[:2], (*shape[:1], 1, *shape[2:]), shape[:1] + shape[2:]),
                *(shape[1:2], shape[:-1], (*shape[:-1], 4 * shape[-1]) if shape else ()),
                *(shape[1:2] * 2, (1, *shape[1:2], 2), tuple(max(length - 1, 1) for length in shape)),
            )
        )
        there = [name for name, found in shapes.items() if found == wanted]
        return str(self._random.choice(there)) if there and self._is(0.7) else self._add_input(wanted)

    def _set_tops(self, layer: Message) -> None:
        wanted = arity(layer)
        limits = wanted.tops if wanted else (1, 1)
        count = len(layer.bottom) if wanted and wanted.paired and self._is(0.98) else self._bounds(limits)
        for position in range(count):
            if position < len(layer.bottom) and self._is(0.25):
                layer.top.append(layer.bottom[position])
            elif self._is(0.02):
                layer.top.append(self._random.choice(self._blobs()))
            else:
                layer.top.append(f"{self._name(layer.type)}{'xyz'[position % 3]}{position}")

    def _set_options(self, layer: Message) -> None:
        name = OWN_OPTIONS.get(layer.type, of_type(layer.type).options)
        if not name:
            return
        options = getattr(layer, name)
        density = self._random.choice((0, 0.1, 0.2, 0.5))
        for field in upstreams(options.DESCRIPTOR):
            if field.name in USUAL.get(layer.type, {}) and self._is(0.97):
                value = self._random.choice(USUAL[layer.type][field.name])
                if is_repeated(field):
                    getattr(options, field.name).append(value)
                else:
                    setattr(options, field.name, value)
            elif field.name != "engine" and self._is(density):
                self._set_field(options, field)

    def set_usual(self, layer: Message) -> None:
        """Give a layer the options that it hardly ever lacks."""
        for name, values in USUAL.get(layer.type, {}).items():
            options = getattr(layer, OWN_OPTIONS.get(layer.type, of_type(layer.type).options))
            value = self._random.choice(values)
            if name == "kernel_size" and layer.type != "Pooling":
                options.kernel_size.append(value)
            else:
                setattr(options, name, value)

    def _set_field(self, message: Message, field: Any) -> None:
        if is_repeated(field):
            for _ in range(self._random.choice((1, 1, 2, 3))):
                if field.message_type is not None:
                    self._fill(getattr(message, field.name).add())
                else:
                    getattr(message, field.name).append(self._value(field))
        elif field.message_type is not None:
            self._fill(getattr(message, field.name))
        else:
            setattr(message, field.name, self._value(field))

    def _fill(self, message: Message) -> None:
        message.SetInParent()
        if message.DESCRIPTOR.name == "FillerParameter":
            self._fill_filler(message)
        elif message.DESCRIPTOR.name == "BlobShape":
            message.dim.extend(self._random.choice((0, -1, 1, 2, 3, 6)) for _ in range(self._random.randrange(5)))

    def _fill_filler(self, filler: Message) -> None:
        filler.type = self._random.choice(FILLERS) if self._is(0.97) else "no such filler"
        if self._is(0.9):
            filler.std = 0.1
        for field in upstreams(filler.DESCRIPTOR):
            if field.name not in ("type", "std") and self._is(0.15):
                setattr(filler, field.name, self._value(field))

    def _value(self, field: Any) -> Any:
        if field.enum_type is not None:
            known = upstream().enums[field.enum_type.full_name[len("caffe.") :]]
            return self._random.choice([one.number for one in field.enum_type.values if one.name in known])
        if field.cpp_type == field.CPPTYPE_BOOL:
            return self._is(0.5)
        if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
            return self._random.choice((0.0, 0.5, 1.0, 1.0, 2.0, -1.0, 0.25))
        if field.cpp_type == field.CPPTYPE_STRING:
            return self._random.choice(("", "a", *STAGES))
        values = (0, 1, 1, 1, 2, 2, 3)
        if field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_INT64):
            values = (*values, -1, -1, -2, -4)
        return self._random.choice(values)

    def _set_layer_fields(self, layer: Message) -> None:
        if self._is(0.15):
            for _ in range(self._random.choice((1, 1, 2, 2, 3))):
                self._fill_param(layer.param.add())
        if self._is(0.08):
            weights = (0.0, 1.0, 1.0, 0.5, -1.0)
            count = len(layer.top) if self._is(0.9) else 1
            layer.loss_weight.extend(self._random.choice(weights) for _ in range(count))
        if self._is(0.05):
            count = len(layer.bottom) if self._is(0.9) else 1
            layer.propagate_down.extend(self._is(0.5) for _ in range(count))
        if self._is(0.05):
            layer.phase = self._random.randrange(2)
        if self._is(0.08):
            self._add_rules(layer)

    def _fill_param(self, spec: Message) -> None:
        if self._is(0.5):
            spec.lr_mult = self._random.choice((0.0, 1.0, 2.0))
        if self._is(0.3):
            spec.decay_mult = self._random.choice((0.0, 1.0))
        if self._is(0.4):
            spec.name = self._random.choice(("shared", "w", "a/b"))
        if self._is(0.2):
            spec.share_mode = self._random.randrange(2)

    def _add_rules(self, layer: Message) -> None:
        kinds = ["include", "exclude"] if self._is(0.03) else [self._random.choice(("include", "exclude"))]
        for kind in kinds:
            for _ in range(self._random.choice((1, 1, 2))):
                self._fill_rule(getattr(layer, kind).add())

    def _fill_rule(self, rule: Message) -> None:
        if self._is(0.6):
            # Mostly one that keeps the layer, so that the net goes on.
            rule.phase = self.state.phase if self._is(0.7) else TEST
        for field, level in (("min_level", -1), ("max_level", 1)):
            if self._is(0.15):
                setattr(rule, field, level + self._random.choice((-1, 0, 1)))
        for field in ("stage", "not_stage"):
            if self._is(0.15):
                getattr(rule, field).append(self._random.choice(STAGES))


IN_A_CHAIN = (
    *("Convolution", "Convolution", "Deconvolution", "InnerProduct", "Pooling", "BatchNorm", "Scale", "Bias", "PReLU"),
    *(
        "ReLU",
        "Sigmoid",
        "TanH",
        "ELU",
        "LRN",
        "MVN",
        "Dropout",
        "Power",
        "AbsVal",
        "Flatten",
        "Eltwise",
        "Concat",
        "Tile",
    ),
)


class Trained(NamedTuple):
    """A net that can be a branch."""

    net: Message
    shape: Tuple[int, ...]
    """Of its only input, without N."""
    seam: str


def trained_alone(random: Any) -> Trained:
    """Return a sound net from one input to one seam, in place or not, some of whose layers have parameters."""
    maker = _Maker(random)
    shape = random.choice(((4, 6, 6), (3, 7, 5), (6,), (3, 4), (2, 3, 4, 4)))
    net, last = maker.net, "data"
    net.layer.add(name="data", type="Input", top=["data"]).input_param.shape.add(dim=(2, *shape))
    while len(net.layer) < 7:
        kind = random.choice(IN_A_CHAIN)
        bottoms = [last] * (2 if kind in ("Eltwise", "Concat") else 1)
        top = last if last != "data" and random.random() < 0.3 else f"{kind.lower()}{len(net.layer)}"
        added = net.layer.add(name=f"{kind.lower()}{len(net.layer)}", type=kind, bottom=bottoms, top=[top])
        maker.set_usual(added)
        if problems(net):
            del net.layer[-1]
        else:
            last = top
    return Trained(net, shape, last)


def upstreams(descriptor: Any) -> List[Any]:
    """Return the fields of a message that upstream's Caffe has."""
    known = upstream().messages.get(descriptor.name, {})
    return [field for field in descriptor.fields if field.name != CARRIED and field.name in known]


def kinds_of(caffe: Any) -> Tuple[str, ...]:
    """Return the layer types of a Caffe that nets are made of."""
    return tuple(kind for kind in KINDS if kind not in NOT_IN_EVERY_CAFFE or kind in caffe.layer_type_list())
