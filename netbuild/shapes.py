"""Shapes of blobs and parameters, from the definition alone: no data is opened, Caffe's engine is not loaded.

A length that the definition does not tell (the size of the images in a list, say) is None and stays None in what
is computed from it; a shape of which not even the number of axes is known is None as a whole. The rules are those
of each layer's Reshape and LayerSetUp in BVLC Caffe 1.0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ._caffe import Message
from .errors import GraphError
from .proto import of_phase, phases

Shape = Optional[Tuple[Optional[int], ...]]
Shapes = Tuple[List[Shape], List[Shape]]
"""A layer's tops and its parameters."""
Rule = Callable[[Message, List[Shape]], Shapes]
"""From a layer and its bottoms' shapes to the shapes of its tops and parameters."""


@dataclass(frozen=True)
class Inferred:
    """The shapes of one phase of a net."""

    blobs: Mapping[str, Shape]
    """Each blob's shape by name; of blobs that in-place layers rewrite, the last."""
    params: Mapping[int, Optional[List[Shape]]]
    """Per layer index the shapes of its parameter blobs; None for a layer type not known here."""


def infer(net: Message, phase: int, inputs: Optional[Mapping[str, Sequence[int]]] = None) -> Inferred:
    """Return the shapes of a net's blobs and parameters in one phase.

    `inputs` gives shapes for blobs that data layers feed, (N, C, H, W). Raises GraphError where shapes do not fit
    together, naming layer and blobs.
    """
    blobs: Dict[str, Shape] = {}
    params: Dict[int, Optional[List[Shape]]] = {}
    for index, layer in of_phase(net, phase):
        rule = _RULES.get(layer.type)
        bottoms = [blobs.get(name) for name in layer.bottom]
        if rule is not None and not bottoms and layer.type not in _SOURCES:
            raise GraphError(f"layer {layer.name!r} ({layer.type}): has no bottom")
        tops: List[Shape] = [None] * len(layer.top)
        if rule is None:
            params[index] = None
        else:
            try:
                tops, params[index] = rule(layer, bottoms)
            except _UnfitError as error:
                found = ", ".join(f"{name} {_text(shape)}" for name, shape in zip(layer.bottom, bottoms))
                raise GraphError(f"layer {layer.name!r} ({layer.type}): {error}; its bottoms are {found}") from None
        blobs.update(zip(layer.top, tops))
        for name in layer.top:
            if not layer.bottom and inputs and name in inputs:
                blobs[name] = tuple(inputs[name])
    return Inferred(blobs, params)


def parameter_shapes(net: Message) -> List[Optional[List[Shape]]]:
    """Return, for each layer of a net with all its phases, the shapes of its parameter blobs."""
    merged: Dict[int, Optional[List[Shape]]] = {}
    for phase in phases(net):
        merged.update(infer(net, phase).params)
    return [merged.get(index, []) for index in range(len(net.layer))]


class _UnfitError(Exception):
    """Why a layer cannot take its bottoms."""


def shape_text(shape: Shape) -> str:
    """Return (N, 2048, 7, 7) for a blob's shape, with ? for a length that is not known."""
    if shape is None:
        return "(unknown)"
    return "(" + ", ".join(["N", *("?" if length is None else str(length) for length in shape[1:])]) + ")"


def _text(shape: Shape) -> str:
    if shape is None:
        return "(unknown)"
    return "(" + ", ".join("?" if length is None else str(length) for length in shape) + ")"


def _product(lengths: Sequence[Optional[int]]) -> Optional[int]:
    known = [length for length in lengths if length is not None]
    return math.prod(known) if len(known) == len(lengths) else None


def _axis(shape: Tuple[Optional[int], ...], axis: int) -> int:
    if not -len(shape) <= axis < len(shape):
        raise _UnfitError(f"axis {axis} is out of range")
    return axis % len(shape)


def _same(layer: Message, bottoms: List[Shape]) -> Shapes:
    return [bottoms[0]] * len(layer.top), []


def _scalar(layer: Message, _bottoms: List[Shape]) -> Shapes:
    return [()] * len(layer.top), []


