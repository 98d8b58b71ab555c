"""What we emit, run by the `caffe` command itself. `make test-upstream` has one; the wheel on PyPI has none."""

import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from netbuild import (
    Branch,
    BranchSpec,
    DataSource,
    Fusion,
    Scorer,
    blocks,
    emit_files,
    fuse_weights,
    lenet,
    score_nets,
    train_solver,
)
from netbuild.branches.lenet import MNIST
from netbuild.names import qualify

pytestmark = pytest.mark.skipif(shutil.which("caffe") is None, reason="no `caffe` command on PATH (make test-upstream)")
BATCH, STEPS = 20, 30


def command(action, **options):
    """Run `caffe ACTION --option=value ...` and return its log."""
    arguments = [f"--{name}={value}" for name, value in options.items()]
    # The pycaffe of this process has asked for silence.
    talking = dict(os.environ, GLOG_minloglevel="0")
    done = subprocess.run(["caffe", action, *arguments], stderr=subprocess.PIPE, text=True, env=talking, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def emit(fusion, folder, lists):
    source = DataSource(
        MNIST,
        train_source=str(lists.path("train_all")),
        test_source=str(lists.path("val_all")),
        train_batch=BATCH,
        test_batch=BATCH,
    )
    options = {
        "max_iter": STEPS,
        "test_iter": 2,
        "test_interval": 10,
        "random_seed": 3,
        "snapshot_prefix": folder / "s",
    }
    emit_files(fusion, source, folder, solver_options={name: str(value) for name, value in options.items()})
    return folder / "train_val.prototxt"


def train(net, **options):
    command("train", solver=net.parent / "solver.prototxt", **options)
    return net.parent / f"s_iter_{STEPS}.caffemodel"


def blobs(pb, path):
    """Return layer name -> the values of its blobs, as protobuf's own parser reads them."""
    layers = pb.NetParameter.FromString(path.read_bytes()).layer
    return {layer.name: [np.array(blob.data, np.float32) for blob in layer.blobs] for layer in layers if layer.blobs}


def bits(layers, prefix):
    return {name: [blob.tobytes() for blob in found] for name, found in layers.items() if name.startswith(prefix)}


def require_same_accuracy(net, weights, lists):
    """`caffe test` and our evaluation tell the same share of 40 images, in two batches."""
    log = command("test", model=net, weights=weights, iterations=2)
    (told,) = re.findall(r"\] accuracy = (\S+)", log)[-1:]
    found = score_nets(Scorer(net, weights), lists.path("val_all")).top1
    assert float(told) == pytest.approx(found, abs=1e-6)


def test_two_fused_lenets_in_the_caffe_command(tmp_path, small_lists, trained, pb, monkeypatch):
    # In another number of threads BLAS sums in another order, and features are computed in one.
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    net = emit(Fusion({"odd": lenet, "even": lenet}, 10), tmp_path / "net", small_lists)
    init = tmp_path / "init.caffemodel"
    fuse_weights(net, {"odd": trained / "a.caffemodel", "even": trained / "b.caffemodel"}, init)
    result = train(net, weights=init)
    before, after = blobs(pb, init), blobs(pb, result)
    assert len(before) == 6
    assert bits(before, "") == {**bits(after, "odd/"), **bits(after, "even/")}
    require_same_accuracy(net, result, small_lists)
    # The command and `netbuild train` end at the same bits.
    ours = train_solver(net.parent / "solver.prototxt", tmp_path / "run", weights=[init])
    assert bits(after, "") == bits(blobs(pb, ours.caffemodel), "")


def normed(net, bottom, prefix="", *, frozen=False):
    """BatchNorm right on the images, so that numpy knows what it sees, then a convolution."""
    options = {"global_stats": False, "in_place": False, "frozen": frozen}
    scaled = blocks.batch_norm_scale(net, qualify(prefix, "bn"), qualify(prefix, "scale"), bottom, **options)
    options = {"num_output": 4, "kernel_size": 5, "stride": 4, **blocks.fillers(blocks.XAVIER, frozen=frozen)}
    top = blocks.conv_relu(net, qualify(prefix, "conv"), qualify(prefix, "relu"), scaled, frozen=frozen, **options)
    return Branch(prefix, "conv", top, 4, classifier="fc", net_name="Normed", input=MNIST)


def batches(digits):
    prepared = (digits.pixels[:, None].astype(np.float64) - 128) / 256
    return [prepared[start : start + BATCH] for start in range(0, len(prepared), BATCH)]


def running(stored, digits):
    """Return BatchNorm's three blobs (sums of means and of variances, and the weight of both) after STEPS batches.

    S. Ioffe, C. Szegedy: Batch Normalization (2015), with Caffe's moving_average_fraction of 0.999.
    """
    mean, variance, weight = (float(blob[0]) for blob in stored)
    seen = batches(digits)
    for step in range(STEPS):
        batch = seen[step % len(seen)]
        mean = 0.999 * mean + batch.mean()
        variance = 0.999 * variance + batch.var(ddof=1)
        weight = 0.999 * weight + 1
    return [mean, variance, weight]


def test_batch_norm_frozen_and_learning_in_the_caffe_command(tmp_path, small_lists, small_digits, caffe, pb):
    alone = train(emit(Fusion({"": normed}, 10, frozen=False), tmp_path / "alone", small_lists))
    stored = blobs(pb, alone)
    assert np.ravel(stored["bn"]) == pytest.approx(running(np.zeros((3, 1)), small_digits["train"]), rel=1e-5)

    parts = {"cold": BranchSpec(normed), "warm": BranchSpec(normed, frozen=False, batch_norm="batch")}
    net = emit(Fusion(parts, 10), tmp_path / "net", small_lists)
    init = tmp_path / "init.caffemodel"
    fuse_weights(net, {"cold": alone, "warm": alone}, init)
    result = train(net, weights=init)
    before, after = blobs(pb, init), blobs(pb, result)
    assert len(bits(before, "cold/")) == 3
    assert bits(before, "cold/") == bits(after, "cold/")
    assert all(bits(before, name) != bits(after, name) for name in ("warm/bn", "warm/scale", "warm/conv"))
    assert np.ravel(after["warm/bn"]) == pytest.approx(running(stored["bn"], small_digits["train"]), rel=1e-5)
    require_same_accuracy(net, result, small_lists)

    learning = caffe.Net(os.fspath(net), os.fspath(init), caffe.TRAIN)
    learning.forward(end="warm/bn")
    first = batches(small_digits["train"])[0]
    expected = (first - first.mean()) / np.sqrt(first.var() + 1e-5)
    np.testing.assert_allclose(learning.blobs["warm/bn"].data, expected, atol=1e-5)
