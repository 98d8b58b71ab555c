"""What Caffe does with a layer that works in place, writing its top over its bottom, and with what it overwrites.

Nothing in a prototxt forbids it, and of the layers that cannot do it only some abort. The rows' answers were seen in
real Caffe, each layer against its twin with a top of its own: values, and gradients of inputs and parameters.
"""

from __future__ import annotations

from typing import List, Optional

from ..schema import Message
from .lengths import Shape
from .row import ABORTS, ELSE, GRADIENT, Left, answer
from .table import of

__all__ = [
    "ABORTS",
    "ELSE",
    "GRADIENT",
    "gradient_needs",
    "gradient_reads_bottoms",
    "gradient_reads_tops",
    "hands_on",
    "in_place_deed",
    "keeps_memory",
    "leaves",
]


def in_place_deed(layer: Message, bottoms: List[Shape], tops: List[Shape]) -> Optional[str]:
    """Return what Caffe does with a layer that works in place and cannot: ABORTS, ELSE or GRADIENT; None where it can.

    None too for types that are not known.
    """
    return answer(of(layer).in_place, layer, bottoms, tops)


def hands_on(layer: Message) -> bool:
    """Tell whether the layer's tops are its bottom's own memory, under other names."""
    return answer(of(layer).memory.hands_on, layer)


def keeps_memory(layer: Message, tops: List[Shape]) -> bool:
    """Tell whether the layer reads its tops' memory in its next pass, so that what overwrites it stays for good."""
    return answer(of(layer).memory.stays, layer, tops)


def gradient_reads_bottoms(layer: Message) -> bool:
    """Tell whether the layer's backward pass reads the values of its bottoms."""
    return answer(of(layer).gradient.bottoms, layer)


def gradient_reads_tops(layer: Message, *, in_place: bool) -> bool:
    """Tell whether the layer's backward pass reads the values of its tops, as in place it does for its bottoms."""
    gradient = of(layer).gradient
    overwritten = in_place and not gradient.copies and gradient_reads_bottoms(layer)
    return overwritten or answer(gradient.tops, layer)


def gradient_needs(layer: Message) -> Left:
    """Return how much of its tops the layer's gradient needs to find as they were, where others overwrite them."""
    return of(layer).gradient.needs


def leaves(layer: Message) -> Left:
    """Return how much the layer leaves of what it overwrites."""
    return answer(of(layer).gradient.leaves, layer)
