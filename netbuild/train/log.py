"""The log of a training run as CSV, and its curves as PNG."""

from __future__ import annotations

import csv
import errno
import io
import os
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Tuple

from ..errors import NetbuildError
from ..files import PathLike, existing_file, write_text
from ..pictures import new_figure, plain, save_png, svg_bytes
from .events import Event, Started, Stepped, Tested

FIELDS = ("iteration", "seconds", "phase", "name", "value")
"""One row per number, with the seconds since the run began or went on.

Phase TRAIN has `loss` and `lr`, phase TEST the outputs of the test net.
"""


class Log:
    """Appends the numbers of a run to a CSV file, row by row; the file is made with the first of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = time.monotonic()

    def add(self, event: Event) -> None:
        """Log the numbers of an event, if it has any; a start cuts off what an earlier run logged beyond it."""
        if isinstance(event, Started) and self._path.exists():
            self._cut(event.iteration)
        elif isinstance(event, Stepped):
            self._add(event.iteration, "TRAIN", {"loss": event.loss, "lr": event.lr})
        elif isinstance(event, Tested):
            self._add(event.iteration, "TEST", dict(event.scores))

    def _add(self, iteration: int, phase: str, numbers: Dict[str, float]) -> None:
        text = io.StringIO(newline="")
        rows = csv.writer(text)
        if not self._path.exists():
            rows.writerow(FIELDS)
        seconds = f"{time.monotonic() - self._start:.3f}"
        rows.writerows([iteration, seconds, phase, name, repr(value)] for name, value in numbers.items())
        try:
            _append(self._path, text.getvalue().encode("utf-8"))
        except OSError as error:
            raise NetbuildError(f"log {str(self._path)!r}: cannot be written ({error.strerror})") from error

    def _cut(self, iteration: int) -> None:
        read_log(self._path)
        heading, *rows = _lines(self._path)
        write_text(self._path, heading + "".join(row for row in rows if int(row.partition(",")[0]) <= iteration))


def _lines(path: PathLike) -> List[str]:
    """Return the lines of a log; a last line without an end, which a killed run has left, is passed over."""
    with existing_file(path, "log").open(encoding="utf-8", newline="") as file:
        return [line for line in file if line.endswith("\n")]


def _append(path: Path, content: bytes) -> None:
    """Append to a file all of the content, or nothing where the disk is full."""
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            if file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(size)
            if not size:
                path.unlink()
            raise


def read_log(path: PathLike) -> Dict[Tuple[str, str], List[Tuple[int, float]]]:
    """Return the curves of a log: (phase, name) -> [(iteration, value), ...].

    Raises NetbuildError where it is another file, or none.
    """
    curves: Dict[Tuple[str, str], List[Tuple[int, float]]] = {}
    try:
        for row in csv.DictReader(_lines(path)):
            curves.setdefault((row["phase"], row["name"]), []).append((int(row["iteration"]), float(row["value"])))
    except (KeyError, TypeError, ValueError, csv.Error):
        raise NetbuildError(f"log {os.fspath(path)!r}: is not one of netbuild's; remove or rename it") from None
    return curves


def draw_curves(log: PathLike, picture: PathLike, title: str = "") -> None:
    """Draw a log's losses and accuracies over the iterations, as PNG."""
    save_png(_curves(log, title), picture)


def curves_svg(log: PathLike) -> bytes:
    """Return the same picture as an SVG file."""
    return svg_bytes(_curves(log, ""))


def _curves(log: PathLike, title: str) -> Any:
    def draw(losses: Any, accuracies: Any) -> None:
        for (phase, name), points in read_log(log).items():
            if name != "lr":
                is_loss = "loss" in name or phase == "TRAIN"
                axes, dashed = (losses, phase == "TEST") if is_loss else (accuracies, False)
                _plot(axes, points, f"{name} ({phase})", dashed=dashed)

    return _figure(draw, title)


def draw_grid(logs: Mapping[str, PathLike], picture: PathLike, title: str = "") -> None:
    """Draw the losses in training and the test scores of several runs, by label, in one picture (PNG)."""

    def draw(losses: Any, accuracies: Any) -> None:
        for label, log in logs.items():
            for (phase, name), points in read_log(log).items():
                if (phase, name) == ("TRAIN", "loss"):
                    _plot(losses, points, label, dashed=False)
                elif phase == "TEST" and "accuracy" in name:
                    _plot(accuracies, points, label, dashed=False)

    save_png(_figure(draw, title), picture)


def _figure(draw: Callable[[Any, Any], None], title: str) -> Any:
    figure = new_figure("curves", (10, 4))
    losses, accuracies = figure.subplots(1, 2)
    draw(losses, accuracies)
    # Losses that are all zero, infinite or NaN have no logarithm to draw.
    has_logarithms = any(0 < value < float("inf") for line in losses.lines for value in line.get_ydata())
    losses.set(title="loss", xlabel="iteration", yscale="log" if has_logarithms else "linear")
    accuracies.set(title="test scores", xlabel="iteration")
    for axes in (losses, accuracies):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    if title:
        figure.suptitle(plain(title))
    return figure


def _plot(axes: Any, points: List[Tuple[int, float]], label: str, *, dashed: bool) -> None:
    iterations, values = zip(*points)
    line, marker = "--" if dashed else "-", "o" if len(points) < 30 else ""
    axes.plot(iterations, values, linestyle=line, marker=marker, label=plain(label))
