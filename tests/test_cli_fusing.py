"""The command line of fusions and of check: options as a user gives them."""

import json
from pathlib import Path

import pytest
from commands import run
from nets import conv, data, fc, layer, relu, small

from netbuild import proto

EMIT = ["emit", "fusion", "--data", "input", "-o", "net"]
TWO = [*EMIT, "--branch", "a=small.prototxt", "--branch", "b=small.prototxt"]


@pytest.fixture(autouse=True)
def nets_of_a_user(in_tmp):
    Path("small.prototxt").write_text(small())
    Path("back.prototxt").write_text(data("feat", (2, 4, 3, 3)) + fc("f", "feat") + fc("fc3", "f"))
    Path("two.prototxt").write_text(data() + conv("c", "data") + fc("one", "c") + fc("two", "c"))


def layers(name="train_val"):
    return {one.name: one for one in proto.read_net(f"net/{name}.prototxt").layer}


def test_learning_is_said_for_each_branch():
    run(
        *TWO,
        "--branch",
        "c=small.prototxt",
        "--lr",
        "a=0.5",
        "--frozen-to",
        "b=pool1",
        "--bn",
        "b=batch",
        "--classes",
        3,
    )
    found = layers()
    rates = {name: [spec.lr_mult for spec in one.param] for name, one in found.items() if one.param}
    assert rates["a/conv1"] == rates["a/fc1"] == [0.5, 0.5]
    assert rates["b/conv1"] == [0, 0]
    assert "b/fc1" not in rates
    assert rates["c/fc1"] == [0, 0]
    assert found["a/bn1"].batch_norm_param.use_global_stats
    # Up to the blob the branch is frozen, its statistics too.
    assert found["b/bn1"].batch_norm_param.use_global_stats


def test_batch_statistics():
    run(*TWO, "--trainable", "a", "--bn", "a=batch", "--classes", 3)
    assert not layers()["a/bn1"].batch_norm_param.HasField("use_global_stats")


def test_wires():
    back = ["--branch", "front=small.prototxt@pool1", "--branch", "back=back.prototxt"]
    run(*EMIT, *back, "--after", "front", "--no-head")
    assert list(layers("deploy")["back/f"].bottom) == ["front/pool1"]
    assert sorted(path.name for path in Path("net").iterdir()) == ["deploy.prototxt"]
    run(*EMIT, *back, "--branch", "more=small.prototxt", "--after", "back=front", "--classes", 3)
    assert list(layers()["concat"].bottom) == ["back/f", "more/fc1"]
    run(
        *EMIT,
        "--branch",
        "front=small.prototxt",
        "--branch",
        "back=back.prototxt",
        "--input",
        "back=front/pool1",
        "--classes",
        3,
    )
    assert list(layers()["concat"].bottom) == ["front/fc1", "back/f"]
    run(*TWO, "--input", "a=left", "--input", "b=right", "--share", "b=a", "--classes", 3)
    assert [one.name for one in layers()["b/conv1"].param] == ["a/conv1_0", "a/conv1_1"]


def test_a_branch_begins_at_a_blob_of_its_own():
    halves = ["--branch", "front=small.prototxt@pool1", "--branch", "back=small.prototxt"]
    run(*EMIT, *halves, "--input", "back=pool1:front", "--classes", 3)
    found = layers()
    assert [name for name in found if name.startswith("back/")] == ["back/fc1", "back/relu2", "back/drop"]
    assert list(found["back/fc1"].bottom) == ["front/pool1"]
    run("emit", "small.prototxt", "--input", "=pool1:code", "--classes", 3, "--data", "input", "-o", "net")
    assert list(layers()["data"].top) == ["code", "label"]
    assert list(layers()) == ["data", "fc1", "relu2", "drop", "fc3", "accuracy", "loss"]


def test_joins_and_heads():
    run(
        *TWO,
        "--join",
        "sum",
        "--coeff",
        "b=2",
        "--blob",
        "both",
        "--head",
        "x=4",
        "--hidden",
        7,
        "--loss",
        "EuclideanLoss",
    )
    found = layers()
    assert list(found["sum"].eltwise_param.coeff) == [1, 2]
    assert list(found["x_hidden"].bottom) == ["both"]
    assert found["loss"].type == "EuclideanLoss"
    run(*TWO, "--head", "x=4", "--head", "y", "--classes", 2, "--loss", "y=HingeLoss", "--loss-weight", "0.5")
    found = layers()
    assert [found[f"{name}_loss"].type for name in "xy"] == ["SoftmaxWithLoss", "HingeLoss"]
    assert [list(found[f"{name}_loss"].loss_weight) for name in "xy"] == [[0.5], [0.5]]
    run(*TWO, "--ensemble", "--join", "max")
    assert layers("test")["max"].eltwise_param.operation == 2


def test_means_of_branches():
    run(*TWO, "--mean", "a=1,2,3,4", "--mean", "b=none", "--scale", "b=0.5", "--classes", 3)
    found = layers("deploy")
    assert [found[f"a/data_mean{index}"].power_param.shift for index in range(4)] == [-1, -2, -3, -4]
    assert found["b/data_scale"].power_param.scale == 0.5
    run(*TWO, "--mean", "7", "--classes", 3)
    assert "a/data_mean" not in layers("deploy")


