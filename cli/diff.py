"""netbuild diff."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from typing import Any, List, Tuple

import click

from netbuild.emit.named import named_net
from netbuild.graph.differences import Differences, differences

from .builders import complete_net
from .console import say
from .options import counted, json_option

_DIFFERENT = 1
"""Exit status, as that of diff."""


@click.command("diff")
@click.argument("old", metavar="A", shell_complete=complete_net)
@click.argument("new", metavar="B", shell_complete=complete_net)
@json_option
@click.pass_context
def command(ctx: click.Context, old: str, new: str, as_json: bool) -> None:
    """Tell what differs between the nets A and B: prototxts, or builders.

    They are compared as nets, not as text: the order of the fields, defaults spelled out and old formats do not count,
    and a layer that does the same on the same input under another name is one renamed. Ends with status 1 where they
    differ.
    """
    found = differences(named_net(old), named_net(new))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=2))
    else:
        for line in _lines(found):
            say(line)
    ctx.exit(_DIFFERENT if found.any else 0)


def _lines(found: Differences) -> List[str]:
    if not found.any:
        return ["the same net"]
    lines = [f"net: {change.field}: {_value(change.old)} -> {_value(change.new)}" for change in found.net]
    lines += [f"- {name}" for name in found.removed]
    lines += [f"+ {name}" for name in found.added]
    lines += _renamings(found.renamed)
    for name, changes in found.changed.items():
        lines += [f"~ {name}: {change.field}: {_value(change.old)} -> {_value(change.new)}" for change in changes]
    numbers = (
        *((len(found.removed), "removed"), (len(found.added), "added")),
        *((len(found.renamed), "renamed"), (len(found.changed), "changed")),
    )
    told = [f"{counted(number, 'layer')} {what}" for number, what in numbers if number]
    return [*lines, "", ", ".join(told) or "the layers are the same"]


def _renamings(renamed: List[Tuple[str, str]]) -> List[str]:
    """Return a line for each way in which layers are renamed; those of one prefix are one way."""
    execution = Counter(map(_way, renamed))
    several = [f"= {before}* -> {after}* ({times} layers)" for (before, after), times in execution.items() if times > 1]
    return several + [f"= {before} -> {after}" for before, after in renamed if execution[_way((before, after))] == 1]


def _way(pair: Tuple[str, str]) -> Tuple[str, str]:
    """Return the prefixes that the names have before what is the same in both; the names where nothing is."""
    before, after = pair
    if after.endswith(before):
        return "", after[: -len(before)]
    if before.endswith(after):
        return before[: -len(after)], ""
    (one, slash, rest), (other, _, same) = before.partition("/"), after.partition("/")
    return (f"{one}/", f"{other}/") if slash and rest == same else pair


def _value(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return " ".join(map(_value, value)) or "nothing"
    return "default" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
