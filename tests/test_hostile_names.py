"""Names out of other people's files: whatever a command prints of them cannot command a terminal or forge a line."""

import pytest
from commands import invoke

from netbuild.errors import did_you_mean, printable, some

NAME = "x\x1b[31m\x07\x00\u202e\nforged: bit-equal"
TEXT = r"x\033[31m\007\000\342\200\256\nforged: bit-equal"
"""The same name as prototxt writes it."""
NET = """
name: "NAME"
layer { name: "input" type: "Input" top: "dataNAME" input_param { shape { dim: 1 dim: 1 dim: 6 dim: 6 } } }
layer { name: "convNAME" type: "Convolution" bottom: "dataNAME" top: "convNAME"
        convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "ipNAME" type: "InnerProduct" bottom: "convNAME" top: "ipNAME" inner_product_param { num_output: COUNT } }
layer { name: "oddNAME" type: "OddNAME" bottom: "ipNAME" top: "oddNAME" }
layer { name: "smNAME" type: "Softmax" bottom: "ipNAME" top: "smNAME" }
"""
BAD = (
    NET
    + """
layer { name: "ipNAME" type: "InnerProduct" bottom: "nothingNAME" top: "ipNAME" inner_product_param { num_output: 1 } }
layer { name: "fcNAME" type: "InnerProduct" bottom: "ipNAME" top: "fcNAME" param { name: "pNAME" } }
"""
)


@pytest.fixture()
def hostile(in_tmp, pb):
    """net, other and bad .prototxt, and net.caffemodel, whose names are all hostile."""
    for name, text, count in (("net", NET, 2), ("other", NET, 3), ("bad", BAD, 2)):
        (in_tmp / f"{name}.prototxt").write_text(text.replace("NAME", TEXT).replace("COUNT", str(count)))
    model = pb.NetParameter(name=NAME)
    model.layer.add(name=f"conv{NAME}", type="Convolution").blobs.add(data=[0.0] * 18).shape.dim[:] = [2, 1, 3, 3]
    model.layer.add(name=f"more{NAME}", type=f"Odd{NAME}").blobs.add(data=[float("nan")]).shape.dim[:] = [1]
    (in_tmp / "net.caffemodel").write_bytes(model.SerializeToString())
    return in_tmp


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "summary net.prototxt"),
        (0, "summary net.prototxt --csv"),
        (0, "summary net.prototxt --json"),
        (1, "summary net.prototxt --shape nowhere=1,1,1,1"),
        (1, "diff net.prototxt other.prototxt"),
        (0, "check net.prototxt --seams"),
        (1, "check bad.prototxt"),
        (1, "emit bad.prototxt --classes 3 --data input -o out"),
        (1, "emit net.prototxt@nothing --classes 3 --data input -o out"),
        (1, "emit fusion --branch a=net.prototxt@nothing --branch b=net.prototxt --classes 3 --data input -o out"),
        (0, "weights net.caffemodel"),
        (1, "weights net.caffemodel --layer nothing"),
        (1, "fuse net.prototxt --weights =net.caffemodel -o init.caffemodel"),
        (1, "fuse net.prototxt --weights odd=net.caffemodel -o init.caffemodel"),
        (0, "convert net.caffemodel net.h5"),
        (1, "extract odd net.prototxt net.caffemodel -o out"),
    ],
)
def test_what_a_command_prints_of_hostile_names_is_harmless(hostile, code, words):
    output = invoke(*words.split(), code=code).output
    assert all(letter.isprintable() for letter in output.replace("\n", "")), repr(output)
    assert not any(line.startswith("forged") for line in output.splitlines()), output


def test_a_hostile_option_is_shown_escaped_too(hostile):
    output = invoke("summary", "net.prototxt", f"--none{NAME}", code=2).output
    assert all(letter.isprintable() for letter in output.replace("\n", "")), repr(output)


def test_printable_escapes_as_python_does_and_leaves_text_alone():
    assert printable(NAME) == r"x\x1b[31m\x07\x00\u202e\nforged: bit-equal"
    assert printable("größe/层 1") == "größe/层 1"
    assert "\x1b" not in some([NAME]) + did_you_mean("far", [NAME]) + did_you_mean("x", [NAME], "none")
