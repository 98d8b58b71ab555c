"""Shapes of whole nets against real Caffe, what stays open, and what is told of types not known here."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shape_nets import INPUT, LABEL, engine, layer, net, require_as_caffe, require_same, source

from netbuild import DataSource, Fusion, emit_files
from netbuild.branches.lenet import MNIST, lenet
from netbuild.branches.resnet import IMAGENET, resnet50
from netbuild.errors import GraphError
from netbuild.graph.view import NetView, parameter_shapes, views
from netbuild.layers import infer
from netbuild.layers.arity import arity
from netbuild.layers.table import TYPES, WITHOUT_ROW
from netbuild.schema import TEST, TRAIN

MYSTERY = layer("Mystery", "", "data", "m")


def misfits(text):
    return [fault.sentence for fault in NetView(net(text), TEST).misfits]


def test_every_type_of_this_caffe_has_a_row_or_a_reason_why_not(caffe):
    assert set(caffe.layer_type_list()) <= {*TYPES, *WITHOUT_ROW}
    assert not set(TYPES) & set(WITHOUT_ROW)
    everything = net("".join(layer(kind, "", "", "") for kind in TYPES))
    assert {item.type for item in everything.layer if arity(item) is None} == {"Python"}


@pytest.mark.parametrize(("builder", "images"), [(lenet, MNIST), (resnet50, IMAGENET)])
def test_whole_nets_as_in_caffe(caffe, tmp_path, builder, images):
    data = DataSource(images, kind="input", train_batch=2, test_batch=1)
    emit_files(Fusion({"a": builder, "b": builder}, 7), data, tmp_path)
    for name, phase in (("deploy", TEST), ("train_val", TRAIN)):
        require_as_caffe(caffe, tmp_path / f"{name}.prototxt", phase)


def numbers(text, *ranges):
    """Options with a number out of its range for each {}."""
    return st.tuples(*(st.integers(*limits) for limits in ranges)).map(lambda found: text.format(*found))


SMALL, AXIS, LENGTH = (1, 3), (-3, 3), (-1, 4)
LAYERS = st.one_of(
    st.tuples(
        st.just("Convolution"), numbers("num_output: {} kernel_size: {} stride: {} pad: {}", SMALL, *[SMALL] * 3)
    ),
    st.tuples(
        st.just("Convolution"), numbers("num_output: 2 kernel_h: {} kernel_w: {} group: {}", SMALL, SMALL, (1, 2))
    ),
    st.tuples(st.just("Convolution"), numbers("num_output: 2 kernel_size: 2 dilation: {} axis: {}", SMALL, AXIS)),
    st.tuples(st.just("Deconvolution"), numbers("num_output: {} kernel_size: {} stride: {}", *[SMALL] * 3)),
    st.tuples(st.just("Im2col"), numbers("kernel_size: {} stride: {} pad: {}", SMALL, SMALL, (0, 2))),
    st.tuples(st.just("Pooling"), numbers("kernel_size: {} stride: {} pad: {}", SMALL, SMALL, (0, 2))),
    st.tuples(st.just("Pooling"), st.just("global_pooling: true")),
    st.tuples(st.just("SPP"), numbers("pyramid_height: {}", SMALL)),
    st.tuples(st.just("InnerProduct"), numbers("num_output: {} axis: {}", SMALL, AXIS)),
    st.tuples(st.just("Flatten"), numbers("axis: {} end_axis: {}", AXIS, AXIS)),
    st.tuples(st.just("Reshape"), numbers("shape {{ dim: {} dim: {} dim: {} }}", LENGTH, LENGTH, LENGTH)),
    st.tuples(st.just("Reshape"), numbers("axis: {} num_axes: {} shape {{ dim: {} dim: -1 }}", AXIS, (-1, 2), (0, 3))),
    st.tuples(st.just("Reduction"), numbers("axis: {}", AXIS)),
    st.tuples(st.just("ArgMax"), numbers("top_k: {} axis: {}", SMALL, AXIS)),
    st.tuples(st.just("ArgMax"), numbers("top_k: {}", SMALL)),
    st.tuples(st.just("Tile"), numbers("tiles: {} axis: {}", (0, 2), AXIS)),
    st.tuples(st.just("Scale"), numbers("axis: {} num_axes: {} bias_term: true", AXIS, (-1, 2))),
    st.tuples(st.just("Bias"), numbers("axis: {} num_axes: {}", AXIS, (-1, 2))),
    st.tuples(st.just("Softmax"), numbers("axis: {}", AXIS)),
    st.tuples(st.sampled_from(["BatchNorm", "PReLU", "MVN", "LRN", "ReLU", "Exp"]), st.just("")),
)
PARAM = {
    "Convolution": "convolution_param",
    "Deconvolution": "convolution_param",
    "Im2col": "convolution_param",
    "InnerProduct": "inner_product_param",
    "ArgMax": "argmax_param",
}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 6), max_size=5), st.lists(LAYERS, min_size=1, max_size=4))
def test_chains_of_layers_as_in_caffe(caffe, lengths, chain):
    text = source("b0", *lengths)
    for index, (kind, chosen) in enumerate(chain):
        wrapped = f"{PARAM.get(kind, kind.lower() + '_param')} {{ {chosen} }}" if chosen else ""
        text += layer(kind, wrapped, f"b{index}", f"b{index + 1}", f"{kind}{index}")
    built = engine(caffe, text)
    assert isinstance(built, str) == bool(NetView(net(text), TEST).misfits), built
    if not isinstance(built, str):
        require_same(text, built)


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


def test_files_that_are_not_opened_leave_lengths_open():
    data = layer("Data", "data_param { batch_size: 5 } transform_param { crop_size: 7 }", "", "a b")
    hdf5 = layer("HDF5Data", "hdf5_data_param { batch_size: 5 }", "", "c d")
    python = layer("Python", "", "a", "e")
    found = infer(net(data + layer("Data", "", "", "f", "bare") + hdf5 + python), TEST)
    assert found.blobs == {"a": (5, None, 7, 7), "b": (5,), "f": (None,) * 4, "c": None, "d": None, "e": None}
    assert found.params == {0: [], 1: [], 2: [], 3: None}


def test_what_a_filter_lets_pass_is_known_only_in_a_forward_pass():
    found = infer(net(INPUT + LABEL + layer("Filter", "", "data label label", "x y")), TEST)
    assert (found.blobs["x"], found.blobs["y"]) == ((None, 6, 9, 11), (None,))


def test_one_kernel_size_tells_no_number_of_axes():
    # Nets on volumes have kernel_size: 3 too, and their data layers are often of an open shape.
    unknown = layer("HDF5Data", "", "", "d")
    sizes = {"kernel_size: 3": (None, None), "kernel_h: 3 kernel_w: 1": ((None, 4, None, None), (4, None, 3, 1))}
    sizes["kernel_size: 3 kernel_size: 2 kernel_size: 1"] = ((None, 4, None, None, None), (4, None, 3, 2, 1))
    for kernel, (top, weight) in sizes.items():
        found = infer(net(unknown + layer("Convolution", f"convolution_param {{ num_output: 4 {kernel} }}", "d")), TEST)
        assert (found.blobs["x"], found.params[1]) == (top, [weight, (4,)])


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("InnerProduct", "inner_product_param { num_output: 2 axis: 2147483647 }"),
        ("Reduction", "reduction_param { axis: 2147483647 }"),
        ("Scale", "scale_param { num_axes: 2147483647 }"),
        ("Bias", "bias_param { num_axes: 33 }"),
        ("Convolution", "convolution_param { num_output: 2 axis: 2147483647 kernel_h: 3 kernel_w: 3 }"),
        ("SPP", "spp_param { pyramid_height: 2147483647 }"),
    ],
)
def test_an_open_shape_takes_no_memory_to_speak_of(kind, options):
    found = misfits(layer("HDF5Data", "", "", "d") + layer(kind, options, "d"))
    assert len(found) == 1
    assert "Caffe takes at most 32" in found[0] or "pyramid_height 2147483647 is too much" in found[0]


def test_an_unknown_layer_type_leaves_what_follows_open():
    text = INPUT + MYSTERY + layer("BatchNorm", "", "m", "y")
    found = infer(net(text), TEST)
    assert found.params == {0: [], 1: None, 2: [(None,), (None,), (1,)]}
    assert found.blobs["y"] is None
    assert NetView(net(text + layer("Python", "", "y", "z")), TEST).unknown_types == {"Mystery": "Mystery"}


@pytest.mark.parametrize("given", ["m", "open"])
def test_open_shapes_pass_through_every_rule(given):
    needed = {
        "ArgMax": "argmax_param { top_k: 2 }",
        "Convolution": "convolution_param { num_output: 4 kernel_size: 3 pad: 1 }",
        "Deconvolution": "convolution_param { num_output: 4 kernel_size: 3 }",
        "Embed": "embed_param { num_output: 4 input_dim: 3 }",
        "Im2col": "convolution_param { kernel_size: 3 }",
        "InfogainLoss": 'infogain_loss_param { source: "h" }',
        "InnerProduct": "inner_product_param { num_output: 4 }",
        "LSTM": "recurrent_param { num_output: 2 }",
        "RNN": "recurrent_param { num_output: 2 }",
        "Pooling": "pooling_param { kernel_size: 3 pad: 1 }",
        "Reshape": "reshape_param { shape { dim: 0 dim: -1 dim: 3 } }",
        "SPP": "spp_param { pyramid_height: 3 }",
        "Tile": "tile_param { tiles: 2 }",
    }
    # Four axes, three for layers over time, all of unknown length.
    open_ = layer("Data", "", "", "image plain") + layer("Reduction", "reduction_param { axis: 3 }", "image", "seq")
    marks = layer("Reduction", "reduction_param { axis: 2 }", "image", "marks", "marks")
    special = {"LSTM": "seq marks", "RNN": "seq marks", "LSTMUnit": "seq seq marks", "BatchReindex": "image plain"}
    special["Filter"] = "image plain"
    for kind in TYPES:
        count = arity(net(layer(kind)).layer[0])
        if count is None or count.bottoms == (0, 0):
            continue
        bottoms = " ".join([given] * max(count.bottoms[0], 1))
        if given == "open":
            bottoms = special.get(kind, bottoms.replace("open", "image"))
        tops = "x" if kind == "Accuracy" else " ".join("xyz"[: count.tops[0] if count.tops[0] else count.tops[1] and 1])
        text = INPUT + MYSTERY + open_ + marks + layer(kind, needed.get(kind, ""), bottoms, tops)
        view = NetView(net(text), TEST)
        found, wrong = view.shapes, view.misfits
        assert not wrong, wrong
        assert found.params[5] is not None
        assert set(tops.split()) <= set(found.blobs)


def test_all_misfits_are_told_and_each_once():
    text = (
        INPUT
        + LABEL
        + layer("Convolution", "convolution_param { kernel_size: 3 }")
        + layer("Pooling", "pooling_param { kernel_size: 30 }", "x", "y")
        + layer("Eltwise", "", "y data", "z")
        + layer("Concat", "", "data label", "w")
    )
    found = misfits(text)
    assert [sentence.split(":")[0] for sentence in found] == [
        "layer 'Convolution' (Convolution)",
        "layer 'Concat' (Concat)",
    ]
    with pytest.raises(GraphError) as error:
        infer(net(text), TEST)
    assert str(error.value) == found[0]
    assert misfits(INPUT + layer("ReLU")) == []


def test_parameters_of_both_phases():
    text = INPUT + layer("BatchNorm", "include { phase: TRAIN }") + layer("PReLU", "include { phase: TEST }", tops="y")
    assert parameter_shapes(views(net(text), [TRAIN, TEST])) == [[], [(6,), (6,), (1,)], [(6,)]]
