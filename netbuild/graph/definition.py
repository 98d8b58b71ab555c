"""What is wrong in a layer's definition, whatever its bottoms: names, rules, param entries, loss weights.

Shapes and the number of bottoms and tops are `netbuild.layers`'s matter.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..errors import some
from ..layers import Inferred, Layers, Shape
from ..layers.fillers import filler_faults
from ..layers.lengths import counted, differ, may_be_alike, product, shape_text
from ..layers.reading import reading_faults
from ..layers.roles import has_more_than_a_loss, is_loss_layer
from ..layers.training import has_statistics_alone, impossible_draw
from ..proto import by_name
from ..schema import Message, schema

Params = Mapping[int, Optional[List[Shape]]]
"""Per layer index the shapes of its parameter blobs, None where their number is not known."""


def typeless(layers: Layers) -> Iterator[str]:
    """Yield the layers of which it is not said what they are."""
    for index, layer in layers:
        if not layer.type:
            yield f"layer {layer.name or index!r}: has no type; add type: with the name of one of Caffe's layers"


def nameless_blobs(layers: Layers) -> Iterator[str]:
    """Yield the layers whose blobs have no name."""
    for _, layer in layers:
        for kind, blobs in (("top", layer.top), ("bottom", layer.bottom)):
            if "" in blobs:
                yield f"layer {layer.name!r} ({layer.type}): a {kind} has no name"


def doubled_names(layers: Layers, params: Params) -> Iterator[str]:
    """Yield the names that several layers with weights have: Caffe says nothing of them, and fills the first."""
    for name, indices in by_name(layers).items():
        holders = [index for index in indices if _may_hold(params, index)]
        if len(holders) > 1:
            yield f"layers {_and(holders)} {_called(name)}: weights would go to the first only; rename the others"


def idle_names(layers: Layers, params: Params) -> Iterator[str]:
    """Yield the names missing or given twice that Caffe takes: of layers without weights, or of one with some."""
    for name, indices in by_name(layers).items():
        holders = [index for index in indices if _may_hold(params, index)]
        if len(holders) > 1 or (name and len(indices) == 1):
            continue
        who = f"layer {indices[0]} has no name" if len(indices) == 1 else f"layers {_few(indices)} {_called(name)}"
        if len(indices) > len(holders) > 0:
            yield (
                f"{who}, and layer {holders[0]} has weights: Caffe copies weights by name, and aborts over those that "
                "have none as soon as it loads a file; rename them"
            )
        else:
            yield f"{who}: Caffe takes {'it' if len(indices) == 1 else 'them, for they have no weights'}"


def _may_hold(params: Params, index: int) -> bool:
    """Tell whether a layer has weights, or may have some."""
    return params.get(index) is None or bool(params[index])


def _and(indices: Sequence[int]) -> str:
    return " and ".join(map(str, indices))


def _few(indices: Sequence[int]) -> str:
    return _and(indices) if len(indices) < 4 else some(list(map(str, indices)), 3)


def _called(name: str) -> str:
    return f"are all called {name!r}" if name else "have no name"


def rule_faults(net: Message) -> Iterator[str]:
    """Yield the layers with both kinds of phase rules; Net::FilterNet looks at every layer, in any phase."""
    for layer in net.layer:
        if layer.include and layer.exclude:
            yield f"layer {layer.name!r} ({layer.type}): has include and exclude rules; remove one kind"


def definition_faults(layers: Layers, shapes: Inferred) -> Iterator[str]:
    """Yield what is wrong in each layer's own definition, in file order."""
    for index, layer in layers:
        where = f"layer {layer.name!r} ({layer.type})"
        blobs = shapes.params.get(index)
        for fault in (
            _propagate_down(layer),
            _loss_weight(layer, blobs),
            _too_many_params(layer, blobs),
            _statistics(layer),
            _values(layer, blobs),
        ):
            if fault is not None:
                yield f"{where}: {fault}"
        for fault in filler_faults(layer, blobs, shapes.tops[index]):
            yield f"{where}: {fault}"
        images = shapes.tops[index][0] if layer.top else None
        for fault in reading_faults(layer, images[1] if images and len(images) == 4 else None):
            yield f"{where}: {fault}"


def drawing_faults(layers: Layers, phase: int) -> Iterator[str]:
    """Yield the layers that draw at random in this phase, and with a chance that there is not."""
    for _, layer in layers:
        fault = impossible_draw(layer, phase)
        if fault is not None:
            yield f"layer {layer.name!r} ({layer.type}): {fault}"


def _propagate_down(layer: Message) -> Optional[str]:
    entries, bottoms = len(layer.propagate_down), len(layer.bottom)
    if entries in (0, bottoms):
        return None
    return (
        f"has {counted(entries, 'propagate_down')} for {counted(bottoms, 'bottom')}; give one for each bottom, or none"
    )


def _loss_weight(layer: Message, blobs: Optional[List[Shape]]) -> Optional[str]:
    weights, tops = len(layer.loss_weight), len(layer.top)
    if is_loss_layer(layer) and not tops:
        # Net::Init gives a loss without tops one of its own.
        tops = 1
    # Caffe takes the loss_weight of a loss with a second top to be the one default of 1 all the same.
    if not weights and tops > 1 and blobs is not None and has_more_than_a_loss(layer):
        return f"has {tops} tops and no loss_weight; give one for each top: 1 for the loss, 0 for the others"
    if weights in (0, tops):
        return None
    return f"has {counted(weights, 'loss_weight')} for {counted(tops, 'top')}; give one for each top, or none"


