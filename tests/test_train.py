import csv
import os
import signal

import numpy as np
import pytest
from PIL import Image

from netbuild import DataSource, Fusion, Scorer, emit_files, lenet, proto, score_nets, train_solver
from netbuild.branches.lenet import MNIST
from netbuild.costs.summary import summarize
from netbuild.errors import CaffeError, GraphError, NetbuildError, WeightsError
from netbuild.train import events as ev
from netbuild.train import prepare
from netbuild.train.log import draw_curves, read_log


@pytest.fixture()
def solver(tmp_path, small_lists):
    lists = {"train_source": str(small_lists.path("train_all")), "test_source": str(small_lists.path("val_all"))}
    options = {"max_iter": "20", "test_interval": "10", "snapshot": "10", "snapshot_prefix": "s", "display": "5"}
    emit_files(
        Fusion({"": lenet}, 10, frozen=False), DataSource(MNIST, **lists), tmp_path / "net", solver_options=options
    )
    return tmp_path / "net" / "solver.prototxt"


def test_a_run_trains_logs_tests_and_snapshots(solver, tmp_path, caffe, small_lists):
    events = []
    result = train_solver(solver, tmp_path / "run", on_event=events.append)
    assert events[0] == ev.Started(0, 20)
    assert [event.iteration for event in events if isinstance(event, ev.Tested)] == [10, 20]
    steps = [event for event in events if isinstance(event, ev.Stepped)]
    assert steps[-1].loss < steps[0].loss
    assert steps[0].lr == pytest.approx(0.01)
    assert (result.iteration, result.interrupted) == (20, False)
    # The last test is one of the trained weights: evaluating the snapshot on the same 40 images gives the same.
    found = score_nets(Scorer(solver.parent / "train_val.prototxt", result.caffemodel), small_lists.path("val_all"))
    assert result.scores["accuracy"] == pytest.approx(found.top1, abs=1e-5)
    own = found.answers[0].probabilities[np.arange(40), found.listing.labels]
    assert result.scores["loss"] == pytest.approx(-np.log(own).mean(), abs=1e-5)
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == [f"s_iter_{n}.{kind}" for n in (10, 20) for kind in ("caffemodel", "solverstate")] + [
        "train_log.csv"
    ]
    with result.log.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["value"] for row in rows if row["name"] == "accuracy"][-1] == repr(result.scores["accuracy"])
    net = caffe.Net(os.fspath(solver.parent / "deploy.prototxt"), os.fspath(result.caffemodel), caffe.TEST)
    assert net.params["ip2"][0].data.std() > 0


def seeded(solver, **fields):
    message = proto.read_solver(solver)
    message.random_seed = 3
    for name, value in fields.items():
        setattr(message, name, value)
    proto.write(solver, message)


def all_blobs(net):
    return {(name, i): blob.data.tobytes() for name, blobs in net.params.items() for i, blob in enumerate(blobs)}


def loaded(caffe, solver, caffemodel):
    return all_blobs(caffe.Net(os.fspath(solver.parent / "deploy.prototxt"), os.fspath(caffemodel), caffe.TEST))


def test_the_same_bits_as_caffes_own_loop(solver, tmp_path, caffe):
    """Steps one by one, tests in between: the weights are those of solver.step(20) in pycaffe."""
    seeded(solver, snapshot_prefix=str(tmp_path / "own"))
    result = train_solver(solver, tmp_path / "run")
    own = caffe.get_solver(os.fspath(solver))
    start = all_blobs(own.net)
    own.step(20)
    assert all_blobs(own.net) == loaded(caffe, solver, result.caffemodel)
    assert start != all_blobs(own.net)


def test_resuming_gives_the_bits_of_an_unbroken_run(solver, tmp_path, caffe, small_lists, monkeypatch):
    # The data layer begins its list anew in a resumed run: ten batches of 20 are five times the list of 40.
    edit(solver, "train_val.prototxt", "batch_size: 50", "batch_size: 20")
    seeded(solver)
    whole = train_solver(solver, tmp_path / "whole")
    half = train_solver(solver, tmp_path / "half", max_iter=10)
    monkeypatch.chdir(tmp_path)
    resumed = train_solver(solver, "half", resume=os.path.relpath(half.solverstate))
    assert resumed.iteration == 20
    assert loaded(caffe, solver, resumed.caffemodel) == loaded(caffe, solver, whole.caffemodel)
    assert loaded(caffe, solver, resumed.caffemodel) != loaded(caffe, solver, half.caffemodel)
    iterations = [point[0] for point in read_log(resumed.log)["TRAIN", "loss"]]
    assert iterations == list(range(1, 21))


