"""Layers that slide a window over the spatial axes: convolution, pooling, and what is built of them."""

from __future__ import annotations

from typing import List, Sequence

from ..engine.caffe import Message
from .lengths import (
    Known,
    Length,
    Shape,
    Shapes,
    UnfitError,
    canonical,
    merged,
    open_axes,
    product,
    require_four_axes,
    require_positive,
)


def _per_axis(param: Message, name: str, default: int, axes: int) -> List[int]:
    """Return one value per spatial axis of a convolution's option: `kernel_size`, or `kernel_h` and `kernel_w`."""
    values, stem = list(getattr(param, name)), name.partition("_")[0]
    if f"{stem}_h" in param.DESCRIPTOR.fields_by_name and (param.HasField(f"{stem}_h") or param.HasField(f"{stem}_w")):
        if values:
            raise UnfitError(f"{name} and {stem}_h or {stem}_w are both given; choose one")
        values = [getattr(param, f"{stem}_h"), getattr(param, f"{stem}_w")]
    elif len(values) < 2:
        values = (values or [default]) * axes
    if len(values) != axes:
        raise UnfitError(f"{len(values)} values of {name} for {axes} spatial axes")
    return values


def _of_kernel(shape: Shape, param: Message) -> Shape:
    """Return the shape; for an unknown one, as many open lengths as the kernel's own axes tell of."""
    if shape is not None:
        return shape
    axes = 2 if param.HasField("kernel_h") or param.HasField("kernel_w") else len(param.kernel_size)
    # One kernel_size stands for any number of axes.
    return open_axes(param.axis + 1 + axes) if axes > 1 and param.axis >= 0 else None


def _sides(values: Sequence[int]) -> str:
    return " x ".join(map(str, values))


def _extents(param: Message, kernel: Sequence[int]) -> List[int]:
    return [d * (k - 1) + 1 for d, k in zip(_per_axis(param, "dilation", 1, len(kernel)), kernel)]


