import dataclasses

import pytest
from commands import run
from PIL import Image

from netbuild import DataSource, Fusion, emit_files, lenet, proto
from netbuild.branches.lenet import MNIST
from netbuild.branches.resnet import IMAGENET, resnet50
from netbuild.emit.layers import data_layers
from netbuild.errors import GraphError, NetbuildWarning

FUSION = Fusion({"odd": lenet, "even": lenet}, 10)
LISTS = {"train_source": "train_all.txt", "test_source": "val_all.txt"}


def without_added_decay(net):
    """Drop the `decay_mult: 0` that frozen blobs have beyond the recipe's `lr_mult: 0`."""
    for layer in net.layer:
        for spec in layer.param:
            if spec.HasField("lr_mult") and spec.lr_mult == 0:
                assert spec.decay_mult == 0
                spec.ClearField("decay_mult")
    return net


def require_equal(found, expected):
    assert [layer.name for layer in found.layer] == [layer.name for layer in expected.layer]
    for ours, theirs in zip(found.layer, expected.layer):
        assert ours == theirs
    assert found == expected


def test_the_fused_net_is_the_recipes(recipe, in_tmp):
    emit_files(FUSION, DataSource(MNIST, **LISTS), "net")
    found = without_added_decay(proto.read_net("net/train_val.prototxt"))
    require_equal(found, proto.read_net(recipe / "lenet_fusion_train_val.prototxt"))


@pytest.mark.parametrize("branch", ["odd", "even"])
def test_the_branch_nets_are_the_recipes(recipe, in_tmp, branch):
    source = DataSource(MNIST, train_source=f"train_{branch}.txt", test_source=f"val_{branch}.txt", train_batch=25)
    emit_files(Fusion({"": lenet}, 5, frozen=False), source, "net")
    require_equal(
        proto.read_net("net/train_val.prototxt"), proto.read_net(recipe / f"lenet_{branch}_train_val.prototxt")
    )


@pytest.mark.parametrize(("name", "images"), [("odd", 5060), ("even", 4940), ("fused", 10_000)])
def test_the_solvers_are_the_recipes(recipe, in_tmp, name, images):
    """test_iter comes from the length of the validation list; mode and prefix are the recipe's by option."""
    (in_tmp / "val.txt").write_text("x.png 0\n" * images)
    Image.new("L", (28, 28)).save("x.png")
    fusion = FUSION if name == "fused" else Fusion({"": lenet}, 5, frozen=False)
    options = {"solver_mode": "GPU", "snapshot_prefix": f"mnist_lenet_{name}"}
    emit_files(fusion, DataSource(MNIST, test_source="val.txt"), "net", solver_options=options)
    found = proto.read_solver("net/solver.prototxt")
    expected = proto.read_solver(recipe / f"lenet_{name.replace('fused', 'fusion')}_solver.prototxt")
    assert found.net == "net/train_val.prototxt"
    found.net = expected.net
    assert found == expected


def test_test_iter_covers_the_list_once_and_defaults_to_the_recipes(in_tmp):
    emit_files(FUSION, DataSource(MNIST, test_source="none.txt"), "net")
    assert proto.read_solver("net/solver.prototxt").test_iter == [500]
    (in_tmp / "val.txt").write_text("x.png 0\n" * 41)
    Image.new("L", (28, 28)).save("x.png")
    emit_files(FUSION, DataSource(MNIST, test_source="val.txt"), "net")
    assert proto.read_solver("net/solver.prototxt").test_iter == [3]


def test_deploy_has_an_input_and_nothing_for_training(in_tmp):
    emit_files(FUSION, DataSource(MNIST), "net", deploy_batch=4)
    net = proto.read_net("net/deploy.prototxt")
    assert net.layer[0].type == "Input"
    assert list(net.layer[0].input_param.shape[0].dim) == [4, 1, 28, 28]
    assert [layer.name for layer in net.layer][-1] == "prob"
    text = (in_tmp / "net/deploy.prototxt").read_text()
    for word in ("param {\n    lr_mult", "filler", "label", "include"):
        assert word not in text


def test_a_resnet_deploy_layer_is_the_published_one(in_tmp):
    """As it stands in github.com/KaimingHe/deep-residual-networks, typed off by hand."""
    emit_files(Fusion({"": resnet50}, 1000, frozen=False), DataSource(IMAGENET), "net")
    layers = {layer.name: layer for layer in proto.read_net("net/deploy.prototxt").layer}
    from google.protobuf import text_format

    published = text_format.Parse(
        'bottom: "pool1" top: "res2a_branch1" name: "res2a_branch1" type: "Convolution" '
        "convolution_param { num_output: 256 kernel_size: 1 pad: 0 stride: 1 bias_term: false }",
        type(layers["conv1"])(),
    )
    assert layers["res2a_branch1"] == published
    fc = text_format.Parse(
        'bottom: "pool5" top: "fc1000" name: "fc1000" type: "InnerProduct" inner_product_param { num_output: 1000 }',
        type(layers["conv1"])(),
    )
    assert layers["fc1000"] == fc


