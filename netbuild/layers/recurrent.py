"""Layers over time: LSTM, RNN and the unit that an LSTM is unrolled into."""

from __future__ import annotations

from typing import List

from ..engine.caffe import Message
from .lengths import (
    Known,
    Length,
    Rule,
    Shape,
    Shapes,
    UnfitError,
    canonical,
    differ,
    merged,
    product,
    require_positive,
)


def recurrent(gates: int, states: int, *, output: bool) -> Rule:
    """Return the rule of a layer over (T, N, ...) and its continuation marks (T, N) (recurrent_layer.cpp).

    `gates` rows of weights for each output; `states` hidden blobs, bottoms and tops with expose_hidden; `output`
    tells whether the hidden state is transformed once more. A bottom besides these is the static input (N, ...).
    """

    def rule(layer: Message, bottoms: List[Shape]) -> Shapes:
        p = layer.recurrent_param
        outputs: int = p.num_output
        require_positive("num_output", [outputs])
        steps, streams = _steps_and_streams(bottoms)
        hidden = bottoms[len(bottoms) - states :] if p.expose_hidden else []
        static = bottoms[2 : len(bottoms) - len(hidden)]
        rows = gates * outputs
        params: List[Shape] = [(rows, _values(bottoms[0], 2)), (rows,)]
        params += [(rows, _values(shape, 1)) for shape in static]
        params.append((rows, outputs))
        params += [(outputs, outputs), (outputs,)] if output else []
        if any(shape and differ(shape[0], streams) for shape in static):
            raise UnfitError("the static input (the third bottom) must have one row for each stream")
        state: Known = (1, streams, outputs)
        for shape in hidden:
            if shape is not None and (len(shape) != 3 or any(map(differ, shape, state))):
                raise UnfitError(f"each hidden state must have the shape (1, N, {outputs})")
        tops: List[Shape] = [(steps, streams, outputs)]
        return tops + [state] * len(hidden), params

    return rule


def _values(shape: Shape, axis: int) -> Length:
    return None if shape is None else product(shape[canonical(shape, axis) :])


def _steps_and_streams(bottoms: List[Shape]) -> Known:
    sequence, marks = bottoms[:2]
    if sequence is not None:
        canonical(sequence, 2)
    if marks is not None and len(marks) != 2:
        raise UnfitError("the second bottom must have two axes (T, N)")
    try:
        found = merged([None if sequence is None else sequence[:2], marks])
    except UnfitError:
        raise UnfitError("the second bottom must agree with the first two axes (T, N) of the first") from None
    return found or (None, None)


def lstm_unit(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """LSTMUnit: cells (1, N, D), gates (1, N, 4 D) and marks (1, N) to cells and hidden state."""
    cells, gates, marks = bottoms
    if any(shape is not None and len(shape) != 3 for shape in (cells, gates)):
        raise UnfitError("the first two bottoms must have three axes")
    if marks is not None and len(marks) != 2:
        raise UnfitError("the third bottom must have two axes")
    known = [(1, *shape[1:2]) for shape in (cells, gates, marks) if shape is not None]
    if any(differ(shape[0], 1) for shape in bottoms if shape is not None):
        raise UnfitError("all bottoms must have one time step")
    try:
        merged(known)
    except UnfitError:
        raise UnfitError("all bottoms must agree on the second axis, the streams") from None
    if cells is not None and gates is not None and differ(product([cells[2], 4]), gates[2]):
        raise UnfitError("the second bottom must be four times as long as the first on the third axis")
    return [cells] * 2, []
