"""Folders of any name, and folders that are moved between two trainings."""

import importlib.util
import os
import re
import shutil
from pathlib import Path

import pytest
from commands import run

from netbuild import proto, train_solver
from netbuild.errors import NetbuildError
from netbuild.train import reach, solverstate
from netbuild.train.head import Features
from netbuild.weights.index import read_state


@pytest.fixture()
def here(fused, tmp_path, monkeypatch):
    """The fused net in a folder whose name has all that names seldom have, which is the current one."""
    folder = fused.rename(tmp_path / 'it\'s "my" 日本\tnet; $HOME #1')
    solver = proto.read_solver(folder / "solver.prototxt")
    solver.net = os.fspath(folder / "train_val.prototxt")
    proto.write(folder / "solver.prototxt", solver)
    monkeypatch.chdir(folder)
    return folder


def blobs(caffe, folder, caffemodel):
    net = caffe.Net(os.fspath(folder / "deploy.prototxt"), os.fspath(caffemodel), caffe.TEST)
    return {(name, i): blob.data.tobytes() for name, blobs in net.params.items() for i, blob in enumerate(blobs)}


def test_a_head_is_trained_in_a_folder_of_any_name_with_the_bits_of_the_whole_net(here, caffe, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    arguments = ("train", "solver.prototxt", "--weights", "init.caffemodel", "--max-iter", 40)
    assert "only the head is trained" in run(*arguments, "-o", "a run")
    run(*arguments, "-o", "whole", "--features", "off")
    assert blobs(caffe, here, "a run/s_iter_40.caffemodel") == blobs(caffe, here, "whole/s_iter_40.caffemodel")


def test_all_commands_in_a_folder_of_any_name(here, small_lists, trained):
    run("features", "train_val.prototxt", "--weights", "init.caffemodel", "-o", "the features", "--workers", 2)
    options = ("--weights", "init.caffemodel", "--features", "the features", "--max-iter", 20)
    run("train", "solver.prototxt", *options, "-o", "a grid", "--grid", "base_lr=0.01,0.02")
    run("train", "solver.prototxt", *options, "-o", "a run")
    state = "a run/s_iter_20.solverstate"
    run("train", "solver.prototxt", "--resume", state, "--features", "the features", "--max-iter", 30, "-o", "a run")
    images = shutil.copytree(small_lists.folder, "some images")
    lines = small_lists.path("val_all").read_text().replace(str(small_lists.folder), str(images))
    Path("a list").write_text(lines)
    table = run("eval", "train_val.prototxt", "a run/s_iter_30.caffemodel", "--source", "a list", "-o", "an eval")
    assert re.search(r"^train_val.prototxt +40", table, re.M)
    assert Path("an eval/predictions.csv").read_text().count("some images/") == 40
    branch = ("--branch", f"a={trained / 'lenet.prototxt'}", "--weights", f"a={trained / 'a.caffemodel'}")
    assert "bit-equal" in run("verify", "train_val.prototxt", "init.caffemodel", *branch)
    run("report", ".", "-o", "the report.html")
    assert Path("the report.html").read_text().rstrip().endswith("</html>")


def test_temporary_files_may_stand_in_a_folder_of_any_name(tmp_path, monkeypatch):
    """The lists that lead to the features do not: Caffe reads them word by word."""
    (tmp_path / "temporary files").mkdir()
    monkeypatch.setattr("tempfile.tempdir", os.fspath(tmp_path / "temporary files"))
    with reach._plain_folder() as place:
        assert len(str(place).split()) == 1
        (place / "f").write_text("")
    assert not place.exists()


def trained_on(features, fused, folder, **options):
    return train_solver(
        fused / "solver.prototxt", folder, weights=[fused / "init.caffemodel"], features=features, **options
    )


def test_a_head_whose_run_was_moved_goes_on_with_the_same_bits(fused, tmp_path, caffe):
    whole = trained_on(Features(), fused, tmp_path / "whole")
    trained_on(Features(), fused, tmp_path / "half", max_iter=100)
    moved = (tmp_path / "half").rename(tmp_path / "moved to here")
    # What stands at the old place is another's by now.
    (tmp_path / "half").mkdir()
    shutil.copy(fused / "init.caffemodel", tmp_path / "half" / "s_iter_100.caffemodel")
    resumed = train_solver(fused / "solver.prototxt", moved, resume=moved / "s_iter_100.solverstate")
    assert blobs(caffe, fused, resumed.caffemodel) == blobs(caffe, fused, whole.caffemodel)


NET = """name: "n" layer { name: "d" type: "DummyData" top: "d" top: "t" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } data_filler { value: 1 } data_filler { value: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "d" top: "y" inner_product_param { num_output: 2
  weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }"""


@pytest.mark.parametrize("kind", ["BINARYPROTO", "HDF5"])
def test_a_whole_net_whose_run_was_moved_goes_on_with_the_same_bits(tmp_path, caffe, kind):
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 momentum: 0.9 lr_policy: "fixed" max_iter: 10 random_seed: 1 '
        f'snapshot_prefix: "s" snapshot_format: {kind}'
    )
    solver = tmp_path / "solver.prototxt"
    whole = train_solver(solver, tmp_path / "whole")
    half = train_solver(solver, tmp_path / "half", max_iter=5)
    (tmp_path / "half").rename(tmp_path / "moved to here")
    state = tmp_path / "moved to here" / half.solverstate.name
    resumed = train_solver(solver, tmp_path / "moved to here", resume=state)
    first, second = (
        caffe.Net(os.fspath(tmp_path / "net.prototxt"), os.fspath(ended.caffemodel), caffe.TEST)
        for ended in (whole, resumed)
    )
    assert [blob.data.tobytes() for blob in first.params["ip"]] == [blob.data.tobytes() for blob in second.params["ip"]]
    (tmp_path / "moved to here" / half.caffemodel.name).unlink()
    with pytest.raises(NetbuildError, match=r"goes on from '.*half/s_iter_5.caffemodel.*', which is neither there nor"):
        train_solver(solver, tmp_path / "x", resume=state)