def test_images_are_resized_for_nets_that_need_it(in_tmp):
    emit_files(Fusion({"": resnet50}, 5, frozen=False), DataSource(IMAGENET), "net")
    options = proto.read_net("net/train_val.prototxt").layer[0].image_data_param
    assert (options.new_height, options.new_width) == (224, 224)


def test_two_files_one_for_each_phase(in_tmp):
    written = emit_files(FUSION, DataSource(MNIST, **LISTS), "net", split_phases=True)
    assert [path.name for path in written] == ["train.prototxt", "test.prototxt", "deploy.prototxt", "solver.prototxt"]
    train, test = proto.read_net("net/train.prototxt"), proto.read_net("net/test.prototxt")
    assert [layer.name for layer in train.layer].count("mnist") == 1
    assert train.layer[0].image_data_param.source == "train_all.txt"
    assert test.layer[0].image_data_param.source == "val_all.txt"
    assert "accuracy" not in [layer.name for layer in train.layer]
    solver = proto.read_solver("net/solver.prototxt")
    assert (solver.train_net, list(solver.test_net)) == ("net/train.prototxt", ["net/test.prototxt"])
    assert not solver.HasField("net")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"kind": "lmdb", "train_source": "db"},
            'type: "Data" data_param { source: "db" batch_size: 50 backend: LMDB } '
            "transform_param { mean_value: 128 scale: 0.00390625 }",
        ),
        (
            {
                "kind": "leveldb",
                "train_source": "db",
                "crop": 24,
                "mirror": True,
                "input": dataclasses.replace(MNIST, mean_file="m.binaryproto"),
            },
            'type: "Data" data_param { source: "db" batch_size: 50 backend: LEVELDB } transform_param '
            '{ mean_file: "m.binaryproto" scale: 0.00390625 crop_size: 24 mirror: true }',
        ),
        ({"kind": "hdf5"}, 'type: "HDF5Data" hdf5_data_param { source: "train.txt" batch_size: 50 }'),
        (
            {"kind": "input", "train_batch": 3},
            'type: "Input" input_param { shape { dim: 3 dim: 1 dim: 28 dim: 28 } shape { dim: 3 } }',
        ),
        (
            {"resize": (30, 32), "shuffle": True, "root_folder": "/x/"},
            'type: "ImageData" image_data_param { source: "train.txt" batch_size: 50 is_color: false shuffle: true '
            'root_folder: "/x/" new_height: 30 new_width: 32 } transform_param { mean_value: 128 scale: 0.00390625 }',
        ),
    ],
)
def test_data_layers_of_each_kind(pb, options, expected):
    from google.protobuf import text_format

    common = 'name: "mnist" top: "data" top: "label" include { phase: TRAIN } '
    source = DataSource(**{"input": MNIST, **options})
    train, _ = data_layers({"data": source}, {"label": ()})
    assert train == text_format.Parse(common + expected, pb.LayerParameter())


def test_chance_is_for_training_only():
    _, layer = data_layers({"data": DataSource(MNIST, mirror=True, shuffle=True, crop=20)}, {"label": ()})
    assert not layer.transform_param.mirror
    assert not layer.image_data_param.shuffle
    assert layer.transform_param.crop_size == 20


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"kind": "csv"}, "no data kind 'csv'; known are image, lmdb, leveldb, hdf5, input"),
        ({"kind": "hdf5", "crop": 3}, "crop and mirror do not apply"),
        ({"kind": "lmdb", "shuffle": True}, "are for images in a list"),
        ({"train_batch": 0}, "at least 1 image"),
        ({"crop": 28, "resize": (20, 20)}, "crop of 28 is larger than the image"),
    ],
)
def test_options_that_do_not_go_together(options, reason):
    with pytest.raises(GraphError, match=reason):
        DataSource(MNIST, **options)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"bas_lr": "1"}, "no field 'bas_lr' in SolverParameter"),
        ({"base_lr": "fast"}, "base_lr: fast is not a value"),
        ({"type": "Adm"}, "type 'Adm' is none of Caffe's; did you mean 'Adam'"),
        ({"type": "AdaGrad"}, "momentum is 0.9, and Caffe's AdaGrad takes none; give it as 0"),
        ({"lr_policy": "fix"}, "lr_policy 'fix' is none of Caffe's; did you mean 'fixed'"),
        ({"snapshot_format": "HDF5"}, "snapshot_format is HDF5, but 12 layers have '/'"),
    ],
)
def test_a_wrong_solver_writes_nothing(in_tmp, options, reason):
    with pytest.raises(GraphError, match=reason):
        emit_files(FUSION, DataSource(MNIST), "net", solver_options=options)
    assert not (in_tmp / "net").exists()


