"""What a drawing of a net shows: boxes of layers, arrows of blobs, frames of branches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Sequence, Set, Tuple

from .. import names, proto
from ..costs.sizes import input_sizes
from ..costs.summary import LayerCost, size, state, summarize
from ..engine.caffe import Message
from ..graph.flow import Flow, in_place
from ..layers import Inferred, Shape, survey
from .modules import Group, Run, alone, modules
from .words import detail, kinds


@dataclass(frozen=True)
class Box:
    """One layer with what works in place on its top, or several that are drawn as one."""

    layers: Tuple[int, ...]
    """Their indices in the net."""
    title: str
    lines: Tuple[str, ...]
    branch: str
    """The prefix of its branch, '' where it belongs to none."""
    state: str
    """'frozen', 'trainable', 'partly trainable', or '' where nothing learns or could."""
    kind: str
    """'input', 'end' (a loss, or what nobody reads) or 'layer'."""


@dataclass(frozen=True)
class Arrow:
    """A blob on its way from one box to another, both by their place in the list of boxes."""

    source: int
    target: int
    text: str
    """Its shape without N: '20 x 12 x 12'."""


@dataclass(frozen=True)
class Picture:
    """A net of one phase, ready to be drawn."""

    name: str
    boxes: List[Box]
    arrows: List[Arrow]
    branches: Dict[str, Tuple[str, str]]
    """The prefix of each branch: its state, and its parameters in words; either may be ''."""


def picture(net: Message, *, phase: int, prefixes: Sequence[str] = (), collapse: bool = False) -> Picture:
    """Return what to draw of a net in one phase.

    In-place layers stand in the box of the layer whose top they change. With `collapse`, a chain of layers becomes one
    box; so does a module, which is what lies between two blobs that everything goes through; and equal modules in a
    row become one box that counts them. Inputs, and what follows the branches, stay as they are.
    """
    found = summarize(net, prefixes=prefixes)
    costs = {one.index: one for one in found.layers}
    flow = Flow(proto.of_phase(net, phase))
    shapes = survey(net, phase, input_sizes(net, phase, {}, None))[0]
    parts = _parts(net, phase, flow)
    kind = {part: _kind(net, part, flow) for part in parts}
    runs = [alone(part) for part in parts]
    if collapse:
        of_branches = [
            [part for part in parts if names.owner(found.branches, net.layer[part[0]].name) == branch]
            for branch in found.branches
        ]
        runs = modules(net, parts, of_branches or _towards_ends(parts, kind, flow), flow, shapes)
    boxes = [_box(net, run, costs, found.branches, kind) for run in runs]
    place = {index: number for number, box in enumerate(boxes) for index in box.layers}
    branches = {total.branch: (total.state, total.size) for total in found.totals if total.branch}
    return Picture(net.name, boxes, _arrows(net, flow, shapes, place), branches)


def _parts(net: Message, phase: int, flow: Flow) -> List[Group]:
    """Return the layers of the phase, each with those that work in place on what it makes."""
    home: Dict[int, int] = {}
    for index, layer in proto.of_phase(net, phase):
        alters = bool(layer.top) and all(in_place(layer, top) for top in layer.top)
        home[index] = home[flow.sources[index][0]] if alters and flow.sources[index] else index
    found: Dict[int, List[int]] = {}
    for index, first in home.items():
        found.setdefault(first, []).append(index)
    return [tuple(layers) for layers in found.values()]


def _kind(net: Message, part: Group, flow: Flow) -> str:
    if not net.layer[part[0]].bottom:
        return "input"
    read = any((top, index) in flow.readers for index in part[-1:] for top in net.layer[index].top)
    return "layer" if read else "end"


def _towards_ends(parts: Sequence[Group], kind: Mapping[Group, str], flow: Flow) -> List[List[Group]]:
    """Return the parts that lead to the net's last end, and those that lead only to an earlier one: auxiliary heads."""
    taken: Set[Group] = set()
    groups: List[List[Group]] = []
    for end in reversed([part for part in parts if kind[part] == "end"]):
        behind = flow.behind(end)
        groups.append([part for part in parts if kind[part] == "layer" and part[0] in behind and part not in taken])
        taken.update(groups[-1])
    return groups


def _box(
    net: Message, run: Run, costs: Mapping[int, LayerCost], branches: Sequence[str], kind: Mapping[Group, str]
) -> Box:
    layers = tuple(index for module in run for part in module for index in part)
    branch = names.owner(branches, net.layer[layers[0]].name) or ""
    # Of a phase that nothing feeds nothing was reckoned.
    own = [costs[index] for index in layers if index in costs]
    lines = [size(own)]
    # A module is called by the layer that ends it: the one whose blob everything goes through.
    called = [_local(net, module[-1][0], branch) for module in run]
    if len(layers) == 1 or len(run[0]) == len(run) == 1:
        lines = [detail(net.layer[layers[0]]), *(_in_place(net.layer[index], branch) for index in layers[1:]), *lines]
        return Box(layers, called[0], tuple(lines), branch, state(own), kind[run[0][0]])
    inside = kinds(net.layer[index] for part in run[0] for index in part)
    if len(run) > 1:
        title, lines = f"{called[0]} ... {called[-1]}", [f"{len(run)} times: {inside}", *lines]
    else:
        first = _local(net, run[0][0][0], branch)
        title, lines = f"{first} ... {called[0]}", [inside, *lines]
    return Box(layers, title, tuple(lines), branch, state(own), "layer")


def _local(net: Message, index: int, branch: str) -> str:
    name: str = net.layer[index].name
    return (names.local(branch, name) if branch else None) or name


def _in_place(layer: Message, branch: str) -> str:
    name = (names.local(branch, layer.name) if branch else None) or layer.name
    return f"{name}: {detail(layer)}"


def _arrows(net: Message, flow: Flow, shapes: Inferred, place: Mapping[int, int]) -> List[Arrow]:
    found: Dict[Arrow, None] = {}
    for (blob, writer), readers in flow.readers.items():
        made = dict(zip(net.layer[writer].top, shapes.tops[writer]))
        for reader in readers:
            if place[writer] != place[reader]:
                found[Arrow(place[writer], place[reader], _sides(made.get(blob)))] = None
    return list(found)


def _sides(shape: Shape) -> str:
    return "" if shape is None else " x ".join("?" if length is None else str(length) for length in shape[1:])
