"""The shapes of the inputs that a net is fed with: declared by the nets, or fitted to the weights."""

from __future__ import annotations

from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from ..errors import GraphError, some
from ..graph.feed import data_layers, declared_shapes, in_batches, input_shapes, without_batch
from ..graph.view import NetView
from ..layers.roles import is_input
from ..schema import TEST, Message
from ..spelling import option, spells_flags
from ..weights.model import Layer, Model
from .fit import fits

_USUAL_SIDES = (224, 227, 28, 32, 299, 256, 64, 96, 112, 128)
_LARGEST_SIDE = 640
Shapes = Mapping[str, Sequence[int]]
"""Shapes of blobs by name, (N, C, H, W)."""


class Weighted(NamedTuple):
    """A net, the index of its weights, and what to call it."""

    name: str
    net: Message
    model: Model


def shapes_to_feed(
    weighted: Weighted, hints: Mapping[str, Sequence[int]] = {}, chosen: Mapping[str, Sequence[int]] = {}
) -> Dict[str, Tuple[int, ...]]:
    """Return a shape for each input blob of the net, all those that have a batch axis with one batch size.

    What the user has `chosen` counts first, then what the net declares, then the `hints`. For images of unknown size, a
    square is sought with which the shapes of all parameters come out as they are in the weights. GraphError where there
    is none.
    """
    known = _known_shapes(weighted.net, hints, chosen)
    without = without_batch(declared_shapes(weighted.net, TEST))
    lengths = [shape[0] for shapes in (known, hints) for blob, shape in shapes.items() if shape and blob not in without]
    batch = min(lengths, default=1)
    known = in_batches(known, batch, without)
    unknown = _unknown_tops(weighted.net, known)
    if not unknown:
        return known
    image = _fitting_image(weighted, known, unknown, batch)
    if image is None:
        raise GraphError(_not_known(weighted, [top for top, _ in unknown]))
    return {**known, **_tops(unknown, image)}


def _known_shapes(net: Message, hints: Shapes, chosen: Shapes) -> Dict[str, Tuple[int, ...]]:
    """Return the shapes of those inputs of the net that have one: chosen, declared by the net, or a hint."""
    inputs = {top for layer in net.layer if is_input(layer) for top in layer.top}
    _require_usable(chosen, inputs)
    known: Dict[str, Tuple[int, ...]] = {}
    for blob, shape in [*chosen.items(), *input_shapes(net, TEST).items(), *hints.items()]:
        if blob in inputs:
            known.setdefault(blob, tuple(shape))
    return known


def _unknown_tops(net: Message, known: Shapes) -> List[Tuple[str, int]]:
    """Return the tops of data layers whose shape is not known, each with its position in its layer."""
    tops = [top for layer in data_layers(net, TEST) for top in enumerate(layer.top)]
    return [(top, position) for position, top in tops if top not in known]


def _require_usable(chosen: Shapes, inputs: Set[str]) -> None:
    for blob, shape in chosen.items():
        if blob not in inputs:
            raise GraphError(f"{_shape_of(blob)}: the fused net has no such input; it has {some(sorted(inputs))}")
        if min(shape, default=0) < 1:
            raise GraphError(f"{_shape_of(blob)}: {tuple(shape)} is no shape; each length is at least 1")


def _shape_of(blob: str) -> str:
    return f"--shape {blob}" if spells_flags() else f"shapes[{blob!r}]"


def _not_known(weighted: Weighted, tops: Sequence[str]) -> str:
    return (
        f"{weighted.name}: the shape of its input {', '.join(map(repr, tops))} is not known from the net, and no "
        f"square image fits the weights {weighted.model.path!r}; give it, as in "
        f"{option('shapes', {tops[0]: (1, 3, 224, 224)}, flag='shape')}"
    )


def _fitting_image(
    weighted: Weighted, known: Shapes, unknown: Sequence[Tuple[str, int]], batch: int
) -> Optional[Tuple[int, ...]]:
    """Return the first shape of a square image with which all parameters have the shapes of the weights."""
    view, stored = NetView(weighted.net, TEST), weighted.model.by_name()
    for channels, side in _squares():
        image = (batch, channels, side, side)
        if _weights_fit(view.with_inputs({**known, **_tops(unknown, image)}), stored):
            return image
    return None


def _tops(unknown: Sequence[Tuple[str, int]], image: Tuple[int, ...]) -> Dict[str, Tuple[int, ...]]:
    """Return the shapes of a data layer's tops: the first is the image, the others one number for each."""
    return {top: image[:1] if position else image for top, position in unknown}


def _squares() -> Iterator[Tuple[int, int]]:
    for side in (*_USUAL_SIDES, *range(1, _LARGEST_SIDE)):
        for channels in (3, 1):
            yield channels, side


def _weights_fit(view: NetView, stored: Mapping[str, List[Layer]]) -> bool:
    """Tell whether every layer fits, and its parameters have the shapes of the blobs that are stored under its name."""
    if view.misfits:
        return False
    for index, shapes in view.shapes.params.items():
        layers = stored.get(view.by_index[index].name)
        if shapes and layers:
            blobs = layers[0].blobs
            if len(blobs) != len(shapes) or not all(map(fits, blobs, shapes)):
                return False
    return True
