"""Self-tests of single layers: what they compute, and their gradients, against numpy."""

from __future__ import annotations

from typing import Any, Callable, Tuple

import numpy as np

from ..layers.training import Effect
from ..schema import Message
from ..spelling import option, spells_flags
from .runs import passed
from .selftest import Pairs, SelfTest, Values

_FRACTION, _EPSILON = 0.75, 1e-5


def _of_type(kind: str) -> Callable[[Message, Effect], bool]:
    return lambda layer, _effect: bool(layer.type == kind)


def _pools(method: str) -> Callable[[Message, Effect], bool]:
    return lambda layer, _effect: bool(
        layer.type == "Pooling" and layer.pooling_param.pool == layer.pooling_param.PoolMethod.Value(method)
    )


def _without_batch_statistics() -> str:
    option_of_emit = option("batch_norm", {"PREFIX": "global"} if spells_flags() else "global", flag="bn")
    return (
        "let these layers work on their stored statistics (use_global_stats: true; netbuild emit does that in frozen "
        f"branches, and with {option_of_emit} in branches that learn), or use an upstream build of Caffe"
    )


def _input(shape: str, name: str = "data") -> str:
    dims = " ".join(f"dim: {length}" for length in shape.split("x"))
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'


def _net(shape: str, layer: str) -> str:
    """Return a net of one layer `y` on the blob `data`, all of whose gradients are computed."""
    return f'force_backward: true\n{_input(shape)}layer {{ name: "y" bottom: "data" top: "y" {layer} }}'


def _convolution(before: Values, after: Values) -> Pairs:
    x, w, b, dy = before["data"], before["y[0]"], before["y[1]"], after["y.diff"]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y, dx, dw = np.zeros_like(dy), np.zeros_like(padded), np.zeros_like(w)
    for i, j in np.ndindex(*dy.shape[2:]):
        window = (slice(None), slice(None), slice(2 * i, 2 * i + 3), slice(2 * j, 2 * j + 3))
        y[:, :, i, j] = np.einsum("nchw,ochw->no", padded[window], w) + b
        dx[window] += np.einsum("no,ochw->nchw", dy[:, :, i, j], w)
        dw += np.einsum("no,nchw->ochw", dy[:, :, i, j], padded[window])
    return {
        "output": (y, after["y"]),
        "gradient of the input": (dx[:, :, 1:-1, 1:-1], after["data.diff"]),
        "gradient of the weights": (dw, after["y[0].diff"]),
        "gradient of the bias": (dy.sum((0, 2, 3)), after["y[1].diff"]),
    }


def _inner_product(before: Values, after: Values) -> Pairs:
    x, w, dy = before["data"].reshape(len(before["data"]), -1), before["y[0]"], after["y.diff"]
    return {
        "output": (x @ w.T + before["y[1]"], after["y"]),
        "gradient of the input": ((dy @ w).reshape(before["data"].shape), after["data.diff"]),
        "gradient of the weights": (dy.T @ x, after["y[0].diff"]),
        "gradient of the bias": (dy.sum(0), after["y[1].diff"]),
    }


def _softmax_loss(before: Values, after: Values) -> Pairs:
    loss, gradient = softmax_loss(before["data"], before["label"])
    return {"loss": (loss, after["y"]), "gradient of the input": (gradient, after["data.diff"])}


def softmax_loss(scores: Any, labels: Any) -> Tuple[Any, Any]:
    """Return the mean loss of scores (N, C) under labels (N), and its gradient by the scores."""
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    shares = exponentials / exponentials.sum(1, keepdims=True)
    rows, columns = np.arange(len(scores)), labels.astype(int)
    return -np.log(shares[rows, columns]).mean(), (shares - np.eye(scores.shape[1])[columns]) / len(scores)


def _scale(before: Values, after: Values) -> Pairs:
    factor, bias = (before[name][None, :, None, None] for name in ("y[0]", "y[1]"))
    return {
        "output": (before["data"] * factor + bias, after["y"]),
        "gradient of the input": (after["y.diff"] * factor, after["data.diff"]),
        "gradient of the factors": ((after["y.diff"] * before["data"]).sum((0, 2, 3)), after["y[0].diff"]),
    }


def _concat(before: Values, after: Values) -> Pairs:
    first, second = np.split(after["y.diff"], [before["data"].shape[1]], axis=1)
    return {
        "output": (np.concatenate([before["data"], before["more"]], axis=1), after["y"]),
        "gradient of the first input": (first, after["data.diff"]),
        "gradient of the second input": (second, after["more.diff"]),
    }


def _pooling(statistic: Callable[..., Any]) -> Callable[[Values, Values], Pairs]:
    def compare(before: Values, after: Values) -> Pairs:
        # Six wide, windows of three, stride two: Caffe rounds up to a third window, which the edge cuts off.
        cuts = [slice(start, start + 3) for start in (0, 2, 4)]
        expected = [[statistic(before["data"][:, :, rows, columns], (2, 3)) for columns in cuts] for rows in cuts]
        return {"output": (np.moveaxis(np.array(expected), (0, 1), (2, 3)), after["y"])}

    return compare


def _normalised(x: Any, mean: Any, variance: Any) -> Any:
    return (x - mean[:, None, None]) / np.sqrt(variance[:, None, None] + _EPSILON)


