"""What runs in the child process of an evaluation: real Caffe."""

from __future__ import annotations

from typing import Any, Iterator, Optional, Tuple

from ..engine.caffe import load_net, use_device


def shape(net: str, weights: str, blob: str) -> Iterator[Tuple[int, ...]]:
    """Yield the shape of a blob, which not every net's definition tells."""
    yield tuple(load_net(net, weights).blobs[blob].data.shape)


def scores(net: str, weights: str, blob: str, images: int, gpu: Optional[int]) -> Iterator[Any]:
    """Yield a blob's values batch by batch, float32 (n, ...), `images` rows in all.

    A data layer begins its list anew at the end: what the last batch has of that is left out.
    """
    use_device(gpu)
    loaded = load_net(net, weights)
    done = 0
    while done < images:
        loaded.forward()
        rows = loaded.blobs[blob].data[: images - done]
        done += len(rows)
        yield rows
