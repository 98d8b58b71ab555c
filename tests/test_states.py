"""Stages, levels and phases: real Caffe says which layers a net has, in each net of a solver too."""

import os
import re

import numpy as np
import pytest
from commands import run
from nets import conv, fc, layer, net

from netbuild import (
    MNIST,
    DataSource,
    Features,
    Fusion,
    Original,
    Staged,
    differences,
    emit_files,
    extract_branch,
    find_branch,
    fuse_weights,
    lenet,
    problems,
    proto,
    prototxt,
    summarize,
    train_solver,
    verify_branches,
)
from netbuild.errors import GraphError, NetbuildWarning
from netbuild.graph.phases import made_for
from netbuild.schema import TEST, TRAIN, netspec
from netbuild.solving import labels, nets_of
from netbuild.train.log import read_log
from netbuild.train.prepare import checked_solver
from netbuild.weights.index import index

DUMMY = (
    "dummy_data_param { shape { dim: 4 dim: 6 } shape { dim: 4 } data_filler { value: 0.5 } data_filler { value: %d } }"
)
LOSS = "SoftmaxWithLoss"


def dummy(name, label, rule):
    return layer(name, "DummyData", "", "data label", f"include {{ {rule} }} {DUMMY % label}")


TESTED_TWICE = "".join(
    [
        'name: "twice"\n',
        dummy("data", 1, "phase: TRAIN"),
        dummy("data", 1, "phase: TEST stage: 'on-train'"),
        dummy("data", 0, "phase: TEST stage: 'on-test'"),
        fc("wide", "data", 3, "include { min_level: 1 }"),
        fc("fc", "data", 2),
        layer("loss", LOSS, "fc label"),
    ]
)
ALL_IN_ONE = "".join(
    [
        layer(
            "data", "Input", more="input_param { shape { dim: 2 dim: 4 dim: 6 dim: 6 } } include { stage: 'deploy' }"
        ),
        layer("lists", "DummyData", "", "data label", "exclude { stage: 'deploy' } " + DUMMY % 1),
        conv("conv1", "data", more="include { stage: 'deploy' }"),
        fc("fc1", "conv1", more="include { stage: 'deploy' }"),
        fc("flat", "data", 3, "exclude { stage: 'deploy' }"),
        layer("loss", LOSS, "flat label", more="exclude { stage: 'deploy' }"),
        layer("prob", "Softmax", "fc1", more="include { stage: 'deploy' }"),
    ]
)
SOLVER = (
    'base_lr: 0.1 lr_policy: "fixed" max_iter: 4 test_interval: 2 snapshot_prefix: "s" random_seed: 1 solver_mode: CPU '
)
STATES = "test_state { stage: 'on-train' } test_iter: 2 test_state { stage: 'on-test' } test_iter: 3 "


def names(built):
    return [name for name in built._layer_names if "_split" not in name]


