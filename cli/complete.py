"""What a shell is offered where it completes an argument: nets, files, the value of PREFIX=VALUE."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Callable, List

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], List["CompletionItem"]]


def complete_net(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> List[CompletionItem]:
    """Offer what a NET can be: builders, files, and the word fusion."""
    from click.shell_completion import CompletionItem

    from netbuild.branches.table import BUILDERS

    names = [*BUILDERS, "fusion"]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)] + complete_file(
        _ctx, _param, incomplete
    )


def complete_file(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> List[CompletionItem]:
    """Offer files and folders."""
    from click.shell_completion import CompletionItem

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
        from click.shell_completion import CompletionItem

        key, equals, value = incomplete.partition("=")
        return [CompletionItem(f"{key}={item.value}") for item in complete(ctx, param, value)] if equals else []

    return completed
