"""Pooling, and SPP, which is built of poolings."""

from __future__ import annotations

from typing import List, Sequence

from ..schema import Message
from .lengths import (
    Known,
    Length,
    Shape,
    Shapes,
    UnfitError,
    count,
    product,
    require_four_axes,
    require_positive,
    total,
)
from .row import ABORTS, ELSE, Arity, Use
from .windows import Window, pool_window, sides_text


def pooling(layer: Message, bottoms: List[Shape]) -> Shapes:
    """Pooling: of images only; the second top of MAX is the mask."""
    p = layer.pooling_param
    shape = require_four_axes(bottoms[0])
    if p.global_pooling:
        _require_no_window(p)
        return [(*shape[:2], 1, 1)] * len(layer.top), []
    window = pool_window(p)
    require_positive("kernel_size", window.kernel)
    require_positive("stride", window.stride)
    _require_unpadded(window.pad, random=pooling_draws(layer))
    return [(*shape[:2], *_pooled(shape[2:], window, floor=_rounds_down(p)))] * len(layer.top), []


def _rounds_down(param: Message) -> bool:
    """Tell whether a Pooling rounds its size down: by `round_mode`, or by `ceil_mode` where a fork goes by that."""
    return bool(param.round_mode == param.FLOOR or not param.ceil_mode)


def _require_no_window(param: Message) -> None:
    if any(param.HasField(name) for name in ("kernel_size", "kernel_h", "kernel_w")):
        raise UnfitError("global_pooling and a kernel size are both given; choose one")
    window = pool_window(param)
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
        raise UnfitError(f"pad {sides_text(window.pad)} must be smaller than the window of {sides_text(window.kernel)}")
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
