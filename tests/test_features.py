import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from netbuild import fuse_weights, proto, train_solver
from netbuild.engine import plain
from netbuild.errors import CaffeError, GraphError, NetbuildError, WeightsError
from netbuild.features import cluster
from netbuild.features.make import DiskNeed, Execution, FeatureProgress, make_features
from netbuild.features.part import Task
from netbuild.features.split import split
from netbuild.graph.view import NetView
from netbuild.schema import TEST, TRAIN
from netbuild.train.head import Features
from netbuild.train.log import read_log


@pytest.fixture()
def one_thread(monkeypatch):
    """With one BLAS thread everywhere, the whole net's bits are those of the features."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")


def blobs(caffe, fused, caffemodel):
    net = caffe.Net(os.fspath(fused / "deploy.prototxt"), os.fspath(caffemodel), caffe.TEST)
    return {(name, i): blob.data.tobytes() for name, blobs in net.params.items() for i, blob in enumerate(blobs)}


def trained_on(features, fused, folder, **options):
    return train_solver(
        fused / "solver.prototxt", folder, weights=[fused / "init.caffemodel"], features=features, **options
    )


def test_a_head_trained_on_features_has_the_bits_of_the_whole_nets(fused, tmp_path, caffe, one_thread):
    """Over 200 steps, ten passes and more: weights, losses, test scores; the head begins with the solver's seed."""
    events = []
    whole = trained_on(Features("off"), fused, tmp_path / "whole")
    head = trained_on(Features(), fused, tmp_path / "head", on_event=events.append)
    assert blobs(caffe, fused, head.caffemodel) == blobs(caffe, fused, whole.caffemodel)
    assert blobs(caffe, fused, head.caffemodel) != blobs(caffe, fused, fused / "init.caffemodel")
    assert read_log(head.log) == read_log(whole.log)
    assert head.scores == whole.scores
    assert "only the head is trained" in events[0].text
    # Each snapshot on the way is of the whole net, too.
    halfway = [folder / "s_iter_100.caffemodel" for folder in (tmp_path / "head", tmp_path / "whole")]
    assert blobs(caffe, fused, halfway[0]) == blobs(caffe, fused, halfway[1])
    assert not list((tmp_path / "head").glob("*.head.*"))


def test_a_head_of_another_name_does_not_go_on(fused, tmp_path):
    weights = [fused / "init.caffemodel"]
    state = train_solver(fused / "solver.prototxt", tmp_path / "half", weights=weights, max_iter=100).solverstate
    net = fused / "train_val.prototxt"
    net.write_text(net.read_text().replace('"ip2"', '"other"'))
    with pytest.raises(NetbuildError, match="has no values for other,"):
        train_solver(fused / "solver.prototxt", tmp_path / "again", resume=state, max_iter=110)


def test_a_resumed_head_has_the_bits_of_an_unbroken_run(fused, tmp_path, caffe):
    whole = trained_on(Features(), fused, tmp_path / "whole")
    half = trained_on(Features(), fused, tmp_path / "half", max_iter=100)
    solver = fused / "solver.prototxt"
    resumed = train_solver(solver, tmp_path / "half", resume=half.solverstate)
    assert blobs(caffe, fused, resumed.caffemodel) == blobs(caffe, fused, whole.caffemodel)
    with pytest.raises(NetbuildError, match="remembers 2 blobs, and the whole net has 14.*features=Features..auto..$"):
        train_solver(solver, tmp_path / "x", resume=half.solverstate, max_iter=150, features=Features("off"))
    # The state of a whole net goes on as a whole net.
    old = trained_on(Features("off"), fused, tmp_path / "old", max_iter=100)
    notes = []
    train_solver(solver, tmp_path / "old", resume=old.solverstate, max_iter=101, on_event=notes.append)
    assert "is the state of a whole net" in notes[0].text


def test_snapshots_of_the_head_alone_are_completed_by_fuse(fused, tmp_path, caffe):
    whole = trained_on(Features(), fused, tmp_path / "whole")
    head = trained_on(Features(head_only=True), fused, tmp_path / "head")
    assert head.caffemodel.stat().st_size < whole.caffemodel.stat().st_size / 10
    sources = {"": [fused / "init.caffemodel", head.caffemodel]}
    fuse_weights(fused / "train_val.prototxt", sources, tmp_path / "done.caffemodel")
    assert blobs(caffe, fused, tmp_path / "done.caffemodel") == blobs(caffe, fused, whole.caffemodel)
    # A resumed run needs the frozen layers' weights, which such a snapshot does not have.
    state = tmp_path / "head" / "s_iter_100.solverstate"
    with pytest.raises(WeightsError, match="6 frozen layers get no trained weights"):
        train_solver(fused / "solver.prototxt", tmp_path / "again", resume=state)
    again = train_solver(
        fused / "solver.prototxt", tmp_path / "again", resume=state, weights=[fused / "init.caffemodel"]
    )
    assert blobs(caffe, fused, again.caffemodel) == blobs(caffe, fused, whole.caffemodel)


