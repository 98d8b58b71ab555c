"""netbuild features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, Optional, Sequence, Union

import click

from netbuild.features.make import DiskNeed, Execution, FeatureProgress, Kept, make_features

from .console import is_quiet, say, wrote
from .options import dry_run_option, gpu_option, json_option, output_folder_option, progress, workers_options


@click.command("features")
@click.argument("net", metavar="TRAIN_VAL.prototxt")
@click.option(
    "--weights", metavar="FILE", multiple=True, required=True, help="The net's trained weights; repeat for several."
)
@output_folder_option
@workers_options
@gpu_option
@click.option("--force", is_flag=True, help="Replace features in DIR that were computed from something else.")
@dry_run_option
@json_option
def command(
    net: str,
    weights: Sequence[str],
    output: str,
    workers: Optional[int],
    scheduler: Optional[str],
    gpu: Optional[int],
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run the frozen part of a net once over its data and keep what the head reads, for training in seconds.

    DIR gets HDF5 files of features and labels for each phase, and DIR/head_train.prototxt, a net that reads them.
    Interrupted, it goes on where it was when it is called again; what is finished and still right is kept.
    """
    with FeaturesReporter() as reporter:
        found = make_features(
            net,
            weights,
            output,
            Execution(workers, scheduler, gpu),
            force=force,
            dry_run=dry_run,
            on_event=reporter.show,
        )
    if as_json:
        click.echo(json.dumps({name: _as_dict(kept) for name, kept in found.items()}, indent=2))
        return
    for name, kept in found.items():
        blobs = ", ".join(f"{blob} {' x '.join(map(str, shape)) or 'number'}" for blob, shape in kept.blobs.items())
        say(f"{name}: {kept.images:,} images, {blobs}: {_size(kept.size)} in {kept.files} files, {kept.new} new")
    for name in () if dry_run else found:
        wrote(Path(output) / f"head_{name}.prototxt")


def _as_dict(kept: Kept) -> Dict[str, object]:
    names = ("images", "batch", "blobs", "files", "new", "size")
    return {name: getattr(kept, name) for name in names}


def _size(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"


class FeaturesReporter:
    """Tells on stderr what will be computed; then a progress bar with images per second and ETA."""

    def __init__(self) -> None:
        self._bar = progress(1, "features")
        self._done = 0

    def __enter__(self) -> FeaturesReporter:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.__exit__(*error)

    def show(self, event: Union[DiskNeed, FeatureProgress]) -> None:
        """Show one event."""
        if isinstance(event, DiskNeed):
            if not is_quiet():
                told = f"{_size(event.size)} on disk, {_size(event.free)} are free"
                say(f"features of {event.images:,} images: {told}", err=True)
            self._bar.length = event.images
            self._bar.__enter__()
            return
        self._bar.label = f"features, {event.per_second:,.0f} images/s"
        self._bar.update(event.done - self._done)
        self._done = event.done
