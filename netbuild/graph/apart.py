"""What would tie branches together, or lose their weights: names without the prefix, inputs overwritten, shared blobs.

The branches are those of `seams`: the prefix of each, and its seam, the blob's full name in the net.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Dict, Iterator, List, Mapping, Optional, Set

from .. import names
from ..schema import Message
from .flow import in_place_blobs
from .view import NetView


def branch_faults(view: NetView, seams: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong in each branch: its seam, the names of its layers, what they do to a shared input."""
    owners = view.owners(seams) if seams else {}
    for prefix, seam in seams.items():
        if seam not in view.flow.writer:
            yield f"branch {prefix!r}: its seam {seam!r} is no blob of the net"
        # One branch may feed another. The empty prefix claims whatever no other prefix does.
        others = {index for index, owner in owners.items() if owner not in (None, "", prefix)}
        yield from _Branch(view, prefix, view.flow.above(seam, others)).faults(owners)


class _Branch:
    """One branch: the layers that its seam depends on."""

    def __init__(self, view: NetView, prefix: str, members: Set[int]) -> None:
        self._view = view
        self._prefix = prefix
        self._members = members
        self._strangers: Dict[str, Optional[str]] = {}

    def faults(self, owners: Mapping[int, Optional[str]]) -> Iterator[str]:
        for index in sorted(self._members):
            layer = self._view.by_index[index]
            if owners[index] != self._prefix:
                yield misnamed(layer, self._prefix)
            yield from self._spoiled_inputs(index, layer)

    def _spoiled_inputs(self, index: int, layer: Message) -> Iterator[str]:
        overwritten = in_place_blobs(layer)
        for blob, source in zip(layer.bottom, self._view.flow.sources[index]):
            if blob not in overwritten or source in self._members:
                continue
            stranger = self._stranger(blob)
            if stranger is not None:
                yield (
                    f"layer {layer.name!r} of branch {self._prefix!r} works in place on the shared input {blob!r}, "
                    f"which layer {stranger!r} reads too: give it a top of its own"
                )

    def _stranger(self, blob: str) -> Optional[str]:
        """Return the first layer outside the branch that reads the blob."""
        if blob not in self._strangers:
            outside = (one for one in self._view.flow.readers_of.get(blob, ()) if one not in self._members)
            first = next(outside, None)
            self._strangers[blob] = None if first is None else self._view.by_index[first].name
        return self._strangers[blob]


def misnamed(layer: Message, prefix: str) -> str:
    """Return the sentence about a layer of a branch that does not bear the branch's prefix, or a name of its own."""
    automatic = has_automatic_name(layer)
    reason = "has an automatic name (not assigned, or its name given twice)" if automatic else "lacks the prefix"
    target = names.qualify(prefix, "NAME")
    return f"layer {layer.name!r} of branch {prefix!r} {reason}; assign its Top: net[{target!r}] = ..."


def has_automatic_name(layer: Message) -> bool:
    """Tell whether the layer is called as pycaffe calls those that have no name: Convolution1.

    In a file it may be the layer's own: many published nets were written so.
    """
    return bool(layer.name.startswith(layer.type) and layer.name[len(layer.type) :].isdigit())


def tied_parameters(view: NetView, seams: Mapping[str, str]) -> Iterator[str]:
    """Yield the parameters that layers of several branches share by name."""
    users: Dict[str, List[str]] = defaultdict(list)
    for _, layer in view.layers if seams else ():
        for spec in layer.param:
            if spec.name:
                users[spec.name].append(layer.name)
    for name, layers in users.items():
        owners = {layer: names.owner(seams, layer) for layer in layers}
        branches = sorted({prefix for prefix in owners.values() if prefix is not None})
        if len(branches) > 1:
            yield (
                f"shared parameter {name!r} ties the branches {' and '.join(map(repr, branches))} together (layers "
                f"{', '.join(map(repr, owners))}): put each branch's prefix in front of it"
            )
