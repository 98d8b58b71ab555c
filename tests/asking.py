"""What Caffe makes of a net, asked in a fork: it aborts where it does not like one."""

import faulthandler
import resource
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from netbuild.engine.child import apart
from netbuild.errors import CaffeError

MEMORY = 8 << 30
"""Bytes that a fork may take."""
SECONDS = 60


class Question(NamedTuple):
    """A prototxt, the state to build it in, and how far to go."""

    path: str
    phase: int
    level: int = 0
    stages: Tuple[str, ...] = ()
    runs: bool = False
    """Whether the net is run too: forward, and in TRAIN backward."""


class Answer(NamedTuple):
    """What became of it."""

    blobs: Optional[Dict[str, Tuple[int, ...]]]
    """Each blob's shape; None where Caffe did not build the net."""
    layers: List[Tuple[str, str, List[Tuple[int, ...]]]]
    """Name, type and the parameters' shapes of each layer, without the Split layers that Caffe inserts."""
    words: str
    """Why Caffe gave up, '' where it did not."""

    @property
    def built(self) -> bool:
        return self.blobs is not None


def ask(caffe: Any, question: Question) -> Answer:
    """Ask the pycaffe that is loaded in this process."""
    told: List[Any] = []
    words = ""
    try:
        # One by one: what came before Caffe gave up counts.
        for event in apart(lambda: _made(caffe, question), patience=SECONDS):
            told.append(event)  # noqa: PERF402
    except CaffeError as error:
        words = str(error)
    blobs, layers = told[0] if told else (None, [])
    return Answer(blobs, layers, words)


def _made(caffe: Any, question: Question) -> Any:
    # An abort is an answer here, and needs no traceback.
    faulthandler.disable()
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most), most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    net = caffe.Net(question.path, question.phase, level=question.level, stages=list(question.stages))
    yield shapes_of(net)
    if question.runs:
        random = np.random.default_rng(0)
        for index in net._inputs:
            # As a label, an index or a class each of these is 0. By index: several blobs may be called "(automatic)".
            blob = net._blobs[index]
            blob.data[...] = random.uniform(0, 0.9, blob.data.shape)
        last = len(net.layers) - 1
        for _ in range(2 if net.layers else 0):
            # By index too: what pycaffe's own `forward` gives back goes by names.
            net._forward(0, last)
            if question.phase == caffe.TRAIN:
                net._backward(last, 0)


def shapes_of(net: Any) -> Tuple[Dict[str, Tuple[int, ...]], List[Tuple[str, str, List[Tuple[int, ...]]]]]:
    """Return the shapes of a net of pycaffe's: of its blobs, and of each layer's parameters."""
    layers = [
        (name, layer.type, [tuple(blob.data.shape) for blob in layer.blobs])
        for name, layer in zip(net._layer_names, net.layers)
        if not (layer.type == "Split" and name.endswith("_split"))
    ]
    return {name: tuple(blob.data.shape) for name, blob in net.blobs.items()}, layers
