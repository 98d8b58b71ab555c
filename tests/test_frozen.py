"""What frozen means, shown by real Caffe: no blob moves, no backward pass enters, one function in both phases."""

import os

import numpy as np
import pytest

from netbuild import DataSource, Fusion, blocks, build, emit_files, lenet
from netbuild.branches.lenet import MNIST
from netbuild.branches.resnet import IMAGENET, resnet50
from netbuild.errors import GraphError
from netbuild.fusion import assemble


def params(net, prefix):
    return {
        (name, index): blob
        for name, blobs in net.params.items()
        for index, blob in enumerate(blobs)
        if name.startswith(prefix)
    }


def test_fifty_solver_steps_change_only_the_head(caffe, tmp_path, small_lists):
    lists = {"train_source": str(small_lists.path("train_all")), "test_source": str(small_lists.path("val_all"))}
    options = {"snapshot_prefix": str(tmp_path / "s"), "weight_decay": "0.1"}
    emit_files(Fusion({"odd": lenet, "even": lenet}, 10), DataSource(MNIST, **lists), tmp_path, solver_options=options)
    solver = caffe.get_solver(os.fspath(tmp_path / "solver.prototxt"))
    before = {key: blob.data.copy() for prefix in ("odd/", "even/") for key, blob in params(solver.net, prefix).items()}
    head = solver.net.params["ip2"][0].data.copy()
    solver.step(50)
    assert len(before) == 12
    for (name, index), data in before.items():
        assert data.tobytes() == solver.net.params[name][index].data.tobytes(), name
    assert not np.array_equal(head, solver.net.params["ip2"][0].data)


def resnet_in(caffe, folder, phase, seed):
    """A frozen ResNet-50 branch under a head, with weights that do not vanish."""
    emit_files(Fusion({"a": resnet50}, 4), DataSource(IMAGENET, kind="input", train_batch=2, test_batch=2), folder)
    net = caffe.Net(os.fspath(folder / "train_val.prototxt"), phase)
    rng = np.random.default_rng(seed)
    for (name, index), blob in params(net, "a/").items():
        kind = name.split("/")[1]
        if kind.startswith("bn"):
            blob.data[...] = [rng.normal(0, 0.1, blob.data.shape), rng.uniform(0.5, 2, blob.data.shape), 1.0][index]
        elif kind.startswith("scale"):
            blob.data[...] = rng.uniform(0.2, 0.6, blob.data.shape) if index == 0 else 0.01
        else:
            fan_in = max(1, int(np.prod(blob.data.shape[1:])))
            blob.data[...] = rng.normal(0, (2 / fan_in) ** 0.5, blob.data.shape)
    net.blobs["data"].data[...] = rng.normal(0, 1, net.blobs["data"].data.shape)
    net.blobs["label"].data[...] = [1, 3]
    return net


def test_a_frozen_resnet_is_one_function_in_both_phases(caffe, tmp_path):
    seams = []
    for phase in (caffe.TRAIN, caffe.TEST):
        net = resnet_in(caffe, tmp_path, phase, seed=3)
        statistics = net.params["a/bn_conv1"][0].data.copy()
        net.forward()
        seams.append(net.blobs["a/pool5"].data.copy())
        assert statistics.tobytes() == net.params["a/bn_conv1"][0].data.tobytes()
    assert seams[0].std() > 0.01
    assert seams[0].tobytes() == seams[1].tobytes()


def backward_reaches(net, blob):
    net.forward()
    net.backward()
    return bool(np.any(net.blobs[blob].diff))


def test_no_backward_pass_enters_a_frozen_resnet(caffe, tmp_path):
    net = resnet_in(caffe, tmp_path, caffe.TRAIN, seed=3)
    assert not backward_reaches(net, "a/res5c_branch2c")
    assert np.any(net.params["fc4"][0].diff)
    assert not any(np.any(blob.diff) for blob in params(net, "a/").values())


def test_without_entries_on_batch_norm_the_backward_pass_would_enter(caffe, tmp_path, monkeypatch):
    """The check above can fail: this is the net that people write by hand. netbuild refuses it."""
    honest = blocks.param_specs
    monkeypatch.setattr(blocks, "param_specs", lambda blobs, **k: {} if blobs == 3 else honest(blobs, **k))
    with pytest.raises(GraphError, match="'a/bn_conv1' .BatchNorm. learning.*\n(?s:.*)and 48 more"):
        resnet_in(caffe, tmp_path, caffe.TRAIN, seed=3)
    monkeypatch.setattr(assemble, "require_frozen", lambda *_: None)
    net = resnet_in(caffe, tmp_path, caffe.TRAIN, seed=3)
    assert backward_reaches(net, "a/res5c_branch2c")


@pytest.mark.parametrize("builder", [lenet, resnet50])
def test_a_frozen_branch_learns_nowhere(builder):
    message = build(Fusion({"a": builder, "b": builder}, 10)).message
    learning = [layer.name for layer in message.layer if any(spec.lr_mult for spec in layer.param)]
    assert learning == [message.layer[-3].name]
