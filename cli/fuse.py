"""netbuild fuse."""

from __future__ import annotations

import json
from typing import Dict, Iterator

import click

from netbuild.fuse import Fused, fuse_weights
from netbuild.weights.head import Start
from netbuild.weights.plan import shape_text

from .options import dry_run_option, json_option, keyed, weights_option


def _start(text: str) -> Start:
    layer, colon, classes = text.rpartition(":")
    return Start(tuple(int(number) for number in classes.split(",")), layer if colon else None)


@click.command("fuse")
@click.argument("target", metavar="TARGET.prototxt")
@weights_option("The trained caffemodel of a branch; once for each branch.", required=True)
@click.option("-o", "--output", metavar="FILE", required=True, help="The caffemodel to write.")
@click.option(
    "--init-head",
    "head",
    metavar="PREFIX=[LAYER:]CLASSES",
    multiple=True,
    callback=keyed(_start),
    help="Let the new classifier begin as those the branches were trained with: which of its classes the outputs of "
    "the branch's own classifier stand for, in order (odd=1,3,5,7,9). Once for each branch.",
)
@dry_run_option
@json_option
def command(
    target: str, weights: Dict[str, str], output: str, head: Dict[str, Start], dry_run: bool, as_json: bool
) -> None:
    """Copy the trained blobs of several branches into one caffemodel for the net TARGET.

    The layer conv1 of --weights odd=FILE fills odd/conv1. No data is opened and no Caffe net is built. Whatever is
    missing, mismatching or ambiguous is listed, and then nothing is written.
    """
    unknown = sorted(set(head) - set(weights))
    if unknown:
        raise click.UsageError(f"--init-head {unknown[0]}: no --weights are given for this prefix")
    result = fuse_weights(target, weights, output, head=head, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps(_as_dict(result, weights), indent=2))
        return
    for line in _report(result, weights):
        click.echo(line)


def _report(result: Fused, weights: Dict[str, str]) -> Iterator[str]:
    plan = result.plan
    if result.bytes_written is None:
        for copy in plan.copies:
            shapes = ", ".join(map(shape_text, copy.shapes))
            yield f"{copy.target}  <-  {copy.path}: {copy.source}  ({shapes})"
    for prefix, path in weights.items():
        if plan.unused[prefix]:
            yield f"not wanted from {path}: {', '.join(plan.unused[prefix])}"
    if result.head:
        yield f"begins as the branches' own classifiers: {result.head}"
    if plan.left_to_fillers:
        yield f"left to their fillers: {', '.join(plan.left_to_fillers)}"
    if result.bytes_written is None:
        yield f"dry run: {plan.blob_count()} blobs fit; {result.output} was not written"
        return
    yield f"wrote {result.output} ({result.bytes_written:,} bytes)"
    for prefix, path in weights.items():
        count = plan.blob_count(prefix)
        yield f"{count} of {count} blobs of {prefix} bit-equal to {path}"


def _as_dict(result: Fused, weights: Dict[str, str]) -> Dict[str, object]:
    plan = result.plan
    return {
        "output": result.output,
        "bytes_written": result.bytes_written,
        "branches": {
            prefix: {
                "file": path,
                "blobs": plan.blob_count(prefix),
                "bit_equal": result.bytes_written is not None,
                "not_wanted": list(plan.unused[prefix]),
            }
            for prefix, path in weights.items()
        },
        "copies": [
            {"target": c.target, "file": c.path, "source": c.source, "shapes": [list(shape) for shape in c.shapes]}
            for c in plan.copies
        ],
        "head_from_branches": result.head,
        "left_to_fillers": list(plan.left_to_fillers),
    }
