"""Drawings: read back by Graphviz itself where it is there."""

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from commands import invoke
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nets import conv, data, fc, layer, net, nets, relu, small

from netbuild import BranchSpec, Fusion, build, lenet, proto, summarize
from netbuild.branches.table import find_builder
from netbuild.errors import NetbuildError
from netbuild.graph.feed import with_inputs
from netbuild.schema import TEST, TRAIN
from netbuild.show.drawing import dot, draw_net, svg
from netbuild.show.picture import picture

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz (dot) is not installed")


def fused(builder=lenet, size=(1, 28, 28), **parts):
    branches = {prefix: BranchSpec(builder, frozen=frozen) for prefix, frozen in parts.items()}
    return with_inputs(build(Fusion(branches, 10)).message, {"data": (2, *size), "label": (2,)})


def drawn(message, **options):
    """Return what Graphviz understands: nodes by their text, edges as (from, to, shape), frames by their text."""
    text = dot(message, phase=TRAIN, **options)
    found = json.loads(subprocess.run(["dot", "-Tjson"], input=text.encode(), capture_output=True, check=True).stdout)
    words = {
        one["_gvid"]: "".join(op["text"] + "\n" for op in one["_ldraw_"] if op["op"] == "T") for one in found["objects"]
    }
    nodes = {words[one["_gvid"]]: one for one in found["objects"] if "nodes" not in one and "subgraphs" not in one}
    frames = {
        words[one["_gvid"]].strip(): {words[node] for node in one["nodes"]}
        for one in found["objects"]
        if "nodes" in one
    }
    title = {number: text.split("\n")[0] for number, text in words.items()}
    edges = {(title[one["tail"]], title[one["head"]], one.get("label", "").strip()) for one in found["edges"]}
    return nodes, edges, frames


@needs_dot
def test_two_lenets():
    nodes, edges, frames = drawn(fused(odd=True, even=False))
    assert {text.split("\n")[0] for text in nodes} == {
        *("data", "label", "conv1", "pool1", "conv2", "pool2", "ip1", "concat", "ip2", "loss"),
    }
    frozen = [one for text, one in nodes.items() if "[frozen]" in text]
    trainable = [one for text, one in nodes.items() if "[trainable]" in text]
    assert {"dashed" in one["style"] for one in frozen} == {True}
    assert {"dashed" in one["style"] for one in trainable} == {False}
    assert {one["fillcolor"] for one in frozen} & {one["fillcolor"] for one in trainable} == set()
    assert ("conv1", "pool1", "20 x 24 x 24") in edges
    assert ("ip1", "concat", "500") in edges
    assert ("concat", "ip2", "1000") in edges
    headings = {" ".join(text.split()): texts for text, texts in frames.items()}
    assert set(headings) == {"odd frozen, 426,070 parameters", "even trainable, 426,070 parameters"}
    assert any("relu1: ReLU" in text for text in headings["odd frozen, 426,070 parameters"])


def test_a_siamese_net_of_unknown_shapes_learns_and_its_deploy_net_says_nothing_of_that(in_tmp):
    """Weights of 20 x 1 x 5 x 5, 50 x 20 x 5 x 5 and 500 x 800 with their biases, once for both: 426,070."""
    options = ["--trainable", "a", "--trainable", "b", "--share", "b=a", "--input", "a=one", "--input", "b=two"]
    branches = ["--branch", "a=lenet", "--branch", "b=lenet", "--classes", 3, "--data", "hdf5", "-o", "out"]
    invoke("emit", "fusion", *branches, *options)
    training, deployed = proto.read_net("out/train_val.prototxt"), proto.read_net("out/deploy.prototxt")
    assert picture(training, phase=TRAIN).branches == {
        "a": ("trainable", "parameters of unknown number"),
        "b": ("trainable", "parameters shared with others"),
    }
    assert picture(deployed, phase=TEST).branches == {
        "a": ("", "426,070 parameters"),
        "b": ("", "parameters shared with others"),
    }
    text = dot(deployed)
    assert "frozen" not in text and "trainable" not in text
    told = {name: page(name) for name in ("train_val", "deploy")}
    assert told["train_val"] == {
        "branch a": "parameters of unknown number, trainable",
        "branch b": "parameters shared with others, trainable",
    }
    assert told["deploy"] == {"branch a": "426,070 parameters", "branch b": "parameters shared with others"}


