"""Prototxt: text to message and back, and which layers a phase has."""

from .decoding import mark_fault
from .forms import Net, Staged, name_of_net, net_of
from .needs import needs
from .net import (
    by_name,
    copied,
    fillers,
    in_phase,
    of_phase,
    only_phase,
    phase_name,
    phases,
    read_net,
    read_solver,
    without_fillers,
    write,
    written_again,
)
from .state import NetState, chooses, in_state, notes_on_state, rules_in_words, settled, tell_idle_stages, with_layers
from .text import file_text, parsed, parsed_solver, to_text
from .unknown import own_fields

__all__ = [
    "Net",
    "NetState",
    "Staged",
    "by_name",
    "chooses",
    "copied",
    "file_text",
    "fillers",
    "in_phase",
    "in_state",
    "mark_fault",
    "name_of_net",
    "needs",
    "net_of",
    "notes_on_state",
    "of_phase",
    "only_phase",
    "own_fields",
    "parsed",
    "parsed_solver",
    "phase_name",
    "phases",
    "read_net",
    "read_solver",
    "rules_in_words",
    "settled",
    "tell_idle_stages",
    "to_text",
    "with_layers",
    "without_fillers",
    "write",
    "written_again",
]
