"""What runs in the child process of `train`: real Caffe."""

from __future__ import annotations

import math
import os
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping

from ..doctor.gate import doubts
from ..engine.caffe import caffe, use_device
from ..engine.child import ENDINGS
from ..errors import NetbuildError
from .events import Diverged, Event, Finished, Note, Saved, Started, Stepped, Tested
from .job import Beginning, Job
from .snapshots import save
from .watch import NotFiniteError, Watch, is_finite, judged, require_finite


def train(job: Job) -> Iterator[Event]:
    """Run a solver to its max_iter, or until SIGINT asks for an early and clean end.

    Caffe's own testing and snapshots are switched off in the solver's text. The tests here are those of Solver::Test,
    whose scores go to the log only: the test net shares the train net's weights, and its outputs are averaged over
    test_iter batches.
    """
    stop = _StopRequest()
    yield from map(Note, doubts(job.self_tests.concerned, job.gpu, job.self_tests.force))
    use_device(job.gpu)
    engine = _begun(job.solver, job.beginning)
    max_iter = engine.param.max_iter
    if engine.iter >= max_iter:
        raise NetbuildError(f"nothing to do: it goes on from iteration {engine.iter}, and max_iter is {max_iter}")
    yield Started(engine.iter, max_iter)
    run = _Run(engine, job, stop)
    try:
        yield from run.events()
    except NotFiniteError as error:
        yield from run.report()
        yield Diverged(engine.iter + 1, str(error), updated=engine.iter > run.began)
    except GeneratorExit:
        # The caller was killed, and nobody listens any more; what is learnt is kept all the same.
        with suppress(NotFiniteError, NetbuildError):
            run.keep(last=True)
        raise
    finally:
        stop.ignore()


class _StopRequest:
    """Set by Ctrl-C and the like, and by the caller's death: the current step is finished, and a snapshot follows."""

    def __init__(self) -> None:
        self._caller = os.getppid()
        self._asked = False
        for number in ENDINGS:
            signal.signal(number, self._set)

    @property
    def requested(self) -> bool:
        return self._asked or os.getppid() != self._caller

    def ignore(self) -> None:
        """Ignore requests from now on: the run is over, and the process must not die of one."""
        for number in ENDINGS:
            signal.signal(number, signal.SIG_IGN)

    def _set(self, _number: int, _frame: Any) -> None:
        self._asked = True


class _Run:
    """A solver that runs from its iteration to its max_iter."""

    def __init__(self, engine: Any, job: Job, stop: _StopRequest) -> None:
        self.began = engine.iter
        self._engine, self._place, self._rhythm, self._stop = engine, job.place, job.rhythm, stop
        self._on_gpu = job.gpu is not None
        self._watch = Watch(engine.net, on_gpu=self._on_gpu)
        self._saved_at = self._tested_at = -1
        self._losses: List[float] = []

    def events(self) -> Iterator[Event]:
        """Train, test and save; raise NotFiniteError where the run goes astray."""
        engine = self._engine
        require_finite(engine.net)
        max_iter = engine.param.max_iter
        while engine.iter < max_iter and not self._stop.requested:
            yield from self._test_on_the_way()
            if self._stop.requested:
                break
            engine.step(1)
            self._losses.append(self._watch.loss)
            yield from self._after_step(is_last=engine.iter == max_iter)
        if self.keep(last=True):
            yield self._saved()
        if not self._stop.requested:
            yield from self._test()
        yield Finished(engine.iter, self._place.stem(engine.iter), self._stop.requested)

    def _test_on_the_way(self) -> Iterator[Event]:
        at, rhythm = self._engine.iter, self._rhythm
        if at % rhythm.test == 0 and (at or rhythm.test_initialization):
            yield from self._test()

    def _after_step(self, *, is_last: bool) -> Iterator[Event]:
        """Save and report what is due."""
        at, rhythm = self._engine.iter, self._rhythm
        if rhythm.snapshot and at % rhythm.snapshot == 0 and not is_last:
            yield from self._save_or_note()
        if at % rhythm.report == 0 or is_last:
            yield from self.report()

    def report(self) -> Iterator[Event]:
        """Yield the mean of the losses that are not reported yet, if there are any."""
        if self._losses:
            yield Stepped(self._engine.iter, sum(self._losses) / len(self._losses), self._engine.lr)
            self._losses = []

    def keep(self, *, last: bool = False) -> bool:
        """Save what is not saved yet; tell whether there was anything."""
        engine = self._engine
        if engine.iter in (self.began, self._saved_at):
            return False
        try:
            save(engine, self._place, on_gpu=self._on_gpu, last=last)
        except NetbuildError as error:
            raise NetbuildError(f"snapshot of iteration {engine.iter}: {error}") from error
        self._saved_at = engine.iter
        return True

    def _saved(self) -> Saved:
        return Saved(self._engine.iter, self._place.stem(self._engine.iter))

    def _save_or_note(self) -> Iterator[Event]:
        """Save; where that fails, the training goes on: there may be room for the next snapshot."""
        try:
            if self.keep():
                yield self._saved()
        except NetbuildError as error:
            yield Note(f"{error}. The training goes on, and tries again after {self._rhythm.snapshot} iterations")

    def _test(self) -> Iterator[Event]:
        engine = self._engine
        if not engine.test_nets or self._tested_at == engine.iter:
            return
        require_finite(engine.net)
        self._tested_at = engine.iter
        scores: Dict[str, float] = {}
        for net, batches, name in zip(engine.test_nets, self._rhythm.test_iter, self._rhythm.test_names):
            net.share_with(engine.net)
            means = _means(net, batches, self._stop)
            scores.update({f"{output} ({name})" if name else output: mean for output, mean in means.items()})
        if scores:  # with a test_iter of 0 there are none
            yield Tested(engine.iter, scores)


def _begun(solver: str, beginning: Beginning) -> Any:
    """Return the solver, its net as it is to begin."""
    filled = None if beginning.filled_as is None else _load(beginning.filled_as).net
    engine = _load(solver)
    if filled is not None:
        _begin_as(filled, engine.net)
    for path in beginning.weights:
        for net in (engine.net, *engine.test_nets):
            net.copy_from(path)
    if beginning.resume:
        engine.restore(beginning.resume)
    return engine


def _load(solver: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "solver.prototxt"
        path.write_text(solver, encoding="utf-8")
        return caffe().get_solver(str(path))


def _begin_as(filled: Any, net: Any) -> None:
    for name, blobs in net.params.items():
        for blob, other in zip(blobs, filled.params[name]):
            blob.data[...] = other.data


def _means(net: Any, batches: int, stop: _StopRequest) -> Dict[str, float]:
    """Average the outputs that are single numbers (accuracy, loss) over so many forward passes.

    A request to stop ends it early, with the means of what was done.
    """
    judges = judged(net)
    sums = {name: 0.0 for name in net.outputs if net.blobs[name].count == 1}
    done = 0
    while done < batches and not (stop.requested and done):
        net.forward()
        done += 1
        for name in sums:
            sums[name] += _value(net, name, judges)
    return {name: value / done for name, value in sums.items()} if done else {}


def _value(net: Any, name: str, judges: Mapping[str, Any]) -> float:
    """Return an output; NaN for an accuracy of scores that are not finite."""
    if name in judges and not is_finite(judges[name].data):
        return math.nan
    return float(net.blobs[name].data.sum())
