"""Run a solver: check everything first, then train in a child process, with log and snapshots."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional, Sequence, Union

from .. import proto
from ..doctor.gate import concerned
from ..engine.caffe import Message, schema
from ..errors import NetbuildError
from ..features.make import blas_threads, keep
from ..files import PathLike, listed_paths, output_folder, plain_name
from ..solving import idle_policy, require_sensible
from . import prepare
from .events import Diverged, Event, Note
from .follow import Course, follow
from .head import AUTO, WHERE_IT_PAYS, Features, HeadRun, Rest, head_run, point_at_heads
from .job import Place, Rhythm
from .log import Log
from .reach import begun


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


class EndedError(NetbuildError):
    """A training that ended without a snapshot of its own to show for it."""

    def __init__(self, text: str, iteration: int, log: Path) -> None:
        super().__init__(text)
        self.iteration = iteration
        self.log = log
        """It is there if there was anything to log."""


class DivergedError(EndedError):
    """A training whose loss or weights are no numbers any more.

    Examples:
        >>> from pathlib import Path
        >>> from netbuild import DivergedError, read_solver, train_solver
        >>> solver = read_solver("fused/solver.prototxt")
        >>> solver.base_lr = 1e30
        >>> length = Path("wild.prototxt").write_text(str(solver))
        >>> try:
        ...     trained = train_solver("wild.prototxt", "run", weights="fused/init.caffemodel")
        ... except DivergedError as error:
        ...     print(f"it is not trained further; see {error.log}")
        it is not trained further; see run/train_log.csv
    """


class StoppedError(EndedError):
    """A training that was asked to end before its first step.

    Examples:
        >>> from netbuild import NetbuildError, StoppedError
        >>> issubclass(StoppedError, NetbuildError)
        True
    """


def train_solver(
    solver: PathLike,
    folder: PathLike,
    *,
    weights: Union[PathLike, Sequence[PathLike]] = (),
    resume: Optional[PathLike] = None,
    max_iter: Optional[int] = None,
    gpu: Optional[int] = None,
    features: Features = WHERE_IT_PAYS,
    force: bool = False,
    on_event: Callable[[Event], None] = lambda _event: None,
) -> Trained:
    """Train with Caffe's own solver, in a child process, with log and snapshots.

    Where frozen layers compute the same in every pass, the head is trained alone, on their features; the snapshots are
    of the whole net all the same. Paths in the prototxts hold for the current folder, as in Caffe; the nets are also
    looked for beside the solver. Ctrl-C ends the run after the current iteration with a snapshot.

    Args:
        solver: The solver's prototxt.
        folder: Where everything goes: snapshots, `train_log.csv`; made if need be.
        weights: The file to begin from. Or several, of which the last that has a layer counts.
        resume: A .solverstate to go on from.
        max_iter: Another number of iterations than the solver's.
        gpu: The number of the GPU that computes; by default the CPU, whatever the solver says.
        features: Whether the head is trained on features, and where these are.
        force: Train in spite of a layer that this Caffe computes wrong (see `diagnose`), or of frozen layers without
            weights.
        on_event: Called with what happens (`netbuild.train.events`). Where it raises, the training ends with a snapshot
            first.

    Returns:
        The last `iteration`, `caffemodel` and `solverstate`, the `scores` of the last test, and whether it was
        `interrupted`.

    Raises:
        DivergedError: The loss is not finite any more.
        StoppedError: The run was asked to end before its first step.
        NetbuildError: The solver or a list has what Caffe would abort on.
        GraphError: A net is not sound.

    Examples:
        >>> from netbuild import train_solver
        >>> trained = train_solver("fused/solver.prototxt", "fused/run", weights="fused/init.caffemodel")
        >>> trained.iteration, trained.caffemodel.name, sorted(trained.scores)
        (20, 'lenet_fused_iter_20.caffemodel', ['accuracy', 'loss'])
    """
    weights = listed_paths(weights)
    message = _checked(solver, weights, resume, max_iter)
    head, note = head_run(message, weights, resume, features)
    if weights and resume and head is None:
        raise NetbuildError("weights and resume exclude each other: a .solverstate names the weights it goes on from")
    notes = list(prepare.weight_notes(message, weights, force=force)) if resume is None else []
    notes += [note] if note else []
    target = output_folder(folder)
    log = target / "train_log.csv"
    place = _place(message, target, head, features)
    prepare.require_untouched(target, place.prefix, log, resume)
    for text in [*notes, *_notes(message, place, gpu, head)]:
        on_event(Note(text))
    job = _job(message, place, gpu)
    job.update(weights=[str(path) for path in weights], resume=resume and str(Path(resume).resolve()), force=force)
    where: Optional[PathLike] = None
    if head is not None:
        where = features.folder or target / "features" if features.where == AUTO else features.where
        kept = keep([*head.parts.values()], head.weights, where, replace(features.execution, gpu=gpu), told=on_event)
        # With a seed, how the head begins depends on the fillers that come before its own.
        job["start"] = job["solver"] if message.random_seed >= 0 and resume is None else None
        point_at_heads(message, kept, shuffle=features.shuffle)
        job.update(solver=proto.to_text(message), blas_threads=blas_threads())
    rows = Log(log)

    def tell(event: Event) -> None:
        rows.add(event)
        on_event(event)

    course = Course(place, resume)
    follow(begun(job, where), course, tell, need=lambda: prepare.memory_need(message) if head is None else None)
    return _trained(course, log, message.base_lr, target)


def _trained(course: Course, log: Path, base_lr: float, target: Path) -> Trained:
    """Return how the run ended; raise DivergedError where it went astray, StoppedError where it had not begun."""
    end = course.end
    assert end is not None
    if isinstance(end, Diverged):
        why = f"a smaller base_lr may help (it is {base_lr:g}), or clip_gradients"
        if not end.updated:
            why = "nothing was learnt before, so look at the data, how they are prepared, and the weights"
        raise DivergedError(
            f"training diverged at iteration {end.iteration}: {end.what}; {why}; {course.kept()}", end.iteration, log
        )
    caffemodel, solverstate = (target / path.name for path in course.place.files(end.iteration))
    if not caffemodel.exists():
        text = f"stopped at iteration {end.iteration}, before the first step; nothing was written"
        raise StoppedError(text, end.iteration, log)
    return Trained(end.iteration, caffemodel, solverstate, log, course.scores, end.interrupted)


def _checked(
    solver: PathLike, weights: Sequence[PathLike], resume: Optional[PathLike], max_iter: Optional[int]
) -> Message:
    """Return the solver, its nets found; raise NetbuildError for what Caffe would abort on."""
    for path in weights:
        prepare.require_kind(path, "caffemodel", "weights", "resume")
    if resume is not None:
        prepare.require_kind(resume, "solverstate", "resume", "weights")
    message = proto.read_solver(solver)
    if max_iter is not None:
        message.max_iter = max_iter
    require_sensible(message)
    prepare.resolve_nets(message, Path(solver).parent)
    prepare.require_trainable(message)
    return message


def _place(message: Message, target: Path, head: Optional[HeadRun], features: Features) -> Place:
    rest = None
    if head is not None and not features.head_only:
        rest = Rest(head.net, tuple(str(path) for path in head.weights))
    prefix = plain_name(Path(message.snapshot_prefix).name or "snapshot", "solver: snapshot_prefix")
    if prefix.startswith("."):
        raise NetbuildError(f"solver: snapshot_prefix: {prefix!r} begins with a dot, as what is not whole yet does")
    if not os.access(target, os.W_OK):
        raise NetbuildError(f"output folder {str(target)!r}: may not be written; name another")
    place = Place(target.resolve(), prefix, message.snapshot_format == schema().SolverParameter.HDF5, rest)
    excess = place.longest_name(message.max_iter) - os.pathconf(target, "PC_NAME_MAX")
    if excess > 0:
        raise NetbuildError(f"solver: snapshot_prefix: is {excess} bytes too long for the names of files; shorten it")
    return place


def _notes(message: Message, place: Place, gpu: Optional[int], head: Optional[HeadRun]) -> Iterator[str]:
    """Yield what is to be said before the training begins; remove what an earlier one left half-written."""
    if message.HasField("solver_mode") and message.solver_mode == message.GPU and gpu is None:
        yield "the solver asks for a GPU; training on the CPU, since none was named (--gpu 0)"
    too_much = prepare.memory_note(message) if head is None and gpu is None else None
    if too_much:
        yield too_much
    idle = idle_policy(message)
    if idle:
        yield idle
    for name in place.remove_unfinished():
        yield f"removed {name}, which a training that was killed had left half-written"


def _job(message: Message, place: Place, gpu: Optional[int]) -> Dict[str, Any]:
    """Direct the solver's output to its place; return what the child process needs of it."""
    rhythm = Rhythm(
        report=max(1, min(message.display or 100, message.max_iter // 100)),
        snapshot=message.snapshot,
        test=message.test_interval or prepare.NEVER,
        test_initialization=message.test_initialization,
        test_iter=list(message.test_iter),
    )
    known = concerned(prepare.phases_of_nets(message))
    prepare.direct(message, place.caffes_prefix(), gpu)
    return {"solver": proto.to_text(message), "place": place, "rhythm": rhythm, "concerned": known, "gpu": gpu}
