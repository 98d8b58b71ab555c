import csv
import os
import re
import signal

import pytest
from commands import run

from netbuild import proto, train_solver
from netbuild.errors import GraphError, NetbuildError
from netbuild.train.events import Note, Started, Stepped
from netbuild.train.grid import train_grid
from netbuild.train.head import Features
from netbuild.train.run import DivergedError, StoppedError


def trained(fused, folder, **grid):
    return train_grid(fused / "solver.prototxt", folder, grid, weights=[fused / "init.caffemodel"], max_iter=60)


def test_every_combination_is_tried_and_the_best_is_kept(fused, tmp_path):
    tried = trained(fused, tmp_path / "g", base_lr=["0.0000001", "0.01"], weight_decay=["0", "0.5"])
    assert sorted(tuple(one.setting.values()) for one in tried) == [
        ("0.0000001", "0"),
        ("0.0000001", "0.5"),
        ("0.01", "0"),
        ("0.01", "0.5"),
    ]
    accuracies = [one.trained.scores["accuracy"] for one in tried]
    assert accuracies == sorted(accuracies, reverse=True)
    assert tried[0].setting["base_lr"] == "0.01"
    kept = sorted(path.parent.name for path in (tmp_path / "g").glob("*/*.caffemodel"))
    assert kept == [tried[0].trained.caffemodel.parent.name]
    with (tmp_path / "g" / "grid.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["accuracy"] for row in rows] == [repr(value) for value in accuracies]
    assert [row["base_lr"] for row in rows] == [one.setting["base_lr"] for one in tried]
    assert (tmp_path / "g" / "features" / "features.json").exists()


def test_a_run_of_the_grid_is_the_run_that_its_solver_gives(fused, tmp_path):
    one = trained(fused, tmp_path / "g", momentum=["0.5"])[0]
    assert "momentum: 0.5\n" in (one.trained.log.parent / "solver.prototxt").read_text()
    again = train_solver(
        one.trained.log.parent / "solver.prototxt",
        tmp_path / "again",
        weights=[fused / "init.caffemodel"],
        max_iter=60,
        features=Features(tmp_path / "g" / "features"),
    )
    assert again.scores == one.trained.scores
    assert again.caffemodel.read_bytes() == one.trained.caffemodel.read_bytes()


def test_what_cannot_be_tried_is_told_before_the_first_run(fused, tmp_path):
    with pytest.raises(GraphError, match="no field 'base_rl' in SolverParameter"):
        trained(fused, tmp_path / "g", base_lr=["0.1"], base_rl=["0.1"])
    with pytest.raises(NetbuildError, match="max_iter is given for all runs, so that its values"):
        trained(fused, tmp_path / "g", max_iter=["4", "6"])
    with pytest.raises(GraphError, match="base_lr: quick is not a value"):
        trained(fused, tmp_path / "g", base_lr=["0.1", "quick"])
    assert not (tmp_path / "g").exists()
    trained(fused, tmp_path / "g", base_lr=["0.1"])
    with pytest.raises(NetbuildError, match="holds an earlier grid .base_lr=0.1."):
        trained(fused, tmp_path / "g", base_lr=["0.2", "0.1"])
    solver = fused / "solver.prototxt"
    solver.write_text(solver.read_text().replace("test_iter", "# test_iter"))
    with pytest.raises(NetbuildError, match="tests nothing .* so that none is the best"):
        trained(fused, tmp_path / "h", base_lr=["0.1"])


def test_a_run_that_goes_astray_comes_last_and_the_others_are_tried(fused, tmp_path):
    tried = trained(fused, tmp_path / "g", base_lr=["0.001", "1e30", "0.01"])
    assert [one.setting["base_lr"] for one in tried] == ["0.01", "0.001", "1e30"]
    assert [one.ended for one in tried] == ["finished", "finished", "diverged"]
    with (tmp_path / "g" / "grid.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["ended"] for row in rows] == ["finished", "finished", "diverged"]
    assert (rows[2]["accuracy"], rows[2]["loss"]) == ("nan", "nan")
    assert int(rows[2]["iteration"]) < 60
    assert not list((tmp_path / "g" / "base_lr=1e30").glob("*.caffemodel"))


def test_a_grid_of_which_all_diverge_is_an_error(fused, tmp_path):
    with pytest.raises(DivergedError, match="all 2 settings diverged; base_lr=1e30: training diverged at iteration "):
        trained(fused, tmp_path / "g", base_lr=["1e30", "1e29"])


def test_an_interrupted_grid_ends_with_what_is_done(fused, tmp_path):
    runs = []

    def interrupt(event):
        if isinstance(event, Note) and "base_lr" in event.text:
            runs.append(event.text)
        if isinstance(event, Stepped) and len(runs) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    tried = train_grid(
        fused / "solver.prototxt",
        tmp_path / "g",
        {"base_lr": ["0.01", "0.1", "0.001"]},
        weights=[fused / "init.caffemodel"],
        max_iter=3000,
        on_event=interrupt,
    )
    assert len(tried) == 2
    assert any(one.trained.interrupted for one in tried)


def interrupted(fused, folder, when, **options):
    """Try two settings, and ask to end at the first event of the second that `when` tells."""
    runs = []

    def look(event):
        if isinstance(event, Note) and event.text.startswith("base_lr="):
            runs.append(event.text)
        if len(runs) == 2 and isinstance(event, when):
            runs.append("asked")
            os.kill(os.getpid(), signal.SIGINT)

    return train_grid(
        fused / "solver.prototxt",
        folder,
        {"base_lr": ["0.01", "0.1"]},
        weights=[fused / "init.caffemodel"],
        max_iter=60,
        on_event=look,
        **options,
    )


@pytest.mark.parametrize("when", [Note, Started])
def test_a_grid_that_is_interrupted_before_a_first_step_ends_with_what_is_done(fused, tmp_path, when):
    """On this side (Note), and when the training process stands already: it begins with a test, which is long here."""
    solver = fused / "solver.prototxt"
    message = proto.read_solver(solver)
    message.test_initialization = True
    message.test_iter[:] = [2000]
    proto.write(solver, message)
    tried = interrupted(fused, tmp_path / "g", when)
    assert tried[0].trained.caffemodel.exists()
    assert [one.ended for one in tried] == ["finished", "interrupted"]
    with (tmp_path / "g" / "grid.csv").open() as file:
        assert [(row["base_lr"], row["iteration"], row["ended"]) for row in csv.DictReader(file)] == [
            ("0.01", "60", "finished"),
            ("0.1", "0", "interrupted"),
        ]


def test_the_command_ends_as_after_ctrl_c_with_the_table_of_what_is_done(fused, tmp_path, monkeypatch):
    def stop_the_second(solver, folder, **options):
        if "0.1" in os.fspath(folder):
            raise StoppedError("stopped at iteration 0, before the first step", 0, folder / "train_log.csv")
        return train_solver(solver, folder, **options)

    monkeypatch.setattr("netbuild.train.grid.train_solver", stop_the_second)
    arguments = ("train", fused / "solver.prototxt", "--weights", fused / "init.caffemodel", "--max-iter", 60)
    told = run(*arguments, "--grid", "base_lr=0.01,0.1,0.001", "-o", tmp_path / "g", "--no-plot", code=130)
    assert re.search(r"^0.1 +interrupted$", told, re.M)
    assert "best: base_lr=0.01\n" in told
    assert "note: base_lr=0.1: stopped at iteration 0" in told
    assert not (tmp_path / "g" / "base_lr=0.001").exists()


def test_a_grid_that_is_ended_before_anything_is_trained_is_an_error(fused, tmp_path, monkeypatch):
    def stop(_solver, folder, **_options):
        raise StoppedError("stopped at iteration 0", 0, folder / "train_log.csv")

    monkeypatch.setattr("netbuild.train.grid.train_solver", stop)
    with pytest.raises(StoppedError, match="ended before a setting was trained; base_lr=0.1: stopped at iteration 0"):
        trained(fused, tmp_path / "g", base_lr=["0.1", "0.2"])


def test_a_single_value_is_a_list_of_one(fused, tmp_path):
    tried = trained(fused, tmp_path / "g", base_lr="0.01", weight_decay=["0", "0.5"])
    assert sorted(tuple(one.setting.values()) for one in tried) == [("0.01", "0"), ("0.01", "0.5")]


def test_a_setting_that_fails_is_named(fused, tmp_path):
    with pytest.raises(GraphError, match="base_lr=-1: solver: base_lr is -1; 0 is the least"):
        trained(fused, tmp_path / "g", base_lr=["0.01", "-1"])
    assert not (tmp_path / "g").exists()
    with pytest.raises(
        NetbuildError, match="^snapshot_prefix=.x: .* begins with a dot.*; the settings before it are in"
    ):
        trained(fused, tmp_path / "g", snapshot_prefix=["a", ".x"])
    assert (tmp_path / "g" / "grid.csv").exists()


def test_only_the_best_keeps_its_snapshots_also_those_in_between(fused, tmp_path):
    tried = trained(fused, tmp_path / "g", base_lr=["0.0000001", "0.01"], snapshot=["20", "30"])
    best = tried[0].trained.caffemodel.parent
    assert {path.parent for path in (tmp_path / "g").glob("*/*_iter_*")} == {best}
    step = int(tried[0].setting["snapshot"])
    saved = {f"s_iter_{n}.{kind}" for n in range(step, 61, step) for kind in ("caffemodel", "solverstate")}
    assert {path.name for path in best.glob("*_iter_*")} == saved
