"""netbuild emit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import click

from netbuild.branches.branch import Builder, Input
from netbuild.branches.table import find_builder
from netbuild.data.layers import KINDS, DataSource
from netbuild.emit import default_input, emit_files, list_length
from netbuild.fusion import Fusion

from .options import branch_option, dry_run_option, numbers, output_folder_option, pairs


@click.command("emit")
@click.argument("net")
@branch_option("A branch of the fusion: odd=lenet; NET as above. Once for each branch.")
@click.option("--classes", type=int, required=True, help="Number of classes of the new classifier.")
@output_folder_option
@click.option("--trainable", is_flag=True, help="Let the branches learn too; by default a fusion freezes them.")
@click.option("--blob", help="Name of the joined blob.  [default: the seam's name + _fused]")
@click.option("--head", help="Name of the classifier.  [default: as the branches call theirs]")
@click.option("--data", "kind", type=click.Choice(KINDS), default="image", show_default=True, help="Kind of source.")
@click.option("--train-source", default="train.txt", show_default=True, help="List file or database for training.")
@click.option("--test-source", default="val.txt", show_default=True, help="List file or database for testing.")
@click.option("--train-batch", type=int, default=50, show_default=True)
@click.option("--test-batch", type=int, default=20, show_default=True)
@click.option("--deploy-batch", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--shape", metavar="C,H,W", callback=numbers([3]), help="Shape of an image.  [default: the builder's source's]"
)
@click.option("--color/--grey", "color", default=None, help="BGR or grey images.  [default: the builder's source's]")
@click.option("--mean", metavar="V[,V,V]", help="Mean value, or one per channel (B,G,R); 'none' for no mean.")
@click.option("--mean-file", metavar="FILE", help="Mean image (binaryproto), in place of mean values.")
@click.option("--scale", type=float, help="Factor after the mean is subtracted.")
@click.option("--crop", type=click.IntRange(1), metavar="SIDE", help="Square crop: at random in TRAIN.")
@click.option("--resize", metavar="H,W", callback=numbers([2]), help="Resize images before cropping.")
@click.option("--mirror", is_flag=True, help="Mirror images at random in TRAIN.")
@click.option("--shuffle", is_flag=True, help="Shuffle the list each epoch in TRAIN.")
@click.option("--root-folder", default="", help="Put in front of each path of the lists.")
@click.option("--split-phases", is_flag=True, help="train.prototxt and test.prototxt in place of train_val.prototxt.")
@click.option("--solver-mode", type=click.Choice(["CPU", "GPU"]), default="CPU", show_default=True)
@click.option("--test-iter", type=click.IntRange(1), help="Batches of a test.  [default: the test list once]")
@click.option(
    "--solver",
    "solver_options",
    metavar="FIELD=VALUE",
    multiple=True,
    callback=pairs("solver field"),
    help="Any other field of the solver: base_lr=0.001, snapshot_prefix=mnist_lenet_fused. Repeat as needed.",
)
@dry_run_option
def command(
    net: str,
    branches: Dict[str, str],
    output: str,
    solver_mode: str,
    test_iter: Optional[int],
    solver_options: Dict[str, str],
    deploy_batch: int,
    split_phases: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Write train_val.prototxt, deploy.prototxt and solver.prototxt of a net.

    NET is a builder (lenet, alexnet, caffenet, vgg16, vgg19, googlenet, squeezenet1_0, squeezenet1_1, mobilenet_v1,
    mobilenet_v2, resnet18, resnet34, resnet50, resnet101, resnet152), your own as package.module:function, or the
    word fusion, which joins the branches given with --branch under a new classifier.
    """
    fusion = _fusion(net, branches, options)
    source = _source(fusion, options)
    solver_options.setdefault("solver_mode", solver_mode)
    if test_iter is not None:
        solver_options["test_iter"] = str(test_iter)
    elif "test_iter" not in solver_options and list_length(source) is None:
        click.echo(f"note: {source.test_source} is not there to be counted; test_iter is set to 500", err=True)
    if source.kind in ("hdf5", "input") and (source.input.mean or source.input.scale != 1):
        click.echo(
            f"note: data of kind {source.kind} is taken as it is; give values (x - mean) * scale with mean "
            f"{source.input.mean} and scale {source.input.scale:g}",
            err=True,
        )
    written = emit_files(
        fusion,
        source,
        output,
        split_phases=split_phases,
        deploy_batch=deploy_batch,
        solver_options=solver_options,
        dry_run=dry_run,
    )
    for path in written:
        click.echo(f"would write {path}" if dry_run else path)


def _fusion(net: str, branches: Dict[str, str], options: Dict[str, Any]) -> Fusion:
    if (net == "fusion") != bool(branches):
        raise click.UsageError("--branch goes with the net 'fusion', and 'fusion' needs at least one --branch")
    nets = branches or {"": net}
    builders = {prefix: _builder(name) for prefix, name in nets.items()}
    frozen = bool(branches) and not options["trainable"]
    return Fusion(builders, options["classes"], frozen=frozen, blob=options["blob"], head=options["head"])


def _builder(name: str) -> Builder:
    if Path(name.partition("@")[0]).suffix == ".prototxt":
        raise click.UsageError(f"{name!r}: a prototxt cannot be a branch yet; name a builder")
    return find_builder(name)


def _source(fusion: Fusion, options: Dict[str, Any]) -> DataSource:
    """Return the data source: the builders' own input, changed by what the options say."""
    known = default_input(fusion)
    shape: Optional[Tuple[int, int, int]] = options["shape"] or (known.shape if known else None)
    if shape is None:
        raise click.UsageError("the builder does not tell the shape of its input; give --shape C,H,W")
    if options["color"] is not None:
        shape = (3 if options["color"] else 1, *shape[1:])
    given = dataclasses.replace(known, shape=shape) if known else Input(shape)
    if options["scale"] is not None:
        given = dataclasses.replace(given, scale=options["scale"])
    if options["mean"] is not None and options["mean_file"]:
        raise click.UsageError("--mean and --mean-file exclude each other")
    if options["mean"] is not None:
        given = dataclasses.replace(given, mean=_mean(options["mean"]))
    fields = {field.name for field in dataclasses.fields(DataSource)} - {"input"}
    return DataSource(given, **{name: value for name, value in options.items() if name in fields})


def _mean(text: str) -> Tuple[float, ...]:
    if text == "none":
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r}: expected numbers", param_hint="--mean") from None
