"""What remains of a training that the machine, the disk, its numbers or its caller let down: each fault for real."""

import contextlib
import csv
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from netbuild import DataSource, Fusion, emit_files, lenet, proto, train_solver
from netbuild.branches.lenet import MNIST
from netbuild.engine import child
from netbuild.errors import NetbuildError, NetbuildWarning
from netbuild.train import events as ev
from netbuild.train import reach
from netbuild.train.child import _means
from netbuild.train.head import Features
from netbuild.train.log import read_log
from netbuild.train.run import DivergedError
from netbuild.train.watch import NotFiniteError, require_finite

MAIN = [sys.executable, "-c", "from netbuild_cli.main import main; main()", "train"]
WITHOUT_SIGNALS = type("Stop", (), {"requested": False})()


@pytest.fixture()
def solver(tmp_path, small_lists):
    lists = {"train_source": str(small_lists.path("train_all")), "test_source": str(small_lists.path("val_all"))}
    source = DataSource(MNIST, train_batch=10, test_batch=20, **lists)
    options = {"max_iter": "20", "test_interval": "10", "snapshot": "10", "snapshot_prefix": "s", "random_seed": "3"}
    emit_files(Fusion({"": lenet}, 10, frozen=False), source, tmp_path / "net", solver_options=options)
    return tmp_path / "net" / "solver.prototxt"


def changed(solver, **fields):
    message = proto.read_solver(solver)
    for name, value in fields.items():
        setattr(message, name, value)
    proto.write(solver, message)
    return solver


def require_whole_snapshots(pb, folder):
    """Each file with a final name is whole, as protobuf's own parser reads it; return their iterations."""
    found = {"caffemodel": set(), "solverstate": set()}
    for path in folder.iterdir():
        match = re.fullmatch(r"s_iter_(\d+)\.(caffemodel|solverstate)", path.name)
        if match:
            found[match[2]].add(int(match[1]))
        if match and match[2] == "caffemodel":
            layers = pb.NetParameter.FromString(path.read_bytes()).layer
            counts = {layer.name: [len(blob.data) for blob in layer.blobs] for layer in layers if layer.blobs}
            assert counts == {"conv1": [500, 20], "conv2": [25000, 50], "ip1": [400000, 500], "ip2": [5000, 10]}
        elif match:
            state = pb.SolverState.FromString(path.read_bytes())
            assert (state.iter, len(state.history), state.HasField("current_step")) == (int(match[1]), 8, True)
            assert Path(state.learned_net).samefile(folder / f"s_iter_{state.iter}.caffemodel")
    assert found["solverstate"] <= found["caffemodel"]
    return sorted(found["solverstate"])


# Numbers that are none.

FIRST_LOSS_THAT_IS_NONE = """
import sys, math, caffe
solver = caffe.get_solver(sys.argv[1])
loss = 0
while math.isfinite(loss):
    solver.step(1)
    loss = float(solver.net.blobs["loss"].data)
    print(solver.iter, loss, flush=True)
"""


def test_a_training_that_diverges_ends_at_the_loss_at_which_caffes_is_none(solver, tmp_path, pb, engine):
    changed(solver, base_lr=1, snapshot=2, snapshot_prefix=str(tmp_path / "own"))
    command = [*engine.command, "-c", FIRST_LOSS_THAT_IS_NONE, str(solver)]
    own = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    rows = [row.split() for row in own.stdout.splitlines()]
    assert rows[-1][1] == "nan"
    with pytest.raises(
        DivergedError, match=r"the loss is nan; a smaller base_lr may help \(it is 1\), or clip_gr"
    ) as e:
        train_solver(changed(solver, snapshot_prefix="s"), tmp_path / "run")
    assert e.value.iteration == int(rows[-1][0])
    last = (e.value.iteration - 1) // 2 * 2
    assert f"the last good snapshot is that of iteration {last}: resume='{tmp_path}/run/s_iter_{last}" in str(e.value)
    assert require_whole_snapshots(pb, tmp_path / "run") == list(range(2, last + 1, 2))
    for path in (tmp_path / "run").glob("*.caffemodel"):
        layers = pb.NetParameter.FromString(path.read_bytes()).layer
        assert all(np.isfinite(blob.data).all() for layer in layers for blob in layer.blobs)
    with (tmp_path / "run" / "train_log.csv").open() as file:
        logged = list(csv.DictReader(file))
    assert [row["value"] for row in logged if row["name"] == "loss"] == [row[1] for row in rows[:-1]]


