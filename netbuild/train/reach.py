"""What the process that trains has to reach, wherever its folders stand: kept features, and what it goes on from.

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
from dataclasses import replace
from pathlib import Path
from typing import Generator, Iterator, Optional

import numpy as np

from .. import proto
from ..engine.child import run
from ..features.make import blas_threads
from ..files import PathLike
from ..weights.index import read_state
from ..weights.wire import encode_bytes
from .events import Event
from .job import Job
from .solverstate import learned_net, open_hdf5, state_of

_LEARNED_NET = 2
"""The field of a SolverState, and in HDF5 the name is the same."""
_PLACES = ("/tmp", "/var/tmp", "/dev/shm")
"""For temporary files, where the usual place has blanks in its name."""


def trained(job: Job, features: Optional[PathLike]) -> Generator[Event, Optional[str], None]:
    """Run a job in a child process and yield its events; `features` is the folder of the features that its nets read,
    if they do."""
    with _plain_folder() as place:
        solver, resume = job.solver, job.beginning.resume
        if features is not None:
            solver = _reading(solver, Path(features), place)
        if resume is not None:
            resume = _going_on(Path(resume), place)
        job = replace(job, solver=solver, beginning=replace(job.beginning, resume=resume))
        threads = None if features is None else blas_threads()
        yield from run("netbuild.train.child:train", blas_threads=threads, job=job)


@contextlib.contextmanager
def _plain_folder() -> Iterator[Path]:
    """Give a temporary folder whose path has no blanks."""
    usual = tempfile.gettempdir()
    plain = [one for one in (usual, *_PLACES) if len(one.split()) == 1 and os.access(one, os.W_OK | os.X_OK)]
    with tempfile.TemporaryDirectory(prefix="netbuild-", dir=(plain or [usual])[0]) as folder:
        yield Path(folder)


def _reading(solver: str, features: Path, place: Path) -> str:
    """Return a solver whose nets read their features by lists in `place`."""
    message = proto.parsed_solver(solver)
    link = place / "features"
    link.symlink_to(features.resolve(), target_is_directory=True)
    for net in (message.train_net_param, *message.test_net_param):
        options = net.layer[0].hdf5_data_param
        files = (features / options.source).read_text(encoding="utf-8").splitlines()
        listed = place / options.source
        listed.write_text("".join(f"{link / name}\n" for name in files), encoding="utf-8")
        options.source = str(listed)
    return proto.to_text(message)


def _going_on(resume: Path, place: Path) -> str:
    """Return a solverstate that names its caffemodel where that is now: `resume` itself, or a copy."""
    state, learned = state_of(resume), learned_net(resume)
    if state is None or learned is None:
        return str(resume)
    saved = Path(state.learned_net)
    if saved.exists() and saved.samefile(learned):
        return str(resume)
    copy = place / resume.name
    shutil.copyfile(resume, copy)
    name = os.fsencode(Path(learned).resolve())
    if read_state(resume) is None:
        with open_hdf5(copy, resume, "r+") as file:
            del file["learned_net"]
            # Caffe takes the bytes up to a zero, with which numpy fills up.
            file["learned_net"] = np.array(name, f"S{len(name) + 1}")
    else:
        with copy.open("ab") as stream:
            # Of a field that comes twice the last counts.
            stream.write(encode_bytes(_LEARNED_NET, name))
    return str(copy)
