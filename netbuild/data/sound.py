"""What a net's data layers would stumble over: found in their lists and files before Caffe opens them.

Caffe takes any label, and aborts at an image that it cannot read when it comes to it, in the middle of a run. Looked at
are the lists of ImageData and HDF5Data layers that are there; databases are not opened.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Iterable, Iterator, List, NamedTuple, Optional, Sequence

from .._caffe import Message
from ..errors import NetbuildError, NetbuildWarning
from ..graph.judges import Reading, readings
from ..proto import of_phase, phases
from .contents import look_at, unfit
from .hdf5 import hdf5_faults
from .labels import beyond
from .listing import read_lines


class Fault(NamedTuple):
    """What is wrong with a data layer's list, or with what it names."""

    sentence: str
    absent: bool = False
    """Whether it is only that images are not there: where a net is written but not run, they need not be."""


def data_faults(net: Message, in_phases: Optional[Sequence[int]] = None) -> List[Fault]:
    """Return what is wrong with the lists that a net reads, those that are there; each fault once.

    `in_phases` are the phases the net will run in; by default those that something feeds.
    """
    found: List[Fault] = []
    for phase in phases(net) if in_phases is None else in_phases:
        read = readings(net, phase)
        for index, layer in of_phase(net, phase):
            tops = [read[index, place] for place in range(len(layer.top))] if not layer.bottom else []
            try:
                found += _of_layer(layer, tops)
            except NetbuildError as error:
                found.append(Fault(str(error)))
    return list(dict.fromkeys(found))


def require_readable(net: Message, what: str, in_phases: Sequence[int]) -> None:
    """Raise NetbuildError with all that is wrong with a net's lists; `what` names the net."""
    _raise((fault.sentence for fault in data_faults(net, in_phases)), what)


def require_fit_lists(net: Message, what: str) -> None:
    """Raise NetbuildError for what is wrong with the lists of a net that will be run elsewhere, or later.

    That their images are not there is only noted.
    """
    found = data_faults(net)
    _raise((fault.sentence for fault in found if not fault.absent), what)
    for fault in found:
        warnings.warn(fault.sentence, NetbuildWarning, stacklevel=3)


def _raise(sentences: Iterable[str], what: str) -> None:
    found = list(sentences)
    if found:
        raise NetbuildError(f"{what}: {found[0]}" if len(found) == 1 else "\n  ".join([f"{what}:", *found]))


def _of_layer(layer: Message, tops: Sequence[Reading]) -> Iterator[Fault]:
    if layer.type == "ImageData" and len(tops) == 2 and Path(layer.image_data_param.source).exists():
        yield from _image_data(layer, tops[1])
    if layer.type == "HDF5Data" and Path(layer.hdf5_data_param.source).exists():
        yield from map(Fault, hdf5_faults(layer, tops))


def _image_data(layer: Message, labels: Reading) -> Iterator[Fault]:
    import numpy as np

    options = layer.image_data_param
    resized, crop = min(options.new_height, options.new_width), layer.transform_param.crop_size
    if 0 < resized < crop:
        yield Fault(f"layer {layer.name!r}: its crop_size {crop} is larger than new_height or new_width, {resized}")
    listed = read_lines(options.source, options.root_folder, f"layer {layer.name!r}: list")
    misread = list(listed.misread(labelled=labels.read))
    yield from map(Fault, listed.sentences(misread))
    wrong = {one.line for one in misread}
    entries = [entry for entry in listed.entries() if entry.line not in wrong]
    numbers = np.array([entry.label for entry in entries], np.int64)
    sentences = beyond(numbers, labels.asked, f"list {listed.path!r}", lambda place: f"line {entries[place].line}")
    yield from map(Fault, sentences)
    found = look_at(listed, entries)
    if found.missing:
        yield Fault(listed.absent(found.missing), absent=True)
    yield from map(Fault, unfit(found, layer))
