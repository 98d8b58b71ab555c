"""netbuild train."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Sequence

import click

from netbuild.errors import NetbuildError

from .console import can_draw, note, say, wrote
from .options import caffe_option, gpu_option, output_folder_option, state_options, workers_options
from .progress import FeatureReporter, progress
from .values import pairs
from .words import aligned

if TYPE_CHECKING:
    from netbuild.train.events import Event, Started, Stepped
    from netbuild.train.grid import Tried
    from netbuild.train.run import Trained

_INTERRUPTED = 130
"""Exit status, as a shell's after Ctrl-C: a script's next command must not run on half a training."""


@click.command("train")
@click.argument("solver", metavar="SOLVER.prototxt")
@click.option("--weights", metavar="FILE", multiple=True, help="Start from these weights; repeat for several files.")
@click.option("--resume", metavar="FILE", help="Continue from this solverstate.")
@output_folder_option
@click.option("--max-iter", type=click.IntRange(1), metavar="N", help="Number of iterations.  [default: the solver's]")
@click.option(
    "--grid",
    metavar="FIELD=VALUE,VALUE",
    multiple=True,
    callback=pairs("field"),
    help="Train with each of these values of a field of the solver, and report the best; with several --grid, with "
    "each combination.",
)
@state_options
@gpu_option
@click.option(
    "--features",
    "where",
    metavar="auto|off|DIR",
    default="auto",
    show_default=True,
    help="Train the head alone, on features that are computed once. auto: if the result is the same and it saves time; "
    "off: never; DIR: on the features kept there.",
)
@workers_options
@click.option("--shuffle", is_flag=True, help="Read the features in a new order in each pass.")
@click.option("--head-only", is_flag=True, help="Write snapshots without the frozen layers.")
@click.option(
    "--force",
    is_flag=True,
    help="Train even if this Caffe computes a layer wrong (netbuild doctor), or a frozen layer has no weights.",
)
@click.option("--plot/--no-plot", default=True, help="Draw the curves at the end.  [default: plot]")
@caffe_option
def command(
    solver: str,
    output: str,
    grid: Dict[str, str],
    where: str,
    workers: int,
    scheduler: str,
    shuffle: bool,
    head_only: bool,
    plot: bool,
    **options: Any,
) -> None:
    """Train with Caffe's own solver. Log, curves and snapshots go to DIR.

    Ctrl-C writes a snapshot and ends cleanly; --resume continues from it. Frozen layers that compute the same in every
    pass over the data are run only once: the head is then trained on their features, and the frozen layers are added to
    every snapshot.
    """
    from netbuild.features.make import Execution
    from netbuild.train.head import Features

    if grid and options["resume"]:
        raise click.UsageError("--grid starts a new training for each setting, and --resume continues one: give one")
    if where == "off" and (shuffle or head_only):
        raise click.UsageError("--shuffle and --head-only are for training on features, which --features off forbids")
    options["features"] = Features(where, execution=Execution(workers, scheduler), shuffle=shuffle, head_only=head_only)
    plot = plot and can_draw("curves")
    interrupted = _train_grid(solver, output, grid, plot, options) if grid else _train(solver, output, plot, options)
    if interrupted:
        sys.exit(_INTERRUPTED)


def _train(solver: str, output: str, plot: bool, options: Dict[str, Any]) -> bool:
    """Train once and report; return whether the training was interrupted."""
    from netbuild.train.run import train_solver

    with Reporter() as reporter:
        result = train_solver(solver, output, on_event=reporter.show, **options)
    _report(result, Path(solver).name, plot)
    return result.interrupted


def _train_grid(solver: str, output: str, grid: Dict[str, str], plot: bool, options: Dict[str, Any]) -> bool:
    """Train with every setting and report; return whether it was interrupted."""
    from netbuild.train.grid import train_grid

    values = {name: listed.split(",") for name, listed in grid.items()}
    with Reporter() as reporter:
        tried = train_grid(solver, output, values, on_event=reporter.show, **options)
    _report_grid(tried, Path(output), plot)
    return any(one.ended == "interrupted" for one in tried)


def _report(result: Trained, title: str, plot: bool) -> None:
    from netbuild.train.log import draw_curves

    picture = result.log.with_name("curves.png")
    logged = result.log.exists()  # not if the run was asked to end before the first row
    drawn = plot and logged and _drawn(lambda: draw_curves(result.log, picture, title))
    ended = "interrupted" if result.interrupted else "finished"
    scores = ", ".join(f"{name} {value:.4f}" for name, value in result.scores.items())
    say(f"{ended} at iteration {result.iteration}" + (f": {scores}" if scores else ""))
    log = [result.log] if logged else []
    for path in (result.caffemodel, result.solverstate, *log, *([picture] if drawn else [])):
        wrote(path)


def _report_grid(tried: Sequence[Tried], folder: Path, plot: bool) -> None:
    from netbuild.train.grid import TABLE, setting_name
    from netbuild.train.log import draw_grid

    for line in _grid_table(tried):
        say(line)
    logs = {setting_name(one.setting): one.log for one in tried if one.log.exists()}
    picture = folder / "grid.png"
    drawn = plot and _drawn(lambda: draw_grid(logs, picture))
    best = tried[0].trained
    assert best is not None  # a grid of which all diverged is an error
    say(f"best: {setting_name(tried[0].setting)}")
    for path in (best.caffemodel, best.solverstate, folder / TABLE, *([picture] if drawn else [])):
        wrote(path)


def _grid_table(tried: Sequence[Tried]) -> List[str]:
    names = list(dict.fromkeys(name for one in tried for name in one.scores))
    heading = [*tried[0].setting, *names]
    return aligned([heading, *(_row(one, names) for one in tried)], heading)


def _row(one: Tried, names: Sequence[str]) -> List[str]:
    values = list(one.setting.values())
    if one.trained is None:
        return [*values, one.ended, *[""] * (len(names) - 1)]
    return [*values, *(f"{one.scores.get(name, math.nan):.4f}" for name in names)]


def _drawn(draw: Callable[[], None]) -> bool:
    """Draw, and return whether that worked; if not, a note says why. A training is not lost for a picture."""
    try:
        draw()
    except NetbuildError as error:
        note(error)
        return False
    return True


class Reporter:
    """A progress bar on stderr with loss, learning rate and ETA; tests are printed as they come."""

    def __init__(self) -> None:
        self._bar = progress(1, "training")
        self._at = 0
        self._features = FeatureReporter()

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.__exit__(*error)

    def show(self, event: Event) -> None:
        """Show one event."""
        from netbuild.features.make import DiskNeed, FeatureProgress
        from netbuild.train.events import Note, Started, Stepped, Tested

        if isinstance(event, Note):
            note(event.text)
        elif isinstance(event, (DiskNeed, FeatureProgress)):
            self._features.show(event)
        elif isinstance(event, Started):
            self._start(event)
        elif isinstance(event, Stepped):
            self._step(event)
        elif isinstance(event, Tested):
            scores = "  ".join(f"{name} {value:.4f}" for name, value in event.scores.items())
            say(f"iteration {event.iteration}: {scores}")

    def _start(self, event: Started) -> None:
        self._bar.__exit__(None, None, None)
        self._bar = progress(event.max_iter - event.iteration, "training")
        self._bar.__enter__()
        self._at = event.iteration

    def _step(self, event: Stepped) -> None:
        self._bar.label = f"loss {event.loss:.4f}  lr {event.lr:.2g}"
        self._bar.update(event.iteration - self._at)
        self._at = event.iteration
