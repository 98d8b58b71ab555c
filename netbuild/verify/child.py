"""What runs in the child process of `verify`: real Caffe, layer by layer."""

from __future__ import annotations

from typing import Any, Dict, Iterator, Mapping, Sequence, Tuple

import numpy as np

from .. import names, proto
from ..engine.caffe import load_net
from ..graph.feed import with_inputs
from .blobs import Outputs, comparison, fed_values, largest_difference, own_feed, require_maker, same
from .branches import Comparison, Job


def compare(job: Job) -> Iterator[Comparison]:
    """Yield the comparison of each branch."""
    net = load_net(job.fused, job.weights)
    values = fed_values(proto.parsed(job.fused), job.inputs, job.seed)
    for original in job.originals:
        taken: Dict[Tuple[str, int], Any] = dict.fromkeys(original.readers.values())
        outputs = _outputs(net, values, original.prefix, _maker(net, original.seam), taken)
        own = own_feed(original, taken)
        shapes = {blob: array.shape for blob, array in own.items()}
        alone = load_net(
            proto.to_text(with_inputs(proto.parsed(original.text), shapes, original.left_out)), original.weights
        )
        require_maker(original, list(outputs)[-1] if outputs else "", alone._layer_names)
        expected = _outputs(alone, own, "", len(alone._layer_names) - 1, {})
        yield comparison(original, expected, outputs)


def prepared(jobs: Sequence[Tuple[Tuple[str, str], Tuple[str, str], int]]) -> Iterator[float]:
    """Yield for each pair of nets the largest difference of one blob over so many batches; 0 where all bits are equal.

    A net comes as (prototxt text, blob); its data layers read what both are to be compared on.
    """
    for own, fused, count in jobs:
        nets = [(load_net(text), blob) for text, blob in (own, fused)]
        batches = [[[_forwarded(net, blob)] for net, blob in nets] for _ in range(count)]
        # Zeros of two signs differ in a bit and not in value.
        tiny = float(np.finfo(np.float32).tiny)
        gaps = [0.0 if same(one, two) else max(tiny, largest_difference(one, two)) for one, two in batches]
        yield max(gaps)


def _forwarded(net: Any, blob: str) -> Any:
    net.forward()
    return net.blobs[blob].data.copy()


def outputs(text: str, weights: str, feed: Mapping[str, Any], blobs: Sequence[str]) -> Iterator[Tuple[str, Any]]:
    """Yield blobs of a net with their values, for this input."""
    net = load_net(text, weights)
    for blob, values in feed.items():
        net.blobs[blob].data[...] = values
    net.forward()
    for blob in blobs:
        yield blob, net.blobs[blob].data.copy()


def _maker(net: Any, blob: str) -> int:
    """Return the index of the last layer that writes the blob, -1 where none does."""
    return max((index for index, name in enumerate(net._layer_names) if blob in net.top_names[name]), default=-1)


def _outputs(net: Any, feed: Mapping[str, Any], prefix: str, last: int, taken: Dict[Tuple[str, int], Any]) -> Outputs:
    """Run the net from its inputs to the layer of index `last`; return what the branch's layers put out.

    `taken` is filled with copies of the bottoms that it has for keys, as (layer, position), taken before they are used.
    """
    for blob in net.inputs:
        net.blobs[blob].reshape(*feed[blob].shape)
        net.blobs[blob].data[...] = feed[blob]
    net.reshape()
    outputs: Outputs = {}
    for index, name in enumerate(net._layer_names[: last + 1]):
        for reader in taken:
            if reader[0] == name:
                taken[reader] = net.blobs[net.bottom_names[name][reader[1]]].data.copy()
        net._forward(index, index)
        own = names.local(prefix, name)
        if own is not None:
            outputs[own] = [net.blobs[top].data.copy() for top in net.top_names[name]]
    return outputs
