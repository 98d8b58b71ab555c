"""What layers ask of labels, against Caffe itself."""

import numpy as np
import pytest
from nets import layer, net

from netbuild.graph.judges import readings
from netbuild.graph.view import NetView
from netbuild.layers.table import TYPES
from netbuild.schema import TEST

JUDGES = sorted(name for name, row in TYPES.items() if row.role.labels is not None)

DATA = layer("d", "ImageData", "", "data label", "image_data_param { source: 'x' batch_size: 4 }")
SCORES = layer("ip", "InnerProduct", "data", more="inner_product_param { num_output: 7 }")


def asked(text, top=1):
    return [(one.layer, one.classes, one.ignored) for one in readings(NetView(net(text), TEST))[0, top].demands]


def judge(bottoms, kind="SoftmaxWithLoss", more="", name="loss"):
    return layer(name, kind, bottoms, more=more)


@pytest.mark.parametrize("kind", JUDGES)
def test_every_judge_asks_for_as_many_classes_as_there_are_scores(kind):
    more = "infogain_loss_param { source: 'x' }" if kind == "InfogainLoss" else ""
    assert asked(DATA + SCORES + judge("ip label", kind, more)) == [("loss", 7, None)]


@pytest.mark.parametrize("between", ["Reshape", "Flatten", "Split"])
def test_labels_are_followed_through_layers_that_pass_them_on(between):
    assert asked(DATA + SCORES + layer("l2", between, "label") + judge("ip l2")) == [("loss", 7, None)]


def test_what_is_not_known_is_not_guessed():
    power = layer("l2", "Power", "label", more="power_param { shift: -1 }")
    assert asked(DATA + SCORES + power + judge("ip l2")) == []
    open_scores = layer("s", "Input", "", "s")
    assert asked(DATA + open_scores + judge("s label")) == []
    assert asked(DATA + SCORES + judge("ip label", "EuclideanLoss")) == []
    unknown = layer("s", "OfAFork", "data")
    assert asked(DATA + unknown + judge("s label")) == []


def test_silence_reads_nothing():
    found = readings(NetView(net(DATA + layer("s", "Silence", "label", "") + SCORES), TEST))
    assert (found[0, 0].read, found[0, 1].read) == (True, False)


def test_several_heads_ask_each_for_its_own():
    parity = layer("p", "InnerProduct", "data", more="inner_product_param { num_output: 2 }")
    text = DATA + SCORES + parity + judge("ip label") + judge("p label", name="parity/loss")
    assert asked(text) == [("loss", 7, None), ("parity/loss", 2, None)]


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_the_classes_along_an_axis_are_those_of_caffe(caffe, tmp_path, axis):
    """Accuracy's second top has a number for each class."""
    shape, counts = (2, 3, 5), {1: 10, 2: 6, -1: 6}
    text = layer("s", "Input", "", "s", "input_param { shape { dim: 2 dim: 3 dim: 5 } }")
    text += layer("l", "Input", "", "label", f"input_param {{ shape {{ dim: {counts[axis]} }} }}")
    text += layer("a", "Accuracy", "s label", "a each", f"accuracy_param {{ axis: {axis} }}")
    text += judge("s label", more=f"softmax_param {{ axis: {axis} }}")
    text += judge("s label", "InfogainLoss", f"infogain_loss_param {{ axis: {axis} source: 'x' }}", "info")
    (tmp_path / "n.prototxt").write_text("".join(text.splitlines(keepends=True)[:3]))
    each = caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST).blobs["each"].data.shape
    # The losses want one batch of both bottoms.
    batched = net(text.replace(f"dim: {counts[axis]} ", f"dim: 2 dim: {counts[axis] // 2} "))
    found = readings(NetView(batched, TEST))[1, 0].demands
    assert [(one.classes,) for one in found] == [each] * 3
    assert each == (shape[axis],)


@pytest.mark.parametrize("kind", JUDGES)
def test_ignore_label_is_known_where_caffe_heeds_it(caffe, tmp_path, kind):
    """Two items, the second of a label to ignore: where that is heeded, its scores change nothing."""
    matrix = caffe.proto.caffe_pb2.BlobProto(num=1, channels=1, height=3, width=3, data=np.eye(3).ravel())
    (tmp_path / "matrix").write_bytes(matrix.SerializeToString())
    options = "accuracy_param { ignore_label: 1 }" if kind == "Accuracy" else "loss_param { ignore_label: 1 }"
    options += f" infogain_loss_param {{ source: '{tmp_path}/matrix' }}" if kind == "InfogainLoss" else ""
    text = layer("s", "Input", "", "s label", "input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } }")
    text += judge("s label", kind, options)
    (tmp_path / "n.prototxt").write_text(text)
    loaded = caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST)
    values = []
    for second in ([0.8, 0.1, 0.1], [0.1, 0.8, 0.1]):
        loaded.blobs["s"].data[...] = [[0.2, 0.3, 0.5], second]
        loaded.blobs["label"].data[...] = [2, 1]
        values.append(float(loaded.forward()["loss"]))
    (found,) = readings(NetView(net(text), TEST))[0, 1].demands
    assert (found.ignored == 1) == (values[0] == values[1])
    assert bool(found.option) == (values[0] == values[1])
