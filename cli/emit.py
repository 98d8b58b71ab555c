"""netbuild emit."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Mapping, Optional, Sequence

import click

from netbuild.emit.source import AS_IT_IS, KINDS, DataSource
from netbuild.errors import did_you_mean
from netbuild.fusion import Built

from .builders import list_builders
from .complete import complete_net
from .console import note, say
from .fusing import fusion, fusion_options
from .options import caffe_option, dry_run_option, flag, output_folder_option
from .values import keyed, pairs, side, single, size

_LISTS = ("train_source", "test_source")


def _crop(text: str) -> int:
    """Return the side of a crop; 0 for none."""
    return 0 if text == "none" else side(text)


@click.command("emit")
@click.argument("net", shell_complete=complete_net)
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=list_builders, help="List the builders."
)
@fusion_options
@output_folder_option
@click.option("--data", "kind", type=click.Choice(KINDS), default="image", show_default=True, help="Kind of data.")
@click.option(
    "--train-source",
    metavar="[INPUT=]FILE",
    multiple=True,
    callback=keyed(str),
    help="List file or database for training; for a net with several inputs, one for each input.  [default: train.txt]",
)
@click.option(
    "--test-source",
    metavar="[INPUT=]FILE",
    multiple=True,
    callback=keyed(str),
    help="List file or database for testing, in the same way.  [default: val.txt]",
)
@click.option(
    "--train-batch", type=int, metavar="N", default=50, show_default=True, help="Images in a batch of training."
)
@click.option("--test-batch", type=int, metavar="N", default=20, show_default=True, help="Images in a batch of a test.")
@click.option(
    "--deploy-batch",
    type=click.IntRange(1),
    metavar="N",
    help="Images in a batch of the deploy net.  [default: 1, or what the branches' nets declare if they take no other]",
)
@click.option("--color/--grey", "color", default=None, help="Colour (BGR) or grey images.  [default: from the branch]")
@click.option("--mean-file", metavar="FILE", help="Mean image (binaryproto) to subtract instead of mean values.")
@click.option(
    "--crop",
    metavar="SIDE|none",
    callback=single(_crop),
    help="Square crop: at random in TRAIN, from the middle in TEST.  [default: from the branches' data layers]",
)
@click.option(
    "--resize",
    metavar="H,W",
    callback=single(size),
    help="Resize images before the crop.  [default: from the branches' data layers, or to --shape]",
)
@click.option(
    "--mirror/--no-mirror",
    default=None,
    help="Mirror images at random in TRAIN.  [default: from the branches' data layers]",
)
@click.option("--shuffle", is_flag=True, help="Shuffle the list in each epoch of TRAIN.")
@click.option(
    "--root-folder",
    metavar="DIR",
    help="Folder of the paths in the lists.  [default: from the branches' data layers]",
)
@click.option("--split-phases", is_flag=True, help="Write train.prototxt and test.prototxt, not train_val.prototxt.")
@click.option("--solver-mode", type=click.Choice(["CPU", "GPU"]), help="Where Caffe trains.  [default: CPU]")
@click.option(
    "--test-iter", type=click.IntRange(1), metavar="N", help="Batches of a test.  [default: the whole test list]"
)
@click.option(
    "--solver",
    "solver_options",
    metavar="FIELD=VALUE",
    multiple=True,
    callback=pairs("solver field"),
    help="Any other field of the solver, such as base_lr=0.001; repeat for several.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Replace a solver.prototxt that was edited; else it is kept.",
)
@dry_run_option
@caffe_option
def command(
    net: str,
    output: str,
    solver_mode: Optional[str],
    test_iter: Optional[int],
    solver_options: Dict[str, str],
    deploy_batch: Optional[int],
    split_phases: bool,
    force: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Write train_val.prototxt, deploy.prototxt and solver.prototxt of a net.

    \b
    NET is one of these:
      a builder                 lenet, resnet50, ...; --list lists them
      your own builder          package.module:function
      a prototxt                deploy or train_val; FILE@BLOB cuts it at a blob
      a prototxt of each phase  train.prototxt,test.prototxt
      the word fusion           all --branch nets, joined, under a new head
    """
    from netbuild.emit.files import emit_files

    wanted = fusion(net, options)
    if solver_mode is not None:
        solver_options.setdefault("solver_mode", solver_mode)
    if test_iter is not None:
        solver_options["test_iter"] = str(test_iter)

    def sources(built: Built) -> Dict[str, DataSource]:
        chosen = _sources(built, options)
        if wanted.all_heads and "test_iter" not in solver_options:
            _note_test_iter(chosen[next(iter(built.inputs))])
        return chosen

    written = emit_files(
        wanted,
        sources,
        output,
        split_phases=split_phases,
        deploy_batch=deploy_batch,
        solver_options=solver_options,
        dry_run=dry_run,
        force=force,
    )
    for path in written:
        say(f"would write {path}" if dry_run else path)


def _note_test_iter(source: DataSource) -> None:
    """Say why a test takes the recipe's number of batches, where the images of the test are not counted."""
    from netbuild.emit.files import list_length

    if list_length(source) is not None:
        return
    why = {
        "image": f"{source.test_source} is not there to be counted",
        "hdf5": "what HDF5 files hold is not counted",
        "input": "",
    }.get(source.kind, "what a database holds is not counted")
    if why:
        note(f"{why}; test_iter is set to 500")


def _sources(built: Built, options: Mapping[str, Any]) -> Dict[str, DataSource]:
    """Return the data source of each input: what the branches declare, changed by the options."""
    listed = [*options["train_source"], *options["test_source"]]
    blobs = [*built.inputs, *[blob for blob in built.labels if blob in listed]]
    for blob in listed:
        if blob and blob not in blobs:
            hint = did_you_mean(blob, blobs, f"it reads {', '.join(blobs)}")
            raise click.UsageError(f"no input or label of the net is called {blob!r}; {hint}")
    _require_own_lists(list(built.inputs), options)
    return {blob: _source(built, blob, options) for blob in blobs}


def _require_own_lists(inputs: Sequence[str], options: Mapping[str, Any]) -> None:
    """Refuse one list for several inputs: only the user knows whether they read the same images."""
    if len(inputs) < 2 or options["kind"] in AS_IT_IS:
        return
    for option in _LISTS:
        missing = [f"{flag(option)} {blob}=FILE" for blob in inputs if blob not in options[option]]
        if missing:
            raise click.UsageError(
                f"the net has the inputs {' and '.join(inputs)}, and each needs a list of its own: give "
                f"{' '.join(missing)}; it may be one file if they read the same images"
            )


def _source(built: Built, blob: str, options: Mapping[str, Any]) -> DataSource:
    _require_one_mean(built, blob, options)
    own = {name: options[name].get(blob, options[name].get("")) for name in _LISTS}
    fields = {field.name for field in dataclasses.fields(DataSource)} - {"input", *_LISTS}
    return DataSource(
        **{name: path for name, path in own.items() if path is not None},
        **{name: value for name, value in options.items() if name in fields},
    )


def _require_one_mean(built: Built, blob: str, options: Mapping[str, Any]) -> None:
    """Refuse a mean file beside mean values, which would be subtracted too."""
    if options["mean_file"] and options["mean"]:
        raise click.UsageError("--mean and --mean-file exclude each other")
    if options["mean_file"] and blob in built.uneven:
        raise click.UsageError(
            f"--mean-file: the branches that read {blob!r} subtract means of their own, and the mean image would be "
            "subtracted as well; give mean values, or --mean none, to each"
        )
