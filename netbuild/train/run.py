"""Run a solver: check everything first, then train in a child process, with log and snapshots."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Callable, Dict, Iterator, Optional, Sequence, Tuple, Union

from .. import proto
from ..doctor.gate import concerned
from ..errors import NetbuildError, require_type
from ..features.make import keep
from ..files import PathLike, listed_paths, output_folder, plain_name
from ..schema import schema
from ..solving import idle_policy
from ..spelling import option
from . import prepare
from .events import Diverged, Event, Note
from .follow import Course, follow
from .head import AUTO, WHERE_IT_PAYS, Features, HeadRun, head_run, pointed_at_heads
from .job import Beginning, Job, Place, Rest, Rhythm, SelfTests
from .log import Log
from .prepare import CheckedSolver, TrainingMemory
from .reach import trained


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
    """A training that ended without a snapshot of its own."""

    def __init__(self, text: str, iteration: int, log: Path) -> None:
        super().__init__(text)
        self.iteration = iteration
        self.log = log
        """It is there if there was anything to log."""


class DivergedError(EndedError):
    """A training whose loss or weights are not finite any more.

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
    stages: Sequence[str] = (),
    level: Optional[int] = None,
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
        stages: Stages that choose layers of the net that is trained, beside those of the solver's `train_state`.
        level: Its level, in place of that of the solver's `train_state`.
        gpu: The number of the GPU that computes; by default the CPU, whatever the solver says.
        features: Whether the head is trained on features, and where these are.
        force: Train in spite of a layer that this Caffe computes wrong (see `diagnose`), or of frozen layers without
            weights.
        on_event: Called with what happens (`netbuild.train.events`). Where it raises, the training ends with a snapshot
            first.

    Returns:
        The last `iteration`, `caffemodel` and `solverstate`, the `scores` of the last test, and whether it was
        `interrupted`. Of several test nets the names of scores end in what tells these apart: 'loss (test-on-train)'.

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
    require_type(features, Features, "features")
    beginning = _beginning(weights, resume)
    checked = prepare.checked_solver(solver, max_iter, stages=stages, level=level)
    head, note = head_run(checked, beginning, features)
    if beginning.weights and resume and head is None:
        raise NetbuildError("weights and resume exclude each other: a .solverstate names the weights it goes on from")
    run = _Run(checked, beginning, head=head, features=features, gpu=gpu)
    notes = list(run.beginning_notes(force=force))
    target = output_folder(folder)
    log = target / "train_log.csv"
    place = run.place(target)
    prepare.require_untouched(target, place.prefix, log, resume)
    for text in [*notes, *([note] if note else []), *run.notes(place)]:
        on_event(Note(text))
    job, kept_in = run.job(place, force=force), None
    if head is not None:
        job, kept_in = run.on_features(job, head, target, on_event)
    rows = Log(log)

    def log_and_pass_on(event: Event) -> None:
        rows.add(event)
        on_event(event)

    course = Course(place, resume)
    follow(trained(job, kept_in), course, log_and_pass_on, memory=run.memory_in_words)
    return _outcome(course, log, checked.message.base_lr, target)


def _beginning(weights: Union[PathLike, Sequence[PathLike]], resume: Optional[PathLike]) -> Beginning:
    """Return what a training begins with; raise NetbuildError for files of another kind."""
    files = tuple(listed_paths(weights, "weights"))
    for path in files:
        prepare.require_kind(path, "caffemodel", "weights", "resume")
    if resume is None:
        return Beginning(files)
    prepare.require_kind(resume, "solverstate", "resume", "weights")
    return Beginning(files, os.fspath(resume))