def test_a_resumed_run_neither_passes_over_nor_overwrites_later_snapshots(solver, tmp_path):
    train_solver(solver, tmp_path / "run")
    state = tmp_path / "run" / "s_iter_10.solverstate"
    with pytest.raises(NetbuildError, match="holds snapshots beyond iteration 10 .s_iter_20"):
        train_solver(solver, tmp_path / "run", resume=state)
    with pytest.raises(NetbuildError, match="nothing to do: it goes on from iteration 10, and max_iter is 5"):
        train_solver(solver, tmp_path / "other", resume=state, max_iter=5)


def test_a_resumed_run_does_not_overwrite_later_snapshots_in_hdf5(solver, tmp_path):
    message = proto.read_solver(solver)
    message.snapshot_format = message.HDF5
    proto.write(solver, message)
    train_solver(solver, tmp_path / "run")
    last = tmp_path / "run" / "s_iter_20.caffemodel.h5"
    before = last.read_bytes()
    with pytest.raises(NetbuildError, match="holds snapshots beyond iteration 10 .s_iter_20"):
        train_solver(solver, tmp_path / "run", resume=tmp_path / "run" / "s_iter_10.solverstate.h5")
    assert last.read_bytes() == before


def test_a_net_with_layers_that_were_not_saved_does_not_go_on(solver, tmp_path):
    """Caffe loads what is called alike, and begins the rest at its fillers without a word."""
    state = train_solver(solver, tmp_path / "run", max_iter=10).solverstate
    net = solver.parent / "train_val.prototxt"
    net.write_text(net.read_text().replace('"ip2"', '"other"'))
    with pytest.raises(NetbuildError, match="caffemodel '.*s_iter_10.caffemodel' has no values for other,"):
        train_solver(solver, tmp_path / "again", resume=state)
    assert not list((tmp_path / "again").glob("*.caffemodel"))


def test_weights_are_where_training_begins(solver, tmp_path):
    first = train_solver(solver, tmp_path / "first")
    losses = []
    train_solver(
        solver,
        tmp_path / "second",
        weights=[first.caffemodel],
        max_iter=1,
        on_event=lambda event: losses.append(event.loss) if isinstance(event, ev.Stepped) else None,
    )
    assert losses[0] < read_log(first.log)["TRAIN", "loss"][0][1]


def test_ctrl_c_writes_a_snapshot_and_ends_cleanly(solver, tmp_path):
    def interrupt(event):
        if isinstance(event, ev.Stepped) and event.iteration >= 15:
            os.kill(os.getpid(), signal.SIGINT)

    result = train_solver(solver, tmp_path / "run", max_iter=5000, on_event=interrupt)
    assert result.interrupted
    assert 15 <= result.iteration < 5000
    assert result.caffemodel.exists()
    assert result.solverstate.exists()


def test_a_callback_that_fails_leaves_no_child_behind(solver, tmp_path):
    def fail(_event):
        raise RuntimeError("of the caller's")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError) as kept:
        train_solver(solver, tmp_path / "run", max_iter=5000, on_event=fail)
    assert kept.traceback
    assert signal.getsignal(signal.SIGINT) is before


def broken_image(path):
    """A PNG whose beginning and end are right, and whose pixels are not: only who decodes it finds that."""
    Image.new("L", (28, 28)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:33] + whole[-12:])


def test_a_start_that_fails_does_not_lock_the_folder(solver, tmp_path, small_lists):
    good = str(small_lists.path("train_all"))
    broken_image(tmp_path / "broken.png")
    (tmp_path / "list.txt").write_text(f"{tmp_path}/broken.png 0\n")
    edit(solver, "train_val.prototxt", good, str(tmp_path / "list.txt"))
    with pytest.raises(CaffeError, match="Could not load"):
        train_solver(solver, tmp_path / "run", max_iter=1)
    edit(solver, "train_val.prototxt", str(tmp_path / "list.txt"), good)
    assert train_solver(solver, tmp_path / "run", max_iter=1).iteration == 1


