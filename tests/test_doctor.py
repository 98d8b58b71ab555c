"""The doctor: which Caffe there is, what it computes wrong, and what `train` makes of that."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from netbuild_cli.main import main

from netbuild import diagnose, proto, train_solver
from netbuild.doctor import gate
from netbuild.doctor.selftest import FAILED, PASSED, Outcome
from netbuild.doctor.table import SELF_TESTS
from netbuild.engine import child
from netbuild.errors import CaffeError
from netbuild.graph.view import NetView
from netbuild.schema import TEST, TRAIN
from netbuild.train.events import Note

BATCH_NORM = "BatchNorm on batch statistics"
HEAD = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 2 dim: 3 dim: 3 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 4 } } }
"""
LOSS = """
layer { name: "ip" type: "InnerProduct" bottom: "y" top: "ip" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


@pytest.fixture(scope="module")
def examination():
    return diagnose()


def status(examination, name):
    return next(outcome.status for outcome in examination.outcomes if outcome.name == name)


@pytest.fixture(scope="module")
def batch_norm_is_right(caffe, tmp_path_factory):
    """Whether the Caffe at hand normalises by each batch, by numpy alone."""
    path = tmp_path_factory.mktemp("bn") / "net.prototxt"
    path.write_text(HEAD + 'layer { name: "y" type: "BatchNorm" bottom: "x" top: "y" }')
    net = caffe.Net(os.fspath(path), caffe.TRAIN)
    x = np.random.RandomState(3).normal(4, 3, (4, 2, 3, 3))
    net.blobs["x"].data[...] = x
    net.forward()
    expected = (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True)
    learned = np.allclose(net.params["y"][0].data, x.mean((0, 2, 3)), rtol=1e-4)
    return bool(np.allclose(net.blobs["y"].data, expected, atol=1e-3) and learned)


def test_batch_norm_is_found_as_it_is(examination, batch_norm_is_right):
    assert status(examination, BATCH_NORM) == ("passed" if batch_norm_is_right else "failed")


def test_all_else_is_right_in_both_caffes(examination):
    assert [outcome.name for outcome in examination.outcomes] == list(SELF_TESTS)
    assert [outcome for outcome in examination.failed if outcome.name != BATCH_NORM] == []
    assert status(examination, "HDF5Data") == "passed"


@pytest.mark.usefixtures("pycaffe")
def test_the_facts_are_those_of_the_caffe_at_hand(examination, caffe):
    facts = examination.caffe
    assert facts.folder == str(Path(caffe.__file__).parent)
    assert facts.version == caffe.__version__
    assert set(facts.layer_types) == set(caffe.layer_type_list())
    assert facts.cpus == len(os.sched_getaffinity(0))
    assert facts.blas_threads is None or facts.blas_threads >= 1
    assert examination.versions["numpy"] == np.__version__
    assert examination.versions["Python"] == ".".join(map(str, sys.version_info[:3]))
    assert examination.missing == ""


def test_limits_of_the_threads_are_told(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    facts = next(child.run("netbuild.doctor.child:diagnose", gpu=None))
    assert facts.thread_limits == {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    assert facts.blas_threads in (1, None)


OTHERWISE = {
    "Convolution": ("pad: 1", "pad: 2 dilation: 2"),
    "InnerProduct": ("num_output: 5", "num_output: 5 bias_term: false"),
    "Scale": ("scale_param {", "scale_param { axis: 2"),
    "Concat": ('type: "Concat"', 'type: "Eltwise"'),
    "max pooling": ("MAX", "AVE"),
    "average pooling": ("AVE", "MAX"),
    "SoftmaxWithLoss": ("SoftmaxWithLoss", "MultinomialLogisticLoss"),
    BATCH_NORM: ("fraction: 0.75", "fraction: 0.5"),
    "BatchNorm on stored statistics": ("true }", "true eps: 0.1 }"),
    "Dropout in TRAIN phase": ("0.75", "0.7"),
    "phase: TEST on a layer": ("phase: TEST", ""),
    "frozen blobs stay": ("param { lr_mult: 0 }", "param { lr_mult: 1e-4 }"),
    "no backward pass through frozen layers": ("param { lr_mult: 0 decay_mult: 0 }", ""),
    "SGD with momentum and weight decay": ("{ num_output: 3 } }", "{ num_output: 3 } param { lr_mult: 2 } }"),
    "snapshot and restore": ('bottom: "ip"', 'bottom: "drop"'),
    "HDF5Data": ("batch_size", "shuffle: true batch_size"),
}
"""What each self-test is to see: a net that Caffe computes otherwise stands for a Caffe that does."""


def test_each_self_test_sees_another_computation():
    nets = []
    for name, (old, new) in OTHERWISE.items():
        assert old in SELF_TESTS[name].net, name
        nets.append((name, SELF_TESTS[name].net.replace(old, new)))
    # A Dropout that acts at random, so that no two runs are the same.
    drop = 'layer { name: "drop" type: "Dropout" bottom: "ip" top: "drop" }\nlayer { name: "loss"'
    nets[-2] = ("snapshot and restore", nets[-2][1].replace('layer { name: "loss"', drop))
    found = list(child.run("jobs:outcomes", nets=nets))
    assert [outcome.name for outcome in found] == list(SELF_TESTS) == list(OTHERWISE)
    assert [outcome.name for outcome in found if outcome.status != "failed"] == []
    wordings = {outcome.name: outcome.detail for outcome in found}
    assert wordings["frozen blobs stay"].startswith("frozen blob conv[0]: expected ")
    # In these three another computation takes other shapes, too.
    otherwise_shaped = {"InnerProduct", "Scale", "Concat"}
    assert {name for name, told in wordings.items() if ": expected " not in told} == otherwise_shaped


def test_an_abort_is_one_self_tests_failure():
    nets = [(name, SELF_TESTS[name].net) for name in ("Scale", "Concat", "InnerProduct", "Dropout in TRAIN phase")]
    nets[1] = (nets[1][0], nets[1][1].replace('bottom: "data"', 'bottom: "nowhere"'))
    nets[3] = (nets[3][0], "layer { type: 'Nonsense' name: 'y' }")
    found = list(child.run("jobs:outcomes", nets=nets))
    assert [outcome.status for outcome in found] == ["passed", "failed", "passed", "failed"]
    assert "Caffe gave up: Unknown bottom blob" in found[1].detail
    assert "does not know the layer type 'Nonsense'" in found[3].detail


def test_what_needs_a_module_is_not_run_and_a_broken_expectation_fails():
    missing, raising, broken, not_a_number = child.run("jobs:outcomes_of_odd_ones")
    assert (missing.status, raising.status, broken.status) == ("not run", "failed", "failed")
    assert missing.detail == "no_such_module is not installed: pip install no_such_module"
    assert raising.detail.startswith("IndexError: only integers")
    assert "; 96 of 96 values differ" in broken.detail
    assert "found nan" in not_a_number.detail


def written(path, text):
    path.write_text(text)
    return str(path)


def names(tmp_path, layer, *phases):
    return set(concerned(written(tmp_path / "n.prototxt", layer), *phases))


def concerned(path, *phases):
    net = proto.read_net(path)
    return gate.concerned({str(path): [NetView(net, phase) for phase in phases]})


@pytest.mark.parametrize(
    ("layer", "phase", "expected"),
    [
        ('type: "BatchNorm"', TRAIN, BATCH_NORM),
        ('type: "BatchNorm"', TEST, "BatchNorm on stored statistics"),
        ('type: "BatchNorm" phase: TEST', TRAIN, "BatchNorm on stored statistics"),
        ('type: "BatchNorm" phase: TEST batch_norm_param { use_global_stats: false }', TRAIN, BATCH_NORM),
        ('type: "BatchNorm" batch_norm_param { use_global_stats: true }', TRAIN, "BatchNorm on stored statistics"),
        ('type: "BatchNorm" batch_norm_param { use_global_stats: false }', TEST, BATCH_NORM),
        ('type: "Dropout"', TRAIN, "Dropout in TRAIN phase"),
        ('type: "Dropout" phase: TEST', TRAIN, "phase: TEST on a layer"),
        ('type: "Dropout"', TEST, None),
        ('type: "Dropout" phase: TRAIN', TEST, "Dropout in TRAIN phase"),
        ('type: "Pooling" pooling_param { pool: AVE }', TEST, "average pooling"),
        ('type: "Pooling"', TEST, "max pooling"),
        ('type: "InnerProduct" include { phase: TRAIN }', TEST, None),
        ('type: "InnerProduct"', TEST, "InnerProduct"),
        (
            'type: "InnerProduct" inner_product_param { num_output: 2 } param { lr_mult: 0 }',
            TRAIN,
            "SGD with momentum and weight decay",
        ),
        ('type: "HDF5Data"', TRAIN, "HDF5Data"),
        ('type: "ReLU"', TRAIN, None),
    ],
)
def test_which_self_tests_concern_a_layer(tmp_path, layer, phase, expected):
    reads = "" if "HDF5Data" in layer else 'bottom: "x" '
    found = names(tmp_path, f'layer {{ name: "l" {reads}top: "l" {layer} }}', phase)
    assert expected in found if expected else not found
    assert len(found & {BATCH_NORM, "BatchNorm on stored statistics"}) <= 1


def test_frozen_and_learning_layers_concern_other_self_tests(tmp_path):
    learning = {"InnerProduct", "SGD with momentum and weight decay", "snapshot and restore"}
    frozen = {"InnerProduct", "frozen blobs stay", "no backward pass through frozen layers"}
    layer = 'layer { name: "l" type: "InnerProduct" bottom: "x" top: "l" inner_product_param { num_output: 2 } %s }'
    assert names(tmp_path, layer % "", TRAIN) == learning
    assert names(tmp_path, layer % "param { lr_mult: 0 } param { lr_mult: 0 }", TRAIN) == frozen
    assert names(tmp_path, layer % "param { lr_mult: 0 } param { lr_mult: 0 }", TEST) == {"InnerProduct"}


def test_batch_norm_is_frozen_by_its_statistics_and_not_by_its_rates(tmp_path):
    """Whatever its entries say it drifts on each batch's; on stored ones it stays, and without entries is in the way."""
    layer = 'layer { name: "l" type: "BatchNorm" bottom: "x" top: "l" %s }'
    zeros, stored = 3 * "param { lr_mult: 0 }", "batch_norm_param { use_global_stats: true }"
    on_stored = {"BatchNorm on stored statistics", "frozen blobs stay"}
    assert names(tmp_path, layer % zeros, TRAIN) == {BATCH_NORM}
    assert names(tmp_path, layer % stored, TRAIN) == on_stored
    assert names(tmp_path, layer % (stored + zeros), TRAIN) == {*on_stored, "no backward pass through frozen layers"}


