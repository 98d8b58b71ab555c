"""What a drawing of a net shows: boxes of layers, arrows of blobs, frames of branches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Sequence, Set, Tuple

from .. import names
from ..costs.sizes import with_sizes
from ..costs.summary import LayerCost, Summary, size, sized_views, state, summary_of
from ..graph.flow import Flow, in_place_blobs
from ..graph.view import NetView
from ..layers import Shape
from ..schema import Message
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
    of_phases = sized_views(net, {})
    summary = summary_of(net, of_phases, prefixes)
    # A phase that nothing feeds is not in the summary, and can be drawn.
    view = of_phases[phase] if phase in of_phases else with_sizes(NetView(net, phase), {}, None)
    parts = _parts(view)
    kind = {part: _kind(view, part) for part in parts}
    runs = _collapsed(view, parts, kind, summary.branches) if collapse else [alone(part) for part in parts]
    costs = {one.index: one for one in summary.layers}
    boxes = [_box(net, run, costs, summary.branches, kind) for run in runs]
    place = {index: number for number, box in enumerate(boxes) for index in box.layers}
    return Picture(net.name, boxes, _arrows(view, place), _frames(summary))


def _collapsed(view: NetView, parts: Sequence[Group], kind: Mapping[Group, str], branches: Sequence[str]) -> List[Run]:
    """Return the parts put together within each branch, or of a net without branches on the way to each end."""
    groups = _of_branches(view.net, parts, branches) or _towards_ends(parts, kind, view.flow)
    return modules(view, parts, groups)


def _frames(summary: Summary) -> Dict[str, Tuple[str, str]]:
    return {total.branch: (total.state, total.size) for total in summary.totals if total.branch}


def _of_branches(net: Message, parts: Sequence[Group], branches: Sequence[str]) -> List[List[Group]]:
    """Return the parts of each branch; nothing for a net without branches."""
    members: Dict[str, List[Group]] = {branch: [] for branch in branches}
    for part in parts:
        owner = names.owner(branches, net.layer[part[0]].name)
        if owner is not None:
            members[owner].append(part)
    return list(members.values())


def _parts(view: NetView) -> List[Group]:
    """Return the layers of the phase, each with those that work in place on what it makes."""
    home: Dict[int, int] = {}
    members: Dict[int, List[int]] = {}
    for index, layer in view.layers:
        sources = view.flow.sources[index]
        alters = bool(layer.top) and in_place_blobs(layer).issuperset(layer.top)
        home[index] = home[sources[0]] if alters and sources else index
        members.setdefault(home[index], []).append(index)
    return [tuple(layers) for layers in members.values()]


def _kind(view: NetView, part: Group) -> str:
    first, last = part[0], part[-1]
    if not view.by_index[first].bottom:
        return "input"
    read = any((top, last) in view.flow.readers for top in view.by_index[last].top)
    return "layer" if read else "end"


def _towards_ends(parts: Sequence[Group], kind: Mapping[Group, str], flow: Flow) -> List[List[Group]]:
    """Return the parts that lead to the net's last end, and those that lead only to an earlier one: auxiliary heads."""
    inner = {part[0]: part for part in parts if kind[part] == "layer"}
    seen: Set[int] = set()
    groups: List[List[Group]] = []
    for end in reversed([part for part in parts if kind[part] == "end"]):
        behind = flow.behind(end, beyond=seen)
        groups.append([inner[index] for index in sorted(behind) if index in inner])
        seen |= behind
    return groups


def _box(
    net: Message, run: Run, costs: Mapping[int, LayerCost], branches: Sequence[str], kind: Mapping[Group, str]
) -> Box:
    layers = tuple(index for module in run for part in module for index in part)
    branch = names.owner(branches, net.layer[layers[0]].name) or ""
    # Of a phase that nothing feeds nothing was reckoned.
    own = [costs[index] for index in layers if index in costs]
    is_one_part = len(run) == len(run[0]) == 1
    title, lines = _part_text(net, run[0][0], branch) if is_one_part else _run_text(net, run, branch)
    return Box(layers, title, (*lines, size(own)), branch, state(own), kind[run[0][0]] if is_one_part else "layer")


def _part_text(net: Message, part: Group, branch: str) -> Tuple[str, List[str]]:
    """Return the title of a layer, and the lines that tell of it and of what works in place on its top."""
    first, *others = part
    lines = [f"{_local(net, index, branch)}: {detail(net.layer[index])}" for index in others]
    return _local(net, first, branch), [detail(net.layer[first]), *lines]


def _run_text(net: Message, run: Run, branch: str) -> Tuple[str, List[str]]:
    """Return the title and the lines of modules that are drawn as one box.

    A module is called by the layer that ends it: the one whose blob everything goes through.
    """
    inside = kinds(net.layer[index] for part in run[0] for index in part)
    first, last = run[0][-1][0], run[-1][-1][0]
    if len(run) == 1:
        first = run[0][0][0]
    title = f"{_local(net, first, branch)} ... {_local(net, last, branch)}"
    return title, [inside if len(run) == 1 else f"{len(run)} times: {inside}"]


def _local(net: Message, index: int, branch: str) -> str:
    name: str = net.layer[index].name
    return (names.local(branch, name) if branch else None) or name or "(no name)"


def _arrows(view: NetView, place: Mapping[int, int]) -> List[Arrow]:
    arrows: Dict[Arrow, None] = {}
    for blob, readers in view.flow.readers.items():
        source = place[blob[1]]
        for reader in readers:
            if place[reader] != source:
                arrows[Arrow(source, place[reader], _sides(view.made[blob]))] = None
    return list(arrows)


def _sides(shape: Shape) -> str:
    return "" if shape is None else " x ".join("?" if length is None else str(length) for length in shape[1:])
