"""The layer types: one row each, those of BVLC Caffe 1.0 and of the Caffe on PyPI; `fork_table` has those of forks.

A new type is a row here, and the functions that the row names, in the module of its family; what each field asks is
said in `row.LayerType`. In-place deeds and gradients were seen in real Caffe, each layer against its twin with a top
of its own; memory is what each layer's Reshape and Forward_cpu touch.
"""

from __future__ import annotations

from typing import Dict

from ..schema import Message
from . import arrange, learned, losses, norms, pointwise, pooling, recurrent, sources, windows
from .answers import (
    BOTTOMS_OWN,
    COMPUTES,
    COMPUTES_IN_SIZE,
    GOES_TO_PLACES,
    NO_GRADIENT,
    NO_WEIGHTS,
    NONE,
    ONE,
    ONE_LOSS,
    ONE_OR_TWO,
    ONE_TO_ONE,
    OWN_CODE,
    OWN_TOPS,
    PASSES_SCORES,
    READS_BOTH,
    READS_BOTTOMS,
    READS_LABELS,
    READS_NOTHING,
    READS_TOPS,
    REMEMBERING,
    SOME,
    STILL,
    THREE,
    TWO,
    UP_TO_TWO,
    WEIGHT_AND_BIAS,
    as_bottom,
    as_bottom_in_place,
    draws_in_both,
    draws_in_train,
    keeps,
    no_work,
    where_shapes_agree,
)
from .row import (
    ABORTS,
    ANY,
    ELSE,
    FINE,
    GRADIENT,
    NEVER,
    NOT_SEEN,
    Arity,
    Gradient,
    Kind,
    Labels,
    LayerType,
    Left,
    Reads,
    Role,
    Scores,
    Weights,
)

