"""The names that Caffe's solvers give to their snapshots.

`PREFIX_iter_N.caffemodel` and `PREFIX_iter_N.solverstate`; with `.h5` behind where they are written as HDF5.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional, Tuple

_NAME = r"(?s)(.*)_iter_(\d+)\.(.*)"
_ENDINGS = ("caffemodel", "solverstate")
_HDF5 = ".h5"


class SnapshotName(NamedTuple):
    """The parts of a file's name that belongs to a snapshot."""

    prefix: str
    iteration: int
    ending: str
    """'caffemodel', 'solverstate.h5', or another: that of a file which was made of one."""

    @property
    def is_caffes(self) -> bool:
        """Whether Caffe itself writes files of this name."""
        return self.ending in (*_ENDINGS, *(ending + _HDF5 for ending in _ENDINGS))


def snapshot_name(name: str) -> Optional[SnapshotName]:
    """Return what a file's name tells of the snapshot that it belongs to, None where it belongs to none."""
    match = re.fullmatch(_NAME, name)
    return SnapshotName(match[1], int(match[2]), match[3]) if match else None


def snapshot_stem(prefix: str, iteration: int) -> str:
    """Return the name of an iteration's files, without their endings."""
    return f"{prefix}_iter_{iteration}"


def snapshot_names(prefix: str, iteration: int, *, hdf5: bool = False) -> Tuple[str, str]:
    """Return the names of the caffemodel and the solverstate of an iteration."""
    stem, suffix = snapshot_stem(prefix, iteration), _HDF5 if hdf5 else ""
    model, state = (f"{stem}.{ending}{suffix}" for ending in _ENDINGS)
    return model, state
