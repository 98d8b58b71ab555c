"""How the net of a self-test is run in real Caffe: passed through once, stepped by a solver, resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Tuple

import numpy as np

from ..engine.caffe import caffe
from ..schema import TRAIN
from .selftest import Values

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 0.01
STEPS = 3
_NET, _SOLVER = "net.prototxt", "solver.prototxt"


def passed(text: str) -> Tuple[Values, Values]:
    """Run a net forward and backward once; outputs that are no losses get a random gradient."""
    Path(_NET).write_text(text, encoding="utf-8")
    caffe().set_random_seed(1)
    net = caffe().Net(_NET, TRAIN)
    random = _filled(net)
    before = _values(net)
    net.forward()
    weights = net.blob_loss_weights
    for name in net.outputs:
        if not weights[name]:
            net.blobs[name].diff[...] = random.normal(size=net.blobs[name].data.shape)
    net.backward()
    return before, _values(net)


def stepped(text: str) -> Tuple[Values, Values]:
    """Let SGD with momentum and weight decay take a few steps, all on the same batch."""
    solver = _solver(text)
    before = _values(solver.net)
    solver.step(STEPS)
    return before, _values(solver.net)


def resumed(text: str) -> Tuple[Values, Values]:
    """Return the state after an unbroken run, and that after one which went on from the first's snapshot."""
    whole = _solver(text)
    whole.step(STEPS)
    whole.snapshot()
    whole.step(STEPS)
    broken = _solver(text)
    broken.restore(f"run_iter_{STEPS}.solverstate")
    broken.step(STEPS)
    return _values(whole.net), _values(broken.net)


def _solver(text: str) -> Any:
    Path(_NET).write_text(text, encoding="utf-8")
    Path(_SOLVER).write_text(
        f'net: "{_NET}" snapshot_prefix: "run" lr_policy: "fixed" base_lr: {LEARNING_RATE} momentum: {MOMENTUM} '
        f"weight_decay: {WEIGHT_DECAY}",
        encoding="utf-8",
    )
    solver = caffe().get_solver(_SOLVER)
    _filled(solver.net)
    return solver


def _filled(net: Any) -> np.random.RandomState:
    """Fill inputs and parameters; return the source of the random numbers."""
    random = np.random.RandomState(0)
    for name in net.inputs:
        data = net.blobs[name].data
        data[...] = np.arange(len(data)) % 3 if name == "label" else random.normal(1, 2, data.shape)
    for blobs in net.params.values():
        for blob in blobs:
            # Positive, as a variance must be.
            blob.data[...] = random.uniform(0.5, 1.5, blob.data.shape)
    return random


def _values(net: Any) -> Values:
    blobs = dict(net.blobs.items())
    blobs.update((f"{name}[{i}]", blob) for name, params in net.params.items() for i, blob in enumerate(params))
    values = {name: blob.data.copy() for name, blob in blobs.items()}
    values.update((f"{name}.diff", blob.diff.copy()) for name, blob in blobs.items())
    return values
