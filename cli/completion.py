"""netbuild completion."""

from __future__ import annotations

import os
from typing import List, Tuple

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, get_completion_class

from .console import COMPLETING


class _Bash(BashComplete):
    """Takes --branch odd=lenet for one word, where bash sees three: it breaks words at the =."""

    def get_completion_args(self) -> Tuple[List[str], str]:
        args, incomplete = super().get_completion_args()
        words: List[str] = []
        for word in [*args, incomplete]:
            if words and (word == "=" or words[-1].endswith("=")):
                words[-1] += word
            else:
                words.append(word)
        return words[:-1], words[-1]

    def format_completion(self, item: CompletionItem) -> str:
        breaks = os.environ.get("COMP_WORDBREAKS", "=")
        # What stands before the = is no part of the word that bash completes.
        value = str(item.value).rpartition("=")[2] if "=" in breaks else str(item.value)
        return f"{item.type},{value}"


add_completion_class(_Bash, "bash")


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print what lets a shell complete commands, options, builders and files.

    \b
    bash:  echo 'eval "$(netbuild completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(netbuild completion zsh)"' >> ~/.zshrc
    fish:  netbuild completion fish > ~/.config/fish/completions/netbuild.fish
    """
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(ctx.find_root().command, {}, "netbuild", COMPLETING).source())