# A row is three lines: what the layer takes and makes; what it keeps and reads; what it is to a net.
# fmt: off
TYPES: Dict[str, LayerType] = {
    # Sources: layers without bottoms.
    "Data": LayerType(
        options="data_param", arity=Arity(NONE, ONE_OR_TWO), shapes=sources.images("data_param"), weights=NO_WEIGHTS,
        memory=keeps(sources.batches_ahead), in_place=NEVER, gradient=READS_NOTHING,
        role=Role(Kind.DATA, reads=Reads.DATABASE), training=sources.changes_images("data_param"),
    ),
    "DummyData": LayerType(
        options="dummy_data_param", arity=Arity(NONE, SOME), shapes=sources.dummy_data,
        weights=Weights(sources.dummy_data_fillers, no_work),
        memory=OWN_TOPS._replace(stays=sources.is_filled_once),
        in_place=NEVER, gradient=READS_NOTHING, role=Role(Kind.FILLED),
        training=draws_in_both(sources.is_filled_at_random),
    ),
    "HDF5Data": LayerType(
        options="hdf5_data_param", arity=Arity(NONE, SOME), shapes=sources.hdf5_data, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=NEVER, gradient=READS_NOTHING, role=Role(Kind.DATA, reads=Reads.HDF5),
        training=draws_in_both(sources.shuffles),
    ),
    "ImageData": LayerType(
        options="image_data_param", arity=Arity(NONE, TWO), shapes=sources.images("image_data_param"),
        weights=NO_WEIGHTS, memory=keeps(sources.batches_ahead), in_place=NEVER, gradient=READS_NOTHING,
        role=Role(Kind.DATA, reads=Reads.LIST), training=sources.changes_images("image_data_param"),
    ),
    "Input": LayerType(
        options="input_param", arity=Arity(NONE, SOME), shapes=sources.input_layer, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=NEVER, gradient=READS_NOTHING, role=Role(Kind.INPUT), training=STILL,
    ),
    "MemoryData": LayerType(
        options="memory_data_param", arity=Arity(NONE, TWO), shapes=sources.memory_data, weights=NO_WEIGHTS,
        memory=OWN_TOPS._replace(stays=True),
        in_place=NEVER, gradient=READS_NOTHING,
        role=Role(Kind.DATA, reads=Reads.PROGRAM), training=OWN_CODE,
    ),
    "Parameter": LayerType(
        options="parameter_param", arity=Arity(NONE, ONE), shapes=sources.parameter, weights=NO_WEIGHTS,
        memory=OWN_TOPS._replace(stays=True),
        in_place=NEVER, gradient=READS_NOTHING, role=Role(Kind.LEARNED), training=STILL,
    ),
    "WindowData": LayerType(
        options="window_data_param", arity=Arity(NONE, TWO), shapes=sources.window_data, weights=NO_WEIGHTS,
        memory=keeps(sources.batches_ahead), in_place=NEVER, gradient=READS_NOTHING,
        role=Role(Kind.DATA, reads=Reads.WINDOWS),
        training=draws_in_both(True),
    ),

    # Windows.
    "Convolution": LayerType(
        options="convolution_param", arity=Arity(SOME, SOME, paired=True), shapes=windows.convolution,
        weights=Weights(WEIGHT_AND_BIAS, windows.convolution_work),
        memory=OWN_TOPS._replace(columns=windows.convolution_columns),
        in_place=windows.convolution_in_place, gradient=READS_BOTTOMS,
        role=Role(Kind.OTHER, Scores.MAKES_WHERE_JUDGED), training=STILL,
    ),
    "Deconvolution": LayerType(
        options="convolution_param", arity=Arity(SOME, SOME, paired=True), shapes=windows.deconvolution,
        weights=Weights(WEIGHT_AND_BIAS, windows.deconvolution_work),
        memory=OWN_TOPS._replace(columns=windows.deconvolution_columns),
        in_place=windows.convolution_in_place, gradient=READS_BOTTOMS, role=COMPUTES, training=STILL,
    ),
    "Im2col": LayerType(
        options="convolution_param", arity=ONE_TO_ONE, shapes=windows.im2col, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=ELSE, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "Pooling": LayerType(
        options="pooling_param", arity=pooling.pooling_arity, shapes=pooling.pooling, weights=NO_WEIGHTS,
        memory=keeps(pooling.pooling_kept), in_place=ELSE, gradient=GOES_TO_PLACES, role=PASSES_SCORES,
        training=draws_in_train(pooling.pooling_draws),
    ),
    "SPP": LayerType(
        options="spp_param", arity=ONE_TO_ONE, shapes=pooling.spp, weights=NO_WEIGHTS,
        memory=keeps(pooling.spp_kept), in_place=pooling.spp_in_place, gradient=GOES_TO_PLACES, role=COMPUTES,
        training=draws_in_train(pooling.spp_draws),
    ),

    # Layers with parameters that are no windows.
    "BatchNorm": LayerType(
        options="batch_norm_param", arity=ONE_TO_ONE, shapes=norms.batch_norm, weights=NO_WEIGHTS,
        memory=keeps(norms.batch_norm_kept), in_place=FINE, gradient=READS_NOTHING, role=COMPUTES,
        training=norms.BATCH_NORM,
    ),
    "Bias": LayerType(
        options="bias_param", arity=Arity(ONE_OR_TWO, ONE), shapes=learned.bias, weights=Weights(("filler",), no_work),
        memory=OWN_TOPS, in_place=FINE, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "Embed": LayerType(
        options="embed_param", arity=ONE_TO_ONE, shapes=learned.embed, weights=Weights(WEIGHT_AND_BIAS, no_work),
        memory=OWN_TOPS, in_place=ELSE, gradient=READS_BOTTOMS._replace(stops=(0,)), role=COMPUTES, training=STILL,
    ),
    "InnerProduct": LayerType(
        options="inner_product_param", arity=ONE_TO_ONE, shapes=learned.inner_product,
        weights=Weights(WEIGHT_AND_BIAS, learned.inner_product_work),
        memory=OWN_TOPS, in_place=ELSE, gradient=READS_BOTTOMS,
        role=Role(Kind.OTHER, Scores.MAKES), training=STILL,
    ),
    "PReLU": LayerType(
        options="prelu_param", arity=ONE_TO_ONE, shapes=learned.prelu, weights=Weights(("filler",), no_work),
        memory=OWN_TOPS._replace(kept=as_bottom_in_place, columns=learned.prelu_columns),
        in_place=FINE,
        gradient=Gradient(bottoms=True, tops=False, needs=Left.VALUES, copies=True), role=COMPUTES, training=STILL,
    ),
    "Scale": LayerType(
        options="scale_param", arity=Arity(ONE_OR_TWO, ONE), shapes=learned.scale,
        weights=Weights(learned.scale_fillers, no_work), memory=keeps(as_bottom_in_place), in_place=FINE,
        gradient=Gradient(bottoms=True, tops=False, needs=Left.VALUES, copies=True), role=COMPUTES, training=STILL,
    ),

    # Layers over time.
    "LSTM": LayerType(
        options="recurrent_param", arity=recurrent.recurrent_arity(states=2),
        shapes=recurrent.recurrent(gates=4, states=2, output=False),
        weights=Weights(recurrent.recurrent_fillers, recurrent.recurrent_work),
        memory=OWN_TOPS._replace(kept=recurrent.recurrent_kept(forward=22, backward=43), stays=recurrent.has_one_step),
        in_place=where_shapes_agree, gradient=READS_BOTTOMS._replace(stops=(1,), forced=False), role=COMPUTES,
        training=REMEMBERING,
    ),
    "LSTMUnit": LayerType(
        options="", arity=Arity(THREE, TWO), shapes=recurrent.lstm_unit, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=GRADIENT, gradient=READS_BOTH, role=COMPUTES, training=STILL,
    ),
    "RNN": LayerType(
        options="recurrent_param", arity=recurrent.recurrent_arity(states=1),
        shapes=recurrent.recurrent(gates=1, states=1, output=True),
        weights=Weights(recurrent.recurrent_fillers, recurrent.recurrent_work),
        memory=keeps(recurrent.recurrent_kept(forward=11, backward=21)),
        in_place=where_shapes_agree, gradient=READS_BOTTOMS._replace(stops=(1,), forced=False), role=COMPUTES,
        training=REMEMBERING,
    ),

    # Layers that work value by value.
    "AbsVal": LayerType(
        options="", arity=ONE_TO_ONE, shapes=pointwise.same, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=ABORTS, gradient=READS_BOTTOMS, role=COMPUTES, training=STILL,
    ),
    "BNLL": LayerType(
        options="", arity=ONE_TO_ONE, shapes=pointwise.same, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=GRADIENT, gradient=READS_BOTTOMS, role=COMPUTES, training=STILL,
    ),
    "Clip": LayerType(
        options="clip_param", arity=ONE_TO_ONE, shapes=pointwise.same, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=GRADIENT, gradient=READS_BOTTOMS, role=COMPUTES, training=STILL,
    ),
    "Dropout": LayerType(
        options="dropout_param", arity=ONE_TO_ONE, shapes=pointwise.same, weights=NO_WEIGHTS,
        memory=keeps(pointwise.dropout_kept), in_place=FINE,
        gradient=Gradient(bottoms=False, tops=False, needs=Left.NOTHING, leaves=Left.SIGNS), role=PASSES_SCORES,
        training=draws_in_train(True)._replace(draws_in_test=pointwise.dropout_draws_in_test),
    ),
    "ELU": LayerType(
        options="elu_param", arity=ONE_TO_ONE, shapes=pointwise.same, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=pointwise.elu_in_place, gradient=READS_BOTH, role=COMPUTES, training=STILL,
    ),
    "Exp": LayerType(
        options="exp_param", arity=ONE_TO_ONE, shapes=pointwise.exp, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=FINE, gradient=READS_TOPS, role=COMPUTES, training=STILL,
    ),
    "Log": LayerType(
        options="log_param", arity=ONE_TO_ONE, shapes=pointwise.log, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=GRADIENT, gradient=READS_BOTTOMS, role=COMPUTES, training=STILL,
    ),
    "Power": LayerType(
        options="power_param", arity=ONE_TO_ONE, shapes=pointwise.same, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=pointwise.power_in_place,
        gradient=Gradient(
            bottoms=pointwise.power_reads_bottoms, tops=pointwise.power_reads_tops, needs=Left.VALUES
        ),
        role=PASSES_SCORES, training=STILL,
    ),
    "ReLU": LayerType(
        options="relu_param", arity=ONE_TO_ONE, shapes=pointwise.same, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=pointwise.relu_in_place,
        gradient=Gradient(bottoms=True, tops=False, needs=Left.SIGNS, leaves=pointwise.relu_leaves),
        role=PASSES_SCORES, training=STILL,
    ),
    "Sigmoid": LayerType(
        options="sigmoid_param", arity=ONE_TO_ONE, shapes=pointwise.same, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=FINE, gradient=READS_TOPS,
        role=Role(Kind.LAST_ANSWER, Scores.PASSES), training=STILL,
    ),
    "Swish": LayerType(
        options="swish_param", arity=ONE_TO_ONE, shapes=pointwise.same, weights=NO_WEIGHTS,
        memory=keeps(pointwise.swish_kept), in_place=FINE, gradient=READS_TOPS, role=COMPUTES, training=STILL,
    ),
    "TanH": LayerType(
        options="tanh_param", arity=ONE_TO_ONE, shapes=pointwise.same, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=FINE, gradient=READS_TOPS, role=COMPUTES, training=STILL,
    ),
    "Threshold": LayerType(
        options="threshold_param", arity=ONE_TO_ONE, shapes=pointwise.same, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=FINE, gradient=NO_GRADIENT, role=COMPUTES, training=STILL,
    ),

    # Layers without parameters that compute on an axis, an image or several bottoms.
    "ArgMax": LayerType(
        options="argmax_param", arity=ONE_TO_ONE, shapes=pointwise.argmax, weights=NO_WEIGHTS,
        memory=OWN_TOPS._replace(columns=pointwise.argmax_columns),
        in_place=ELSE, gradient=NO_GRADIENT, role=Role(Kind.ANSWER), training=STILL,
    ),
    "Eltwise": LayerType(
        options="eltwise_param", arity=Arity((2, ANY), ONE), shapes=pointwise.eltwise, weights=NO_WEIGHTS,
        memory=keeps(pointwise.eltwise_kept), in_place=pointwise.eltwise_in_place,
        gradient=Gradient(bottoms=pointwise.multiplies, tops=pointwise.eltwise_reads_tops, needs=Left.VALUES),
        role=COMPUTES, training=draws_in_train(pointwise.eltwise_draws),
    ),
    "LRN": LayerType(
        options="lrn_param", arity=ONE_TO_ONE, shapes=pointwise.lrn, weights=NO_WEIGHTS,
        memory=OWN_TOPS._replace(kept=pointwise.lrn_kept, columns=pointwise.lrn_columns),
        in_place=pointwise.lrn_in_place,
        gradient=Gradient(bottoms=True, tops=pointwise.lrn_reads_tops, needs=Left.VALUES),
        role=COMPUTES, training=STILL,
    ),
    "MVN": LayerType(
        options="mvn_param", arity=ONE_TO_ONE, shapes=pointwise.mvn, weights=NO_WEIGHTS,
        memory=keeps(as_bottom), in_place=pointwise.mvn_in_place,
        gradient=Gradient(bottoms=False, tops=pointwise.normalizes_variance, needs=Left.EVERYTHING),
        role=COMPUTES, training=STILL,
    ),
    "Reduction": LayerType(
        options="reduction_param", arity=ONE_TO_ONE, shapes=pointwise.reduction, weights=NO_WEIGHTS,
        memory=keeps(pointwise.reduction_kept), in_place=ELSE, gradient=READS_BOTTOMS, role=COMPUTES, training=STILL,
    ),
    "Softmax": LayerType(
        options="softmax_param", arity=ONE_TO_ONE, shapes=pointwise.softmax, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=FINE, gradient=READS_TOPS, role=Role(Kind.ANSWER, Scores.PASSES), training=STILL,
    ),

    # Layers that join, split, cut, choose or rearrange.
    "BatchReindex": LayerType(
        options="", arity=Arity(TWO, ONE), shapes=arrange.batch_reindex, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=ELSE, gradient=READS_NOTHING._replace(stops=(1,)), role=COMPUTES, training=STILL,
    ),
    "Concat": LayerType(
        options="concat_param", arity=Arity(SOME, ONE), shapes=arrange.concat, weights=NO_WEIGHTS,
        memory=OWN_TOPS._replace(hands_on=arrange.has_one_of_each),
        in_place=arrange.concat_in_place, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "Crop": LayerType(
        options="crop_param", arity=Arity(TWO, ONE), shapes=arrange.crop, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=where_shapes_agree, gradient=READS_NOTHING, role=COMPUTES_IN_SIZE, training=STILL,
    ),
    "Filter": LayerType(
        options="", arity=Arity((2, ANY), SOME), shapes=arrange.filter_layer, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=GRADIENT, gradient=READS_NOTHING._replace(stops=(-1,)), role=COMPUTES, training=STILL,
    ),
    "Flatten": LayerType(
        options="flatten_param", arity=ONE_TO_ONE, shapes=arrange.flatten, weights=NO_WEIGHTS,
        memory=BOTTOMS_OWN, in_place=ABORTS, gradient=READS_NOTHING, role=PASSES_SCORES, training=STILL,
    ),
    "Permute": LayerType(
        options="permute_param", arity=ONE_TO_ONE, shapes=arrange.permute, weights=NO_WEIGHTS,
        memory=OWN_TOPS._replace(hands_on=arrange.keeps_order),
        in_place=arrange.permute_in_place, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "Reshape": LayerType(
        options="reshape_param", arity=ONE_TO_ONE, shapes=arrange.reshape, weights=NO_WEIGHTS,
        memory=BOTTOMS_OWN, in_place=ABORTS, gradient=READS_NOTHING, role=PASSES_SCORES, training=STILL,
    ),
    "Reverse": LayerType(
        options="reverse_param", arity=ONE_TO_ONE, shapes=arrange.reverse,
        weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=ABORTS, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "Silence": LayerType(
        options="", arity=Arity(SOME, NONE), shapes=pointwise.no_tops, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=NEVER, gradient=READS_NOTHING, role=Role(Kind.SINK), training=STILL,
    ),
    "Slice": LayerType(
        options="slice_param", arity=Arity(ONE, SOME), shapes=arrange.slice_layer, weights=NO_WEIGHTS,
        memory=OWN_TOPS._replace(hands_on=arrange.has_one_of_each),
        in_place=arrange.slice_in_place, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "Split": LayerType(
        options="", arity=Arity(ONE, SOME), shapes=pointwise.same, weights=NO_WEIGHTS,
        memory=OWN_TOPS._replace(kept=pointwise.split_kept, hands_on=True),
        in_place=ABORTS, gradient=READS_NOTHING, role=PASSES_SCORES, training=STILL,
    ),
    "Tile": LayerType(
        options="tile_param", arity=ONE_TO_ONE, shapes=arrange.tile, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=arrange.tile_in_place, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),

    # Losses, measures, and what is written out.
    "Accuracy": LayerType(
        options="accuracy_param", arity=Arity(TWO, ONE_OR_TWO), shapes=losses.accuracy, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=ABORTS, gradient=READS_NOTHING._replace(stops=(0, 1)),
        role=Role(Kind.MEASURE, labels=Labels(losses.accuracy_classes, ignore="accuracy_param")), training=STILL,
    ),
    "ContrastiveLoss": LayerType(
        options="contrastive_loss_param", arity=Arity(THREE, (0, 1)), shapes=losses.contrastive_loss,
        weights=NO_WEIGHTS, memory=keeps(as_bottom), in_place=ELSE, gradient=READS_NOTHING,
        role=Role(Kind.LOSS), training=STILL,
    ),
    "EuclideanLoss": LayerType(
        options="", arity=ONE_LOSS, shapes=losses.euclidean_loss, weights=NO_WEIGHTS,
        memory=keeps(as_bottom), in_place=ABORTS, gradient=READS_NOTHING, role=Role(Kind.LOSS), training=STILL,
    ),
    "HDF5Output": LayerType(
        options="hdf5_output_param", arity=Arity(TWO, NONE), shapes=pointwise.no_tops, weights=NO_WEIGHTS,
        memory=keeps(losses.output_kept), in_place=NEVER, gradient=READS_NOTHING, role=COMPUTES, training=STILL,
    ),
    "HingeLoss": LayerType(
        options="hinge_loss_param", arity=ONE_LOSS, shapes=losses.hinge_loss, weights=NO_WEIGHTS,
        memory=keeps(losses.hinge_kept), in_place=ELSE, gradient=READS_LABELS,
        role=Role(Kind.LOSS, labels=Labels(losses.all_values_are_classes, ignore="")), training=STILL,
    ),
    "InfogainLoss": LayerType(
        options="infogain_loss_param", arity=Arity((2, 3), UP_TO_TWO), shapes=losses.infogain_loss,
        weights=NO_WEIGHTS, memory=keeps(losses.infogain_loss_kept), in_place=ABORTS,
        gradient=READS_LABELS._replace(stops=(1, 2)),
        role=Role(Kind.LOSS, labels=Labels(losses.infogain_classes, ignore="loss_param")), training=STILL,
    ),
    "MultinomialLogisticLoss": LayerType(
        options="", arity=ONE_LOSS, shapes=losses.multinomial_loss, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=ELSE, gradient=READS_BOTTOMS._replace(stops=(1,), forced=False),
        role=Role(Kind.LOSS, labels=Labels(losses.all_values_are_classes, ignore="")), training=STILL,
    ),
    "SigmoidCrossEntropyLoss": LayerType(
        options="loss_param", arity=ONE_LOSS, shapes=losses.sigmoid_loss, weights=NO_WEIGHTS,
        memory=keeps(as_bottom), in_place=ABORTS, gradient=READS_LABELS, role=Role(Kind.LOSS), training=STILL,
    ),
    "SoftmaxWithLoss": LayerType(
        options="softmax_param", arity=Arity(TWO, UP_TO_TWO), shapes=losses.softmax_loss, weights=NO_WEIGHTS,
        memory=keeps(losses.softmax_loss_kept), in_place=ABORTS, gradient=READS_LABELS,
        role=Role(Kind.LOSS, labels=Labels(losses.softmax_classes, ignore="loss_param")), training=STILL,
    ),

    # The user's own code, of which nothing is known.
    "Python": LayerType(
        options="python_param", arity=None, shapes=sources.unknown, weights=NO_WEIGHTS,
        memory=OWN_TOPS, in_place=NOT_SEEN, gradient=READS_NOTHING, role=COMPUTES,
        training=OWN_CODE,
    ),
}
# fmt: on

UNKNOWN = LayerType(
    options="",
    arity=None,
    shapes=sources.unknown,
    weights=NO_WEIGHTS,
    memory=OWN_TOPS,
    in_place=NOT_SEEN,
    gradient=READS_NOTHING,
    # A data layer of a fork goes by transform_param, as Caffe's own do.
    role=Role(Kind.OTHER, reads=Reads.UNKNOWN),
    training=STILL,
)
"""The row of every type that has none of its own: nothing is said of it that Caffe may not keep."""

WITHOUT_ROW: Dict[str, str] = {
    "ContinuationIndicator": "of one fork, without a description: how many blobs it makes is not known",
    "CtcLoss": "of one fork, without a description: what its label sequences look like is not known",
    "LabelsequenceAccuracy": "of one fork, without a description: what its label sequences look like is not known",
}
"""Types of the Caffe on PyPI that have no row, and why."""


def of_type(name: str) -> LayerType:
    """Return the row of a type by its name, UNKNOWN for one that has none."""
    if name in TYPES:
        return TYPES[name]
    # Most nets need none of these rows, and six modules make them.
    from .fork_table import FORK_TYPES

    return FORK_TYPES.get(name, UNKNOWN)


def likely_type(name: str) -> str:
    """Return which of upstream's types may be meant by one that has no row, as ReLU by relu; '' where none is close."""
    from difflib import get_close_matches

    by_letters = {known.lower(): known for known in TYPES}
    near = get_close_matches(name.lower(), by_letters, 1, 0.85)
    return by_letters[near[0]] if near else ""


def options(layer: Message) -> Message:
    """Return a layer's options; its type must have some."""
    return getattr(layer, of(layer).options)


def of(layer: Message) -> LayerType:
    """Return the row of a layer's type, UNKNOWN for one that has none."""
    return of_type(layer.type)
