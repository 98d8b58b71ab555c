"""The shapes of what a net reads: as its definition says, as the caller says, or as its first image is."""

from __future__ import annotations

from typing import Dict, Iterable, Mapping, Optional, Sequence, Tuple

from ..errors import GraphError, some
from ..files import existing_file
from ..graph.view import NetView
from ..layers import Layers, survey_layers
from ..layers.lengths import Known
from ..layers.roles import is_filled, is_input, reads_list
from ..schema import Message
from ..spelling import name_of

_Sizes = Dict[str, Known]


def with_sizes(view: NetView, sizes: Mapping[str, Sequence[int]], batch: Optional[int]) -> NetView:
    """Return the view of a net with the shapes of what it reads, as far as they are known.

    `sizes` gives shapes, (N, C, H, W), `batch` another first axis for all. Of a list of images of any size, the first
    image is looked at where it is there. Raises GraphError for a shape given to a blob that is no input.
    """
    sources = [(index, layer) for index, layer in view.layers if is_input(layer) or is_filled(layer)]
    _require_inputs(sizes, [top for _, layer in sources for top in layer.top])
    known = {**_declared_sizes(sources), **{name: tuple(shape) for name, shape in sizes.items()}}
    known.update(_sizes_of_lists([layer for _, layer in sources], known))
    items = batch or _batch_of(sizes)
    return view.with_inputs({name: _of_batch(shape, items) for name, shape in known.items()})


def _batch_of(sizes: Mapping[str, Sequence[int]]) -> Optional[int]:
    """Return the first axis of the first of these shapes, None where there is none."""
    return next(iter(sizes.values()))[0] if sizes else None


def _declared_sizes(sources: Layers) -> _Sizes:
    """Return the shapes that the definitions of these layers tell."""
    return {name: shape for name, shape in survey_layers(sources)[0].blobs.items() if shape is not None}


def _require_inputs(sizes: Iterable[str], tops: Sequence[str]) -> None:
    """Raise GraphError for a name that is no input."""
    for name in sizes:
        if name not in tops:
            option = name_of("shapes", flag="shape")
            raise GraphError(f"{option} {name}: the net has no such input; it has {some(tops)}")


def _of_batch(shape: Known, batch: Optional[int]) -> Known:
    """Return the shape with another first axis; one without axes stays."""
    return (batch or shape[0], *shape[1:]) if shape else shape


def _sizes_of_lists(layers: Sequence[Message], known: _Sizes) -> _Sizes:
    """Return the shapes that lists of images of any size have by their first images."""
    found: _Sizes = {}
    for layer in layers:
        # A layer that does not fit, one without tops say, has no known shape.
        first = next(iter(layer.top), "")
        if reads_list(layer) and None in known.get(first, ()):
            found[first] = (*known[first][:2], *_first_image(layer))
    return found


def _first_image(layer: Message) -> Tuple[Optional[int], Optional[int]]:
    """Return height and width of the first image on the layer's list, as Caffe does when it sets the layer up."""
    # Here, since few nets have images of any size: it takes a tenth of a small summary's time to load.
    from ..data.images import pillow
    from ..data.listing import first_paths

    options = layer.image_data_param
    try:
        (path,) = first_paths(options.source, 1, options.root_folder)
        with pillow().open(existing_file(path, "image")) as image:
            return int(image.height), int(image.width)
    except Exception:
        # Decoders have errors of every kind. Whatever it was, the size is not known.
        return None, None
