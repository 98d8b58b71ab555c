"""Run a function that uses Caffe's engine in a process of its own, by the interpreter that has it (`interpreter`).

A failed check in Caffe aborts the whole process: no exception, no clean-up. In a child process the abort costs the
caller nothing, and the last fatal line of Caffe's log becomes the error's text.

The function is a generator, named as `module:function`; what it yields reaches the caller as it comes. Arguments
and events travel over the child's standard input and output as plain bytes (`plain`).
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from itertools import islice
from pathlib import Path
from types import GeneratorType
from typing import IO, Any, Callable, Dict, Generator, Iterable, Iterator, List, Mapping, Optional

from .. import __version__
from ..errors import CaffeError, NetbuildError
from ..spelling import flags, spells_flags
from . import plain
from .ending import ended_before, ended_early
from .interpreter import CODE, OF_THIS_PYTHON, Interpreter, chosen, not_run, refusal

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask a process to end."""
_PATIENCE = 60
"""Seconds that a fork may take: a BLAS whose threads do not survive forking would wait forever."""
_LAST_PATIENCE = 600
"""Seconds that a child may take which was asked to end: for the step that it is in, and a snapshot."""
END = "end"
"""What a caller sends to `run` that wants no more: the child is asked to end, and its last events come."""
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""What tells the BLAS libraries that Caffe is built with how many threads to use."""
LOG_LEVEL = "GLOG_minloglevel"
_SHOWN = ("0", "1")
"""Levels of Caffe's log, from which on the caller wants to read along."""
WORD = f"netbuild {__version__} plain {plain.VERSION}"
"""The first line that a child sends: both sides have to be of one version."""
_LONGEST_WORD = 300
_PASSED_ON = (*BLAS_THREADS, "GOTO_NUM_THREADS", LOG_LEVEL, "CUDA_VISIBLE_DEVICES")
"""Variables that reach the child also where a command like `docker run` starts it, which passes on none."""
_NEEDED = ("numpy", "google.protobuf", "caffe")
"""The modules that another Python has to have."""
_START = Path(__file__).with_name("start.py")
_DEATHS = 3
"""So many processes may die on one task before it is given up."""


def run(
    function: str, *, blas_threads: Optional[int] = None, interpreter: Optional[Interpreter] = None, **arguments: Any
) -> Generator[Any, Optional[str], None]:
    """Yield what `function(**arguments)` yields in a child process.

    By default it runs in the interpreter whose Caffe is to compute; CaffeError where there is none.

    Ctrl-C and the like are passed on to the child, which may end its work cleanly; a NetbuildError there is raised
    here; an abort of Caffe becomes a CaffeError. `blas_threads` is None for the library's own choice. Closed before
    its end, this kills the child; sent END, it asks the child to end, as Ctrl-C does, and goes on with what comes.
    """
    with _Child(function, blas_threads, interpreter) as child:
        with _passing_on_interrupts(child.process) as interrupts:
            child.hear()
            child.begin(arguments)
            child.close_input()
            events = _Events(child.events)
            for event in events:
                if (yield event) == END:
                    child.ask_to_end()
            code = child.process.wait()
        if code != 0 and interrupts:
            raise KeyboardInterrupt
        if code != 0 or not events.whole:
            raise child.last_words()


def share(
    function: str, tasks: Iterable[Any], workers: int, *, blas_threads: Optional[int] = None, **arguments: Any
) -> Generator[Any, None, None]:
    """Yield what `function(tasks, **arguments)` yields in several child processes, as it comes: one event for a task.

    Each process gets a task when it has done its last. A task whose process dies is given to a new one; the CaffeError
    of that death is raised when it has cost three.
    """
    source, interpreter = iter(tasks), chosen()
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as ready:

        def give(child: _Child, task: Any, deaths: int) -> None:
            child.send(task)
            ready.register(child.events, selectors.EVENT_READ, (child, task, deaths))

        def begin(task: Any, deaths: int = 0) -> None:
            child = stack.enter_context(_Child(function, blas_threads, interpreter))
            child.begin(arguments, coming="tasks")
            give(child, task, deaths)

        for task in islice(source, workers):
            begin(task)
        while ready.get_map():
            for key, _ in ready.select():
                child, task, deaths = key.data
                if not child.heard:
                    # Its first event may be long in coming, and others wait.
                    child.hear()
                    continue
                ready.unregister(child.events)
                event = next(_Events(child.events), _NOTHING)
                if event is not _NOTHING:
                    yield event
                    following = next(source, _NOTHING)
                    if following is not _NOTHING:
                        give(child, following, 0)
                elif deaths + 1 < _DEATHS:
                    begin(task, deaths + 1)
                else:
                    child.process.wait()
                    raise child.last_words()