def _slid(length: Length, extent: int, stride: int, pad: int, kernel: Sequence[int]) -> Length:
    if length is None:
        return None
    room = length + 2 * pad - extent
    # C++ rounds towards zero: a kernel larger than its input by less than a stride still gives one value.
    size = (room // stride if room >= 0 else -(-room // stride)) + 1
    if size < 1:
        raise UnfitError(f"a kernel of {_sides(kernel)} is larger than its input")
    return size


def _unslid(length: Length, extent: int, stride: int, pad: int, kernel: Sequence[int]) -> Length:
    if length is None:
        return None
    size = stride * (length - 1) + extent - 2 * pad
    if size < 1:
        raise UnfitError(f"a kernel of {_sides(kernel)} leaves nothing within the padding")
    return size


def convolution(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Convolution and Deconvolution: weights (outputs, channels / group, kernel), or with the two exchanged."""
    p, backwards = layer.convolution_param, layer.type == "Deconvolution"
    require_positive("group", [p.group])
    require_positive("num_output", [p.num_output])
    biases: List[Shape] = [(p.num_output,)] if p.bias_term else []
    shape = _of_kernel(merged(bottoms), p)
    if shape is None:
        return [None] * len(layer.top), [None, *biases]
    axis = canonical(shape, p.axis)
    axes = len(shape) - axis - 1
    kernel, stride = _per_axis(p, "kernel_size", 0, axes), _per_axis(p, "stride", 1, axes)
    require_positive("kernel_size", kernel)
    require_positive("stride", stride)
    window = _unslid if backwards else _slid
    size = [
        window(length, extent, step, pad, kernel)
        for length, extent, step, pad in zip(
            shape[axis + 1 :], _extents(p, kernel), stride, _per_axis(p, "pad", 0, axes)
        )
    ]
    channels = shape[axis]
    if (channels is not None and channels % p.group) or p.num_output % p.group:
        found = "an unknown number of" if channels is None else channels
        raise UnfitError(f"{found} channels and {p.num_output} outputs cannot be split into {p.group} groups")
    outer, inner = (channels, p.num_output) if backwards else (p.num_output, channels)
    weight: Shape = (outer, None if inner is None else inner // p.group, *kernel)
    return [(*shape[:axis], p.num_output, *size)] * len(layer.top), [weight, *biases]


def im2col(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Im2col: each window's values stacked along the channels."""
    p = layer.convolution_param
    shape = _of_kernel(bottoms[0], p)
    if shape is None:
        return [None], []
    axis = canonical(shape, p.axis)
    axes = len(shape) - axis - 1
    if axes < 1:
        raise UnfitError("a bottom with at least one spatial axis is needed")
    kernel, stride = _per_axis(p, "kernel_size", 0, axes), _per_axis(p, "stride", 1, axes)
    require_positive("kernel_size", kernel)
    require_positive("stride", stride)
    pads = _per_axis(p, "pad", 0, axes)
    windows = zip(shape[axis + 1 :], _extents(p, kernel), stride, pads)
    size = [_slid(length, extent, step, pad, kernel) for length, extent, step, pad in windows]
    return [(*shape[:axis], product([shape[axis], *kernel]), *size)], []


def _pool_sides(param: Message, stem: str, name: str, default: int) -> List[int]:
    """Return the option for height and width: one value for both, or `_h` and `_w` together.

    Beside kernel_size, one of kernel_h and kernel_w alone says nothing (PoolingLayer::LayerSetUp).
    """
    given = [param.HasField(f"{stem}_h"), param.HasField(f"{stem}_w")]
    if not any(given) or (stem == "kernel" and param.HasField(name) and not all(given)):
        return [getattr(param, name) if param.HasField(name) else default] * 2
    if not all(given) or param.HasField(name):
        raise UnfitError(f"give {name}, or both {stem}_h and {stem}_w")
    return [getattr(param, f"{stem}_h"), getattr(param, f"{stem}_w")]


def pooling(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Pooling: of images only; the second top of MAX is the mask."""
    p = layer.pooling_param
    shape = require_four_axes(bottoms[0])
    stride, pad = _pool_sides(p, "stride", "stride", 1), _pool_sides(p, "pad", "pad", 0)
    if p.global_pooling:
        if any(p.HasField(name) for name in ("kernel_size", "kernel_h", "kernel_w")):
            raise UnfitError("global_pooling and a kernel size are both given; choose one")
        if stride != [1, 1] or any(pad):
            raise UnfitError("global_pooling goes with stride 1 and pad 0 only")
        return [(*shape[:2], 1, 1)] * len(layer.top), []
    kernel = _pool_sides(p, "kernel", "kernel_size", 0)
    require_positive("kernel_size", kernel)
    require_positive("stride", stride)
    _require_unpadded(pad, random=p.pool == p.STOCHASTIC)
    # Forks of Caffe have round_mode; upstream always rounds up.
    floor = "round_mode" in p.DESCRIPTOR.fields_by_name and p.round_mode == 1
    return [(*shape[:2], *_pooled(shape[2:], kernel, stride, pad, floor=floor))] * len(layer.top), []


def _pooled(
    lengths: Known, kernel: Sequence[int], stride: Sequence[int], pad: Sequence[int], *, floor: bool = False
) -> List[Length]:
    """Pooling rounds up, unlike convolution; with padding on any side, a last window within it is dropped."""
    if any(pad) and any(border >= side for border, side in zip(pad, kernel)):
        raise UnfitError(f"pad {_sides(pad)} must be smaller than the window of {_sides(kernel)}")
    sizes: List[Length] = []
    for length, side, step, border in zip(lengths, kernel, stride, pad):
        if length is None:
            sizes.append(None)
            continue
        room = length + 2 * border - side
        size = (room // step if floor else -(-room // step)) + 1
        if any(pad) and (size - 1) * step >= length + border:
            size -= 1
        if size < 1:
            raise UnfitError(f"a pooling window of {side} is larger than its input")
        sizes.append(size)
    return sizes


_MAX_LEVELS = 16
"""Of SPP: images that could be cut into more bins a side would have more values than a blob."""


def spp(layer: Message, bottoms: List[Shape]) -> Shapes:
    """SPP: poolings into 1, 2 x 2, 4 x 4... bins, flattened and joined; a pyramid of height 1 stays an image."""
    height: int = layer.spp_param.pyramid_height
    require_positive("pyramid_height", [height])
    if height > _MAX_LEVELS:
        raise UnfitError(f"pyramid_height {height} is too much: its last level would have 2^{height - 1} bins a side")
    shape = require_four_axes(bottoms[0])
    pool = layer.spp_param.pool
    levels = [_bins(shape[2:], 2**level, random=pool == layer.spp_param.STOCHASTIC) for level in range(height)]
    if height == 1:
        return [(*shape[:2], *levels[0])], []
    counts = [product([shape[1], *sizes]) for sizes in levels]
    known = [count for count in counts if count is not None]
    return [(shape[0], sum(known) if len(known) == height else None)], []


def _bins(lengths: Known, bins: int, *, random: bool) -> List[Length]:
    """Return the sizes of one level (SPPLayer::GetPoolingParam): few pixels for many bins give none or too much pad."""
    if None in lengths:
        return [None, None]
    kernel = [-(-length // bins) for length in lengths if length is not None]
    pad = [(side * bins - length + 1) // 2 for side, length in zip(kernel, lengths) if length is not None]
    _require_unpadded(pad, random=random)
    return _pooled(lengths, kernel, kernel, pad)


def _require_unpadded(pad: Sequence[int], *, random: bool) -> None:
    if random and any(pad):
        raise UnfitError("pad goes with MAX and AVE pooling only")