def test_images_too_small_for_the_net_are_found_before_writing(in_tmp):
    with pytest.raises(GraphError, match="layer 'odd/conv2'.*larger than its input"):
        emit_files(FUSION, DataSource(MNIST, crop=10), "net")
    assert not (in_tmp / "net").exists()


ALONE = Fusion({"": lenet}, 5, frozen=False)


def emitted(folder="net", **more):
    return [path.name for path in emit_files(ALONE, DataSource(MNIST), folder, **more)]


def edited(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path.read_bytes()


def test_a_solver_as_emit_wrote_it_is_replaced(in_tmp):
    emitted()
    assert "solver.prototxt" in emitted(solver_options={"base_lr": "0.5"})
    assert proto.read_solver("net/solver.prototxt").base_lr == 0.5
    assert "solver.prototxt" in emitted()
    assert proto.read_solver("net/solver.prototxt").base_lr == pytest.approx(0.01)


def test_an_edited_solver_is_kept_and_told(in_tmp):
    emitted(solver_options={"base_lr": "0.5"})
    solver = in_tmp / "net" / "solver.prototxt"
    before = edited(solver, "max_iter: 30000", "max_iter: 7")
    with pytest.warns(NetbuildWarning, match="kept net/solver.prototxt, .* .other max_iter.; force=True replaces it"):
        assert "solver.prototxt" not in emitted(solver_options={"base_lr": "0.5"})
    assert solver.read_bytes() == before
    with pytest.warns(NetbuildWarning, match="other base_lr, max_iter"):
        emitted()
    assert solver.read_bytes() == before
    emitted(force=True)
    assert proto.read_solver(solver).max_iter == 30000


def test_an_option_without_effect_on_an_edited_solver_is_refused(in_tmp):
    emitted()
    solver = in_tmp / "net" / "solver.prototxt"
    before = edited(solver, "max_iter: 30000", "max_iter: 7")
    (in_tmp / "net" / "train_val.prototxt").write_text("as it was")
    for options, what in [({"base_lr": "0.5"}, "base_lr had no effect"), ({"max_iter": "9"}, "max_iter had no effect")]:
        with pytest.raises(GraphError, match=f"was edited, .* {what}; .*force=True"):
            emitted(solver_options=options)
    with pytest.raises(GraphError, match="another net had no effect"):
        emitted(split_phases=True)
    assert solver.read_bytes() == before
    assert (in_tmp / "net" / "train_val.prototxt").read_text() == "as it was"
    emitted(solver_options={"base_lr": "0.5"}, force=True)
    assert proto.read_solver(solver).base_lr == 0.5


def test_a_comment_in_a_solver_is_kept_without_a_word(in_tmp):
    emitted()
    solver = in_tmp / "net" / "solver.prototxt"
    before = edited(solver, "max_iter: 30000", "max_iter: 30000  # an hour")
    emitted()
    assert solver.read_bytes() == before


def test_a_policy_without_effect_is_told(in_tmp):
    with pytest.warns(NetbuildWarning, match="'poly' never changes the learning rate: it has no power"):
        emitted(solver_options={"lr_policy": "poly"})
    with pytest.raises(GraphError, match="Message type .* has no field .*; force=True replaces it"):
        (in_tmp / "net" / "solver.prototxt").write_text("none: 1")
        emitted()


def test_force_and_the_mode_on_the_command_line(in_tmp):
    emit = ("emit", "lenet", "--classes", 5, "-o", "net")
    run(*emit)
    solver = in_tmp / "net" / "solver.prototxt"
    edited(solver, "solver_mode: CPU", "solver_mode: GPU")
    assert "note: kept net/solver.prototxt, which was edited, or is not netbuild's (other solver_mode)" in run(*emit)
    assert "solver_mode had no effect" in run(*emit, "--solver-mode", "CPU", code=1)
    assert "would write net/solver.prototxt" in run(*emit, "--force", "--dry-run")
    assert "solver_mode: GPU" in solver.read_text()
    run(*emit, "--force")
    assert "solver_mode: CPU" in solver.read_text()