def kept(view):
    return [one.name for _, one in view.layers]


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    """The current folder, with the nets above."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "twice.prototxt").write_text(TESTED_TWICE)
    (tmp_path / "own.prototxt").write_text("state { stage: 'on-test' level: 1 } " + TESTED_TWICE)
    (tmp_path / "all.prototxt").write_text(ALL_IN_ONE)
    return tmp_path


SOLVERS = [
    ("net: 'twice.prototxt' " + STATES, ["on-train", "on-test"]),
    ("net: 'twice.prototxt' train_state { level: 1 stage: 'on-test' } " + STATES, ["on-train", "on-test"]),
    ("net: 'own.prototxt' test_iter: 1", [""]),
    ("net: 'own.prototxt' test_iter: 1 test_iter: 2", ["#0", "#1"]),
    ("train_net: 'twice.prototxt' test_net: 'own.prototxt' test_iter: 1 test_state { level: 0 }", [""]),
    ("net: 'own.prototxt' test_net: 'twice.prototxt' " + STATES, ["on-train", "on-test"]),
    (f"net_param {{ {TESTED_TWICE} }} test_net: 'own.prototxt' test_iter: 1", [""]),
    (
        f"net: 'own.prototxt' test_net: 'own.prototxt' test_net_param {{ {TESTED_TWICE} state {{ stage: 'on-train' }} }} "
        "test_iter: 1 test_iter: 1 test_iter: 1",
        ["#0", "#1", "#2"],
    ),
    ("net: 'twice.prototxt' train_state { phase: TEST stage: 'on-test' }", []),
    (
        "train_net: 'twice.prototxt' test_net: 'twice.prototxt' test_net: 'twice.prototxt' " + STATES,
        ["on-train", "on-test"],
    ),
]


@pytest.mark.parametrize("text, told", SOLVERS)
def test_a_solvers_nets_are_those_that_caffe_builds(caffe, folder, text, told):
    (folder / "solver.prototxt").write_text(SOLVER + text)
    built = caffe.get_solver("solver.prototxt")
    checked = checked_solver("solver.prototxt", None)
    assert [kept(one.view) for one in checked.nets] == [names(one) for one in (built.net, *built.test_nets)]
    assert [one.label for one in checked.tested] == told


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "exactly one of net, train_net, net_param, train_net_param is needed, found none"),
        ("net: 'a' train_net: 'b'", "found net, train_net"),
        ("net: 'a' test_net: 'b' test_net: 'c' test_iter: 1", "2 test nets need as many test_iter, found 1"),
        ("train_net: 'a' test_iter: 1", "0 test nets need as many test_iter, found 1"),
        (
            "net: 'a' test_iter: 1 test_state { } test_state { }",
            "1 test nets need as many test_state, or none; found 2",
        ),
    ],
)
def test_numbers_of_nets_that_do_not_fit_are_refused(text, sentence):
    with pytest.raises(GraphError, match=re.escape(sentence)):
        nets_of(proto.parsed_solver(text))


def test_test_nets_are_told_apart_by_their_files_where_stages_do_not():
    tested = nets_of(
        proto.parsed_solver("train_net: 'a' test_net: 'x/b.prototxt' test_net: 'c.prototxt' test_iter: 1 test_iter: 1")
    )
    assert labels(tested[1:]) == ["b", "c"]


def test_each_test_net_has_its_own_scores_in_result_and_log(caffe, folder):
    (folder / "solver.prototxt").write_text(f"{SOLVER} net: 'twice.prototxt' {STATES}")
    result = train_solver("solver.prototxt", "run")
    assert set(result.scores) == {"loss (on-train)", "loss (on-test)"}
    for stage in ("on-train", "on-test"):
        own = caffe.Net("twice.prototxt", caffe.TEST, stages=[stage])
        own.copy_from(os.fspath(result.caffemodel))
        assert result.scores[f"loss ({stage})"] == pytest.approx(float(own.forward()["loss"]), rel=1e-5)
    assert [at for at, _ in read_log(result.log)["TEST", "loss (on-test)"]] == [0, 2, 4]
    # It was trained on labels of 1 alone.
    assert result.scores["loss (on-train)"] < result.scores["loss (on-test)"]


def test_a_head_is_trained_on_features_of_the_states_of_its_nets(caffe, folder, small_lists):
    """To the values of the whole net; and a snapshot has the frozen layers of the state in which it is trained."""
    lists = {"train_source": str(small_lists.path("train_all")), "test_source": str(small_lists.path("val_all"))}
    options = {"max_iter": "6", "test_interval": "6", "snapshot_prefix": "s"}
    emit_files(Fusion({"a": lenet}, 10), DataSource(MNIST, **lists), "net", solver_options=options)
    built = folder / "net" / "train_val.prototxt"
    more = fc("a/more", "a/ip1", 2, "include { stage: 'more' } param { lr_mult: 0 } param { lr_mult: 0 decay_mult: 0 }")
    staged = built.read_text().replace("phase: TEST", "phase: TEST stage: 'val'")
    built.write_text(staged.replace("phase: TRAIN", "phase: TRAIN stage: 'tr'") + more)
    solver = folder / "net" / "solver.prototxt"
    solver.write_text(solver.read_text() + "random_seed: 1 train_state { stage: 'tr' } test_state { stage: 'val' }")
    caffe.Net(str(built), caffe.TEST, stages=["val"]).save("w.caffemodel")
    runs = [
        train_solver(solver, f"run{number}", weights="w.caffemodel", features=features)
        for number, features in enumerate([Features(folder="f"), Features("off")])
    ]
    assert (folder / "f" / "head_train.prototxt").exists()
    layers = [{one.name for one in index(run.caffemodel).layers if one.blobs} for run in runs]
    assert layers[0] == layers[1]
    assert "a/conv1" in layers[0] and "a/more" not in layers[0]
    assert runs[0].scores == pytest.approx(runs[1].scores, rel=1e-3)


def test_a_training_takes_stages_and_level_as_caffe_train_does(caffe, folder):
    """They are those of the net that is trained; snapshots have the layers of that state."""
    (folder / "solver.prototxt").write_text(f"{SOLVER} net: 'twice.prototxt' {STATES}")
    result = train_solver("solver.prototxt", "run", level=1)
    assert {one.name for one in index(result.caffemodel).layers if one.blobs} == {"fc", "wide"}
    with pytest.warns(
        NetbuildWarning, match="names the stage 'on-tset', which changes nothing; did you mean 'on-test'?"
    ):
        checked_solver("solver.prototxt", None, stages=["on-tset"])


def test_a_test_net_whose_parameters_do_not_fit_is_refused(folder):
    (folder / "other.prototxt").write_text(TESTED_TWICE.replace("num_output: 2", "num_output: 3"))
    text = "train_net: 'twice.prototxt' test_net: 'other.prototxt' test_iter: 1 test_state { stage: 'on-test' }"
    (folder / "solver.prototxt").write_text(SOLVER + text)
    with pytest.raises(
        GraphError, match=r"other.prototxt: layer 'fc': its parameters have the shapes .2, 6. .* in TRAIN"
    ):
        checked_solver("solver.prototxt", None)


def test_a_net_of_an_old_format_within_the_solver_is_refused(folder):
    """Caffe upgrades files alone: it would see no input, and abort."""
    inside = "net_param { input: 'data' input_shape { dim: 1 dim: 3 } " + fc("ip", "data") + "}"
    (folder / "solver.prototxt").write_text(SOLVER + inside)
    with pytest.raises(GraphError, match="solver: net_param: is in an old format"):
        checked_solver("solver.prototxt", None)


def test_a_test_net_that_lacks_its_stage_is_refused_with_the_rule(folder):
    (folder / "solver.prototxt").write_text(f"{SOLVER} net: 'twice.prototxt' test_iter: 1")
    with pytest.raises(GraphError, match="layer 'data' makes it, but only in phase TEST with stage 'on-train'"):
        checked_solver("solver.prototxt", None)


@pytest.mark.parametrize("level, stages", [(None, []), (0, ["on-test"]), (1, ["on-train"]), (2, [])])
def test_a_nets_own_state_and_that_of_the_caller_are_caffes(caffe, folder, level, stages):
    """But that caffe.Net takes level 0, where a solver has the net's own."""
    (folder / "n.prototxt").write_text(
        "state { stage: 'extra' } " + TESTED_TWICE + fc("more", "fc", 2, "include { stage: 'extra' }")
    )
    for phase in (TRAIN, TEST):
        if phase == TEST and not stages:
            continue
        built = caffe.Net("n.prototxt", phase, level=level or 0, stages=stages)
        found = proto.net_of(Staged("n.prototxt", stages, level))
        assert kept_in(found, phase) == names(built)
        assert kept_in(proto.read_net("n.prototxt", stages=stages, level=level), phase) == names(built)
    assert problems(Staged("n.prototxt", ["on-test"])) == []