@pytest.fixture()
def half(tmp_path):
    """Trains a small net half-way, its snapshot in this format: its solver, and how it ended."""

    def train(kind):
        (tmp_path / "net.prototxt").write_text(NET)
        solver = tmp_path / "solver.prototxt"
        solver.write_text(
            f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 10 snapshot_prefix: "s" '
            f"snapshot_format: {kind}"
        )
        return solver, train_solver(solver, tmp_path / "half", max_iter=5)

    return train


NAMES_NONE = "resume '.*s_iter_5.solverstate.*': names no caffemodel to go on from"


@pytest.mark.parametrize("named", [None, ""])
def test_a_solverstate_that_names_no_caffemodel_is_not_gone_on_from(half, tmp_path, pb, named):
    """Caffe would go on from the fillers without a word, or stop at a file without a name."""
    solver, ended = half("BINARYPROTO")
    state = pb.SolverState.FromString(ended.solverstate.read_bytes())
    state.ClearField("learned_net")
    if named is not None:
        state.learned_net = named
    ended.solverstate.write_bytes(state.SerializeToString())
    with pytest.raises(NetbuildError, match=NAMES_NONE):
        train_solver(solver, tmp_path / "more", resume=ended.solverstate)
    assert not (tmp_path / "more").exists()


def test_a_layer_of_the_tests_alone_is_nothing_that_a_solver_remembers(tmp_path):
    """The solver that Caffe saves counts the parameters of the net that it trains."""
    beside = (
        'layer { name: "other" type: "InnerProduct" bottom: "d" top: "z" include { phase: TEST } '
        'inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }'
    )
    (tmp_path / "net.prototxt").write_text(NET + beside)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 4 snapshot_prefix: "s" '
        "test_iter: 1 test_interval: 2"
    )
    half = train_solver(tmp_path / "solver.prototxt", tmp_path / "run", max_iter=2)
    assert read_state(half.solverstate).histories == 2
    assert train_solver(tmp_path / "solver.prototxt", tmp_path / "run", resume=half.solverstate).iteration == 4


@pytest.mark.parametrize("named", [None, b""])
def test_a_solverstate_in_hdf5_that_names_no_caffemodel_is_not_gone_on_from(half, tmp_path, named):
    h5py = pytest.importorskip("h5py")
    solver, ended = half("HDF5")
    with h5py.File(ended.solverstate, "r+") as file:
        del file["learned_net"]
        if named is not None:
            file["learned_net"] = named
    with pytest.raises(NetbuildError, match=NAMES_NONE):
        train_solver(solver, tmp_path / "more", resume=ended.solverstate)


def test_a_damaged_solverstate_in_hdf5_is_told_with_its_name(half, tmp_path):
    h5py = pytest.importorskip("h5py")
    solver, ended = half("HDF5")
    whole = ended.solverstate.read_bytes()
    told = r"resume '.*s_iter_5.solverstate.h5': damaged, or no solverstate in HDF5 \(.*\); resume from another"
    ended.solverstate.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NetbuildError, match=told):
        train_solver(solver, tmp_path / "more", resume=ended.solverstate)
    with h5py.File(ended.solverstate, "w") as file:
        file["something"] = 1
    with pytest.raises(NetbuildError, match=told):
        train_solver(solver, tmp_path / "more", resume=ended.solverstate)


def test_a_solverstate_in_hdf5_of_another_net_is_told(half, tmp_path):
    pytest.importorskip("h5py")
    solver, ended = half("HDF5")
    (tmp_path / "net.prototxt").write_text(NET.replace("num_output: 2", "num_output: 2 bias_term: false"))
    with pytest.raises(NetbuildError, match="remembers 2 blobs, and the whole net has 1"):
        train_solver(solver, tmp_path / "more", resume=ended.solverstate)


def test_a_solverstate_in_hdf5_of_any_name_guards_the_snapshots_after_it(half, tmp_path):
    """Its iteration is what it holds, not what it is called."""
    h5py = pytest.importorskip("h5py")
    solver, ended = half("HDF5")
    with h5py.File(ended.solverstate, "r") as file:
        assert file["iter"][()].item() == 5
    folder = ended.solverstate.parent
    for path in (ended.caffemodel, ended.solverstate):
        path.with_name(path.name.replace("_iter_5", "_iter_7")).write_bytes(path.read_bytes())
    ended.solverstate.rename(folder / "half.solverstate.h5")
    with pytest.raises(NetbuildError, match="holds snapshots beyond iteration 5 .s_iter_7.caffemodel.h5., which"):
        train_solver(solver, folder, resume=folder / "half.solverstate.h5")


def test_without_h5py_a_solverstate_in_hdf5_is_caffes_to_read(half, tmp_path, monkeypatch):
    solver, ended = half("HDF5")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "h5py" else find(name, *more))
    assert solverstate.learned_net(ended.solverstate) is None
    assert train_solver(solver, tmp_path / "half", resume=ended.solverstate).iteration == 10