def test_shuffled_features_are_the_same_images_in_another_order(fused, tmp_path, caffe):
    plain = trained_on(Features(), fused, tmp_path / "plain")
    shuffled = trained_on(Features(tmp_path / "plain" / "features", shuffle=True), fused, tmp_path / "shuffled")
    assert blobs(caffe, fused, shuffled.caffemodel) != blobs(caffe, fused, plain.caffemodel)
    assert shuffled.scores["accuracy"] == pytest.approx(plain.scores["accuracy"], abs=0.1)


def make(fused, folder, *execution, **options):
    return make_features(
        fused / "train_val.prototxt", [fused / "init.caffemodel"], folder, Execution(*execution), **options
    )


def sums(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.sha256"))}


def in_small_files(monkeypatch, images=10):
    monkeypatch.setattr("netbuild.features.store._FILE_IMAGES", images)


def test_features_are_what_the_net_computes(fused, tmp_path, caffe, small_lists, monkeypatch, one_thread):
    in_small_files(monkeypatch)
    found = make(fused, tmp_path / "f", 2)
    assert {name: (kept.images, kept.files, kept.new) for name, kept in found.items()} == {
        "train": (40, 4, 4),
        "test": (40, 2, 2),  # batches of 20
    }
    assert found["train"].blobs == {"ip1_fused": (1000,), "label": ()}
    assert found["train"].size == 40 * 1001 * 4
    lists = {"train": "train_all", "test": "val_all"}
    for name, phase in (("train", TRAIN), ("test", TEST)):
        net = caffe.Net(os.fspath(fused / "train_val.prototxt"), os.fspath(fused / "init.caffemodel"), phase)
        files = [tmp_path / "f" / line for line in (tmp_path / "f" / f"{name}.txt").read_text().splitlines()]
        stored = {
            blob: np.concatenate([h5py.File(file, "r")[blob][...] for file in files]) for blob in found[name].blobs
        }
        labels = [int(line.rsplit(" ", 1)[1]) for line in small_lists.path(lists[name]).read_text().splitlines()]
        assert stored["label"].tolist() == labels
        batch = found[name].batch
        for first in range(0, 40, batch):
            net.forward()
            expected = net.blobs["ip1_fused"].data
            np.testing.assert_allclose(stored["ip1_fused"][first : first + batch], expected, rtol=1e-5, atol=1e-5)


def test_a_list_that_is_no_multiple_of_the_batch_is_stored_once(fused, tmp_path, small_lists, monkeypatch):
    in_small_files(monkeypatch)
    lines = small_lists.path("train_all").read_text().splitlines(keepends=True)[:37]
    (tmp_path / "list.txt").write_text("".join(lines))
    edit(fused / "train_val.prototxt", str(small_lists.path("train_all")), str(tmp_path / "list.txt"))
    found = make(fused, tmp_path / "f")
    assert (found["train"].images, found["train"].files) == (37, 4)
    with h5py.File(tmp_path / "f" / "train" / "000003.h5", "r") as file:
        assert file["ip1_fused"].shape == (7, 1000)
        assert file["label"][...].tolist() == [float(line.rsplit(" ", 1)[1]) for line in lines[30:]]


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_same_files_for_any_number_of_workers_and_sha256sum_finds_them_right(fused, tmp_path, monkeypatch):
    in_small_files(monkeypatch)
    for workers in (1, 2, 3):
        make(fused, tmp_path / f"f{workers}", workers)
    assert sums(tmp_path / "f1") == sums(tmp_path / "f2") == sums(tmp_path / "f3")
    assert len(sums(tmp_path / "f1")["train.sha256"].splitlines()) == 4
    for line in sums(tmp_path / "f1")["train.sha256"].decode().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((tmp_path / "f2" / name).read_bytes()).hexdigest() == digest


def test_a_killed_run_goes_on_where_it_was(fused, tmp_path, monkeypatch):
    in_small_files(monkeypatch)
    make(fused, tmp_path / "whole")
    folder = tmp_path / "killed"
    code = (
        "import os, sys, netbuild.features.store as store\n"
        "from netbuild.features.make import FeatureProgress, Execution, make_features\n"
        "store._FILE_IMAGES = 10\n"
        "def told(event):\n"
        "    if isinstance(event, FeatureProgress) and event.done >= 20: os.kill(os.getpid(), 9)\n"
        "make_features(sys.argv[1], [sys.argv[2]], sys.argv[3], Execution(1), on_event=told)\n"
    )
    arguments = [str(fused / "train_val.prototxt"), str(fused / "init.caffemodel"), str(folder)]
    killed = subprocess.run([sys.executable, "-c", code, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    # What is finished counts, but not a damaged file, nor half a line of the record.
    (folder / "train" / "000001.h5").write_bytes(b"damaged")
    with (folder / "train.sha256").open("a") as file:
        file.write("0123")
    done = []
    found = make(fused, folder, on_event=done.append)
    assert found["train"].new == 3
    assert done[0].images == 30 + 40
    assert sums(folder) == sums(tmp_path / "whole")
    assert make(fused, folder)["train"].new == 0


def test_what_is_needed_is_told_first_and_progress_after(fused, tmp_path, monkeypatch):
    in_small_files(monkeypatch)
    events = []
    make(fused, tmp_path / "f", on_event=events.append)
    assert events[0] == DiskNeed(80, 80 * 1001 * 4, events[0].free)
    assert [event.done for event in events[1:]][-1] == 80
    assert all(
        isinstance(event, FeatureProgress) and event.total == 80 and event.per_second > 0 for event in events[1:]
    )
    events.clear()
    make(fused, tmp_path / "f", on_event=events.append)
    assert events == []
    make(fused, tmp_path / "dry", dry_run=True, on_event=events.append)
    assert isinstance(events[0], DiskNeed)
    assert not (tmp_path / "dry").exists()


def test_a_disk_that_is_too_small_is_told_before_anything_is_computed(fused, tmp_path, monkeypatch):
    import shutil

    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: full)
    with pytest.raises(NetbuildError, match=r"features need 0 MiB, and 0 are free in .*; use another disk"):
        make(fused, tmp_path / "f")
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize("change", ["list", "images", "weights", "net", "threads"])
def test_stale_features_are_refused_by_name_of_what_changed(fused, tmp_path, small_lists, trained, monkeypatch, change):
    lines = small_lists.path("train_all").read_text().splitlines()
    own = tmp_path / "own.png"
    own.write_bytes(Path(lines[0].rsplit(" ", 1)[0]).read_bytes())
    (tmp_path / "list.txt").write_text("\n".join([f"{own} 3", *lines[1:]]) + "\n")
    edit(fused / "train_val.prototxt", str(small_lists.path("train_all")), str(tmp_path / "list.txt"))
    make(fused, tmp_path / "f")
    before = sums(tmp_path / "f")
    if change == "list":
        (tmp_path / "list.txt").write_text("\n".join([f"{own} 4", *lines[1:]]) + "\n")
    elif change == "images":
        os.utime(own, ns=(1, 1))
    elif change == "weights":
        weights = {"a": trained / "b.caffemodel", "b": trained / "b.caffemodel"}
        fuse_weights(fused / "train_val.prototxt", weights, fused / "init.caffemodel")
    elif change == "net":
        edit(fused / "train_val.prototxt", "mean_value: 128", "mean_value: 127")
    else:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    named = {
        "list": "train data mnist list",
        "images": "train data mnist images",
        "net": "train net, test net",
        "threads": "BLAS threads",
    }.get(change, change)
    with pytest.raises(
        NetbuildError, match=f"are stale, computed with other {named}; compute them anew with force=True"
    ):
        make(fused, tmp_path / "f")
    assert sums(tmp_path / "f") == before
    with pytest.raises(NetbuildError, match=f"computed with other {named}"):
        trained_on(Features(tmp_path / "f"), fused, tmp_path / "run")
    assert make(fused, tmp_path / "f", force=True)["train"].new == 1
    assert make(fused, tmp_path / "f")["train"].new == 0


def test_another_head_or_other_rates_leave_features_right(fused, tmp_path):
    make(fused, tmp_path / "f")
    edit(fused / "train_val.prototxt", "num_output: 10", "num_output: 12")
    edit(fused / "train_val.prototxt", "xavier", "gaussian")
    first = trained_on(Features(tmp_path / "f"), fused, tmp_path / "run", max_iter=20)
    # Weights whose head has learnt are the same above it.
    found = make_features(fused / "train_val.prototxt", [first.caffemodel], tmp_path / "f")
    assert [kept.new for kept in found.values()] == [0, 0]


def test_a_folder_of_something_else_is_left_alone(fused, tmp_path):
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "mine.txt").write_text("x")
    with pytest.raises(NetbuildError, match="holds something else than features"):
        make(fused, tmp_path / "f", force=True)
    (tmp_path / "f" / "features.json").write_text("[]")
    with pytest.raises(NetbuildError, match="is not a record of features"):
        make(fused, tmp_path / "f")
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == ["features.json", "mine.txt"]


def test_missing_images_are_named(fused, tmp_path, small_lists):
    lines = small_lists.path("train_all").read_text()
    (tmp_path / "list.txt").write_text(lines + "nowhere.png 3\n")
    edit(fused / "train_val.prototxt", str(small_lists.path("train_all")), str(tmp_path / "list.txt"))
    with pytest.raises(
        NetbuildError, match=r"list .*list.txt.: 1 of 41 images are not there; the first is 'nowhere.png'"
    ):
        make(fused, tmp_path / "f")


def test_plain_caffe_trains_on_the_files_in_their_folder_wherever_it_is(fused, tmp_path, caffe, monkeypatch):
    make(fused, tmp_path / "f")
    monkeypatch.chdir((tmp_path / "f").rename(tmp_path / "moved to here"))
    solver = tmp_path / "solver.prototxt"
    solver.write_text(
        'train_net: "head_train.prototxt" test_net: "head_test.prototxt" test_iter: 2 test_interval: 1000 '
        'base_lr: 0.01 lr_policy: "fixed" random_seed: 1 snapshot: 0 snapshot_after_train: false'
    )
    solver = caffe.get_solver(os.fspath(solver))
    solver.step(1)
    before = float(solver.net.blobs["loss"].data)
    solver.step(100)
    assert float(solver.net.blobs["loss"].data) < before


HEAD = """layer { name: "ip" type: "InnerProduct" bottom: "%s" top: "ip" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }"""
IMAGES = """layer { name: "in" type: "ImageData" top: "data" top: "label" %s
  image_data_param { source: "x" batch_size: 4 new_height: 8 new_width: 8 %s } }"""
FROZEN = """layer { name: "b/%s" type: "Convolution" bottom: "%s" top: "b/%s" param { lr_mult: 0 } param { lr_mult: 0 }
  convolution_param { num_output: 2 kernel_size: 3 } }"""


def divided(*texts, phase=TRAIN):
    return split(NetView(proto.parsed("\n".join(texts)), phase))


def names(net):
    return [layer.name for layer in net.layer]


def test_the_cut_is_below_all_that_no_step_changes():
    relu = 'layer { name: "b/r" type: "ReLU" bottom: "b/c" top: "b/c" }'
    drop = 'layer { name: "d" type: "Dropout" bottom: "b/c" top: "b/c" }'
    found = divided(IMAGES % ("", ""), FROZEN % ("c", "data", "c"), relu, drop, HEAD % "b/c")
    assert names(found.features) == ["b/c", "b/r"]
    assert names(found.head) == ["d", "ip", "loss"]
    assert found.blobs == {"b/c": "b_c", "label": "label"}
    assert list(found.head.layer[0].bottom) == ["b_c"]
    assert found.batch == 4
    # In TEST Dropout passes on what it gets.
    assert names(divided(IMAGES % ("", ""), FROZEN % ("c", "data", "c"), drop, HEAD % "b/c", phase=TEST).head) == [
        "ip",
        "loss",
    ]


def test_what_nothing_reads_is_not_kept():
    silence = 'layer { name: "s" type: "Silence" bottom: "b/e" }'
    found = divided(IMAGES % ("", ""), FROZEN % ("c", "data", "c"), FROZEN % ("e", "b/c", "e"), silence, HEAD % "b/c")
    assert names(found.features) == ["b/c"]
    assert names(found.head) == ["ip", "loss"]


NORM = 'layer { name: "b/n" type: "BatchNorm" bottom: "b/c" top: "b/n" param { lr_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 } %s }'


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ([IMAGES % ("", "shuffle: true")], r"layer 'in' \(ImageData\) shuffles its list"),
        ([IMAGES % ("", "rand_skip: 3")], "begins at random"),
        ([IMAGES % ("transform_param { mirror: true }", "")], "mirrors at random"),
        ([IMAGES % ("transform_param { crop_size: 5 }", "")], "crops at random"),
        (
            ['layer { name: "in" type: "Data" top: "data" top: "label" data_param { source: "x" batch_size: 4 } }'],
            "is not read by parts",
        ),
        (
            [
                IMAGES % ("", ""),
                FROZEN % ("c", "data", "c"),
                'layer { name: "d" type: "Dropout" bottom: "b/c" top: "b/d" }',
                FROZEN % ("e", "b/d", "e"),
                HEAD % "b/e",
            ],
            r"layer 'd' \(Dropout\) acts at random, above the frozen 'b/e'",
        ),
        (
            [IMAGES % ("", ""), FROZEN % ("c", "data", "c"), NORM % "", FROZEN % ("e", "b/n", "e"), HEAD % "b/e"],
            r"layer 'b/n' \(BatchNorm\) works on each batch's own statistics, above the frozen 'b/e'",
        ),
        (
            [
                IMAGES % ("", ""),
                FROZEN % ("c", "data", "c"),
                (FROZEN % ("l", "data", "l")).replace("lr_mult: 0", "lr_mult: 1"),
                'layer { name: "j" type: "Concat" bottom: "b/c" bottom: "b/l" top: "j" }',
                HEAD % "j",
            ],
            "layer 'b/l' learns from the images themselves",
        ),
        ([IMAGES % ("", ""), HEAD % "data"], "no frozen layer with weights"),
    ],
    ids=["shuffle", "skip", "mirror", "crop", "lmdb", "dropout", "norm", "learning", "nothing"],
)
def test_what_a_pass_does_not_repeat_is_named(layers, reason):
    with pytest.raises(GraphError, match=reason):
        divided(*layers)


