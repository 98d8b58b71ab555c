"""How many bottoms and tops each layer type takes.

The counts of BVLC Caffe 1.0 as each layer declares them (ExactNumBottomBlobs, MinTopBlobs and so on), which
Layer::CheckBlobCounts holds every net to.
"""

from __future__ import annotations

from typing import Dict, NamedTuple, Optional, Tuple

from ..engine.caffe import Message
from .lengths import counted

_ANY = 1 << 30


class Arity(NamedTuple):
    """The least and the most bottoms and tops of a layer."""

    bottoms: Tuple[int, int]
    tops: Tuple[int, int]


def _rows(bottoms: Tuple[int, int], tops: Tuple[int, int], *types: str) -> Dict[str, Arity]:
    return dict.fromkeys(types, Arity(bottoms, tops))


_NONE, _ONE, _TWO, _THREE, _MANY = (0, 0), (1, 1), (2, 2), (3, 3), (1, _ANY)
# A loss whose tops are left out gets them from Net::Init (AutoTopBlobs).
_LOSS, _LOSS_AND_MORE = (0, 1), (0, 2)

_ARITIES: Dict[str, Arity] = {
    **_rows(_NONE, _MANY, "DummyData", "HDF5Data", "Input"),
    **_rows(_NONE, (1, 2), "Data"),
    **_rows(_NONE, _TWO, "ImageData", "MemoryData", "WindowData"),
    **_rows(_NONE, _ONE, "Parameter"),
    **_rows(_ONE, _ONE, "AbsVal", "ArgMax", "BNLL", "BatchNorm", "Dropout", "ELU", "Embed", "Exp", "Flatten"),
    **_rows(_ONE, _ONE, "Im2col", "InnerProduct", "LRN", "Log", "MVN", "PReLU", "Power", "ReLU", "Reduction"),
    **_rows(_ONE, _ONE, "Reshape", "SPP", "Sigmoid", "Softmax", "TanH", "Threshold", "Tile"),
    # Of forks only.
    **_rows(_ONE, _ONE, "Clip", "Normalize", "Permute", "Reverse", "Swish"),
    **_rows(_ONE, (1, 2), "Pooling"),
    **_rows(_ONE, _MANY, "Slice", "Split"),
    **_rows((1, 2), _ONE, "Bias", "Scale"),
    **_rows(_MANY, _MANY, "Convolution", "Deconvolution"),
    **_rows(_MANY, _ONE, "Concat"),
    **_rows(_MANY, _NONE, "Silence"),
    **_rows((2, _ANY), _ONE, "Eltwise"),
    **_rows((2, _ANY), _MANY, "Filter"),
    **_rows(_TWO, _ONE, "BatchReindex", "Crop"),
    **_rows(_TWO, _NONE, "HDF5Output"),
    **_rows(_TWO, (1, 2), "Accuracy"),
    **_rows(_TWO, _LOSS, "EuclideanLoss", "HingeLoss", "MultinomialLogisticLoss", "SigmoidCrossEntropyLoss"),
    **_rows(_TWO, _LOSS_AND_MORE, "SoftmaxWithLoss"),
    **_rows((2, 3), _LOSS_AND_MORE, "InfogainLoss"),
    **_rows((2, 3), _ONE, "LSTM", "RNN"),
    **_rows(_THREE, _LOSS, "ContrastiveLoss"),
    **_rows(_THREE, _TWO, "LSTMUnit"),
}


def arity(layer: Message) -> Optional[Arity]:
    """Return how many bottoms and tops Caffe wants for a layer, None for types not known here and Python."""
    if layer.type in ("LSTM", "RNN") and layer.recurrent_param.expose_hidden:
        states = 2 if layer.type == "LSTM" else 1
        return Arity((2 + states, 3 + states), (1 + states, 1 + states))
    if layer.type == "Pooling" and layer.pooling_param.pool != layer.pooling_param.MAX:
        return Arity(_ONE, _ONE)
    return _ARITIES.get(layer.type)


def misfit(layer: Message) -> Optional[str]:
    """Return what is wrong with a layer's number of bottoms or tops, None where nothing is."""
    wanted = arity(layer)
    if wanted is None:
        return None
    for kind, blobs, limits in (("bottom", layer.bottom, wanted.bottoms), ("top", layer.top, wanted.tops)):
        if not limits[0] <= len(blobs) <= limits[1]:
            return f"has {counted(len(blobs), kind)}; expected {_expected(*limits)}"
    if layer.type in ("Convolution", "Deconvolution") and len(layer.bottom) != len(layer.top):
        bottoms, tops = counted(len(layer.bottom), "bottom"), counted(len(layer.top), "top")
        return f"has {bottoms} and {tops}; expected one top for each bottom"
    return None


def _expected(least: int, most: int) -> str:
    if least == most:
        return str(least or "none")
    return f"at least {least}" if most == _ANY else f"{least} to {most}" if least else f"at most {most}"
