"""netbuild extract."""

from __future__ import annotations

import dataclasses
import json

import click

from netbuild.fuse.extract import extract_branch

from .console import say, wrote
from .options import counted, json_option, output_folder_option


@click.command("extract")
@click.argument("prefix")
@click.argument("target", metavar="TARGET.prototxt")
@click.argument("weights", metavar="INIT.caffemodel")
@output_folder_option
@json_option
def command(prefix: str, target: str, weights: str, output: str, as_json: bool) -> None:
    """Take the branch PREFIX out of a fused net: DIR/PREFIX.prototxt and DIR/PREFIX.caffemodel, names restored.

    The net is a deploy net whose inputs are what the branch reads from outside; --branch takes it again.
    """
    found = extract_branch(prefix, target, weights, output)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=2))
        return
    for blob, shape in found.inputs.items():
        say(f"input {blob}: {' x '.join(map(str, shape))}")
    wrote(f"{found.net} and {found.weights}")
    say(f"{found.blobs} of {found.blobs} blobs, in {counted(found.layers, 'layer')}, bit-equal to {weights}")
