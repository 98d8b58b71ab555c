"""Layers of a branch put together: chains, modules, and modules that come again."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Dict, List, Sequence, Tuple

from ..engine.caffe import Message
from ..graph.differences import options
from ..graph.flow import Flow
from ..layers import Inferred

Group = Tuple[int, ...]
"""A layer and those that work in place on its top, by their indices in the net."""
Module = List[Group]
"""Parts between two blobs that everything goes through, the last being that which makes the second."""
Run = List[Module]
"""Equal modules, one behind the other."""


def alone(part: Group) -> Run:
    """Return a part by itself."""
    return [[part]]


def modules(
    net: Message, parts: Sequence[Group], groups: Sequence[Sequence[Group]], flow: Flow, shapes: Inferred
) -> List[Run]:
    """Return the parts with those of each group put together, in the net's order."""
    grouped = {part for group in groups for part in group}
    runs = [alone(part) for part in parts if part not in grouped]
    for group in groups:
        runs += _runs(net, _between_gates(group, flow), shapes)
    return sorted(runs, key=lambda run: run[0][0][0])


def _between_gates(group: Sequence[Group], flow: Flow) -> List[Module]:
    """Cut a branch behind each part whose blob alone is read from there on."""
    inside = {index for part in group for index in part}
    read = [{source for index in part for source in flow.sources[index]} for part in group]
    last_reader = {source: number for number, sources in enumerate(read) for source in sources}
    cut: List[Module] = [[]]
    needed = -1
    for number, part in enumerate(group):
        # What comes in from outside is as much on its way as what was made here.
        coming_in = [last_reader[source] for source in read[number] - inside]
        needed = max([needed, *coming_in])
        cut[-1].append(part)
        if needed <= number:
            cut.append([])
        made = [last_reader[index] for index in part if index in last_reader]
        needed = max([needed, *made])
    return [module for module in cut if module]


def _runs(net: Message, found: Sequence[Module], shapes: Inferred) -> List[Run]:
    runs: List[Run] = []
    for single, chain in groupby(found, key=lambda module: len(module) == 1):
        if single:
            # A chain is one module of many parts.
            runs.append([[part for module in chain for part in module]])
        else:
            runs += [list(equal) for _, equal in groupby(chain, key=lambda module: _likeness(net, module, shapes))]
    return runs


def _likeness(net: Message, module: Module, shapes: Inferred) -> List[Any]:
    """Return what two modules have in common that do the same to blobs of the same shape."""
    layers = [index for part in module for index in part]
    made: Dict[str, Tuple[int, int]] = {}
    likeness: List[Any] = []
    for number, index in enumerate(layers):
        layer = net.layer[index]
        likeness.append((options(layer), [made.get(blob) for blob in layer.bottom], shapes.tops[index]))
        made.update({blob: (number, position) for position, blob in enumerate(layer.top)})
    return likeness
