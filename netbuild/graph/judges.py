"""What the layers that judge a net, taking labels for classes, ask of these labels.

Caffe looks at no label: one beyond the classes reads, and in training writes, beside the scores.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from ..layers.in_place import hands_on
from ..layers.roles import classes, ignore_option, ignored_label, is_sink
from .view import NetView


class Asked(NamedTuple):
    """What a layer asks of the labels that it reads."""

    layer: str
    type: str
    classes: int
    """Labels from 0 to one less have a score."""
    ignored: Optional[int]
    """The label that it passes over."""

    @property
    def option(self) -> str:
        """Where the layer can be told of a label to pass over: the field that has an ignore_label, '' for none."""
        return ignore_option(self.type)


class Reading(NamedTuple):
    """Who reads one top of a data layer in one phase."""

    read: bool
    """Whether any layer makes something of it."""
    asked: List[Asked]
    """What is asked of its values, as labels; nothing where that is not known."""


def readings(view: NetView) -> Dict[Tuple[int, int], Reading]:
    """Return who reads the tops of the layers without bottoms, by the layer's index and the top's place.

    A label is followed through layers that pass its values on as they are. Where it goes through others, or the
    number of classes is not known from the definition, nothing is said to be asked.
    """
    tops = {
        (index, place): Reading(_is_read(view, top, index), [])
        for index, layer in view.layers
        if not layer.bottom
        for place, top in enumerate(layer.top)
    }
    for index, asked in _all_asked(view):
        origin = _origin(view, index)
        if origin in tops:
            tops[origin].asked.append(asked)
    return tops


def _is_read(view: NetView, blob: str, writer: int) -> bool:
    return any(not is_sink(view.by_index[reader]) for reader in view.flow.readers.get((blob, writer), ()))


def _all_asked(view: NetView) -> Iterator[Tuple[int, Asked]]:
    wrong = {misfit.layer for misfit in view.misfits}
    for index, layer in view.layers:
        if index in wrong or not layer.bottom:
            continue
        scores = view.shapes.bottoms[index][0]
        count = classes(layer, scores) if scores else None
        if count is not None:
            yield index, Asked(layer.name, layer.type, count, ignored_label(layer))


def _origin(view: NetView, judge: int) -> Optional[Tuple[int, int]]:
    """Return the layer without bottoms that a judge's labels come from as they are, and the place of its top."""
    by_index, flow = view.by_index, view.flow
    if len(by_index[judge].bottom) < 2 or len(flow.sources[judge]) < 2:
        return None
    blob, index = by_index[judge].bottom[1], flow.sources[judge][1]
    while hands_on(by_index[index]) and len(flow.sources[index]) == 1:
        blob, index = by_index[index].bottom[0], flow.sources[index][0]
    return None if by_index[index].bottom else (index, list(by_index[index].top).index(blob))
