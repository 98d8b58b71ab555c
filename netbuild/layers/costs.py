"""What a layer computes and keeps."""

from __future__ import annotations

from typing import List, Optional, Sequence

from ..schema import Message
from .lengths import Length, Shape
from .row import Use
from .table import of


def multiply_adds(
    layer: Message, bottoms: Sequence[Shape], tops: Sequence[Shape], params: Optional[List[Shape]]
) -> Length:
    """Return a forward pass's multiplications by weights, for the whole batch; None where they are not known.

    Counted are layers of weights (convolution, inner product, recurrent), each weight as often as it is used, biases
    left out: the convention of the published figures. What other layers do is small beside it, and counts as nothing.
    """
    if params is None:
        return None
    return of(layer).weights.work(layer, bottoms, tops, params) if tops else 0


def kept_values(use: Use) -> int:
    """Return how many values a layer keeps beside its tops, which grow with the batch."""
    return of(use.layer).memory.kept(use)


def column_values(use: Use) -> int:
    """Return how many values a layer lays out for one image, whatever the batch."""
    return of(use.layer).memory.columns(use) if use.bottoms and use.tops else 0
