"""The formats of weight files, one row each: how a file is recognised, read and written.

To add a format is to add a row to `FORMATS`: whatever reads or writes weights asks this table.
"""

from __future__ import annotations

import os
import re
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

HEAD = 64
"""Bytes by which a file is recognised."""


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


class Foreign(NamedTuple):
    """What people give as weights, and is none."""

    begins: bytes
    """Its first bytes, as a regular expression; no caffemodel begins so."""
    what: str
    remedy: str


_UNPACK = "unpack it first"
_PYTHON = "Caffe's weights are .caffemodel or .h5 files"
FOREIGN: Tuple[Foreign, ...] = (
    Foreign(rb"version https://git-lfs", "a pointer of Git LFS, not the file itself", "fetch that: git lfs pull"),
    Foreign(rb"<", "a web page, or other text in angle brackets", "download the file itself, not the page about it"),
    Foreign(rb"#(?!!)|(name|layers?|input\w*) *[:{]", "a prototxt", "give the weights of that net"),
    Foreign(rb"\x1f\x8b", "compressed with gzip", _UNPACK),
    Foreign(rb"BZh", "compressed with bzip2", _UNPACK),
    Foreign(rb"\xfd7zXZ", "compressed with xz", _UNPACK),
    Foreign(rb"7z\xbc\xaf", "a 7z archive", _UNPACK),
    Foreign(rb"PK\x03\x04", "a zip archive, as numpy (.npz) and PyTorch write too", f"{_UNPACK}; {_PYTHON}"),
    Foreign(rb"\x93NUMPY", "an array of numpy's", _PYTHON),
    Foreign(rb"\x80[\x02-\x05]", "a pickle of Python's, as PyTorch writes", _PYTHON),
)


def require_none_of_foreign(path: PathLike, head: bytes) -> None:
    """Raise WeightsError where a file's first bytes say that it is something else than weights."""
    for row in FOREIGN:
        if re.match(row.begins, head):
            raise WeightsError(f"weights {os.fspath(path)!r}: is {row.what}; {row.remedy}")


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
