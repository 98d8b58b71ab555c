"""Nets that have blobs and layers called as netbuild calls its own: real Caffe says whether they stay the same net."""

import numpy as np
import pytest
from commands import invoke, run
from nets import data, fc, layer, net

from netbuild import proto
from netbuild.errors import GraphError
from netbuild.graph.rename import renamed
from netbuild.names import free

SHAPE = (1, 3, 8, 8)
OWN_BLOB = (
    data("image", SHAPE)
    + layer("c0", "Convolution", "image", "data", 'convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "gaussian" std: 1 } }')
    + layer("mul", "Eltwise", "image data", "sum")
    + fc("ip", "sum", 4)
    + fc("fc", "ip", 2)
)  # fmt: skip
OWN_LAYER = (
    layer("in", "Input", "", "color", "input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } }")
    + layer("data", "Power", "color", "data", "power_param { scale: 2 }")
    + fc("ip", "data", 4)
    + fc("fc", "ip", 2)
)
LAYER_ALONE = OWN_LAYER.replace('top: "data"', 'top: "x"').replace('bottom: "data"', 'bottom: "x"')
SECOND_INPUT = (
    data("image", SHAPE)
    + data("data", SHAPE)
    + layer("less", "Eltwise", "image data", "s", "eltwise_param { coeff: 1 coeff: -1 }")
    + fc("ip", "s", 4)
    + fc("fc", "ip", 2)
)
EVERY_NAME = (
    layer("image", "Input", "", "in", "input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } }")
    + layer("in", "Power", "in", "label", "power_param { scale: 2 }")
    + layer("loss", "Power", "label", "accuracy", "power_param { shift: 1 }")
    + layer("prob", "Sigmoid", "accuracy", "data_mean")
    + layer("data_scale", "Eltwise", "data_mean in", "ip_hidden")
    + fc("concat", "ip_hidden", 4).replace('top: "concat"', 'top: "ip"')
    + fc("fc", "ip", 2)
)
NETS = {
    "own blob": OWN_BLOB,
    "own layer": OWN_LAYER,
    "layer alone": LAYER_ALONE,
    "second input": SECOND_INPUT,
    "every name": EVERY_NAME,
}


@pytest.fixture(params=NETS)
def original(request, caffe, in_tmp):
    """A net, its weights, and what it computes: (its blobs by name, its inputs in order)."""
    (in_tmp / "net.prototxt").write_text('name: "x"\n' + NETS[request.param])
    alone = caffe.Net("net.prototxt", caffe.TEST)
    alone.save("net.caffemodel")
    return computed(alone)


def computed(alone):
    random = np.random.RandomState(0)
    for blob in alone.inputs:
        alone.blobs[blob].data[...] = random.rand(*alone.blobs[blob].data.shape)
    alone.forward()
    return {name: blob.data.copy() for name, blob in alone.blobs.items()}, list(alone.inputs)


def test_a_net_alone_stays_the_net_it_is(original, caffe):
    blobs, inputs = original
    run("emit", "net.prototxt", "--classes", 2, "--data", "input", "-o", "out")
    emitted = caffe.Net("out/deploy.prototxt", "net.caffemodel", caffe.TEST)
    assert len(emitted.inputs) == len(inputs)
    found, _ = computed(emitted)
    for seam in ("ip", "fc"):
        assert found[seam].tobytes() == blobs[seam].tobytes()
    for phase in (caffe.TRAIN, caffe.TEST):
        caffe.Net("out/train_val.prototxt", phase, weights="net.caffemodel").forward()


def test_a_head_of_netbuilds_own_makes_way(original, caffe):
    blobs, _ = original
    run("emit", "net.prototxt@ip", "--classes", 4, "--hidden", 3, "--data", "input", "-o", "out")
    emitted = caffe.Net("out/deploy.prototxt", "net.caffemodel", caffe.TEST)
    assert computed(emitted)[0]["ip"].tobytes() == blobs["ip"].tobytes()
    assert emitted.blobs[emitted.outputs[0]].data.sum() == pytest.approx(1)
    caffe.Net("out/train_val.prototxt", caffe.TRAIN).forward()


def test_branches_are_proved_equal_and_come_out_again(original, caffe):
    blobs, inputs = original
    second = [f"--input={prefix}=image:image" for prefix in "ab" if len(inputs) > 1]
    told = ["--mean", "a=3", "--mean", "b=4"] if len(inputs) == 1 else []
    branches = ["--branch", "a=net.prototxt", "--branch", "b=net.prototxt"]
    weights = ["--weights", "a=net.caffemodel", "--weights", "b=net.caffemodel"]
    run("emit", "fusion", *branches, *second, "--classes", 3, "--data", "input", "--test-batch", 1, "-o", "out")
    run("fuse", "out/train_val.prototxt", *weights, "-o", "init.caffemodel")
    told_of = run("verify", "out/train_val.prototxt", "init.caffemodel", *branches, *weights)
    assert told_of.count("bit-equal") == 2
    run("extract", "a", "out/train_val.prototxt", "init.caffemodel", "-o", "again")
    again, _ = computed(caffe.Net("again/a.prototxt", "again/a.caffemodel", caffe.TEST))
    assert again["ip"].tobytes() == blobs["ip"].tobytes()
    if told:
        run("emit", "fusion", *branches, *told, "--classes", 3, "--data", "input", "-o", "prepared")
        caffe.Net("prepared/deploy.prototxt", caffe.TEST).forward()