def kept_in(message, phase):
    return [one.name for one in proto.only_phase(message, phase).layer]


def test_what_is_only_of_one_state_knows_no_state(folder):
    found = proto.only_phase(proto.net_of(Staged("all.prototxt", ["deploy"])), TEST)
    assert not found.HasField("state")
    assert [one.name for one in found.layer] == ["data", "conv1", "fc1", "prob"]
    assert not any(one.include or one.exclude for one in found.layer)


INPUT = layer("data", "Input", more="input_param { shape { dim: 1 dim: 3 } }")
ONLY_TEST = fc("ip", "data", 2, "include { phase: TEST }")


@pytest.mark.parametrize(
    "text, expected",
    [
        (INPUT + fc("ip", "data"), (TEST,)),
        (INPUT + ONLY_TEST + layer("prob", "Softmax", "ip"), (TEST,)),
        (INPUT + ONLY_TEST + fc("x", "data") + layer("loss", "EuclideanLoss", "x x"), (TEST, TRAIN)),
        (dummy("d", 1, "phase: TRAIN") + ONLY_TEST, (TRAIN,)),
        (layer("d", "DummyData", "", "data", "dummy_data_param { shape { dim: 1 } }") + ONLY_TEST, (TEST,)),
        (layer("p", "Parameter") + INPUT + ONLY_TEST, (TEST,)),
        (layer("d", "Data", "", "data") + ONLY_TEST, (TEST, TRAIN)),
        (layer("d", "Input", "", "data", "include { phase: TRAIN }") + INPUT + ONLY_TEST, (TEST, TRAIN)),
        ("state { phase: TRAIN } " + INPUT + fc("ip", "data"), (TRAIN,)),
    ],
)
def test_the_phases_that_a_net_is_made_for(text, expected):
    assert made_for(net(text)) == expected