_NOTHING = object()


class _Child:
    """A process that runs one function; it is gone when the block ends."""

    def __init__(self, function: str, blas_threads: Optional[int], interpreter: Optional[Interpreter]) -> None:
        self._interpreter = interpreter or chosen()
        self.heard = False
        """Whether it has said who it is, or ended."""
        self._speaks = False
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        shown = os.environ.get(LOG_LEVEL) in _SHOWN
        environment = _environment(self._interpreter, blas_threads)
        try:
            self.process = subprocess.Popen(
                [
                    *self._interpreter.command,
                    "-c",
                    _START.read_text("utf-8"),
                    _job(function, self._interpreter, environment),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if shown else self._log,
                env=environment,
                # A session of its own: the terminal's Ctrl-C reaches the child once, through us.
                start_new_session=True,
            )
        except OSError as error:
            self._log.close()
            raise not_run(self._interpreter, error) from error
        assert self.process.stdout is not None
        self.events: IO[bytes] = self.process.stdout
        self._impatient: Optional[threading.Timer] = None
        self._relay = threading.Thread(target=self._pass_on_log, daemon=True) if shown else None
        if self._relay is not None:
            self._relay.start()

    def _pass_on_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._log.write(line)
            with contextlib.suppress(OSError):  # nobody reads along any more
                sys.stderr.write(line.decode("utf-8", "replace"))

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self._impatient is not None:
            self._impatient.cancel()
        self.process.kill()
        self.close_input()
        self.events.close()
        self.process.wait()
        self._end_relay()
        self._log.close()

    def hear(self) -> None:
        """Wait for the child's first line; raise CaffeError where it is not that of a netbuild like this one.

        Of a child that ends before there is none: its exit status tells.
        """
        line = _line(self.events.fileno())
        self.heard, self._speaks = True, line == WORD
        if line and not self._speaks:
            raise refusal(self._interpreter, line)

    def begin(self, arguments: Dict[str, Any], coming: Optional[str] = None) -> None:
        """Send the function its arguments; of the one called as `coming` says the items follow, by `send`."""
        self.send((arguments, coming))

    def send(self, item: Any) -> None:
        """Send the function an item; where the child has died, its exit status says why."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            plain.write(item, self.process.stdin)
            self.process.stdin.flush()

    def close_input(self) -> None:
        """Tell the function that nothing more comes."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def ask_to_end(self) -> None:
        """Ask the child to end its work cleanly, and kill it where it takes too long."""
        self.process.send_signal(signal.SIGINT)
        self._impatient = threading.Timer(_LAST_PATIENCE, self.process.kill)
        self._impatient.daemon = True
        self._impatient.start()

    def _end_relay(self) -> None:
        if self._relay is not None and self.process.stderr is not None:
            self._relay.join()
            self.process.stderr.close()

    def last_words(self) -> CaffeError:
        """Return why a child that has ended did so."""
        self._end_relay()
        if self._speaks or self._interpreter.is_this:
            return ended_early(self._log, self.process.returncode)
        return CaffeError(f"{self._interpreter.title}: {ended_before(self._log, self.process.returncode)}")


def _environment(interpreter: Interpreter, blas_threads: Optional[int]) -> Dict[str, str]:
    """Return the child's environment."""
    environment = dict(os.environ)
    for name in () if interpreter.is_this else OF_THIS_PYTHON:
        environment.pop(name, None)
    if interpreter.is_this:
        # The child finds the modules that we find, in our order; by itself it would look in the current folder first.
        environment["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    if blas_threads is not None:
        environment.update(dict.fromkeys(BLAS_THREADS, str(blas_threads)))
    return environment


def _job(function: str, interpreter: Interpreter, environment: Mapping[str, str]) -> str:
    """Return what `start` needs to run a function, as JSON."""
    return json.dumps(
        {
            "function": function,
            "flags": spells_flags(),
            "code": str(CODE),
            "path": _path_of_layers(),
            "folder": None if interpreter.is_this else str(Path.cwd()),
            "modules": [] if interpreter.is_this else _NEEDED,
            "environment": {name: environment[name] for name in _PASSED_ON if name in environment},
        }
    )


def _path_of_layers() -> List[str]:
    """Return the folders in which the modules of Python layers are looked for last: the current one, and the user's."""
    named = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    return [str(Path(folder).absolute()) for folder in (".", *named)]


def _line(descriptor: int) -> str:
    """Return the line that comes first, and take no byte of what follows."""
    line = b""
    while len(line) < _LONGEST_WORD:
        byte = os.read(descriptor, 1)
        if byte in (b"", b"\n"):
            break
        line += byte
    return line.decode("utf-8", "replace")


@contextlib.contextmanager
def _passing_on_interrupts(child: subprocess.Popen[bytes]) -> Iterator[List[int]]:
    """Pass each signal that asks for an end on to the child: raised here, it could tear an event in two.

    What is ignored (SIGHUP by nohup) stays ignored. SIGINT does not: shells ignore it for every background job, which
    may still be asked to end by it.
    """
    seen: List[int] = []

    def pass_on(number: int, _frame: Any) -> None:
        seen.append(number)
        child.send_signal(number)

    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    heeded = [n for n in ENDINGS if n == signal.SIGINT or signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, pass_on) for number in heeded}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Events(Iterator[Any]):
    """What a process sends, up to its end, or to where it broke off: of a process that died its exit status tells."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.whole = False
        """Whether it came to its end."""

    def __next__(self) -> Any:
        try:
            event = plain.read(self._stream)
        except plain.BrokenError:
            raise StopIteration from None
        if event is plain.END:
            self.whole = True
            raise StopIteration
        if isinstance(event, NetbuildError):
            raise event
        return event


def apart(work: Callable[[], Iterable[Any]], patience: Optional[int] = None) -> Iterator[Any]:
    """Yield what `work()` yields in a fork of this process, for a child that has Caffe loaded and is to outlive it.

    The errors are those of `run`, and CaffeError for a fork that does not come to an end within so many seconds.
    """
    patience = patience or _PATIENCE
    receiving, sending = os.pipe()
    with tempfile.TemporaryFile() as log, os.fdopen(receiving, "rb") as stream:
        fork = os.fork()
        if fork == 0:
            _be_the_fork(work, sending, log.fileno(), patience)
        os.close(sending)
        status = None
        events = _Events(stream)
        try:
            yield from events
            _, status = os.waitpid(fork, 0)
        finally:
            if status is None:
                os.kill(fork, signal.SIGKILL)
                os.waitpid(fork, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
            raise CaffeError(f"Caffe did not come to an end within {patience} seconds")
        if status != 0 or not events.whole:
            raise ended_early(log, -os.WTERMSIG(status) or os.WEXITSTATUS(status))


def _be_the_fork(work: Callable[[], Iterable[Any]], sending: int, log: int, patience: int) -> None:
    """Do the work and end, without the clean-up that is for the original process to do."""
    code = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(patience)
        os.dup2(log, 1)
        os.dup2(log, 2)
        with os.fdopen(sending, "wb") as events:
            _send(work, events)
        code = 0
    except BaseException:
        os.write(log, traceback.format_exc().encode())
    finally:
        os._exit(code)


def cores() -> int:
    """Return how many cores this process may use."""
    # Only Linux tells what a process may use of what there is.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main(function: str, *, spells_flags: bool) -> None:
    """Run, in the child, the function that the parent names with the arguments that it sends.

    Its messages spell options as the parent's do.
    """
    # Whatever prints to standard output, Python or C++, must not land between the events.
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        arguments, coming = plain.read(sys.stdin.buffer)
    except plain.BrokenError:
        sys.exit("no arguments came on standard input (docker run needs -i)")
    if coming is not None:
        arguments[coming] = _Events(sys.stdin.buffer)
    module, _, name = function.partition(":")
    with flags(spells_flags):
        _send(lambda: getattr(importlib.import_module(module), name)(**arguments), events)
    events.close()


def _send(work: Callable[[], Iterable[Any]], events: IO[bytes]) -> None:
    produced = work()
    try:
        for event in produced:
            plain.write(event, events)
            events.flush()
        plain.write(plain.END, events)
    except NetbuildError as error:
        plain.write(error, events)
    except BrokenPipeError:
        # The caller is gone, and nobody wants the rest; what a generator keeps in hand it may still put away.
        if isinstance(produced, GeneratorType):
            produced.close()
        os._exit(1)