def page(name):
    """What the head of the report page says of each branch of a folder that has this net alone."""
    folder = Path(name)
    folder.mkdir()
    shutil.copy(f"out/{name}.prototxt", folder)
    invoke("report", folder, "-o", folder / "report.html")
    return dict(re.findall("<dt>(branch .)</dt><dd>(.*)</dd>", (folder / "report.html").read_text()))


def test_a_branch_that_learns_in_part():
    message = build(Fusion({"a": BranchSpec(lenet, frozen=False, frozen_to="pool2"), "b": lenet}, 10)).message
    found = summarize(with_inputs(message, {"data": (2, 1, 28, 28), "label": (2,)}))
    assert {one.branch: (one.state, one.learning) for one in found.totals} == {
        "a": ("partly trainable", 800 * 500 + 500),
        "b": ("frozen", 0),
        "": ("trainable", 1000 * 10 + 10),
        None: ("partly trainable", 800 * 500 + 500 + 1000 * 10 + 10),
    }


@needs_dot
def test_names_with_markup_are_text(tmp_path):
    odd = '<b>&amp;"\\|{é\x07'
    message = net(data())
    message.layer.add(name=odd, type="TanH", bottom=["data"], top=["x"])
    nodes, _, _ = drawn(message)
    assert any(text.startswith('<b>&amp;"\\|{é\\x07\n') for text in nodes)
    # dot may or may not refuse text that is no XML: the SVG has to be read by a parser.
    ElementTree.fromstring(svg(message))


HOSTILE = [
    "e\\",
    "\\N\\G",
    "a\\\\",
    'q"',
    "<b>",
    "&amp;",
    "\x1b[31m",
    "\0",
    "a\nb",
    "\u202eesrever",
    "]]>",
    "{|}",
    "</script>",
    "\ufffe",
]


@needs_dot
@settings(max_examples=40)
# Graphviz drops spaces at both ends of a label.
@given(st.sampled_from(HOSTILE) | st.text(st.characters(blacklist_categories=["Cs", "Zs"]), min_size=1))
@example("e\\")
@example("]")
def test_any_name_is_drawn_as_it_is_printed(name):
    """Graphviz reads the text back; what is no letter is there as its escape."""
    shown = "".join(one if one.isprintable() else repr(one)[1:-1] for one in name)
    message = net(data())
    for prefix in (f"{name}/", f"{name}z/"):
        message.layer.add(name=f"{prefix}x", type=name, bottom=["data"], top=[f"{prefix}x"])
    message.layer.add(name=name, type="Eltwise", bottom=[f"{name}/x", f"{name}z/x"], top=["sum"])
    nodes, _, frames = drawn(message, prefixes=[f"{name}/", f"{name}z/"])
    assert {tuple(text.split("\n")[:2]) for text in nodes if "Input" not in text} == {
        ("x", shown),
        (shown, "Eltwise, SUM"),
    }
    assert {text.split("\n")[0] for text in frames} == {f"{shown}/", f"{shown}z/"}
    ElementTree.fromstring(svg(message, prefixes=[f"{name}/", f"{name}z/"]))


@given(nets(), st.booleans())
def test_every_layer_is_in_one_box(message, collapse):
    found = picture(message, phase=TEST, collapse=collapse)
    assert sorted(index for box in found.boxes for index in box.layers) == list(range(len(message.layer)))
    assert all(arrow.source != arrow.target for arrow in found.arrows)
    read = {(arrow.source, arrow.target) for arrow in found.arrows}
    place = {index: number for number, box in enumerate(found.boxes) for index in box.layers}
    maker = {}
    for index, one in enumerate(message.layer):
        for blob in one.bottom:
            assert (place[maker[blob]], place[index]) in read or place[maker[blob]] == place[index]
        maker.update(dict.fromkeys(one.top, index))


def titles(message, **options):
    return [box.title for box in picture(message, phase=TRAIN, collapse=True, **options).boxes]