def test_weights_that_would_not_arrive_are_refused_or_noted(solver, tmp_path, trained, small_lists, pb):
    other = pb.NetParameter(name="other")
    blob = other.layer.add(name="stranger").blobs.add(data=[1])
    blob.shape.dim.append(1)
    (tmp_path / "other.caffemodel").write_bytes(other.SerializeToString())
    with pytest.raises(WeightsError, match="no layer of it is in the net, which has .*; it has stranger"):
        train_solver(solver, tmp_path / "run", weights=[tmp_path / "other.caffemodel"])
    lists = {"train_source": str(small_lists.path("train_all")), "test_source": str(small_lists.path("val_all"))}
    emit_files(Fusion({"a": lenet}, 10), DataSource(MNIST, **lists), tmp_path / "fused")
    fused = tmp_path / "fused" / "solver.prototxt"
    with pytest.raises(WeightsError, match="'conv1' is 'a/conv1' here.: netbuild fuse puts all branches' into one"):
        train_solver(fused, tmp_path / "run", weights=[trained / "a.caffemodel"])
    with pytest.raises(
        WeightsError,
        match="3 frozen layers get no trained weights .a/conv1, .*, a/ip1.*give them with weights, .*force=True",
    ):
        train_solver(fused, tmp_path / "run", max_iter=1)
    assert not (tmp_path / "run").exists()
    notes = []
    train_solver(fused, tmp_path / "run", max_iter=1, on_event=notes.append, force=True)
    assert "3 frozen layers get no trained weights" in notes[0].text


def test_one_path_of_weights_is_a_list_of_one(solver, tmp_path):
    lone = train_solver(solver, tmp_path / "first", max_iter=1).caffemodel
    models = []
    for number, weights in enumerate(([lone], lone, os.fspath(lone))):
        ended = train_solver(solver, tmp_path / str(number), weights=weights, max_iter=1)
        models.append(ended.caffemodel.read_bytes())
    assert len(set(models)) == 1


@pytest.mark.parametrize(
    "weights", [None, 3, b"a.caffemodel", {"a": "a.caffemodel"}, [b"a.caffemodel"], [["a.caffemodel"]]]
)
def test_weights_of_another_kind_are_refused_in_words(solver, tmp_path, weights):
    with pytest.raises(NetbuildError, match="^weights: expected a path or a list of paths, found "):
        train_solver(solver, tmp_path / "run", weights=weights)
    with pytest.raises(NetbuildError, match=r"^features: expected Features\(...\), found 'off'"):
        train_solver(solver, tmp_path / "run", features="off")
    assert not (tmp_path / "run").exists()


def test_a_solver_that_asks_for_a_gpu_is_run_on_the_cpu_with_a_note(solver, tmp_path):
    edit(solver, "solver.prototxt", "solver_mode: CPU", "solver_mode: GPU")
    notes = []
    train_solver(solver, tmp_path / "run", max_iter=1, on_event=notes.append)
    assert "training on the CPU" in notes[0].text


def test_an_earlier_run_is_found_whatever_its_snapshots_are_called(tmp_path):
    (tmp_path / "s[1]*_iter_2.caffemodel").write_text("old")
    with pytest.raises(NetbuildError, match="holds an earlier run"):
        prepare.require_untouched(tmp_path, "s[1]*", tmp_path / "log", None)


def test_results_of_an_earlier_run_are_not_overwritten(solver, tmp_path):
    train_solver(solver, tmp_path / "run", max_iter=2)
    before = (tmp_path / "run" / "s_iter_2.caffemodel").read_bytes()
    with pytest.raises(NetbuildError, match="holds an earlier run .s_iter_2.caffemodel."):
        train_solver(solver, tmp_path / "run", max_iter=2)
    assert (tmp_path / "run" / "s_iter_2.caffemodel").read_bytes() == before


