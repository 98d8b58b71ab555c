"""What the layers that judge a net, taking labels for classes, ask of these labels.

Caffe looks at no label: one beyond the classes reads, and in training writes, beside the scores.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from ..engine.caffe import Message
from ..layers import survey
from ..layers.in_place import hands_on
from ..layers.roles import classes, ignore_option, ignored_label, is_sink
from ..proto import of_phase
from .flow import Flow


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


def readings(net: Message, phase: int) -> Dict[Tuple[int, int], Reading]:
    """Return who reads the tops of the layers without bottoms in a phase, by the layer's index and the top's place.

    A label is followed through layers that pass its values on as they are. Where it goes through others, or the
    number of classes is not known from the definition, nothing is said to be asked.
    """
    layers = of_phase(net, phase)
    flow, by_index = Flow(layers), dict(layers)
    found: Dict[Tuple[int, int], Reading] = {
        (index, place): Reading(_is_read(flow, by_index, top, index), [])
        for index, layer in layers
        if not layer.bottom
        for place, top in enumerate(layer.top)
    }
    for index, asked in _all_asked(net, phase, layers):
        origin = _origin(flow, by_index, index)
        if origin in found:
            found[origin].asked.append(asked)
    return found


def _is_read(flow: Flow, by_index: Mapping[int, Message], blob: str, writer: int) -> bool:
    return any(not is_sink(by_index[reader]) for reader in flow.readers.get((blob, writer), ()))


def _all_asked(net: Message, phase: int, layers: List[Tuple[int, Message]]) -> Iterator[Tuple[int, Asked]]:
    inferred, faults = survey(net, phase)
    wrong = {fault.layer for fault in faults}
    for index, layer in layers:
        if index in wrong or not layer.bottom:
            continue
        scores = inferred.bottoms[index][0]
        count = classes(layer, scores) if scores else None
        if count is not None:
            yield index, Asked(layer.name, layer.type, count, ignored_label(layer))


def _origin(flow: Flow, by_index: Mapping[int, Message], judge: int) -> Optional[Tuple[int, int]]:
    """Return the layer without bottoms that a judge's labels come from as they are, and the place of its top."""
    if len(by_index[judge].bottom) < 2 or len(flow.sources[judge]) < 2:
        return None
    blob, index = by_index[judge].bottom[1], flow.sources[judge][1]
    while hands_on(by_index[index]) and len(flow.sources[index]) == 1:
        blob, index = by_index[index].bottom[0], flow.sources[index][0]
    return None if by_index[index].bottom else (index, list(by_index[index].top).index(blob))
