"""What runs in a child process: facts of the Caffe it loads, and self-tests, in forks of it."""

from __future__ import annotations

import os
import tempfile
from typing import Any, Iterator, Optional, Sequence

from ..engine.caffe import caffe, use_device
from ..engine.child import apart
from ..errors import CaffeError
from ..extras import getting, have
from .facts import gathered
from .selftest import FAILED, NOT_RUN, Outcome, SelfTest, judged
from .table import SELF_TESTS


def diagnose(gpu: Optional[int]) -> Iterator[Any]:
    """Yield the facts, then why Caffe cannot use a GPU (an empty text where it can), then each self-test's outcome.

    The self-tests run on this GPU, or on the CPU; CaffeError is raised where the GPU asked for cannot be used.
    """
    yield gathered()
    yield _gpu_refusal(gpu or 0)
    yield from outcomes(list(SELF_TESTS.values()), gpu)


def _gpu_refusal(gpu: int) -> str:
    try:
        _require_gpu(gpu)
    except CaffeError as error:
        return str(error)
    return ""


def _require_gpu(gpu: int) -> None:
    """Raise CaffeError where Caffe cannot compute on it; this process' own mode stays."""
    list(apart(lambda: _in_turn([], ".", gpu)))


def outcomes(tests: Sequence[SelfTest], gpu: Optional[int] = None) -> Iterator[Outcome]:
    """Yield what comes of each self-test; one that makes Caffe abort has failed, and the next begins anew.

    The Caffe of this process itself stays untouched: its mode, its random numbers.
    """
    if not tests:
        return
    # Loaded once, and not in every fork.
    caffe()
    if gpu is not None:
        # A GPU that cannot be used is no fault of the self-tests.
        _require_gpu(gpu)
    done = 0
    with tempfile.TemporaryDirectory() as folder:
        while done < len(tests):
            for outcome in _until_abort(tests[done:], folder, gpu):
                yield outcome
                done += 1


def _until_abort(tests: Sequence[SelfTest], folder: str, gpu: Optional[int]) -> Iterator[Outcome]:
    """Yield the outcomes up to that of the first self-test which makes Caffe abort."""
    done = 0
    try:
        for outcome in apart(lambda: _in_turn(tests, folder, gpu)):
            yield outcome
            done += 1
    except CaffeError as error:
        yield Outcome(tests[done].name, FAILED, str(error))


def _in_turn(tests: Sequence[SelfTest], folder: str, gpu: Optional[int]) -> Iterator[Outcome]:
    os.chdir(folder)
    use_device(gpu)
    yield from map(_outcome, tests)


def _outcome(test: SelfTest) -> Outcome:
    if test.needs and not have(test.needs):
        return Outcome(test.name, NOT_RUN, f"{test.needs} is not installed: {getting(test.needs)}")
    try:
        return judged(test, test.compare(*test.run(test.net)))
    except Exception as error:
        return Outcome(test.name, FAILED, f"{type(error).__name__}: {error}")
