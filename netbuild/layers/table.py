"""The rule of each layer type: those of BVLC Caffe 1.0, and a few of its forks."""

from __future__ import annotations

from typing import Dict

from . import arrange, learned, losses, pointwise, recurrent, sources, windows
from .lengths import Rule

_VALUE_BY_VALUE = (
    *("AbsVal", "BNLL", "Dropout", "ELU", "Power", "ReLU", "Sigmoid", "Split", "TanH", "Threshold"),
    # Of forks only.
    *("Clip", "Swish"),
)

RULES: Dict[str, Rule] = {
    **dict.fromkeys(_VALUE_BY_VALUE, pointwise.same),
    "Accuracy": losses.accuracy,
    "ArgMax": pointwise.argmax,
    "BatchNorm": learned.batch_norm,
    "BatchReindex": arrange.batch_reindex,
    "Bias": learned.bias,
    "Concat": arrange.concat,
    "ContrastiveLoss": losses.contrastive_loss,
    "Convolution": windows.convolution,
    "Crop": arrange.crop,
    "Data": sources.images("data_param"),
    "Deconvolution": windows.convolution,
    "DummyData": sources.dummy_data,
    "Eltwise": pointwise.eltwise,
    "Embed": learned.embed,
    "EuclideanLoss": losses.counted_loss(axis=1),
    "Exp": pointwise.powers_of("exp_param"),
    "Filter": arrange.filter_layer,
    "Flatten": arrange.flatten,
    "HDF5Data": sources.hdf5_data,
    "HDF5Output": pointwise.no_tops,
    "HingeLoss": losses.plain_loss,
    "Im2col": windows.im2col,
    "ImageData": sources.images("image_data_param"),
    "InfogainLoss": losses.infogain_loss,
    "InnerProduct": learned.inner_product,
    "Input": sources.input_layer,
    "LRN": pointwise.lrn,
    "LSTM": recurrent.recurrent(gates=4, states=2, output=False),
    "LSTMUnit": recurrent.lstm_unit,
    "Log": pointwise.powers_of("log_param"),
    "MVN": pointwise.mvn,
    "MemoryData": sources.memory_data,
    "MultinomialLogisticLoss": losses.multinomial_loss,
    "Normalize": learned.normalize,
    "PReLU": learned.prelu,
    "Parameter": sources.parameter,
    "Permute": arrange.permute,
    "Pooling": windows.pooling,
    "Python": sources.python,
    "RNN": recurrent.recurrent(gates=1, states=1, output=True),
    "Reduction": pointwise.reduction,
    "Reshape": arrange.reshape,
    "Reverse": arrange.reverse,
    "SPP": windows.spp,
    "Scale": learned.scale,
    "SigmoidCrossEntropyLoss": losses.counted_loss(axis=0),
    "Silence": pointwise.no_tops,
    "Slice": arrange.slice_layer,
    "Softmax": pointwise.softmax,
    "SoftmaxWithLoss": losses.softmax_loss,
    "Tile": arrange.tile,
    "WindowData": sources.window_data,
}
