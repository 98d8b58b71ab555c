"""One phase of a net, layer by layer in its own order: shapes, and all that does not fit."""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..errors import GraphError, printable
from ..proto import of_phase
from ..schema import Message, is_repeated, values_of
from .arity import misfit
from .fields import unclear
from .lengths import MAX_NUMBER, Length, Shape, Shapes, UnfitError, require_possible, shape_text
from .table import UNKNOWN, of


class Inferred(NamedTuple):
    """The shapes of one phase of a net."""

    blobs: Mapping[str, Shape]
    """Each blob's shape by name; of blobs that in-place layers rewrite, the last."""
    params: Mapping[int, Optional[List[Shape]]]
    """Per layer index the shapes of its parameter blobs; None where not even their number is known: for Python
    layers, for layer types and options not known here, and in a `survey` for layers that do not fit."""
    bottoms: Mapping[int, List[Shape]]
    """Per layer index the shapes that the layer reads."""
    tops: Mapping[int, List[Shape]]
    """Per layer index the shapes that the layer makes."""


class Fault(NamedTuple):
    """A layer that does not fit."""

    layer: int
    """Its index among the layers of all phases."""
    sentence: str


Layers = Sequence[Tuple[int, Message]]
"""The layers that a net has in one state, each with its index in the net."""


def survey_layers(
    layers: Layers, inputs: Optional[Mapping[str, Sequence[Length]]] = None
) -> Tuple[Inferred, List[Fault]]:
    """Return the shapes of a net in one state and the layers that do not fit, in the net's order.

    What a layer that does not fit makes is unknown, so that one cause gives one sentence. `inputs` as for `infer`.
    """
    blobs: Dict[str, Shape] = {}
    params: Dict[int, Optional[List[Shape]]] = {}
    bottoms: Dict[int, List[Shape]] = {}
    tops: Dict[int, List[Shape]] = {}
    wrong: List[Fault] = []
    for index, layer in layers:
        bottoms[index] = [blobs.get(name) for name in layer.bottom]
        try:
            made, params[index] = _shapes(layer, bottoms[index], inputs or {})
        except UnfitError as error:
            made, params[index] = [], None
            wrong.append(Fault(index, f"layer {layer.name!r} ({layer.type}): {error}"))
        tops[index] = [*made, *[None] * len(layer.top)][: len(layer.top)]
        blobs.update(zip(layer.top, tops[index]))
    return Inferred(blobs, params, bottoms, tops), wrong


def _shapes(layer: Message, bottoms: List[Shape], inputs: Mapping[str, Sequence[Length]]) -> Shapes:
    """Return what a layer makes of its bottoms; raise UnfitError, with its bottoms, where it cannot take them."""
    if unclear(layer):
        return [None] * len(layer.top), None
    wrong_count = misfit(layer)
    if wrong_count:
        raise UnfitError(wrong_count)
    try:
        _require_small_numbers(layer)
        made, params = of(layer).shapes(layer, bottoms)
        if not layer.bottom:
            made = [tuple(inputs[name]) if name in inputs else shape for name, shape in zip(layer.top, made)]
        _require_possible(layer, made, params or [])
    except UnfitError as error:
        if not bottoms:
            raise
        shapes = ", ".join(f"{printable(name)} {shape_text(shape)}" for name, shape in zip(layer.bottom, bottoms))
        raise UnfitError(f"{error}; its bottoms are {shapes}") from None
    return made, params


def _require_possible(layer: Message, tops: List[Shape], params: List[Shape]) -> None:
    for name, shape in zip(layer.top, tops):
        require_possible(f"its top {name!r}", shape)
    for number, shape in enumerate(params):
        require_possible(f"its parameter blob {number}", shape)


def _require_small_numbers(layer: Message) -> None:
    """Raise UnfitError for an option that Caffe would take for a negative number: it counts in C++ ints."""
    for options, value in layer.ListFields():
        if options.name.endswith("_param") and not is_repeated(options):
            _require_small_fields(value)


def _require_small_fields(options: Message) -> None:
    for field, value in options.ListFields():
        if field.type != field.TYPE_UINT32:
            continue
        if max(values_of(field, value)) > MAX_NUMBER:
            raise UnfitError(f"{field.name} is more than {MAX_NUMBER}, the largest number that Caffe counts with")


def infer(net: Message, phase: int, inputs: Optional[Mapping[str, Sequence[Length]]] = None) -> Inferred:
    """Return the shapes of a net's blobs and parameters in one phase.

    `inputs` gives shapes for blobs that data layers feed, (N, C, H, W). Raises GraphError at the first layer that
    does not fit its bottoms, naming layer and blobs. Who asks more of the net than this has it from a NetView.
    """
    found, wrong = survey_layers(of_phase(net, phase), inputs)
    if wrong:
        raise GraphError(wrong[0].sentence)
    return found


def unknown_types(layers: Layers) -> Dict[str, str]:
    """Return the layers whose type is not known here, name to type: what they make, and what follows, stays unknown.

    Python layers are not among them: that their shapes are open is known.
    """
    return {layer.name: layer.type for _, layer in layers if of(layer) is UNKNOWN}


def unclear_options(layers: Layers) -> Dict[str, List[str]]:
    """Return the layers with options of which it is not known what they do, and these options: what such a layer
    makes, and what follows, stays unknown."""
    found = {layer.name: unclear(layer) for _, layer in layers}
    return {name: options for name, options in found.items() if options}