def test_the_layer_is_named_with_its_file_and_phase(tmp_path):
    path = written(tmp_path / "n.prototxt", "".join(f'layer {{ name: "n{i}" type: "BatchNorm" }}' for i in range(3)))
    assert concerned(path, TRAIN, TEST)[BATCH_NORM] == f"{path}: layer 'n0' (BatchNorm, TRAIN) and 2 more"


def test_a_failed_self_test_is_refused_or_forced():
    concerned = {"Concat": "n: layer 'c'", "Scale": "n: layer 's' (Scale, TRAIN)"}
    expected = r"n: layer 's' \(Scale, TRAIN\): this Caffe computes it wrong: it fails the self-test 'Scale' \(output: expected .*, found .*\)"
    with pytest.raises(CaffeError, match=expected + ".*; use another build of Caffe; force=True trains all the same"):
        list(child.run("jobs:doubts", concerned=concerned, force=False))
    (told,) = child.run("jobs:doubts", concerned=concerned, force=True)
    assert "'s' (Scale, TRAIN)" in told
    assert "force=True" not in told
    assert list(child.run("jobs:doubts", concerned={"Concat": "n"}, force=False)) == []


@pytest.fixture()
def solver(in_tmp):
    (in_tmp / "net.prototxt").write_text(HEAD + 'layer { name: "norm" type: "BatchNorm" bottom: "x" top: "y" }' + LOSS)
    (in_tmp / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "s"'
    )
    return "solver.prototxt"


