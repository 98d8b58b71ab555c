"""The options that say which branches become one net, and how: the same in every command that builds a net."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import click

from netbuild.branches.source import find_branch
from netbuild.errors import did_you_mean
from netbuild.fusion import Fusion
from netbuild.fusion.heads import LOSSES, Head
from netbuild.fusion.joins import KINDS, Join
from netbuild.fusion.wiring import DATA, BranchSpec
from netbuild.graph.freeze import BATCH_NORM

from .options import Function, branch_option, finite, keyed, lengths, mean_option, scale_option, unknown_prefix


def _one_of(known: Sequence[str]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in known:
            raise ValueError(f"one of {', '.join(known)}")
        return text

    return check


def _wire(text: str) -> Tuple[str, str]:
    own, colon, blob = text.partition(":")
    return (own, blob) if colon else ("", text)


_FOR_ALL = ("after", "shape", "mean", "scale")
"""Options that make sense without a PREFIX."""
_OPTIONS = [
    branch_option("A branch of the fusion: odd=lenet, or odd=deploy.prototxt@pool5. Once for each branch."),
    click.option("--classes", type=int, help="Number of classes of the new classifier."),
    click.option("--frozen", is_flag=True, help="Freeze every branch not named trainable: of a fusion the default."),
    click.option("--trainable", metavar="PREFIX", multiple=True, help="Let this branch learn."),
    click.option(
        "--lr",
        metavar="PREFIX=FACTOR",
        multiple=True,
        callback=keyed(finite),
        help="Let this branch learn, its own learning rates multiplied by this.",
    ),
    click.option(
        "--frozen-to",
        metavar="PREFIX=BLOB",
        multiple=True,
        callback=keyed(str),
        help="Let this branch learn from this blob on; up to it, it is frozen.",
    ),
    click.option(
        "--bn",
        metavar="PREFIX=global|batch",
        multiple=True,
        callback=keyed(_one_of(BATCH_NORM)),
        help="BatchNorm of a branch that learns: global keeps the stored statistics, with which its weights were "
        "trained and which a small batch would only spoil; batch takes each batch's own and goes on updating them.  "
        "[default: global]",
    ),
    click.option(
        "--input",
        "wires",
        metavar="PREFIX=[OWN:]BLOB",
        multiple=True,
        callback=keyed(_wire, repeat=True),
        help="What feeds a branch: an input of its own (rgb), or a blob of another branch (front/conv5); OWN names "
        "which of its several inputs.  [default: data, which all share]",
    ),
    click.option(
        "--after",
        metavar="[PREFIX=]FRONT",
        multiple=True,
        callback=keyed(str),
        help="Let the seam of the branch FRONT feed the branch PREFIX; of two branches, the other.",
    ),
    click.option(
        "--share",
        metavar="PREFIX=OWNER",
        multiple=True,
        callback=keyed(str),
        help="Let a branch have its parameters in common with another of the same net, and learn as that (siamese).",
    ),
    click.option(
        "--join",
        "kind_of_join",
        type=click.Choice(KINDS),
        help="How the seams are joined.  [default: concat; of an ensemble mean]",
    ),
    click.option("--axis", type=int, help="Axis of a concat.  [default: 1, the channels]"),
    click.option(
        "--coeff",
        metavar="PREFIX=FACTOR",
        multiple=True,
        callback=keyed(finite),
        help="Coefficient of a branch in a sum or mean.  [default: 1]",
    ),
    click.option("--bridge", metavar="flatten|fc=K", help="Layer between each seam and the join, where shapes differ."),
    click.option("--blob", help="Name of the joined blob.  [default: the seam's name + _fused]"),
    click.option(
        "--ensemble", is_flag=True, help="Join the softmax outputs of the branches' own classifiers: no training."
    ),
    click.option("--no-head", is_flag=True, help="End the net at the join."),
    click.option(
        "--head",
        "heads",
        metavar="NAME[=CLASSES]",
        multiple=True,
        help="Name of the classifier, with its number of classes; several for several tasks.  [default: as the "
        "branches call theirs]",
    ),
    click.option("--hidden", type=click.IntRange(1), help="Outputs of a fully connected layer before each classifier."),
    click.option("--dropout", type=float, help="Dropout after that layer.  [default: 0.5]"),
    click.option(
        "--loss",
        metavar="[HEAD=]LOSS",
        multiple=True,
        callback=keyed(_one_of(list(LOSSES))),
        help=f"{', '.join(LOSSES)}.  [default: {next(iter(LOSSES))}]",
    ),
    click.option("--loss-weight", metavar="[HEAD=]W", multiple=True, callback=keyed(finite), help="Weight of a loss."),
    click.option(
        "--shape",
        metavar="[PREFIX=]C,H,W",
        multiple=True,
        callback=keyed(lengths),
        help="Shape of an image.  [default: what the branch's source tells]",
    ),
    mean_option("as for --shape"),
    scale_option("as for --shape"),
]


def fusion_options(function: Function) -> Function:
    """All options of a fusion; `fusion` makes a Fusion of what they give."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def fusion(net: str, given: Mapping[str, Any]) -> Fusion:
    """Return what the options ask for; `net` is the word 'fusion', or a net that is to stand alone."""
    branches: Dict[str, str] = given["branches"]
    if (net == "fusion") != bool(branches):
        raise click.UsageError("--branch goes with the net 'fusion', and 'fusion' needs at least one --branch")
    nets = branches or {"": net}
    for option in ("trainable", "lr", "frozen_to", "bn", "wires", "after", "share", "coeff", "shape", "mean", "scale"):
        _require_known(option, given[option], nets)
    if given["kind_of_join"] and len(nets) == 1 and not given["ensemble"]:
        raise click.UsageError(f"--join {given['kind_of_join']}: there is one branch, and nothing to join it with")
    kind = given["kind_of_join"] or ("mean" if given["ensemble"] else "concat")
    return Fusion(
        {prefix: _part(prefix, text, nets, given) for prefix, text in nets.items()},
        given["classes"] if given["ensemble"] else None,
        join=Join(kind, given["axis"], given["coeff"], given["bridge"], given["blob"]),
        heads=_heads(given),
        ensemble=given["ensemble"],
    )


