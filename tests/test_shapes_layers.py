"""Every layer type's shapes against real Caffe, with usual options and at the edges."""

import pytest
from shape_nets import INPUT, LABEL, SCALAR, engine, layer, require_same, source

pytestmark = pytest.mark.usefixtures("slim")

VOLUME = source("v", 1, 2, 5, 6, 7)
ROWS = source("r", 2, 5)
PLANES = source("p", 2, 5, 3, 4)
SEQUENCE = source("s", 4, 3, 5) + source("t", 4, 3)
LABELS = source("many", 2, 3, 4)
RECURRENT = "recurrent_param { num_output: 2 }"
EXPOSED = "recurrent_param { num_output: 2 expose_hidden: true }"


def conv(options, kind="Convolution", bottoms="data", tops="x"):
    return layer(kind, f"convolution_param {{ {options} }}", bottoms, tops)


def pool(options, tops="x"):
    return layer("Pooling", f"pooling_param {{ {options} }}", tops=tops)


def reshaped(options, dims=(), bottoms="data"):
    shape = " ".join(f"dim: {dim}" for dim in dims)
    return layer("Reshape", f"reshape_param {{ {options} shape {{ {shape} }} }}", bottoms)


WINDOWS = [
    conv("num_output: 4 kernel_size: 3 stride: 2 pad: 1 group: 2"),
    conv("num_output: 4 kernel_h: 1 kernel_w: 5 pad_h: 0 pad_w: 2 stride: 2"),
    conv("num_output: 4 kernel_size: 3 dilation: 2 bias_term: false"),
    conv("num_output: 4 kernel_size: 3 kernel_size: 2 stride: 2 stride: 1 pad: 0 pad: 1 dilation: 1 dilation: 3"),
    conv("num_output: 4 kernel_size: 3 pad_h: 1"),
    conv("num_output: 4 kernel_size: 3 axis: -3"),
    conv("num_output: 4 kernel_size: 3 axis: 0"),
    conv("num_output: 4 kernel_size: 12 stride: 4"),
    conv("num_output: 4 kernel_size: 3", bottoms="data data", tops="x y"),
    ROWS + conv("num_output: 4 kernel_size: 3", bottoms="r"),
    VOLUME + conv("num_output: 3 kernel_size: 3", bottoms="v"),
    conv("num_output: 4 kernel_size: 4 stride: 2 pad: 1 group: 2", "Deconvolution"),
    conv("num_output: 4 kernel_size: 2 stride: 3 dilation: 2 bias_term: false", "Deconvolution"),
    conv("num_output: 4 kernel_size: 2", "Deconvolution", "data data", "x y"),
    conv("kernel_size: 3 stride: 2 pad: 1", "Im2col"),
    conv("kernel_size: 2 dilation: 3", "Im2col"),
    VOLUME + conv("kernel_size: 2 axis: 2", "Im2col", "v"),
    pool("kernel_size: 3 stride: 2 pad: 1"),
    pool("kernel_size: 2 stride: 2 pool: AVE"),
    pool("kernel_h: 3 kernel_w: 2 stride_h: 3 stride_w: 2"),
    pool("kernel_size: 10 stride: 2"),
    pool("kernel_size: 11 stride: 3"),
    pool("kernel_h: 3 kernel_w: 1 pad_h: 1 pad_w: 0 stride_h: 1 stride_w: 5"),
    pool("kernel_size: 2 stride: 2 round_mode: FLOOR"),
    pool("kernel_size: 2 stride: 2", "x y"),
    pool("global_pooling: true pool: AVE"),
    layer("SPP", "spp_param { pyramid_height: 1 }"),
    layer("SPP", "spp_param { pyramid_height: 3 }"),
    layer("SPP", "spp_param { pyramid_height: 2 pool: AVE }"),
]
LEARNED = [
    layer("InnerProduct", "inner_product_param { num_output: 5 }"),
    layer("InnerProduct", "inner_product_param { num_output: 5 axis: 2 bias_term: false }"),
    layer("InnerProduct", "inner_product_param { num_output: 5 transpose: true axis: -1 }"),
    layer("InnerProduct", "inner_product_param { num_output: 5 axis: 0 }"),
    layer("Embed", "embed_param { input_dim: 9 num_output: 4 }", "label"),
    layer("Embed", "embed_param { input_dim: 9 num_output: 4 bias_term: false }", "label"),
    layer("BatchNorm"),
    ROWS + layer("BatchNorm", "", "r"),
    layer("Scale"),
    layer("Scale", "scale_param { bias_term: true axis: 1 num_axes: 2 }"),
    layer("Scale", "scale_param { axis: 0 num_axes: -1 }"),
    layer("Scale", "scale_param { num_axes: 0 }"),
    source("f", 6) + layer("Scale", "", "data f"),
    source("f", 6, 9) + layer("Scale", "scale_param { bias_term: true }", "data f"),
    SCALAR + layer("Scale", "scale_param { axis: 9 }", "data scalar"),
    layer("Bias"),
    layer("Bias", "bias_param { axis: -2 num_axes: -1 }"),
    source("f", 11) + layer("Bias", "bias_param { axis: 3 }", "data f"),
    layer("PReLU") + layer("PReLU", "prelu_param { channel_shared: true }", tops="y", name="shared"),
    layer("Parameter", "parameter_param { shape { dim: 3 dim: 4 } }", ""),
    layer("Parameter", "", ""),
]
OVER_TIME = [
    SEQUENCE + layer("LSTM", RECURRENT, "s t"),
    SEQUENCE + source("z", 3, 7) + layer("LSTM", RECURRENT, "s t z"),
    SEQUENCE + source("h", 1, 3, 2) + source("c", 1, 3, 2) + layer("LSTM", EXPOSED, "s t h c", "x y z"),
    SEQUENCE + source("z", 3, 7, 2) + source("h", 1, 3, 2) + layer("LSTM", EXPOSED, "s t z h h", "x y w"),
    source("s", 2, 3, 4, 5) + source("t", 2, 3) + layer("LSTM", RECURRENT, "s t"),
    SEQUENCE + layer("RNN", RECURRENT, "s t"),
    SEQUENCE + source("z", 3, 7) + layer("RNN", RECURRENT, "s t z"),
    SEQUENCE + source("h", 1, 3, 2) + layer("RNN", EXPOSED, "s t h", "x y"),
    SEQUENCE + source("z", 3, 7) + source("h", 1, 3, 2) + layer("RNN", EXPOSED, "s t z h", "x y"),
    source("c", 1, 3, 4) + source("g", 1, 3, 16) + source("t", 1, 3) + layer("LSTMUnit", "", "c g t", "x y"),
]
REARRANGED = [
    layer("Concat", "", "data data") + layer("Flatten", "flatten_param { axis: 1 end_axis: 2 }", "x", "y"),
    layer("Concat", "concat_param { axis: -1 }", "data data"),
    layer("Concat", "concat_param { concat_dim: 0 }", "data data data"),
    layer("Concat"),
    layer("Flatten", "flatten_param { axis: 2 end_axis: 1 }"),
    layer("Flatten", "flatten_param { axis: -2 }"),
    layer("Slice", "", tops="x y z"),
    layer("Slice", "slice_param { axis: -1 slice_point: 3 slice_point: 4 }", tops="x y z"),
    layer("Slice", "slice_param { slice_dim: 0 }", tops="x y"),
    layer("Slice"),
    reshaped("", (0, -1)),
    reshaped("", (2, 0, -1, 3)),
    reshaped("axis: 1 num_axes: 2", (3, -1)),
    reshaped("axis: -1", (1, 1)),
    reshaped("axis: -2", (11, 1, 1)),
    reshaped("axis: -2 num_axes: 0", (1,)),
    reshaped("axis: 1 num_axes: 0"),
    reshaped("axis: 1", (-1,)),
    layer("Tile", "tile_param { tiles: 3 }"),
    layer("Tile", "tile_param { tiles: 2 axis: -1 }"),
    source("i", 5) + layer("BatchReindex", "", "data i"),
    source("c", 2, 6, 5, 4) + layer("Crop", "crop_param { offset: 2 }", "data c"),
    source("c", 1, 2, 5, 4) + layer("Crop", "crop_param { axis: 0 offset: 1 offset: 2 offset: 4 offset: 7 }", "data c"),
    source("c", 9, 9, 5, 4, 3) + layer("Crop", "crop_param { axis: -1 }", "data c"),
    layer("Permute", "permute_param { order: 0 order: 2 }"),
    layer("Split", "", tops="x y z") + layer("Silence", "", "x y z", ""),
]
COMPUTED = [
    layer("Eltwise", "", "data data") + layer("LRN", "", "x", "y") + layer("Softmax", "", "y", "z"),
    layer("Eltwise", "eltwise_param { coeff: 1 coeff: -1 }", "data data"),
    layer("LRN", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }"),
    layer("Softmax", "softmax_param { axis: -1 }"),
    layer("ReLU", "", "data", "data") + layer("Dropout", "", "data", "x") + layer("Power", "", "x", "y"),
    *(layer(kind) for kind in ("AbsVal", "BNLL", "ELU", "Exp", "Log", "Sigmoid", "Swish", "TanH", "Threshold")),
    layer("Exp", "exp_param { base: 1 }") + layer("Log", "log_param { base: 0.5 }", "x", "y"),
    layer("Clip", "clip_param { min: 0 max: 1 }"),
    layer("MVN"),
    ROWS + layer("MVN", "", "r"),
    layer("Reverse", "reverse_param { axis: 1 }"),
    layer("Reduction"),
    layer("Reduction", "reduction_param { axis: 2 }"),
    layer("Reduction", "reduction_param { axis: -1 operation: ASUM }"),
    layer("ArgMax"),
    layer("ArgMax", "argmax_param { top_k: 3 out_max_val: true }"),
    layer("ArgMax", "argmax_param { top_k: 2 axis: -2 }"),
    layer("ArgMax", "argmax_param { out_max_val: true axis: 1 }"),
    layer("ArgMax", "", "label"),
    VOLUME + layer("ArgMax", "", "v"),
]
LOSSES = [
    ROWS + layer("SoftmaxWithLoss", "", "r label") + layer("Accuracy", "accuracy_param { top_k: 2 }", "r label", "a b"),
    PLANES + LABELS.replace("dim: 3 dim: 4", "dim: 1 dim: 3 dim: 4") + layer("SoftmaxWithLoss", "", "p many"),
    PLANES
    + source("l", 2, 5, 4)
    + layer("SoftmaxWithLoss", "softmax_param { axis: 2 }", "p l")
    + layer("Accuracy", "accuracy_param { axis: -2 }", "p l", "a"),
    PLANES + LABELS + layer("Accuracy", "", "p many", "x y"),
    ROWS + source("h", 5, 5) + layer("InfogainLoss", "", "r label h"),
    ROWS + source("h", 1, 1, 5, 5) + layer("InfogainLoss", "loss_weight: 1 loss_weight: 0", "r label h", "x y"),
    ROWS + layer("EuclideanLoss", "loss_weight: 3", "r r"),
    ROWS + source("q", 2, 1, 5) + layer("EuclideanLoss", "", "r q"),
    ROWS + layer("HingeLoss", "", "r label"),
    ROWS + layer("MultinomialLogisticLoss", "", "r label"),
    ROWS + source("q", 2, 5, 1) + layer("SigmoidCrossEntropyLoss", "", "r q"),
    ROWS + layer("ContrastiveLoss", "", "r r label"),
    ROWS + source("q", 2, 5, 1, 1) + layer("ContrastiveLoss", "", "r q label"),
]
SOURCES = [
    layer("DummyData", "dummy_data_param { shape { dim: 3 dim: 4 } }", "", "x y"),
    layer("DummyData", "dummy_data_param { shape { dim: 3 } shape { dim: 4 dim: 1 } }", "", "x y"),
    layer("DummyData", "dummy_data_param { num: 1 channels: 2 channels: 3 height: 4 width: 5 }", "", "x y"),
    layer("MemoryData", "memory_data_param { batch_size: 2 channels: 1 height: 4 width: 5 }", "", "x y"),
    layer("Input", "input_param { shape { dim: 3 } shape { dim: 4 dim: 1 } }", "", "x y"),
    layer("Input", "input_param { shape { dim: 3 } }", "", "x y"),
]


