"""netbuild extract."""

from __future__ import annotations

import dataclasses
from typing import Dict, Optional, Sequence, Tuple

import click

from netbuild.fuse.extract import extract_branch

from .console import say, say_json, wrote
from .options import in_state, json_option, output_folder_option, shapes_option, state_options
from .words import by, counted


@click.command("extract")
@click.argument("prefix")
@click.argument("target", metavar="TARGET.prototxt")
@click.argument("weights", metavar="INIT.caffemodel")
@output_folder_option
@shapes_option("Shape of an input of the fused net.  [default: from the net, or what fits the weights]")
@state_options
@json_option
def command(
    prefix: str,
    target: str,
    weights: str,
    output: str,
    shapes: Dict[str, Tuple[int, ...]],
    stages: Sequence[str],
    level: Optional[int],
    as_json: bool,
) -> None:
    """Take the branch PREFIX out of a fused net, with the names that it had alone.

    Writes DIR/PREFIX.prototxt, a deploy net, and DIR/PREFIX.caffemodel. What the branch reads from the rest of the net
    becomes an input. --branch accepts the prototxt again.
    """
    done = extract_branch(prefix, in_state(target, stages, level), weights, output, shapes=shapes)
    if as_json:
        say_json(dataclasses.asdict(done))
        return
    for blob, shape in done.inputs.items():
        say(f"input {blob}: {by(shape)}")
    wrote(f"{done.net} and {done.weights}")
    say(f"{done.blobs} of {done.blobs} blobs, in {counted(done.layers, 'layer')}, bit-equal to {weights}")
