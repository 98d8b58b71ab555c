"""What one image has for a label: a number, several, or one for each place of a map of scores."""

from __future__ import annotations

from typing import Dict, Mapping, Optional, Sequence, Tuple

from ..fusion import Built
from ..graph.feed import with_inputs
from ..graph.view import NetView
from ..layers.lengths import count, in_full
from ..layers.roles import classes, is_measure, takes_labels
from ..schema import TEST, Message

PerImage = Mapping[str, Tuple[int, ...]]
"""The shape of each label without N; () for one number."""
_MAP_AXES = 4


def label_shapes(built: Built, inputs: Mapping[str, Sequence[int]]) -> Dict[str, Tuple[int, ...]]:
    """Return the shape of each label of a net without N, by the shapes of the net's inputs, (N, C, H, W)."""
    view = NetView(with_inputs(built.message, inputs), TEST)
    found: Dict[str, Tuple[int, ...]] = {blob: (length,) if length > 1 else () for blob, length in built.labels.items()}
    for _, layer in view.layers:
        if is_measure(layer) and layer.bottom[1:2] and layer.bottom[1] in found:
            shape = _of_map(layer, in_full(view.shapes.blobs.get(layer.bottom[0])))
            if shape is not None:
                found[layer.bottom[1]] = shape
    return found


def _of_map(judge: Message, scores: Optional[Tuple[int, ...]]) -> Optional[Tuple[int, ...]]:
    """Return the shape of the labels of a map of scores, (N, C, H, W); None for scores that are one list an image."""
    if scores is None or len(scores) < _MAP_AXES or count(scores[2:]) == 1:
        return None
    if not takes_labels(judge):
        return scores[1:]
    # A layer that takes all values of an image for classes has one label for them.
    return (1, *scores[2:]) if classes(judge, scores) == scores[1] else None
