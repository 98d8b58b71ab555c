"""Compute features on a Dask cluster, whose workers have netbuild and Caffe, and the files under the same paths.

Jobs, tasks and results travel as plain bytes: a worker may run another Python and another numpy.
"""

from __future__ import annotations

import contextlib
from functools import lru_cache
from itertools import islice
from queue import SimpleQueue
from threading import Lock
from typing import Any, Generator, Iterator, Mapping, Optional

from ..engine.child import share
from ..engine.interpreter import using_caffe
from ..engine.plain import packed, unpacked
from ..errors import NetbuildError
from ..extras import optional
from .part import Task

_LOCK = Lock()
"""A Dask worker with several threads computes one task at a time."""
_CONNECT = 10
"""Seconds in which a scheduler should answer."""


def share_in_cluster(
    scheduler: str, function: str, tasks: Iterator[Task], *, caffe: Optional[str], **arguments: Any
) -> Generator[Any, None, None]:
    """Yield what `child.share` yields, computed by the workers of a cluster; Dask gives a dead one's task to another.

    The workers compute with the Caffe that `caffe` names (see `using_caffe`); None leaves the choice to each of them.

    Raises NetbuildError where no scheduler answers, where it has no workers, and for a task that kills them.
    """
    distributed = optional("distributed", "a cluster needs")
    job = packed({"function": function, "caffe": caffe, "arguments": arguments})
    with contextlib.ExitStack() as stack:
        try:
            client = stack.enter_context(distributed.Client(scheduler, timeout=_CONNECT, set_as_default=False))
        except (OSError, ValueError) as error:
            raise NetbuildError(f"scheduler {scheduler!r}: no Dask scheduler answers there ({error})") from error
        threads = sum(client.nthreads().values())
        if not threads:
            raise NetbuildError(f"scheduler {scheduler!r}: has no workers; start some with: dask worker {scheduler}")

        def submit(task: Task) -> Any:
            return client.submit(_compute, packed(task), job, pure=False)

        # Two for each thread: while one result travels, the next is computed; the list of all may be long.
        going = distributed.as_completed([submit(task) for task in islice(tasks, 2 * threads)], loop=client.loop)
        for future in going:
            yield _result(future)
            for task in islice(tasks, 1):
                going.add(submit(task))


def _result(future: Any) -> Any:
    try:
        found = unpacked(future.result())
    except Exception as error:
        raise NetbuildError(
            f"the cluster could not compute a part of the features ({type(error).__name__}: {error}); its workers need "
            "netbuild and Caffe, and the list's images and the weights under the same paths as here"
        ) from error
    if isinstance(found, NetbuildError):
        raise found
    return found


def _compute(task: bytes, job: bytes) -> bytes:
    """Run a task in a process of the Dask worker's own: that has as many BLAS threads as any other, and may abort.

    Returns what it computed, or the error.
    """
    with _LOCK:
        try:
            return packed(_process(job).compute(unpacked(task)))
        except NetbuildError as error:
            return packed(error)


class _Process:
    """A process that is kept between tasks."""

    def __init__(self, function: str, caffe: Optional[str], arguments: Mapping[str, Any]) -> None:
        self._tasks: SimpleQueue[Task] = SimpleQueue()
        self._caffe = caffe
        self._results = share(function, iter(self._tasks.get, None), 1, **arguments)

    def compute(self, task: Task) -> Any:
        """Return the event of one task."""
        self._tasks.put(task)
        with using_caffe(self._caffe):
            return next(self._results)


@lru_cache(maxsize=1)
def _process(job: bytes) -> _Process:
    return _Process(**unpacked(job))
