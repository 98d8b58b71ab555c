"""The formats of weight files, one row each: how a file is recognised, read and written.

To add a format is to add a row to `FORMATS`: whatever reads or writes weights asks this table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

from ..errors import WeightsError
from ..files import PathLike
from .caffemodel import read_caffemodel
from .entry import Entry
from .hdf5 import MAGIC, lay_out_hdf5, misplaced_names, read_hdf5
from .layout import caffemodel_size, lay_out_caffemodel
from .model import Model
from .places import Placed


class Limit(NamedTuple):
    """The largest file of a format that Caffe reads."""

    largest: int
    """In bytes."""
    size: Callable[[Sequence[Entry], bytes], int]
    """Returns how large the file of these entries, and these fields of the net, is to be."""


class Format(NamedTuple):
    """A row of the table of formats."""

    name: str
    suffixes: Tuple[str, ...]
    """The endings of its files' names; an output with one of them is written in it."""
    recognizes: Callable[[bytes], bool]
    """Tells whether a file that begins with these bytes is in it."""
    read: Callable[[PathLike], Model]
    """Returns what such a file holds, without its values."""
    lay_out: Callable[[str, Sequence[Entry], bytes], List[Placed]]
    """Returns what is to stand where in the empty file of this path, made ready if need be: the entries, and the
    serialised fields of the net itself where the format has a place for them."""
    misfit: Callable[[Sequence[Entry]], Optional[str]] = lambda _: None
    """Returns why Caffe would not find all entries in such a file, and what to do; None where it would."""
    limit: Optional[Limit] = None


FORMATS: Tuple[Format, ...] = (
    Format(
        "hdf5",
        (".h5", ".hdf5"),
        recognizes=lambda head: head.startswith(MAGIC),
        read=read_hdf5,
        lay_out=lay_out_hdf5,
        misfit=misplaced_names,
    ),
    # The last, for protobuf has no first bytes of its own: what is nothing else is read as one.
    Format(
        "caffemodel",
        (".caffemodel",),
        recognizes=lambda _: True,
        read=read_caffemodel,
        lay_out=lay_out_caffemodel,
        limit=Limit(2**31 - 1, caffemodel_size),  # io.cpp
    ),
)


def suffixes() -> List[str]:
    """Return the endings of all weight files, the most usual first."""
    return [suffix for row in reversed(FORMATS) for suffix in row.suffixes]


def without_limit() -> List[Format]:
    """Return the formats of which Caffe reads files of any size."""
    return [row for row in FORMATS if row.limit is None]


def recognized(head: bytes) -> Format:
    """Return the format of a file that begins with these bytes."""
    return next(row for row in FORMATS if row.recognizes(head))


def format_named(name: str) -> Format:
    """Return the row of this name."""
    return next(row for row in FORMATS if row.name == name)


def format_for(output: PathLike) -> Format:
    """Return the format that a file of this name is to have; one without an ending is a caffemodel.

    Raises WeightsError for an ending that stands for no format.
    """
    path = Path(output)
    for row in FORMATS:
        if path.name.endswith(row.suffixes):
            return row
    if path.suffix:
        known = ", ".join(suffixes())
        raise WeightsError(f"output {str(output)!r}: {path.suffix!r} is no ending of a weight file; known are {known}")
    return FORMATS[-1]
