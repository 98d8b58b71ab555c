"""Tell weight files apart and index them, whatever their format."""

from __future__ import annotations

import os
from typing import NamedTuple, Optional

from ..errors import WeightsError
from ..files import PathLike, existing_file
from .caffemodel import read_caffemodel
from .hdf5 import MAGIC, read_hdf5
from .model import Model
from .wire import VARINT, WireFile

_MAX_PATH = 1 << 16
"""Bytes; no system knows longer paths."""


def kind_of(path: PathLike) -> str:
    """Tell what a weight file is from its first bytes: 'caffemodel', 'solverstate' or 'hdf5'.

    A SolverState begins with its iteration (field 1, a varint); a NetParameter with its name (field 1, bytes) or
    with a layer.
    """
    with existing_file(path, "weights").open("rb") as file:
        head = file.read(len(MAGIC))
    if head == MAGIC:
        # Inside both are HDF5 groups; Caffe's own names (x_iter_9.solverstate.h5) tell them apart.
        return "solverstate" if ".solverstate" in os.fspath(path) else "hdf5"
    return "solverstate" if head[0] == 1 << 3 | VARINT else "caffemodel"


class State(NamedTuple):
    """What a solverstate tells without its values."""

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


def index(path: PathLike) -> Model:
    """Index a weight file: a caffemodel (BINARYPROTO) or Caffe's HDF5.

    Time and memory grow with the number of its layers, not with its size.
    """
    kind = kind_of(path)
    if kind == "solverstate":
        raise WeightsError(
            f"weights {os.fspath(path)!r}: is a solverstate; give the .caffemodel that was saved with it"
        )
    return read_hdf5(path) if kind == "hdf5" else read_caffemodel(path)
