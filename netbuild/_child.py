"""Run a function that uses Caffe's engine in a process of its own.

A failed check in Caffe aborts the whole process: no exception, no clean-up. In a child process the abort costs the
caller nothing, and the last fatal line of Caffe's log becomes the error's text.

The function is a generator, named as `module:function`; what it yields reaches the caller as it comes. Arguments
and events travel pickled over the child's standard input and output.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any, Generator, Iterator, List

from .errors import CaffeError, NetbuildError

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask a process to end."""
_FATAL = re.compile(r"^F\d+ \S+\s+\d+ ([\w.]+:\d+)\] (.*)$", re.MULTILINE)


def run(function: str, **arguments: Any) -> Generator[Any, None, None]:
    """Yield what `function(**arguments)` yields in a child process.

    Ctrl-C and the like are passed on to the child, which may end its work cleanly; a NetbuildError there is raised
    here; an abort of Caffe becomes a CaffeError.
    """
    # The child finds the modules that we find, in our order; by itself it would look in the current folder first.
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path or str(Path.cwd()) for path in sys.path))
    start = "import sys; del sys.path[0]; from netbuild._child import main; main(sys.argv[1])"
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            [sys.executable, "-c", start, function],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            # A session of its own: the terminal's Ctrl-C reaches the child once, through us.
            start_new_session=True,
        )
        assert child.stdin is not None and child.stdout is not None
        try:
            with _passing_on_interrupts(child) as interrupts:
                with contextlib.suppress(BrokenPipeError), child.stdin as stdin:
                    pickle.dump(arguments, stdin)
                yield from _events(child.stdout)
                code = child.wait()
            if code != 0 and interrupts:
                raise KeyboardInterrupt
            if code != 0:
                raise CaffeError(_last_words(log, code))
        finally:
            child.kill()
            child.stdout.close()
            child.wait()


@contextlib.contextmanager
def _passing_on_interrupts(child: subprocess.Popen[bytes]) -> Iterator[List[int]]:
    """Send each signal to end on to the child instead of raising it here, where it could tear an event in two."""
    seen: List[int] = []

    def pass_on(number: int, _frame: Any) -> None:
        seen.append(number)
        child.send_signal(number)

    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    before = {number: signal.signal(number, pass_on) for number in ENDINGS}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _events(stream: IO[bytes]) -> Iterator[Any]:
    while True:
        try:
            event = pickle.load(stream)
        except (EOFError, pickle.UnpicklingError):
            # The end, or a child that died within an event; its exit status tells which.
            return
        if isinstance(event, NetbuildError):
            raise event
        yield event


def _last_words(log: IO[bytes], code: int) -> str:
    log.seek(0)
    text = log.read().decode("utf-8", "replace")
    fatal = _FATAL.findall(text)
    if fatal:
        where, said = fatal[-1]
        return f"Caffe gave up: {said.strip()} ({where})"
    last = text.strip().splitlines()[-1:] or [f"exit status {code}, and nothing in its log"]
    return f"Caffe's process ended early: {last[0]}"


def main(function: str) -> None:
    """Be the child: run the function that the parent names, with the arguments that it sends."""
    # Whatever prints to standard output, Python or C++, must not land between the events.
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    arguments = pickle.load(sys.stdin.buffer)
    module, _, name = function.partition(":")
    try:
        for event in getattr(importlib.import_module(module), name)(**arguments):
            pickle.dump(event, events)
            events.flush()
    except NetbuildError as error:
        pickle.dump(error, events)
    except BrokenPipeError:
        # The caller is gone; nobody wants the rest.
        os._exit(1)
    events.close()
