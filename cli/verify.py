"""netbuild verify."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Dict, Optional, Sequence, Tuple

import click

from netbuild.errors import GraphError
from netbuild.verify.branches import Comparison, Original, verify_branches

from .options import branch_option, json_option, pairs, weights_option


@click.command("verify")
@click.argument("target", metavar="TARGET.prototxt")
@click.argument("caffemodel", metavar="INIT.caffemodel")
@branch_option("The net of a branch as it was: odd=odd.prototxt, odd=lenet, or with its seam odd=net.prototxt@ip1.")
@weights_option("The trained caffemodel of a branch; once for each branch.", required=True)
@click.option(
    "--shape",
    "shapes",
    metavar="BLOB=N,C,H,W",
    multiple=True,
    callback=pairs("blob"),
    help="Shape of an input.  [default: as the nets tell, or what fits the weights]",
)
@click.option("--image", "images", metavar="FILE", multiple=True, help="Feed this image; repeat for a batch.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the random input.")
@json_option
def command(
    target: str,
    caffemodel: str,
    branches: Dict[str, str],
    weights: Dict[str, str],
    shapes: Dict[str, str],
    images: Sequence[str],
    seed: int,
    as_json: bool,
) -> None:
    """Run each original net and the fused one in Caffe on the same input and compare them bit by bit.

    Ends with status 1 if any blob up to a branch's seam differs.
    """
    if set(branches) != set(weights):
        odd_ones = ", ".join(sorted(set(branches) ^ set(weights)))
        raise click.UsageError(f"each branch needs --branch and --weights; one of them is missing for {odd_ones}")
    originals = {prefix: Original(net, weights[prefix]) for prefix, net in branches.items()}
    found = verify_branches(target, caffemodel, originals, shapes=_parsed(shapes), images=images, seed=seed)
    if as_json:
        click.echo(json.dumps([_as_dict(one) for one in found], indent=2))
    else:
        for comparison in found:
            click.echo(_sentence(comparison, originals[comparison.prefix]))
            for layer, difference in comparison.differences:
                click.echo(f"    {layer:24} largest difference {difference:g}")
    if not all(comparison.equal for comparison in found):
        raise GraphError("the fused net does not compute what its branches did alone")


def _as_dict(found: Comparison) -> Dict[str, object]:
    return {
        **dataclasses.asdict(found),
        "largest_difference": _number(found.largest_difference),
        "differences": [{"layer": layer, "largest": _number(value)} for layer, value in found.differences],
        "first_difference": found.first_difference,
        "equal": found.equal,
    }


def _number(value: float) -> Optional[float]:
    """JSON knows no infinity."""
    return value if math.isfinite(value) else None


def _parsed(shapes: Dict[str, str]) -> Dict[str, Tuple[int, ...]]:
    try:
        return {blob: tuple(int(part) for part in text.split(",")) for blob, text in shapes.items()}
    except ValueError:
        raise click.BadParameter("expected BLOB=N,C,H,W, whole numbers", param_hint="--shape") from None


def _sentence(found: Comparison, original: Original) -> str:
    size = " x ".join(map(str, found.shape))
    if found.equal:
        return f"{found.prefix}: {found.layers} layers up to {found.seam} ({size}) bit-equal to {original.net}"
    if not found.finite and not found.differences:
        return f"{found.prefix}: NOTHING PROVED: the seam {found.seam} ({size}) is not finite; look at the weights"
    return (
        f"{found.prefix}: DIFFERS from {original.net}: first in layer {found.first_difference!r}; largest difference "
        f"at the seam {found.seam} ({size}): {found.largest_difference:g}"
    )
