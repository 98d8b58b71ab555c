"""netbuild check."""

from __future__ import annotations

from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

import click

from netbuild import proto
from netbuild.branches.declared import images_of
from netbuild.branches.given import prototxts, require_no_state
from netbuild.errors import GraphError
from netbuild.graph.check import problems_of, remarks
from netbuild.graph.phases import made_for
from netbuild.graph.view import Views, views
from netbuild.schema import TEST, TRAIN, Message
from netbuild.soundness.check import data_faults_of
from netbuild.soundness.data_fault import Severity

from .complete import complete_net
from .console import note, say, say_json
from .options import caffe_option, json_option, state_options

Value = TypeVar("Value")


class _Report(NamedTuple):
    """What there is to say of one net; the names of the fields are those of the JSON."""

    net: str
    problems: List[str]
    notes: List[str]
    """What Caffe accepts, and its user may not mean."""
    unknown_types: Dict[str, str]
    """Layers whose type is not known, and the type."""
    unclear_options: Dict[str, List[str]]
    """Layers with options of which it is not known what they do, and these options."""
    seams: Optional[List[str]]
    untold_inputs: List[str]
    """Inputs of images whose preparation no data layer declares."""


@click.command("check")
@click.argument("net", metavar="NET", shell_complete=complete_net)
@click.option("--seams", "list_seams", is_flag=True, help="List the blobs where the net can be cut, with their shapes.")
@state_options
@json_option
@caffe_option
def command(net: str, list_seams: bool, stages: Sequence[str], level: Optional[int], as_json: bool) -> None:
    """List everything in NET, a prototxt or a builder, that Caffe would refuse or misread.

    No Caffe net is built. If the files that its data layers read are there, they are checked too: lists, and the images
    in them. The exit status is 1 if anything is wrong.
    """
    wrong = 0
    for name, message in _nets(net, stages, level).items():
        report = _report(name, message, list_seams=list_seams)
        wrong += len(report.problems)
        if as_json:
            say_json(report._asdict())
        else:
            _print(report, message)
    if wrong:
        raise GraphError(f"{wrong} things are wrong" if wrong > 1 else "one thing is wrong")


def _nets(name: str, stages: Sequence[str], level: Optional[int]) -> Dict[str, Message]:
    """Return the nets that a NET stands for: of each prototxt, or of a builder."""
    files = prototxts(name)
    if files:
        return {file: proto.read_net(file, stages=stages, level=level) for file in files}
    from netbuild.branches.source import alone
    from netbuild.branches.table import find_builder

    require_no_state(name, stages, level)
    return {name: alone(find_builder(name))[0]}


def _report(name: str, net: Message, *, list_seams: bool) -> _Report:
    of_phases = views(net)
    data_problems, data_notes = _data_faults(of_phases)
    mark = proto.mark_fault(name) if prototxts(name) else None
    wrong = [*filter(None, [mark]), *problems_of(net, of_phases), *data_problems]
    return _Report(
        name,
        wrong,
        notes=[
            *filter(None, [proto.needs(net).sentence]),
            *proto.notes_on_state(net),
            *remarks(net, of_phases),
            *data_notes,
        ],
        unknown_types=_merged(view.unknown_types for view in of_phases.values()),
        unclear_options=_merged(view.unclear_options for view in of_phases.values()),
        seams=_seams(of_phases) if list_seams else None,
        # A builder declares how its images are prepared by other means than a data layer.
        untold_inputs=_unprepared(of_phases) if prototxts(name) and not wrong else [],
    )


def _seams(of_phases: Views) -> List[str]:
    from netbuild.branches.part import seams

    return seams(of_phases.get(TEST) or of_phases[TRAIN])


def _data_faults(of_phases: Views) -> Tuple[List[str], List[str]]:
    """Return what is wrong with the net's data, and what deserves a note."""
    faults = data_faults_of(of_phases)
    wrong = [fault.sentence for fault in faults if fault.severity >= Severity.ABSENT]
    return wrong, [fault.sentence for fault in faults if fault.severity < Severity.ABSENT]


def _merged(of_views: Iterable[Dict[str, Value]]) -> Dict[str, Value]:
    return {name: value for found in of_views for name, value in found.items()}


def _unprepared(of_phases: Views) -> List[str]:
    return [blob for blob, images in images_of(of_phases).items() if not images.prepared]


def _print(report: _Report, net: Message) -> None:
    from netbuild.layers.table import likely_type

    name = report.net
    for sentence in report.problems:
        say(f"{name}: {sentence}")
    for sentence in report.notes:
        say(f"{name}: note: {sentence}")
    for layer, kind in report.unknown_types.items():
        hint = likely_type(kind)
        more = f"; did you mean {hint!r}?" if hint else ""
        say(f"{name}: note: layer {layer!r}: the type {kind!r} is not known here; shapes after it are unknown{more}")
    for layer, options in report.unclear_options.items():
        what = f"what {' and '.join(options)} does is not known here"
        say(f"{name}: note: layer {layer!r}: {what}; shapes after it are unknown")
    for line in report.seams or ():
        say(line)
    if not report.problems and report.seams is None:
        listed = " and ".join(map(proto.phase_name, sorted(made_for(net))))
        say(f"{name}: {len(net.layer)} layers, nothing wrong in phase {listed}")
    for blob in report.untold_inputs:
        note(f"{name}: input {blob!r}: nothing here tells how its images are prepared (mean, scale, crop)")
