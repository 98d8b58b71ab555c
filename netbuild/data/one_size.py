"""Images of several sizes in a net whose weights are for one: Caffe aborts when the first other one comes."""

from __future__ import annotations

from typing import Iterator, List, Optional

from ..branches.told import cut_of, told_by
from ..engine.caffe import Message
from ..layers import Inferred, survey
from .contents import Found, Image


def one_size_faults(net: Message, phase: int, layer: Message, found: Found) -> Iterator[str]:
    """Yield the first image whose size no layer below can take, after that of the list's first image.

    A convolution takes any size, a full connection the one that it was made for. Where images are cropped or resized
    they come in one size.
    """
    cut = cut_of(layer)
    if cut is None or cut.resize or cut.crop:
        return
    for image in _others(found):
        first = found.images[0]
        stuck = _stuck(_with(net, phase, layer, first), _with(net, phase, layer, image))
        if stuck is not None:
            one = net.layer[stuck]
            why = f"the weights of layer {one.name!r} ({one.type}) are for images of one size"
            yield found.unlike(image, first, why)
            return


def _others(found: Found) -> List[Image]:
    """Return the smallest and the largest of the images whose size is another than the first one's."""
    known = [image for image in found.images if image.header.size and not image.header.turned]
    if not known or known[0] is not found.images[0]:
        return []
    others = [image for image in known if image.header.size != known[0].header.size]
    return [choose(others, key=_area) for choose in (min, max)] if others else []


def _area(image: Image) -> int:
    height, width = image.header.size or (0, 0)
    return height * width


def _with(net: Message, phase: int, layer: Message, image: Image) -> Inferred:
    shape = (layer.image_data_param.batch_size, told_by(layer, None).channels, *(image.header.size or ()))
    return survey(net, phase, {layer.top[0]: shape})[0]


def _stuck(one: Inferred, other: Inferred) -> Optional[int]:
    """Return the first layer whose parameters would have other shapes."""
    return next((index for index, shapes in one.params.items() if shapes != other.params[index]), None)
