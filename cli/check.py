"""netbuild check."""

from __future__ import annotations

import json
from typing import List

import click

from netbuild import proto
from netbuild._caffe import TEST
from netbuild.branches.prototxt import seams
from netbuild.branches.source import alone, prototxts
from netbuild.branches.table import find_builder
from netbuild.data.sound import data_faults
from netbuild.errors import GraphError
from netbuild.graph.check import problems
from netbuild.shapes import unknown_types

from .builders import complete_net
from .options import json_option


@click.command("check")
@click.argument("net", metavar="NET", shell_complete=complete_net)
@click.option("--seams", "list_seams", is_flag=True, help="List the blobs where the net can be cut, with their shapes.")
@json_option
def command(net: str, list_seams: bool, as_json: bool) -> None:
    """Tell everything that Caffe would refuse in NET, or take and misread: a prototxt, or a builder.

    No Caffe net is built. Lists of data that are there are looked at, with the images that they name. Ends with status
    1 if anything is wrong.
    """
    files = prototxts(net)
    nets = {file: proto.read_net(file) for file in files} if files else {net: alone(find_builder(net))[0]}
    found: List[str] = []
    for name, message in nets.items():
        wrong = [*problems(message), *(fault.sentence for fault in data_faults(message))]
        phases = proto.phases(message)
        unknown = {layer: kind for phase in phases for layer, kind in unknown_types(message, phase).items()}
        cuts = seams(proto.only_phase(message, TEST if TEST in phases else phases[0])) if list_seams else []
        found += wrong
        if as_json:
            report = {"net": name, "problems": wrong, "unknown_types": unknown, "seams": cuts if list_seams else None}
            click.echo(json.dumps(report, indent=2))
            continue
        for sentence in wrong:
            click.echo(f"{name}: {sentence}")
        for layer, kind in unknown.items():
            click.echo(
                f"{name}: note: layer {layer!r}: the type {kind!r} is not known here; shapes after it are unknown"
            )
        for line in cuts:
            click.echo(line)
        if not wrong and not list_seams:
            listed = " and ".join(map(proto.phase_name, sorted(phases)))
            click.echo(f"{name}: {len(message.layer)} layers, nothing wrong in phase {listed}")
    if found:
        raise GraphError(f"{len(found)} things are wrong" if len(found) > 1 else "one thing is wrong")
