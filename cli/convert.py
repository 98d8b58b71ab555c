"""netbuild convert."""

from __future__ import annotations

import dataclasses
import json

import click

from netbuild.fuse.convert import convert_weights

from .console import say, wrote
from .options import byte_progress, counted, json_option, over_2gb_option


@click.command("convert")
@click.argument("source", metavar="IN")
@click.argument("output", metavar="OUT")
@over_2gb_option
@json_option
def command(source: str, output: str, over_2gb: bool, as_json: bool) -> None:
    """Bring a weight file up to date, or from .caffemodel to HDF5 (.h5) and back.

    Layers, shapes and unpacked values of old files become those of today, diffs are left behind, and every value stays
    bit for bit what it was.
    """
    done = convert_weights(source, output, over_2gb=over_2gb, on_progress=byte_progress("copying"))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(done), indent=2))
        return
    if done.renewed:
        say(f"brought up to date: {counted(done.renewed, 'layer')} of before 2015")
    if not done.defined:
        say("the layers have names and blobs only: HDF5 holds no definitions")
    wrote(f"{done.output} ({done.bytes_written:,} bytes)")
    say(f"{done.blobs} of {done.blobs} blobs, in {counted(done.layers, 'layer')}, bit-equal to {source}")