NOISY = 'layer { name: "d" type: "Dropout" bottom: "b/c" top: "b/d" phase: TRAIN }'


def test_noise_of_a_layers_own_phase_is_not_kept():
    """A Dropout of its own phase TRAIN draws in TEST too (test_training_facts), so that its output is no feature."""
    found = divided(IMAGES % ("", ""), FROZEN % ("c", "data", "c"), NOISY, HEAD % "b/d", phase=TEST)
    assert names(found.features) == ["b/c"]
    assert names(found.head) == ["d", "ip", "loss"]
    with pytest.raises(GraphError, match=r"layer 'd' \(Dropout\) acts at random, above the frozen 'b/e'"):
        divided(
            *(IMAGES % ("", ""), FROZEN % ("c", "data", "c"), NOISY, FROZEN % ("e", "b/d", "e"), HEAD % "b/e"),
            phase=TEST,
        )


@pytest.mark.parametrize(("own", "phase", "random"), [("TRAIN", TEST, True), ("TEST", TRAIN, False)])
def test_images_are_cropped_in_the_phase_of_their_layer(own, phase, random):
    images = IMAGES % (f"transform_param {{ crop_size: 5 }} phase: {own}", "")
    layers = (images, FROZEN % ("c", "data", "c"), HEAD % "b/c")
    if random:
        with pytest.raises(GraphError, match="crops at random; emit crop=0, resize=.H, W. writes one that does not"):
            divided(*layers, phase=phase)
    else:
        assert names(divided(*layers, phase=phase).features) == ["b/c"]


