"""Recognise weight files and index them, whatever their format."""

from __future__ import annotations

import os
from typing import NamedTuple, Optional

from .. import what_is
from ..errors import WeightsError
from ..files import PathLike, existing_file
from .formats import recognized
from .hdf5 import MAGIC
from .model import Model
from .wire import WireFile

_STATE, _CAFFEMODEL = what_is.STATE, "caffemodel"
_MAX_PATH = 1 << 16
"""Bytes; no system knows longer paths."""


def kind_of(path: PathLike) -> str:
    """Return the name of a weight file's format, or 'solverstate', from its first bytes."""
    head = _first_bytes(path)
    if _is_state(path, head):
        return _STATE
    row = recognized(head)
    if row.name == _CAFFEMODEL and what_is.said(path, what_is.WEIGHTS):
        raise _foreign(path)
    return row.name


def index(path: PathLike) -> Model:
    """Index a weight file in any of the `FORMATS`.

    Time and memory grow with the number of its layers, not with its size.
    """
    head = _first_bytes(path)
    if _is_state(path, head):
        raise _foreign(path)
    try:
        return recognized(head).read(path)
    except WeightsError as error:
        if what_is.said(path, what_is.WEIGHTS):
            raise _foreign(path) from error
        raise


def _foreign(path: PathLike) -> WeightsError:
    """Return the error of a file that is something else."""
    said = what_is.said(path, what_is.WEIGHTS) or "is a solverstate; give the .caffemodel.h5 that was saved with it"
    return WeightsError(f"weights {os.fspath(path)!r}: {said}")


def _first_bytes(path: PathLike) -> bytes:
    with existing_file(path, "weights").open("rb") as file:
        return file.read(what_is.HEAD)


def _is_state(path: PathLike, head: bytes) -> bool:
    """Tell whether a file is what a solver remembers, not what its net has learned.

    A SolverState begins with its iteration (field 1, a varint), a NetParameter with its name (field 1, bytes) or with a
    layer. In HDF5 both are groups: Caffe's own names (x_iter_9.solverstate.h5) tell them apart.
    """
    if head.startswith(MAGIC):
        return ".solverstate" in os.fspath(path)
    kind = what_is.of_head(head)
    return kind is not None and kind.kind == what_is.STATE


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
