"""netbuild demo."""

from __future__ import annotations

import time
from typing import Dict, Optional

import click

from .console import is_quiet, say
from .options import caffe_option, output_folder_option, weights_option


@click.command("demo")
@output_folder_option
@click.option(
    "--data", metavar="digits|PATH", default="digits", show_default=True, help="Bundled digits, or MNIST's files."
)
@weights_option("A trained branch (odd or even); without it the demo trains the branch.")
@click.option(
    "--branch-iterations",
    metavar="N",
    type=click.IntRange(1),
    help="Iterations for each branch.  [default: digits 600, MNIST 2000]",
)
@click.option(
    "--head-iterations",
    metavar="N",
    type=click.IntRange(1),
    help="Iterations for the head.  [default: digits 500, MNIST 1000]",
)
@click.option("--force", is_flag=True, help="Empty DIR first, if everything in it was made by an earlier demo.")
@caffe_option
def command(
    output: str,
    data: str,
    weights: Dict[str, str],
    branch_iterations: Optional[int],
    head_iterations: Optional[int],
    force: bool,
) -> None:
    """Fuse two LeNets, one of odd and one of even digits, from data to accuracy."""
    from netbuild.demo import run_demo

    start = time.monotonic()

    def tell(line: str) -> None:
        if not is_quiet():
            say(f"[{time.monotonic() - start:5.1f} s] {line}")

    result = run_demo(
        output,
        data=data,
        weights=weights,
        branch_iterations=branch_iterations,
        head_iterations=head_iterations,
        force=force,
        on_step=tell,
    )
    say("")
    say(f"{'net':8} {'task':12} {'validation':>10} {'test':>8}")
    for score in result.scores:
        say(f"{score.net:8} {score.task:12} {score.validation:10.4f} {score.test:8.4f}")
    say("")
    say("written:")
    for path in result.files:
        say(f"  {path}")
    say("")
    say(f"open {result.report} in a browser: all of it on one page")