def test_a_deploy_net_with_a_rule_is_judged_in_test_as_caffe_runs_it(caffe, tmp_path):
    text = INPUT + ONLY_TEST + layer("prob", "Softmax", "ip")
    (tmp_path / "n.prototxt").write_text(text)
    assert caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST).blobs["prob"].data.shape == (1, 2)
    assert problems(net(text)) == []
    assert problems(net(text), in_phases=[TRAIN]) == [
        "layer 'prob': unknown bottom 'ip'; layer 'ip' makes it, but only in phase TEST"
    ]


def test_an_unknown_bottom_names_the_rules_that_hide_its_maker(folder):
    hidden = fc("x", "data", 2, "include { stage: 'a' not_stage: 'b' } include { min_level: 2 max_level: 3 }")
    (sentence,) = problems(net(INPUT + hidden + layer("r", "ReLU", "x", "r")))
    assert sentence == (
        "layer 'r': unknown bottom 'x'; layer 'x' makes it, but only with stage 'a' without stage 'b' or from level 2 on "
        "up to level 3; Staged(net, ['a']) builds the net with it"
    )
    (folder / "n.prototxt").write_text(INPUT + hidden + layer("r", "ReLU", "x", "r"))
    refused = run("check", "n.prototxt", code=1)
    assert "; --stage a builds the net with it" in refused


def test_a_branch_is_of_the_state_that_is_asked_for(caffe, folder):
    """What is emitted has neither the layers of other states nor any rule."""
    spec = netspec().NetSpec()
    spec.data = netspec().layers.Input()
    prototxt(Staged("all.prototxt", ["deploy"]), "conv1")(spec, spec.data, "a")
    (written,) = spec.to_proto().layer[1:]
    assert (written.name, list(written.include)) == ("a/conv1", [])
    found = find_branch("all.prototxt@conv1", stages=["deploy"])(netspec().NetSpec(), None, "b")
    assert found.seam == "conv1"
    assert Fusion({"c": Staged("all.prototxt@conv1", ["deploy"])}).specs["c"].frozen
    with pytest.raises(GraphError, match="lenet: the layers of a builder are in every stage; stages="):
        find_branch("lenet", stages=["deploy"])


