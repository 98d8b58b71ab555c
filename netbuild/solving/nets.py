"""The fields by which a solver names its nets, and what each net is for."""

from __future__ import annotations

from typing import Dict, List

from ..schema import TEST, TRAIN, Message

TRAINED_FIELDS = ("net", "train_net")
"""Of these a solver has exactly one; `net` is the net of both phases."""
NET_FIELDS = (*TRAINED_FIELDS, "test_net")


def trained_net(solver: Message) -> str:
    """Return the path of the net that the solver trains."""
    return str(next(getattr(solver, field) for field in TRAINED_FIELDS if solver.HasField(field)))


def phases_of_nets(solver: Message) -> Dict[str, List[int]]:
    """Return the paths of the solver's nets, each with the phases in which it is built."""
    phases = {getattr(solver, field): [TRAIN] for field in TRAINED_FIELDS if solver.HasField(field)}
    tested = [*solver.test_net, *([solver.net] if solver.test_iter and solver.HasField("net") else [])]
    for path in tested:
        phases.setdefault(path, []).append(TEST)
    return phases
