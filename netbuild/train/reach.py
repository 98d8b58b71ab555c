"""What the process that trains has to find, wherever its folders stand: kept features, and what it goes on from.

Caffe reads the list of its HDF5 files word by word, so that no path in it may have a blank, and a solverstate names its
caffemodel by the place where it was saved. So that any folder will do, and may be moved, the training gets a temporary
folder without blanks: with a link to the features, lists that lead through it, and a solverstate that names the
caffemodel beside the one given.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, Generator, Iterator, Optional

import numpy as np
from google.protobuf import text_format

from .. import proto
from ..engine.caffe import schema
from ..engine.child import run
from ..errors import NetbuildError
from ..features.store import h5py
from ..files import PathLike
from ..weights.index import State, read_state
from ..weights.wire import encode_bytes
from .events import Event

_LEARNED_NET = 2
"""The field of a SolverState, and in HDF5 the name is the same."""
_PLACES = ("/tmp", "/var/tmp", "/dev/shm")
"""For temporary files, where the usual place has blanks in its name."""


def begun(job: Dict[str, Any], features: Optional[PathLike]) -> Generator[Event, Optional[str], None]:
    """Yield what the engine yields that does this job; `features` is the folder of what its nets read, if they do."""
    with _plain_folder() as place:
        job = dict(job)
        if features is not None:
            job["solver"] = _reading(job["solver"], Path(features), place)
        if job["resume"] is not None:
            job["resume"] = _going_on(Path(job["resume"]), place)
        yield from run("netbuild.train.child:train", **job)


@contextlib.contextmanager
def _plain_folder() -> Iterator[Path]:
    """Give a temporary folder whose path has no blanks."""
    usual = tempfile.gettempdir()
    plain = [one for one in (usual, *_PLACES) if len(one.split()) == 1 and os.access(one, os.W_OK | os.X_OK)]
    with tempfile.TemporaryDirectory(prefix="netbuild-", dir=(plain or [usual])[0]) as folder:
        yield Path(folder)


def _reading(solver: str, features: Path, place: Path) -> str:
    """Return a solver whose nets read their features by lists in `place`."""
    message = text_format.Parse(solver, schema().SolverParameter())
    link = place / "features"
    link.symlink_to(features.resolve(), target_is_directory=True)
    for net in (message.train_net_param, *message.test_net_param):
        options = net.layer[0].hdf5_data_param
        files = (features / options.source).read_text(encoding="utf-8").splitlines()
        listed = place / options.source
        listed.write_text("".join(f"{link / name}\n" for name in files), encoding="utf-8")
        options.source = str(listed)
    return proto.to_text(message)


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
            "with --weights and the caffemodel that was saved with it"
        )
    beside = Path(resume).with_name(Path(saved).name)
    found = next((path for path in (beside, Path(saved)) if path.exists()), None)
    if found is None:
        raise NetbuildError(
            f"resume {os.fspath(resume)!r}: goes on from {str(Path(saved))!r}, which is neither there nor beside it; "
            "put it beside"
        )
    return str(found)


def state_of(resume: PathLike) -> Optional[State]:
    """Return what a solverstate tells, in either format; None for HDF5 without h5py: Caffe itself reads it."""
    state = read_state(resume)
    if state is not None or find_spec("h5py") is None:
        return state
    with _hdf5(resume, resume, "r") as file:
        learned = file["learned_net"][()] if "learned_net" in file else b""
        return State(file["iter"][()].item(), os.fsdecode(learned), len(file["history"]))


@contextlib.contextmanager
def _hdf5(path: PathLike, resume: PathLike, mode: str) -> Iterator[Any]:
    """Open `path`, which is the solverstate `resume` or a copy of it."""
    try:
        with h5py("snapshots in HDF5").File(path, mode) as file:
            yield file
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NetbuildError(
            f"resume {os.fspath(resume)!r}: damaged, or no solverstate in HDF5 ({error}); resume from another"
        ) from error


def _going_on(resume: Path, place: Path) -> str:
    """Return a solverstate that names its caffemodel where that is now: the one given, or a copy."""
    state, found = state_of(resume), learned_net(resume)
    if state is None or found is None:
        return str(resume)
    saved = Path(state.learned_net)
    if saved.exists() and saved.samefile(found):
        return str(resume)
    copy = place / resume.name
    shutil.copyfile(resume, copy)
    name = os.fsencode(Path(found).resolve())
    if read_state(resume) is None:
        with _hdf5(copy, resume, "r+") as file:
            del file["learned_net"]
            # Caffe takes the bytes up to a zero, with which numpy fills up.
            file["learned_net"] = np.array(name, f"S{len(name) + 1}")
    else:
        with copy.open("ab") as stream:
            # Of a field that comes twice the last counts.
            stream.write(encode_bytes(_LEARNED_NET, name))
    return str(copy)
