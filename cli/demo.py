"""netbuild demo."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Dict, Optional

import click

from netbuild.demo import run_demo
from netbuild.errors import NetbuildError

from .options import output_folder_option, weights_option


@click.command("demo")
@output_folder_option
@click.option(
    "--data", metavar="digits|PATH", default="digits", show_default=True, help="Bundled digits, or MNIST's files."
)
@weights_option("A branch that is trained already (odd or even); without it the demo trains it.")
@click.option("--branch-iterations", type=click.IntRange(1), help="For each branch.  [default: digits 600, MNIST 2000]")
@click.option("--head-iterations", type=click.IntRange(1), help="For the head.  [default: digits 500, MNIST 1000]")
@click.option("--force", is_flag=True, help="Remove what an earlier demo left in DIR.")
def command(
    output: str,
    data: str,
    weights: Dict[str, str],
    branch_iterations: Optional[int],
    head_iterations: Optional[int],
    force: bool,
) -> None:
    """Fuse two LeNets, one of odd and one of even digits, from data to accuracy."""
    if force:
        _remove_earlier(Path(output))
    start = time.monotonic()
    result = run_demo(
        output,
        data=data,
        weights=weights,
        branch_iterations=branch_iterations,
        head_iterations=head_iterations,
        say=lambda line: click.echo(f"[{time.monotonic() - start:5.1f} s] {line}"),
    )
    click.echo(f"\n{'net':8} {'task':12} {'validation':>10} {'test':>8}")
    for score in result.scores:
        click.echo(f"{score.net:8} {score.task:12} {score.validation:10.4f} {score.test:8.4f}")
    click.echo("\nwritten:")
    for path in result.files:
        click.echo(f"  {path}")


def _remove_earlier(folder: Path) -> None:
    """Remove a folder only if it looks like a demo's: a slip of the tongue must not cost a home directory."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    if {path.name for path in folder.iterdir()} - {"data", "odd", "even", "fused"}:
        raise NetbuildError(f"output folder {str(folder)!r}: holds more than a demo's files; it was not touched")
    shutil.rmtree(folder)