def test_what_makes_way_is_said_once(in_tmp):
    (in_tmp / "net.prototxt").write_text(OWN_BLOB)
    said = run("emit", "net.prototxt", "--classes", 2, "--data", "input", "-o", "out")
    assert said.count("net.prototxt: 'data' is a name of its own, so that its input keeps the name 'image'") == 1
    (in_tmp / "net.prototxt").write_text(EVERY_NAME)
    said = run(
        "emit", "net.prototxt@ip", "--classes", 2, "--head", "h=2", "--hidden", 3, "--data", "input", "-o", "out"
    )
    for name in ("label", "loss", "accuracy", "prob"):
        assert (
            said.count(f"'{name}' is a name of the net's own; what is added under this name is called '{name}_2'") == 1
        )


def test_a_published_net_whose_classifier_would_be_one_of_its_layers(in_tmp):
    said = run("emit", "caffenet@fc7", "--classes", 6, "--data", "input", "-o", "out")
    assert "'fc6' is a name of the net's own" in said
    emitted = proto.read_net("out/deploy.prototxt")
    assert [one.name for one in emitted.layer].count("fc6") == 1
    assert (emitted.layer[-2].name, list(emitted.layer[-2].bottom)) == ("fc6_2", ["fc7"])


@pytest.mark.parametrize("chosen", [["--head", "prob=2"], ["--head", "label=2"]])
def test_a_name_of_the_users_choice_is_not_changed(in_tmp, chosen):
    (in_tmp / "net.prototxt").write_text(EVERY_NAME)
    said = invoke("emit", "net.prototxt@ip", *chosen, "--data", "input", "-o", "out", code=1).output
    assert "a layer or blob of the net is called so already; choose another name" in said
    assert not (in_tmp / "out").exists()


@pytest.mark.parametrize(
    ("wires", "sentence"),
    [
        ([], "nothing is given for its input 'data', and 'data' feeds another, 'image'"),
        (["--input", "a=image:a/s"], "branch 'a' is to read 'a/s', which is no blob of that branch"),
    ],
)
def test_two_inputs_never_become_one(in_tmp, wires, sentence):
    (in_tmp / "net.prototxt").write_text(SECOND_INPUT)
    options = ["--branch", "a=net.prototxt", "--classes", 2, "--data", "input", "-o", "out"]
    assert sentence in invoke("emit", "fusion", *options, *wires, code=1).output


def test_renaming_lets_no_two_blobs_meet():
    message = net(OWN_BLOB)
    del message.layer[0]
    with pytest.raises(
        GraphError, match="its input 'image' is called 'data', and so would be the top of its layer 'c0'"
    ):
        renamed(message, str, {"image": "data"})
    in_place = net(layer("r", "ReLU", "image", "image"))
    assert list(renamed(in_place, str, {"image": "data"}).layer[0].bottom) == ["data"]
    assert list(renamed(in_place, str, {"image": "image"}).layer[0].bottom) == ["image"]


@pytest.mark.parametrize(("seam", "classifier"), [("label", "loss"), ("concat", "accuracy"), ("x", "concat")])
def test_a_classifier_called_as_what_is_added_after_it(caffe, in_tmp, seam, classifier):
    (in_tmp / "net.prototxt").write_text(data("image", SHAPE) + fc(seam, "image", 4) + fc(classifier, seam, 2))
    branches = ["--branch", "a=net.prototxt", "--branch", "b=net.prototxt"]
    run("emit", "fusion", *branches, "--classes", 3, "--data", "input", "-o", "out")
    made = proto.read_net("out/train_val.prototxt")
    named = [one.name for one in made.layer if one.type != "Input"]
    assert len(set(named)) == len(named)
    for phase in (caffe.TRAIN, caffe.TEST):
        caffe.Net("out/train_val.prototxt", phase).forward()
    (loss,) = (one for one in made.layer if one.type == "SoftmaxWithLoss")
    scores = next(one for one in made.layer if one.top[:1] == loss.bottom[:1])
    assert (scores.type, scores.inner_product_param.num_output) == ("InnerProduct", 3)
    assert loss.top[0] not in loss.bottom


def test_a_free_name():
    assert [free("a", taken) for taken in ((), ("b",), ("a",), ("a", "a_2", "a_3"))] == ["a", "a", "a_2", "a_4"]
