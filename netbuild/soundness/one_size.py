"""Images of several sizes in a net whose weights are for one size: Caffe aborts at the first of another size."""

from __future__ import annotations

from typing import Iterator, List, Optional

from ..branches.declared import cut_of, declared_by
from ..graph.view import NetView
from ..layers import Inferred
from ..schema import Message
from .images import InspectedImage, InspectedImages


def one_size_faults(view: NetView, layer: Message, images: InspectedImages) -> Iterator[str]:
    """Yield the first image whose size some layer cannot take after the size of the list's first image.

    A convolution takes any size, a full connection the one that it was made for. Where images are cropped or resized
    they come in one size.
    """
    cut = cut_of(layer)
    if cut is None or cut.resize or cut.crop:
        return
    for image in _others(images):
        first = images.images[0]
        stuck = _stuck(_fed_with(view, layer, first), _fed_with(view, layer, image))
        if stuck is not None:
            one = view.net.layer[stuck]
            why = f"the weights of layer {one.name!r} ({one.type}) are for images of one size"
            yield images.unlike(image, first, why)
            return


def _others(images: InspectedImages) -> List[InspectedImage]:
    """Return the smallest and the largest image among those of another size than the first."""
    known = list(images.sized())
    if not known or known[0] is not images.images[0]:
        return []
    others = [image for image in known if image.header.size != known[0].header.size]
    return [choose(others, key=_area) for choose in (min, max)] if others else []


def _area(image: InspectedImage) -> int:
    height, width = image.header.size or (0, 0)
    return height * width


def _fed_with(view: NetView, layer: Message, image: InspectedImage) -> Inferred:
    """Return all shapes of the net where a batch of such images comes in."""
    shape = (layer.image_data_param.batch_size, declared_by(layer, None).channels, *(image.header.size or ()))
    return view.with_inputs({layer.top[0]: shape}).shapes


def _stuck(one: Inferred, other: Inferred) -> Optional[int]:
    """Return the first layer whose parameters would have other shapes."""
    return next((index for index, shapes in one.params.items() if shapes != other.params[index]), None)