def test_two_resnets_fit_on_a_page():
    message = fused(find_builder("resnet152"), (3, 224, 224), a=True, b=True)
    found = picture(message, phase=TRAIN, collapse=True)
    own = [box for box in found.boxes if box.branch == "a"]
    # He et al. 2016, table 1: blocks of three convolutions, 3, 8, 36 and 3 of them, the first of each with a projection.
    assert [box.title for box in own] == [
        "conv1 ... pool1",
        *("res2a_branch1 ... res2a", "res2b ... res2c", "res3a_branch1 ... res3a", "res3b1 ... res3b7"),
        *("res4a_branch1 ... res4a", "res4b1 ... res4b35", "res5a_branch1 ... res5a", "res5b ... res5c", "pool5"),
    ]
    assert own[6].lines[0] == "35 times: 3 Convolution, 3 BatchNorm, 3 Scale, 3 ReLU, 1 Eltwise"
    assert {box.state for box in own} == {"frozen", ""}
    assert len(found.boxes) == 2 * 10 + 5


def test_modules_and_auxiliary_heads_of_a_net_alone():
    message = build(Fusion({"": find_builder("googlenet")}, 10, frozen=False)).message
    found = titles(with_inputs(message, {"data": (2, 3, 224, 224), "label": (2,)}))
    assert [title.split("/")[0] for title in found if "/output" in title] == [
        f"inception_{name}" for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
    ]
    assert "loss1/ave_pool ... loss1/classifier" in found


def block(name, bottom, outputs=4):
    return conv(f"{name}x", bottom, outputs) + layer(name, "Eltwise", f"{name}x {bottom}") + relu(f"{name}r", name)


def test_only_equal_modules_are_one():
    text = data() + "".join([block("a", "data"), block("b", "a"), block("c", "b"), fc("end", "c")])
    assert titles(net(text)) == ["data", "a ... c", "end"]
    other = text.replace('name: "bx"', 'name: "bx" param { lr_mult: 0 }')
    assert titles(net(other)) == ["data", "ax ... a", "bx ... b", "cx ... c", "end"]
    # The same layers on another input: c reads a as well.
    rewired = text.replace('bottom: "cx" bottom: "b"', 'bottom: "cx" bottom: "a"')
    assert titles(net(rewired)) == ["data", "ax ... a", "bx ... c", "end"]


def test_modules_that_grow_are_not_equal():
    def dense(name, bottom):
        return conv(f"{name}x", bottom) + layer(name, "Concat", f"{bottom} {name}x")

    text = data() + dense("a", "data") + dense("b", "a") + fc("end", "b")
    assert titles(net(text)) == ["data", "ax ... a", "bx ... b", "end"]


@needs_dot
def test_the_files(tmp_path):
    message = fused(odd=True, even=True)
    for name, begins in (("n.svg", b"<?xml"), ("n.png", b"\x89PNG"), ("n.pdf", b"%PDF"), ("n.dot", b"digraph")):
        draw_net(message, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(begins)
    assert dot(message) == (tmp_path / "n.dot").read_text() == dot(message)
    root = ElementTree.fromstring(svg(message))
    assert root.tag.endswith("svg")
    assert root.get("viewBox")


def test_without_graphviz(in_tmp, monkeypatch):
    pytest.importorskip("graphviz")
    (in_tmp / "net.prototxt").write_text(small())
    (in_tmp / "net.svg").write_text("mine")
    monkeypatch.setenv("PATH", "")
    told = invoke("draw", "net.prototxt", "-o", "net.svg", code=1).output
    assert "Graphviz is not installed" in told
    assert "dot -Tsvg -o net.svg net.dot" in told
    assert (in_tmp / "net.svg").read_text() == "mine"
    assert (in_tmp / "net.dot").read_text().startswith("digraph")
    with pytest.raises(NetbuildError, match="need Graphviz"):
        svg(net(small()))
    assert invoke("draw", "net.prototxt", "-o", "other.dot").output == "other.dot\n"


def test_what_cannot_be_drawn(in_tmp):
    (in_tmp / "net.prototxt").write_text(small())
    assert "one of .svg, .png, .pdf, .dot" in invoke("draw", "net.prototxt", "-o", "net.jpg", code=1).output
    assert not list(in_tmp.glob("net.d*"))
