"""Follow the child process of `train`, and keep what it has learnt whatever happens on this side."""

from __future__ import annotations

import contextlib
import os
import warnings
from dataclasses import dataclass, field
from typing import Callable, Dict, Generator, Iterator, Optional, Union

from ..engine.child import END
from ..engine.ending import KilledError
from ..errors import NetbuildError, NetbuildWarning
from ..files import PathLike
from ..spelling import either, option
from .events import Diverged, Event, Finished, Saved, Started, Tested
from .job import Place

Events = Generator[Event, Optional[str], None]
MemoryInWords = Callable[[], Optional[str]]
"""Says how much memory a training takes, where that is known."""


@dataclass
class Course:
    """What a run has reported so far."""

    place: Place
    resumed: Optional[PathLike] = None
    """The solverstate that the run began from."""
    scores: Dict[str, float] = field(default_factory=dict)
    """The last test's."""
    end: Union[Finished, Diverged, None] = None
    _started: bool = False
    _saved: Optional[int] = None
    _failed: str = ""

    def take(self, event: Event) -> None:
        """Remember what the event reports."""
        if isinstance(event, Started):
            self._started = True
        elif isinstance(event, Saved):
            self._saved = event.iteration
        elif isinstance(event, Tested):
            self.scores = dict(event.scores)
        elif isinstance(event, (Finished, Diverged)):
            self.end = event

    def finish(self, events: Events) -> None:
        """Ask the child to end, and take what still comes: its last snapshot above all."""
        try:
            self.take(events.send(END))
            for event in events:
                self.take(event)
        except StopIteration:
            pass
        except (NetbuildError, KeyboardInterrupt) as error:
            self._failed = str(error)

    def kept(self) -> str:
        """Say which snapshot there is to go on from."""
        failed = f"{self._failed}; " if self._failed else ""
        if self._saved is None and self.resumed is None:
            return f"{failed}no snapshot was written to go on from"
        if self._saved is None:
            began = _spelled(os.fspath(self.resumed or ""))
            return f"{failed}no snapshot was written since the one that it began from: {began} begins there"
        state = _spelled(str(self.place.files(self._saved)[1]))
        return f"{failed}the last good snapshot is that of iteration {self._saved}: {state} goes on from it"

    def with_kept(self, error: NetbuildError, memory: MemoryInWords = lambda: None) -> NetbuildError:
        """Return an error that also says which snapshot there is and, of a killed process, how much memory
        it takes."""
        taken = memory() if isinstance(error, KilledError) else None
        more = f" ({taken})" if taken else ""
        return type(error)(f"{error}{more}" + (f"; {self.kept()}" if self._started else ""))


def _spelled(resume: str) -> str:
    """Return how to resume from a snapshot; quoted, for its path may have blanks."""
    return either(f"--resume {resume!r}", option("resume", resume))


def follow(events: Events, course: Course, on_event: Callable[[Event], None], memory: MemoryInWords) -> None:
    """Pass on what the child reports up to its end, and let `course` remember it.

    Where `on_event` fails (a full disk, a closed pipe, a caller's mistake), the child is asked to end and given time:
    it saves what it has learnt.
    """
    # Closed whatever happens in between: an abandoned generator would leave its child running.
    with contextlib.closing(events):
        for event in _coming(events, course, memory):
            course.take(event)
            try:
                on_event(event)
            except NetbuildError as error:
                course.finish(events)
                raise course.with_kept(error) from error
            except BaseException as error:
                course.finish(events)
                _warn(f"the training was ended by {type(error).__name__}; {course.kept()}")
                raise


def _warn(text: str) -> None:
    # Where warnings are errors, this one may not take the place of the caller's own exception.
    with contextlib.suppress(NetbuildWarning):
        warnings.warn(text, NetbuildWarning, stacklevel=4)


def _coming(events: Events, course: Course, memory: MemoryInWords) -> Iterator[Event]:
    try:
        yield from events
    except NetbuildError as error:
        course.place.remove_unfinished()
        raise course.with_kept(error, memory) from error