def _no_tops(_layer: Message, _bottoms: List[Shape]) -> Shapes:
    return [], []


def _loss_and_scores(layer: Message, bottoms: List[Shape]) -> Shapes:
    # SoftmaxWithLoss gives its probabilities as a second top.
    return [(), *bottoms[:1]][: len(layer.top)], []


def _input(layer: Message, _bottoms: List[Shape]) -> Shapes:
    shapes: List[Shape] = [tuple(shape.dim) for shape in layer.input_param.shape]
    return (shapes * len(layer.top) if len(shapes) == 1 else shapes)[: len(layer.top)], []


def _images(param: str) -> Rule:
    """Data layers that read images: the colour and a crop or resize tell part of the shape."""

    def rule(layer: Message, _bottoms: List[Shape]) -> Shapes:
        options = getattr(layer, param)
        transform = layer.transform_param
        channels: Optional[int] = None
        height, width = getattr(options, "new_height", 0) or None, getattr(options, "new_width", 0) or None
        if param == "image_data_param":
            channels = 3 if options.is_color else 1
        if transform.crop_size:
            height = width = transform.crop_size
        batch = options.batch_size
        shapes: List[Shape] = [(batch, channels, height, width), (batch,)]
        return shapes[: len(layer.top)], []

    return rule


def _memory_data(layer: Message, _bottoms: List[Shape]) -> Shapes:
    p = layer.memory_data_param
    shapes: List[Shape] = [(p.batch_size, p.channels, p.height, p.width), (p.batch_size,)]
    return shapes[: len(layer.top)], []


def _hdf5_data(layer: Message, _bottoms: List[Shape]) -> Shapes:
    return [None] * len(layer.top), []


def _dummy_data(layer: Message, _bottoms: List[Shape]) -> Shapes:
    p = layer.dummy_data_param
    shapes: List[Shape] = [tuple(shape.dim) for shape in p.shape]
    shapes = shapes or list(zip(p.num, p.channels, p.height, p.width))
    return shapes * len(layer.top) if len(shapes) == 1 else shapes, []


def _spatial(param: Message, name: str, default: int, axes: int) -> List[int]:
    """Return one value per spatial axis of an option: `kernel_size`, or `kernel_h` and `kernel_w`."""
    stem = name.partition("_")[0]
    if f"{stem}_h" in param.DESCRIPTOR.fields_by_name and (param.HasField(f"{stem}_h") or param.HasField(f"{stem}_w")):
        return [getattr(param, f"{stem}_h"), getattr(param, f"{stem}_w")]
    value = getattr(param, name)
    values = [value] if isinstance(value, int) else list(value) or [default]
    values = values * axes if len(values) == 1 else values
    if len(values) != axes:
        raise _UnfitError(f"{len(values)} values of {name} for {axes} spatial axes")
    return values


def _require_positive(name: str, values: Sequence[int]) -> None:
    if min(values, default=1) < 1:
        raise _UnfitError(f"{name} must be given, and at least 1")


