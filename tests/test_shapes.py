"""Shapes against real Caffe: every blob and every parameter of each net here."""

import os

import pytest
from google.protobuf import text_format

from netbuild import DataSource, Fusion, emit_files, proto
from netbuild._caffe import TEST, TRAIN, schema
from netbuild.branches.lenet import MNIST, lenet
from netbuild.branches.resnet import IMAGENET, resnet50
from netbuild.errors import GraphError
from netbuild.shapes import infer, parameter_shapes

INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 6 dim: 9 dim: 11 } } }'
LABEL = 'layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }'


def layer(kind, options="", bottoms="data", tops="x"):
    named = "".join(f' bottom: "{name}"' for name in bottoms.split()) + "".join(f' top: "{n}"' for n in tops.split())
    return f'layer {{ name: "{kind}" type: "{kind}"{named} {options} }}'


def net(text):
    return text_format.Parse(text, schema().NetParameter())


def require_as_caffe(caffe, path, phase=TEST):
    message = proto.read_net(path)
    loaded = caffe.Net(os.fspath(path), phase)
    found = infer(message, phase)
    for name, blob in loaded.blobs.items():
        if "split" not in name:
            assert found.blobs[name] == blob.data.shape, name
    for index, item in proto.of_phase(message, phase):
        expected = [blob.data.shape for blob in loaded.params.get(item.name, [])]
        assert found.params[index] == expected, item.name


@pytest.mark.parametrize(
    "layers",
    [
        layer("Convolution", "convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1 group: 2 }"),
        layer("Convolution", "convolution_param { num_output: 4 kernel_h: 1 kernel_w: 5 pad_h: 0 pad_w: 2 stride: 2 }"),
        layer("Convolution", "convolution_param { num_output: 4 kernel_size: 3 dilation: 2 bias_term: false }"),
        layer("Deconvolution", "convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 group: 2 }"),
        layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }"),
        layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 pool: AVE }"),
        layer("Pooling", "pooling_param { kernel_h: 3 kernel_w: 2 stride_h: 3 stride_w: 2 }"),
        layer("Pooling", "pooling_param { kernel_size: 10 stride: 2 }"),
        layer("Pooling", "pooling_param { kernel_h: 3 kernel_w: 1 pad_h: 1 pad_w: 0 stride_h: 1 stride_w: 5 }"),
        layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 round_mode: FLOOR }"),
        layer("Pooling", "pooling_param { global_pooling: true pool: AVE }"),
        layer("InnerProduct", "inner_product_param { num_output: 5 }"),
        layer("InnerProduct", "inner_product_param { num_output: 5 axis: 2 bias_term: false }"),
        layer("InnerProduct", "inner_product_param { num_output: 5 transpose: true axis: -1 }"),
        'layer { name: "v" type: "Input" top: "v" input_param { shape { dim: 1 dim: 2 dim: 5 dim: 6 dim: 7 } } }'
        + layer("Convolution", "convolution_param { num_output: 3 kernel_size: 3 }", "v"),
        layer("Embed", "embed_param { input_dim: 9 num_output: 4 }", "label"),
        layer("Parameter", "parameter_param { shape { dim: 3 dim: 4 } }", ""),
        layer("BatchNorm"),
        layer("Scale"),
        layer("Scale", "scale_param { bias_term: true axis: 1 num_axes: 2 }"),
        layer("Scale", "scale_param { axis: 0 num_axes: -1 }"),
        layer("Bias"),
        layer("PReLU")
        + layer("PReLU", "prelu_param { channel_shared: true }", tops="y").replace('name: "', 'name: "2'),
        layer("Concat", "", "data data", "x") + layer("Flatten", "flatten_param { axis: 1 end_axis: 2 }", "x", "y"),
        layer("Eltwise", "", "data data", "x") + layer("LRN", "", "x", "y") + layer("Softmax", "", "y", "z"),
        layer("ReLU", "", "data", "data") + layer("Dropout", "", "data", "x") + layer("Power", "", "x", "y"),
        layer("Split", "", "data", "x y z") + layer("Silence", "", "x y z", ""),
        layer("InnerProduct", "inner_product_param { num_output: 5 }")
        + layer("SoftmaxWithLoss", "", "x label", "l")
        + layer("Accuracy", "", "x label", "a"),
        layer("InnerProduct", "inner_product_param { num_output: 5 }") + layer("EuclideanLoss", "", "x x", "l"),
        layer("DummyData", "dummy_data_param { shape { dim: 3 dim: 4 } }", "", "x y"),
        layer("MemoryData", "memory_data_param { batch_size: 2 channels: 1 height: 4 width: 5 }", "", "x y"),
    ],
)
def test_each_layer_type_as_in_caffe(caffe, tmp_path, layers):
    (tmp_path / "n.prototxt").write_text(INPUT + LABEL + layers)
    require_as_caffe(caffe, tmp_path / "n.prototxt")


