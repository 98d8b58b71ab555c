"""netbuild train."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional, Sequence

import click

from netbuild.errors import NetbuildError
from netbuild.features.make import Need, Progress, Ways
from netbuild.train.events import Event, Note, Started, Stepped, Tested
from netbuild.train.head import Features
from netbuild.train.log import draw_curves
from netbuild.train.run import train_solver

from .features import FeaturesReporter
from .options import gpu_option, output_folder_option, progress, workers_options

_INTERRUPTED = 130
"""Exit status, as a shell's after Ctrl-C: what should follow a training must not follow half a one."""


@click.command("train")
@click.argument("solver", metavar="SOLVER.prototxt")
@click.option("--weights", metavar="FILE", multiple=True, help="Start from this caffemodel; repeat for several.")
@click.option("--resume", metavar="FILE", help="Go on from this solverstate.")
@output_folder_option
@click.option("--max-iter", type=click.IntRange(1), help="Number of iterations.  [default: the solver's]")
@gpu_option
@click.option(
    "--features",
    metavar="auto|off|DIR",
    default="auto",
    show_default=True,
    help="Train the head alone, on features that are computed once: where that is the same and pays; never; on those "
    "kept in DIR.",
)
@workers_options
@click.option("--shuffle", is_flag=True, help="Read the features in another order in each pass.")
@click.option("--head-only", is_flag=True, help="Leave the frozen layers out of the snapshots.")
@click.option("--plot/--no-plot", default=True, help="Draw curves.png at the end.  [default: plot]")
def command(
    solver: str,
    weights: Sequence[str],
    resume: Optional[str],
    output: str,
    max_iter: Optional[int],
    gpu: Optional[int],
    plot: bool,
    features: str,
    workers: Optional[int],
    scheduler: Optional[str],
    shuffle: bool,
    head_only: bool,
) -> None:
    """Train with Caffe's own solver: log, curves and snapshots go to DIR.

    Ctrl-C writes a snapshot and ends cleanly; --resume goes on from it. Frozen layers that compute the same in every
    pass over the data run once; then the head is trained on their features, and every snapshot completed with them.
    """
    with Reporter() as reporter:
        result = train_solver(
            solver,
            output,
            weights=weights,
            resume=resume,
            max_iter=max_iter,
            gpu=gpu,
            features=Features(features, Ways(workers, scheduler), shuffle, head_only),
            on_event=reporter.show,
        )
    picture = result.log.with_name("curves.png")
    if plot:
        try:
            draw_curves(result.log, picture, title=Path(solver).name)
        except NetbuildError as error:
            click.echo(f"note: {error}", err=True)
            plot = False
    ended = "interrupted" if result.interrupted else "finished"
    scores = ", ".join(f"{name} {value:.4f}" for name, value in result.scores.items())
    click.echo(f"{ended} at iteration {result.iteration}" + (f": {scores}" if scores else ""))
    for path in (result.caffemodel, result.solverstate, result.log, *([picture] if plot else [])):
        click.echo(f"wrote {path}")
    if result.interrupted:
        sys.exit(_INTERRUPTED)


class Reporter:
    """A progress bar on stderr with loss, learning rate and ETA; tests are printed as they come."""

    def __init__(self) -> None:
        self._bar = progress(1, "starting Caffe")
        self._at = 0
        self._features = FeaturesReporter()

    def __enter__(self) -> Reporter:
        self._bar.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.__exit__(*error)

    def show(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Note):
            click.echo(f"note: {event.text}", err=True)
        elif isinstance(event, (Need, Progress)):
            self._features.show(event)
        elif isinstance(event, Started):
            self._at = event.iteration
            self._bar.length = event.max_iter - event.iteration
        elif isinstance(event, Stepped):
            self._bar.label = f"loss {event.loss:.4f}  lr {event.lr:.2g}"
            self._bar.update(event.iteration - self._at)
            self._at = event.iteration
        elif isinstance(event, Tested):
            scores = "  ".join(f"{name} {value:.4f}" for name, value in event.scores.items())
            click.echo(f"iteration {event.iteration}: {scores}")