@pytest.mark.parametrize(
    "layers", [*WINDOWS, *LEARNED, *OVER_TIME, *REARRANGED, *COMPUTED, *LOSSES, *SOURCES], ids=lambda text: text[-70:]
)
def test_each_layer_type_as_in_caffe(caffe, layers):
    text = INPUT + LABEL + layers
    built = engine(caffe, text)
    assert not isinstance(built, str), built
    require_same(text, built)


def test_data_files_as_in_caffe(caffe, tmp_path):
    from PIL import Image

    Image.new("RGB", (8, 7)).save(tmp_path / "a.png")
    (tmp_path / "list").write_text(f"{tmp_path / 'a.png'} 1\n")
    (tmp_path / "windows").write_text(f"# 0\n{tmp_path / 'a.png'}\n3\n7\n8\n2\n1 0.9 0 0 4 4\n0 0.1 0 0 4 4\n")
    images = f'image_data_param {{ source: "{tmp_path}/list" batch_size: 3 %s }} %s'
    windows = f'window_data_param {{ source: "{tmp_path}/windows" batch_size: 3 }}'
    for text in (
        layer("ImageData", images % ("new_height: 4 new_width: 5", ""), "", "x y"),
        layer("ImageData", images % ("is_color: false", "transform_param { crop_size: 4 }"), "", "x y"),
        layer("WindowData", windows + " transform_param { crop_size: 4 }", "", "x y"),
    ):
        require_same(text, engine(caffe, text))


def test_output_and_filter_as_in_caffe(caffe, tmp_path):
    output = layer("HDF5Output", f'hdf5_output_param {{ file_name: "{tmp_path}/o.h5" }}', "data label", "")
    require_same(INPUT + LABEL + output, engine(caffe, INPUT + LABEL + output))
