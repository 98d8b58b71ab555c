"""Prototxt: text to message and back, and which layers a phase has."""

from .net import (
    copied,
    fillers,
    in_phase,
    of_phase,
    only_phase,
    parsed,
    phase_name,
    phases,
    read_net,
    read_solver,
    to_text,
    without_fillers,
    write,
)
from .state import NetState

__all__ = [
    "NetState",
    "copied",
    "fillers",
    "in_phase",
    "of_phase",
    "only_phase",
    "parsed",
    "phase_name",
    "phases",
    "read_net",
    "read_solver",
    "to_text",
    "without_fillers",
    "write",
]
