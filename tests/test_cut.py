import pytest
from nets import conv, data, fc, layer, net, relu, small

from netbuild.errors import GraphError
from netbuild.graph.cut import classifiers, cut, cut_points


def names(message):
    return [one.name for one in message.layer]


def test_a_cut_keeps_what_the_seam_depends_on_and_its_in_place_layers():
    cut_net = cut(net(small()), ["fc1"])
    assert names(cut_net) == ["data", "conv1", "bn1", "scale1", "relu1", "pool1", "fc1", "relu2", "drop"]
    assert cut_net.name == "Small"
    assert names(cut(net(small()), ["conv1"])) == ["data", "conv1", "bn1", "scale1", "relu1"]


def test_a_cut_goes_by_layer_not_by_name():
    """`x` is made, read, and worked on in place after that: the reader needs only the first two."""
    text = data() + conv("x", "data") + conv("y", "x") + relu("late", "y") + conv("z", "y") + conv("aside", "data")
    assert names(cut(net(text), ["y"])) == ["data", "x", "y", "late"]
    assert names(cut(net(text), ["z", "aside"])) == ["data", "x", "y", "late", "z", "aside"]


def test_all_missing_seams_are_named_with_near_ones():
    with pytest.raises(GraphError, match="no blob 'conv2' and no 'nothing' in the net; did you mean 'conv1'"):
        cut(net(small()), ["conv2", "nothing"])
    with pytest.raises(GraphError, match="no blob 'zzz' in the net; its last blob is 'prob'"):
        cut(net(small()), ["zzz"])


LOSS = layer("label", "Input") + layer("loss", "SoftmaxWithLoss", "fc3 label")
HEADS = {
    "softmax": (small(), [("fc3", "fc1", "fc3")]),
    "loss and accuracy": (
        data() + fc("fc1", "data") + fc("fc3", "fc1") + LOSS + layer("acc", "Accuracy", "fc3 label"),
        [("fc3", "fc1", "fc3")],
    ),
    "no loss": (data() + fc("ip1", "data") + fc("ip2", "ip1"), [("ip2", "ip1", "ip2")]),
    "a convolution that classifies": (
        data() + conv("c1", "data") + conv("c10", "c1") + relu("r", "c10") + layer("pool", "Pooling", "c10")
        + layer("prob", "Softmax", "pool"),
        [("c10", "c1", "pool")],
    ),
    "auxiliary": (
        data() + conv("c1", "data") + fc("aux", "c1") + conv("c2", "c1") + fc("fc3", "c2") + LOSS
        + layer("auxloss", "SoftmaxWithLoss", "aux label"),
        [("fc3", "c2", "fc3"), ("aux", "c1", "aux")],
    ),
    "a sigmoid inside and one at the end": (
        data() + fc("h", "data") + layer("s", "Sigmoid", "h", "h") + conv("c", "h") + layer("p", "Sigmoid", "c"),
        [("c", "h", "c")],
    ),
    "features only": (data() + conv("c1", "data") + layer("pool", "Pooling", "c1"), []),
    "a head after a join": (
        data() + fc("a", "data") + fc("b", "data") + layer("j", "Concat", "a b") + fc("fc3", "j") + LOSS,
        [("fc3", "j", "fc3")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HEADS)
def test_classifiers_are_found(kind):
    text, expected = HEADS[kind]
    assert [tuple(found) for found in classifiers(net(text))] == expected


def test_cut_points_are_the_blobs_that_all_goes_through():
    block = data() + conv("stem", "data") + conv("a", "stem") + conv("b", "a") + layer("sum", "Eltwise", "stem b")
    assert cut_points(net(block + fc("fc3", "sum") + layer("prob", "Softmax", "fc3"))) == ["stem", "sum", "fc3"]
    assert cut_points(net(small())) == ["conv1", "pool1", "fc1", "fc3"]
    sliced = data() + conv("c", "data") + layer("s", "Slice", "c", "x y") + layer("j", "Concat", "x y") + fc("f", "j")
    assert cut_points(net(sliced)) == ["c", "j", "f"]
    two = data() + data("more") + conv("a", "data") + conv("b", "more") + layer("sum", "Eltwise", "a b")
    assert cut_points(net(two)) == ["sum"]
