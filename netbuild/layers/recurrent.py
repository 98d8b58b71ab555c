"""Layers over time: LSTM, RNN and the unit that an LSTM is unrolled into."""

from __future__ import annotations

from typing import Callable, Iterator, List, Sequence

from ..schema import Message
from .lengths import (
    Known,
    Length,
    Rule,
    Shape,
    Shapes,
    UnfitError,
    canonical,
    count,
    differ,
    merged,
    product,
    require_positive,
    total,
    values,
)
from .row import Arity, Filled, Use, Values


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
        common = merged([None if sequence is None else sequence[:2], marks])
    except UnfitError:
        raise UnfitError("the second bottom must agree with the first two axes (T, N) of the first") from None
    return common or (None, None)


def recurrent_arity(states: int) -> Callable[[Message], Arity]:
    """Return what tells how many bottoms and tops a layer of so many hidden blobs has."""

    def arity(layer: Message) -> Arity:
        exposed = states if layer.recurrent_param.expose_hidden else 0
        return Arity((2 + exposed, 3 + exposed), (1 + exposed, 1 + exposed))

    return arity


def recurrent_fillers(layer: Message, params: List[Shape], _tops: List[Shape]) -> Iterator[Filled]:
    """LSTM and RNN: biases have one axis."""
    for shape in params:
        field = "bias_filler" if shape is not None and len(shape) == 1 else "weight_filler"
        yield Filled(field, getattr(layer.recurrent_param, field), shape)


def recurrent_work(
    _layer: Message, bottoms: Sequence[Shape], _tops: Sequence[Shape], params: Sequence[Shape]
) -> Length:
    """LSTM and RNN: all weights at each step of each stream."""
    weights = total([values(shape) for shape in params if shape is None or len(shape) > 1])
    return product([values(bottoms[1]), weights])


def recurrent_kept(forward: int, backward: int) -> Values:
    """Return what the net keeps that an LSTM or RNN is unrolled into, for each value of its top.

    Measured in Caffe, not reckoned: `forward` values, and `backward` values where gradients go back too.
    """

    def kept(use: Use) -> int:
        return (backward if use.backward else forward) * count(use.tops[0])

    return kept


def has_one_step(_layer: Message, tops: List[Shape]) -> bool:
    """The only step of an LSTM is the state that the next pass begins with."""
    return any(shape is not None and shape[:1] == (1,) for shape in tops[:1])


def _has_axes(shape: Shape, axes: int) -> bool:
    return shape is None or len(shape) == axes


def _require_one_step(shapes: Sequence[Known]) -> None:
    if any(differ(shape[0], 1) for shape in shapes):
        raise UnfitError("all bottoms must have one time step")
    try:
        merged([shape[1:2] for shape in shapes])
    except UnfitError:
        raise UnfitError("all bottoms must agree on the second axis, the streams") from None


def lstm_unit(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """LSTMUnit: cells (1, N, D), gates (1, N, 4 D) and marks (1, N) to cells and hidden state."""
    cells, gates, marks = bottoms
    if not (_has_axes(cells, 3) and _has_axes(gates, 3)):
        raise UnfitError("the first two bottoms must have three axes")
    if not _has_axes(marks, 2):
        raise UnfitError("the third bottom must have two axes")
    _require_one_step([shape for shape in bottoms if shape is not None])
    if cells is not None and gates is not None and differ(product([cells[2], 4]), gates[2]):
        raise UnfitError("the second bottom must be four times as long as the first on the third axis")
    return [cells] * 2, []
