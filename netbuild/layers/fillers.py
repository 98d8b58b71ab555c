"""What a layer fills its parameters with, and where Caffe aborts doing so: when the net is built, after all else."""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional, Tuple

from ..engine.caffe import Message
from .lengths import Shape, shape_text

_TYPES = ("bilinear", "constant", "gaussian", "msra", "positive_unitball", "uniform", "xavier")
_BY_FIRST_AXIS = ("msra", "positive_unitball", "xavier")
_WEIGHTS_AND_BIAS = ("weight_filler", "bias_filler")
_FIELDS: Dict[str, Tuple[str, ...]] = {
    **dict.fromkeys(("Convolution", "Deconvolution"), ("convolution_param", *_WEIGHTS_AND_BIAS)),
    "Bias": ("bias_param", "filler"),
    "Embed": ("embed_param", *_WEIGHTS_AND_BIAS),
    "InnerProduct": ("inner_product_param", *_WEIGHTS_AND_BIAS),
    "PReLU": ("prelu_param", "filler"),
    "Scale": ("scale_param", "filler", "bias_filler"),
}
"""The message of each layer type's options, and its fields for the parameter blobs in their order."""


def filler_faults(layer: Message, params: Optional[List[Shape]], tops: List[Shape]) -> Iterator[str]:
    """Yield why Caffe aborts when it fills the layer's parameters, or the tops of a DummyData."""
    for field, filler, shape in _filled(layer, params or [], tops):
        why = _why(filler, shape)
        if why is not None:
            yield f"Caffe aborts on its {field} {filler.type!r}: {why}"


def _filled(layer: Message, params: List[Shape], tops: List[Shape]) -> Iterator[Tuple[str, Message, Shape]]:
    """Yield each filler that Caffe uses, with its field's name and the shape of the blob that it fills."""
    if layer.type == "DummyData":
        fillers = list(layer.dummy_data_param.data_filler)
        for filler, shape in zip(fillers * (len(tops) if len(fillers) == 1 else 1), tops):
            yield "data_filler", filler, shape
    elif layer.type in ("LSTM", "RNN"):
        for shape in params:
            field = "bias_filler" if shape is not None and len(shape) == 1 else "weight_filler"
            yield field, getattr(layer.recurrent_param, field), shape
    elif layer.type in _FIELDS:
        options, *fields = _FIELDS[layer.type]
        # A second bottom brings the factors of a Scale: what is left to fill is its bias.
        brought = layer.type in ("Bias", "Scale") and len(layer.bottom) > 1
        for field, shape in zip(fields[brought:], params):
            yield field, getattr(getattr(layer, options), field), shape


def _why(filler: Message, shape: Shape) -> Optional[str]:
    kind, sparse = filler.type, filler.sparse
    if kind not in _TYPES:
        return f"there is no such filler; known are {', '.join(_TYPES)}"
    if kind != "gaussian" and sparse != -1:
        return "sparse goes with gaussian only"
    if kind == "gaussian":
        return _why_not_gaussian(filler, shape)
    if kind == "uniform" and not filler.min <= filler.max:
        return f"min {filler.min:g} is more than max {filler.max:g}"
    if kind == "bilinear" and shape is not None and (len(shape) != 4 or _oblong(shape)):
        return f"only square windows can be filled with it; the blob is {shape_text(shape)}"
    if kind in _BY_FIRST_AXIS and shape == ():
        return "the blob is a single number, without the axis that this filler counts by"
    return None


def _oblong(shape: Tuple[Optional[int], ...]) -> bool:
    return None not in shape[2:] and shape[2] != shape[3]


def _why_not_gaussian(filler: Message, shape: Shape) -> Optional[str]:
    if not filler.std > 0:
        return f"std {filler.std:g} must be above 0; for equal values take constant"
    if filler.sparse < -1:
        return f"sparse {filler.sparse} must be at least 0, or -1 for none"
    if filler.sparse == -1 or shape is None:
        return None
    if not shape:
        return "sparse needs a blob with axes"
    outputs = shape[0]
    if outputs is not None and filler.sparse > outputs:
        return f"sparse {filler.sparse} is more than the {outputs} outputs of the blob {shape_text(shape)}"
    return None
