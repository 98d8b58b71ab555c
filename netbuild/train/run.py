"""Run a solver: check everything first, then train in a child process, with log and snapshots."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, Generator, Optional, Sequence, Tuple

from .. import proto
from .._caffe import Message, schema
from .._child import run
from ..doctor.gate import concerned
from ..errors import NetbuildError
from ..features.make import blas_threads, keep
from ..files import PathLike, output_folder
from . import prepare
from .events import Event, Finished, Note, Saved, Tested
from .head import AUTO, WHERE_IT_PAYS, Features, complete, head_run, point_at_heads
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
    features: Features = WHERE_IT_PAYS,
    force: bool = False,
    on_event: Callable[[Event], None] = lambda _event: None,
) -> Trained:
    """Train with Caffe's solver; everything goes to `folder`: snapshots, `train_log.csv`.

    `weights` are copied into the net first (a later file wins), `resume` is a .solverstate to go on from. Paths inside
    the prototxts hold for the current folder, as in Caffe; the nets are also looked for beside the solver. SIGINT
    ends the run after the current iteration with a snapshot. Where frozen layers compute the same in every pass, the
    head is trained alone, on their `features`; the snapshots are of the whole net all the same. A net with a layer that
    this Caffe computes wrong (see `netbuild doctor`), or with frozen layers that get no weights, is refused; with
    `force` that is only noted.
    """
    message = _checked(solver, weights, resume)
    if max_iter is not None:
        message.max_iter = max_iter
    head, note = head_run(message, weights, resume, features)
    if weights and resume and head is None:
        raise NetbuildError("weights and resume exclude each other: a .solverstate names the weights it goes on from")
    notes = list(prepare.weight_notes(message, weights, force=force)) if resume is None else []
    notes += [note] if note else []
    if message.HasField("solver_mode") and message.solver_mode == message.GPU and gpu is None:
        notes.append("the solver asks for a GPU; training on the CPU, since none was named (--gpu 0)")
    too_much = prepare.memory_note(message) if head is None and gpu is None else None
    notes += [too_much] if too_much else []
    target = output_folder(folder)
    log = target / "train_log.csv"
    prepare.require_untouched(target, Path(message.snapshot_prefix).name or "snapshot", log, resume)
    for text in notes:
        on_event(Note(text))
    job = _job(message, target, gpu)
    job.update(weights=[str(path) for path in weights], resume=resume and str(Path(resume).resolve()), force=force)
    if head is not None:
        where = features.folder or target / "features" if features.where == AUTO else features.where
        kept = keep([*head.parts.values()], head.weights, where, replace(features.ways, gpu=gpu), told=on_event)
        # With a seed, how the head begins depends on the fillers that come before its own.
        job["start"] = job["solver"] if message.random_seed >= 0 and resume is None else None
        point_at_heads(message, kept, shuffle=features.shuffle)
        job.update(solver=proto.to_text(message), blas_threads=blas_threads())
    suffix = ".h5" if message.snapshot_format == schema().SolverParameter.HDF5 else ""

    def follow(event: Event) -> None:
        if isinstance(event, Saved) and head is not None and not features.head_only:
            complete(target / f"{event.stem}.caffemodel", head)
        on_event(event)

    end, scores = _followed(run("netbuild.train.engine:train", **job), Log(log), follow)
    caffemodel, solverstate = (target / f"{end.stem}.{kind}{suffix}" for kind in ("caffemodel", "solverstate"))
    if not caffemodel.exists():
        raise NetbuildError(f"stopped at iteration {end.iteration}, before the first step; nothing was written")
    return Trained(end.iteration, caffemodel, solverstate, log, scores, end.interrupted)


def _checked(solver: PathLike, weights: Sequence[PathLike], resume: Optional[PathLike]) -> Message:
    """Return the solver, its nets found; raise NetbuildError for what Caffe would abort on."""
    for path in weights:
        prepare.require_kind(path, "caffemodel", "weights", "resume")
    if resume is not None:
        prepare.require_kind(resume, "solverstate", "resume", "weights")
    message = proto.read_solver(solver)
    prepare.resolve_nets(message, Path(solver).parent)
    prepare.require_trainable(message)
    return message


def _job(message: Message, target: Path, gpu: Optional[int]) -> Dict[str, Any]:
    """Direct the solver's output to `target`; return what the child process needs of it."""
    job: Dict[str, Any] = {
        "test_interval": message.test_interval or prepare.NEVER,
        "test_iter": list(message.test_iter),
        "test_initialization": message.test_initialization,
        "concerned": concerned(prepare.phases_of_nets(message)),
    }
    prepare.direct(message, target, gpu)
    return {
        **job,
        "solver": proto.to_text(message),
        "snapshot_prefix": message.snapshot_prefix,
        "snapshot_interval": message.snapshot,
        "gpu": gpu,
        "report_every": max(1, min(message.display or 100, message.max_iter // 100)),
    }


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
