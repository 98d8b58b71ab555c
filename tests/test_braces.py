"""Braces that do not pair: protobuf's own parser says that the text is wrong, and the place is counted by hand."""

import pytest
from google.protobuf import text_format

from netbuild import GraphError
from netbuild.proto.braces import fault_before
from netbuild.proto.text import parse
from netbuild.schema import schema

TWO = """layer {
  name: "a"
  type: "Convolution"
  convolution_param { num_output: 1
    weight_filler { type: "xavier" }
  }
}
layer {
  name: "b"  # a } in a comment, and below one in a string
  type: "ReLU}"
}
"""


def without_line(text, number):
    lines = text.splitlines(keepends=True)
    return "".join([*lines[: number - 1], "\n", *lines[number:]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (without_line(TWO, 7), "the layer of line 1 is not closed: a '}' is missing before line 8"),
        (without_line(TWO, 6), "the layer of line 1 is not closed: a '}' is missing before line 8"),
        (without_line(TWO, 11), "'layer' of line 8 is not closed: a '}' is missing"),
        (TWO.replace("  }\n}\nlayer", "layer"), "'convolution_param' of line 4 is not closed: a '}' is missing"),
        (TWO.replace('"xavier" }', '"xavier" } }'), "the '}' of line 7 closes nothing: it is one too many"),
        # As many as there should be, in the wrong places.
        (without_line(TWO, 7) + "}\n", "the layer of line 1 is not closed: a '}' is missing before line 8"),
    ],
)
def test_the_place_is_named(text, words):
    with pytest.raises(text_format.ParseError):
        text_format.Parse(text, schema().NetParameter())
    with pytest.raises(GraphError) as refused:
        parse(text, schema().NetParameter(), "net 'x'")
    assert str(refused.value) == f"net 'x': {words}"


def test_another_fault_comes_first():
    """What stops the parser before the brace is what it says."""
    text = without_line(TWO.replace('name: "a"', 'name "a"'), 11)
    with pytest.raises(GraphError, match=r"^x: 2:\d+ : "):
        parse(text, schema().NetParameter(), "x")


def test_where_all_pair_nothing_is_said():
    assert fault_before(TWO, "1:1 : wrong") is None
    assert fault_before('name: "not closed', "1:7 : wrong") is None
