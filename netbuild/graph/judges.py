"""What the layers that judge a net, taking labels for classes, ask of these labels.

Caffe looks at no label: one beyond the classes reads, and in training writes, beside the scores.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from ..layers.in_place import hands_on
from ..layers.roles import classes, ignore_option, ignored_label, is_sink
from .view import NetView


class Demand(NamedTuple):
    """What a layer asks of the labels that it reads."""

    layer: str
    type: str
    classes: int
    """Labels from 0 to one less have a score."""
    ignored: Optional[int]
    """The label that it passes over."""

    @property
    def option(self) -> str:
        """The field of the layer that has an ignore_label, a label to pass over; '' where it has none."""
        return ignore_option(self.type)


class Reading(NamedTuple):
    """Who reads one top of a data layer in one phase."""

    read: bool
    """Whether any layer makes something of it."""
    demands: List[Demand]
    """What layers ask of its values, as labels; nothing where that is not known."""


def readings(view: NetView) -> Dict[Tuple[int, int], Reading]:
    """Return who reads the tops of the layers without bottoms, by the layer's index and the top's place.

    A label is followed through layers that pass its values on as they are. Where it goes through others, or the
    number of classes is not known from the definition, no demand is known.
    """
    tops = {
        (index, place): Reading(_is_read(view, top, index), [])
        for index, layer in view.layers
        if not layer.bottom
        for place, top in enumerate(layer.top)
    }
    for index, demand in _all_demands(view):
        origin = _origin(view, index)
        if origin in tops:
            tops[origin].demands.append(demand)
    return tops


def _is_read(view: NetView, blob: str, writer: int) -> bool:
    return any(not is_sink(view.by_index[reader]) for reader in view.flow.readers.get((blob, writer), ()))


def _all_demands(view: NetView) -> Iterator[Tuple[int, Demand]]:
    wrong = {misfit.layer for misfit in view.misfits}
    for index, layer in view.layers:
        if index in wrong or not layer.bottom:
            continue
        scores = view.shapes.bottoms[index][0]
        count = classes(layer, scores) if scores else None
        if count is not None:
            yield index, Demand(layer.name, layer.type, count, ignored_label(layer))


def _origin(view: NetView, judge: int) -> Optional[Tuple[int, int]]:
    """Return the layer without bottoms that a judge's labels come from as they are, and the place of its top."""
    by_index, flow = view.by_index, view.flow
    if len(by_index[judge].bottom) < 2 or len(flow.sources[judge]) < 2:
        return None
    blob, index = by_index[judge].bottom[1], flow.sources[judge][1]
    while hands_on(by_index[index]) and len(flow.sources[index]) == 1:
        blob, index = by_index[index].bottom[0], flow.sources[index][0]
    return None if by_index[index].bottom else (index, list(by_index[index].top).index(blob))
