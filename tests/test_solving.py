"""Values of a solver's fields, judged by Caffe itself in forks of a child process."""

import re

import pytest

from netbuild import proto, solving, train_solver
from netbuild.engine.child import run
from netbuild.errors import NetbuildError
from netbuild.schema import schema
from netbuild.train import events as ev

NET = """
layer { name: "d" type: "DummyData" top: "x" top: "label" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 } data_filler { type: "gaussian" } data_filler { type: "constant" } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param {
  num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = {
    "base_lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 0.1,
    "lr_policy": '"step"',
    "gamma": 0.5,
    "stepsize": 2,
    "max_iter": 4,
    "test_iter": 1,
    "test_interval": 2,
    "solver_mode": "CPU",
}


@pytest.fixture()
def write(tmp_path):
    """Writes a solver with other fields (None: without), and returns its path."""
    (tmp_path / "net.prototxt").write_text(NET)

    def write(name="solver", **fields):
        paths = {"net": f'"{tmp_path}/net.prototxt"', "snapshot_prefix": f'"{tmp_path}/{name}"'}
        values = {**SOLVER, **paths, **fields}
        path = tmp_path / f"{name}.prototxt"
        path.write_text("".join(f"{field}: {value}\n" for field, value in values.items() if value is not None))
        return path

    return write


ABORTS = [
    ({"type": '"Adm"'}, "type 'Adm' is none of Caffe's; did you mean 'Adam'"),
    ({"type": '"AdaGrad"'}, "momentum is 0.9, and Caffe's AdaGrad takes none"),
    ({"solver_type": "SAG"}, "solver_type .SAG. is none of Caffe.s"),
    ({"solver_type": "RMSPROP"}, "momentum is 0.9, and Caffe's RMSProp takes none"),
    ({"type": '"RMSProp"', "momentum": 0, "rms_decay": 1}, "rms_decay is 1"),
    ({"type": '"SGD"', "solver_type": "ADAM"}, "both 'type' and the old 'solver_type'"),
    ({"lr_policy": '"stp"'}, "lr_policy 'stp' is none of Caffe's; did you mean 'step'"),
    ({"lr_policy": None}, "has no lr_policy"),
    ({"stepsize": 0}, "stepsize is 0; 1 is the least"),
    ({"stepsize": None}, "lr_policy 'step' needs stepsize"),
    ({"gamma": -1}, "gamma is -1; 0 is the least"),
    ({"average_loss": 0}, "average_loss is 0; 1 is the least"),
    ({"test_interval": 0}, "has test nets, but no test_interval"),
    ({"test_interval": -5}, "test_interval is -5"),
    ({"regularization_type": '"L3"'}, "regularization_type 'L3' is none of Caffe's"),
]
TO_NO_EFFECT = [
    ({"gamma": None}, "lr_policy 'step' needs gamma"),
    ({"lr_policy": '"exp"', "gamma": None}, "lr_policy 'exp' needs gamma"),
    ({"base_lr": None}, "has no base_lr"),
]
SENSELESS = [
    ({"max_iter": -5}, "max_iter is -5; 1 is the least"),
    ({"max_iter": None}, "has no max_iter"),
    ({"iter_size": 0}, "iter_size is 0"),
    ({"test_iter": -1}, "test_iter is -1"),
    ({"snapshot": -1}, "snapshot is -1"),
    ({"base_lr": "nan"}, "base_lr is nan; a number is needed"),
    ({"clip_gradients": 0}, "clip_gradients is 0, which makes every gradient 0"),
    ({"base_lr": -0.1}, "base_lr is -0.1; 0 is the least that makes sense"),
    ({"net": '""'}, "names no net: the path is empty"),
    ({"net": None, "train_net": '""', "test_iter": None}, "names no net: the path is empty"),
    ({"snapshot_prefix": '"runs/.hid"'}, "snapshot_prefix: '.hid' begins with a dot"),
    ({"snapshot_prefix": f'"{"p" * 250}"'}, "snapshot_prefix: is 15 bytes too long for the names of files"),
    ({"snapshot_prefix": f'"{"p" * 236}"'}, "snapshot_prefix: is 1 bytes too long for the names of files"),
    ({"net": r'"\000"'}, r"solver's net '.x00': no file has a name with NUL"),
    ({"snapshot_prefix": r'"a\000"'}, "snapshot_prefix: 'a.x00' is no plain name"),
]
TAKEN = [
    {},
    {"gamma": None, "stepsize": 4},
    {"lr_policy": '"fixed"', "stepsize": 0, "gamma": -1},
    {"weight_decay": 0, "regularization_type": '"L3"'},
    {"test_iter": 0},
    {"display": -1},
    {"random_seed": -7},
    {"type": '"RMSProp"', "momentum": 0},
    {"solver_type": "ADAM"},
]


@pytest.mark.parametrize(("fields", "sentence"), [*ABORTS, *TO_NO_EFFECT, *SENSELESS])
def test_one_sentence_before_anything_is_written(write, tmp_path, fields, sentence):
    solver = write(**fields)
    with pytest.raises(NetbuildError, match=sentence):
        train_solver(solver, tmp_path / "run")
    assert not list(tmp_path.glob("run/*"))


def test_caffe_aborts_on_these(write):
    paths = [str(write(f"s{number}", **fields)) for number, (fields, _) in enumerate(ABORTS)]
    assert [type(found) for found in run("jobs:solved", solvers=paths)] == [str] * len(ABORTS)


def test_caffe_learns_nothing_from_some_iteration_on_with_these(write):
    paths = [str(write(f"s{number}", **fields)) for number, (fields, _) in enumerate(TO_NO_EFFECT)]
    assert list(run("jobs:solved", solvers=paths)) == [(4, 0.0)] * len(TO_NO_EFFECT)


def test_what_caffe_takes_is_not_refused(write):
    paths = [write(f"s{number}", **fields) for number, fields in enumerate(TAKEN)]
    assert [found[0] for found in run("jobs:solved", solvers=[str(path) for path in paths])] == [4] * len(TAKEN)
    for path in paths:
        solving.require_sensible(proto.read_solver(path))


def test_a_test_iter_of_0_tests_nothing(write, tmp_path):
    events = []
    assert train_solver(write(test_iter=0), tmp_path / "run", on_event=events.append).scores == {}
    assert not [event for event in events if isinstance(event, ev.Tested)]


def test_the_types_are_those_that_caffe_lists(write):
    (said,) = run("jobs:solved", solvers=[str(write(type='"Adm"'))])
    assert set(re.search(r"known types: ([\w, ]+)", said)[1].split(", ")) == set(solving.TYPES)


def test_the_policies_are_those_that_caffe_has(write):
    every = {"gamma": 0.5, "power": 1, "stepvalue": 2}
    names = list(solving.POLICIES)
    paths = [str(write(f"p{number}", lr_policy=f'"{name}"', **every)) for number, name in enumerate(names)]
    assert [found[0] for found in run("jobs:solved", solvers=paths)] == [4] * len(names)


IDLE = [
    ({"lr_policy": '"inv"'}, "'inv' never changes the learning rate: it has no power"),
    ({"lr_policy": '"poly"'}, "'poly' never changes the learning rate: it has no power"),
    ({"lr_policy": '"multistep"'}, "'multistep' never changes the learning rate: it has no stepvalue"),
]


def test_a_policy_without_effect_is_told(write, tmp_path):
    paths = [str(write(f"s{number}", **fields)) for number, (fields, _) in enumerate(IDLE)]
    assert [found[1] for found in run("jobs:solved", solvers=paths)] == [pytest.approx(0.1)] * len(IDLE)
    for path, (_, sentence) in zip(paths, IDLE):
        notes = []
        train_solver(path, tmp_path / "run", on_event=lambda event, notes=notes: notes.append(event), max_iter=1)
        assert any(sentence in event.text for event in notes if isinstance(event, ev.Note))
        for left in (tmp_path / "run").iterdir():
            left.unlink()


def test_the_type_is_known_by_the_old_field_too():
    message = schema().SolverParameter
    assert solving.type_of(message()) == "SGD"
    assert solving.type_of(message(type="Adam")) == "Adam"
    assert solving.type_of(message(solver_type=message.ADADELTA)) == "AdaDelta"


WITHOUT_GRADIENT = NET.replace('filler { type: "gaussian" }', 'filler { type: "constant" }', 1)
DIVIDING = [(kind, delta) for kind in ("AdaGrad", "RMSProp", "AdaDelta", "Adam") for delta in ("0", "-0.0")]


@pytest.mark.parametrize(("kind", "delta"), DIVIDING)
def test_a_solver_that_would_divide_by_a_delta_of_0(write, tmp_path, kind, delta):
    """In Caffe the weights whose gradient is 0 become NaN with it, and stay as they are with the default."""
    (tmp_path / "net.prototxt").write_text(WITHOUT_GRADIENT)
    fields = {"type": f'"{kind}"', "momentum": 0, "weight_decay": 0, "max_iter": 1}
    paths = [str(write("with", **fields, delta=delta)), str(write("without", **fields))]
    assert list(run("jobs:finite", solvers=paths)) == [False, True]
    with pytest.raises(
        NetbuildError, match=f"delta is -?0, and with {kind} a gradient of 0 is divided by it; .* 1e-08"
    ):
        train_solver(paths[0], tmp_path / "run")


def test_a_delta_without_effect_is_not_refused(write):
    solving.require_sensible(proto.read_solver(write(type='"SGD"', delta=0)))


def test_a_prefix_as_long_as_the_names_of_files_may_be(write, tmp_path):
    """`.PREFIX_iter_4.solverstate` has 255 bytes with it."""
    ended = train_solver(write(snapshot_prefix=f'"{"p" * 235}"'), tmp_path / "run")
    assert len(ended.solverstate.name) == 254


def test_a_head_leaves_room_for_the_ending_of_what_is_completed(fused, tmp_path):
    """`.PREFIX_iter_60.caffemodel.0123abcd.tmp`"""
    solver = proto.read_solver(fused / "solver.prototxt")
    given = {"weights": [fused / "init.caffemodel"], "max_iter": 60}
    solver.snapshot_prefix = "p" * 223
    proto.write(fused / "solver.prototxt", solver)
    with pytest.raises(NetbuildError, match="snapshot_prefix: is 1 bytes too long"):
        train_solver(fused / "solver.prototxt", tmp_path / "long", **given)
    solver.snapshot_prefix = "p" * 222
    proto.write(fused / "solver.prototxt", solver)
    assert train_solver(fused / "solver.prototxt", tmp_path / "run", **given).caffemodel.exists()
