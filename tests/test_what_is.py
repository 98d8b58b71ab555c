"""What a file is, by its first bytes: files are made by those who define them, or begin as their format says."""

import bz2
import gzip
import io
import lzma
import pickle
import re
import tarfile
import zipfile

import numpy as np
import pytest

from netbuild import NetbuildError, proto
from netbuild.data.means import read_mean
from netbuild.schema import schema
from netbuild.weights.index import index
from netbuild.what_is import BLOB, NET, SOLVER, WEIGHTS, said, what_is

RAW = b"0123456789" * 20


def in_zip(name):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(name, RAW)
    return out.getvalue()


def in_tar():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        entry = tarfile.TarInfo("net.caffemodel")
        entry.size = len(RAW)
        file.addfile(entry, io.BytesIO(RAW))
    return out.getvalue()


def of_numpy(save, *arrays):
    out = io.BytesIO()
    save(out, *arrays)
    return out.getvalue()


def message(name, **fields):
    return getattr(schema(), name)(**fields).SerializeToString()


def weights():
    net = schema().NetParameter(name="n")
    blob = net.layer.add(name="ip", type="InnerProduct").blobs.add(data=[1.0, 2.0])
    blob.shape.dim.append(2)
    return net.SerializeToString()


OF_NOBODY = {
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
    "a web page": b"\n\n<!DOCTYPE html>\n<html></html>",
    "text in angle brackets": b"<?xml version='1.0'?><net/>",
    "compressed with gzip": gzip.compress(RAW),
    "compressed with bzip2": bz2.compress(RAW),
    "compressed with xz": lzma.compress(RAW),
    "a tar archive": in_tar(),
    "a zip archive, as PyTorch": in_zip("archive/data.pkl"),
    "a zip archive of numpy's": of_numpy(np.savez, np.zeros(3)),
    "a zip archive;": in_zip("net.caffemodel"),
    "an array of numpy's": of_numpy(np.save, np.zeros(3)),
    "a pickle of Python's": pickle.dumps(RAW),
    "a pickle of Python's, as": pickle.dumps({"a": 1}, 0),
    "an image": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "an LMDB database": bytes(16) + b"\xde\xc0\xef\xbe" + bytes(4000),
    "a log of Caffe's": b"I1125 14:00:00.000000     1 caffe.cpp:218] Using GPUs 0\n",
    "a program in Python": b"import caffe\n",
    "JSON": b'{"nets": []}',
    "YAML": b"branches:\n  odd: lenet\n",
    "text in UTF-16": 'name: "n"'.encode("utf-16"),
    "empty but for zeros": bytes(5000),
    "a list of files": b"cats/a.jpg 0\ndogs/b c.jpg 1\n",
    # ModelProto of onnx.proto: ir_version 1, producer_name 2, producer_version 3, graph 7
    "a net in ONNX": b"\x08\x07\x12\x07pytorch\x1a\x031.9\x3a\x02\x0a\x00",
    # GraphDef of graph.proto: node 1; NodeDef: name 1, op 2
    "a net of TensorFlow's": b"\x0a\x0e\x0a\x01x\x12\x09Placehold",
    "an entry of a database": message("Datum", channels=3, height=2, width=2, data=bytes(12), label=1),
}
OF_CAFFE = {
    NET: b"# AlexNet\nname: 'n'\nlayer { name: 'a' }\n",
    SOLVER: b'net: "train_val.prototxt"\nbase_lr: 0.1\n',
    WEIGHTS: weights(),
    "solverstate": message("SolverState", iter=7, learned_net="x.caffemodel"),
    BLOB: message("BlobProto", num=1, channels=1, height=1, width=2, data=[1, 2]),
}


@pytest.mark.parametrize("what", OF_NOBODY)
@pytest.mark.parametrize("read", [index, proto.read_net, proto.read_solver, read_mean])
def test_every_reader_says_what_it_was_given(tmp_path, read, what):
    path = tmp_path / "given"
    path.write_bytes(OF_NOBODY[what])
    with pytest.raises(NetbuildError, match=r"^\S+( file)? '.*given': is ") as refused:
        read(path)
    assert f": is {what}" in str(refused.value)
    assert str(refused.value).count("\n") == 0


@pytest.mark.parametrize("given", OF_CAFFE)
@pytest.mark.parametrize(
    ("wanted", "read"), [(NET, proto.read_net), (SOLVER, proto.read_solver), (WEIGHTS, index), (BLOB, read_mean)]
)
def test_caffes_own_files_are_told_apart(tmp_path, given, wanted, read):
    path = tmp_path / "given"
    path.write_bytes(OF_CAFFE[given])
    assert what_is(path).kind == given
    if given == wanted:
        assert not said(path, wanted)
        read(path)
    else:
        with pytest.raises(NetbuildError, match=re.escape(f": {said(path, wanted)[:20]}")):
            read(path)


def test_a_solver_for_a_net_names_the_net(tmp_path):
    path = tmp_path / "solver.prototxt"
    path.write_bytes(OF_CAFFE[SOLVER])
    with pytest.raises(NetbuildError, match="is the prototxt of a solver; .*; its net is 'train_val.prototxt'$"):
        proto.read_net(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x0b\x0c", b"\x0a\xff\xff\xff\xff\xff\xff"])
def test_of_what_is_nothing_known_nothing_is_said(tmp_path, content):
    path = tmp_path / "given"
    path.write_bytes(content)
    assert what_is(path) is None
    assert said(path, WEIGHTS) == said(path, NET) == ""


def test_what_cannot_be_opened_is_nothing_known(tmp_path):
    assert what_is(tmp_path / "nowhere") is what_is(tmp_path) is None
