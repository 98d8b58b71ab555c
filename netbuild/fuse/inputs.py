"""The shapes of the inputs that a verification feeds: told by the nets, or fitted to the weights."""

from __future__ import annotations

from typing import Dict, Iterator, Mapping, NamedTuple, Sequence, Set, Tuple

from ..engine.caffe import TEST, Message
from ..errors import GraphError, some
from ..graph.feed import data_layers, input_shapes, is_input
from ..layers import infer
from ..weights.model import Model
from .fit import fits

_USUAL_SIDES = (224, 227, 28, 32, 299, 256, 64, 96, 112, 128)
_LARGEST_SIDE = 640


class Weighted(NamedTuple):
    """A net, the index of its weights, and what to call it."""

    name: str
    net: Message
    model: Model


def shapes_to_feed(
    fused: Weighted, hints: Mapping[str, Sequence[int]], given: Mapping[str, Sequence[int]]
) -> Dict[str, Tuple[int, ...]]:
    """Return a shape for each input blob of the fused net, all with one batch size.

    What is given, told by the net or by `hints` counts; for images of unknown size, a square is sought with which the
    shapes of all parameters come out as they are in the weights.
    """
    known: Dict[str, Tuple[int, ...]] = {blob: tuple(shape) for blob, shape in given.items()}
    _require_usable(fused, known)
    inputs = _inputs(fused)
    for blob, shape in [*input_shapes(fused.net, TEST).items(), *hints.items()]:
        if blob in inputs:
            known.setdefault(blob, tuple(shape))
    batch = min((shape[0] for shape in [*known.values(), *hints.values()]), default=1)
    known = {blob: (batch, *shape[1:]) for blob, shape in known.items()}
    tops = {top for layer in data_layers(fused.net, TEST) for top in layer.top}
    if tops - set(known):
        known.update(_fitted(fused, known, batch))
    return known


def _inputs(fused: Weighted) -> Set[str]:
    return {top for layer in fused.net.layer if is_input(layer) for top in layer.top}


def _require_usable(fused: Weighted, given: Mapping[str, Tuple[int, ...]]) -> None:
    inputs = _inputs(fused)
    for blob, shape in given.items():
        if blob not in inputs:
            raise GraphError(f"--shape {blob}: the fused net has no such input; it has {some(sorted(inputs))}")
        if min(shape, default=0) < 1:
            raise GraphError(f"--shape {blob}: {shape} is no shape; each length is at least 1")


def _fitted(weighted: Weighted, known: Mapping[str, Tuple[int, ...]], batch: int) -> Dict[str, Tuple[int, ...]]:
    open_tops = [
        (top, position)
        for layer in data_layers(weighted.net, TEST)
        for position, top in enumerate(layer.top)
        if top not in known
    ]
    for channels, side in _candidates():
        image: Tuple[int, ...] = (batch, channels, side, side)
        trial = {top: image[:1] if position else image for top, position in open_tops}
        if _weights_fit(weighted, {**known, **trial}):
            return trial
    names = ", ".join(repr(top) for top, _ in open_tops)
    raise GraphError(
        f"{weighted.name}: the shape of its input {names} is not known from the net, and no square image fits the "
        f"weights {weighted.model.path!r}; give it, as in --shape {open_tops[0][0]}=1,3,224,224"
    )


def _candidates() -> Iterator[Tuple[int, int]]:
    for side in (*_USUAL_SIDES, *range(1, _LARGEST_SIDE)):
        for channels in (3, 1):
            yield channels, side


def _weights_fit(weighted: Weighted, inputs: Mapping[str, Tuple[int, ...]]) -> bool:
    try:
        params = infer(weighted.net, TEST, inputs).params
    except GraphError:
        return False
    layers = weighted.model.by_name()
    for index, shapes in params.items():
        name = weighted.net.layer[index].name
        if shapes and name in layers:
            blobs = layers[name][0].blobs
            if len(blobs) != len(shapes) or not all(map(fits, blobs, shapes)):
                return False
    return True
