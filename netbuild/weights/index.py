"""Recognise weight files and index them, whatever their format."""

from __future__ import annotations

import os
from typing import NamedTuple, Optional

from ..errors import WeightsError
from ..files import PathLike, existing_file
from .formats import HEAD, recognized, require_none_of_foreign
from .hdf5 import MAGIC
from .model import Model
from .wire import VARINT, WireFile

_STATE = "solverstate"
_MAX_PATH = 1 << 16
"""Bytes; no system knows longer paths."""


def kind_of(path: PathLike) -> str:
    """Return the name of a weight file's format, or 'solverstate', from its first bytes."""
    head = _first_bytes(path)
    return _STATE if _is_state(path, head) else recognized(head).name


def index(path: PathLike) -> Model:
    """Index a weight file in any of the `FORMATS`.

    Time and memory grow with the number of its layers, not with its size.
    """
    head = _first_bytes(path)
    if _is_state(path, head):
        raise WeightsError(
            f"weights {os.fspath(path)!r}: is a solverstate; give the .caffemodel that was saved with it"
        )
    return recognized(head).read(path)


def _first_bytes(path: PathLike) -> bytes:
    with existing_file(path, "weights").open("rb") as file:
        head = file.read(HEAD)
    require_none_of_foreign(path, head)
    return head


def _is_state(path: PathLike, head: bytes) -> bool:
    """Tell whether a file is what a solver remembers, not what its net has learned.

    A SolverState begins with its iteration (field 1, a varint), a NetParameter with its name (field 1, bytes) or with a
    layer. In HDF5 both are groups: Caffe's own names (x_iter_9.solverstate.h5) tell them apart.
    """
    return head[0] == 1 << 3 | VARINT or (head.startswith(MAGIC) and ".solverstate" in os.fspath(path))


class State(NamedTuple):
    """What a solverstate holds beside its values."""

    iteration: int
    learned_net: str
    """The path of the caffemodel that goes with it, as the solver wrote it."""
    histories: int
    """How many blobs the solver remembers: one for each learnable parameter, two with Adam or AdaDelta."""


def read_state(path: PathLike) -> Optional[State]:
    """Read a solverstate (SolverState: iter 1, learned_net 2, history 3); None for one in HDF5."""
    with WireFile(path) as file:
        if file.pread(0, min(file.size, len(MAGIC))) == MAGIC:
            return None
        iteration, learned, histories = 0, b"", 0
        for field in file.fields(0, file.size):
            if field.number == 1:
                iteration = field.value
            elif field.number == 2:
                learned = file.payload(field, _MAX_PATH)
            elif field.number == 3:
                histories += 1
    return State(iteration, os.fsdecode(learned), histories)
