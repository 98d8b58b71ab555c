"""Layers in a few words, for drawings."""

from __future__ import annotations

from collections import Counter
from typing import Any, Iterable

from ..graph.differences import options
from ..layers.table import of
from ..schema import Message

_SHOWN = (
    ("convolution_param.num_output", "{}"),
    ("inner_product_param.num_output", "{}"),
    ("pooling_param.pool", "{}"),
    ("pooling_param.global_pooling", "global"),
    ("convolution_param.kernel_size", "{} window"),
    ("pooling_param.kernel_size", "{} window"),
    ("convolution_param.stride", "stride {}"),
    ("pooling_param.stride", "stride {}"),
    ("convolution_param.group", "{} groups"),
    ("dropout_param.dropout_ratio", "{}"),
    ("eltwise_param.operation", "{}"),
    ("lrn_param.local_size", "over {}"),
)
"""Options that say what a layer does, and the words for them."""

_USUAL = {
    "pooling_param": {"pooling_param.pool": "MAX"},
    "eltwise_param": {"eltwise_param.operation": "SUM"},
}
"""Defaults that are worth telling, by the field that holds a layer's options."""


def detail(layer: Message) -> str:
    """Return the layer's type and what distinguishes it: 'Convolution, 64, 7 x 7 window, stride 2'."""
    stated = {**_USUAL.get(of(layer).options, {}), **options(layer)}
    words = [form.format(_value(name, stated[name])) for name, form in _SHOWN if name in stated]
    return ", ".join([layer.type, *words])


def kinds(layers: Iterable[Message]) -> str:
    """Return how many layers of each type there are: '3 Convolution, 1 Eltwise'."""
    return ", ".join(f"{number} {kind}" for kind, number in Counter(layer.type for layer in layers).items())


def _value(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        sides = value * 2 if len(value) == 1 and name.endswith("kernel_size") else value
        return " x ".join(map(str, sides))
    return f"{value:g}" if isinstance(value, float) else str(value)
