"""netbuild diff."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Tuple

import click

from .complete import complete_net
from .console import say, say_json
from .options import json_option, state_options
from .words import counted

if TYPE_CHECKING:
    from netbuild.graph.differences import Differences

_DIFFERENT = 1
"""Exit status of nets that differ, as diff has it for files."""


@click.command("diff")
@click.argument("old", metavar="A", shell_complete=complete_net)
@click.argument("new", metavar="B", shell_complete=complete_net)
@state_options
@json_option
@click.pass_context
def command(ctx: click.Context, old: str, new: str, stages: Sequence[str], level: Optional[int], as_json: bool) -> None:
    """Show what differs between the nets A and B: prototxts, or builders.

    They are compared as nets, not as text. The order of fields, defaults that are written out and old formats make no
    difference. A layer that computes the same from the same input under another name counts as renamed. The exit status
    is 1 if the nets differ. With --stage or --level they are compared as Caffe builds them in that state.
    """
    from netbuild.emit.named import named_net
    from netbuild.graph.differences import differences

    nets = (named_net(name, stages=stages, level=level) for name in (old, new))
    found = differences(*nets)
    if as_json:
        say_json(dataclasses.asdict(found))
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
    sums = [f"{counted(number, 'layer')} {what}" for number, what in numbers if number]
    return [*lines, "", ", ".join(sums) or "the layers are the same"]


def _renamings(renamed: List[Tuple[str, str]]) -> List[str]:
    """Return a line for each renaming; where several layers change one prefix for another, one line for them all."""
    ways = Counter(map(_way, renamed))
    several = [f"= {before}* -> {after}* ({times} layers)" for (before, after), times in ways.items() if times > 1]
    return several + [f"= {before} -> {after}" for before, after in renamed if ways[_way((before, after))] == 1]


def _way(pair: Tuple[str, str]) -> Tuple[str, str]:
    """Return the prefixes by which two names differ, or the names where they end differently."""
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