@dataclass(frozen=True)
class _Run:
    """A training that was checked: what the child process gets for it, and what is to be noted before."""

    solver: CheckedSolver
    beginning: Beginning
    head: Optional[HeadRun]
    """None where the whole net is trained."""
    features: Features
    gpu: Optional[int]

    @cached_property
    def _memory(self) -> TrainingMemory:
        return TrainingMemory(self.solver.trained)

    def memory_in_words(self) -> Optional[str]:
        """Return what the training of a whole net takes, where that is known."""
        return self._memory.in_words() if self.head is None else None

    def beginning_notes(self, *, force: bool) -> Iterator[str]:
        """Yield what is odd about the weights that it begins with; raise WeightsError where they do not fit."""
        if self.beginning.resume is None:
            yield from prepare.weight_notes(self.solver, self.beginning.weights, force=force)

    def place(self, target: Path) -> Place:
        """Return where the snapshots go; raise NetbuildError where they cannot."""
        message = self.solver.message
        prefix = plain_name(Path(message.snapshot_prefix).name or "snapshot", "solver: snapshot_prefix")
        if prefix.startswith("."):
            raise NetbuildError(f"solver: snapshot_prefix: {prefix!r} begins with a dot, as what is not whole yet does")
        if not os.access(target, os.W_OK):
            raise NetbuildError(f"output folder {str(target)!r}: may not be written; name another")
        hdf5 = message.snapshot_format == schema().SolverParameter.HDF5
        place = Place(target.resolve(), prefix, hdf5, self._rest())
        excess = place.longest_name(message.max_iter) - os.pathconf(target, "PC_NAME_MAX")
        if excess > 0:
            raise NetbuildError(
                f"solver: snapshot_prefix: is {excess} bytes too long for the names of files; shorten it"
            )
        return place

    def _rest(self) -> Optional[Rest]:
        if self.head is None or self.features.head_only:
            return None
        state = self.solver.trained.state
        return Rest(self.head.net, tuple(str(path) for path in self.head.weights), tuple(state.stage), state.level)

    def notes(self, place: Place) -> Iterator[str]:
        """Yield what is to be said before the training begins; remove what an earlier one left half-written."""
        message, gpu = self.solver.message, self.gpu
        if message.HasField("solver_mode") and message.solver_mode == message.GPU and gpu is None:
            yield f"the solver asks for a GPU; training on the CPU, since none was named ({option('gpu', 0)})"
        excess = self._memory.excess() if self.head is None and gpu is None else None
        for note in (excess, idle_policy(message)):
            if note:
                yield note
        for name in place.remove_unfinished():
            yield f"removed {name}, which a training that was killed had left half-written"

    def job(self, place: Place, *, force: bool) -> Job:
        """Return what the child process gets: the solver, its output directed to its place."""
        message = self.solver.message
        rhythm = Rhythm(
            report=max(1, min(message.display or 100, message.max_iter // 100)),
            snapshot=message.snapshot,
            test=message.test_interval or prepare.NEVER,
            test_initialization=message.test_initialization,
            test_iter=list(message.test_iter),
            test_names=[one.label for one in self.solver.tested],
        )
        self_tests = SelfTests(concerned(self.solver.by_file), force)
        solver = proto.to_text(prepare.directed(message, place.caffes_prefix(), self.gpu))
        resume = self.beginning.resume
        beginning = replace(self.beginning, resume=resume and str(Path(resume).resolve()))
        return Job(solver, place, rhythm, beginning, self_tests, self.gpu)

    def on_features(
        self, job: Job, head: HeadRun, target: Path, on_event: Callable[[Event], None]
    ) -> Tuple[Job, PathLike]:
        """Compute the features that are not there yet; return the job of the head alone, and the features' folder."""
        features, message = self.features, self.solver.message
        folder = features.folder or target / "features" if features.where == AUTO else features.where
        execution = replace(features.execution, gpu=self.gpu)
        kept = keep([*head.parts.values()], head.weights, folder, execution, told=on_event)
        whole = prepare.directed(message, job.place.caffes_prefix(), self.gpu)
        solver = proto.to_text(pointed_at_heads(whole, kept, shuffle=features.shuffle))
        # With a seed, how the head begins depends on the fillers that come before its own.
        seeded = message.random_seed >= 0 and job.beginning.resume is None
        beginning = replace(job.beginning, filled_as=job.solver if seeded else None)
        return replace(job, solver=solver, beginning=beginning), folder


def _outcome(course: Course, log: Path, base_lr: float, target: Path) -> Trained:
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
