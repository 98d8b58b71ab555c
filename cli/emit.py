"""netbuild emit."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Mapping, Optional, Sequence

import click

from netbuild.emit.files import emit_files, list_length
from netbuild.emit.source import AS_IT_IS, KINDS, DataSource
from netbuild.errors import did_you_mean
from netbuild.fusion import Built, build

from .builders import complete_net, list_builders
from .console import note, say
from .fusing import fusion, fusion_options
from .options import dry_run_option, keyed, numbers, output_folder_option, pairs


def _crop(_ctx: click.Context, param: click.Parameter, value: Optional[str]) -> Optional[int]:
    if value is None:
        return None
    if value == "none":
        return 0
    if not value.isdecimal() or not int(value):
        raise click.BadParameter(f"{value!r}: expected {param.metavar}, a whole number from 1 on")
    return int(value)


@click.command("emit")
@click.argument("net", shell_complete=complete_net)
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=list_builders, help="List the builders."
)
@fusion_options
@output_folder_option
@click.option("--data", "kind", type=click.Choice(KINDS), default="image", show_default=True, help="Kind of source.")
@click.option(
    "--train-source",
    metavar="[INPUT=]FILE",
    multiple=True,
    callback=keyed(str),
    help="List file or database for training; of a net with several inputs, one for each.  [default: train.txt]",
)
@click.option(
    "--test-source",
    metavar="[INPUT=]FILE",
    multiple=True,
    callback=keyed(str),
    help="List file or database for testing, likewise.  [default: val.txt]",
)
@click.option("--train-batch", type=int, default=50, show_default=True)
@click.option("--test-batch", type=int, default=20, show_default=True)
@click.option("--deploy-batch", type=click.IntRange(1), default=1, show_default=True)
@click.option("--color/--grey", "color", default=None, help="BGR or grey images.  [default: as for --shape]")
@click.option("--mean-file", metavar="FILE", help="Mean image (binaryproto), in place of mean values.")
@click.option(
    "--crop",
    metavar="SIDE|none",
    callback=_crop,
    help="Square crop: at random in TRAIN, from the middle in TEST.  [default: as the branches' data layers tell]",
)
@click.option(
    "--resize",
    metavar="H,W",
    callback=numbers([2]),
    help="Resize images before cropping.  [default: as the branches' data layers tell, or to --shape]",
)
@click.option(
    "--mirror/--no-mirror",
    default=None,
    help="Mirror images at random in TRAIN.  [default: as the branches' data layers tell]",
)
@click.option("--shuffle", is_flag=True, help="Shuffle the list each epoch in TRAIN.")
@click.option(
    "--root-folder",
    help="Put in front of each path of the lists.  [default: as the branches' data layers tell]",
)
@click.option("--split-phases", is_flag=True, help="train.prototxt and test.prototxt in place of train_val.prototxt.")
@click.option("--solver-mode", type=click.Choice(["CPU", "GPU"]), help="[default: CPU]")
@click.option("--test-iter", type=click.IntRange(1), help="Batches of a test.  [default: the test list once]")
@click.option(
    "--solver",
    "solver_options",
    metavar="FIELD=VALUE",
    multiple=True,
    callback=pairs("solver field"),
    help="Any other field of the solver: base_lr=0.001, snapshot_prefix=mnist_lenet_fused. Repeat as needed.",
)
@click.option("--force", is_flag=True, help="Replace a solver.prototxt that was edited since; else it is kept.")
@dry_run_option
def command(
    net: str,
    output: str,
    solver_mode: Optional[str],
    test_iter: Optional[int],
    solver_options: Dict[str, str],
    deploy_batch: int,
    split_phases: bool,
    force: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Write train_val.prototxt, deploy.prototxt and solver.prototxt of a net.

    NET is a builder (--list tells which there are), your own as package.module:function, a prototxt
    (deploy or train_val, with @BLOB to cut it there; two files, one per phase, with a comma between them), or the word
    fusion, which joins the branches given with --branch under a new head.
    """
    wanted = fusion(net, options)
    built = build(wanted)
    sources = _sources(built, options)
    first = sources[next(iter(built.inputs))]
    if solver_mode is not None:
        solver_options.setdefault("solver_mode", solver_mode)
    if test_iter is not None:
        solver_options["test_iter"] = str(test_iter)
    elif wanted.all_heads and "test_iter" not in solver_options and list_length(first) is None:
        _say_test_iter(first)
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


def _say_test_iter(source: DataSource) -> None:
    """Say why a test takes the recipe's number of batches."""
    why = {
        "image": f"{source.test_source} is not there to be counted",
        "hdf5": "what HDF5 files hold is not counted",
        "input": "",
    }.get(source.kind, "what a database holds is not counted")
    if why:
        note(f"{why}; test_iter is set to 500")


def _sources(built: Built, options: Mapping[str, Any]) -> Dict[str, DataSource]:
    """Return the source of each input, prepared as the branches' sources tell, changed by what the options say."""
    listed = [*options["train_source"], *options["test_source"]]
    blobs = [*built.inputs, *[blob for blob in built.labels if blob in listed]]
    for blob in listed:
        if blob and blob not in blobs:
            hint = did_you_mean(blob, blobs, f"it reads {', '.join(blobs)}")
            raise click.UsageError(f"no input or label of the net is called {blob!r}; {hint}")
    _require_own_lists(list(built.inputs), options)
    return {blob: _source(built, blob, options) for blob in blobs}


def _require_own_lists(inputs: Sequence[str], options: Mapping[str, Any]) -> None:
    """Refuse one list for several inputs of which nobody says that they read the same images."""
    if len(inputs) < 2 or options["kind"] in AS_IT_IS:
        return
    for option in ("train_source", "test_source"):
        missing = [blob for blob in inputs if blob not in options[option]]
        if missing:
            named = option.replace("_", "-")
            raise click.UsageError(
                f"the net has the inputs {' and '.join(inputs)}, and each needs a list of its own: give "
                f"{' '.join(f'--{named} {blob}=FILE' for blob in missing)}; it may be one file where they read the "
                "same images"
            )


def _source(built: Built, blob: str, options: Mapping[str, Any]) -> DataSource:
    if options["mean_file"]:
        if options["mean"]:
            raise click.UsageError("--mean and --mean-file exclude each other")
        if blob in built.uneven:
            raise click.UsageError(
                f"--mean-file: the branches that read {blob!r} subtract means of their own, and it would come on top; "
                "give mean values, or --mean none, to each"
            )
    fields = {field.name for field in dataclasses.fields(DataSource)} - {"input", "train_source", "test_source"}
    named = {name: options[name].get(blob, options[name].get("")) for name in ("train_source", "test_source")}
    paths = {name: path for name, path in named.items() if path is not None}
    return DataSource(**paths, **{name: value for name, value in options.items() if name in fields})
