"""Frozen layers that get no weights: a branch nobody trained is refused, values that are meant are not."""

import os

import numpy as np
import pytest
from commands import run
from nets import conv, data, fc, layer, net

from netbuild.graph.filled import unfilled

FROZEN = "param { lr_mult: 0 } param { lr_mult: 0 }"
ONCE = "param { lr_mult: 0 }"
LOSS = layer("label", "Input", more="input_param { shape { dim: 2 } }") + layer(
    "loss", "SoftmaxWithLoss", "score label"
)
TRAINED = (
    data(shape=(2, 3, 6, 6))
    + conv("odd/conv", "data", more=FROZEN)
    + conv("even/conv", "data", more=FROZEN)
    + layer("cat", "Concat", "odd/conv even/conv")
    + fc("score", "cat")
    + LOSS
)
ONE = "num_output: 1 kernel_size: 1"
UP = "num_output: 4 kernel_size: 4 stride: 2 pad: 1 group: 4 bias_term: false"
MEAN = "weight_filler { value: 0.3 }"


def up(kind):
    return f"convolution_param {{ {UP} weight_filler {{ type: '{kind}' }} }} {ONCE}"


def one(fillers, more=FROZEN):
    return f"convolution_param {{ {ONE} {fillers} }} {more}"


@pytest.mark.parametrize(
    ("kind", "more", "meant"),
    [
        ("Deconvolution", up("bilinear"), True),
        ("Deconvolution", up("msra"), False),
        ("Convolution", one(MEAN), True),
        ("Convolution", one("weight_filler { value: 0 }"), False),
        ("Convolution", one(""), False),
        ("Convolution", one(f"{MEAN} bias_filler {{ type: 'gaussian' }}"), False),
        ("Scale", f"scale_param {{ filler {{ value: 0.004 }} }} {ONCE}", True),
        ("Scale", ONCE, False),
        ("BatchNorm", "batch_norm_param { use_global_stats: true }", False),
        ("BatchNorm", f"{ONCE} {ONCE} {ONCE}", True),  # of the batch, in training: nothing is frozen
        ("Convolution", one("", ONCE), True),  # the bias learns
        ("Convolution", one("", ""), True),  # all learns
        ("Mystery", FROZEN, True),  # nobody here knows what it holds
    ],
)
def test_what_may_stay_at_its_filler(kind, more, meant):
    message = net(data(shape=(2, 4, 6, 6)) + layer("x", kind, "data", more=more) + fc("score", "x") + LOSS)
    assert unfilled(message, []) == ([] if meant else ["x"])
    assert unfilled(message, ["x"]) == []


def test_a_layer_that_is_another_in_each_phase_is_what_training_makes_of_it():
    """As the two layers `bn` of nets trained from scratch: batch statistics in TRAIN, the global ones in TEST."""
    norm = "batch_norm_param { use_global_stats: %s } include { phase: %s }"
    both = [layer("bn", "BatchNorm", "data", more=norm % told) for told in (("false", "TRAIN"), ("true", "TEST"))]
    text = data() + "".join(both) + fc("score", "bn") + LOSS
    assert unfilled(net(text), []) == []
    assert unfilled(net(text.replace("use_global_stats: false", "use_global_stats: true")), []) == ["bn"]


def test_a_shared_rate_freezes_who_leaves_it_to_another():
    """Caffe moves no blob whose rate one of its layers gives as 0 (Net::AppendParam)."""
    spec = 'param { name: "w" %s } param { name: "b" %s }'
    text = conv("one", "data", more=spec % ("lr_mult: 0", "lr_mult: 0")) + conv("two", "one", more=spec % ("", ""))
    assert unfilled(net(data() + text + fc("score", "two") + LOSS), []) == ["one", "two"]


def test_values_of_the_definition_and_of_a_layer_that_shares_them_are_given():
    shared = 'param { name: "w" lr_mult: 0 } param { name: "b" lr_mult: 0 }'
    text = conv("one", "data", more=shared) + conv("two", "one", more=shared) + fc("score", "two") + LOSS
    message = net(data() + text)
    assert unfilled(message, []) == ["one", "two"]
    assert unfilled(message, ["one"]) == unfilled(message, ["two"]) == []
    for number in (0, 1):
        message.layer[1].blobs.add().data.append(number)
    assert unfilled(message, []) == []


