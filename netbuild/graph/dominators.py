"""What everything on the way to a layer goes through: the layer's dominators, in the flow of a net.

Each layer has one nearest dominator, so that together they are a tree (Lowry and Medlock, 1969). Layers are known in
the order that Caffe runs them, sources first: the nearest dominator of a layer is then the nearest common ancestor, in
the tree made so far, of the layers it reads. Each node keeps a jump to an ancestor further up (Myers, An applicative
random-access stack, 1983), by which that ancestor is found in a number of steps that grows with the logarithm of the
tree's depth.
"""

from __future__ import annotations

from functools import reduce
from typing import Dict, Iterable, List, NamedTuple

_ROOT = -1
"""Above all inputs and data layers."""


class _Node(NamedTuple):
    parent: int
    jump: int
    """An ancestor; the jumps of a node's ancestors lead on from it."""
    depth: int


class Dominators:
    """The tree of nearest dominators, grown layer by layer."""

    def __init__(self) -> None:
        self._nodes: Dict[int, _Node] = {_ROOT: _Node(_ROOT, _ROOT, 0)}

    def add(self, index: int, sources: List[int]) -> None:
        """Add a layer that reads from these layers, all of them added before."""
        parent = reduce(self._nearest_common, sources) if sources else _ROOT
        self._nodes[index] = _Node(parent, self._jump_below(parent), self._nodes[parent].depth + 1)

    def above(self, layers: Iterable[int]) -> List[int]:
        """Return the layers and all that dominates any of them, in the order that they were added."""
        found = {_ROOT}
        for index in layers:
            while index not in found:
                found.add(index)
                index = self._nodes[index].parent
        return [index for index in self._nodes if index in found and index != _ROOT]

    def _jump_below(self, parent: int) -> int:
        """Return where a node under this one jumps to: two equal jumps make one of twice the length."""
        node = self._nodes[parent]
        jump = self._nodes[node.jump]
        further = self._nodes[jump.jump]
        return jump.jump if node.depth - jump.depth == jump.depth - further.depth else parent

    def _nearest_common(self, one: int, other: int) -> int:
        nodes = self._nodes
        if nodes[one].depth < nodes[other].depth:
            one, other = other, one
        depth = nodes[other].depth
        while nodes[one].depth > depth:
            node = nodes[one]
            one = node.jump if nodes[node.jump].depth >= depth else node.parent
        while one != other:
            # At equal depths jumps are equally long.
            apart = nodes[one].jump != nodes[other].jump
            one, other = (nodes[one].jump, nodes[other].jump) if apart else (nodes[one].parent, nodes[other].parent)
        return one