def test_a_resumed_run_that_diverges_names_the_snapshot_that_it_began_from(solver, tmp_path):
    state = train_solver(solver, tmp_path / "run", max_iter=2).solverstate
    with pytest.raises(DivergedError, match=f"since the one that it began from: resume='{re.escape(str(state))}'"):
        train_solver(changed(solver, base_lr=1000, snapshot=0), tmp_path / "run", resume=state)


HIDDEN_BY_POOLING = """
layer { name: "d" type: "DummyData" top: "x" top: "label" dummy_data_param {
  shape { dim: 2 dim: 1 dim: 4 dim: 4 } shape { dim: 2 }
  data_filler { type: "constant" value: -1 } data_filler { type: "constant" } } }
layer { name: "nan" type: "Log" bottom: "x" top: "nan" }
layer { name: "conv" type: "Convolution" bottom: "nan" top: "conv" convolution_param {
  num_output: 1 kernel_size: 1 weight_filler { type: "constant" value: 1 } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "relu" type: "ReLU" bottom: "pool" top: "relu" }
layer { name: "ip" type: "InnerProduct" bottom: "relu" top: "ip" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def test_what_pooling_hides_from_the_loss_is_found(tmp_path, caffe):
    """The backward pass of that pooling would write beside its blob."""
    (tmp_path / "net.prototxt").write_text(HIDDEN_BY_POOLING)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    assert net.forward()["loss"] == pytest.approx(np.log(2))
    assert np.isnan(net.blobs["conv"].data).all()
    (tmp_path / "s.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 5 solver_mode: CPU'
    )
    with pytest.raises(DivergedError, match="at iteration 1: 'pool' pools values that are not finite; nothing was lea"):
        train_solver(tmp_path / "s.prototxt", tmp_path / "run")
    assert not list((tmp_path / "run").iterdir())


def test_weights_that_are_no_numbers_are_told_before_the_first_step(solver, tmp_path, caffe):
    net = caffe.Net(str(solver.parent / "train_val.prototxt"), caffe.TEST)
    net.params["ip2"][1].data[3] = np.nan
    net.save(str(tmp_path / "w.caffemodel"))
    with pytest.raises(
        DivergedError, match="iteration 1: weights of layer 'ip2' are not finite; nothing was learnt bef"
    ):
        train_solver(solver, tmp_path / "run", weights=[tmp_path / "w.caffemodel"])


def test_weights_that_are_no_numbers_are_neither_tested_nor_saved(solver, caffe):
    net = caffe.Net(str(solver.parent / "train_val.prototxt"), caffe.TEST)
    require_finite(net)
    net.params["conv2"][1].data[7] = np.inf
    with pytest.raises(NotFiniteError, match="weights of layer 'conv2' are not finite"):
        require_finite(net)
    net.params["conv2"][1].data[7] = 3e38
    net.params["conv2"][1].data[8] = 3e38  # their sum is infinite
    require_finite(net)


@pytest.mark.usefixtures("pycaffe")
def test_an_accuracy_of_scores_that_are_none_is_none(solver, caffe):
    net = caffe.Net(str(solver.parent / "train_val.prototxt"), caffe.TEST)
    net.params["ip2"][0].data[...] = np.nan
    assert net.forward()["accuracy"] == 1.0
    scores = _means(net, 2, WITHOUT_SIGNALS)
    assert np.isnan([scores["accuracy"], scores["loss"]]).all()


# Kills.


def started(solver, folder, *more, **options):
    arguments = [*MAIN, str(solver), "-o", str(folder), "--no-plot", *map(str, more)]
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, **options}
    process = subprocess.Popen(arguments, **streams)
    wait_until(lambda: (folder / "train_log.csv").exists() or process.poll() is not None)
    return process


def wait_until(true):
    deadline = time.monotonic() + 60
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)


def child_of(process):
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(found[0])


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_training_process_is_killed(solver, tmp_path, pb, seed):
    changed(solver, max_iter=100000, snapshot=1, test_interval=1000)
    process = started(solver, tmp_path / "run")
    time.sleep(random.Random(seed).uniform(0, 0.4))
    os.kill(child_of(process), signal.SIGKILL)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    saved = require_whole_snapshots(pb, tmp_path / "run")
    assert "killed by signal 9 (SIGKILL)" in told
    assert f"the last good snapshot is that of iteration {saved[-1]}" in told or len(saved) > 1
    assert "(training at batch 10 takes about " in told


@pytest.mark.parametrize("seed", [1, 2])
def test_the_caller_is_killed(solver, tmp_path, pb, caffe, seed):
    """The training process saves where it stands, and ends; --resume goes on from there."""
    changed(solver, max_iter=100000, snapshot=0, test_interval=1000)
    process = started(solver, tmp_path / "run")
    child = child_of(process)
    time.sleep(random.Random(seed).uniform(0, 0.4))
    process.kill()
    process.communicate()
    wait_until(lambda: not alive(child))
    (saved,) = require_whole_snapshots(pb, tmp_path / "run")
    logged = max(iteration for iteration, _ in read_log(tmp_path / "run" / "train_log.csv")["TRAIN", "loss"])
    assert saved >= logged
    state = tmp_path / "run" / f"s_iter_{saved}.solverstate"
    result = train_solver(changed(solver, max_iter=saved + 2), tmp_path / "run", resume=state)
    assert result.iteration == saved + 2


def test_what_a_kill_has_left_is_removed_and_told(solver, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    left = [".s_iter_5.caffemodel", ".s_iter_5.caffemodel.0123abcd.tmp", ".s_iter_5.solverstate"]
    others = [".other", ".s_iter_5.txt", ".t_iter_5.caffemodel"]
    for name in [*left, *others]:
        (run / name).write_bytes(b"half")
    notes = []
    train_solver(solver, run, max_iter=1, on_event=notes.append)
    assert [note.text.split(",")[0] for note in notes if isinstance(note, ev.Note)] == [
        f"removed {name}" for name in left
    ]
    assert sorted(path.name for path in run.glob(".*")) == others


def test_caffes_own_resume_reads_our_snapshots(solver, tmp_path, caffe, monkeypatch):
    """Wherever it is called; the weights are those that our caffemodel holds."""
    result = train_solver(solver, tmp_path / "run", max_iter=10)
    monkeypatch.chdir(tmp_path / "net")
    own = caffe.get_solver(str(changed(solver, snapshot_prefix=str(tmp_path / "own"))))
    own.restore(str(result.solverstate))
    assert own.iter == 10
    net = caffe.Net(str(solver.parent / "deploy.prototxt"), str(result.caffemodel), caffe.TEST)
    for name, blobs in net.params.items():
        assert [blob.data.tobytes() for blob in blobs] == [blob.data.tobytes() for blob in own.net.params[name]]


def test_hdf5_snapshots_too(solver, tmp_path, caffe):
    h5py = pytest.importorskip("h5py")
    result = train_solver(changed(solver, snapshot_format=0), tmp_path / "run", max_iter=3)
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["s_iter_3.caffemodel.h5", "s_iter_3.solverstate.h5", "train_log.csv"]
    with h5py.File(result.solverstate, "r") as state:
        named = state["learned_net"][()]
    assert Path(os.fsdecode(named)).samefile(result.caffemodel)
    assert train_solver(solver, tmp_path / "run", resume=result.solverstate, max_iter=5).iteration == 5


# Disks that fill.


def test_a_disk_without_room_for_a_snapshot(solver, tmp_path, mounted, pb):
    """LeNet's snapshot takes 3.4 MiB: the first has room, the second has not, nor half of it."""
    folder = mounted("small", "4600k")
    notes = []
    with pytest.raises(NetbuildError, match="snapshot of iteration 30: it cannot be written .* MiB of the disk") as e:
        train_solver(solver, folder, max_iter=30, on_event=notes.append)
    assert f"the last good snapshot is that of iteration 10: resume='{folder}/s_iter_10.solverstate'" in str(e.value)
    said = [note.text for note in notes if isinstance(note, ev.Note)]
    assert len(said) == 1
    assert said[0].startswith("snapshot of iteration 20: it cannot be written")
    assert said[0].endswith("The training goes on, and tries again after 10 iterations")
    assert require_whole_snapshots(pb, folder) == [10]
    assert sorted(path.name for path in folder.iterdir()) == [
        *("s_iter_10.caffemodel", "s_iter_10.solverstate", "train_log.csv")
    ]
    assert max(iteration for iteration, _ in read_log(folder / "train_log.csv")["TRAIN", "loss"]) == 30