def _batch_statistics(before: Values, after: Values) -> Pairs:
    x, dy = before["data"].astype(np.float64), after["y.diff"]
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
    y = _normalised(x, mean, variance)
    inner = dy - dy.mean((0, 2, 3), keepdims=True) - y * (dy * y).mean((0, 2, 3), keepdims=True)
    count = x.size / x.shape[1]
    return {
        "output": (y, after["y"]),
        "running mean": (_FRACTION * before["y[0]"] + mean, after["y[0]"]),
        "running variance": (_FRACTION * before["y[1]"] + variance * count / (count - 1), after["y[1]"]),
        "moving average factor": (_FRACTION * before["y[2]"] + 1, after["y[2]"]),
        "gradient of the input": (_normalised(inner, 0 * mean, variance), after["data.diff"]),
    }


def _stored_statistics(before: Values, after: Values) -> Pairs:
    mean, variance = before["y[0]"] / before["y[2]"], before["y[1]"] / before["y[2]"]
    return {
        "output": (_normalised(before["data"], mean, variance), after["y"]),
        "gradient of the input": (_normalised(after["y.diff"], 0 * mean, variance), after["data.diff"]),
        "running mean": (before["y[0]"], after["y[0]"]),
        "running variance": (before["y[1]"], after["y[1]"]),
        "moving average factor": (before["y[2]"], after["y[2]"]),
    }


def _dropout(before: Values, after: Values) -> Pairs:
    kept = after["y"] != 0
    return {
        "values that are kept": (before["data"] * kept * 4, after["y"]),
        "share that is kept": (0.25, kept.mean()),
        "gradient of the input": (after["y.diff"] * kept * 4, after["data.diff"]),
    }


def _unchanged(before: Values, after: Values) -> Pairs:
    return {"output": (before["data"], after["y"])}


LAYERS = (
    SelfTest(
        "Convolution",
        "nets with Convolution layers",
        _of_type("Convolution"),
        _net("2x3x5x5", 'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 }'),
        passed,
        _convolution,
    ),
    SelfTest(
        "InnerProduct",
        "nets with InnerProduct layers",
        _of_type("InnerProduct"),
        _net("4x2x3x3", 'type: "InnerProduct" inner_product_param { num_output: 5 }'),
        passed,
        _inner_product,
    ),
    SelfTest(
        "Scale",
        "nets with Scale layers",
        _of_type("Scale"),
        _net("2x3x4x4", 'type: "Scale" scale_param { bias_term: true }'),
        passed,
        _scale,
    ),
    SelfTest(
        "Concat",
        "nets with Concat layers, as fused nets",
        _of_type("Concat"),
        _input("2x2x3x3", "more") + _net("2x3x3x3", 'type: "Concat" bottom: "more"'),
        passed,
        _concat,
    ),
    SelfTest(
        "max pooling",
        "nets with Pooling layers",
        _pools("MAX"),
        _net("2x2x6x6", 'type: "Pooling" pooling_param { pool: MAX kernel_size: 3 stride: 2 }'),
        passed,
        _pooling(np.max),
    ),
    SelfTest(
        "average pooling",
        "nets with Pooling layers that average",
        _pools("AVE"),
        _net("2x2x6x6", 'type: "Pooling" pooling_param { pool: AVE kernel_size: 3 stride: 2 }'),
        passed,
        _pooling(np.mean),
    ),
    SelfTest(
        "SoftmaxWithLoss",
        "nets with SoftmaxWithLoss layers",
        _of_type("SoftmaxWithLoss"),
        _input("6", "label") + _net("6x3", 'type: "SoftmaxWithLoss" bottom: "label"'),
        passed,
        _softmax_loss,
    ),
    SelfTest(
        "BatchNorm on batch statistics",
        "nets with BatchNorm layers that normalise by each batch: those in TRAIN phase without use_global_stats: true",
        lambda _layer, effect: effect.on_stored_statistics is False,
        _net("4x3x2x3", f'type: "BatchNorm" batch_norm_param {{ moving_average_fraction: {_FRACTION} }}'),
        passed,
        _batch_statistics,
        tolerance=1e-4,
        remedy=_without_batch_statistics,
        fails_in=("kendryte-caffe 1.0.0.20210829",),
    ),
    SelfTest(
        "BatchNorm on stored statistics",
        "nets with BatchNorm layers with use_global_stats: true, as frozen branches, or in TEST phase",
        lambda _layer, effect: effect.on_stored_statistics is True,
        _net("4x3x2x3", 'type: "BatchNorm" batch_norm_param { use_global_stats: true }'),
        passed,
        _stored_statistics,
    ),
    SelfTest(
        "Dropout in TRAIN phase",
        "nets that are trained with Dropout layers",
        lambda layer, effect: layer.type == "Dropout" and effect.draws is True,
        _net("100x200", 'type: "Dropout" dropout_param { dropout_ratio: 0.75 }'),
        passed,
        _dropout,
        # Of 20,000 values the share that is kept has a standard deviation of 0.003.
        tolerance=0.02,
    ),
    SelfTest(
        "phase: TEST on a layer",
        "nets with layers of their own phase, as Dropout in frozen branches",
        lambda _layer, effect: effect.phase != effect.net_phase,
        _net("10x20", 'type: "Dropout" phase: TEST'),
        passed,
        _unchanged,
        tolerance=0,
    ),
)
"""One row for each; the table of all is `netbuild.doctor.table`."""
