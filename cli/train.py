"""netbuild train."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

import click

from netbuild.errors import NetbuildError
from netbuild.features.make import DiskNeed, Execution, FeatureProgress
from netbuild.train.events import Event, Note, Started, Stepped, Tested
from netbuild.train.grid import TABLE, Tried, setting_name, train_grid
from netbuild.train.head import Features
from netbuild.train.log import draw_curves, draw_grid
from netbuild.train.run import Trained, train_solver

from .console import note, say, wrote
from .features import FeaturesReporter
from .options import gpu_option, output_folder_option, pairs, progress, workers_options

_INTERRUPTED = 130
"""Exit status, as a shell's after Ctrl-C: what should follow a training must not follow half a one."""


@click.command("train")
@click.argument("solver", metavar="SOLVER.prototxt")
@click.option("--weights", metavar="FILE", multiple=True, help="Start from this caffemodel; repeat for several.")
@click.option("--resume", metavar="FILE", help="Go on from this solverstate.")
@output_folder_option
@click.option("--max-iter", type=click.IntRange(1), help="Number of iterations.  [default: the solver's]")
@click.option(
    "--grid",
    metavar="FIELD=VALUE,VALUE",
    multiple=True,
    callback=pairs("field"),
    help="Try these values of a field of the solver, and keep the best; repeat for all combinations of several.",
)
@gpu_option
@click.option(
    "--features",
    "where",
    metavar="auto|off|DIR",
    default="auto",
    show_default=True,
    help="Train the head alone, on features that are computed once: where that is the same and pays; never; on those "
    "kept in DIR.",
)
@workers_options
@click.option("--shuffle", is_flag=True, help="Read the features in another order in each pass.")
@click.option("--head-only", is_flag=True, help="Leave the frozen layers out of the snapshots.")
@click.option(
    "--force",
    is_flag=True,
    help="Train also with layers that this Caffe computes wrong (netbuild doctor), and frozen ones without weights.",
)
@click.option("--plot/--no-plot", default=True, help="Draw the curves at the end.  [default: plot]")
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
    """Train with Caffe's own solver: log, curves and snapshots go to DIR.

    Ctrl-C writes a snapshot and ends cleanly; --resume goes on from it. Frozen layers that compute the same in every
    pass over the data run once; then the head is trained on their features, and every snapshot completed with them.
    """
    if grid and options["resume"]:
        raise click.UsageError("--grid begins anew with every setting; --resume goes on with one")
    if where == "off" and (shuffle or head_only):
        raise click.UsageError("--shuffle and --head-only are for training on features, which --features off forbids")
    options["features"] = Features(where, execution=Execution(workers, scheduler), shuffle=shuffle, head_only=head_only)
    with Reporter() as reporter:
        options["on_event"] = reporter.show
        if grid:
            tried = train_grid(solver, output, {name: values.split(",") for name, values in grid.items()}, **options)
        else:
            result = train_solver(solver, output, **options)
    if grid:
        _report_grid(tried, Path(output), plot)
    else:
        _report(result, Path(solver).name, plot)
    if any(one.ended == "interrupted" for one in tried) if grid else result.interrupted:
        sys.exit(_INTERRUPTED)


def _report(result: Trained, title: str, plot: bool) -> None:
    picture = result.log.with_name("curves.png")
    logged = result.log.exists()  # not where the run was asked to end before the first row
    drawn = plot and logged and _drawn(lambda: draw_curves(result.log, picture, title))
    ended = "interrupted" if result.interrupted else "finished"
    scores = ", ".join(f"{name} {value:.4f}" for name, value in result.scores.items())
    say(f"{ended} at iteration {result.iteration}" + (f": {scores}" if scores else ""))
    for path in (
        result.caffemodel,
        result.solverstate,
        *([result.log] if logged else []),
        *([picture] if drawn else []),
    ):
        wrote(path)


def _report_grid(tried: Sequence[Tried], folder: Path, plot: bool) -> None:
    names = list(dict.fromkeys(name for one in tried for name in one.scores))
    _print_table([[*tried[0].setting, *names], *(_row(one, names) for one in tried)])
    logs = {setting_name(one.setting): one.log for one in tried if one.log.exists()}
    picture = folder / "grid.png"
    drawn = plot and _drawn(lambda: draw_grid(logs, picture))
    best = tried[0].trained
    assert best is not None  # a grid of which all diverged is an error
    say(f"best: {setting_name(tried[0].setting)}")
    for path in (best.caffemodel, best.solverstate, folder / TABLE, *([picture] if drawn else [])):
        wrote(path)


def _row(one: Tried, names: Sequence[str]) -> List[str]:
    values = list(one.setting.values())
    if one.trained is None:
        return [*values, one.ended, *[""] * (len(names) - 1)]
    return [*values, *(f"{one.scores.get(name, math.nan):.4f}" for name in names)]


def _print_table(rows: List[List[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        say("  ".join(value.ljust(width) for value, width in zip(row, widths)).rstrip())


def _drawn(draw: Callable[[], None]) -> bool:
    """Draw, and say in a note why not; a training is not lost for a picture."""
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
        self._features = FeaturesReporter()

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.__exit__(*error)

    def show(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Note):
            note(event.text)
        elif isinstance(event, (DiskNeed, FeatureProgress)):
            self._features.show(event)
        elif isinstance(event, Started):
            self._bar.__exit__(None, None, None)
            self._bar = progress(event.max_iter - event.iteration, "training")
            self._bar.__enter__()
            self._at = event.iteration
        elif isinstance(event, Stepped):
            self._bar.label = f"loss {event.loss:.4f}  lr {event.lr:.2g}"
            self._bar.update(event.iteration - self._at)
            self._at = event.iteration
        elif isinstance(event, Tested):
            scores = "  ".join(f"{name} {value:.4f}" for name, value in event.scores.items())
            say(f"iteration {event.iteration}: {scores}")
