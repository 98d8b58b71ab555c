"""The shapes of what a net reads, for reckoning: as it tells, as the caller says, or as its first image is."""

from __future__ import annotations

from typing import Dict, Mapping, Optional, Sequence, Tuple

from ..data.images import pillow
from ..data.listing import first_paths
from ..engine.caffe import Message
from ..errors import GraphError, some
from ..files import existing_file
from ..layers import survey
from ..layers.roles import is_filled, is_input, reads_list
from ..proto import of_phase

"""Bytes of a list that may be one line."""


def input_sizes(
    net: Message, phase: int, given: Mapping[str, Sequence[int]], batch: Optional[int]
) -> Dict[str, Tuple[Optional[int], ...]]:
    """Return the shape of each blob that inputs and data layers of the phase make, as far as it can be told.

    `given` gives shapes, (N, C, H, W), `batch` another first axis for all. Of a list of images of any size, the first
    image is looked at where it is there. Raises GraphError for a shape given to a blob that is no input.
    """
    layers = [layer for _, layer in of_phase(net, phase) if is_input(layer) or is_filled(layer)]
    tops = [top for layer in layers for top in layer.top]
    for name in given:
        if name not in tops:
            raise GraphError(f"--shape {name}: the net has no such input; it has {some(list(tops))}")
    told = {**survey(net, phase)[0].blobs, **given}
    found = {name: tuple(shape) for name, shape in told.items() if name in tops and shape is not None}
    for layer in layers:
        # A layer that does not fit, one without tops say, has no known shape.
        first = next(iter(layer.top), "")
        if reads_list(layer) and None in found.get(first, ()):
            found[first] = (*found[first][:2], *_first_image(layer))
    if batch is None and given:
        batch = next(iter(given.values()))[0]
    return {name: (batch or shape[0], *shape[1:]) if shape else shape for name, shape in found.items()}


def _first_image(layer: Message) -> Tuple[Optional[int], Optional[int]]:
    """Return height and width of the first image on the layer's list, as Caffe does when it sets the layer up."""
    options = layer.image_data_param
    try:
        (path,) = first_paths(options.source, 1, options.root_folder)
        with pillow().open(existing_file(path, "image")) as image:
            return int(image.height), int(image.width)
    except Exception:
        # Decoders have errors of every kind. Whatever it was, the size is not known.
        return None, None