def test_one_prototxt_alone():
    run("emit", "small.prototxt", "--data", "input", "-o", "net", "--classes", 9)
    assert list(layers())[-3:] == ["fc3", "accuracy", "loss"]
    assert layers()["fc3"].inner_product_param.num_output == 9
    assert not layers()["conv1"].param
    run("emit", "small.prototxt", "--data", "input", "-o", "net", "--classes", 9, "--frozen")
    assert [spec.lr_mult for spec in layers()["conv1"].param] == [0, 0]
    run("emit", "small.prototxt", "--data", "input", "-o", "net", "--classes", 9, "--lr", "=0.5")
    assert [spec.lr_mult for spec in layers()["conv1"].param] == [0.5, 0.5]


def test_notes_go_to_stderr():
    Path("odd.prototxt").write_text(data() + layer("m", "Mystery", "data") + fc("f", "m") + fc("fc3", "f"))
    output = run(*EMIT, "--branch", "a=odd.prototxt", "--classes", 3)
    assert "note: branch 'a': layer 'm': the type 'Mystery' is not known here" in output


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (["--branch", "a=two.prototxt", "--classes", 3], "The net has 2 classifiers (one on c, two on c); name the seam", 1),
        (["--branch", "a=none.prototxt", "--classes", 3], "prototxt 'none.prototxt': no such file", 1),
        (["--branch", "a=small.prototxt@conv2", "--classes", 3], "no blob 'conv2' in the net; did you mean 'conv1'?", 1),
        (["--branch", "a=small.prototxt"], "--classes N, --head NAME=N, --ensemble or --no-head", 2),
        (["--branch", "a=lenet", "--classes", 3, "--trainable", "b"], "--trainable b: no branch has this prefix", 2),
        (["--branch", "a=lenet", "--classes", 3, "--bn", "a=batch"], "to let it learn, add --trainable a", 2),
        (["--branch", "a=lenet", "--classes", 3, "--bn", "a=both"], "expected PREFIX=global|batch", 2),
        (["--branch", "a=lenet", "--classes", 3, "--lr", "0.1"], "--lr: say for which branch, as in --lr PREFIX=VALUE", 2),
        (["--branch", "a=lenet", "--classes", 3, "--lr", "a=fast"], "expected PREFIX=FACTOR", 2),
        (["--branch", "a=lenet", "--classes", 3, "--after", "b"], "--after b: ", 2),
        (["--branch", "a=lenet", "--head", "x"], "--head x: how many classes? Give --head x=N", 2),
        (["--branch", "a=lenet", "--head", "x=many"], "expected a number of classes", 2),
        (["--branch", "a=lenet", "--head", "x=2", "--loss", "y=HingeLoss"], "--loss y: no head has this name", 2),
        (["--branch", "a=lenet", "--classes", 3, "--loss", "Hinge"], "one of SoftmaxWithLoss, HingeLoss", 2),
        (["--branch", "a=lenet", "--branch", "b=lenet", "--ensemble", "--head", "x=2"], "--head does not go with", 2),
        (["--branch", "a=lenet", "--classes", 3, "--shape", "a=1,x,3"], "expected [PREFIX=]C,H,W", 2),
        (["--branch", "a=lenet", "--classes", 3, "--train-source", "x=y.txt"], "no input or label of the net is called 'x'", 2),
        (["--branch", "a=lenet", "--classes", 3, "--coeff", "a=2"], "a concat join has no coefficients", 1),
        (["--branch", "a=lenet", "--classes", 3, "--mean", "1", "--mean", "2"], "the value for all is given twice", 2),
        (["--branch", "a=lenet", "--classes", 3, "--mean", "nan"], "expected [PREFIX=]V[,V,V] (a finite number)", 2),
        (["--branch", "a=lenet", "--classes", 3, "--scale", "a=1e39"], "expected [PREFIX=]FACTOR (a finite number)", 2),
        (["--branch", "a=lenet", "--classes", 3, "--scale", "0"], "(not 0, which makes all images alike)", 2),
        (["--branch", "a=lenet", "--classes", 3, "--lr", "a=inf"], "expected PREFIX=FACTOR (a finite number)", 2),
        (["--branch", "a=lenet", "--classes", 3, "--loss-weight", "nan"], "expected [HEAD=]W (a finite number)", 2),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_sentence_and_write_nothing(arguments, sentence, code):
    assert sentence in run(*EMIT, *arguments, code=code)
    assert not Path("net").exists()


def test_check_tells_everything_at_once():
    assert run("check", "small.prototxt").splitlines() == [
        "small.prototxt: 11 layers, nothing wrong in phase TEST",
        "note: small.prototxt: input 'data': nothing here tells how its images are prepared (mean, scale, crop)",
    ]
    assert run("check", "small.prototxt", "--seams").splitlines()[:4] == [
        "conv1 (N, 4, 6, 6)", "pool1 (N, 4, 3, 3)", "fc1 (N, 5)", "fc3 (N, 3)",
    ]  # fmt: skip
    bad = data() + conv("c", "dat") + conv("c", "data", 0) + layer("m", "Mystery", "data") + relu("r", "c")
    Path("bad.prototxt").write_text(bad)
    output = run("check", "bad.prototxt", code=1)
    for sentence in (
        "are all called 'c'",
        "unknown bottom 'dat'",
        "num_output must be given",
        "'Mystery' is not known",
    ):
        assert sentence in output
    report = json.loads(run("check", "bad.prototxt", "--json", code=1).rpartition("Error")[0])
    assert len(report["problems"]) == output.count("bad.prototxt:") - 1
    assert report["unknown_types"] == {"m": "Mystery"}
    assert "no builder called 'bad'" in run("check", "bad", code=1)
    assert "ip1 (N, 500)" in run("check", "lenet", "--seams")