def _require_known(option: str, keys: Iterable[str], nets: Mapping[str, str]) -> None:
    named = {"wires": "input", "frozen_to": "frozen-to"}.get(option, option)
    for key in keys:
        if key in nets or (not key and option in _FOR_ALL):
            continue
        if key:
            raise unknown_prefix(named, key, filter(None, nets))
        known = f"the branches are {', '.join(nets)}" if "" not in nets else "a net alone has none"
        raise click.UsageError(f"--{named}: say for which branch, as in --{named} PREFIX=VALUE; {known}")


def _part(prefix: str, text: str, nets: Mapping[str, str], given: Mapping[str, Any]) -> Any:
    learns = prefix in (*given["trainable"], *given["lr"], *given["frozen_to"]) or (not prefix and not given["frozen"])
    if prefix in given["bn"] and not learns:
        raise click.UsageError(f"--bn {prefix}: the branch is frozen; to let it learn, add --trainable {prefix}")
    return BranchSpec(
        find_branch(text),
        frozen=not learns,
        lr=given["lr"].get(prefix, 1.0),
        frozen_to=given["frozen_to"].get(prefix),
        batch_norm=given["bn"].get(prefix, "global" if prefix else None),
        reads=_reads(prefix, nets, given),
        shares=given["share"].get(prefix),
        **{name: given[name].get(prefix, given[name].get("")) for name in ("shape", "mean", "scale")},
    )


def _reads(prefix: str, nets: Mapping[str, str], given: Mapping[str, Any]) -> Union[str, Dict[str, str]]:
    after = dict(given["after"])
    if "" in after:
        front = after.pop("")
        others = [other for other in nets if other != front]
        if len(others) != 1:
            raise click.UsageError(f"--after {front}: which branch comes after it? Give --after PREFIX={front}")
        after[others[0]] = front
    wires: List[Tuple[str, str]] = list(given["wires"].get(prefix, []))
    if prefix in after:
        if after[prefix] not in nets:
            raise unknown_prefix("after", after[prefix], nets)
        wires.append(("", after[prefix]))
    if len(dict(wires)) < len(wires):
        raise click.UsageError(f"branch {prefix!r}: one of its inputs is given two sources")
    if not wires:
        return DATA
    return wires[0][1] if [own for own, _ in wires] == [""] else dict(wires)


def _require_no_head(given: Mapping[str, Any]) -> None:
    """Refuse what is said of a head where there is none."""
    if given["ensemble"] and given["no_head"]:
        raise click.UsageError("--ensemble and --no-head exclude each other")
    for option in ("heads", "hidden", "dropout", "loss", "loss_weight", *([] if given["ensemble"] else ["classes"])):
        if given[option] not in (None, (), {}):
            named = {"heads": "head"}.get(option, option.replace("_", "-"))
            raise click.UsageError(f"--{named} does not go with --ensemble and --no-head")


def _heads(given: Mapping[str, Any]) -> List[Head]:
    if given["ensemble"] or given["no_head"]:
        _require_no_head(given)
        return []
    if not given["heads"] and given["classes"] is None:
        raise click.UsageError("say what the net is to end in: --classes N, --head NAME=N, --ensemble or --no-head")
    named = [head.partition("=") for head in given["heads"]] or [("", "", "")]
    for option in ("loss", "loss_weight"):
        unknown = [key for key in given[option] if key not in ("", *(name for name, _, _ in named))]
        if unknown:
            hint = did_you_mean(unknown[0], [name for name, _, _ in named])
            raise click.UsageError(f"--{option.replace('_', '-')} {unknown[0]}: no head has this name; {hint}")
    counts = [count for _, _, count in named]
    if given["classes"] is not None and all(counts) and str(given["classes"]) not in counts:
        raise click.UsageError("each --head has its own number of classes, and --classes would have no effect")
    heads: List[Head] = []
    for name, _, count in named:
        options = {option: given[option].get(name, given[option].get("")) for option in ("loss", "loss_weight")}
        options = {option: value for option, value in options.items() if value is not None}
        classes = _classes(name, count, given["classes"])
        heads.append(Head(classes, name or None, hidden=given["hidden"] or 0, dropout=given["dropout"], **options))
    return heads


def _classes(name: str, count: str, classes: Optional[int]) -> int:
    if not count and classes is None:
        raise click.UsageError(f"--head {name}: how many classes? Give --head {name}=N")
    if count and not count.isdigit():
        raise click.UsageError(f"--head {name}={count}: expected a number of classes")
    return int(count) if count else int(classes or 0)