def test_a_stage_that_no_rule_names_is_told(folder):
    with pytest.warns(NetbuildWarning, match="all.prototxt: no rule .* 'deplo', .*; did you mean 'deploy'?"):
        proto.net_of(Staged("all.prototxt", ["deplo"]))
    with pytest.warns(NetbuildWarning, match="the net: no rule .* 'x', which changes nothing; they name none"):
        proto.net_of(Staged(net(INPUT), ["x"]))


def test_nets_with_a_state_are_compared_as_they_are_built():
    one = INPUT + fc("x", "data", 2, "include { stage: 'a' }") + fc("y", "data", 2, "exclude { stage: 'a' }")
    assert not differences(net(one), net(one)).any
    as_built = differences(Staged(net(one), ["a"]), net(INPUT + fc("x", "data", 2)))
    assert not as_built.any
    assert differences(net(one), net(INPUT + fc("x", "data", 2))).removed == ["y"]
    in_train = INPUT + fc("x", "data", 2, "include { phase: TRAIN stage: 'a' }")
    assert differences(Staged(net(in_train), ["a"]), net(INPUT + fc("x", "data", 2))).changed["x"][0].field == "phase"


def test_weights_are_those_of_the_layers_of_the_state(caffe, folder):
    """Fused, proved, and taken out again: conv1 and fc1, and nothing of `flat`, which Caffe does not build."""
    built = caffe.Net("all.prototxt", caffe.TEST, stages=["deploy"])
    built.save("a.caffemodel")
    one = Staged("all.prototxt", ["deploy"])
    target = ALL_IN_ONE.replace('"conv1"', '"a/conv1"').replace('"fc1"', '"a/fc1"')
    (folder / "target.prototxt").write_text(target)
    staged = Staged("target.prototxt", ["deploy"])
    fused = fuse_weights(staged, {"a": "a.caffemodel"}, "init.caffemodel")
    assert [copy.target for copy in fused.plan.copies] == ["a/conv1", "a/fc1"]
    (found,) = verify_branches(staged, "init.caffemodel", {"a": Original(one.of("all.prototxt@fc1"), "a.caffemodel")})
    assert found.computes_equal
    out = extract_branch("a", staged, "init.caffemodel", "out")
    again = caffe.Net(out.net, out.weights, caffe.TEST)
    np.testing.assert_array_equal(again.params["fc1"][0].data, built.params["fc1"][0].data)
    assert summarize(one).totals[-1].parameters == sum(b.data.size for p in built.params.values() for b in p)


@pytest.mark.usefixtures("engine")
def test_commands_take_stages(folder):
    assert "nothing wrong in phase TRAIN and TEST" in run("check", "twice.prototxt", "--stage", "on-test")
    assert "note: what rules choose by the stages on-train, on-test" in run("check", "twice.prototxt")
    assert "wide" in run("summary", "twice.prototxt", "--stage", "on-test,on-train", "--level", "1")
    assert "wide" not in run("summary", "twice.prototxt", "--stage", "on-test")
    (folder / "solver.prototxt").write_text(f"{SOLVER} net: 'twice.prototxt' {STATES}")
    printed = run("train", "solver.prototxt", "-o", "run", "--no-plot")
    assert re.search(r"iteration 2: loss \(on-train\) [\d.]+  loss \(on-test\) [\d.]+", printed)
    run("emit", "fusion", "--branch", "a=all.prototxt@conv1", "--branch", "b=all.prototxt@conv1", "--stage", "deploy",
        "--stage", "b=deploy", "--classes", "3", "--data", "input", "-o", "fused")  # fmt: skip
    written = proto.read_net("fused/train_val.prototxt")
    assert not any(rule.stage for one in written.layer for rule in (*one.include, *one.exclude))
    assert "--stage c: no branch has this prefix" in run(
        "emit", "fusion", "--branch", "a=all.prototxt@conv1", "--stage", "c=deploy", "--no-head", "-o", "x", code=2
    )


def test_the_name_of_one_stage_is_as_good_as_a_list_of_it(folder):
    for found in (proto.net_of(Staged("all.prototxt", "deploy")), proto.read_net("all.prototxt", stages="deploy")):
        assert list(found.state.stage) == ["deploy"]
