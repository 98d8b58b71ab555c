"""The table of weight formats: one row is all that a new format takes."""

import bz2
import gzip
import io
import json
import lzma
import math
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from commands import run

from netbuild import DataSource, Fusion, NetbuildError, convert_weights, copy_branch, emit_files, fuse_weights, lenet
from netbuild.branches.lenet import MNIST
from netbuild.errors import WeightsError
from netbuild.weights import formats
from netbuild.weights.formats import Format
from netbuild.weights.index import kind_of
from netbuild.weights.model import Blob, Layer, Model, Span
from netbuild.weights.places import PlacedBytes, placed

MAGIC = b"TOY1"


def read_toy(path):
    """A line of JSON, [[layer, shapes of its blobs]...], then all values as floats."""
    raw = Path(path).read_bytes()
    head = raw.index(b"\n") + 1
    layers, at = [], head
    for name, shapes in json.loads(raw[len(MAGIC) : head]):
        blobs = []
        for shape in shapes:
            blobs.append(Blob(tuple(shape), False, 4, (Span(at, at + 4 * math.prod(shape)),)))
            at += 4 * math.prod(shape)
        layers.append(Layer(name, tuple(blobs)))
    return Model(str(path), tuple(layers))


def lay_out_toy(path, entries, net):
    layers = [entry for entry in entries if entry.blobs]
    listed = [[entry.name, [blob.shape for blob in entry.blobs]] for entry in layers]
    head = MAGIC + json.dumps(listed).encode() + b"\n"
    parts, at = [PlacedBytes(0, head)], len(head)
    for entry in layers:
        for blob in entry.blobs:
            parts += placed(entry.name, blob, at)
            at += blob.byte_size
    return parts


def why_not_toy(entries):
    long = [entry.name for entry in entries if len(entry.name) > 20]
    return f"a toy takes no name as long as {long[0]!r}" if long else None


TOY = Format("toy", (".toy",), lambda head: head.startswith(MAGIC), read_toy, lay_out_toy, why_not_toy)


@pytest.fixture()
def toy(monkeypatch):
    monkeypatch.setattr(formats, "FORMATS", (TOY, *formats.FORMATS))


def toy_values(path):
    """The file as numpy reads it: {layer: [arrays]}."""
    raw = path.read_bytes()
    assert raw.startswith(MAGIC)
    head = raw.index(b"\n") + 1
    values, found = np.frombuffer(raw[head:], "<f4"), {}
    for name, shapes in json.loads(raw[len(MAGIC) : head]):
        for shape in shapes:
            count = math.prod(shape)
            found.setdefault(name, []).append(values[:count].reshape(shape))
            values = values[count:]
    assert not len(values)
    return found


@pytest.fixture()
def stored(pb, trained):
    """What protobuf finds in the files of two LeNets: {file: {layer: [bytes]}}."""
    found = {}
    for name in "ab":
        net = pb.NetParameter.FromString((trained / f"{name}.caffemodel").read_bytes())
        found[name] = {
            one.name: [np.array(blob.data, "<f4").tobytes() for blob in one.blobs] for one in net.layer if one.blobs
        }
    return found


def bits(layers):
    return {name: [blob.tobytes() for blob in blobs] for name, blobs in layers.items()}


def test_a_format_of_one_row_is_converted_into_and_from(toy, trained, stored, tmp_path, pb):
    convert_weights(trained / "a.caffemodel", tmp_path / "a.toy")
    assert bits(toy_values(tmp_path / "a.toy")) == stored["a"]
    # What comes in is known by its bytes.
    (tmp_path / "a.toy").rename(tmp_path / "a.bin")
    convert_weights(tmp_path / "a.bin", tmp_path / "back.caffemodel")
    net = pb.NetParameter.FromString((tmp_path / "back.caffemodel").read_bytes())
    back = {one.name: [np.array(blob.data, "<f4").tobytes() for blob in one.blobs] for one in net.layer}
    assert back == stored["a"]


def test_a_format_of_one_row_is_listed_by_weights(toy, trained, tmp_path):
    convert_weights(trained / "a.caffemodel", tmp_path / "a.toy")
    output = run("weights", tmp_path / "a.toy")
    assert "ip1" in output
    assert "a.toy: toy, " in output


def test_a_format_of_one_row_is_fused_and_written(toy, trained, stored, tmp_path, caffe):
    source = DataSource(MNIST, kind="input", train_batch=2, test_batch=2)
    target = emit_files(Fusion({"odd": lenet, "even": lenet}, 10), source, tmp_path / "net")[0]
    convert_weights(trained / "a.caffemodel", tmp_path / "a.toy")
    weights = {"odd": tmp_path / "a.toy", "even": trained / "b.caffemodel"}
    fuse_weights(target, weights, tmp_path / "init.toy")
    expected = {
        f"{prefix}/{layer}": blobs
        for prefix, name in (("odd", "a"), ("even", "b"))
        for layer, blobs in stored[name].items()
        if layer != "ip2"
    }
    assert bits(toy_values(tmp_path / "init.toy")) == expected
    net = caffe.Net(str(target), caffe.TEST)
    copy_branch(net, "odd", tmp_path / "a.toy")
    assert net.params["odd/ip1"][0].data.tobytes() == stored["a"]["ip1"][0]


def test_what_a_format_does_not_take_is_said_before_anything_is_written(toy, trained, tmp_path, pb):
    net = pb.NetParameter()
    net.layer.add(name="a_name_of_more_than_twenty_letters").blobs.add(data=[1]).shape.dim.append(1)
    (tmp_path / "long").write_bytes(net.SerializeToString())
    with pytest.raises(WeightsError, match=r"long.toy': a toy takes no name as long as 'a_name_of_more"):
        convert_weights(tmp_path / "long", tmp_path / "long.toy")
    assert not (tmp_path / "long.toy").exists()


def test_endings_that_are_known_come_from_the_table(toy, trained, tmp_path):
    with pytest.raises(NetbuildError, match=r"known are .caffemodel, .h5, .hdf5, .toy$"):
        convert_weights(trained / "a.caffemodel", tmp_path / "a.tar")


def zipped(raw):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("a", raw)
    return out.getvalue()


def of_numpy(raw):
    out = io.BytesIO()
    np.save(out, np.frombuffer(raw, "u1"))
    return out.getvalue()


RAW = b"0123456789" * 20
FOREIGN = {
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
    "a web page": b"<!DOCTYPE html>\n<html></html>",
    "the prototxt of a net": b'name: "LeNet"\nlayer { name: "data" }\n',
    "compressed with gzip": gzip.compress(RAW),
    "compressed with bzip2": bz2.compress(RAW),
    "compressed with xz": lzma.compress(RAW),
    "a zip archive": zipped(RAW),
    "an array of numpy's": of_numpy(RAW),
    "a pickle of Python's": pickle.dumps(RAW),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_something_else_is_told_by_its_name(tmp_path, what):
    """Made by those who define them: the libraries of Python and numpy."""
    path = tmp_path / "w.caffemodel"
    path.write_bytes(FOREIGN[what])
    told = run("weights", path, code=1)
    assert told.startswith(f"Error: weights {str(path)!r}: is {what}")
    assert told.count("\n") == 1
    with pytest.raises(WeightsError, match=what):
        kind_of(path)