def test_a_layer_that_goes_on_from_the_batch_before_is_not_kept():
    """Batches are computed by several processes, in any order."""
    cont = 'layer { name: "z" type: "Power" bottom: "label" top: "z" power_param { scale: 0 } }'
    shaped = (
        'layer { name: "y" type: "Reshape" bottom: "b/c" top: "y" reshape_param { shape { dim: 4 dim: 1 dim: -1 } } }'
    )
    cont += 'layer { name: "w" type: "Reshape" bottom: "z" top: "w" reshape_param { shape { dim: 4 dim: 1 } } }'
    lstm = 'layer { name: "l" type: "LSTM" bottom: "y" bottom: "w" top: "l" recurrent_param { num_output: 2 } %s }'
    frozen = lstm % (3 * "param { lr_mult: 0 } ")
    found = divided(IMAGES % ("", ""), FROZEN % ("c", "data", "c"), shaped, cont, frozen, HEAD % "l")
    assert names(found.features) == ["b/c", "y", "z", "w"]
    assert names(found.head) == ["l", "ip", "loss"]


def test_batch_norm_on_stored_statistics_and_a_quiet_dropout_repeat():
    norm = NORM % "batch_norm_param { use_global_stats: true }"
    quiet = 'layer { name: "d" type: "Dropout" bottom: "b/n" top: "b/n" phase: TEST }'
    found = divided(IMAGES % ("", ""), FROZEN % ("c", "data", "c"), norm, quiet, HEAD % "b/n")
    assert names(found.features) == ["b/c", "b/n", "d"]