def test_a_disk_that_has_room_again(solver, mounted, pb):
    folder = mounted("small", "5m")
    filler = folder / "filler"
    filler.write_bytes(b"x" * 3_000_000)

    def make_room(event):
        if isinstance(event, ev.Note):
            filler.unlink()

    assert train_solver(solver, folder, on_event=make_room).iteration == 20
    assert require_whole_snapshots(pb, folder) == [20]


def test_hdf5_on_a_full_disk(solver, mounted):
    folder = mounted("small", "1m")
    with pytest.raises(NetbuildError, match="snapshot of iteration 3: it .*no snapshot was written") as e:
        train_solver(changed(solver, snapshot_format=0), folder, max_iter=3)
    assert "caffemodel is whole" not in str(e.value)
    assert [path.name for path in folder.iterdir()] == ["train_log.csv"]


MODEL_ALONE = "its caffemodel is whole, and kept in '.*s_iter_.*': only the solverstate is missing, without which"


@pytest.mark.parametrize("kind", [0, 1])
def test_a_disk_with_room_for_the_last_caffemodel_alone(solver, tmp_path, mounted, caffe, kind):
    """What was learnt is not thrown away: the weights are those of a run that had room."""
    changed(solver, snapshot_format=kind, snapshot=0)
    whole = train_solver(solver, tmp_path / "whole", max_iter=3)
    folder = mounted("small", "2m")
    with pytest.raises(
        NetbuildError, match=f"^snapshot of iteration 3: it .*; {MODEL_ALONE} .* snapshot was written to"
    ):
        train_solver(solver, folder, max_iter=3)
    assert sorted(path.name for path in folder.iterdir()) == [whole.caffemodel.name, "train_log.csv"]
    deploy = str(solver.parent / "deploy.prototxt")
    kept, expected = (
        caffe.Net(deploy, str(path), caffe.TEST) for path in (folder / whole.caffemodel.name, whole.caffemodel)
    )
    for name, blobs in expected.params.items():
        assert [blob.data.tobytes() for blob in blobs] == [blob.data.tobytes() for blob in kept.params[name]]


