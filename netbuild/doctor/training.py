"""Self-tests of whole trainings: what learns, what stays, what is read and in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

import numpy as np

from ..layers.roles import reads
from ..layers.row import Reads
from ..layers.training import Effect
from ..schema import TRAIN, Message
from .layers import softmax_loss
from .runs import LEARNING_RATE, MOMENTUM, STEPS, WEIGHT_DECAY, passed, resumed, stepped
from .selftest import Pairs, SelfTest, Values

_FROZEN, _FIXED = "param { lr_mult: 0 decay_mult: 0 }", "param { lr_mult: 0 }"
_NET = f"""
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 6 dim: 2 dim: 4 dim: 4 }} }} }}
layer {{ name: "label" type: "Input" top: "label" input_param {{ shape {{ dim: 6 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" {2 * _FIXED}
  convolution_param {{ num_output: 3 kernel_size: 3 }} }}
layer {{ name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" {3 * _FROZEN}
  batch_norm_param {{ use_global_stats: true }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "bn" top: "ip" inner_product_param {{ num_output: 3 }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""
"""A frozen branch, conv and bn, under a head that learns. The weight decay of conv is left on: it must not act."""
_ROWS = (4, 3, 9)
"""Rows in the first file, in the second, and in a batch."""


def _is_frozen(_layer: Message, effect: Effect) -> bool:
    return effect.net_phase == TRAIN and effect.parameters != 0 and effect.changes is False


def _is_out_of_backward(layer: Message, effect: Effect) -> bool:
    return _is_frozen(layer, effect) and not effect.wants_backward


def _learns(_layer: Message, effect: Effect) -> bool:
    return effect.net_phase == TRAIN and effect.learns is True


def _frozen_stay(before: Values, after: Values) -> Pairs:
    names = ("conv[0]", "conv[1]", "bn[0]", "bn[1]", "bn[2]")
    return {f"frozen blob {name}": (before[name], after[name]) for name in names}


def _no_backward(_before: Values, after: Values) -> Pairs:
    names = [name for name in after if name.partition("[")[0].partition(".")[0] in ("conv", "bn", "data")]
    gradients = [name for name in names if name.endswith(".diff")]
    return {f"gradient {name}": (np.zeros_like(after[name]), after[name]) for name in gradients}


def _sgd(before: Values, after: Values) -> Pairs:
    # The frozen branch gives the same features at every step.
    features = after["bn"].reshape(len(after["bn"]), -1)
    blobs = [before["ip[0]"].astype(np.float64), before["ip[1]"].astype(np.float64)]
    speeds = [np.zeros_like(blob) for blob in blobs]
    for _ in range(STEPS):
        _, gradient = softmax_loss(features @ blobs[0].T + blobs[1], after["label"])
        for blob, speed, slope in zip(blobs, speeds, (gradient.T @ features, gradient.sum(0))):
            speed[...] = MOMENTUM * speed + LEARNING_RATE * (slope + WEIGHT_DECAY * blob)
            blob -= speed
    return {"weights": (blobs[0], after["ip[0]"]), "bias": (blobs[1], after["ip[1]"])}


def _same_parameters(unbroken: Values, broken: Values) -> Pairs:
    names = [name for name in unbroken if name.endswith("]")]
    return {f"blob {name}": (unbroken[name], broken[name]) for name in names}


def _with_two_files(text: str) -> Tuple[Values, Values]:
    import h5py

    first = 0
    for name, rows in zip(("a.h5", "b.h5"), _ROWS):
        with h5py.File(name, "w") as file:
            file["rows"] = np.arange(first, first + rows, dtype=np.float32)[:, None]
        first += rows
    Path("files.txt").write_text("a.h5\nb.h5\n", encoding="utf-8")
    return passed(text)


def _rows_in_order(_before: Values, after: Values) -> Pairs:
    return {"rows": (np.arange(_ROWS[2])[:, None] % (_ROWS[0] + _ROWS[1]), after["rows"])}


TRAINING = (
    SelfTest(
        "frozen blobs stay",
        "nets with frozen layers (lr_mult: 0)",
        _is_frozen,
        _NET,
        stepped,
        _frozen_stay,
        tolerance=0,
    ),
    SelfTest(
        "no backward pass through frozen layers",
        "nets with frozen layers (lr_mult: 0)",
        _is_out_of_backward,
        _NET,
        stepped,
        _no_backward,
        tolerance=0,
    ),
    SelfTest(
        "SGD with momentum and weight decay",
        "nets that are trained",
        _learns,
        _NET,
        stepped,
        _sgd,
        tolerance=1e-4,
    ),
    SelfTest(
        "snapshot and restore",
        "trainings that go on from a .solverstate",
        _learns,
        _NET,
        resumed,
        _same_parameters,
        tolerance=0,
    ),
    SelfTest(
        "HDF5Data",
        "nets with HDF5Data layers",
        lambda layer, _effect: reads(layer) is Reads.HDF5,
        'layer { name: "rows" type: "HDF5Data" top: "rows" '
        f'hdf5_data_param {{ source: "files.txt" batch_size: {_ROWS[2]} }} }}',
        _with_two_files,
        _rows_in_order,
        tolerance=0,
        needs="h5py",
    ),
)
"""One row for each; the table of all is `netbuild.doctor.table`."""
