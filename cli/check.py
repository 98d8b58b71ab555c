"""netbuild check."""

from __future__ import annotations

import json
from typing import Dict, List, NamedTuple, Optional

import click

from netbuild import proto
from netbuild.branches.prototxt import seams
from netbuild.branches.source import alone, prototxts
from netbuild.branches.table import find_builder
from netbuild.branches.told import images_of
from netbuild.engine.caffe import TEST, Message
from netbuild.errors import GraphError
from netbuild.graph.check import problems, remarks
from netbuild.layers import unknown_types
from netbuild.soundness.check import data_faults
from netbuild.soundness.data_fault import Severity

from .builders import complete_net
from .console import note, say
from .options import json_option


class _Report(NamedTuple):
    """What there is to say of one net."""

    net: str
    problems: List[str]
    notes: List[str]
    """What Caffe takes, and its user may not mean."""
    unknown_types: Dict[str, str]
    """The layers whose type is not known."""
    seams: Optional[List[str]]
    untold_inputs: List[str]
    """Inputs of images of which nothing tells how they are prepared."""


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
    wrong = 0
    for name, message in nets.items():
        report = _looked_at(name, message, list_seams=list_seams)
        wrong += len(report.problems)
        if as_json:
            click.echo(json.dumps(report._asdict(), indent=2))
        else:
            _print(report, message)
    if wrong:
        raise GraphError(f"{wrong} things are wrong" if wrong > 1 else "one thing is wrong")


def _looked_at(name: str, net: Message, *, list_seams: bool) -> _Report:
    phases = proto.phases(net)
    faults = data_faults(net)
    wrong = [*problems(net), *(fault.sentence for fault in faults if fault.severity >= Severity.ABSENT)]
    notes = [*remarks(net), *(fault.sentence for fault in faults if fault.severity < Severity.ABSENT)]
    unknown = {layer: kind for phase in phases for layer, kind in unknown_types(net, phase).items()}
    cuts = seams(proto.only_phase(net, TEST if TEST in phases else phases[0])) if list_seams else None
    # A builder tells how its images are prepared by other means than a data layer.
    images = images_of(net) if prototxts(name) and not wrong else {}
    untold = [blob for blob, told in images.items() if not told.prepared]
    return _Report(name, wrong, notes, unknown, cuts, untold)


def _print(report: _Report, net: Message) -> None:
    name = report.net
    for sentence in report.problems:
        say(f"{name}: {sentence}")
    for sentence in report.notes:
        say(f"{name}: note: {sentence}")
    for layer, kind in report.unknown_types.items():
        say(f"{name}: note: layer {layer!r}: the type {kind!r} is not known here; shapes after it are unknown")
    for line in report.seams or ():
        say(line)
    if not report.problems and report.seams is None:
        listed = " and ".join(map(proto.phase_name, sorted(proto.phases(net))))
        say(f"{name}: {len(net.layer)} layers, nothing wrong in phase {listed}")
    for blob in report.untold_inputs:
        note(f"{name}: input {blob!r}: nothing here tells how its images are prepared (mean, scale, crop)")
