"""The README's table of alternatives: what it says of netbuild is tested, what it says of the recipe and Caffe is so."""

import os
import re
import subprocess
import sys

import pytest
from nets import conv, data, layer
from pages import ROOT

from netbuild import Fusion, build, emit_files, fuse_weights, proto
from netbuild.branches.table import find_builder

README = (ROOT / "README.md").read_text(encoding="utf-8")
TABLE = README.partition("## Beside the alternatives")[2].partition("\n## ")[0]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines() if line.startswith("| ")]


def test_every_row_names_a_test_that_is_there():
    heading, *rows = ROWS
    assert heading[:2] == ["netbuild", "tested by"] or heading[1:3] == ["netbuild", "tested by"]
    assert len(rows) > 10
    for row in rows:
        file = ROOT / "tests" / row[2].strip("`")
        assert row[1] == "yes", row
        assert re.search(r"^def test_", file.read_text(encoding="utf-8"), re.MULTILINE), row


def by_regular_expression(text, prefix):
    """What the recipe does: put the prefix before each layer's name wherever it stands in the text."""
    for name in re.findall(r'name: "([^"]+)"', text):
        text = text.replace(name, f"{prefix}/{name}")
    return text


def test_renaming_by_regular_expression_breaks_resnet50():
    net = build(Fusion({"": find_builder("resnet50")}, 1000, frozen=False), deploy=True).message
    renamed = proto.parsed(by_regular_expression(proto.to_text(net), "odd"))
    wrong = 0
    for before, after in zip(net.layer, renamed.layer):
        wanted = [
            name if name in ("data", "label") else f"odd/{name}" for name in (before.name, *before.bottom, *before.top)
        ]
        wrong += [after.name, *after.bottom, *after.top] != wanted
    assert (wrong, len(net.layer)) == (223, 228)


def in_caffe(code):
    environment = {**os.environ, "GLOG_minloglevel": "2"}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout


@pytest.mark.usefixtures("pycaffe")
def test_caffe_takes_two_layers_of_one_name_and_fills_the_first(tmp_path):
    one = conv("conv1", "data").replace('top: "conv1"', 'top: "%s"')
    (tmp_path / "two.prototxt").write_text(data() + one % "a" + one % "b")
    (tmp_path / "one.prototxt").write_text(data() + conv("conv1", "data"))
    told = in_caffe(
        f"""
import caffe, numpy as np
source = caffe.Net({os.fspath(tmp_path / "one.prototxt")!r}, caffe.TEST)
source.params["conv1"][0].data[...] = 7
source.save({os.fspath(tmp_path / "one.caffemodel")!r})
net = caffe.Net({os.fspath(tmp_path / "two.prototxt")!r}, {os.fspath(tmp_path / "one.caffemodel")!r}, caffe.TEST)
print([bool((layer.blobs[0].data == 7).all()) for layer in net.layers if layer.type == "Convolution"])
"""
    )
    assert told == "[True, False]\n"


@pytest.mark.usefixtures("pycaffe")
def test_caffe_says_nothing_of_layers_that_get_no_weights(tmp_path):
    (tmp_path / "one.prototxt").write_text(data() + conv("conv1", "data"))
    (tmp_path / "other.prototxt").write_text(data() + conv("conv2", "data"))
    command = f"""
import caffe
caffe.Net({os.fspath(tmp_path / "one.prototxt")!r}, caffe.TEST).save({os.fspath(tmp_path / "one.caffemodel")!r})
caffe.Net({os.fspath(tmp_path / "other.prototxt")!r}, {os.fspath(tmp_path / "one.caffemodel")!r}, caffe.TEST)
"""
    environment = {**os.environ, "GLOG_minloglevel": "1"}
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True, env=environment)
    assert "conv2" not in done.stderr


@pytest.mark.usefixtures("pycaffe")
def test_caffe_opens_the_data_to_build_a_net(tmp_path):
    source = "data_param { source: 'nowhere' batch_size: 2 backend: LMDB }"
    (tmp_path / "net.prototxt").write_text(layer("data", "Data", tops="data label", more=source))
    code = f"import caffe; caffe.Net({os.fspath(tmp_path / 'net.prototxt')!r}, caffe.TEST)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode != 0


@pytest.mark.parametrize("name", ["lenet"])
def test_netbuild_does_not(tmp_path, trained, name):
    from netbuild import DataSource

    branches = {"a": find_builder(name), "b": find_builder(name)}
    told = build(Fusion(branches, 10)).inputs["data"]
    source = DataSource(told, kind="lmdb", train_source="nowhere", test_source="nowhere")
    emit_files(Fusion(branches, 10), source, tmp_path)
    weights = {"a": trained / "a.caffemodel", "b": trained / "b.caffemodel"}
    assert fuse_weights(tmp_path / "train_val.prototxt", weights, tmp_path / "o.caffemodel").plan.blob_count() == 12