def test_names_without_a_slash_are_nobody_elses():
    other = 'layer { name: "x" type: "Power" bottom: "ip" top: "b_c" }'
    found = divided(IMAGES % ("", ""), FROZEN % ("c", "data", "c"), HEAD % "b/c", other)
    assert found.blobs == {"b/c": "b_c_", "label": "label"}


def test_the_whole_net_is_trained_where_features_do_not_pay_or_would_be_wrong(fused, tmp_path):
    notes = []
    trained_on(Features(), fused, tmp_path / "short", max_iter=4, on_event=notes.append)
    assert "4 iterations are not more than one pass over its 40 images" in notes[0].text
    assert not (tmp_path / "short" / "features").exists()
    edit(fused / "train_val.prototxt", "is_color: false", "is_color: false shuffle: true")
    notes.clear()
    trained_on(Features(), fused, tmp_path / "shuffled", max_iter=5, on_event=notes.append)
    assert "the whole net is trained, not its head on features: layer 'mnist' (ImageData) shuffles" in notes[0].text
    with pytest.raises(NetbuildError, match="features cannot be used: layer 'mnist'"):
        trained_on(Features(tmp_path / "f"), fused, tmp_path / "x")


def test_the_record_is_plain_json(fused, tmp_path):
    make(fused, tmp_path / "f")
    record = json.loads((tmp_path / "f" / "features.json").read_text())
    assert record["parts"]["train"] == {"ip1_fused": [1000], "label": []}
    assert record["key"]["train"]["batch"] == 10


