"""What runs in the child process of `train`: real Caffe."""

from __future__ import annotations

import math
import os
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from ..doctor.gate import doubts
from ..engine.caffe import caffe, use_device
from ..engine.child import ENDINGS
from ..errors import NetbuildError
from .events import Diverged, Event, Finished, Note, Saved, Started, Stepped, Tested
from .job import Place, Rhythm
from .snapshots import save
from .watch import NotFiniteError, Watch, is_finite, judged, require_finite


def train(
    solver: str,
    place: Place,
    rhythm: Rhythm,
    weights: Sequence[str],
    resume: Optional[str],
    gpu: Optional[int],
    concerned: Mapping[str, str],
    force: bool,
    start: Optional[str] = None,
) -> Iterator[Event]:
    """Run a solver (its prototxt text) to its max_iter, or until SIGINT asks for an early and clean end.

    The layers begin as those of the solver `start` do, where one is given, then as `weights` or `resume` say.

    Caffe's own testing and snapshots are switched off in that text. The tests here are those of Solver::Test, whose
    scores go to the log only: the test net shares the train net's weights, and its outputs are averaged over test_iter
    batches.
    """
    stop = _StopRequest()
    yield from map(Note, doubts(concerned, gpu, force))
    use_device(gpu)
    engine = _begun(solver, weights, resume, start)
    max_iter = engine.param.max_iter
    if engine.iter >= max_iter:
        raise NetbuildError(f"nothing to do: it goes on from iteration {engine.iter}, and max_iter is {max_iter}")
    yield Started(engine.iter, max_iter)
    run = _Run(engine, place, rhythm, stop, gpu)
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
    """Set by Ctrl-C and the like, and by the caller's death: the step that runs is finished, then comes a snapshot."""

    def __init__(self) -> None:
        self._caller = os.getppid()
        self._asked = False
        for number in ENDINGS:
            signal.signal(number, self._set)

    @property
    def requested(self) -> bool:
        return self._asked or os.getppid() != self._caller

    def ignore(self) -> None:
        """Let a request that comes now have no effect: the run is over, and the process must not die of it."""
        for number in ENDINGS:
            signal.signal(number, signal.SIG_IGN)

    def _set(self, _number: int, _frame: Any) -> None:
        self._asked = True


class _Run:
    """A solver on its way from where it stands to its max_iter."""

    def __init__(self, engine: Any, place: Place, rhythm: Rhythm, stop: _StopRequest, gpu: Optional[int]) -> None:
        self.began = engine.iter
        self._engine, self._place, self._rhythm, self._stop = engine, place, rhythm, stop
        self._on_gpu = gpu is not None
        self._watch = Watch(engine.net, on_gpu=self._on_gpu)
        self._saved_at = self._tested_at = -1
        self._losses: List[float] = []

    def events(self) -> Iterator[Event]:
        """Train, test and save; raise NotFiniteError where the run goes astray."""
        engine, rhythm = self._engine, self._rhythm
        require_finite(engine.net)
        max_iter = engine.param.max_iter
        while engine.iter < max_iter and not self._stop.requested:
            if engine.iter % rhythm.test == 0 and (engine.iter or rhythm.test_initialization):
                yield from self._test()
                if self._stop.requested:
                    break
            engine.step(1)
            self._losses.append(self._watch.loss)
            if rhythm.snapshot and engine.iter % rhythm.snapshot == 0 and engine.iter < max_iter:
                yield from self._save_or_say()
            if engine.iter % rhythm.report == 0 or engine.iter == max_iter:
                yield from self.report()
        if self.keep(last=True):
            yield Saved(engine.iter, self._place.stem(engine.iter))
        if not self._stop.requested:
            yield from self._test()
        yield Finished(engine.iter, self._place.stem(engine.iter), self._stop.requested)

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

    def _save_or_say(self) -> Iterator[Event]:
        """Save; where that fails, the training goes on, for there may be room for the next."""
        try:
            if self.keep():
                yield Saved(self._engine.iter, self._place.stem(self._engine.iter))
        except NetbuildError as error:
            yield Note(f"{error}. The training goes on, and tries again after {self._rhythm.snapshot} iterations")

    def _test(self) -> Iterator[Event]:
        engine = self._engine
        if not engine.test_nets or self._tested_at == engine.iter:
            return
        require_finite(engine.net)
        self._tested_at = engine.iter
        scores: Dict[str, float] = {}
        for net, batches in zip(engine.test_nets, self._rhythm.test_iter):
            net.share_with(engine.net)
            scores.update(_means(net, batches, self._stop))
        if scores:  # with a test_iter of 0 there are none
            yield Tested(engine.iter, scores)


def _begun(solver: str, weights: Sequence[str], resume: Optional[str], start: Optional[str]) -> Any:
    """Return the solver, its net as it is to begin."""
    filled = None if start is None else _load(start).net
    engine = _load(solver)
    if filled is not None:
        _begin_as(filled, engine.net)
    for path in weights:
        for net in (engine.net, *engine.test_nets):
            net.copy_from(path)
    if resume:
        engine.restore(resume)
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

    An accuracy on scores that are not finite is not one, and becomes NaN. A request to stop ends it early, with the
    means of what was done.
    """
    names = [name for name in net.outputs if net.blobs[name].count == 1]
    scores = judged(net)
    sums = dict.fromkeys(names, 0.0)
    done = 0
    while done < batches and not (stop.requested and done):
        net.forward()
        done += 1
        for name in names:
            is_one = name not in scores or is_finite(scores[name].data)
            sums[name] += float(net.blobs[name].data.sum()) if is_one else math.nan
    return {name: value / done for name, value in sums.items()} if done else {}
