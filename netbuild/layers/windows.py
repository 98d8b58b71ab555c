"""How the options of a window are read, and the layers that multiply by one: convolution, deconvolution, Im2col."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence, Tuple

from ..schema import Message
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
    require_positive,
    values,
    without,
)
from .row import ELSE, GRADIENT, Use

_SIDES = "hw"


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
    sides = [f"{stem}_{side}" for side in _SIDES]
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


def pool_window(param: Message) -> Window:
    """Return the window of a Pooling that has one of its own."""
    kernel = _pool_sides(param, "kernel", "kernel_size", 0)
    stride = _pool_sides(param, "stride", "stride", 1)
    return Window(kernel, stride, _pool_sides(param, "pad", "pad", 0), (1, 1))


def slid_window(param: Message, axes: int) -> Window:
    """Return the window of a convolution or Im2col."""
    kernel, stride = _per_axis(param, "kernel_size", 0, axes), _per_axis(param, "stride", 1, axes)
    require_positive("kernel_size", kernel)
    require_positive("stride", stride)
    dilation = _dilation(param, axes)
    return Window(kernel, stride, _per_axis(param, "pad", 0, axes), dilation)


def _dilation(param: Message, axes: int) -> List[int]:
    """Return how far the values of a window lie apart: `dilation`, TSN's `dilation_h` and `dilation_w`, or DeepLab's
    older `hole`, which means the same (conv_layer.cpp of each)."""
    listed, sided = _stated(param, "dilation")
    holes = [name for name in ("hole", "hole_h", "hole_w") if param.HasField(name)]
    if not holes:
        return _per_axis(param, "dilation", 1, axes)
    if listed or sided or len(holes) > 2 or (len(holes) == 2) == ("hole" in holes):
        raise UnfitError("give dilation, or hole, or both hole_h and hole_w")
    if axes != len(_SIDES):
        raise UnfitError(f"hole is for images, of 2 spatial axes; there are {axes}")
    values = [param.hole] * axes if holes == ["hole"] else [param.hole_h, param.hole_w]
    require_positive("hole", values)
    return values


def _of_kernel(shape: Shape, param: Message) -> Shape:
    """Return the shape; for an unknown one, as many open lengths as the kernel's own axes tell of."""
    if shape is not None:
        return shape
    listed, sided = _stated(param, "kernel_size")
    axes = len(sided or listed)
    # One kernel_size stands for any number of axes.
    return open_axes(param.axis + 1 + axes) if axes > 1 and param.axis >= 0 else None


def sides_text(lengths: Sequence[int]) -> str:
    """Return '3 x 2'."""
    return " x ".join(map(str, lengths))


def slid(lengths: Known, window: Window) -> List[Length]:
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
        raise UnfitError(f"a kernel of {sides_text(window.kernel)} is larger than its input")
    return size


def _unslid(lengths: Known, window: Window) -> List[Length]:
    """Return the lengths that a window slides over in as many steps."""
    sizes: List[Length] = []
    for length, extent, step, pad in zip(lengths, window.extent, window.stride, window.pad):
        size = None if length is None else step * (length - 1) + extent - 2 * pad
        if size is not None and size < 1:
            raise UnfitError(f"a kernel of {sides_text(window.kernel)} leaves nothing within the padding")
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
    window = slid_window(p, len(shape) - axis - 1)
    size = (_unslid if backwards else slid)(shape[axis + 1 :], window)
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
    window = slid_window(param, len(image) - axis - 1)
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
    window = slid_window(p, axes)
    return [(*shape[:axis], product([shape[axis], *window.kernel]), *slid(shape[axis + 1 :], window))], []
