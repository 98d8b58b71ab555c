"""netbuild features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Dict, Optional, Sequence

import click

from .console import say, say_json, wrote
from .options import (
    caffe_option,
    dry_run_option,
    gpu_option,
    in_state,
    json_option,
    output_folder_option,
    state_options,
    workers_options,
)
from .progress import FeatureReporter
from .words import by, mib

if TYPE_CHECKING:
    from netbuild.features.make import Kept


@click.command("features")
@click.argument("net", metavar="TRAIN_VAL.prototxt")
@click.option(
    "--weights", metavar="FILE", multiple=True, required=True, help="The net's trained weights; repeat for several."
)
@output_folder_option
@state_options
@workers_options
@gpu_option
@click.option(
    "--force",
    is_flag=True,
    help="Replace features in DIR that were computed from something else.",
)
@dry_run_option
@json_option
@caffe_option
def command(
    net: str,
    weights: Sequence[str],
    output: str,
    stages: Sequence[str],
    level: Optional[int],
    workers: Optional[int],
    scheduler: Optional[str],
    gpu: Optional[int],
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run the frozen part of a net once over its data, and keep the features that the head reads.

    Training the head on them takes seconds. DIR gets HDF5 files of features and labels for each phase, and
    DIR/head_train.prototxt, a net that reads them. Run again after an interruption, the command goes on where it
    stopped; features that are finished and still valid are kept.
    """
    from netbuild.features.make import Execution, make_features

    with FeatureReporter() as reporter:
        found = make_features(
            in_state(net, stages, level),
            weights,
            output,
            Execution(workers, scheduler, gpu),
            force=force,
            dry_run=dry_run,
            on_event=reporter.show,
        )
    if as_json:
        say_json({name: _as_dict(kept) for name, kept in found.items()})
        return
    for name, kept in found.items():
        blobs = ", ".join(f"{blob} {by(shape) or 'number'}" for blob, shape in kept.blobs.items())
        say(f"{name}: {kept.images:,} images, {blobs}: {mib(kept.size)} MiB in {kept.files} files, {kept.new} new")
    for name in () if dry_run else found:
        wrote(Path(output) / f"head_{name}.prototxt")


def _as_dict(kept: Kept) -> Dict[str, object]:
    names = ("images", "batch", "blobs", "files", "new", "size")
    return {name: getattr(kept, name) for name in names}
