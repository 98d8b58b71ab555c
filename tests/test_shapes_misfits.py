"""Nets on which Caffe aborts, one sentence each; and how many bottoms and tops it lets a layer have."""

import re

import pytest
from shape_nets import INPUT, LABEL, SCALAR, engine, layer, net, source

from netbuild.errors import GraphError
from netbuild.graph.view import NetView
from netbuild.layers import infer
from netbuild.layers.arity import arity, misfit
from netbuild.layers.table import TYPES
from netbuild.schema import TEST

pytestmark = pytest.mark.usefixtures("slim")

Z, SMALL, ROWS = source("z", 2, 7, 9, 11), source("s", 2, 6, 2, 2), source("r", 2, 3)
SEQUENCE = source("q", 4, 3, 5) + source("t", 4, 3)
RECURRENT = "recurrent_param { num_output: 2 }"
EXPOSED = "recurrent_param { num_output: 2 expose_hidden: true }"


def conv(options, bottoms="data", tops="x", kind="Convolution"):
    return layer(kind, f"convolution_param {{ {options} }}", bottoms, tops)


def pool(options, bottoms="data"):
    return layer("Pooling", f"pooling_param {{ {options} }}", bottoms)


def reshaped(options):
    return layer("Reshape", f"reshape_param {{ {options} }}")


