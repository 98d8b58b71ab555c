"""The layers of a net that read files, alone and together: what is wrong with their lists, images and mean files."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from ..data.listing import Misread, read_lines
from ..errors import NetbuildError
from ..graph.judges import Reading, readings
from ..graph.view import NetView, Views
from ..layers.roles import cuts_images, reads, reads_list
from ..layers.row import Reads
from ..schema import Message
from .data_fault import DataFault, Severity
from .databases import database_fault
from .hdf5 import hdf5_faults
from .images import InspectedImages, unfit_images
from .labels import beyond
from .means import mean_faults
from .one_size import one_size_faults
from .together import Stream, together_faults


def source_faults(of_phases: Views) -> List[DataFault]:
    """Return what is wrong with the files that a net reads, those that are there; each fault once."""
    lists = _Lists()
    faults: List[DataFault] = []
    for view in of_phases.values():
        faults += _of_phase(view, lists)
    return list(dict.fromkeys(faults))


class _InspectedList(NamedTuple):
    """A list that was read, and its images that were looked at, those of misread lines left out."""

    misread: List[Misread]
    images: InspectedImages


class _Lists:
    """The lists that a net's layers read: each is read, and each of its images looked at, once for all phases."""

    def __init__(self) -> None:
        self._known: Dict[Tuple[str, str, bool], _InspectedList] = {}

    def inspected(self, layer: Message, *, labelled: bool) -> _InspectedList:
        """Return a layer's list; `labelled` tells whether anything reads its labels."""
        options = layer.image_data_param
        key = (options.source, options.root_folder, labelled)
        if key not in self._known:
            listed = read_lines(options.source, options.root_folder, f"layer {layer.name!r}: list")
            misread = list(listed.misread(labelled=labelled))
            wrong = {one.line for one in misread}
            entries = [entry for entry in listed.entries() if entry.line not in wrong]
            self._known[key] = _InspectedList(misread, InspectedImages(listed, entries))
        return self._known[key]


class _Source(NamedTuple):
    """A layer that brings in data, and who reads its tops."""

    layer: Message
    tops: List[Reading]

    @property
    def has_list(self) -> bool:
        """Whether it reads images and labels of a list that is there."""
        listed = reads_list(self.layer) and len(self.tops) == 2
        return listed and Path(self.layer.image_data_param.source).exists()

    @property
    def labels(self) -> Reading:
        """Who reads the labels, of one that has a list."""
        return self.tops[1]


def _of_phase(view: NetView, lists: _Lists) -> List[DataFault]:
    """Return what is wrong in one phase: with each layer, and where that is nothing, with their lists together."""
    sources = list(_sources(view))
    faults: List[DataFault] = []
    for source in sources:
        faults += _of_source(view, source, lists)
    listed = [source for source in sources if source.has_list]
    if len(listed) > 1 and all(fault.severity < Severity.WRONG for fault in faults):
        faults += together_faults([_stream(source, lists) for source in listed])
    return faults


def _sources(view: NetView) -> Iterator[_Source]:
    read = readings(view)
    for index, layer in view.layers:
        if not layer.bottom:
            yield _Source(layer, [read[index, place] for place in range(len(layer.top))])


def _stream(source: _Source, lists: _Lists) -> Stream:
    images, labels = source.tops
    listed = lists.inspected(source.layer, labelled=labels.read).images.listed
    return Stream(source.layer, listed, images.read, labels.read)


def _of_source(view: NetView, source: _Source, lists: _Lists) -> Iterator[DataFault]:
    """Yield what is wrong with what one layer reads."""
    layer = source.layer
    images: Optional[InspectedImages] = None
    try:
        if source.has_list:
            yield from _of_crop(layer)
            inspected = lists.inspected(layer, labelled=source.labels.read)
            images = inspected.images
            yield from map(DataFault, images.listed.sentences(inspected.misread))
            yield from map(DataFault, _of_labels(images, source.labels))
            yield from _of_images(images, layer)
            yield from map(DataFault, one_size_faults(view, layer, images))
        if cuts_images(layer):
            yield from mean_faults(layer, images)
        if reads(layer) is Reads.DATABASE:
            fault = database_fault(layer)
            yield from [DataFault(fault)] if fault else []
        if reads(layer) is Reads.HDF5 and Path(layer.hdf5_data_param.source).exists():
            yield from map(DataFault, hdf5_faults(layer, source.tops))
    except NetbuildError as error:
        yield DataFault(str(error))


def _of_crop(layer: Message) -> Iterator[DataFault]:
    options = layer.image_data_param
    resized, crop = min(options.new_height, options.new_width), layer.transform_param.crop_size
    if 0 < resized < crop:
        yield DataFault(f"layer {layer.name!r}: its crop_size {crop} is larger than new_height or new_width, {resized}")


def _of_labels(images: InspectedImages, labels: Reading) -> Iterator[str]:
    import numpy as np

    entries = images.entries
    numbers = np.array([entry.label for entry in entries], np.int64)
    where = f"list {images.listed.path!r}"
    return beyond(numbers, labels.demands, where, lambda place: f"line {entries[place].line}")


def _of_images(images: InspectedImages, layer: Message) -> Iterator[DataFault]:
    """Yield what is wrong with the images of a list."""
    if images.missing:
        yield DataFault(images.listed.absent(images.missing), Severity.ABSENT)
    yield from map(DataFault, unfit_images(images, layer))
