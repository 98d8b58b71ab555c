"""What Caffe does with a layer that is told to work in place: to write its top over its bottom.

Nothing in a prototxt forbids it, and of the layers that cannot do it only some say so. What stands here was seen in
real Caffe, each layer against its twin with a top of its own: values, and gradients of inputs and parameters.
So was what each layer's gradient reads: it is wrong where a layer in place has overwritten that by then.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional

from ..engine.caffe import Message
from .lengths import Shape

ABORTS, ELSE, GRADIENT = "Caffe aborts", "Caffe computes something else", "Caffe computes another gradient"

Judge = Callable[[Message, List[Shape], List[Shape]], Optional[str]]
"""From a layer, its bottoms' and its tops' shapes to one of these, None where it may work in place."""


def _always(deed: Optional[str], *types: str) -> Dict[str, Judge]:
    return dict.fromkeys(types, lambda _layer, _bottoms, _tops: deed)


def _several(deed: str) -> Judge:
    """Return the judge of a layer that has nothing to do where it has one bottom and one top."""
    return lambda layer, _bottoms, _tops: None if hands_on(layer) else deed


def _convolution(layer: Message, bottoms: List[Shape], tops: List[Shape]) -> str:
    p = layer.convolution_param
    sides = [*p.kernel_size] or [p.kernel_h, p.kernel_w]
    # Larger windows are laid out first, image by image; the weights' gradient then reads what was overwritten.
    return GRADIENT if max(sides) > 1 and bottoms[0] == tops[0] else ELSE


def _unchanged(_layer: Message, bottoms: List[Shape], tops: List[Shape]) -> str:
    return GRADIENT if bottoms[0] == tops[0] else ELSE


def _eltwise(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> str:
    return GRADIENT if layer.eltwise_param.operation == layer.eltwise_param.PROD else ELSE


def _lrn(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> str:
    return GRADIENT if layer.lrn_param.norm_region == layer.lrn_param.WITHIN_CHANNEL else ELSE


def _mvn(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> Optional[str]:
    return GRADIENT if layer.mvn_param.normalize_variance else None


def _permute(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> Optional[str]:
    return None if hands_on(layer) else ELSE


def _power(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> Optional[str]:
    # A constant has no gradient.
    return GRADIENT if layer.power_param.power and layer.power_param.scale else None


def _relu(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> Optional[str]:
    # Its gradient goes by the sign of what it reads, which a negative slope turns.
    return GRADIENT if min(layer.relu_param.negative_slope, layer.elu_param.alpha) < 0 else None


def _spp(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> str:
    return ELSE if layer.spp_param.pyramid_height == 1 else ABORTS


def _tile(layer: Message, _bottoms: List[Shape], _tops: List[Shape]) -> Optional[str]:
    return None if layer.tile_param.tiles == 1 else ELSE


JUDGES: Dict[str, Judge] = {
    **_always(None, "BatchNorm", "Bias", "Dropout", "Exp", "PReLU", "Scale", "Sigmoid", "Softmax", "Swish", "TanH"),
    **_always(None, "Threshold"),
    **_always(ABORTS, "AbsVal", "Accuracy", "EuclideanLoss", "Flatten", "InfogainLoss", "Reshape", "Reverse"),
    **_always(ABORTS, "SigmoidCrossEntropyLoss", "SoftmaxWithLoss", "Split"),
    **_always(ELSE, "ArgMax", "BatchReindex", "ContrastiveLoss", "Embed", "HingeLoss", "Im2col", "InnerProduct"),
    **_always(ELSE, "MultinomialLogisticLoss", "Pooling", "Reduction"),
    **_always(GRADIENT, "BNLL", "Clip", "Filter", "Log", "LSTMUnit"),
    **dict.fromkeys(("Crop", "LSTM", "RNN"), _unchanged),
    "Concat": _several(ELSE),
    "Convolution": _convolution,
    "Deconvolution": _convolution,
    "ELU": _relu,
    "Eltwise": _eltwise,
    "LRN": _lrn,
    "MVN": _mvn,
    "Permute": _permute,
    "Power": _power,
    "ReLU": _relu,
    "SPP": _spp,
    "Slice": _several(ABORTS),
    "Tile": _tile,
}
"""Of each layer type with bottoms and tops what it does; Python and Normalize, of forks, are not known."""


_HANDING_ON = ("Flatten", "Reshape", "Split")
_READS_BOTTOMS = (
    *("AbsVal", "BNLL", "Clip", "Convolution", "Deconvolution", "ELU", "Embed", "InnerProduct", "LRN", "LSTM"),
    *("LSTMUnit", "Log", "MultinomialLogisticLoss", "PReLU", "RNN", "ReLU", "Reduction", "Scale"),
)
_READS_TOPS = ("ELU", "Exp", "LSTMUnit", "Sigmoid", "Softmax", "Swish", "TanH")
_KEEPS_COPY = ("PReLU", "Scale")
"""Layers that, in place, keep what they overwrite for their gradient."""


def hands_on(layer: Message) -> bool:
    """Tell whether the layer's tops are its bottom's own memory, under other names."""
    if layer.type == "Permute" and "permute_param" in layer.DESCRIPTOR.fields_by_name:
        return list(layer.permute_param.order) == list(range(len(layer.permute_param.order)))
    alone = layer.type in ("Concat", "Slice") and len(layer.bottom) == len(layer.top) == 1
    return alone or layer.type in _HANDING_ON


def keeps_memory(layer: Message, tops: List[Shape]) -> bool:
    """Tell whether the layer reads its tops' memory in its next pass, so that what overwrites it stays for good.

    A DummyData of constants is filled once; the only step of an LSTM is the state that the next pass begins with.
    """
    if layer.type == "DummyData":
        return all(filler.type == "constant" for filler in layer.dummy_data_param.data_filler)
    if layer.type == "LSTM":
        return any(shape is not None and shape[:1] == (1,) for shape in tops[:1])
    return layer.type in ("MemoryData", "Parameter")


def gradient_reads_bottoms(layer: Message) -> bool:
    """Tell whether the layer's backward pass reads the values of its bottoms."""
    if layer.type == "Eltwise":
        return bool(layer.eltwise_param.operation == layer.eltwise_param.PROD)
    if layer.type == "Power":
        return layer.power_param.power not in (0, 1)
    return layer.type in _READS_BOTTOMS


