"""Layers that find how images move: as the source of FlowNet2 has them (Reshape and LayerSetUp of each)."""

from __future__ import annotations

from typing import List, Optional, Tuple

from ..schema import Message
from .lengths import (
    Length,
    Shape,
    Shapes,
    UnfitError,
    count,
    differ,
    merged,
    require_four_axes,
    require_positive,
    total,
)
from .row import Use


def _images_alike(bottoms: List[Shape]) -> Shape:
    try:
        return merged([require_four_axes(shape) for shape in bottoms])
    except UnfitError:
        raise UnfitError("both bottoms must be images of the same shape") from None


def correlation(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Correlation: a channel for each displacement, across and down, of the second image."""
    p = layer.correlation_param
    _require_displacements(p)
    shape = _images_alike(bottoms)
    assert shape is not None
    side = 2 * (p.max_displacement // p.stride_2) + 1
    sizes = [_correlated(length, p, padded=True, moved=True) for length in shape[2:]]
    return [(shape[0], side * side, *sizes)], []


def correlation_1d(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Correlation1D: a channel for each displacement across, to both sides or to one; nothing is padded above."""
    p = layer.correlation_param
    _require_displacements(p)
    shape = _images_alike(bottoms)
    assert shape is not None
    radius = p.max_displacement // p.stride_2
    channels = radius + 1 if p.single_direction else 2 * radius + 1
    height = _correlated(shape[2], p, padded=False, moved=False)
    return [(shape[0], channels, height, _correlated(shape[3], p, padded=True, moved=True))], []


def _require_displacements(param: Message) -> None:
    if not (param.HasField("kernel_size") and param.HasField("max_displacement")):
        raise UnfitError("kernel_size and max_displacement must be given")
    if param.kernel_size % 2 == 0:
        raise UnfitError("kernel_size must be odd")
    require_positive("stride_1 and stride_2", [param.stride_1, param.stride_2])


def _correlated(length: Length, param: Message, *, padded: bool, moved: bool) -> Length:
    """Return a length of the top: the places where the window fits, and its displacements with it."""
    if length is None:
        return None
    border = (param.kernel_size - 1) // 2 + (param.max_displacement if moved else 0)
    room = length + (2 * param.pad if padded else 0) - 2 * border
    size = -(-room // int(param.stride_1))
    if size < 1:
        raise UnfitError(f"windows and displacements do not fit into the length {length}")
    return int(size)


def correlation_kept(use: Use) -> int:
    """Correlation: both images with their pads, and the gradient of its top."""
    shape = use.bottoms[0]
    assert shape is not None
    pad = 2 * int(use.layer.correlation_param.pad)
    padded = [0 if length is None else length + pad for length in shape[2:]]
    return 2 * count((*shape[:2], *padded)) + count(use.tops[0])


def flow_warp(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """FlowWarp: the first image, each place taken from where the second bottom, of two channels, says."""
    image, flow = map(require_four_axes, bottoms)
    if differ(flow[1], 2):
        raise UnfitError("the second bottom must have 2 channels, across and down")
    if any(differ(image[axis], flow[axis]) for axis in (0, 2, 3)):
        raise UnfitError("both bottoms must have the same number of items, height and width")
    return [image], []


def resample(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Resample: images interpolated to the size of the options, or to that of the second bottom."""
    p = layer.resample_param
    return [_sized(bottoms, (p.height, p.width), "height and width")], []


def downsample(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Downsample: as Resample, to `top_height` and `top_width`."""
    p = layer.downsample_param
    return [_sized(bottoms, (p.top_height, p.top_width), "top_height and top_width")], []


def _sized(bottoms: List[Shape], size: Tuple[int, int], names: str) -> Shape:
    shape = require_four_axes(bottoms[0])
    if len(bottoms) > 1:
        return (*shape[:2], *require_four_axes(bottoms[1])[2:])
    require_positive(names, size)
    return (*shape[:2], *size)


def channel_norm(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """ChannelNorm: one channel, the length of each place's list of values."""
    items, _, height, width = require_four_axes(bottoms[0])
    return [(items, 1, height, width)], []


def accum(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Accum: the channels of all bottoms, at the size of the last one (`have_reference`), or at a common size."""
    p = layer.accum_param
    shapes = [require_four_axes(shape) for shape in bottoms]
    if p.have_reference:
        if len(shapes) < 2:
            raise UnfitError("have_reference needs a second bottom, the one whose size counts")
        *shapes, reference = shapes
        return [(shapes[0][0], total([shape[1] for shape in shapes]), *reference[2:])], []
    channels = total([shape[1] for shape in shapes])
    return [(shapes[0][0], channels, *_common_size(p, [shape[2:] for shape in shapes]))], []


def _common_size(param: Message, sizes: List[Tuple[Length, ...]]) -> Tuple[Length, Length]:
    heights = _known([size[0] for size in sizes])
    widths = _known([size[1] for size in sizes])
    if heights is None or widths is None:
        return None, None
    largest = max(heights), max(widths)
    by = int(param.size_divisible_by)
    wanted = (param.top_height, param.top_width)
    if param.HasField("size_divisible_by") and by:
        wanted = (-(-largest[0] // by) * by, -(-largest[1] // by) * by)
    return wanted if wanted[0] > largest[0] and wanted[1] > largest[1] else largest


def _known(lengths: List[Length]) -> Optional[List[int]]:
    known = [length for length in lengths if length is not None]
    return known if len(known) == len(lengths) else None


def as_bottoms(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Mean: as many tops as bottoms, each like its own."""
    return [None if shape is None else require_four_axes(shape) for shape in bottoms][: len(layer.top)], []


_COEFFICIENTS = 42
"""How many numbers say what a DataAugmentation has done to an image (the fields of AugmentationCoeff)."""


def data_augmentation(layer: Message, bottoms: List[Shape]) -> Shapes:
    """DataAugmentation: images changed at random, cut to crop_width and crop_height; then what was done to each.

    It counts its passes in its parameters and sets their rates to 0 itself: what they are is not told here.
    """
    p = layer.augmentation_param
    items, channels, height, width = require_four_axes(bottoms[0])
    if p.HasField("crop_width") and p.HasField("crop_height"):
        height, width = p.crop_height, p.crop_width
    given = bottoms[1] if len(bottoms) > 1 else (items, _COEFFICIENTS, 1, 1)
    return [(items, channels, height, width), given][: len(layer.top)], None


def augments(layer: Message) -> bool:
    """DataAugmentation: in TEST only if its options say so."""
    return bool(layer.augmentation_param.augment_during_test)
