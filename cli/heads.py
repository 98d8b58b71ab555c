"""The heads that the options of a fusion ask for."""

from __future__ import annotations

from typing import Any, List, Mapping, NamedTuple, Optional, Sequence

import click

from netbuild.errors import did_you_mean
from netbuild.fusion.heads import Head

from .options import flag

_OF_A_HEAD = ("heads", "hidden", "dropout", "loss", "loss_weight")
"""The options that say what a head is."""


class _Named(NamedTuple):
    """One --head NAME[=CLASSES], as it is written; empty where it is left to the branches."""

    name: str
    classes: str


def heads(options: Mapping[str, Any]) -> List[Head]:
    """Return the heads; none for an ensemble, and with --no-head.

    Raises UsageError for options that do not go together, and for those that name a head that is not there.
    """
    if options["ensemble"] or options["no_head"]:
        _require_no_head(options)
        return []
    if not options["heads"] and options["classes"] is None:
        raise click.UsageError("say what the net is to end in: --classes N, --head NAME=N, --ensemble or --no-head")
    named = _named(options["heads"])
    _require_known(named, options)
    _require_use_of_classes(named, options["classes"])
    return [_head(one, options) for one in named]


def _named(texts: Sequence[str]) -> List[_Named]:
    parts = [text.partition("=") for text in texts]
    return [_Named(name, classes) for name, _, classes in parts] or [_Named("", "")]


def _head(named: _Named, options: Mapping[str, Any]) -> Head:
    own = {option: options[option].get(named.name, options[option].get("")) for option in ("loss", "loss_weight")}
    return Head(
        _classes(named, options["classes"]),
        named.name or None,
        hidden=options["hidden"] or 0,
        dropout=options["dropout"],
        **{option: value for option, value in own.items() if value is not None},
    )


def _classes(named: _Named, classes: Optional[int]) -> int:
    if named.classes:
        if not named.classes.isdigit():
            raise click.UsageError(f"--head {named.name}={named.classes}: expected a number of classes")
        return int(named.classes)
    if classes is None:
        raise click.UsageError(f"--head {named.name}: how many classes? Give --head {named.name}=N")
    return classes


def _require_no_head(options: Mapping[str, Any]) -> None:
    """Refuse what is said of a head where there is none."""
    if options["ensemble"] and options["no_head"]:
        raise click.UsageError("--ensemble and --no-head exclude each other")
    # Of an ensemble --classes says how many the branches' own classifiers have.
    for option in _OF_A_HEAD if options["ensemble"] else (*_OF_A_HEAD, "classes"):
        if options[option] not in (None, (), {}):
            raise click.UsageError(f"{flag(option)} does not go with --ensemble and --no-head")


def _require_known(named: Sequence[_Named], options: Mapping[str, Any]) -> None:
    """Refuse a loss, or its weight, for a head that is not there."""
    names = [one.name for one in named]
    for option in ("loss", "loss_weight"):
        unknown = [key for key in options[option] if key and key not in names]
        if unknown:
            hint = did_you_mean(unknown[0], names)
            raise click.UsageError(f"{flag(option)} {unknown[0]}: no head has this name; {hint}")


def _require_use_of_classes(named: Sequence[_Named], classes: Optional[int]) -> None:
    counts = [one.classes for one in named]
    if classes is not None and all(counts) and str(classes) not in counts:
        raise click.UsageError("each --head has its own number of classes, and --classes would have no effect")
