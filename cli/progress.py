"""Progress on stderr; nothing is shown where stderr is no terminal, or where --quiet is given."""

from __future__ import annotations

import io
import sys
import time
from typing import TYPE_CHECKING, Any, Callable, TextIO, Union

import click

from .console import is_quiet, say
from .words import mib

if TYPE_CHECKING:
    from netbuild.features.make import DiskNeed, FeatureProgress


def progress(total: int, label: str) -> Any:
    """Return click's progress bar."""
    return click.progressbar(length=total, label=label, file=sys.stderr if _shows(sys.stderr) else io.StringIO())


def _shows(stream: TextIO) -> bool:
    return stream.isatty() and not is_quiet()


def byte_progress(label: str) -> Callable[[int, int], None]:
    """Return a function that shows how many bytes of all are done (0: the size is not known).

    It is silent in the first second: what is done by then needs no progress.
    """
    began = time.monotonic()
    shown = False

    def show(done: int, size: int) -> None:
        nonlocal shown
        shown = shown or (_shows(sys.stderr) and time.monotonic() - began > 1)
        if shown:
            share = f" of {size / 2**20:.1f}" if size else ""
            click.echo(f"\r{label} {done / 2**20:.1f}{share} MiB", err=True, nl=done == size)

    return show


class FeatureReporter:
    """Says what will be computed; then a progress bar with images per second and the time left."""

    def __init__(self) -> None:
        self._bar = progress(1, "features")
        self._done = 0

    def __enter__(self) -> FeatureReporter:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.__exit__(*error)

    def show(self, event: Union[DiskNeed, FeatureProgress]) -> None:
        """Show one event."""
        from netbuild.features.make import DiskNeed

        if isinstance(event, DiskNeed):
            self._begin(event)
        else:
            self._bar.label = f"features, {event.per_second:,.0f} images/s"
            self._bar.update(event.done - self._done)
            self._done = event.done

    def _begin(self, need: DiskNeed) -> None:
        if not is_quiet():
            sizes = f"{mib(need.size)} MiB on disk, {mib(need.free)} MiB are free"
            say(f"features of {need.images:,} images: {sizes}", err=True)
        self._bar.length = need.images
        self._bar.__enter__()
