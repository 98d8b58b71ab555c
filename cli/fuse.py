"""netbuild fuse."""

from __future__ import annotations

import json
from typing import Dict, Iterator

import click

from netbuild.fuse import Fused, fuse_weights
from netbuild.weights.plan import shape_text

from .options import dry_run_option, json_option, weights_option


@click.command("fuse")
@click.argument("target", metavar="TARGET.prototxt")
@weights_option("The trained caffemodel of a branch; once for each branch.", required=True)
@click.option("-o", "--output", metavar="FILE", required=True, help="The caffemodel to write.")
@dry_run_option
@json_option
def command(target: str, weights: Dict[str, str], output: str, dry_run: bool, as_json: bool) -> None:
    """Copy the trained blobs of several branches into one caffemodel for the net TARGET.

    The layer conv1 of --weights odd=FILE fills odd/conv1. No data is opened and no Caffe net is built. Whatever is
    missing, mismatching or ambiguous is listed, and then nothing is written.
    """
    result = fuse_weights(target, weights, output, dry_run=dry_run)
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
        "left_to_fillers": list(plan.left_to_fillers),
    }
