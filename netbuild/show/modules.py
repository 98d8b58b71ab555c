"""Layers of a branch put together: chains, modules, and modules that come again."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Dict, Iterable, List, Sequence, Set, Tuple

from ..graph.differences import options
from ..graph.flow import Flow
from ..graph.view import NetView

Group = Tuple[int, ...]
"""A layer and those that work in place on its top, by their indices in the net."""
Module = List[Group]
"""Parts between two blobs that everything goes through, the last being that which makes the second."""
Run = List[Module]
"""Equal modules, one behind the other."""


def alone(part: Group) -> Run:
    """Return a part by itself."""
    return [[part]]


def modules(view: NetView, parts: Sequence[Group], groups: Sequence[Sequence[Group]]) -> List[Run]:
    """Return the parts with those of each group put together, in the net's order."""
    grouped = {part for group in groups for part in group}
    runs = [alone(part) for part in parts if part not in grouped]
    for group in groups:
        runs += _runs(view, _between_gates(group, view.flow))
    return sorted(runs, key=lambda run: run[0][0][0])


def _between_gates(group: Sequence[Group], flow: Flow) -> List[Module]:
    """Cut a branch behind each part whose blob alone is read from there on."""
    inside = {index for part in group for index in part}
    read = [_read_by(part, flow) for part in group]
    last_reader = {source: number for number, sources in enumerate(read) for source in sources}

    def read_until(makers: Iterable[int]) -> int:
        return max((last_reader.get(index, -1) for index in makers), default=-1)

    modules: List[Module] = [[]]
    on_its_way = -1  # until the part of this number
    for number, part in enumerate(group):
        modules[-1].append(part)
        # What comes in from outside is as much on its way as what was made here.
        on_its_way = max(on_its_way, read_until(read[number] - inside))
        if on_its_way <= number:
            modules.append([])
        on_its_way = max(on_its_way, read_until(part))
    return [module for module in modules if module]


def _read_by(part: Group, flow: Flow) -> Set[int]:
    """Return the layers that make what a part reads."""
    return {source for index in part for source in flow.sources[index]}


def _runs(view: NetView, modules: Sequence[Module]) -> List[Run]:
    runs: List[Run] = []
    for single, chain in groupby(modules, key=lambda module: len(module) == 1):
        if single:
            # A chain is one module of many parts.
            runs.append([[part for module in chain for part in module]])
        else:
            runs += [list(equal) for _, equal in groupby(chain, key=lambda module: _likeness(view, module))]
    return runs


def _likeness(view: NetView, module: Module) -> List[Any]:
    """Return what two modules have in common that do the same to blobs of the same shape."""
    made: Dict[str, Tuple[int, int]] = {}
    likeness: List[Any] = []
    for number, index in enumerate(index for part in module for index in part):
        layer = view.by_index[index]
        likeness.append((options(layer), [made.get(blob) for blob in layer.bottom], view.shapes.tops[index]))
        made.update({blob: (number, position) for position, blob in enumerate(layer.top)})
    return likeness
