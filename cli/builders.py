"""The builders, listed with what they cost."""

from __future__ import annotations

from typing import List

import click

from .console import say
from .words import aligned


def list_builders(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    """Print the builders and end the command."""
    if not wanted or ctx.resilient_parsing:
        return
    for line in _table():
        say(line)
    say("")
    say("The figures are those up to the seam, which a new classifier reads.")
    say("NET is also your own builder (package.module:function), a prototxt, or the word fusion.")
    ctx.exit()


def _table() -> List[str]:
    from netbuild.branches.source import alone
    from netbuild.branches.table import BUILDERS, find_builder
    from netbuild.costs.summary import summarize
    from netbuild.layers import any_batch_text, infer
    from netbuild.schema import TEST

    rows = [["BUILDER", "INPUT", "SEAM", "SHAPE", "PARAMETERS", "MULTIPLY-ADDS"]]
    for name in BUILDERS:
        net, branch = alone(find_builder(name))
        blobs = infer(net, TEST).blobs
        total = summarize(net).totals[-1]
        figures = [f"{total.parameters:,}", f"{total.multiply_adds:,}"]
        rows.append([name, any_batch_text(blobs["data"]), branch.seam, any_batch_text(blobs[branch.seam]), *figures])
    return aligned(rows, ["BUILDER", "INPUT", "SEAM", "SHAPE"])
