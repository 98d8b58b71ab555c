"""Layers that label each place of an image: as the sources of DeepLab, PSPNet and SegNet have them."""

from __future__ import annotations

from typing import List, Optional

from ..schema import Message
from .lengths import (
    Length,
    Shape,
    Shapes,
    UnfitError,
    count,
    differ,
    legacy,
    merged,
    require_four_axes,
    require_positive,
)
from .row import Use


def interp(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Interp of DeepLab and PSPNet: images interpolated to a size, or by a factor; negative pads cut them before."""
    p = layer.interp_param
    if max(p.pad_beg, p.pad_end) > 0:
        raise UnfitError("pad_beg and pad_end must be at most 0: they cut")
    shape = require_four_axes(bottoms[0])
    sizes = [_interpolated(length, p, getattr(p, name)) for length, name in zip(shape[2:], ("height", "width"))]
    return [(*shape[:2], *sizes)], []


def _interpolated(length: Length, param: Message, wanted: int) -> Length:
    shrinks, zooms = param.HasField("shrink_factor"), param.HasField("zoom_factor")
    sized = param.HasField("height") and param.HasField("width")
    if not (shrinks or zooms or sized):
        raise UnfitError("give shrink_factor, zoom_factor, or height and width")
    # With all of them PSPNet goes by the size, and DeepLab takes one only.
    if sized and shrinks == zooms:
        require_positive("height and width", [wanted])
        return wanted
    if length is None:
        return None
    require_positive("shrink_factor and zoom_factor", [param.shrink_factor, param.zoom_factor])
    size = int(length) + int(param.pad_beg) + int(param.pad_end)
    if size < 1:
        raise UnfitError(f"pad_beg and pad_end leave nothing of the length {length}")
    size = (size - 1) // int(param.shrink_factor) + 1 if shrinks else size
    return size + (size - 1) * (int(param.zoom_factor) - 1) if zooms else size


_OF_SEGNET = ("scale_h", "scale_w", "pad_out_h", "pad_out_w", "upsample_h", "upsample_w")


def upsample(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Upsample: with a second bottom, a pooling's mask, SegNet's; with one bottom MobileNet-YOLO's, which repeats."""
    if len(bottoms) > 1:
        return [_unpooled(layer.upsample_param, bottoms)], []
    p = layer.upsample_param
    if any(map(p.HasField, _OF_SEGNET)):
        raise UnfitError("its options are those of SegNet's Upsample, which takes a pooling's mask as a second bottom")
    if not p.HasField("scale"):
        # MobileNet-YOLO's default is 1, SegNet's 2: what is meant is not known.
        return [None if bottoms[0] is None else (*bottoms[0][:-2], None, None)], []
    require_positive("scale", [p.scale])
    shape = bottoms[0]
    if shape is None:
        return [None], []
    if len(shape) < 2:
        raise UnfitError("a bottom with a height and a width is needed")
    return [(*shape[:-2], *(None if length is None else length * p.scale for length in shape[-2:]))], []


def _unpooled(param: Message, bottoms: List[Shape]) -> Shape:
    """Return the shape that SegNet's Upsample makes (upsample_layer.cpp)."""
    try:
        shape = merged([require_four_axes(bottom) for bottom in bottoms])
    except UnfitError:
        raise UnfitError("both bottoms must be images of the same shape: values, and the mask of a pooling") from None
    assert shape is not None
    sized = param.HasField("upsample_h") and param.HasField("upsample_w")
    if sized:
        return (*shape[:2], param.upsample_h, param.upsample_w)
    if param.HasField("scale_h") != param.HasField("scale_w"):
        raise UnfitError("give upsample_h and upsample_w, or scale, or both scale_h and scale_w")
    default = param.scale if param.HasField("scale") else _SEGNETS_SCALE
    scales = [param.scale_h, param.scale_w] if param.HasField("scale_h") else [default] * 2
    less = [int(param.pad_out_h), int(param.pad_out_w)]
    sizes = [_scaled(length, scale, lost) for length, scale, lost in zip(shape[2:], scales, less)]
    return (*shape[:2], *sizes)


_SEGNETS_SCALE = 2


def _scaled(length: Length, scale: int, lost: int) -> Length:
    if lost and scale != _SEGNETS_SCALE:
        raise UnfitError("pad_out_h and pad_out_w go with a scale of 2 only")
    return None if length is None else length * scale - lost


def as_scores(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """DenseCRF, BiasChannel and AdaptiveBiasChannel: the scores of each place, changed."""
    return [None if bottoms[0] is None else legacy(bottoms[0])], []


def as_first(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """SpatialProduct: as the first bottom, each channel times the second."""
    first, second = (None if shape is None else legacy(shape) for shape in bottoms)
    if second is not None and differ(second[1], 1):
        raise UnfitError("the second bottom must have one channel")
    if first is not None and second is not None and any(map(differ, first[2:], second[2:])):
        raise UnfitError("both bottoms must have the same height and width")
    return [bottoms[0]], []


def seg_accuracy(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """SegAccuracy: (1, 1, 1, 3): accuracy of places, accuracy of classes, and intersection over union."""
    scores, labels = (None if shape is None else legacy(shape) for shape in bottoms)
    if labels is not None and differ(labels[1], 1):
        raise UnfitError("the second bottom, the labels, must have one channel")
    if scores is not None and labels is not None and any(map(differ, scores[2:], labels[2:])):
        raise UnfitError("both bottoms must have the same height and width")
    return [(1, 1, 1, 3)], []


def unique_label(layer: Message, bottoms: List[Shape]) -> Shapes:
    """UniqueLabel: (N, max_labels, 1, 1)."""
    require_positive("max_labels", [layer.unique_label_param.max_labels])
    items: Optional[int] = bottoms[0][0] if bottoms[0] else None
    return [(items, layer.unique_label_param.max_labels, 1, 1)], []


def crf_kept(use: Use) -> int:
    """DenseCRF: its four arrays for one image, and what is normalised of one."""
    shape = use.bottoms[0]
    return 5 * count(shape[1:]) if shape else 0
