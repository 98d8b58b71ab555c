"""Where an original net's branch begins in the fused net: at the net's inputs, or at blobs that come from elsewhere."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Sequence

from .. import names
from ..graph.cut import dependencies
from ..graph.view import NetView
from ..layers.lengths import may_be_alike
from ..layers.roles import is_input


class FusedBranch(NamedTuple):
    """A fused net in TEST, one of whose branches is looked at."""

    fused: NetView
    prefix: str
    prefixes: Sequence[str]

    def twins(self) -> Dict[str, int]:
        """Return the branch's layers by the names that they have in the original."""
        own = {names.local(self.prefix, layer.name): index for index, layer in self.fused.layers}
        return {name: index for name, index in own.items() if name is not None}

    def is_own(self, index: int) -> bool:
        """Tell whether a layer is one of the branch's, and no input."""
        layer = self.fused.by_index[index]
        return not is_input(layer) and names.owner({*self.prefixes, self.prefix}, layer.name) == self.prefix


def beginnings(branch: FusedBranch, original: NetView, seam: str) -> List[str]:
    """Return the blobs of an original, up to its seam, that its branch has from outside in place of making them.

    Such a blob's maker has no counterpart in the fused net, and the counterpart of its reader reads what is none of the
    branch's. A counterpart that is there and not read is a fault in the wiring: it is for the comparison to find.
    """
    twins, flow, fused = branch.twins(), original.flow, branch.fused
    found: Dict[str, None] = {}
    for index in sorted(dependencies(original, [seam])):
        layer = original.by_index[index]
        if layer.name not in twins:
            continue
        for blob, maker, source in zip(layer.bottom, flow.sources[index], fused.flow.sources[twins[layer.name]]):
            is_made = not is_input(original.by_index[maker]) and flow.writer[blob] == maker
            is_left_out = is_made and original.by_index[maker].name not in twins
            if is_left_out and not branch.is_own(source) and not _may_be_prepared(original, blob, fused, source):
                found[blob] = None
    return list(found)


def _may_be_prepared(original: NetView, blob: str, fused: NetView, source: int) -> bool:
    """Tell whether a blob may be an image as the original prepares it itself, where the fused net has a plain input.

    Preparation keeps the shape. A fused net that lacks it computes something else: nothing begins there.
    """
    shapes = original.shapes.blobs
    inputs = [original.by_index[index] for index in dependencies(original, [blob])]
    images = [top for layer in inputs if is_input(layer) for top in layer.top]
    return is_input(fused.by_index[source]) and any(
        may_be_alike(shapes.get(blob), shapes.get(image)) for image in images
    )
