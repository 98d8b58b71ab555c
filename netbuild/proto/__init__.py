"""Prototxt: text to message and back, and which layers a phase has."""

from .forms import Net, name_of_net, net_of
from .net import (
    copied,
    fillers,
    in_phase,
    of_phase,
    only_phase,
    parsed,
    parsed_solver,
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
    "Net",
    "NetState",
    "copied",
    "fillers",
    "in_phase",
    "name_of_net",
    "net_of",
    "of_phase",
    "only_phase",
    "parsed",
    "parsed_solver",
    "phase_name",
    "phases",
    "read_net",
    "read_solver",
    "to_text",
    "without_fillers",
    "write",
]
