"""What two nets put out, compared bit by bit, and what both are fed with, whichever engine runs them."""

from __future__ import annotations

from typing import Any, Collection, Dict, List, Mapping, Optional, Tuple

import numpy as np

from ..errors import GraphError
from ..layers.roles import is_open_input
from ..schema import Message
from .branches import Alone, Comparison

Outputs = Dict[str, List[Any]]
"""Layer name -> its top blobs as they were right after the layer ran (in-place layers overwrite them)."""


def fed_values(net: Message, inputs: Mapping[str, Any], seed: int) -> Dict[str, Any]:
    """Return an array for each Input layer: its images, else random values in -1..1 from `seed`.

    No two inputs get the same values: their difference would be 0, and prove nothing. Inputs of one axis, which may be
    labels or indices, get values from 0 to 1: Caffe leaves out the digits behind the point.
    """
    found: Dict[str, Any] = {}
    random = np.random.default_rng(seed)
    for layer in filter(is_open_input, net.layer):
        blob, shape = layer.top[0], tuple(layer.input_param.shape[0].dim)
        values = random.uniform(-1 if len(shape) > 1 else 0, 1, shape)
        found[blob] = inputs.get(blob, np.asarray(values, np.float32))
    return found


def own_feed(original: Alone, taken: Mapping[Tuple[str, int], Optional[Any]]) -> Dict[str, Any]:
    """Return what an original gets: what its branch reads in the fused net, be it the input or another branch's blob.

    `taken` holds that by reader, None for a layer that has not run; GraphError where there is such a one.
    """
    for blob, reader in original.readers.items():
        if taken[reader] is None:
            raise GraphError(
                f"branch {original.prefix!r}: the layer {reader[0]!r}, whose like reads the input {blob!r} of "
                f"{original.name}, is not on the way to the seam {original.seam!r} in the fused net"
            )
    return {blob: taken[reader] for blob, reader in original.readers.items()}


def require_maker(original: Alone, layer: str, layers: Collection[str]) -> None:
    """Raise GraphError where an original's `layers` lack the one that makes the seam in the fused net."""
    if layer not in layers:
        raise GraphError(
            f"branch {original.prefix!r}: the layer {layer!r}, which makes its seam {original.seam!r}, is not in "
            f"{original.name}"
        )


def comparison(original: Alone, expected: Outputs, actual: Outputs) -> Comparison:
    """Compare what the original's layers put out with what the branch's did; the last layer of each makes the seam."""
    last, one, two = list(expected)[-1], list(expected.values())[-1], list(actual.values())[-1]
    common = [name for name in expected if name in actual]
    differences = [(name, expected[name], actual[name]) for name in common if not same(expected[name], actual[name])]
    if last not in actual and not same(one, two):
        # The fused net lacks it. A Dropout may be left out; an activation may not.
        differences.append((last, one, two))
    return Comparison(
        original.prefix,
        original.seam,
        len(common),
        tuple(one[0].shape),
        largest_difference(one, two),
        tuple((name, largest_difference(ours, theirs)) for name, ours, theirs in differences),
        all(bool(np.isfinite(blob).all()) for blob in (*one, *two)),
        begins=original.begins,
    )


def largest_difference(one: List[Any], two: List[Any]) -> float:
    """Return the largest absolute difference; infinity where shapes differ or a value is not finite."""
    if [blob.shape for blob in one] != [blob.shape for blob in two]:
        return float("inf")
    gaps = [np.abs(a - b) for a, b in zip(one, two) if a.size]
    largest = max((float(np.max(gap)) for gap in gaps), default=0.0)
    return largest if np.isfinite(largest) else float("inf")


def same(one: List[Any], two: List[Any]) -> bool:
    """Tell whether two layers' tops are equal in shape and bits."""
    return len(one) == len(two) and all(a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in zip(one, two))
