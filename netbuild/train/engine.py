"""What runs in the child process of `train`: real Caffe."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from .._caffe import caffe, use_device
from .._child import ENDINGS
from ..doctor.gate import doubts
from ..errors import NetbuildError
from .events import Event, Finished, Note, Saved, Started, Stepped, Tested


def train(
    solver: str,
    snapshot_prefix: str,
    snapshot_interval: int,
    weights: Sequence[str],
    resume: Optional[str],
    gpu: Optional[int],
    concerned: Mapping[str, str],
    force: bool,
    test_iter: Sequence[int],
    test_interval: int,
    test_initialization: bool,
    report_every: int,
    start: Optional[str] = None,
) -> Iterator[Event]:
    """Run a solver (its prototxt text) to its max_iter, or until SIGINT asks for an early and clean end.

    The layers begin as those of the solver `start` do, where one is given, then as `weights` or `resume` say.

    Caffe's own testing is switched off in that text, since its scores go to the log only; the tests here are those of
    Solver::Test: the test net shares the train net's weights, and its outputs are averaged over test_iter batches.
    """
    stop = _StopRequest()
    yield from map(Note, doubts(concerned, gpu, force))
    use_device(gpu)
    filled = None if start is None else _load(start).net
    engine = _load(solver)
    if filled is not None:
        _begin_as(filled, engine.net)
        del filled
    for path in weights:
        for net in (engine.net, *engine.test_nets):
            net.copy_from(path)
    if resume:
        engine.restore(resume)
    max_iter = engine.param.max_iter
    if engine.iter >= max_iter:
        raise NetbuildError(f"nothing to do: it goes on from iteration {engine.iter}, and max_iter is {max_iter}")
    began = engine.iter
    yield Started(began, max_iter)
    losses: List[float] = []
    tested_at = -1
    while engine.iter < max_iter and not stop.requested:
        if engine.test_nets and engine.iter % test_interval == 0 and (engine.iter or test_initialization):
            tested_at = engine.iter
            yield Tested(engine.iter, _test(engine, test_iter, stop))
            if stop.requested:
                break
        engine.step(1)
        losses.append(_loss(engine.net))
        if snapshot_interval and engine.iter % snapshot_interval == 0:
            yield Saved(engine.iter, _stem(snapshot_prefix, engine))
        if engine.iter % report_every == 0 or engine.iter == max_iter:
            yield Stepped(engine.iter, sum(losses) / len(losses), engine.lr)
            losses = []
    if engine.iter > began and not (snapshot_interval and engine.iter % snapshot_interval == 0):
        engine.snapshot()
        yield Saved(engine.iter, _stem(snapshot_prefix, engine))
    if engine.test_nets and tested_at != engine.iter and not stop.requested:
        yield Tested(engine.iter, _test(engine, test_iter, stop))
    yield Finished(engine.iter, _stem(snapshot_prefix, engine), stop.requested)


class _StopRequest:
    """Set by Ctrl-C and the like: the step that runs is finished, then a snapshot is written."""

    def __init__(self) -> None:
        self.requested = False
        for number in ENDINGS:
            signal.signal(number, self._set)

    def _set(self, _number: int, _frame: Any) -> None:
        self.requested = True


def _load(solver: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "solver.prototxt"
        path.write_text(solver, encoding="utf-8")
        return caffe().get_solver(str(path))


def _begin_as(filled: Any, net: Any) -> None:
    for name, blobs in net.params.items():
        for blob, other in zip(blobs, filled.params[name]):
            blob.data[...] = other.data


def _stem(snapshot_prefix: str, engine: Any) -> str:
    return f"{Path(snapshot_prefix).name}_iter_{engine.iter}"


def _loss(net: Any) -> float:
    weights = net.blob_loss_weights
    return float(sum(net.blobs[name].data.sum() * weight for name, weight in weights.items() if weight))


def _test(engine: Any, test_iter: Sequence[int], stop: _StopRequest) -> Dict[str, float]:
    scores: Dict[str, float] = {}
    for net, batches in zip(engine.test_nets, test_iter):
        net.share_with(engine.net)
        scores.update(_means(net, batches, stop))
    return scores


def _means(net: Any, batches: int, stop: _StopRequest) -> Dict[str, float]:
    """Average the outputs that are single numbers (accuracy, loss) over so many forward passes.

    A request to stop ends it early, with the means of what was done.
    """
    names = [name for name in net.outputs if net.blobs[name].count == 1]
    sums = dict.fromkeys(names, 0.0)
    done = 0
    while done < batches and not (stop.requested and done):
        net.forward()
        done += 1
        for name in names:
            sums[name] += float(net.blobs[name].data.sum())
    return {name: value / done for name, value in sums.items()}