def gradient_reads_tops(layer: Message, *, in_place: bool) -> bool:
    """Tell whether the layer's backward pass reads the values of its tops, as in place it does for its bottoms."""
    if layer.type == "Eltwise" and not layer.eltwise_param.stable_prod_grad:
        return bool(layer.eltwise_param.operation == layer.eltwise_param.PROD)
    if layer.type == "LRN" and layer.lrn_param.norm_region == layer.lrn_param.ACROSS_CHANNELS:
        return True
    if layer.type == "MVN":
        return bool(layer.mvn_param.normalize_variance)
    if layer.type == "Power" and layer.power_param.power not in (0, 1, 2):
        return True
    own = in_place and layer.type not in _KEEPS_COPY and gradient_reads_bottoms(layer)
    return own or layer.type in _READS_TOPS


def leaves_gradient(writer: Message, layer: Message) -> bool:
    """Tell whether a layer's gradient is right although `writer` overwrites the tops that it reads.

    ReLU changes only what no gradient comes back for, and Dropout leaves the signs that ReLU's gradient goes by.
    """
    if writer.type == "ReLU" and not writer.relu_param.negative_slope:
        return bool(layer.type != "MVN")
    return bool(writer.type == "Dropout" and layer.type == "ReLU")


def in_place_deed(layer: Message, bottoms: List[Shape], tops: List[Shape]) -> Optional[str]:
    """Return what Caffe does with a layer that works in place and cannot: ABORTS, ELSE or GRADIENT; None where it can.

    None too for types that are not known.
    """
    judge = JUDGES.get(layer.type)
    return None if judge is None else judge(layer, bottoms, tops)
