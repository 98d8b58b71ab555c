"""The nets that a solver builds: where they stand, and in which state (Solver::InitTrainNet, Solver::InitTestNets)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence

from ..errors import GraphError
from ..schema import TEST, TRAIN, Message

TRAINED_FIELDS = ("net", "train_net", "net_param", "train_net_param")
"""Of these a solver has exactly one; `net` and `net_param` are nets of both phases."""
_INSIDE = "_param"
"""Fields that end so hold the net itself, the others its path."""
NET_FIELDS = ("net", "train_net", "test_net")
"""The fields that hold paths of nets."""


class SolverNet(NamedTuple):
    """One of the nets that a solver builds."""

    phase: int
    """TRAIN for the one that it trains, TEST for those that it tests."""
    path: str
    """Its prototxt; '' where the net stands in the solver."""
    message: Optional[Message]
    """The net that stands in the solver, None where it has a prototxt."""
    field: str
    """The solver's field that names or holds it."""
    state: Optional[Message]
    """What the solver's `train_state` or `test_state` says of it, None where they say nothing."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.path or f"solver: {self.field}"

    def has_source_of(self, other: SolverNet) -> bool:
        """Tell whether both are one net, in two states."""
        return (self.path, self.message) == (other.path, other.message)

    def in_its_state(self, net: Message) -> Message:
        """Return the net, as it was read, in the state in which the solver builds it.

        The solver's own words come last, and may name another phase than that for which the net is built.
        """
        result = type(net)()
        result.CopyFrom(net)
        if self.state is not None:
            result.state.MergeFrom(self.state)
        return result


def nets_of(solver: Message) -> List[SolverNet]:
    """Return the net that the solver trains, and those that it tests, in Caffe's order.

    Raises GraphError where Caffe would abort: no net or several to train, and numbers of nets, `test_iter` and
    `test_state` that do not fit each other.
    """
    trained = [one for field in TRAINED_FIELDS for one in _of_field(solver, field)]
    if len(trained) != 1:
        named = ", ".join(one.field for one in trained) or "none"
        raise GraphError(f"solver: exactly one of {', '.join(TRAINED_FIELDS)} is needed, found {named}")
    state = solver.train_state if solver.HasField("train_state") else None
    tested = _tested(solver, trained[0])
    return [trained[0]._replace(state=state), *_in_states(tested, solver.test_state)]


def _of_field(solver: Message, field: str) -> Iterator[SolverNet]:
    several = field.startswith("test")
    if several or solver.HasField(field):
        phase = TEST if several else TRAIN
        for value in getattr(solver, field) if several else [getattr(solver, field)]:
            inside = field.endswith(_INSIDE)
            yield SolverNet(phase, "" if inside else str(value), value if inside else None, field, None)


def _tested(solver: Message, trained: SolverNet) -> List[SolverNet]:
    """Return the nets that are tested: as many as there are `test_iter`, the last ones those of both phases."""
    own = [*_of_field(solver, "test_net_param"), *_of_field(solver, "test_net")]
    left, of_both = len(solver.test_iter) - len(own), trained.field in ("net", "net_param")
    if left < 0 or (left and not of_both):
        raise GraphError(f"solver: {len(own)} test nets need as many test_iter, found {len(solver.test_iter)}")
    return [*own, *[trained._replace(phase=TEST)] * left]


def _in_states(tested: Sequence[SolverNet], states: Sequence[Any]) -> List[SolverNet]:
    if not states:
        return list(tested)
    if len(states) != len(tested):
        raise GraphError(
            f"solver: {len(tested)} test nets need as many test_state, or none; found {len(states)} (a test_iter makes "
            "a test net)"
        )
    return [one._replace(state=state) for one, state in zip(tested, states)]


def labels(tested: Sequence[SolverNet]) -> List[str]:
    """Return what tells several test nets apart: their stages, their files, else their numbers; '' for a single one."""
    if len(tested) < 2:
        return [""] * len(tested)
    stages = [" ".join(one.state.stage) if one.state is not None else "" for one in tested]
    files = [Path(one.path).stem for one in tested]
    apart = next((found for found in (stages, files) if _tells_apart(found)), None)
    return apart or [f"#{number}" for number in range(len(tested))]


def _tells_apart(found: Sequence[str]) -> bool:
    return all(found) and max(Counter(found).values()) == 1
