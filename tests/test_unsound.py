"""Nets that are not sound, or of which little is known: what looks at a net ends in its answer or in a sentence."""

import contextlib
import tracemalloc

import pytest
from commands import invoke
from hypothesis import given
from hypothesis import strategies as st
from nets import conv, data, fc, layer, net, relu

from netbuild import differences, summarize
from netbuild.errors import NetbuildError
from netbuild.schema import TEST, TRAIN
from netbuild.show.drawing import dot

IMAGES = 'layer { name: "i" type: "ImageData" top: "data" top: "label" image_data_param { %s } }\n'
UNKNOWN = layer("i", "HDF5Data", tops="data", more='hdf5_data_param { source: "x" batch_size: 2 }')
LITTLE = {
    "images without a list": IMAGES % "batch_size: 2" + relu("r", "data"),
    "images without a batch": IMAGES % "" + relu("r", "data"),
    "NUL in a list's name": IMAGES % r'batch_size: 2 source: "a\000b"' + relu("r", "data"),
    "a list that is a device": IMAGES % 'batch_size: 2 source: "/dev/zero"' + relu("r", "data"),
    "images without tops": 'layer { name: "i" type: "ImageData" }',
    "only a type": 'layer { type: "DummyData" }',
    "nothing": 'name: "nothing"',
    "no bottom": 'layer { name: "c" type: "Convolution" top: "c" convolution_param { num_output: 2 kernel_size: 3 } }',
    "no bottom and no top": 'layer { name: "c" type: "Convolution" convolution_param { num_output: 2 kernel_size: 3 } }',
    "input without shape": layer("data", "Input") + conv("c", "data"),
    "input of no axes": data(shape=()) + relu("r", "data"),
    "legacy input without shape": 'input: "data"\n' + conv("c", "data"),
    "one name": data() + fc("a", "data") + fc("a", "a"),
    "a layer of a phase that nothing feeds": data() + layer("r", "ReLU", "data", more="include { phase: TRAIN }"),
}


@pytest.mark.parametrize("kind", LITTLE)
def test_what_looks_at_a_net_ends_in_words(in_tmp, kind):
    (in_tmp / "n.prototxt").write_text(LITTLE[kind])
    (in_tmp / "other.prototxt").write_text(data() + relu("r", "data"))
    for words in (
        ["summary", "n.prototxt"],
        ["summary", "n.prototxt", "--json"],
        ["draw", "n.prototxt", "-o", "n.dot"],
        ["draw", "n.prototxt", "-o", "n.dot", "--collapse", "--phase", "train"],
        ["draw", "n.prototxt", "-o", "n.dot", "--collapse", "--phase", "test"],
        ["diff", "n.prototxt", "other.prototxt"],
        ["diff", "other.prototxt", "n.prototxt"],
    ):
        said = said_by(*words)
        assert said.strip()
        assert "please report it" not in said, (words, said)


def said_by(*words):
    try:
        return invoke(*words).output
    except AssertionError:
        return invoke(*words, code=1).output


@pytest.mark.parametrize(
    "options",
    [
        ("InnerProduct", "inner_product_param { num_output: 2 axis: 2147483647 }"),
        ("Reduction", "reduction_param { axis: 2147483647 }"),
        ("Scale", "scale_param { num_axes: 2147483647 }"),
        ("Bias", "bias_param { num_axes: 2147483647 }"),
        ("Convolution", "convolution_param { num_output: 2 kernel_h: 3 kernel_w: 3 axis: 1073741824 }"),
    ],
)
def test_no_axis_is_beyond_what_caffes_blobs_have(options):
    """32 axes (kMaxBlobAxes); a list of as many lengths as such an axis asks for would take gigabytes."""
    tracemalloc.start()
    try:
        found = summarize(net(UNKNOWN + layer("x", options[0], "data", more=options[1])))
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()
    assert "Caffe takes at most 32" in found.faults[0]
    ten = options[1].replace("2147483647", "10").replace("1073741824", "10")
    assert summarize(net(UNKNOWN + layer("x", options[0], "data", more=ten))).faults == ()


def test_a_pyramid_of_more_levels_than_an_int_has_bits():
    text = UNKNOWN + layer("x", "SPP", "data", more="spp_param { pyramid_height: %d }")
    assert "pyramid_height is more than 2147483647" in summarize(net(text % 4294967295)).faults[0]
    assert "pyramid_height 17 is too much" in summarize(net(text % 17)).faults[0]
    assert summarize(net(text % 3)).faults == ()


KINDS = [
    "Input",
    "ImageData",
    "DummyData",
    "HDF5Data",
    "Convolution",
    "Deconvolution",
    "InnerProduct",
    "Pooling",
    "LRN",
]
KINDS += [
    "Eltwise",
    "Concat",
    "Slice",
    "Scale",
    "BatchNorm",
    "ReLU",
    "LSTM",
    "Softmax",
    "SoftmaxWithLoss",
    "Python",
    "X",
]
BLOBS = ["data", "a", "p/a", "q/a"]


@st.composite
def anything(draw):
    """Layers of any kind on any blobs, named and wired without regard to what can be."""
    message = net("")
    for _ in range(draw(st.integers(0, 5))):
        one = message.layer.add(name=draw(st.sampled_from([*BLOBS, "", "b", "c"])), type=draw(st.sampled_from(KINDS)))
        one.bottom.extend(draw(st.lists(st.sampled_from(BLOBS), max_size=3)))
        one.top.extend(draw(st.lists(st.sampled_from([*BLOBS, ""]), max_size=3)))
        one.loss_weight.extend(draw(st.lists(st.just(1.0), max_size=1)))
        if draw(st.booleans()):
            one.include.add(phase=draw(st.sampled_from([TRAIN, TEST])))
        if one.type == "Input":
            shape = draw(st.lists(st.sampled_from([0, 1, 2, 8, -1, 2**31]), max_size=5))
            one.input_param.shape.add(dim=shape)
        one.convolution_param.num_output, one.inner_product_param.num_output = 4, 4
        one.convolution_param.kernel_size.extend(draw(st.lists(st.integers(0, 3), max_size=3)))
        one.pooling_param.kernel_size = draw(st.integers(0, 3))
    return message


@given(anything(), anything(), st.booleans(), st.sampled_from([None, TRAIN, TEST]))
def test_any_net_is_looked_at(one, other, collapse, phase):
    for look in (summarize, lambda message: dot(message, phase=phase, collapse=collapse)):
        with contextlib.suppress(NetbuildError):
            look(one)
    assert not differences(one, one).any
    found, reverse = differences(one, other), differences(other, one)
    assert found.any == reverse.any