WINDOWS = [
    (conv("num_output: 4 kernel_size: 12"), "12 x 12 is larger"),
    (conv("num_output: 4 kernel_size: 1 group: 4"), "cannot be split into 4"),
    (conv("num_output: 4"), "0 values|kernel_size must be given, and at least 1"),
    (conv("num_output: 4 kernel_size: 1 stride: 0"), "stride must be given"),
    (conv("num_output: 4 kernel_size: 1 stride_h: 1"), "stride must be given"),
    (conv("num_output: 4 kernel_size: 1 group: 0"), "group must be given"),
    (conv("kernel_size: 1"), "num_output must be given"),
    (
        conv("num_output: 4 kernel_size: 3 kernel_h: 2 kernel_w: 2"),
        "kernel_size and kernel_h or kernel_w are both given",
    ),
    (conv("num_output: 4 kernel_size: 3 pad: 1 pad: 1 pad: 1"), "3 values of pad for 2 spatial axes"),
    (conv("num_output: 4 kernel_size: 3 axis: 4"), "axis 4 is out of range"),
    (conv("num_output: 4 kernel_size: 3", "data z", "x y"), "same shape.*data .2, 6, 9, 11., z .2, 7, 9, 11."),
    (SMALL + conv("num_output: 4 kernel_size: 2 pad: 2", "s", kind="Deconvolution"), "leaves nothing"),
    (SMALL + conv("kernel_size: 3", "s", kind="Im2col"), "3 x 3 is larger"),
    (ROWS + conv("kernel_size: 1", "r", kind="Im2col"), "at least one spatial axis"),
    (pool("kernel_size: 20"), "window of 20 is larger"),
    (pool("kernel_size: 2", "label"), "4 axes"),
    (pool("kernel_size: 2 stride: 0"), "stride must be given"),
    (pool(""), "kernel_size must be given"),
    (pool("kernel_h: 2"), "give kernel_size, or both kernel_h and kernel_w"),
    (pool("kernel_size: 2 stride: 2 stride_h: 2 stride_w: 2"), "give stride, or both"),
    (pool("kernel_size: 2 pad: 2"), "pad 2 x 2 must be smaller"),
    (pool("kernel_size: 2 pad: 1 pool: STOCHASTIC"), "MAX and AVE pooling only"),
    (pool("kernel_size: 2 global_pooling: true"), "both given"),
    (pool("stride: 2 global_pooling: true"), "stride 1 and pad 0 only"),
    (layer("SPP"), "pyramid_height must be given"),
    (layer("SPP", "spp_param { pyramid_height: 2 pool: STOCHASTIC }"), "MAX and AVE pooling only"),
    (layer("SPP", "spp_param { pyramid_height: 4 }"), "pad 4 x 3 must be smaller"),
]
LEARNED = [
    (layer("InnerProduct"), "num_output must be given"),
    (layer("InnerProduct", "inner_product_param { num_output: 2 axis: 4 }"), "axis 4 is out of range"),
    (layer("Embed", "embed_param { num_output: 3 }", "label"), "input_dim must be given"),
    (layer("BatchNorm", "", "label"), "axis 1 is out of range"),
    (layer("PReLU", "", "label"), "axis 1 is out of range"),
    (source("v", 1, 2, 3, 4, 5) + layer("PReLU", "", "v"), "at most 4 axes"),
    (layer("Scale", "scale_param { num_axes: 9 }"), "num_axes 9 from axis 1 is out of range"),
    (layer("Scale", "scale_param { num_axes: -2 }"), "at least 0, or -1"),
    (source("f", 5) + layer("Bias", "", "data f"), "lengths of the first from axis 1 on"),
    (source("f", 9, 11, 3) + layer("Scale", "scale_param { axis: 2 }", "data f"), "lengths of the first from axis 2"),
    (SEQUENCE + layer("LSTM", "", "q t"), "num_output must be given"),
    (SEQUENCE + source("u", 3, 3) + layer("LSTM", RECURRENT, "q u"), "agree with the first two axes"),
    (SEQUENCE + source("u", 4, 3, 1) + layer("RNN", RECURRENT, "q u"), "two axes .T, N."),
    (SEQUENCE + layer("RNN", RECURRENT, "t t"), "axis 2 is out of range"),
    (SEQUENCE + source("f", 2, 7) + layer("LSTM", RECURRENT, "q t f"), "one row for each stream"),
    (SEQUENCE + source("h", 1, 3, 3) + layer("RNN", EXPOSED, "q t h", "x y"), r"shape \(1, N, 2\)"),
    (source("c", 1, 3, 4) + source("t", 1, 3) + layer("LSTMUnit", "", "c c t", "x y"), "four times as long"),
    (source("c", 2, 3, 4) + source("t", 2, 3) + layer("LSTMUnit", "", "c c t", "x y"), "one time step"),
]
REARRANGED = [
    (layer("Flatten", "flatten_param { axis: 7 }"), "axis 7 is out of range"),
    (layer("Flatten", "flatten_param { axis: 3 end_axis: 1 }"), "axis 3 lies behind end_axis 1"),
    (layer("Concat", "", "data label"), r"same number of axes.*data \(2, 6, 9, 11\), label \(2\)"),
    (layer("Concat", "concat_param { axis: 2 }", "data z"), "agree on every axis but 2"),
    (layer("Concat", "concat_param { axis: 1 concat_dim: 1 }", "data data"), "axis and concat_dim are both given"),
    (layer("Slice", "slice_param { axis: 1 slice_dim: 1 }", tops="x y"), "axis and slice_dim are both given"),
    (layer("Slice", "", tops="x y w v"), "cannot be split evenly into 4"),
    (layer("Slice", "slice_param { slice_point: 1 }"), "has 1 slice_point for 1 top"),
    (layer("Slice", "slice_param { slice_point: 2 slice_point: 2 }", tops="x y w"), "must grow"),
    (layer("Slice", "slice_param { slice_point: 6 }", tops="x y"), "leaves nothing of the 6"),
    (reshaped("shape { dim: -1 dim: -1 }"), "and -1 once"),
    (reshaped("shape { dim: 5 dim: -1 }"), r"1188 values do not go into the shape \(5, -1\)"),
    (reshaped("shape { dim: 0 dim: 0 dim: 0 dim: 0 dim: 0 }"), "no axis to copy"),
    (reshaped("axis: 5 shape { dim: -1 }"), "axis 5 with num_axes -1 is out of range"),
    (reshaped("axis: 3 num_axes: 2 shape { dim: -1 }"), "axis 3 with num_axes 2 is out of range"),
    (reshaped("num_axes: -2 shape { dim: -1 }"), "num_axes must be at least 0"),
    (layer("Tile"), "tiles must be given"),
    (layer("BatchReindex", "", "data z"), "must have one axis"),
    (SMALL + layer("Crop", "crop_param { offset: 8 }", "data s"), "axis 2 of the first bottom is too short"),
    (SMALL + layer("Crop", "crop_param { offset: 1 offset: 1 offset: 1 }", "data s"), "has 3 offsets for 2 axes"),
    (layer("Crop", "", "data label"), "at least 4 axes"),
    (ROWS + layer("Filter", "", "data r"), "one value for each item"),
    (source("f", 3) + layer("Filter", "", "data f"), "as many items"),
    (layer("Filter", "", "data data label"), "has 1 top; expected 2"),
    (layer("Permute", "permute_param { order: 0 order: 0 }"), "each axis once"),
    (layer("Reverse", "reverse_param { axis: 4 }"), "axis 4 is out of range"),
]
COMPUTED = [
    *((layer("Exp", f"exp_param {{ base: {base} }}"), "must be above 0, or -1 for e") for base in ("0", "-2", "inf")),
    (layer("Log", "log_param { base: nan }"), "base nan must be above 0"),
    (layer("Log", "log_param { base: 1 }"), "no logarithm to the base 1"),
    (layer("Eltwise", "", "data z"), "same shape"),
    (layer("Eltwise", "eltwise_param { coeff: 1 }", "data data"), "has 1 coeff for 2 bottoms"),
    (layer("Eltwise", "eltwise_param { operation: PROD coeff: 1 coeff: 1 }", "data data"), "SUM only"),
    (layer("LRN", "lrn_param { local_size: 4 }"), "must be odd"),
    (layer("LRN", "", "label"), "4 axes"),
    (layer("Softmax", "", "label"), "axis 1 is out of range"),
    (source("v", 1, 2, 3, 4, 5) + layer("MVN", "", "v"), "at most 4 axes"),
    (layer("Reduction", "reduction_param { axis: 4 }"), "axis 4 is out of range"),
    (layer("ArgMax", "argmax_param { top_k: 7 axis: 1 }"), "top_k 7 is more than the 6"),
    (layer("ArgMax", "argmax_param { top_k: 0 }"), "top_k must be given"),
    (SCALAR + layer("ArgMax", "", "scalar"), "axis 0 is out of range"),
]
LOSSES = [
    (ROWS + source("l", 3) + layer("SoftmaxWithLoss", "", "r l"), "same number of items"),
    (layer("SoftmaxWithLoss", "", "data label"), "one label for each list of scores along axis 1"),
    (SCALAR + layer("HingeLoss", "", "scalar label"), "first axis"),
    (ROWS + layer("InfogainLoss", "", "r label"), "source must be given"),
    (ROWS + source("h", 2, 3) + layer("InfogainLoss", "", "r label h"), "a row and a column for each class"),
    (ROWS + source("f", 2, 4) + layer("EuclideanLoss", "", "r f"), "equally many values"),
    (ROWS + source("f", 2, 4) + layer("SigmoidCrossEntropyLoss", "", "r f"), "equally many values"),
    (ROWS + layer("MultinomialLogisticLoss", "", "r r"), "one label for each item"),
    (layer("ContrastiveLoss", "", "data data label"), r"shape \(N, C\)"),
    (ROWS + source("f", 2, 4) + layer("ContrastiveLoss", "", "r f label"), "equally many channels"),
    (ROWS + layer("ContrastiveLoss", "", "r r r"), "one value for each item"),
    (ROWS + layer("Accuracy", "accuracy_param { top_k: 4 }", "r label"), "top_k 4 is more than the 3 classes"),
    (layer("Accuracy", "", "data label"), "one label for each list of scores"),
]
SOURCES = [
    (layer("Input", "input_param { shape { dim: 1 } shape { dim: 1 } }", "", "x"), "has 2 shapes for 1 top"),
    (layer("DummyData", "", "", "x"), "has no shape for 1 top"),
    (layer("DummyData", "dummy_data_param { num: 1 }", "", "x"), "has no channels for 1 top"),
    (layer("DummyData", "dummy_data_param { shape { dim: 1 } num: 1 }", "", "x"), "choose one"),
    (layer("DummyData", "dummy_data_param { shape {} data_filler {} data_filler {} }", "", "x"), "has 2 data_fillers"),
    (layer("MemoryData", "memory_data_param { batch_size: 2 }", "", "x y"), "channels must be given"),
    (layer("ImageData", "image_data_param { new_height: 2 }", "", "x y"), "given together"),
    (layer("WindowData", "window_data_param { batch_size: 2 }", "", "x y"), "crop_size must be given"),
    (layer("ReLU", "", ""), "layer 'ReLU' .ReLU.: has no bottom; expected 1"),
]


