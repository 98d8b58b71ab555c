"""The builders as the command line shows them: in a list, and to a shell that completes NET."""

from __future__ import annotations

import os
from typing import Callable, List

import click
from click.shell_completion import CompletionItem

from .console import say

Complete = Callable[[click.Context, click.Parameter, str], List[CompletionItem]]


def complete_net(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> List[CompletionItem]:
    """Offer what a NET can be: builders, files, and the word fusion."""
    from netbuild.branches.table import BUILDERS

    names = [*BUILDERS, "fusion"]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)] + complete_file(
        _ctx, _param, incomplete
    )


def complete_file(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> List[CompletionItem]:
    """Offer files and folders."""
    folder, begun = os.path.split(incomplete)
    try:
        there = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in os.scandir(folder or "."))
    except OSError:
        return []
    fitting = [name for name in there if name.startswith(begun) and (begun or not name.startswith("."))]
    return [CompletionItem(os.path.join(folder, name)) for name in fitting]  # noqa: PTH118 - keeps what was typed


def complete_pair(complete: Complete) -> Complete:
    """Return what completes the VALUE of KEY=VALUE."""

    def completed(ctx: click.Context, param: click.Parameter, incomplete: str) -> List[CompletionItem]:
        key, equals, value = incomplete.partition("=")
        return [CompletionItem(f"{key}={item.value}") for item in complete(ctx, param, value)] if equals else []

    return completed


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
    from netbuild.engine.caffe import TEST
    from netbuild.layers import any_batch_text, infer

    from .options import aligned

    rows = [["BUILDER", "INPUT", "SEAM", "SHAPE", "PARAMETERS", "MULTIPLY-ADDS"]]
    for name in BUILDERS:
        net, branch = alone(find_builder(name))
        blobs = infer(net, TEST).blobs
        total = summarize(net).totals[-1]
        figures = [f"{total.parameters:,}", f"{total.multiply_adds:,}"]
        rows.append([name, any_batch_text(blobs["data"]), branch.seam, any_batch_text(blobs[branch.seam]), *figures])
    return aligned(rows, ["BUILDER", "INPUT", "SEAM", "SHAPE"])