def test_a_head_with_room_for_its_last_caffemodel_alone(fused, tmp_path, mounted):
    """There is none for the frozen layers either: the head is kept without."""
    weights = [fused / "init.caffemodel"]
    whole = train_solver(fused / "solver.prototxt", tmp_path / "whole", weights=weights, max_iter=60)
    features = Features(tmp_path / "whole" / "features")
    folder = mounted("small", whole.solverstate.stat().st_size * 3 // 2)
    with pytest.raises(
        NetbuildError, match="the frozen layers cannot be added to it .*; its head is in '.*', for fuse"
    ):
        train_solver(fused / "solver.prototxt", folder, weights=weights, max_iter=60, features=features)
    assert [path.name for path in folder.glob("*model")] == ["s_iter_60.head.caffemodel"]


def test_a_run_asked_to_end_keeps_the_caffemodel_alone(solver, mounted):
    """`on_event` fails, the disk has room for half a snapshot: the warning names what is kept."""

    def fail(event):
        if isinstance(event, ev.Stepped) and event.iteration >= 5:
            raise RuntimeError("of the caller's")

    folder = mounted("small", "2m")
    changed(solver, max_iter=5000, snapshot=0, display=5)
    with pytest.warns(NetbuildWarning, match=MODEL_ALONE), pytest.raises(RuntimeError):
        train_solver(solver, folder, on_event=fail)
    assert len(list(folder.glob("s_iter_*.caffemodel"))) == 1


def test_a_periodic_snapshot_is_kept_whole_or_not_at_all(solver, mounted):
    folder = mounted("small", "2m")
    seen = []

    def look(event):
        if isinstance(event, ev.Note):
            seen.extend([event.text, *folder.glob("*model")])

    with pytest.raises(NetbuildError, match=f"snapshot of iteration 20: .*{MODEL_ALONE}"):
        train_solver(solver, folder, on_event=look)
    assert len(seen) == 1
    assert seen[0].startswith("snapshot of iteration 10: it")


def test_a_disk_without_room_for_the_log(solver, mounted, pb):
    folder = mounted("small", "8m")

    def fill(event):
        if isinstance(event, ev.Saved):
            with (folder / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * 512)

    with pytest.raises(NetbuildError, match="train_log.csv': cannot be written .No space left on device.") as e:
        train_solver(changed(solver, max_iter=5000, snapshot=10, test_interval=1000, display=5), folder, on_event=fill)
    assert "the last good snapshot is that of iteration 10: resume=" in str(e.value)
    assert require_whole_snapshots(pb, folder) == [10]
    assert read_log(folder / "train_log.csv")["TRAIN", "loss"]


# A caller in trouble.


def test_a_log_that_cannot_be_written_ends_the_training_with_a_snapshot(solver, tmp_path, pb):
    def spoil(event):
        if isinstance(event, ev.Stepped) and event.iteration == 15:
            (tmp_path / "run" / "train_log.csv").unlink()
            (tmp_path / "run" / "train_log.csv").mkdir()

    with pytest.raises(NetbuildError, match="train_log.csv': cannot be written .Is a directory.; the last good") as e:
        train_solver(changed(solver, max_iter=5000, snapshot=0, display=5), tmp_path / "run", on_event=spoil)
    (saved,) = require_whole_snapshots(pb, tmp_path / "run")
    assert f"that of iteration {saved}: resume=" in str(e.value)
    assert 16 <= saved < 5000


def test_a_callback_that_fails_costs_nothing_that_was_learnt(solver, tmp_path, pb):
    def fail(event):
        if isinstance(event, ev.Stepped) and event.iteration >= 15:
            raise RuntimeError("of the caller's")

    changed(solver, max_iter=5000, snapshot=0, display=5)
    with pytest.warns(NetbuildWarning, match="ended by RuntimeError; the last good"), pytest.raises(RuntimeError):
        train_solver(solver, tmp_path / "run", on_event=fail)
    (saved,) = require_whole_snapshots(pb, tmp_path / "run")
    assert 15 <= saved < 5000


def test_a_reader_that_goes_away(solver, tmp_path, pb):
    """`netbuild train ... | head -1`"""
    changed(solver, max_iter=100000, snapshot=0, test_interval=5)
    process = started(solver, tmp_path / "run", stdout=subprocess.PIPE)
    assert process.stdout.readline().startswith("iteration 5: accuracy")
    process.stdout.close()
    with process:
        told = process.stderr.read()
    assert process.returncode == 1
    (saved,) = require_whole_snapshots(pb, tmp_path / "run")
    assert "Traceback" not in told
    assert f"the last good snapshot is that of iteration {saved}: --resume" in told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_end(solver, tmp_path, pb, number):
    process = started(changed(solver, max_iter=100000, snapshot=0), tmp_path / "run")
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert len(require_whole_snapshots(pb, tmp_path / "run")) == 1
    assert not list((tmp_path / "run").glob(".*"))


def test_asked_to_end_before_there_is_a_log(solver, tmp_path):
    """The first row would come after 1000 iterations: only what is there is listed."""
    changed(solver, max_iter=100000, snapshot=1, test_interval=100000, display=100000)
    process = subprocess.Popen(
        [*MAIN, str(solver), "-o", str(tmp_path / "run")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until((tmp_path / "run" / "s_iter_1.solverstate").exists)
    process.send_signal(signal.SIGINT)
    told, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "note: log" not in errors
    wrote = re.findall("^wrote (.*)$", told, re.M)
    assert len(wrote) == 2
    assert all(Path(path).exists() for path in wrote)


def test_a_training_that_is_over_does_not_die_of_a_late_request(solver, tmp_path, monkeypatch):
    """Python gives signals their deadly effect back when it ends; what is ignored stays so."""
    monkeypatch.setattr(reach, "run", lambda _function, **job: child.run("jobs:trained", **job))
    events = []
    train_solver(solver, tmp_path / "run", max_iter=1, on_event=events.append)
    assert events[-1] == ["SIG_IGN"] * 3