@pytest.fixture()
def dask():
    pytest.importorskip("distributed", reason="Dask is not installed")


CLUSTER = """
import os, signal, sys
import netbuild.features.store as store
from distributed import LocalCluster
from netbuild.features.make import FeatureProgress, Execution, make_features

def main(net, weights, folder):
    store._FILE_IMAGES = 10
    killed = []
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        def told(event):
            if isinstance(event, FeatureProgress) and not killed:
                killed.extend(worker.process.process.pid for worker in list(cluster.workers.values())[:1])
                os.kill(killed[0], signal.SIGKILL)
        make_features(net, [weights], folder, Execution(scheduler=cluster.scheduler_address), on_event=told)
    assert killed

if __name__ == "__main__":
    main(*sys.argv[1:])
"""


def test_a_cluster_whose_worker_is_killed_makes_the_same_files(fused, tmp_path, monkeypatch, dask):
    in_small_files(monkeypatch)
    make(fused, tmp_path / "here")
    script = tmp_path / "script.py"
    script.write_text(CLUSTER)
    arguments = [fused / "train_val.prototxt", fused / "init.caffemodel", tmp_path / "there"]
    run = subprocess.run(
        [sys.executable, script, *map(os.fspath, arguments)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "Removing worker" in run.stderr or "Restarting worker" in run.stderr
    assert sums(tmp_path / "there") == sums(tmp_path / "here")


def test_a_worker_computes_with_the_caffe_that_the_caller_names_and_sends_its_error_as_plain_bytes():
    task = plain.packed(Task("train", 0, {"data": b""}, 1))
    job = {"function": "netbuild.features.child:compute", "caffe": "/no/such/python", "arguments": {"jobs": {}}}
    error = plain.unpacked(cluster._compute(task, plain.packed(job)))
    assert isinstance(error, CaffeError)
    assert "'/no/such/python' is not there" in str(error)


def test_a_scheduler_that_is_not_there_is_told(fused, tmp_path, monkeypatch, dask):
    monkeypatch.setattr("netbuild.features.cluster._CONNECT", 1)
    with pytest.raises(NetbuildError, match="scheduler 'tcp://127.0.0.1:1': no Dask scheduler answers there"):
        make_features(
            fused / "train_val.prototxt",
            [fused / "init.caffemodel"],
            tmp_path / "f",
            Execution(scheduler="tcp://127.0.0.1:1"),
        )