def test_in_a_net_that_does_not_train_a_branch_beside_those_with_weights_is_not_meant():
    text = TRAINED[: -len(LOSS)].replace("lr_mult: 0", "")
    assert unfilled(net(text), ["odd/conv"]) == ["even/conv"]
    assert unfilled(net(text), ["odd/conv", "even/conv"]) == []
    assert unfilled(net(text), ["score"]) == ["odd/conv", "even/conv"]


@pytest.fixture()
def job(in_tmp, caffe):
    """A net of two frozen branches with a head, weights for one of them, and a solver."""
    in_tmp.joinpath("net.prototxt").write_text(TRAINED)
    in_tmp.joinpath("alone.prototxt").write_text(data(shape=(2, 3, 6, 6)) + conv("conv", "data"))
    caffe.Net("alone.prototxt", caffe.TEST).save("alone.caffemodel")
    solver = 'net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "s" solver_mode: CPU'
    in_tmp.joinpath("solver.prototxt").write_text(solver)
    return in_tmp


def test_a_frozen_branch_without_weights_is_refused(job, caffe):
    both = ["--weights", "odd=alone.caffemodel", "--weights", "even=alone.caffemodel"]
    told = run("fuse", "net.prototxt", *both[:2], "-o", "init.caffemodel", code=1)
    assert "1 frozen layers would get no weights" in told
    assert "even/conv; add --weights even=FILE" in told
    assert "--partial" in told
    assert not (job / "init.caffemodel").exists()
    assert "left to their fillers: even/conv, score" in run(
        "fuse", "net.prototxt", *both[:2], "--partial", "-o", "half"
    )
    run("fuse", "net.prototxt", *both, "-o", "init.caffemodel")
    for weights in ([], ["--weights", "half"]):
        told = run("train", "solver.prototxt", *weights, "-o", "run", code=1)
        assert "frozen layers get no trained weights" in told
        assert "even/conv" in told
        assert not (job / "run").exists()
    run("train", "solver.prototxt", "--weights", "init.caffemodel", "-o", "run", "--no-plot")
    # A solver that names its weights itself loads them, as Caffe's does.
    (job / "own.prototxt").write_text((job / "solver.prototxt").read_text() + ' weights: "half, init.caffemodel"')
    run("train", "own.prototxt", "-o", "own", "--no-plot")
    saved = caffe.Net("net.prototxt", os.fspath(job / "own" / "s_iter_1.caffemodel"), caffe.TEST)
    alone = caffe.Net("alone.prototxt", "alone.caffemodel", caffe.TEST)
    assert np.array_equal(saved.params["even/conv"][0].data, alone.params["conv"][0].data)
    # What is meant to stay as chance made it can be trained all the same; what goes on has everything.
    told = run("train", "solver.prototxt", "--weights", "half", "--force", "-o", "chance", "--no-plot")
    assert "note: 1 frozen layers get no trained weights (even/conv)" in told
    resume = ["--resume", "chance/s_iter_1.solverstate", "--max-iter", "2", "--no-plot"]
    assert "frozen layers" not in run("train", "solver.prototxt", *resume, "-o", "chance")


def test_an_upsampling_and_a_net_that_learns_as_a_whole_need_no_weights(job):
    front = data(shape=(2, 3, 6, 6)) + conv("odd/conv", "data", more=FROZEN)
    (job / "net.prototxt").write_text(
        front + layer("up", "Deconvolution", "odd/conv", more=up("bilinear")) + fc("score", "up") + LOSS
    )
    run("fuse", "net.prototxt", "--weights", "odd=alone.caffemodel", "-o", "init.caffemodel")
    assert "frozen" not in run("train", "solver.prototxt", "--weights", "init.caffemodel", "-o", "a", "--no-plot")
    (job / "net.prototxt").write_text(TRAINED.replace(FROZEN, ""))
    assert "frozen" not in run("train", "solver.prototxt", "-o", "b", "--no-plot")
