"""What a training goes on from: a solverstate in either format, and the caffemodel that goes with it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Iterator, Optional

from ..errors import NetbuildError
from ..extras import have, optional
from ..files import PathLike
from ..solving import snapshot_name
from ..spelling import name_of
from ..weights.index import State, read_state


def state_of(resume: PathLike) -> Optional[State]:
    """Return what a solverstate tells, in either format; None for HDF5 without h5py: Caffe itself reads it."""
    state = read_state(resume)
    if state is not None or not have("h5py"):
        return state
    with open_hdf5(resume, resume, "r") as file:
        learned = file["learned_net"][()] if "learned_net" in file else b""
        return State(file["iter"][()].item(), os.fsdecode(learned), len(file["history"]))


def iteration_of(resume: PathLike) -> Optional[int]:
    """Return the iteration of a solverstate; its name tells it where it cannot be read, None where that does not."""
    state = state_of(resume)
    if state is not None:
        return state.iteration
    name = snapshot_name(Path(resume).name)
    return name.iteration if name else None


def learned_net(resume: PathLike) -> Optional[str]:
    """Return the caffemodel that goes with a solverstate: the one beside it, or where it was saved.

    None for a state that cannot be read. Raises NetbuildError where it names none, and where that is in neither place:
    with none Caffe goes on from what the fillers give.
    """
    state = state_of(resume)
    if state is None:
        return None
    saved = state.learned_net
    if not saved:
        raise NetbuildError(
            f"resume {os.fspath(resume)!r}: names no caffemodel to go on from; resume from another, or begin anew "
            f"with {name_of('weights')} and the caffemodel that was saved with it"
        )
    beside = Path(resume).with_name(Path(saved).name)
    there = next((path for path in (beside, Path(saved)) if path.exists()), None)
    if there is None:
        raise NetbuildError(
            f"resume {os.fspath(resume)!r}: goes on from {str(Path(saved))!r}, which is neither there nor beside it; "
            "put it beside"
        )
    return str(there)


@contextlib.contextmanager
def open_hdf5(path: PathLike, resume: PathLike, mode: str) -> Iterator[Any]:
    """Open `path`, which is the solverstate `resume` or a copy of it."""
    try:
        with optional("h5py", "snapshots in HDF5 need").File(path, mode) as file:
            yield file
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NetbuildError(
            f"resume {os.fspath(resume)!r}: damaged, or no solverstate in HDF5 ({error}); resume from another"
        ) from error