def test_a_solverstate_is_told_from_a_caffemodel(solver, tmp_path, trained):
    result = train_solver(solver, tmp_path / "run", max_iter=1)
    with pytest.raises(WeightsError, match="is a solverstate, not a caffemodel; give it with resume"):
        train_solver(solver, tmp_path / "x", weights=[result.solverstate])
    with pytest.raises(WeightsError, match="is a caffemodel, not a solverstate; give it with weights"):
        train_solver(solver, tmp_path / "x", resume=trained / "a.caffemodel")
    with pytest.raises(NetbuildError, match="exclude each other"):
        train_solver(solver, tmp_path / "x", weights=[trained / "a.caffemodel"], resume=result.solverstate)


def edit(solver, file, old, new):
    path = solver.parent / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_would_make_caffe_abort_is_found_first(solver, tmp_path, small_lists):
    net = solver.parent / "train_val.prototxt"
    whole = net.read_text()
    edit(solver, net.name, 'bottom: "pool2"', 'bottom: "pool3"')
    with pytest.raises(GraphError, match="layer 'ip1': unknown bottom 'pool3'; did you mean 'pool2'"):
        train_solver(solver, tmp_path / "run")
    net.write_text(whole.replace(str(small_lists.path("val_all")), "nowhere.txt"))
    with pytest.raises(NetbuildError, match="data layer 'mnist' .TEST. reads 'nowhere.txt', which is not there"):
        train_solver(solver, tmp_path / "run")
    net.write_text(whole.replace('"conv1"', '"a/conv1"'))
    edit(solver, solver.name, "solver_mode", "snapshot_format: HDF5 solver_mode")
    with pytest.raises(GraphError, match="snapshot_format is HDF5"):
        train_solver(solver, tmp_path / "run")
    net.unlink()
    with pytest.raises(NetbuildError, match="solver's net .*: no such file"):
        train_solver(solver, tmp_path / "run")


def test_what_caffe_alone_can_find_is_told_in_its_words(solver, tmp_path, small_lists):
    broken_image(tmp_path / "broken.png")
    (tmp_path / "list.txt").write_text(f"{tmp_path}/broken.png 0\n")
    edit(solver, "train_val.prototxt", str(small_lists.path("train_all")), str(tmp_path / "list.txt"))
    with pytest.raises(CaffeError, match="Caffe gave up: .*Could not load .*broken.png"):
        train_solver(solver, tmp_path / "run")


def test_a_gpu_that_caffe_cannot_use_is_told(solver, tmp_path):
    with pytest.raises(CaffeError, match="CPU-only|GPU"):
        train_solver(solver, tmp_path / "run", gpu=0)


def test_nets_are_found_beside_the_solver_and_phases_in_two_files(tmp_path, small_lists, monkeypatch):
    lists = {"train_source": str(small_lists.path("train_all")), "test_source": str(small_lists.path("val_all"))}
    monkeypatch.chdir(tmp_path)
    options = {"max_iter": "2"}
    emit_files(
        Fusion({"": lenet}, 10, frozen=False),
        DataSource(MNIST, **lists),
        "net",
        split_phases=True,
        solver_options=options,
    )
    monkeypatch.chdir(tmp_path / "net")
    assert train_solver("solver.prototxt", "run").scores.keys() == {"accuracy", "loss"}


def test_curves_are_drawn(solver, tmp_path):
    result = train_solver(solver, tmp_path / "run")
    draw_curves(result.log, tmp_path / "curves.png", title="x")
    from PIL import Image

    with Image.open(tmp_path / "curves.png") as image:
        assert image.size == (1100, 440)
        assert len(set(image.convert("RGB").getdata())) > 50


def test_a_training_that_does_not_fit_is_told_before(solver, monkeypatch):
    summed_up = []
    monkeypatch.setattr(prepare, "summarize", lambda net: summed_up.append(net) or summarize(net))
    memory = prepare.TrainingMemory(proto.read_net(proto.read_solver(solver).net))
    assert memory.excess() is None
    assert memory.in_words().startswith("training at batch 50 takes about ")
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 3000}.get)
    note = memory.excess()
    assert note.startswith("training at batch 50 takes about 0.0 GiB, and this machine has 0.0: the largest batch ")
    largest = int(note.split("that fits is ")[1].split()[0])
    assert 0 < largest < 50
    assert len(summed_up) == 1
