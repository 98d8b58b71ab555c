"""What a weight file itself says of its layers: Caffe stores each one's definition beside its values.

Shapes do not tell a transposed matrix from one that is not; definitions do.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Collection, Dict, Iterator, List, NamedTuple, Tuple

from ..engine.caffe import Message, schema
from ..errors import WeightsError
from ..proto.upgrade import upgraded
from ..weights.model import Definition, Layer, Model
from ..weights.wire import WireFile

_MAX_DEFINITION = 1 << 20
"""Bytes; a layer without values takes a few hundred."""
_SLIDING = {"stride": 1, "pad": 0, "dilation": 1}
"""Parameters of a sliding window that may be given for all axes or for each, and their defaults."""
_SEEN_IN_SHAPES = ("num_output", "bias_term", "kernel_size", "kernel_h", "kernel_w", "shape", "input_dim")
_NEUTRAL = ("engine", "debug_info", "use_global_stats", "moving_average_fraction", "force_nd_im2col")
"""Fields that leave what stored values compute as it is. (A frozen BatchNorm is on its stored statistics.)"""


class Difference(NamedTuple):
    """A parameter that a layer of the target and one of a file do not have in common."""

    parameter: str
    expected: str
    found: str


def stored_net(model: Model) -> Message:
    """Return the fields of the net itself that the file holds, without layers: its name, its inputs."""
    net = schema().NetParameter()
    with WireFile(model.path) as file:
        _parse(net, file, model.definition, "the net")
    return net


def stored_layers(model: Model, wanted: Collection[str] = ()) -> Iterator[Tuple[Layer, Message]]:
    """Yield the file's layers, or those of the wanted names, with their definitions in the current format.

    Definitions have no values. HDF5 files hold none: they give the name alone.
    """
    net_class = schema().NetParameter
    with WireFile(model.path) as file:
        for layer in model.all_layers:
            if wanted and layer.name not in wanted:
                continue
            net = net_class()
            stored = (net.layers if layer.definition.v1 else net.layer).add()
            _parse(stored, file, layer.definition, f"layer {layer.name!r}")
            if layer.definition.v1:
                stored = renewed(net, model.path).layer[0]
            if isinstance(stored.type, bytes):  # what protobuf cannot decode
                raise _not_text(model.path)
            if not stored.name:
                stored.name = layer.name
            yield layer, stored


def renewed(net: Message, path: str) -> Message:
    """Return what a weight file holds of a net, in the current format."""
    try:
        return upgraded(net, path)
    except ValueError:  # protobuf takes text that is none from a file, and not from us
        raise _not_text(path) from None


def _not_text(path: str) -> WeightsError:
    return WeightsError(f"weights {path!r}: the definition of a layer holds a name that is not UTF-8")


def _parse(message: Message, file: WireFile, definition: Definition, what: str) -> None:
    size = sum(end - start for start, end in definition.ranges)
    if size > _MAX_DEFINITION:
        raise WeightsError(f"weights {str(file.path)!r}: the definition of {what} has {size:,} bytes; damaged?")
    raw = b"".join(file.pread(start, end - start) for start, end in definition.ranges)
    from google.protobuf.message import DecodeError

    try:
        message.ParseFromString(raw)
    except (DecodeError, RuntimeError, UnicodeDecodeError):
        raise WeightsError(f"weights {str(file.path)!r}: the definition of {what} is damaged") from None


def definition_differences(target: Message, source: Message) -> List[Difference]:
    """Return in which parameters two definitions of a layer differ, but for fillers and what leaves its outputs alike.

    Where the source says nothing of its type there is nothing to compare.
    """
    if not source.type:
        return []
    if target.type != source.type:
        found = [Difference("type", target.type, source.type)]
        turned = [str(layer.inner_product_param.transpose).lower() for layer in (target, source)]
        return found if "true" not in turned else [*found, Difference("transpose", *turned)]
    found = []
    for field in dict.fromkeys([*_parameters(target), *_parameters(source)]):
        sides = [getattr(layer, field) for layer in (target, source)]
        ours, theirs = (_values(side.__class__, side.SerializeToString()) for side in sides)
        found += [
            Difference(name, _text(ours[name]), _text(theirs[name])) for name in ours if ours[name] != theirs[name]
        ]
    return found


def _parameters(layer: Message) -> List[str]:
    """Return the names of the messages that hold the layer's own parameters, convolution_param and the like."""
    return [
        descriptor.name
        for descriptor, _ in layer.ListFields()
        if descriptor.name.endswith("_param")
        and descriptor.name not in ("transform_param", "loss_param")
        and descriptor.label != descriptor.LABEL_REPEATED
    ]


@lru_cache(maxsize=1024)
def _values(kind: Any, serialised: bytes) -> Dict[str, Any]:
    """Return all parameters of a message by name, defaults filled in, each form of a sliding window as one.

    A net has the same few again and again.
    """
    parameters = kind.FromString(serialised)
    left_out = {*_NEUTRAL, *_SEEN_IN_SHAPES, *(form for name in _SLIDING for form in _forms(name))}
    found = {
        field.name: getattr(parameters, field.name)
        for field in parameters.DESCRIPTOR.fields
        if field.name not in left_out and not field.name.endswith("filler")
    }
    values: Dict[str, Any] = {}
    for name, value in found.items():
        is_list = hasattr(value, "__len__") and not isinstance(value, (str, bytes))
        values[name] = list(value) if is_list else value
    for name, default in _SLIDING.items():
        if name in values:
            values[name] = _per_axis(parameters, name, default)
    return values


def _forms(name: str) -> Tuple[str, str]:
    """Return the fields that give a sliding window's stride or pad for each of two axes."""
    return f"{name}_h", f"{name}_w"


def _per_axis(parameters: Message, name: str, default: int) -> Any:
    """Return one number for all axes, or a list where they differ."""
    given = getattr(parameters, name)
    values = list(given) if hasattr(given, "__len__") else [given]
    fields = parameters.DESCRIPTOR.fields_by_name
    if _forms(name)[0] in fields and any(parameters.HasField(form) for form in _forms(name)):
        values = [getattr(parameters, form) for form in _forms(name)]
    return values[0] if len(set(values)) == 1 else values or default


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value).strip()
