"""What frozen means, shown by real Caffe: no blob moves, no backward pass enters, one function in both phases."""

import os

import numpy as np
import pytest
from commands import run
from nets import data, fc, layer

from netbuild import DataSource, Fusion, blocks, build, emit_files, lenet, netspec
from netbuild.branches.lenet import MNIST
from netbuild.branches.resnet import IMAGENET, resnet50
from netbuild.errors import GraphError
from netbuild.fusion import assemble
from netbuild.names import qualify


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
    for (name, index), values in before.items():
        assert values.tobytes() == solver.net.params[name][index].data.tobytes(), name
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
    with pytest.raises(GraphError, match="'a/bn_conv1' .BatchNorm. in the backward pass.*\n(?s:.*)and 48 more"):
        resnet_in(caffe, tmp_path, caffe.TRAIN, seed=3)
    monkeypatch.setattr(assemble, "require_frozen", lambda *_: None)
    net = resnet_in(caffe, tmp_path, caffe.TRAIN, seed=3)
    assert backward_reaches(net, "a/res5c_branch2c")


@pytest.mark.parametrize("builder", [lenet, resnet50])
def test_a_frozen_branch_learns_nowhere(builder):
    message = build(Fusion({"a": builder, "b": builder}, 10)).message
    learning = [layer.name for layer in message.layer if any(spec.lr_mult for spec in layer.param)]
    assert learning == [message.layer[-3].name]


JUDGED = (
    data(shape=(2, 4))
    + fc("ip", "data", 3, "loss_weight: 1")
    + layer("target", "Power", "ip", more="power_param { scale: 0.5 }")
    + layer("apart", "EuclideanLoss", "ip target")
    + layer("shape", "Reshape", "apart", more="reshape_param { shape { dim: 1 dim: 1 } }")
    + layer("seam", "Tile", "shape", more="tile_param { axis: 0 tiles: 2 }")
    + fc("fc", "seam", 2)
)


@pytest.mark.parametrize("frozen", [["--frozen"], []])
def test_only_the_head_of_a_frozen_branch_is_judged(caffe, in_tmp, frozen):
    """A loss_weight inside, and a loss, which has a weight of 1 where it says nothing; Caffe tells what it counts."""
    (in_tmp / "n.prototxt").write_text(JUDGED)
    assert counted(caffe, "n.prototxt", caffe.TEST) == {"ip": 1, "apart": 1}
    batches = ["--train-batch", 2, "--test-batch", 2]
    run("emit", "n.prototxt@seam", *frozen, "--classes", 2, "--data", "input", *batches, "-o", "out")
    own = {} if frozen else {"ip": 1, "apart": 1}
    for phase in (caffe.TRAIN, caffe.TEST):
        assert counted(caffe, "out/train_val.prototxt", phase) == {"loss": 1, **own}
    assert counted(caffe, "out/deploy.prototxt", caffe.TEST) == {}


def counted(caffe, path, phase):
    """The blobs that Caffe counts into the net's loss (of one that it splits, the first part), and their weights."""
    return {
        blob.partition("_")[0]: weight for blob, weight in caffe.Net(path, phase).blob_loss_weights.items() if weight
    }


def built_of(kind, **options):
    """A builder of one layer of this type, with no weights to learn, between the input and a frozen LeNet."""

    def one_layer_first(net, bottom, prefix="", *, frozen=False):
        name = qualify(prefix, "first")
        reads = () if kind == "DummyData" else (bottom,)
        net[name] = getattr(netspec().layers, kind)(*reads, **options)
        return lenet(net, net[name], prefix, frozen=frozen)

    return one_layer_first


ZEROS = [{"lr_mult": 0, "decay_mult": 0}] * 3
BATCH = {"use_global_stats": False}
NOISE = {"shape": {"dim": [64, 1, 28, 28]}, "data_filler": {"type": "gaussian"}}


@pytest.mark.parametrize(
    ("builder", "reason"),
    [
        # Where it is written, use_global_stats wins over the phase: Caffe takes each batch's statistics.
        (
            built_of("BatchNorm", phase=1, batch_norm_param=BATCH, param=ZEROS),
            "layer 'a/first' .BatchNorm. updating its statistics: set use_global_stats: true",
        ),
        (built_of("BatchNorm", param=ZEROS), "layer 'a/first' .BatchNorm. updating its statistics"),
        (
            built_of("BatchNorm", batch_norm_param={"use_global_stats": True}),
            "layer 'a/first' .BatchNorm. in the backward pass: give each of its 3 blobs a param with lr_mult 0",
        ),
        (
            built_of("Dropout", phase=0),
            "layer 'a/first' .Dropout. at random: leave it out, or set phase: TEST on the layer",
        ),
        (
            built_of("DummyData", dummy_data_param=NOISE),
            "layer 'a/first' .DummyData. at random: leave it out, or let it fill its tops with a constant",
        ),
    ],
)
def test_a_builder_that_leaves_something_moving_is_refused(builder, reason):
    with pytest.raises(GraphError, match=f"branch 'a' is to be frozen, but its builder left\n  {reason}"):
        build(Fusion({"a": builder, "b": lenet}, 2))


@pytest.mark.parametrize(
    "builder",
    [
        built_of("BatchNorm", phase=1, param=ZEROS),
        built_of("BatchNorm", batch_norm_param={"use_global_stats": True}, param=[{"lr_mult": 0}] * 3),
        built_of("Dropout", phase=1),
    ],
)
def test_a_builder_whose_branch_stands_still_is_not(builder):
    build(Fusion({"a": builder, "b": lenet}, 2))


def test_a_builder_that_leaves_its_frozen_branch_in_the_loss_is_refused():
    def judged(net, bottom, prefix="", *, frozen=False):
        branch = lenet(net, bottom, prefix, frozen=frozen)
        branch.top.fn.inputs[0].fn.params["loss_weight"] = [0.5]
        return branch

    with pytest.raises(GraphError, match="layer 'a/ip1' .InnerProduct. in the net's loss: leave its loss_weight out"):
        build(Fusion({"a": judged}, 2))
