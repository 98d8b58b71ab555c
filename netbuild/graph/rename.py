"""Give every name in a net another one: layers, blobs, shared parameters."""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping

from .._caffe import Message
from ..proto import copied

Change = Callable[[str], str]


def renamed(net: Message, change: Change, inputs: Mapping[str, str] = {}) -> Message:
    """Return the net with `change` applied to each name in it, as `partial(names.qualify, "odd")` does it.

    The fields that carry names are a layer's `name`, `bottom`, `top` and `param.name`. `inputs` maps blobs that no
    layer of the net makes to the names they have outside. A layer that works in place on such a blob gets a top of
    its own, for others may read the blob too; the layers after it read that top.
    """
    result = copied(net)
    now: Dict[str, str] = dict(inputs)
    for layer in result.layer:
        layer.name = change(layer.name)
        bottoms = [now.get(blob) or change(blob) for blob in layer.bottom]
        tops: List[str] = [change(blob) for blob in layer.top]
        now.update(zip(layer.top, tops))
        layer.bottom[:], layer.top[:] = bottoms, tops
        for spec in layer.param:
            if spec.name:
                spec.name = change(spec.name)
    return result
