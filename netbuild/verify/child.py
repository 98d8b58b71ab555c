"""What runs in the child process of `verify`: real Caffe, layer by layer."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

import numpy as np

from .. import names, proto
from ..engine.caffe import load_net
from ..errors import GraphError
from ..graph.feed import with_inputs
from .branches import Comparison, Job

Outputs = Dict[str, List[Any]]
"""Layer name -> copies of its top blobs, taken right after the layer ran (in-place layers overwrite them)."""


def compare(job: Job) -> Iterator[Comparison]:
    """Yield the comparison of each branch."""
    net = load_net(job.fused, job.weights)
    feed = _feed(net, job.inputs, job.seed)
    for original in job.originals:
        taken: Dict[Tuple[str, int], Any] = dict.fromkeys(original.readers.values())
        outputs = _outputs(net, feed, original.prefix, _maker(net, original.seam), taken)
        # An original gets what its branch reads in the fused net, whatever that is: the input, or another's blob.
        own_feed = {blob: taken[reader] for blob, reader in original.readers.items()}
        shapes = {blob: values.shape for blob, values in own_feed.items()}
        alone = load_net(proto.to_text(with_inputs(proto.parsed(original.text), shapes)), original.weights)
        last = list(outputs)[-1] if outputs else ""
        if last not in alone._layer_names:
            raise GraphError(
                f"branch {original.prefix!r}: the layer {last!r}, which makes its seam {original.seam!r}, is not in "
                f"{original.name}"
            )
        expected = _outputs(alone, own_feed, "", list(alone._layer_names).index(last), {})
        yield _comparison(original.prefix, original.seam, expected, outputs)


def prepared(jobs: Sequence[Tuple[Tuple[str, str], Tuple[str, str], int]]) -> Iterator[float]:
    """Yield for each pair of nets the largest difference of one blob over so many batches; 0 where all bits are equal.

    A net comes as (prototxt text, blob); its data layers read what both are to be compared on.
    """
    for own, fused, count in jobs:
        nets = [(load_net(text), blob) for text, blob in (own, fused)]
        batches = [[[_forwarded(net, blob)] for net, blob in nets] for _ in range(count)]
        # Zeros of two signs differ in a bit and not in value.
        tiny = float(np.finfo(np.float32).tiny)
        gaps = [0.0 if _same(one, two) else max(tiny, _largest_difference(one, two)) for one, two in batches]
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


def _feed(net: Any, inputs: Mapping[str, Any], seed: int) -> Dict[str, Any]:
    """Return an array for each input of the net: the images given, zeros for labels, else random values."""
    feed: Dict[str, Any] = {}
    for blob in net.inputs:
        shape = net.blobs[blob].data.shape
        random = np.zeros(shape) if _is_label(net, blob) else np.random.default_rng(seed).uniform(-1, 1, shape)
        feed[blob] = inputs.get(blob, random.astype(np.float32))
    return feed


def _is_label(net: Any, blob: str) -> bool:
    return bool(net.blobs[blob].data.ndim < 2)


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


def _comparison(prefix: str, seam: str, expected: Outputs, actual: Outputs) -> Comparison:
    common = [name for name in expected if name in actual]
    differences = tuple(
        (name, _largest_difference(expected[name], actual[name]))
        for name in common
        if not _same(expected[name], actual[name])
    )
    one, two = expected[common[-1]], actual[common[-1]]
    finite = all(bool(np.isfinite(blob).all()) for blob in (*one, *two))
    return Comparison(
        prefix, seam, len(common), tuple(one[0].shape), _largest_difference(one, two), differences, finite
    )


def _largest_difference(one: List[Any], two: List[Any]) -> float:
    """Return the largest absolute difference; infinity where shapes differ or a value is not finite."""
    if [blob.shape for blob in one] != [blob.shape for blob in two]:
        return float("inf")
    gaps = [np.abs(a - b) for a, b in zip(one, two) if a.size]
    largest = max((float(np.max(gap)) for gap in gaps), default=0.0)
    return largest if np.isfinite(largest) else float("inf")


def _same(one: List[Any], two: List[Any]) -> bool:
    return len(one) == len(two) and all(a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in zip(one, two))
