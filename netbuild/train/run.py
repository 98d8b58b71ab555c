"""Run a solver: check everything first, then train in a child process, with log and snapshots."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Generator, Optional, Sequence, Tuple

from .. import proto
from .._caffe import schema
from .._child import run
from ..errors import NetbuildError
from ..files import PathLike, output_folder
from . import prepare
from .events import Event, Finished, Note, Tested
from .log import Log


@dataclass(frozen=True)
class Trained:
    """How a run ended, and the files it wrote."""

    iteration: int
    caffemodel: Path
    solverstate: Path
    log: Path
    scores: Dict[str, float]
    """The last test's."""
    interrupted: bool


def train_solver(
    solver: PathLike,
    folder: PathLike,
    *,
    weights: Sequence[PathLike] = (),
    resume: Optional[PathLike] = None,
    max_iter: Optional[int] = None,
    gpu: Optional[int] = None,
    on_event: Callable[[Event], None] = lambda _event: None,
) -> Trained:
    """Train with Caffe's solver; everything goes to `folder`: snapshots, `train_log.csv`.

    `weights` are copied into the net first (a later file wins), `resume` is a .solverstate to go on from. Paths inside
    the prototxts hold for the current folder, as in Caffe; the nets are also looked for beside the solver. SIGINT
    ends the run after the current iteration with a snapshot.
    """
    if weights and resume:
        raise NetbuildError("weights and resume exclude each other: a .solverstate names the weights it goes on from")
    for path in weights:
        prepare.require_kind(path, "caffemodel", "weights", "resume")
    if resume is not None:
        prepare.require_kind(resume, "solverstate", "resume", "weights")
    message = proto.read_solver(solver)
    prepare.resolve_nets(message, Path(solver).parent)
    prepare.require_trainable(message)
    notes = list(prepare.weight_notes(message, weights)) if resume is None else []
    if message.HasField("solver_mode") and message.solver_mode == message.GPU and gpu is None:
        notes.append("the solver asks for a GPU; training on the CPU, since none was named (--gpu 0)")
    target = output_folder(folder)
    log = target / "train_log.csv"
    prepare.require_untouched(target, Path(message.snapshot_prefix).name or "snapshot", log, resume)
    for text in notes:
        on_event(Note(text))
    testing = {"test_interval": message.test_interval or prepare.NEVER, "test_iter": list(message.test_iter)}
    testing["test_initialization"] = message.test_initialization
    prepare.direct(message, target, max_iter, gpu)
    job = {
        "solver": proto.to_text(message),
        "snapshot_prefix": message.snapshot_prefix,
        "snapshot_interval": message.snapshot,
        "weights": [str(path) for path in weights],
        "resume": str(Path(resume).resolve()) if resume is not None else None,
        "gpu": gpu,
        "report_every": max(1, min(message.display or 100, message.max_iter // 100)),
        **testing,
    }
    suffix = ".h5" if message.snapshot_format == schema().SolverParameter.HDF5 else ""
    end, scores = _followed(run("netbuild.train.engine:train", **job), Log(log), on_event)
    caffemodel, solverstate = (target / f"{end.stem}.{kind}{suffix}" for kind in ("caffemodel", "solverstate"))
    if not caffemodel.exists():
        raise NetbuildError(f"stopped at iteration {end.iteration}, before the first step; nothing was written")
    return Trained(end.iteration, caffemodel, solverstate, log, scores, end.interrupted)


def _followed(
    events: Generator[Event, None, None], log: Log, on_event: Callable[[Event], None]
) -> Tuple[Finished, Dict[str, float]]:
    """Log and pass on the events up to the last; return it and the last test's scores."""
    scores: Dict[str, float] = {}
    # Closed whatever happens in between: an abandoned generator would leave its child running.
    with contextlib.closing(events):
        for event in events:
            log.add(event)
            on_event(event)
            if isinstance(event, Tested):
                scores = dict(event.scores)
    assert isinstance(event, Finished)
    return event, scores
