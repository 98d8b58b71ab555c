"""netbuild convert."""

from __future__ import annotations

import dataclasses

import click

from netbuild.fuse.convert import convert_weights

from .console import say, say_json, wrote
from .options import json_option, over_2gb_option
from .progress import byte_progress
from .words import counted


@click.command("convert")
@click.argument("source", metavar="IN")
@click.argument("output", metavar="OUT")
@over_2gb_option
@json_option
def command(source: str, output: str, over_2gb: bool, as_json: bool) -> None:
    """Bring a weight file up to date, or convert it between .caffemodel and HDF5 (.h5).

    Old layers, shapes and unpacked values are written in today's form, and diffs are dropped. Every value keeps its
    bits.
    """
    done = convert_weights(source, output, over_2gb=over_2gb, on_progress=byte_progress("copying"))
    if as_json:
        say_json(dataclasses.asdict(done))
        return
    if done.renewed:
        say(f"brought up to date: {counted(done.renewed, 'layer')} from before 2015")
    if not done.defined:
        say("the layers have names and blobs only: HDF5 holds no definitions")
    wrote(f"{done.output} ({done.bytes_written:,} bytes)")
    say(f"{done.blobs} of {done.blobs} blobs, in {counted(done.layers, 'layer')}, bit-equal to {source}")