def _too_many_params(layer: Message, blobs: Optional[List[Shape]]) -> Optional[str]:
    entries = len(layer.param)
    if blobs is None or entries <= len(blobs):
        return None
    return f"has {counted(entries, 'param')} for {counted(len(blobs), 'parameter blob')}; remove what is too much"


def _statistics(layer: Message) -> Optional[str]:
    # Of a file with exactly three entries Caffe sets lr_mult to 0 itself (UpgradeNetBatchNorm).
    if has_statistics_alone(layer) and len(layer.param) in (1, 2) and any(spec.lr_mult for spec in layer.param):
        return "its statistics are not learned: give three param entries with lr_mult 0, or none"
    return None


def _values(layer: Message, blobs: Optional[List[Shape]]) -> Optional[str]:
    """Return what is wrong with the values of parameters that stand in the definition itself (Blob::FromProto)."""
    found = [len(blob.double_data) or len(blob.data) for blob in layer.blobs]
    for number, (blob, values) in enumerate(zip(layer.blobs, found)):
        shape = _shape_of(blob)
        if product(shape) != values:
            return f"its blob {number} has {counted(values, 'value')} for the shape {shape_text(shape)}; Caffe aborts"
    if not found or not blobs:
        return None
    wanted = [None if shape is None else product(shape) for shape in blobs]
    if len(found) != len(wanted) or any(map(differ, found, wanted)):
        return (
            f"its own blobs have {' and '.join(map(str, found))} values, and its parameters are {_listed(blobs)}; "
            "leave them out, and give the values in a weight file"
        )
    return None


def _shape_of(blob: Message) -> Tuple[int, ...]:
    legacy = ("num", "channels", "height", "width")
    if any(map(blob.HasField, legacy)):
        return tuple(getattr(blob, name) for name in legacy)
    return tuple(blob.shape.dim)


def sharing_faults(layers: Layers, params: Params) -> Iterator[str]:
    """Yield the parameters shared by name whose known shapes do not agree (Net::AppendParam).

    The first layer owns the blob; each later one must have its shape, or with share_mode PERMISSIVE its count.
    """
    owners: Dict[str, Tuple[Message, Shape]] = {}
    for index, layer in layers:
        for spec, shape in zip(layer.param, params.get(index) or ()):
            if not spec.name:
                continue
            owner, owned = owners.setdefault(spec.name, (layer, shape))
            permissive = spec.share_mode == schema().ParamSpec.PERMISSIVE
            if not _shareable(owned, shape, permissive=permissive):
                yield (
                    f"shared parameter {spec.name!r}: layer {owner.name!r} has it with the shape {shape_text(owned)}, "
                    f"layer {layer.name!r} with {shape_text(shape)}; give one of them another name"
                )


def rate_faults(layers: Layers) -> Iterator[str]:
    """Yield the parameters shared by name of which two layers give different multipliers (Net::AppendParam).

    The first layer that gives one decides it for all.
    """
    deciding: Dict[Tuple[str, str], Tuple[Message, float]] = {}
    for _, layer in layers:
        for spec in layer.param:
            for field in ("lr_mult", "decay_mult"):
                if not spec.name or not spec.HasField(field):
                    continue
                value = getattr(spec, field)
                first, decided = deciding.setdefault((spec.name, field), (layer, value))
                if value != decided:
                    both = f"layers {first.name!r} and {layer.name!r}"
                    yield f"shared parameter {spec.name!r}: {both} disagree on {field}"


def phase_faults(net: Message, trained: Params, tested: Params, tested_net: Optional[Message] = None) -> Iterator[str]:
    """Yield the layers whose parameters are others in TEST than in TRAIN.

    A solver lets its test nets share the parameters of its train net, by the layers' names: of each layer of TRAIN the
    first of its name in TEST (Net::ShareTrainedLayersWith). `tested_net` is the net that is tested, if that is another.
    """
    other = net if tested_net is None else tested_net
    theirs = {other.layer[index].name: blobs for index, blobs in reversed([*tested.items()])}
    for index, blobs in trained.items():
        name = net.layer[index].name
        others = theirs.get(name)
        if blobs is None or others is None or _all_shareable(blobs, others):
            continue
        yield (
            f"layer {name!r}: its parameters have the shapes {_listed(blobs)} in TRAIN and {_listed(others)} in TEST; "
            "Caffe aborts when a solver's test net is to share them: give both phases the same sizes"
        )


def _all_shareable(owned: List[Shape], shapes: List[Shape]) -> bool:
    pairs = zip(owned, shapes)
    return len(owned) == len(shapes) and all(_shareable(one, other, permissive=False) for one, other in pairs)


def _listed(shapes: List[Shape]) -> str:
    return " ".join(map(shape_text, shapes)) or "none"


def _shareable(owned: Shape, shape: Shape, *, permissive: bool) -> bool:
    if not permissive:
        return may_be_alike(owned, shape)
    return owned is None or shape is None or not differ(product(owned), product(shape))
