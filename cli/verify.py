"""netbuild verify."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple

import click

from netbuild.errors import GraphError, WeightsError
from netbuild.fuse.sidecar import sidecar

from .console import BAD, GOOD, ODD, note, say, say_json
from .options import (
    branch_option,
    branch_state_options,
    caffe_option,
    in_state,
    json_option,
    require_known_states,
    require_weights,
    shapes_option,
    state_of,
    weights_option,
)
from .words import by, whose

if TYPE_CHECKING:
    from netbuild.fuse.provenance import Checked
    from netbuild.proto import Net
    from netbuild.verify.branches import Comparison, Original
    from netbuild.verify.engines import Agreement


@click.command("verify")
@click.argument("files", metavar="[TARGET.prototxt] INIT.caffemodel", nargs=-1, required=True)
@branch_option("The net of a branch as it was alone: odd=odd.prototxt, odd=lenet; with its seam, odd=net.prototxt@ip1.")
@weights_option("The trained weights of a branch; one for each --branch.")
@branch_state_options("that of TARGET")
@shapes_option("Shape of an input.  [default: from the nets, or what fits the weights]")
@click.option("--image", "images", metavar="FILE", multiple=True, help="Feed this image; repeat for a batch.")
@click.option(
    "--engine",
    type=click.Choice(["caffe", "opencv"]),
    default="caffe",
    show_default=True,
    help="What runs the fused net and the original nets. opencv needs no Caffe, and proves wiring and weights, not "
    "Caffe's numbers. Without --branch it compares one net run in Caffe with the same net run in OpenCV.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    metavar="SHARE",
    help="Largest difference allowed between Caffe and OpenCV, as a share of a blob's largest value.  "
    "[default: 0.0001]",
)
@click.option("--seed", type=click.IntRange(0), metavar="N", default=0, show_default=True, help="Seed of random input.")
@json_option
@caffe_option
def command(
    files: Sequence[str],
    branches: Dict[str, str],
    weights: Dict[str, str],
    engine: str,
    tolerance: Optional[float],
    as_json: bool,
    stages: Dict[str, List[List[str]]],
    levels: Dict[str, int],
    **feeding: Any,
) -> None:
    """Run each original net and the fused net in Caffe on the same input, and compare them bit by bit.

    With --engine opencv, OpenCV runs them, and Caffe is not needed. That proves that the fused net is wired as the
    originals and has their weights. OpenCV computes some layers otherwise than Caffe, but alike on both sides. How
    images are prepared is not compared.

    With --engine opencv and no --branch, one net is run in Caffe and in OpenCV, which shares no code with Caffe. Give
    NET.prototxt (deploy or train_val) and FILE.caffemodel.

    With INIT.caffemodel alone, its blobs are compared with those of the files that they were copied from, as
    INIT.caffemodel.json records them. Caffe is not needed. The exit status is 1 if anything differs.
    """
    named = bool(branches or weights)
    states: Dict[str, Dict[str, Any]] = {"stages": {**stages}, "levels": {**levels}}
    require_known_states(states, branches)
    between_engines = engine == "opencv" and not named
    if tolerance is not None and not between_engines:
        raise click.UsageError(
            "--tolerance goes with --engine opencv and no --branch: one engine is compared bit by bit"
        )
    if len(files) > 2:
        raise click.UsageError(f"expected TARGET.prototxt and INIT.caffemodel, found {len(files)} files")
    if len(files) == 1 and (named or between_engines):
        flags = "--branch and --weights go" if named else "--engine opencv goes"
        raise click.UsageError(f"{flags} with a TARGET.prototxt before INIT.caffemodel")
    if len(files) == 1:
        _verify_sources(files[0], as_json)
    elif between_engines:
        _verify_engines(in_state(files[0], **state_of("", states)), files[1], tolerance, as_json, **feeding)
    else:
        target = in_state(files[0], **state_of("", states))
        _verify_nets(target, files[1], _originals(branches, weights, states), as_json, engine=engine, **feeding)


def _verify_sources(path: str, as_json: bool) -> None:
    from netbuild.fuse.provenance import check_sources

    found = check_sources(path)
    if as_json:
        say_json([one._asdict() for one in found])
    else:
        for one in found:
            say(_source_sentence(one), colour=BAD if one.faults else GOOD)
        if not found:
            say(f"{path} holds nothing that was copied unchanged from another file")
    if any(one.faults for one in found):
        raise WeightsError(f"weights {path!r}: not what {sidecar(path)} says that it is made of")


def _source_sentence(source: Checked) -> str:
    if source.faults:
        return f"{whose(source.prefix)}: DIFFERS from {source.path}: {'; '.join(source.faults)}"
    return (
        f"{whose(source.prefix)}: {source.blobs} blobs as in {source.path}, whose SHA-256 is still "
        f"{source.sha256[:12]}..."
    )


def _originals(
    branches: Mapping[str, str], weights: Mapping[str, str], states: Mapping[str, Any]
) -> Dict[str, Original]:
    from netbuild.verify.branches import Original

    require_weights(branches, weights)
    if not branches:
        raise click.UsageError("give the branches to compare with: --branch and --weights for each")
    return {
        prefix: Original(in_state(net, **state_of(prefix, states)), weights[prefix]) for prefix, net in branches.items()
    }


def _verify_nets(
    target: Net,
    caffemodel: str,
    originals: Dict[str, Original],
    as_json: bool,
    *,
    engine: str,
    **feeding: Any,
) -> None:
    from netbuild.verify.branches import verify_branches

    found = verify_branches(target, caffemodel, originals, engine=engine, **feeding)
    if as_json:
        say_json([{**_as_dict(one), "engine": engine} for one in found])
    else:
        _say_comparisons(found, originals, " in OpenCV" if engine == "opencv" else "")
    if not all(comparison.computes_equal for comparison in found):
        raise GraphError("the fused net does not compute what its branches did alone")
    if not all(comparison.equal for comparison in found):
        raise GraphError("the fused net does not give its branches the images as they got them alone")


def _say_comparisons(found: Sequence[Comparison], originals: Mapping[str, Original], where: str) -> None:
    for comparison in found:
        sentence = _sentence(comparison, originals[comparison.prefix], where)
        say(sentence, colour=GOOD if comparison.computes_equal else BAD)
        for layer, difference in comparison.differences:
            say(f"    {layer:24} largest difference {difference:g}")
    for comparison in found:
        _say_images(comparison, originals[comparison.prefix])


def _sentence(found: Comparison, original: Original, where: str) -> str:
    who, size = whose(found.prefix), by(found.shape)
    if found.computes_equal:
        start = f" from {' and '.join(map(repr, found.begins))} on," if found.begins else ""
        layers = f"{found.layers} layers{start} up to {found.seam} ({size})"
        return f"{who}: {layers} bit-equal to {original.name}{where}"
    if not found.finite and not found.differences:
        return f"{who}: NOTHING PROVED: the seam {found.seam} ({size}) is not finite; look at the weights"
    return (
        f"{who}: DIFFERS from {original.name}{where}: first in layer {found.first_difference!r}; largest "
        f"difference at the seam {found.seam} ({size}): {found.largest_difference:g}"
    )


def _say_images(found: Comparison, original: Original) -> None:
    """Say whether both nets prepare images in the same way."""
    who = whose(found.prefix)
    if found.images.unknown:
        note(f"{who}: how its images are prepared was not compared: {found.images.unknown}")
    elif found.images.equal:
        say(f"{who}: images prepared as by {original.name}, bit-equal ({found.images.images})", colour=GOOD)
    elif found.images.levels < 1:
        say(
            f"{who}: images prepared nearly as by {original.name} ({found.images.images}): off by at most "
            f"{found.images.levels:.2g} of a grey level (0..255); do the means differ?",
            colour=ODD,
        )
    else:
        say(
            f"{who}: images PREPARED DIFFERENTLY than by {original.name} ({found.images.images}): off by up to "
            f"{found.images.levels:.3g} grey levels (0..255); its data layer and that of the fused net differ in crop, "
            "size, mean, scale or colour. If that is what you want, give the branch's deploy net instead",
            colour=BAD,
        )


def _verify_engines(
    net: Net,
    caffemodel: str,
    tolerance: Optional[float],
    as_json: bool,
    *,
    shapes: Dict[str, Tuple[int, ...]],
    images: Sequence[str],
    seed: int,
) -> None:
    from netbuild.verify.engines import TOLERANCE, compare_engines

    allowed = TOLERANCE if tolerance is None else tolerance
    found = compare_engines(net, caffemodel, shapes=shapes, images=images, seed=seed, tolerance=allowed)
    if as_json:
        say_json([_agreement_as_dict(one) for one in found])
    else:
        for one in found:
            say(_agreement_sentence(one), colour=GOOD if one.equal else BAD)
    if not all(one.equal for one in found):
        raise GraphError(f"OpenCV and Caffe differ by more than {allowed:g} of the largest value")


def _agreement_sentence(found: Agreement) -> str:
    verdict = "agrees with" if found.equal else "DIFFERS from"
    return (
        f"{found.blob} ({by(found.shape)}): OpenCV {verdict} Caffe: largest difference {found.largest_difference:.2g}, "
        f"largest value {found.largest_value:.2g}"
    )


def _agreement_as_dict(found: Agreement) -> Dict[str, object]:
    largest = _number(found.largest_difference)
    return {**dataclasses.asdict(found), "equal": found.equal, "largest_difference": largest}


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