def test_train_refuses_what_this_caffe_computes_wrong(solver, batch_norm_is_right):
    result = CliRunner().invoke(main, ["train", solver, "-o", "run", "--no-plot"])
    if batch_norm_is_right:
        assert result.exit_code == 0, result.output
        return
    assert result.exit_code == 1
    assert (
        "net.prototxt: layer 'norm' (BatchNorm, TRAIN): this Caffe computes it wrong: it fails the self-test"
        in result.output
    )
    assert "--bn PREFIX=global" in result.output
    assert "--force" in result.output
    result = CliRunner().invoke(main, ["train", solver, "-o", "run", "--no-plot", "--force"])
    assert result.exit_code == 0, result.output
    assert "note: " in result.output
    assert "finished at iteration 1" in result.output


def test_train_takes_batch_norm_on_stored_statistics(solver, in_tmp, caffe):
    net = proto.read_net("net.prototxt")
    net.layer[2].batch_norm_param.use_global_stats = True
    proto.write("net.prototxt", net)
    caffe.Net("net.prototxt", caffe.TRAIN).save("w.caffemodel")
    events = []
    assert train_solver(solver, "run", weights=["w.caffemodel"], on_event=events.append).iteration == 1
    assert not [event for event in events if isinstance(event, Note)]


def test_the_command_says_what_the_self_tests_mean(examination, batch_norm_is_right):
    result = CliRunner().invoke(main, ["doctor"])
    assert "passed   Convolution\n" in result.output
    known = not batch_norm_is_right and examination.caffe.package == "kendryte-caffe 1.0.0.20210829"
    assert result.exit_code == (0 if batch_norm_is_right or known else 1)
    if batch_norm_is_right:
        assert "All that netbuild relies on is computed right.\n" in result.output
        return
    assert f"failed   {BATCH_NORM}: output: expected " in result.output
    assert "remedy: let these layers work on their stored statistics" in result.output
    if known:
        verdict = "The install is sound. This Caffe has a fault that is known of its package, in nets with BatchNorm"
        assert 0 < result.output.index(verdict) < result.output.index("passed ")
        assert "Error" not in result.output


