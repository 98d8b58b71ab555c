"""In the child process of `train`: stop where a value is not finite any more, before Caffe stumbles over it."""

from __future__ import annotations

import math
from typing import Any, Dict

import numpy as np

from ..layers.roles import is_accuracy
from ..layers.table import of

_LOWEST = np.finfo(np.float32).min
"""What max pooling gives for a window in which nothing compares as larger: all of it NaN, or minus infinity."""


class NotFiniteError(Exception):
    """What is computed is not finite any more; the text says where: 'the loss is nan'."""


class Watch:
    """Ends a solver's step between its forward and its backward pass where a value is not finite.

    Later is too late: for a window without numbers max pooling remembers the place -1, and its backward pass writes
    there, beside the blob. Such a window can leave the loss finite. On a GPU that pass only reads.
    """

    def __init__(self, net: Any, *, on_gpu: bool) -> None:
        self.loss = math.nan
        """That of the last forward pass."""
        self._net = net
        self._last = len(net.layers) - 1
        # By number, for a layer need not have a name of its own.
        pooling = [number for number, layer in enumerate(net.layers) if of(layer).gradient.places and not on_gpu]
        self._pooled = {number: net._top_ids(number)[0] for number in pooling}
        net.after_forward(self._look)

    def _look(self, number: int) -> None:
        top = self._pooled.get(number)
        if top is not None and self._net._blobs[top].data.min() <= _LOWEST:
            raise NotFiniteError(f"{self._net._blob_names[top]!r} pools values that are not finite")
        if number == self._last:
            self.loss = loss_of(self._net)
            if not math.isfinite(self.loss):
                raise NotFiniteError(f"the loss is {self.loss}")


def loss_of(net: Any) -> float:
    """Return the net's loss in its last forward pass."""
    weights = {name: weight for name, weight in net.blob_loss_weights.items() if weight}
    with np.errstate(over="ignore", invalid="ignore"):
        return float(sum(net.blobs[name].data.sum() * weight for name, weight in weights.items()))


def require_finite(net: Any) -> None:
    """Raise NotFiniteError for a net whose parameters are not all finite."""
    broken = [name for name, blobs in net.params.items() if not all(is_finite(blob.data) for blob in blobs)]
    if broken:
        raise NotFiniteError(f"weights of layer {broken[0]!r} are not finite")


def is_finite(values: Any) -> bool:
    """Tell whether all values are finite; for most arrays one sum is enough to know."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum())) or bool(np.isfinite(values).all())


def judged(net: Any) -> Dict[str, Any]:
    """Return of each accuracy that a net computes the blob of scores that it judges. Accuracy takes NaN for right."""
    accuracies = [number for number, layer in enumerate(net.layers) if is_accuracy(layer)]
    return {net._blob_names[net._top_ids(number)[0]]: net._blobs[net._bottom_ids(number)[0]] for number in accuracies}