@pytest.mark.parametrize(
    ("layers", "reason"),
    [*WINDOWS, *LEARNED, *REARRANGED, *COMPUTED, *LOSSES, *SOURCES],
    ids=lambda text: text[-60:],
)
def test_what_caffe_aborts_on_is_told_with_layer_and_bottoms(caffe, layers, reason):
    text = INPUT + LABEL + Z + layers
    assert isinstance(engine(caffe, text), str), "Caffe takes it"
    with pytest.raises(GraphError, match=reason):
        infer(net(text), TEST)
    assert len(NetView(net(text), TEST).misfits) == 1


def _counted_by_caffe(caffe, kind, options):
    """Yield whether Caffe and we refuse it, for wrong and right numbers of bottoms, then of tops."""
    blobs = [f"b{index}" for index in range(7)]
    feeds = "".join(source(name, 2, 2) for name in blobs)
    least = arity(net(layer(kind, options)).layer[0])
    for bottoms, tops in [(n, least.tops[0]) for n in range(7)] + [(least.bottoms[0], n) for n in range(5)]:
        named = layer(kind, options, " ".join(blobs[:bottoms]), " ".join("vwxyz"[:tops]))
        said = engine(caffe, feeds + named)
        refused = isinstance(said, str) and re.search(r"blob\(s\) as (in|out)put|one top blob as output", said)
        found = misfit(net(named).layer[0])
        yield f"{kind} {options} {bottoms} {tops}: {said}: {found}", bool(refused) == bool(found)


@pytest.mark.parametrize("kind", sorted(set(TYPES) - {"Data", "Python"}))
def test_bottoms_and_tops_are_counted_as_caffe_does(caffe, kind):
    given = {
        "Pooling": ["", "pooling_param { pool: AVE }"],
        "LSTM": [RECURRENT, EXPOSED],
        "RNN": [RECURRENT, EXPOSED],
        "SPP": ["spp_param { pyramid_height: 2 }"],
    }
    for options in given.get(kind, [""]):
        for said, same in _counted_by_caffe(caffe, kind, options):
            assert same, said


def test_a_data_layer_has_one_or_two_tops():
    # It opens its database before Caffe counts (data_layer.hpp says: no bottom, 1 to 2 tops).
    assert misfit(net(layer("Data", "", "", "x y z")).layer[0]) == "has 3 tops; expected 1 to 2"
    assert misfit(net(layer("Data", "", "", "x y")).layer[0]) is None