@pytest.mark.parametrize(("builder", "images"), [(lenet, MNIST), (resnet50, IMAGENET)])
def test_whole_nets_as_in_caffe(caffe, tmp_path, builder, images):
    source = DataSource(images, kind="input", train_batch=2, test_batch=1)
    emit_files(Fusion({"a": builder, "b": builder}, 7), source, tmp_path)
    require_as_caffe(caffe, tmp_path / "deploy.prototxt")
    require_as_caffe(caffe, tmp_path / "train_val.prototxt", TRAIN)


def test_what_the_definition_does_not_tell_stays_open():
    data = 'layer { name: "d" type: "ImageData" top: "data" top: "label" image_data_param { batch_size: 5 %s } %s }'
    tail = layer("Convolution", "convolution_param { num_output: 4 kernel_size: 3 }") + layer(
        "InnerProduct", "inner_product_param { num_output: 2 }", "x", "y"
    )
    found = infer(net(data % ("is_color: false", "") + tail), TEST)
    assert found.blobs["data"] == (5, 1, None, None)
    assert found.blobs["x"] == (5, 4, None, None)
    assert found.params == {0: [], 1: [(4, 1, 3, 3), (4,)], 2: [(2, None), (2,)]}
    cropped = infer(net(data % ("", "transform_param { crop_size: 8 }") + tail), TEST)
    assert cropped.params[2] == [(2, 4 * 6 * 6), (2,)]
    resized = infer(net(data % ("new_height: 8 new_width: 6", "") + tail), TEST)
    assert resized.params[2] == [(2, 4 * 6 * 4), (2,)]
    given = infer(net(data % ("", "") + tail), TEST, {"data": (1, 3, 8, 8)})
    assert given.params[2] == [(2, 144), (2,)]


def test_an_unknown_layer_type_leaves_what_follows_open():
    found = infer(net(INPUT + layer("Mystery") + layer("BatchNorm", "", "x", "y")), TEST)
    assert found.params == {0: [], 1: None, 2: [(None,), (None,), (1,)]}
    assert found.blobs["y"] is None


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        (
            layer("Convolution", "convolution_param { num_output: 4 kernel_size: 12 }"),
            "12 x 12 is larger",
        ),
        (layer("Convolution", "convolution_param { num_output: 4 kernel_size: 1 group: 4 }"), "cannot be split into 4"),
        (layer("Pooling", "pooling_param { kernel_size: 20 }"), "window of 20 is larger"),
        (layer("Flatten", "flatten_param { axis: 7 }"), "axis 7 is out of range"),
        (layer("Concat", "", "data label"), "same number of axes.*data \\(2, 6, 9, 11\\), label \\(2\\)"),
        (layer("Concat", "concat_param { axis: 2 }", "data z"), "agree on every axis but 2"),
        (layer("Eltwise", "", "data z"), "same shape"),
        (layer("Pooling", "pooling_param { kernel_size: 2 }", "label"), "4 axes"),
        (layer("ReLU", "", ""), "layer 'ReLU' .ReLU.: has no bottom"),
        (layer("Convolution", "convolution_param { num_output: 4 }"), "kernel_size must be given, and at least 1"),
        (layer("Convolution", "convolution_param { num_output: 4 kernel_size: 1 stride: 0 }"), "stride must be given"),
        (layer("Convolution", "convolution_param { num_output: 4 kernel_size: 1 group: 0 }"), "group must be given"),
        (layer("InnerProduct"), "num_output must be given"),
        (layer("Pooling", "pooling_param { kernel_size: 2 stride: 0 }"), "stride must be given"),
        (layer("PReLU", "", "label"), "axis 1 is out of range"),
        (layer("Scale", "scale_param { num_axes: 9 }"), "num_axes 9 from axis 1 is out of range"),
    ],
)
def test_shapes_that_do_not_fit_are_told_with_layer_and_bottoms(layers, reason):
    other = INPUT.replace('"data"', '"z"').replace("dim: 6", "dim: 7")
    with pytest.raises(GraphError, match=reason):
        infer(net(INPUT + LABEL + other + layers), TEST)


def test_parameters_of_both_phases():
    text = INPUT + layer("BatchNorm", "include { phase: TRAIN }") + layer("PReLU", "include { phase: TEST }", tops="y")
    assert parameter_shapes(net(text)) == [[], [(6,), (6,), (1,)], [(6,)]]
