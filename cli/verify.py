"""netbuild verify."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, Dict, Optional, Sequence, Tuple

import click

from netbuild.errors import GraphError, WeightsError
from netbuild.fuse.provenance import check_sources
from netbuild.fuse.sidecar import sidecar
from netbuild.verify.branches import Comparison, Original, verify_branches
from netbuild.verify.engines import TOLERANCE, compare_engines

from .console import BAD, GOOD, ODD, note, say
from .options import branch_option, json_option, pairs, require_weights, weights_option, whose


@click.command("verify")
@click.argument("files", metavar="[TARGET.prototxt] INIT.caffemodel", nargs=-1, required=True)
@branch_option("The net of a branch as it was: odd=odd.prototxt, odd=lenet, or with its seam odd=net.prototxt@ip1.")
@weights_option("The trained caffemodel of a branch; once for each branch.")
@click.option(
    "--shape",
    "shapes",
    metavar="BLOB=N,C,H,W",
    multiple=True,
    callback=pairs("blob"),
    help="Shape of an input.  [default: as the nets tell, or what fits the weights]",
)
@click.option("--image", "images", metavar="FILE", multiple=True, help="Feed this image; repeat for a batch.")
@click.option(
    "--engine",
    type=click.Choice(["caffe", "opencv"]),
    default="caffe",
    show_default=True,
    help="Engine to compare Caffe with: itself, running the originals, or OpenCV, running the same net.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    help=f"How far OpenCV may be off, as a share of a blob's largest value.  [default: {TOLERANCE:g}]",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the random input.")
@json_option
def command(
    files: Sequence[str],
    branches: Dict[str, str],
    weights: Dict[str, str],
    engine: str,
    tolerance: Optional[float],
    as_json: bool,
    **feeding: Any,
) -> None:
    """Run each original net and the fused one in Caffe on the same input and compare them bit by bit.

    With --engine opencv the net alone is run in Caffe and in OpenCV, which shares no code with it: NET.prototxt (deploy
    or train_val) and FILE.caffemodel, without --branch.

    With INIT.caffemodel alone, its blobs are compared with those of the files that it was made of, as
    INIT.caffemodel.json tells them; Caffe is not needed. Ends with status 1 if anything differs.
    """
    if tolerance is not None and engine != "opencv":
        raise click.UsageError("--tolerance goes with --engine opencv: Caffe is compared with itself bit by bit")
    if engine == "opencv":
        if branches or weights or len(files) != 2:
            raise click.UsageError("--engine opencv takes NET.prototxt and FILE.caffemodel, no --branch or --weights")
        _verify_engines(files[0], files[1], TOLERANCE if tolerance is None else tolerance, as_json, **feeding)
        return
    if len(files) == 1:
        if branches or weights:
            raise click.UsageError("--branch and --weights go with a TARGET.prototxt before INIT.caffemodel")
        _verify_sources(files[0], as_json)
        return
    if len(files) > 2:
        raise click.UsageError(f"expected TARGET.prototxt and INIT.caffemodel, found {len(files)} files")
    require_weights(branches, weights)
    if not branches:
        raise click.UsageError("give the branches to compare with: --branch and --weights for each")
    _verify_nets(files[0], files[1], {p: Original(net, weights[p]) for p, net in branches.items()}, as_json, **feeding)


def _verify_sources(path: str, as_json: bool) -> None:
    found = check_sources(path)
    if as_json:
        click.echo(json.dumps([one._asdict() for one in found], indent=2))
    else:
        for one in found:
            told = f"{one.blobs} blobs as in {one.path}, whose SHA-256 is still {one.sha256[:12]}..."
            if one.faults:
                told = f"DIFFERS from {one.path}: {'; '.join(one.faults)}"
            say(f"{whose(one.prefix)}: {told}", colour=BAD if one.faults else GOOD)
        if not found:
            say(f"{path} holds nothing that was copied from another file as it was")
    if any(one.faults for one in found):
        raise WeightsError(f"weights {path!r}: not what {sidecar(path)} says that it is made of")


def _verify_nets(
    target: str,
    caffemodel: str,
    originals: Dict[str, Original],
    as_json: bool,
    shapes: Dict[str, str],
    images: Sequence[str],
    seed: int,
) -> None:
    found = verify_branches(target, caffemodel, originals, shapes=_parsed(shapes), images=images, seed=seed)
    if as_json:
        click.echo(json.dumps([_as_dict(one) for one in found], indent=2))
    else:
        for comparison in found:
            sentence = _sentence(comparison, originals[comparison.prefix])
            say(sentence, colour=GOOD if comparison.computes_equal else BAD)
            for layer, difference in comparison.differences:
                say(f"    {layer:24} largest difference {difference:g}")
        for comparison in found:
            _say_images(comparison, originals[comparison.prefix])
    if not all(comparison.computes_equal for comparison in found):
        raise GraphError("the fused net does not compute what its branches did alone")
    if not all(comparison.equal for comparison in found):
        raise GraphError("the fused net does not give its branches the images as they got them alone")


def _say_images(found: Comparison, original: Original) -> None:
    """Say whether images are prepared alike in both nets."""
    if found.images.unknown:
        note(f"{found.prefix}: how its images are prepared was not compared: {found.images.unknown}")
    elif found.images.equal:
        say(f"{found.prefix}: images prepared as by {original.net}, bit-equal ({found.images.images})", colour=GOOD)
    elif found.images.levels < 1:
        say(
            f"{found.prefix}: images prepared nearly as by {original.net} ({found.images.images}): off by at most "
            f"{found.images.levels:.2g} of a grey level (0..255); do the means differ?",
            colour=ODD,
        )
    else:
        say(
            f"{found.prefix}: images PREPARED OTHERWISE than by {original.net} ({found.images.images}): off by up to "
            f"{found.images.levels:.3g} grey levels (0..255); its data layer and that of the fused net differ in crop, "
            "size, mean, scale or colour. Where that is meant, give its deploy net in its place",
            colour=BAD,
        )


def _verify_engines(
    net: str,
    caffemodel: str,
    tolerance: float,
    as_json: bool,
    shapes: Dict[str, str],
    images: Sequence[str],
    seed: int,
) -> None:
    found = compare_engines(net, caffemodel, shapes=_parsed(shapes), images=images, seed=seed, tolerance=tolerance)
    if as_json:
        told = [{**dataclasses.asdict(one), "equal": one.equal} for one in found]
        click.echo(
            json.dumps([{**one, "largest_difference": _number(one["largest_difference"])} for one in told], indent=2)
        )
    for one in [] if as_json else found:
        size = " x ".join(map(str, one.shape))
        verdict = "agrees with" if one.equal else "DIFFERS from"
        say(
            f"{one.blob} ({size}): OpenCV {verdict} Caffe: largest difference {one.largest_difference:.2g}, largest "
            f"value {one.largest_value:.2g}",
            colour=GOOD if one.equal else BAD,
        )
    if not all(one.equal for one in found):
        raise GraphError(f"OpenCV and Caffe differ by more than {tolerance:g} of the largest value")


def _as_dict(found: Comparison) -> Dict[str, object]:
    return {
        **dataclasses.asdict(found),
        "largest_difference": _number(found.largest_difference),
        "differences": [{"layer": layer, "largest": _number(value)} for layer, value in found.differences],
        "first_difference": found.first_difference,
        "equal": found.equal,
        "images": {
            **dataclasses.asdict(found.images),
            "difference": _number(found.images.difference),
            "equal": found.images.equal,
        },
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
    if found.computes_equal:
        return f"{found.prefix}: {found.layers} layers up to {found.seam} ({size}) bit-equal to {original.net}"
    if not found.finite and not found.differences:
        return f"{found.prefix}: NOTHING PROVED: the seam {found.seam} ({size}) is not finite; look at the weights"
    return (
        f"{found.prefix}: DIFFERS from {original.net}: first in layer {found.first_difference!r}; largest difference "
        f"at the seam {found.seam} ({size}): {found.largest_difference:g}"
    )