def _convolution(layer: Message, bottoms: List[Shape]) -> Shapes:
    p = layer.convolution_param
    shape = bottoms[0] if bottoms[0] is not None else (None,) * 4
    axis = _axis(shape, p.axis)
    axes = len(shape) - axis - 1
    kernel = _spatial(p, "kernel_size", 0, axes)
    stride, pad = _spatial(p, "stride", 1, axes), _spatial(p, "pad", 0, axes)
    for name, values in (
        ("kernel_size", kernel),
        ("stride", stride),
        ("group", [p.group]),
        ("num_output", [p.num_output]),
    ):
        _require_positive(name, values)
    extents = [d * (k - 1) + 1 for d, k in zip(_spatial(p, "dilation", 1, axes), kernel)]
    deconvolution = layer.type == "Deconvolution"
    size: List[Optional[int]] = []
    for length, extent, step, border in zip(shape[axis + 1 :], extents, stride, pad):
        if length is None:
            size.append(None)
            continue
        found = (
            step * (length - 1) + extent - 2 * border if deconvolution else (length + 2 * border - extent) // step + 1
        )
        if found < 1:
            raise _UnfitError(f"a kernel of {' x '.join(map(str, kernel))} is larger than its input")
        size.append(found)
    channels = shape[axis]
    if channels is not None and (channels % p.group or p.num_output % p.group):
        raise _UnfitError(f"{channels} channels and {p.num_output} outputs cannot be split into {p.group} groups")
    outer, inner = (channels, p.num_output) if deconvolution else (p.num_output, channels)
    params: List[Shape] = [(outer, None if inner is None else inner // p.group, *kernel)]
    if p.bias_term:
        params.append((p.num_output,))
    return [(*shape[:axis], p.num_output, *size)] * len(layer.top), params


def _pooling(layer: Message, bottoms: List[Shape]) -> Shapes:
    p = layer.pooling_param
    shape = bottoms[0] if bottoms[0] is not None else (None,) * 4
    if len(shape) != 4:
        raise _UnfitError("a bottom of 4 axes (N, C, H, W) is needed")
    if p.global_pooling:
        return [(*shape[:2], 1, 1)] * len(layer.top), []
    kernel, stride, pad = (
        _spatial(p, name, default, 2) for name, default in (("kernel_size", 0), ("stride", 1), ("pad", 0))
    )
    _require_positive("kernel_size", kernel)
    _require_positive("stride", stride)
    # Forks of Caffe have round_mode; upstream always rounds up.
    floor = "round_mode" in p.DESCRIPTOR.fields_by_name and p.round_mode == 1
    size = [
        None if length is None else _pooled(length, k, s, border, clip=any(pad), floor=floor)
        for length, k, s, border in zip(shape[2:], kernel, stride, pad)
    ]
    return [(*shape[:2], *size)] * len(layer.top), []


def _pooled(length: int, kernel: int, stride: int, pad: int, *, clip: bool, floor: bool) -> int:
    """Pooling rounds up, unlike convolution; with padding on any side, a last window within it is dropped."""
    room = length + 2 * pad - kernel
    size = (room // stride if floor else -(-room // stride)) + 1
    if clip and (size - 1) * stride >= length + pad:
        size -= 1
    if size < 1:
        raise _UnfitError(f"a pooling window of {kernel} is larger than its input")
    return size


def _inner_product(layer: Message, bottoms: List[Shape]) -> Shapes:
    p = layer.inner_product_param
    _require_positive("num_output", [p.num_output])
    shape = bottoms[0]
    if shape is None:
        front: Tuple[Optional[int], ...] = (None,) * max(p.axis, 0)
        length = None
    else:
        axis = _axis(shape, p.axis)
        front, length = shape[:axis], _product(shape[axis:])
    weight: Shape = (length, p.num_output) if p.transpose else (p.num_output, length)
    return [(*front, p.num_output)], [weight, (p.num_output,)] if p.bias_term else [weight]


def _batch_norm(_layer: Message, bottoms: List[Shape]) -> Shapes:
    shape = bottoms[0]
    channels = None if shape is None else (shape[1] if len(shape) > 1 else 1)
    return [shape], [(channels,), (channels,), (1,)]


def _scale(layer: Message, bottoms: List[Shape]) -> Shapes:
    p = layer.scale_param
    return [bottoms[0]], _factors(p, bottoms, (len(bottoms) == 1) + p.bias_term)


def _bias(layer: Message, bottoms: List[Shape]) -> Shapes:
    return [bottoms[0]], _factors(layer.bias_param, bottoms, len(bottoms) == 1)


def _factors(param: Message, bottoms: List[Shape], count: int) -> List[Shape]:
    """Scale and Bias: `count` blobs of the bottom's axes from `axis`, `num_axes` of them (-1: to the end)."""
    shape = bottoms[0]
    if shape is None:
        return [None] * count
    if len(bottoms) > 1:
        return [bottoms[1]] * count
    axis = _axis(shape, param.axis)
    end = len(shape) if param.num_axes == -1 else axis + param.num_axes
    if end > len(shape):
        raise _UnfitError(f"num_axes {param.num_axes} from axis {axis} is out of range")
    return [shape[axis:end]] * count


def _embed(layer: Message, bottoms: List[Shape]) -> Shapes:
    p = layer.embed_param
    _require_positive("num_output", [p.num_output])
    top = None if bottoms[0] is None else (*bottoms[0], p.num_output)
    weight: List[Shape] = [(p.input_dim, p.num_output)]
    return [top], weight + [(p.num_output,)] * p.bias_term


def _parameter(layer: Message, _bottoms: List[Shape]) -> Shapes:
    shape = tuple(layer.parameter_param.shape.dim)
    return [shape], [shape]


def _prelu(layer: Message, bottoms: List[Shape]) -> Shapes:
    shape = bottoms[0]
    channels = None if shape is None else shape[_axis(shape, 1)]
    return [shape], [()] if layer.prelu_param.channel_shared else [(channels,)]


def _concat(layer: Message, bottoms: List[Shape]) -> Shapes:
    p = layer.concat_param
    known = [shape for shape in bottoms if shape is not None]
    if len(known) < len(bottoms):
        return [None], []
    axis = _axis(known[0], p.concat_dim if p.HasField("concat_dim") else p.axis)
    if len({len(shape) for shape in known}) > 1:
        raise _UnfitError("all bottoms must have the same number of axes")
    columns = list(zip(*known))
    for index, lengths in enumerate(columns):
        if index != axis and len({length for length in lengths if length is not None}) > 1:
            raise _UnfitError(f"all bottoms must agree on every axis but {axis}")
    merged = [next((length for length in lengths if length is not None), None) for lengths in columns]
    sizes = columns[axis]
    merged[axis] = None if None in sizes else sum(length for length in sizes if length is not None)
    return [tuple(merged)], []


def _eltwise(_layer: Message, bottoms: List[Shape]) -> Shapes:
    known = [shape for shape in bottoms if shape is not None]
    for shape in known[1:]:
        if len(shape) != len(known[0]) or any(a != b for a, b in zip(shape, known[0]) if a and b):
            raise _UnfitError("all bottoms must have the same shape")
    return [known[0] if known else None], []


def _flatten(layer: Message, bottoms: List[Shape]) -> Shapes:
    shape = bottoms[0]
    if shape is None:
        return [None], []
    start, end = _axis(shape, layer.flatten_param.axis), _axis(shape, layer.flatten_param.end_axis)
    return [(*shape[:start], _product(shape[start : end + 1]), *shape[end + 1 :])], []


_ELEMENTWISE = [
    *("AbsVal", "BNLL", "Clip", "Dropout", "ELU", "Exp", "LRN", "Log", "MVN", "Power"),
    *("ReLU", "Sigmoid", "Softmax", "Split", "Swish", "TanH", "Threshold"),
]
_LOSSES = [
    *("ContrastiveLoss", "EuclideanLoss", "HingeLoss", "InfogainLoss"),
    *("MultinomialLogisticLoss", "SigmoidCrossEntropyLoss"),
]

_SOURCES = ("Data", "DummyData", "HDF5Data", "ImageData", "Input", "MemoryData", "Parameter")
"""Layers that need no bottom."""

_RULES: Dict[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE, _same),
    **dict.fromkeys(_LOSSES, _scalar),
    "Accuracy": _scalar,
    "SoftmaxWithLoss": _loss_and_scores,
    "Silence": _no_tops,
    "Input": _input,
    "ImageData": _images("image_data_param"),
    "Data": _images("data_param"),
    "HDF5Data": _hdf5_data,
    "MemoryData": _memory_data,
    "DummyData": _dummy_data,
    "Convolution": _convolution,
    "Deconvolution": _convolution,
    "Pooling": _pooling,
    "InnerProduct": _inner_product,
    "BatchNorm": _batch_norm,
    "Scale": _scale,
    "Bias": _bias,
    "Embed": _embed,
    "Parameter": _parameter,
    "PReLU": _prelu,
    "Concat": _concat,
    "Eltwise": _eltwise,
    "Flatten": _flatten,
}
