"""What a net's data layers would stumble over: found in their lists and files before Caffe opens them.

Caffe takes any label, and aborts at an image that it cannot read when it comes to it, in the middle of a run. Looked at
are the lists of ImageData and HDF5Data layers that are there, alone and together, and mean files; databases are not
opened.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Generator, Iterator, List, NamedTuple, Optional, Sequence

from ..engine.caffe import Message
from ..errors import NetbuildError, NetbuildWarning
from ..graph.judges import Reading, readings
from ..layers.roles import cuts_images, reads, reads_list
from ..layers.row import Reads
from ..proto import of_phase, phases
from .contents import Found, look_at, unfit
from .fault import Fault, Weight
from .hdf5 import hdf5_faults
from .labels import beyond
from .listing import ImageList, read_lines
from .means import mean_faults
from .one_size import one_size_faults
from .together import Stream, apart


class _Source(NamedTuple):
    """A layer that brings in data, and who reads its tops."""

    layer: Message
    tops: List[Reading]


def data_faults(net: Message, in_phases: Optional[Sequence[int]] = None) -> List[Fault]:
    """Return what is wrong with the lists that a net reads, those that are there; each fault once.

    `in_phases` are the phases the net will run in; by default those that something feeds.
    """
    found: List[Fault] = []
    for phase in phases(net) if in_phases is None else in_phases:
        read = readings(net, phase)
        sources = [
            _Source(layer, [read[index, place] for place in range(len(layer.top))])
            for index, layer in of_phase(net, phase)
            if not layer.bottom
        ]
        found += _of_phase(net, phase, sources)
    return list(dict.fromkeys(found))


def require_readable(net: Message, what: str, in_phases: Sequence[int]) -> None:
    """Raise NetbuildError with all that is wrong with a net's lists, else note what is in doubt; `what` names the
    net."""
    _settle(data_faults(net, in_phases), Weight.ELSEWHERE, what)


def require_fit_lists(net: Message, what: str) -> None:
    """Raise NetbuildError for what is wrong with the lists of a net that will be run elsewhere, or later.

    That their images or a mean file are not there is only noted.
    """
    _settle(data_faults(net), Weight.WRONG, what)


def _settle(found: Sequence[Fault], refused: Weight, what: str) -> None:
    """Raise NetbuildError with the faults of a weight and above; note the others."""
    sentences = [fault.sentence for fault in found if fault.weight >= refused]
    if sentences:
        text = f"{what}: {sentences[0]}" if len(sentences) == 1 else "\n  ".join([f"{what}:", *sentences])
        raise NetbuildError(text)
    for fault in found:
        warnings.warn(fault.sentence, NetbuildWarning, stacklevel=4)


def _of_phase(net: Message, phase: int, sources: Sequence[_Source]) -> List[Fault]:
    """Return what is wrong in one phase: with each layer, and where that is nothing, with their lists together."""
    found: List[Fault] = []
    for source in sources:
        found += _of_source(net, phase, *source)
    listed = [source for source in sources if _has_list(*source)]
    if len(listed) > 1 and all(fault.weight < Weight.WRONG for fault in found):
        found += apart([_stream(*source) for source in listed])
    return found


def _of_source(net: Message, phase: int, layer: Message, tops: Sequence[Reading]) -> Iterator[Fault]:
    try:
        found = (yield from _image_data(layer, tops[1])) if _has_list(layer, tops) else None
        if found is not None:
            yield from map(Fault, one_size_faults(net, phase, layer, found))
        if cuts_images(layer):
            yield from mean_faults(layer, found)
        if reads(layer) is Reads.HDF5 and Path(layer.hdf5_data_param.source).exists():
            yield from map(Fault, hdf5_faults(layer, tops))
    except NetbuildError as error:
        yield Fault(str(error))


def _stream(layer: Message, tops: Sequence[Reading]) -> Stream:
    images, labels = tops
    return Stream(layer, _lines(layer), images.read, labels.read)


def _has_list(layer: Message, tops: Sequence[Reading]) -> bool:
    return reads_list(layer) and len(tops) == 2 and Path(layer.image_data_param.source).exists()


def _lines(layer: Message) -> ImageList:
    options = layer.image_data_param
    return read_lines(options.source, options.root_folder, f"layer {layer.name!r}: list")


def _image_data(layer: Message, labels: Reading) -> Generator[Fault, None, Found]:
    """Yield what is wrong with a list that is there; return its images."""
    import numpy as np

    options = layer.image_data_param
    resized, crop = min(options.new_height, options.new_width), layer.transform_param.crop_size
    if 0 < resized < crop:
        yield Fault(f"layer {layer.name!r}: its crop_size {crop} is larger than new_height or new_width, {resized}")
    listed = _lines(layer)
    misread = list(listed.misread(labelled=labels.read))
    yield from map(Fault, listed.sentences(misread))
    wrong = {one.line for one in misread}
    entries = [entry for entry in listed.entries() if entry.line not in wrong]
    numbers = np.array([entry.label for entry in entries], np.int64)
    sentences = beyond(numbers, labels.asked, f"list {listed.path!r}", lambda place: f"line {entries[place].line}")
    yield from map(Fault, sentences)
    found = look_at(listed, entries)
    if found.missing:
        yield Fault(listed.absent(found.missing), Weight.ABSENT)
    yield from map(Fault, unfit(found, layer))
    return found
