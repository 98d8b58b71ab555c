"""What runs in the child process of an evaluation: real Caffe."""

from __future__ import annotations

from typing import Any, Iterator, Optional, Tuple

from ..engine.caffe import load_net, use_device
from .scorer import NetJob


def shape(job: NetJob) -> Iterator[Tuple[int, ...]]:
    """Yield the shape of the job's blob, which not every net's definition tells."""
    yield tuple(load_net(job.text, job.weights).blobs[job.blob].data.shape)


def scores(job: NetJob, images: int, gpu: Optional[int]) -> Iterator[Any]:
    """Yield the values of the job's blob batch by batch, float32 (n, ...), `images` rows in all.

    At the end a data layer begins its list again: rows of the last batch that come from there are left out.
    """
    use_device(gpu)
    net = load_net(job.text, job.weights)
    done = 0
    while done < images:
        net.forward()
        rows = net.blobs[job.blob].data[: images - done]
        done += len(rows)
        yield rows
