"""The quick reader against protobuf's own: what it takes it takes alike, the rest it leaves."""

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from netbuild.proto.lines import read_lines
from netbuild.schema import schema


def both(text):
    """What protobuf reads (None: refused), and what the quick reader reads (None: left)."""
    quick = schema().NetParameter()
    taken = read_lines(text, quick)
    try:
        slow = text_format.Parse(text, schema().NetParameter())
    except text_format.ParseError:
        slow = None
    return slow, quick if taken else None


@pytest.mark.parametrize("name", ["lenet_fusion_train_val.prototxt", "lenet_odd_train_val.prototxt"])
def test_the_recipes_nets_are_read_quickly_and_alike(recipe, name):
    slow, quick = both((recipe / name).read_text())
    assert quick is not None
    assert quick == slow


numbers = st.one_of(
    st.integers(-5, 5).map(str), st.floats(allow_nan=False).map(str), st.sampled_from(["0x10", "010", "1f"])
)
words = st.sampled_from(
    ["MAX", "TRAIN", "true", "false", "True", "t", "1", "nan", "inf", '"a/b"', "'x'", '"\\n"', '"a" "b"']
)
names = st.sampled_from(
    [
        "name",
        "layer",
        "top",
        "bottom",
        "type",
        "include",
        "phase",
        "param",
        "lr_mult",
        "convolution_param",
        "num_output",
        "kernel_size",
        "pool",
        "pooling_param",
        "bias_term",
        "blobs",
        "data",
        "shape",
        "dim",
        "force_backward",
        "input_dim",
        "weight_filler",
        "unknown",
        "python_param",
    ]
)
lines = st.one_of(
    st.builds("{}: {}".format, names, st.one_of(numbers, words)),
    st.builds("{} {{".format, names),
    st.builds("{}: {{".format, names),
    st.builds("{} {{ {}: {} }}".format, names, names, numbers),
    st.sampled_from(["}", "", "# comment", "  }", "};", "layer <", ">"]),
)


@given(st.lists(lines, max_size=12))
def test_what_is_read_quickly_is_read_alike(text):
    slow, quick = both("\n".join(text))
    if quick is not None:
        assert slow is not None
        assert quick.SerializePartialToString() == slow.SerializePartialToString()


@given(st.data())
def test_messages_as_protobuf_prints_them_are_read_alike(data):
    net = schema().NetParameter(name=data.draw(st.text(max_size=5)))
    for _ in range(data.draw(st.integers(0, 3))):
        layer = net.layer.add(name=data.draw(st.text(max_size=5)), type="Convolution")
        layer.param.add(lr_mult=data.draw(st.floats(width=32, allow_nan=False)))
        layer.convolution_param.kernel_size.extend(data.draw(st.lists(st.integers(0, 2**32 - 1), max_size=2)))
        layer.convolution_param.bias_term = data.draw(st.booleans())
        layer.phase = data.draw(st.integers(0, 1))
    text = text_format.MessageToString(net)
    slow, quick = both(text)
    assert slow == net
    if quick is not None:
        assert quick == net


@pytest.mark.parametrize(
    "text",
    [
        'name: "a"\nname: "b"',
        "layer {",
        "}",
        'name: "x" # why',
        "layer { name: 'x' }",
        'unknown: "x"',
        "force_backward: 1",
    ],
)
def test_what_is_unusual_or_wrong_is_left_to_protobuf(text):
    assert both(text)[1] is None
