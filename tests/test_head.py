"""A head that begins as its branches' classifiers, against numpy and protobuf."""

import os

import numpy as np
import pytest
from nets import data, fc, layer

from netbuild import CopyOptions, DataSource, Fusion, Head, Join, emit_files, fuse_weights, lenet, prototxt
from netbuild.branches.branch import Input
from netbuild.branches.lenet import MNIST
from netbuild.errors import GraphError, WeightsError
from netbuild.fuse.options import HeadStart

CLASSES = {"odd": HeadStart((1, 3, 5, 7, 9)), "even": HeadStart((0, 2, 4, 6, 8))}


@pytest.fixture()
def weights(trained, caffe, tmp_path):
    """Two LeNets of five classes each, with biases that are not zero."""
    paths = {}
    for prefix, name in (("odd", "a"), ("even", "b")):
        net = caffe.Net(os.fspath(trained / "lenet.prototxt"), os.fspath(trained / f"{name}.caffemodel"), caffe.TEST)
        net.params["ip2"][1].data[...] = np.arange(5) + len(prefix)
        paths[prefix] = tmp_path / f"{prefix}.caffemodel"
        net.save(os.fspath(paths[prefix]))
    return paths


def emitted(folder, fusion, source=None):
    return emit_files(fusion, source or DataSource(MNIST, kind="input", train_batch=2, test_batch=2), folder)[0]


def test_every_score_is_what_the_branchs_own_net_gives(caffe, trained, weights, tmp_path):
    target = emitted(tmp_path / "net", Fusion({"odd": lenet, "even": lenet}, 10))
    result = fuse_weights(target, weights, tmp_path / "init.caffemodel", CopyOptions(head=CLASSES))
    assert (result.planned.head, result.plan.left_to_fillers, dict(result.plan.unused)) == (
        "ip2",
        (),
        {"odd": (), "even": ()},
    )
    fused = caffe.Net(os.fspath(target), os.fspath(tmp_path / "init.caffemodel"), caffe.TEST)
    images = np.random.default_rng(0).normal(size=(2, 1, 28, 28)).astype(np.float32)
    fused.blobs["data"].data[...] = images
    fused.forward()
    for prefix, path in weights.items():
        alone = caffe.Net(os.fspath(trained / "lenet.prototxt"), os.fspath(path), caffe.TEST)
        alone.blobs["data"].reshape(*images.shape)
        alone.blobs["label"].reshape(2)
        alone.blobs["data"].data[...] = images
        alone.forward()
        scores = fused.blobs["ip2"].data[:, list(CLASSES[prefix].classes)]
        np.testing.assert_allclose(scores, alone.blobs["ip2"].data, rtol=1e-5)


def test_the_blocks_are_the_branches_bits(weights, tmp_path, pb):
    target = emitted(tmp_path / "net", Fusion({"odd": lenet, "even": lenet}, 10))
    named = {prefix: start._replace(layer="ip2") for prefix, start in CLASSES.items()}
    fuse_weights(target, weights, tmp_path / "init.caffemodel", CopyOptions(head=named))
    models = {name: pb.NetParameter() for name in ("odd", "even", "init")}
    for name, message in models.items():
        message.ParseFromString((tmp_path / f"{name}.caffemodel").read_bytes())
    layers = {name: {one.name: one.blobs for one in message.layer} for name, message in models.items()}
    head = np.array(layers["init"]["ip2"][0].data, np.float32).reshape(10, 1000)
    expected = np.zeros((10, 1000), np.float32)
    expected[1::2, :500] = np.reshape(layers["odd"]["ip2"][0].data, (5, 500))
    expected[0::2, 500:] = np.reshape(layers["even"]["ip2"][0].data, (5, 500))
    assert head.tobytes() == expected.tobytes()
    assert list(layers["init"]["ip2"][1].data) == [4, 3, 5, 4, 6, 5, 7, 6, 8, 7]


