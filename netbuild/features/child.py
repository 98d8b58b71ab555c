"""What runs in the processes that compute features: real Caffe."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, Mapping, Optional, Sequence, Tuple

import numpy as np

from .. import proto
from ..engine.caffe import caffe, use_device
from ..graph.feed import with_inputs
from .listing import reading
from .part import Task

Computed = Tuple[str, int, Dict[str, Any]]
"""A task's part and number, and the features of its images by their names in files, float32 (images, ...)."""


def shapes(jobs: Mapping[str, Any], first: Mapping[str, Task]) -> Iterator[Dict[str, Dict[str, Tuple[int, ...]]]]:
    """Yield the shapes of a batch's blobs that each part keeps; `first` is a task of each."""
    found = {}
    for name, job in jobs.items():
        data, net = _opened(job, first[name])
        found[name] = {blob: tuple(_blob(blob, net, data).data.shape) for blob in job["blobs"]}
    yield found


def compute(
    tasks: Iterable[Task], jobs: Mapping[str, Any], weights: Sequence[str], gpu: Optional[int] = None
) -> Iterator[Computed]:
    """Yield the features of each task; `jobs` are those of the parts (PhaseFeatures.job), by name."""
    worker = Worker(jobs, weights, gpu)
    for task in tasks:
        yield worker.compute(task)


class Worker:
    """Keeps the net of each part between tasks."""

    def __init__(self, jobs: Mapping[str, Any], weights: Sequence[str], gpu: Optional[int] = None) -> None:
        self._jobs, self._weights = jobs, weights
        self._nets: Dict[str, Any] = {}
        use_device(gpu)

    def compute(self, task: Task) -> Computed:
        """Return the features of a task's images."""
        job = self._jobs[task.part]
        data, net = _opened(job, task, self._nets.get(task.part))
        if task.part not in self._nets:
            for path in self._weights:
                net.copy_from(path)
            self._nets[task.part] = net
        blobs = {name: _blob(blob, net, data) for blob, name in job["blobs"].items()}
        made = {name: np.empty((task.images, *blob.data.shape[1:]), np.float32) for name, blob in blobs.items()}
        for first in range(0, task.images, job["batch"]):
            data.forward()
            for blob in net.inputs:
                net.blobs[blob].reshape(*data.blobs[blob].data.shape)
                net.blobs[blob].data[...] = data.blobs[blob].data
            net.forward()
            for name, values in made.items():
                values[first : first + job["batch"]] = blobs[name].data[: task.images - first]
        return task.part, task.number, made


def _opened(job: Mapping[str, Any], task: Task, net: Any = None) -> Tuple[Any, Any]:
    """Return a net of the data layers, at the task's first image, and the net above the head where it is not given."""
    with tempfile.TemporaryDirectory() as folder:
        lists = {name: str(Path(folder) / f"{number}.txt") for number, name in enumerate(task.lists)}
        for name, path in lists.items():
            Path(path).write_bytes(task.lists[name])
        data = _net(proto.to_text(reading(proto.parsed(job["data"]), lists)), job["phase"], folder)
        if net is None:
            above = proto.parsed(job["features"])
            read = {blob for layer in above.layer for blob in layer.bottom}
            inputs = {blob: data.blobs[blob].data.shape for blob in data.outputs if blob in read}
            net = _net(proto.to_text(with_inputs(above, inputs)), job["phase"], folder)
    return data, net


def _net(text: str, phase: int, folder: str) -> Any:
    path = Path(folder) / "net.prototxt"
    path.write_text(text, encoding="utf-8")
    return caffe().Net(str(path), phase)


def _blob(name: str, net: Any, data: Any) -> Any:
    """Return a blob that the features' net makes, or only the data layers do."""
    return net.blobs[name] if name in net.blobs and name not in net.inputs else data.blobs[name]
