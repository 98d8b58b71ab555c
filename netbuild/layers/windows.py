"""Layers that slide a window over the spatial axes: convolution, pooling, and what is built of them."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence, Tuple

from ..engine.caffe import Message
from .lengths import (
    Known,
    Length,
    Shape,
    Shapes,
    UnfitError,
    canonical,
    count,
    merged,
    open_axes,
    product,
    require_four_axes,
    require_positive,
    total,
    values,
    without,
)
from .row import ABORTS, ELSE, GRADIENT, Arity, Use


class Window(NamedTuple):
    """A window, with one value for each spatial axis: the only form in which its options are read."""

    kernel: Sequence[int]
    stride: Sequence[int]
    pad: Sequence[int]
    dilation: Sequence[int]

    @property
    def is_plain(self) -> bool:
        """Whether it leaves everything where it is: 1 x 1, step by step (BaseConvolutionLayer's is_1x1_)."""
        return set(self.kernel) <= {1} and set(self.stride) <= {1} and not any(self.pad)

    @property
    def extent(self) -> List[int]:
        """How far it reaches, from its first value to its last."""
        return [step * (side - 1) + 1 for side, step in zip(self.kernel, self.dilation)]


def _stated(param: Message, name: str) -> Tuple[List[int], List[int]]:
    """Return the values of an option as they are written: of `kernel_size`, and of `kernel_h` and `kernel_w`."""
    stem = name.partition("_")[0]
    sides = [f"{stem}_{side}" for side in "hw"]
    sided = sides[0] in param.DESCRIPTOR.fields_by_name and any(map(param.HasField, sides))
    return list(getattr(param, name)), [getattr(param, side) for side in sides] if sided else []


def _per_axis(param: Message, name: str, default: int, axes: int) -> List[int]:
    """Return one value per spatial axis: a single one stands for all."""
    listed, sided = _stated(param, name)
    if listed and sided:
        stem = name.partition("_")[0]
        raise UnfitError(f"{name} and {stem}_h or {stem}_w are both given; choose one")
    spread = sided or (listed if len(listed) > 1 else (listed or [default]) * axes)
    if len(spread) != axes:
        raise UnfitError(f"{len(spread)} values of {name} for {axes} spatial axes")
    return spread


def _slid_window(param: Message, axes: int) -> Window:
    """Return the window of a convolution or Im2col."""
    kernel, stride = _per_axis(param, "kernel_size", 0, axes), _per_axis(param, "stride", 1, axes)
    require_positive("kernel_size", kernel)
    require_positive("stride", stride)
    dilation = _per_axis(param, "dilation", 1, axes)
    return Window(kernel, stride, _per_axis(param, "pad", 0, axes), dilation)


def _of_kernel(shape: Shape, param: Message) -> Shape:
    """Return the shape; for an unknown one, as many open lengths as the kernel's own axes tell of."""
    if shape is not None:
        return shape
    listed, sided = _stated(param, "kernel_size")
    axes = len(sided or listed)
    # One kernel_size stands for any number of axes.
    return open_axes(param.axis + 1 + axes) if axes > 1 and param.axis >= 0 else None


def _sides(lengths: Sequence[int]) -> str:
    return " x ".join(map(str, lengths))


def _slid(lengths: Known, window: Window) -> List[Length]:
    """Return how often a window fits into each length."""
    return [
        _fits(length, extent, step, pad, window)
        for length, extent, step, pad in zip(lengths, window.extent, window.stride, window.pad)
    ]


def _fits(length: Length, extent: int, stride: int, pad: int, window: Window) -> Length:
    if length is None:
        return None
    room = length + 2 * pad - extent
    # C++ rounds towards zero: a kernel larger than its input by less than a stride still gives one value.
    size = (room // stride if room >= 0 else -(-room // stride)) + 1
    if size < 1:
        raise UnfitError(f"a kernel of {_sides(window.kernel)} is larger than its input")
    return size


def _unslid(lengths: Known, window: Window) -> List[Length]:
    """Return the lengths that a window slides over in as many steps."""
    sizes: List[Length] = []
    for length, extent, step, pad in zip(lengths, window.extent, window.stride, window.pad):
        size = None if length is None else step * (length - 1) + extent - 2 * pad
        if size is not None and size < 1:
            raise UnfitError(f"a kernel of {_sides(window.kernel)} leaves nothing within the padding")
        sizes.append(size)
    return sizes


def convolution(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Convolution: weights (outputs, channels / group, kernel)."""
    return _convolved(layer, bottoms, backwards=False)


def deconvolution(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Deconvolution: weights (channels, outputs / group, kernel)."""
    return _convolved(layer, bottoms, backwards=True)


def _convolved(layer: Message, bottoms: List[Shape], *, backwards: bool) -> Shapes:
    p = layer.convolution_param
    require_positive("group", [p.group])
    require_positive("num_output", [p.num_output])
    biases: List[Shape] = [(p.num_output,)] if p.bias_term else []
    shape = _of_kernel(merged(bottoms), p)
    if shape is None:
        return [None] * len(layer.top), [None, *biases]
    axis = canonical(shape, p.axis)
    window = _slid_window(p, len(shape) - axis - 1)
    size = (_unslid if backwards else _slid)(shape[axis + 1 :], window)
    channels = shape[axis]
    _require_groups(channels, p)
    outer, inner = (channels, p.num_output) if backwards else (p.num_output, channels)
    weight: Shape = (outer, None if inner is None else inner // p.group, *window.kernel)
    return [(*shape[:axis], p.num_output, *size)] * len(layer.top), [weight, *biases]


def _require_groups(channels: Length, p: Message) -> None:
    if (channels is not None and channels % p.group) or p.num_output % p.group:
        count_text = "an unknown number of" if channels is None else channels
        raise UnfitError(f"{count_text} channels and {p.num_output} outputs cannot be split into {p.group} groups")


def convolution_work(
    layer: Message, _bottoms: Sequence[Shape], tops: Sequence[Shape], params: Sequence[Shape]
) -> Length:
    """Convolution: its weights at each place of its tops."""
    return _used(params[0], tops[0], layer.convolution_param.axis, len(tops))


def deconvolution_work(
    layer: Message, bottoms: Sequence[Shape], tops: Sequence[Shape], params: Sequence[Shape]
) -> Length:
    """Deconvolution: its weights at each place of its bottoms."""
    return _used(params[0], bottoms[0], layer.convolution_param.axis, len(tops))


def _used(weights: Shape, shape: Shape, axis: int, times: int) -> Length:
    """Return the weights' number times the places of the shape, which are all of it but its channels."""
    return None if shape is None else product([values(weights), *without(shape, axis), times])


def convolution_columns(use: Use) -> int:
    """Convolution: the values of each window of one image, laid out (im2col); windows of 1 x 1 need none."""
    return _columns(use.layer.convolution_param, use.bottoms[0], use.tops[0])


def deconvolution_columns(use: Use) -> int:
    """Deconvolution: as of the convolution from its top to its bottom."""
    return _columns(use.layer.convolution_param, use.tops[0], use.bottoms[0])


def _columns(param: Message, image: Shape, slid: Shape) -> int:
    assert image is not None
    assert slid is not None
    axis = canonical(image, param.axis)
    window = _slid_window(param, len(image) - axis - 1)
    return 0 if window.is_plain else count((*window.kernel, image[axis], *slid[axis + 1 :]))


def convolution_in_place(layer: Message, bottoms: List[Shape], tops: List[Shape]) -> str:
    """Larger windows are laid out first, image by image; the weights' gradient then reads what was overwritten."""
    listed, sided = _stated(layer.convolution_param, "kernel_size")
    wide = max([*listed, *sided], default=1) > 1
    return GRADIENT if wide and bottoms[0] == tops[0] else ELSE


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
    window = _slid_window(p, axes)
    return [(*shape[:axis], product([shape[axis], *window.kernel]), *_slid(shape[axis + 1 :], window))], []


def _pool_sides(param: Message, stem: str, name: str, default: int) -> List[int]:
    """Return the option for height and width: one value for both, or `_h` and `_w` together.

    Beside kernel_size, one of kernel_h and kernel_w alone says nothing (PoolingLayer::LayerSetUp).
    """
    has_side = [param.HasField(f"{stem}_h"), param.HasField(f"{stem}_w")]
    if not any(has_side) or (stem == "kernel" and param.HasField(name) and not all(has_side)):
        return [getattr(param, name) if param.HasField(name) else default] * 2
    if not all(has_side) or param.HasField(name):
        raise UnfitError(f"give {name}, or both {stem}_h and {stem}_w")
    return [getattr(param, f"{stem}_h"), getattr(param, f"{stem}_w")]


def _pool_window(param: Message) -> Window:
    """Return the window of a Pooling that has one of its own."""
    kernel = _pool_sides(param, "kernel", "kernel_size", 0)
    stride = _pool_sides(param, "stride", "stride", 1)
    return Window(kernel, stride, _pool_sides(param, "pad", "pad", 0), (1, 1))


def pooling(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Pooling: of images only; the second top of MAX is the mask."""
    p = layer.pooling_param
    shape = require_four_axes(bottoms[0])
    if p.global_pooling:
        _require_no_window(p)
        return [(*shape[:2], 1, 1)] * len(layer.top), []
    window = _pool_window(p)
    require_positive("kernel_size", window.kernel)
    require_positive("stride", window.stride)
    _require_unpadded(window.pad, random=pooling_draws(layer))
    # Forks of Caffe have round_mode; upstream always rounds up.
    floor = "round_mode" in p.DESCRIPTOR.fields_by_name and p.round_mode == 1
    return [(*shape[:2], *_pooled(shape[2:], window, floor=floor))] * len(layer.top), []


def _require_no_window(param: Message) -> None:
    if any(param.HasField(name) for name in ("kernel_size", "kernel_h", "kernel_w")):
        raise UnfitError("global_pooling and a kernel size are both given; choose one")
    window = _pool_window(param)
    if set(window.stride) != {1} or any(window.pad):
        raise UnfitError("global_pooling goes with stride 1 and pad 0 only")


def pooling_draws(layer: Message) -> bool:
    """STOCHASTIC pooling draws one value of each window."""
    return bool(layer.pooling_param.pool == layer.pooling_param.STOCHASTIC)


def pooling_arity(layer: Message) -> Arity:
    """Pooling: only MAX can tell, as a second top, where each value comes from."""
    masks = layer.pooling_param.pool == layer.pooling_param.MAX
    return Arity((1, 1), (1, 2) if masks else (1, 1))


def pooling_kept(use: Use) -> int:
    """Pooling: where each value comes from, unless a second top tells; an average comes from all."""
    keeps = use.layer.pooling_param.pool != use.layer.pooling_param.AVE and len(use.tops) == 1
    return count(use.tops[0]) if keeps else 0


def _pooled(lengths: Known, window: Window, *, floor: bool = False) -> List[Length]:
    """Pooling rounds up, unlike convolution; with padding on any side, a last window within it is dropped."""
    if any(window.pad) and any(border >= side for border, side in zip(window.pad, window.kernel)):
        raise UnfitError(f"pad {_sides(window.pad)} must be smaller than the window of {_sides(window.kernel)}")
    sizes: List[Length] = []
    for length, side, step, border in zip(lengths, window.kernel, window.stride, window.pad):
        if length is None:
            sizes.append(None)
            continue
        room = length + 2 * border - side
        size = (room // step if floor else -(-room // step)) + 1
        if any(window.pad) and (size - 1) * step >= length + border:
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
    levels = [_bins(shape[2:], 2**level, random=spp_draws(layer)) for level in range(height)]
    if height == 1:
        return [(*shape[:2], *levels[0])], []
    return [(shape[0], total([product([shape[1], *sizes]) for sizes in levels]))], []


def spp_draws(layer: Message) -> bool:
    """STOCHASTIC poolings draw one value of each window."""
    return bool(layer.spp_param.pool == layer.spp_param.STOCHASTIC)


def spp_kept(use: Use) -> int:
    """SPP: where each value comes from, unless it is an average; of several levels what each gives, to be joined, and
    its gradients."""
    p, top = use.layer.spp_param, count(use.tops[0])
    places = 0 if p.pool == p.AVE else top
    if p.pyramid_height == 1:
        return places
    gradients = p.pyramid_height * count(use.bottoms[0]) + top if use.backward else 0
    return places + top + gradients


def spp_in_place(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> str:
    """With one level it is a Pooling; with more it begins with a Split."""
    return ELSE if layer.spp_param.pyramid_height == 1 else ABORTS


def _bins(lengths: Known, bins: int, *, random: bool) -> List[Length]:
    """Return the sizes of one level (SPPLayer::GetPoolingParam): few pixels for many bins give none or too much pad."""
    if None in lengths:
        return [None, None]
    kernel = [-(-length // bins) for length in lengths if length is not None]
    pad = [(side * bins - length + 1) // 2 for side, length in zip(kernel, lengths) if length is not None]
    _require_unpadded(pad, random=random)
    return _pooled(lengths, Window(kernel, kernel, pad, (1, 1)))


def _require_unpadded(pad: Sequence[int], *, random: bool) -> None:
    if random and any(pad):
        raise UnfitError("pad goes with MAX and AVE pooling only")