def test_double_values_and_a_head_without_bias(caffe, tmp_path, pb):
    text = data(shape=(2, 4, 1, 1)) + layer("seam", "ReLU", "data") + fc("score", "seam", 2).replace("num_output: 2", "num_output: 2 bias_term: false")  # fmt: skip
    (tmp_path / "n.prototxt").write_text(text)
    caffe.Net(os.fspath(tmp_path / "n.prototxt"), caffe.TEST).save(os.fspath(tmp_path / "n.caffemodel"))
    message = pb.NetParameter()
    message.ParseFromString((tmp_path / "n.caffemodel").read_bytes())
    blob = next(one for one in message.layer if one.name == "score").blobs[0]
    values = [0.5, -1.25, 2, 3, 4, 5, 6, 7]
    del blob.data[:]
    blob.double_data.extend(values)
    (tmp_path / "n.caffemodel").write_bytes(message.SerializeToString())
    builder = prototxt(tmp_path / "n.prototxt")
    target = emitted(
        tmp_path / "net", Fusion({"a": builder, "b": builder}, 4), DataSource(Input((4, 1, 1)), kind="input")
    )
    own = dict.fromkeys("ab", tmp_path / "n.caffemodel")
    starts = {"b": HeadStart((3, 1)), "a": HeadStart((0, 2))}
    with pytest.raises(WeightsError, match="the head has a bias, 'score' in .* has none"):
        fuse_weights(target, own, tmp_path / "init.caffemodel", CopyOptions(head=starts))
    target.write_text(target.read_text().replace("num_output: 4", "num_output: 4\n bias_term: false"))
    text = target.read_text()
    entry = "  param {\n    lr_mult: 2.0\n  }\n"
    assert entry in text
    target.write_text(text.replace(entry, ""))
    fuse_weights(target, own, tmp_path / "init.caffemodel", CopyOptions(head=starts))
    found = caffe.Net(os.fspath(target), os.fspath(tmp_path / "init.caffemodel"), caffe.TEST)
    np.testing.assert_array_equal(
        found.params["score"][0].data,
        [[*values[:4], 0, 0, 0, 0], [0, 0, 0, 0, *values[4:]], [*values[4:], 0, 0, 0, 0], [0, 0, 0, 0, *values[:4]]],
    )


@pytest.mark.parametrize(
    ("starts", "sentence"),
    [
        ({"odd": (1, 3, 5, 7, 9), "even": (0, 2, 4, 6, 9)}, "class 9 is given to 'odd' and again to 'even'"),
        ({"odd": (1, 3, 5, 7, 9), "even": (0, 2, 4, 6)}, "the head's classes 8 are no branch's"),
        ({"odd": (1, 3, 5, 7, 9), "even": (0, 2, 4, 6, 10)}, "class 10 is none of the head's 0 to 9"),
        ({"odd": (1, 3, 5, 7), "even": (0, 2, 4, 6, 8, 9)}, "no layers for one classifier of 4 outputs"),
    ],
)
def test_classes_that_are_not_shared_out(weights, tmp_path, starts, sentence):
    target = emitted(tmp_path / "net", Fusion({"odd": lenet, "even": lenet}, 10))
    with pytest.raises(WeightsError, match=sentence):
        fuse_weights(
            target,
            weights,
            tmp_path / "init.caffemodel",
            CopyOptions(head={p: HeadStart(c) for p, c in starts.items()}),
        )
    assert not (tmp_path / "init.caffemodel").exists()


def test_heads_that_cannot_begin_so(weights, tmp_path):
    fusions = {
        "sum": Fusion({"odd": lenet, "even": lenet}, 10, join=Join("sum")),
        "hidden": Fusion({"odd": lenet, "even": lenet}, heads=[Head(10, "x", hidden=7)]),
    }
    target = emitted(tmp_path / "sum", fusions["sum"])
    with pytest.raises(
        GraphError, match="the net has no InnerProduct on a concat of exactly the branches 'odd' and 'even'"
    ):
        fuse_weights(target, weights, tmp_path / "init", CopyOptions(head=CLASSES))
    with pytest.raises(WeightsError, match="class"):
        fuse_weights(
            emitted(tmp_path / "hidden", fusions["hidden"]), weights, tmp_path / "init", CopyOptions(head=CLASSES)
        )
    wrong = {**CLASSES, "odd": HeadStart((1, 3, 5, 7, 9), "conv9")}
    with pytest.raises(WeightsError, match="no layers for 'conv9'; name the classifier"):
        fuse_weights(
            emitted(tmp_path / "net", Fusion({"odd": lenet, "even": lenet}, 10)),
            weights,
            tmp_path / "i",
            CopyOptions(head=wrong),
        )