def test_a_fault_that_is_known_of_another_package_is_no_excuse(examination, monkeypatch):
    """The same outcomes, of a Caffe of one's own, or with one failure more."""
    outcomes = [Outcome(BATCH_NORM, FAILED, "x"), Outcome("Concat", PASSED)]
    wheel = replace(examination.caffe, package="kendryte-caffe 1.0.0.20210829")
    for package, one_more, unexpected in (
        (wheel.package, [], 0),
        (wheel.package, [Outcome("Scale", FAILED, "y")], 1),
        ("kendryte-caffe 1.0.0.20990101", [], 1),
        (None, [], 1),
    ):
        found = replace(examination, caffe=replace(wheel, package=package), outcomes=(*outcomes, *one_more))
        assert len(found.unexpected) == unexpected
        assert len(found.failed) == 1 + len(one_more)
        monkeypatch.setattr("netbuild.doctor.report.diagnose", lambda _gpu, found=found: found)
        result = CliRunner().invoke(main, ["doctor"])
        assert result.exit_code == (1 if unexpected else 0)
        assert ("Something is wrong with this Caffe: " in result.output) == bool(unexpected)
        assert (f"Error: {unexpected} of {len(found.outcomes)} self-test" in result.output) == bool(unexpected)


def test_which_caffe_is_used_and_why(examination, engine, tmp_path):
    # Of a link the folder tells the environment, so that it is not followed.
    python = Path(shutil.which(engine.command[0])).absolute()
    assert f"used because {engine.reason}: {python}\n" in CliRunner().invoke(main, ["doctor"]).output
    other = tmp_path / "other"
    other.write_text(f'#!/bin/sh\nexec {engine.line} "$@"\n')
    other.chmod(0o755)
    output = CliRunner().invoke(main, ["doctor", "--caffe", str(other)]).output
    assert f"used because --caffe names it: {python}\n" in output
    versions = examination.caffe.versions
    assert f"Python {versions['Python']}, numpy {versions['numpy']}, " in output


def test_a_gpu_that_cannot_be_used_is_told(examination):
    if not examination.gpu_refusal:
        pytest.skip("this machine has a GPU")
    result = CliRunner().invoke(main, ["doctor", "--gpu", "0"])
    assert result.exit_code == 1
    assert result.output == f"Error: {examination.gpu_refusal}\n"


def test_where_there_is_no_caffe(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'caffe' else find(name, package)"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]), XDG_DATA_HOME=str(tmp_path))
    environment.pop("NETBUILD_CAFFE", None)
    code = "from netbuild_cli.main import main; main()"
    for option in ([], ["--json"]):
        result = subprocess.run(
            [sys.executable, "-c", code, "doctor", *option],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 1
        assert result.stderr.startswith("Error: no Caffe found")
        assert result.stderr.count("\n") == 1
        assert "netbuild doctor --install brings one" in result.stderr
        assert f"numpy {np.__version__}" in result.stdout or json.loads(result.stdout)["versions"]["numpy"]


def test_the_report_as_json(examination):
    report = json.loads(CliRunner(**separate()).invoke(main, ["doctor", "--json"]).stdout)
    assert [outcome["name"] for outcome in report["outcomes"]] == list(SELF_TESTS)
    assert report["caffe"]["folder"] == examination.caffe.folder


def separate():
    """What keeps stderr out of stdout: an argument before click 8.2, always so after."""
    import inspect

    return {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
