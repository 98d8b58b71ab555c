"""The options that say which branches become one net, and how: the same in every command that builds a net."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple, Union

import click

from netbuild.branches.source import find_branch
from netbuild.errors import did_you_mean
from netbuild.fusion import Fusion
from netbuild.fusion.heads import LOSSES
from netbuild.fusion.joins import KINDS, Join
from netbuild.fusion.wiring import DATA, BranchSpec
from netbuild.graph.freeze import BATCH_NORM

from .heads import heads
from .options import (
    Function,
    branch_option,
    branch_state_options,
    flag,
    mean_option,
    scale_option,
    state_of,
    unknown_prefix,
)
from .values import finite, keyed, lengths, one_of


def _wire(text: str) -> Tuple[str, str]:
    own, colon, blob = text.partition(":")
    return (own, blob) if colon else ("", text)


_FOR_ALL = ("after", "shape", "mean", "scale", "stages", "levels")
"""Options that are given for a branch, and make sense without a PREFIX."""
_BY_PREFIX = ("trainable", "lr", "frozen_to", "bn", "wires", "share", "coeff", *_FOR_ALL)
"""All options that are given for a branch."""
_OPTIONS = [
    branch_option("A branch of the fusion: odd=lenet, or odd=deploy.prototxt@pool5; repeat for each branch."),
    click.option("--classes", type=int, metavar="N", help="Number of classes of the new classifier."),
    click.option(
        "--frozen", is_flag=True, help="Freeze every branch that is not --trainable; the default in a fusion."
    ),
    click.option("--trainable", metavar="PREFIX", multiple=True, help="Let this branch learn; repeat for several."),
    click.option(
        "--lr",
        metavar="PREFIX=FACTOR",
        multiple=True,
        callback=keyed(finite),
        help="Let this branch learn, and multiply its learning rates by FACTOR.",
    ),
    click.option(
        "--frozen-to",
        metavar="PREFIX=BLOB",
        multiple=True,
        callback=keyed(str),
        help="Freeze this branch up to BLOB, and let it learn from there on.",
    ),
    click.option(
        "--bn",
        metavar="PREFIX=global|batch",
        multiple=True,
        callback=keyed(one_of(BATCH_NORM)),
        help="BatchNorm of a branch that learns. global: use the stored statistics, which small batches would spoil. "
        "batch: use the statistics of each batch, and update the stored ones.  [default: global]",
    ),
    click.option(
        "--input",
        "wires",
        metavar="PREFIX=[OWN:]BLOB",
        multiple=True,
        callback=keyed(_wire, repeat=True),
        help="What feeds a branch: an input of its own (rgb), or a blob of another branch (front/conv5). OWN says "
        "which input of the branch, if it has several, or a blob of its own net where it is to begin, without the "
        "layers before (pool1:front/pool1).  [default: data, which all branches share]",
    ),
    click.option(
        "--after",
        metavar="[PREFIX=]FRONT",
        multiple=True,
        callback=keyed(str),
        help="Feed the branch PREFIX from the seam of the branch FRONT. With two branches, PREFIX can be left out.",
    ),
    click.option(
        "--share",
        metavar="PREFIX=OWNER",
        multiple=True,
        callback=keyed(str),
        help="Share the parameters of the branch OWNER, which is the same net (siamese): both have one set of weights.",
    ),
    click.option(
        "--join",
        "kind_of_join",
        type=click.Choice(KINDS),
        help="How the seams are joined.  [default: concat; for an ensemble, mean]",
    ),
    click.option("--axis", type=int, metavar="N", help="Axis of a concat.  [default: 1, the channels]"),
    click.option(
        "--coeff",
        metavar="PREFIX=FACTOR",
        multiple=True,
        callback=keyed(finite),
        help="Coefficient of a branch in a sum or mean.  [default: 1]",
    ),
    click.option("--bridge", metavar="flatten|fc=K", help="Layer between each seam and the join, if shapes differ."),
    click.option("--blob", metavar="NAME", help="Name of the joined blob.  [default: the seam's name + _fused]"),
    click.option(
        "--ensemble",
        is_flag=True,
        help="Join the softmax outputs of the branches' own classifiers; no training.",
    ),
    click.option("--no-head", is_flag=True, help="End the net at the join, without a classifier."),
    click.option(
        "--head",
        "heads",
        metavar="NAME[=CLASSES]",
        multiple=True,
        help="Name of the classifier, and its number of classes; repeat for several tasks.  [default: the name of the "
        "branches' classifiers]",
    ),
    click.option(
        "--hidden",
        type=click.IntRange(1),
        metavar="N",
        help="Put a fully connected layer of N outputs before each classifier.",
    ),
    click.option("--dropout", type=float, metavar="RATIO", help="Dropout after the --hidden layer.  [default: 0.5]"),
    click.option(
        "--loss",
        metavar="[HEAD=]LOSS",
        multiple=True,
        callback=keyed(one_of(list(LOSSES))),
        help=f"Loss: {', '.join(LOSSES)}.  [default: {next(iter(LOSSES))}]",
    ),
    click.option("--loss-weight", metavar="[HEAD=]W", multiple=True, callback=keyed(finite), help="Weight of a loss."),
    click.option(
        "--shape",
        metavar="[PREFIX=]C,H,W",
        multiple=True,
        callback=keyed(lengths),
        help="Shape of an image.  [default: from the branch]",
    ),
    mean_option("from the branch"),
    scale_option("from the branch"),
]


def fusion_options(function: Function) -> Function:
    """All options of a fusion; `fusion` makes a Fusion of what they give."""
    for option in reversed([*_OPTIONS, branch_state_options("each net")]):
        function = option(function)
    return function


def fusion(net: str, options: Mapping[str, Any]) -> Fusion:
    """Return what the options ask for; `net` is the word 'fusion', or a net that is to stand alone."""
    branches: Dict[str, str] = options["branches"]
    _require_branches(net, branches)
    nets = branches or {"": net}
    for option in _BY_PREFIX:
        _require_known(option, options[option], nets)
    join = _join(nets, options)
    return Fusion(
        {prefix: _branch(prefix, text, nets, options) for prefix, text in nets.items()},
        options["classes"] if options["ensemble"] else None,
        join=join,
        heads=heads(options),
        ensemble=options["ensemble"],
    )


def _require_branches(net: str, branches: Mapping[str, str]) -> None:
    """Refuse a fusion of nothing, and branches of a net that is no fusion."""
    if net == "fusion" and not branches:
        raise click.UsageError("'fusion' needs at least one --branch, as in --branch odd=lenet")
    if net != "fusion" and branches:
        hint = did_you_mean(net, ["fusion"], f"write netbuild emit fusion, with {net} as one of the branches")
        raise click.UsageError(f"--branch goes with the net 'fusion', not with {net!r}; {hint}")


def _require_known(option: str, keys: Iterable[str], nets: Mapping[str, str]) -> None:
    """Refuse an option for a branch that is not there, and one without a prefix where it needs one."""
    for key in keys:
        if key in nets or (not key and option in _FOR_ALL):
            continue
        if key:
            raise unknown_prefix(option, key, filter(None, nets))
        known = f"the branches are {', '.join(nets)}" if "" not in nets else "a net alone has none"
        raise click.UsageError(f"{flag(option)}: say for which branch, as in {flag(option)} PREFIX=VALUE; {known}")


def _join(nets: Mapping[str, str], options: Mapping[str, Any]) -> Join:
    kind = options["kind_of_join"]
    if kind and len(nets) == 1 and not options["ensemble"]:
        raise click.UsageError(f"--join {kind}: there is one branch, and nothing to join it with")
    usual = "mean" if options["ensemble"] else "concat"
    return Join(kind or usual, options["axis"], options["coeff"], options["bridge"], options["blob"])


def _branch(prefix: str, text: str, nets: Mapping[str, str], options: Mapping[str, Any]) -> BranchSpec:
    learns = _learns(prefix, options)
    if prefix in options["bn"] and not learns:
        raise click.UsageError(f"--bn {prefix}: the branch is frozen; to let it learn, add --trainable {prefix}")
    return BranchSpec(
        find_branch(text, **state_of(prefix, options, otherwise="")),
        frozen=not learns,
        lr=options["lr"].get(prefix, 1.0),
        frozen_to=options["frozen_to"].get(prefix),
        batch_norm=options["bn"].get(prefix, "global" if prefix else None),
        reads=_reads(prefix, nets, options),
        shares=options["share"].get(prefix),
        **{name: options[name].get(prefix, options[name].get("")) for name in ("shape", "mean", "scale")},
    )


def _learns(prefix: str, options: Mapping[str, Any]) -> bool:
    """Tell whether a branch learns: a branch of a fusion if an option says so, a net alone unless it is frozen."""
    if not prefix and not options["frozen"]:
        return True
    return prefix in (*options["trainable"], *options["lr"], *options["frozen_to"])


def _reads(prefix: str, nets: Mapping[str, str], options: Mapping[str, Any]) -> Union[str, Dict[str, str]]:
    """Return what feeds a branch: one blob, or a blob for each of its own inputs."""
    front = _front(prefix, nets, options["after"])
    wires: List[Tuple[str, str]] = [*options["wires"].get(prefix, []), *([("", front)] if front else [])]
    if len(dict(wires)) < len(wires):
        raise click.UsageError(f"branch {prefix!r}: one of its inputs is given two sources")
    if not wires:
        return DATA
    return wires[0][1] if [own for own, _ in wires] == [""] else dict(wires)


def _front(prefix: str, nets: Mapping[str, str], after: Mapping[str, str]) -> Optional[str]:
    """Return the branch that comes before this one, as --after says, if any does."""
    front = after.get(prefix) if prefix else None
    if "" in after and _only_other(after[""], nets) == prefix:
        front = after[""]
    if front is not None and front not in nets:
        raise unknown_prefix("after", front, nets)
    return front


def _only_other(front: str, nets: Mapping[str, str]) -> str:
    """Return the branch that --after FRONT, without a prefix, is said of."""
    others = [other for other in nets if other != front]
    if len(others) != 1:
        raise click.UsageError(f"--after {front}: which branch comes after it? Give --after PREFIX={front}")
    return others[0]
