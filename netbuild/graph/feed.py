"""Nets fed from memory: data layers replaced by Input layers, so that no data file is opened."""

from __future__ import annotations

from typing import Collection, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from ..errors import GraphError
from ..layers.lengths import Shape, differ, in_full
from ..layers.roles import has_learned_top, is_filled, is_input, is_open_input, reads_data
from ..names import free
from ..proto import of_phase, with_layers
from ..schema import Message
from ..spelling import option
from .stored import stored_shapes
from .view import NetView


def data_layers(net: Message, phase: int) -> List[Message]:
    """Return the layers that read data files in this phase."""
    return [layer for _, layer in of_phase(net, phase) if reads_data(layer)]


def sources(layers: Iterable[Message]) -> List[Message]:
    """Return the layers that bring in a net's data: of a net that nothing else feeds, DummyData stands for it."""
    every = list(layers)
    return [layer for layer in every if is_input(layer)] or [layer for layer in every if is_filled(layer)]


def input_shapes(net: Message, phase: int) -> Dict[str, Tuple[int, ...]]:
    """Return the shapes of the blobs that Input and data layers feed, those that are told in full."""
    lengths = {top: in_full(shape) for top, shape in declared_shapes(net, phase).items()}
    return {top: shape for top, shape in lengths.items() if shape is not None}


def declared_shapes(net: Message, phase: int) -> Dict[str, Shape]:
    """Return the shapes of the blobs that Input and data layers feed, as far as the definition or its files of HDF5
    tell them."""
    view = NetView(net, phase)
    blobs = view.fitting_shapes().blobs
    feeding = [layer for _, layer in view.layers if not layer.bottom and not has_learned_top(layer)]
    known: Dict[str, Shape] = {top: blobs.get(top) for layer in feeding for top in layer.top}
    for layer in feeding:
        known.update(stored_shapes(layer))
    return known


def without_batch(shapes: Mapping[str, Shape]) -> Set[str]:
    """Return those of one net's inputs whose first axis is not N: a scalar, a vector of weights, a list of boxes.

    N is the first axis of the input that has most axes; where another is of another length, nobody counts images there.
    """
    known = {blob: shape for blob, shape in shapes.items() if shape is not None}
    most = max(map(len, known.values()), default=0)
    batch = next((shape[0] for shape in known.values() if len(shape) == most > 0), None)
    return {blob for blob, shape in known.items() if not shape or differ(shape[0], batch)}


def in_batches(
    shapes: Mapping[str, Sequence[int]], batch: int, without: Optional[Collection[str]] = None
) -> Dict[str, Tuple[int, ...]]:
    """Return the shapes of one net's inputs for batches of this size; `without` are those that have no batch axis, as
    `without_batch` tells them by default."""
    kept = without_batch({blob: tuple(shape) for blob, shape in shapes.items()}) if without is None else without
    return {blob: tuple(shape) if blob in kept else (batch, *shape[1:]) for blob, shape in shapes.items()}


def with_inputs(net: Message, shapes: Mapping[str, Sequence[int]], taken: Collection[str] = ()) -> Message:
    """Return a net whose inputs are open, with an Input layer for each, (N, C, H, W), put first.

    None of them is called as a layer of the net or of `taken`, as those are that its weight file may have besides.
    """
    result = with_layers(net, ())
    taken = {*taken, *(layer.name for layer in net.layer)}
    for blob, shape in shapes.items():
        _add_input(result, blob, shape, taken)
    result.layer.extend(net.layer)
    return result


def without_inputs(net: Message) -> Message:
    """Return the net with its inputs open: what brings in its data left out."""
    left_out = sources(net.layer)
    return with_layers(net, [layer for layer in net.layer if layer not in left_out])


def fed(net: Message, phase: int, shapes: Mapping[str, Sequence[int]], source: str) -> Message:
    """Return one phase of the net with its inputs as Input layers of the shapes given, by blob name.

    Raises GraphError where a shape is missing; `source` names the net in it.
    """
    result = with_layers(net, ())
    taken = {layer.name for layer in without_inputs(net).layer}
    for _, layer in of_phase(net, phase):
        if not reads_data(layer) and not is_open_input(layer):
            result.layer.add().CopyFrom(layer)
            continue
        for top in layer.top:
            if top not in shapes:
                raise GraphError(
                    f"{source}: the shape of the input {top!r} is not known from the definition; give it, as in "
                    f"{option('shapes', {top: (1, 3, 224, 224)}, flag='shape')}"
                )
            _add_input(result, top, shapes[top], taken)
    return result


def _add_input(net: Message, blob: str, shape: Sequence[int], taken: Collection[str]) -> None:
    # Weights go to the first layer of a name, which an Input would be.
    net.layer.add(name=free(blob, taken), type="Input", top=[blob]).input_param.shape.add(dim=list(shape))
