"""Existing nets as branches."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from nets import conv, data, fc, layer, nets, small

from netbuild import (
    BranchSpec,
    DataSource,
    Fusion,
    build,
    emit_files,
    find_branch,
    fuse_weights,
    lenet,
    proto,
    prototxt,
)
from netbuild.branches.branch import Cut, Input
from netbuild.branches.lenet import MNIST
from netbuild.branches.resnet import IMAGENET, resnet50
from netbuild.branches.written import add_layers
from netbuild.errors import GraphError, NetbuildWarning
from netbuild.schema import TEST, netspec
from netbuild.verify.branches import Original, verify_branches


def written(path, text):
    path.write_text(text)
    return path


def names(message):
    return [one.name for one in message.layer]


def branch_of(builder, prefix="a", **options):
    spec = netspec().NetSpec()
    spec.data = netspec().layers.Input()
    branch = builder(spec, spec.data, prefix, **options)
    return spec.to_proto(), branch


def test_a_deploy_net_is_cut_at_the_input_of_its_classifier(tmp_path):
    message, branch = branch_of(prototxt(written(tmp_path / "n.prototxt", small())))
    assert names(message)[1:] == [
        f"a/{n}" for n in ["conv1", "bn1", "scale1", "relu1", "pool1", "fc1", "relu2", "drop"]
    ]
    assert list(message.layer[4].top) == ["a/conv1"]
    assert (branch.seam, branch.channels, branch.classifier, branch.net_name) == ("fc1", 5, "fc{classes}", "Small")
    assert branch.input == Input((4, 6, 6), prepared=False, resize=True)


def test_a_seam_may_be_any_blob(tmp_path):
    path = written(tmp_path / "n.prototxt", small())
    message, branch = branch_of(prototxt(path, "conv1"))
    assert names(message)[-1] == "a/relu1"
    assert branch.head is None
    message, branch = branch_of(find_branch(f"{path}@prob"))
    assert names(message)[-2:] == ["a/fc3", "a/prob"]
    with pytest.raises(
        GraphError, match="n.prototxt: no blob 'conv2' in the net; did you mean 'conv1'.*check .* --seams"
    ):
        prototxt(path, "conv2")
    with pytest.raises(GraphError, match="the seam 'data' is an input of the net: there is nothing before it"):
        prototxt(path, "data")


def test_builders_can_be_cut_too():
    message, branch = branch_of(find_branch("lenet@pool1"), "b", frozen=True)
    assert names(message)[1:] == ["b/conv1", "b/pool1"]
    assert (branch.channels, branch.input, branch.head) == (20, MNIST, None)
    assert [spec.lr_mult for spec in message.layer[1].param] == [0, 0]
    with pytest.raises(GraphError, match="no blob 'fc8' in the net"):
        branch_of(find_branch("lenet@fc8"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            data() + conv("c", "data") + fc("one", "c") + fc("two", "c"),
            r"The net has 2 classifiers .one on c, two on c.; name the seam, as in n.prototxt@BLOB.*\n  c .N, 4, 6, 6.",
        ),
        (data() + fc("f", "data"), r"The net has one classifier, f, and nothing between it and the input data; name the seam"),
        (
            data() + data("more") + fc("c", "data") + fc("d", "more") + data("pair", (2,))
            + layer("l", "ContrastiveLoss", "c d pair"),
            r"no classifier; name the seam(?s:.*)\n  c .N, 3.\n  d .N, 3.$",
        ),
        (data() + conv("c", "data") + layer("p", "LRN", "c"), r"no classifier; name the seam(?s:.*)\n  c .N, 4, 6, 6."),
        (data() + layer("r", "ReLU", "dat"), "unknown bottom 'dat'; did you mean 'data'"),
    ],
)  # fmt: skip
def test_what_cannot_be_cut_by_itself_is_told_with_candidates(tmp_path, text, sentence):
    with pytest.raises(GraphError, match=sentence):
        prototxt(written(tmp_path / "n.prototxt", text))


IMAGES = """layer { name: "images" type: "ImageData" top: "data" top: "label" include { phase: %s } image_data_param {
source: "x" batch_size: 2 new_height: 6 new_width: 6 } transform_param { mean_value: 104 mean_value: 117
mean_value: 123 scale: 0.5 } }\n"""
LOSS = layer("loss", "SoftmaxWithLoss", "fc3 label") + layer(
    "acc", "Accuracy", "fc3 label", more="include { phase: TEST }"
)


def test_a_train_val_net_gives_the_same_branch_and_tells_its_preparation(tmp_path):
    _, _, *features, _ = small().splitlines(keepends=True)
    text = 'name: "Small"\n' + IMAGES % "TRAIN" + IMAGES % "TEST" + "".join(features) + LOSS
    from_train, branch = branch_of(prototxt(written(tmp_path / "t.prototxt", text)))
    from_deploy, _ = branch_of(prototxt(written(tmp_path / "d.prototxt", small())))
    assert from_train == from_deploy
    whole = Cut(resize=(6, 6))
    expected = Input((3, 6, 6), (104, 117, 123), 0.5, resize=True, layer="images", test=whole, train=whole)
    assert branch.input == expected


def test_what_a_forks_net_says_of_itself_is_told_to_stay_out(tmp_path):
    path = written(tmp_path / "n.prototxt", "default_forward_type: FLOAT16 force_backward: true\n" + small())
    with pytest.warns(NetbuildWarning, match="stays out: default_forward_type; where it is wanted"):
        prototxt(path)


def test_files_of_two_phases_must_agree_up_to_the_seam(tmp_path):
    train = written(tmp_path / "train.prototxt", IMAGES % "TRAIN" + conv("c", "data") + layer("d", "Dropout", "c", "c") + fc("fc3", "c") + LOSS)  # fmt: skip
    test = written(tmp_path / "test.prototxt", IMAGES % "TEST" + conv("c", "data") + fc("fc3", "c") + LOSS)
    other = written(tmp_path / "other.prototxt", IMAGES % "TEST" + conv("c", "data", 5) + fc("fc3", "c") + LOSS)
    assert names(branch_of(find_branch(f"{train},{test}@c"))[0])[1:] == ["a/c", "a/d"]
    with pytest.raises(
        GraphError, match="other.prototxt: is not the same net as .*train.prototxt up to its seam: layer 'c' "
    ):
        prototxt([train, other], "c")


def test_a_branch_whose_phases_differ_can_only_be_frozen(tmp_path):
    text = IMAGES % "TRAIN" + IMAGES % "TEST" + conv("c", "data")
    text += layer("n", "LRN", "c", more="include { phase: TRAIN }") + layer(
        "n", "Power", "c", more="include { phase: TEST }"
    )
    builder = prototxt(written(tmp_path / "n.prototxt", text + fc("fc3", "n") + LOSS))
    assert branch_of(builder, frozen=True)[0].layer[-1].type == "Power"
    with pytest.raises(GraphError, match="TRAIN and TEST differ before the seam .layer 'n' .Power. against 'n' .LRN.."):
        branch_of(builder)


def test_a_branch_that_learns_drops_out_where_only_its_training_net_does(tmp_path):
    text = IMAGES % "TRAIN" + IMAGES % "TEST" + conv("c", "data")
    text += layer("d", "Dropout", "c", "c", "include { phase: TRAIN }") + fc("fc3", "c") + LOSS
    builder = prototxt(written(tmp_path / "n.prototxt", text))
    assert names(branch_of(builder)[0])[1:] == ["a/c", "a/d"]
    assert names(branch_of(builder, frozen=True)[0])[1:] == ["a/c"]


def test_frozen_fixes_each_blob_where_the_file_has_no_entries(tmp_path):
    message, _ = branch_of(prototxt(written(tmp_path / "n.prototxt", small())), frozen=True)
    assert [len(one.param) for one in message.layer] == [0, 2, 3, 2, 0, 0, 2, 0, 0]
    assert not any(spec.lr_mult or spec.decay_mult for one in message.layer for spec in one.param)
    assert message.layer[2].batch_norm_param.use_global_stats
    assert message.layer[-1].phase == TEST


def test_a_net_alone_keeps_its_classifier_and_takes_another_number_of_classes(tmp_path):
    builder = prototxt(written(tmp_path / "n.prototxt", small()))
    deploy = build(Fusion({"": builder}, 3, frozen=False), deploy=True).message
    assert names(deploy)[-2:] == ["fc3", "prob"]
    assert deploy.layer[-2].inner_product_param.num_output == 3
    assert (
        build(Fusion({"": builder}, 7, frozen=False), deploy=True).message.layer[-2].inner_product_param.num_output == 7
    )


@pytest.mark.parametrize(("name", "prefix"), [("My net/v2 (new)", "my_net_v2_new_"), ("", "fusion")])
def test_a_nets_name_becomes_a_snapshot_prefix(tmp_path, name, prefix):
    path = written(tmp_path / "n.prototxt", small().replace('name: "Small"', f'name: "{name}"'))
    *_, solver = emit_files(
        Fusion({"": prototxt(path)}, 3, frozen=False), DataSource(Input((4, 6, 6)), kind="input"), tmp_path
    )
    assert proto.read_solver(solver).snapshot_prefix == prefix


def test_several_inputs_become_inputs_of_the_net_unless_they_are_wired(tmp_path):
    text = data() + data("clip", (2, 4)) + conv("c", "data") + fc("f", "clip", 6) + fc("g", "c", 6)
    text += layer("sum", "Eltwise", "f g") + fc("fc3", "sum") + layer("prob", "Softmax", "fc3")
    builder = prototxt(written(tmp_path / "n.prototxt", text))
    built = build(Fusion({"a": builder, "b": BranchSpec(builder, reads={"clip": "other", "data": "data"})}, 2))
    assert {blob: told.shape for blob, told in built.inputs.items()} == {
        "data": (4, 6, 6), "clip": (4,), "other": (4,),
    }  # fmt: skip
    by_name = {one.name: list(one.bottom) for one in built.message.layer}
    assert (by_name["a/f"], by_name["b/f"], by_name["b/c"]) == (["clip"], ["other"], ["data"])
    with pytest.raises(
        GraphError,
        match="branch 'b': .*n.prototxt: has no input 'nope', nor another blob of this name; it reads data, clip",
    ):
        build(Fusion({"b": BranchSpec(builder, reads={"nope": "data"})}, 2))


@pytest.mark.parametrize("order", ["in place first", "in place last"])
def test_layers_in_place_on_a_shared_input_are_rewritten(caffe, tmp_path, order):
    """As they stand, the one order makes b read ten times its input, the other aborts Caffe."""
    a = written(tmp_path / "a.prototxt", data() + layer("pow", "Power", "data", "data", "power_param { scale: 10 }") + fc("s", "data"))  # fmt: skip
    b = written(tmp_path / "b.prototxt", data() + fc("s", "data"))
    parts = {"a": prototxt(a, "s"), "b": prototxt(b, "s")}
    parts = parts if order == "in place first" else dict(reversed(parts.items()))
    deploy = emit_files(Fusion(parts), DataSource(Input((4, 6, 6)), kind="input"), tmp_path / "net", deploy_batch=2)
    loaded = caffe.Net(os.fspath(deploy[0]), caffe.TEST)
    values = np.random.default_rng(0).normal(size=(2, 4, 6, 6)).astype(np.float32)
    for index in (0, 1):
        loaded.params["b/s"][index].data[...] = loaded.params["a/s"][index].data
    loaded.blobs["data"].data[...] = values
    loaded.forward()
    np.testing.assert_array_equal(loaded.blobs["data"].data, values)
    np.testing.assert_allclose(loaded.blobs["a/s"].data, 10 * loaded.blobs["b/s"].data, rtol=1e-5)


OLD = 'input: "data" input_dim: 2 input_dim: 4 input_dim: 6 input_dim: 6\n'
GAUSS = 'weight_filler { type: "gaussian" std: 0.3 }'
KINDS = {
    "V0": OLD
    + 'layers { layer { name: "p" type: "padding" pad: 1 } bottom: "data" top: "p" }'
    + f'layers {{ layer {{ name: "c" type: "conv" num_output: 4 kernelsize: 3 {GAUSS} }} bottom: "p" top: "c" }}'
    + 'layers { layer { name: "r" type: "relu" } bottom: "c" top: "c" }'
    + f'layers {{ layer {{ name: "fc3" type: "innerproduct" num_output: 3 {GAUSS} }} bottom: "c" top: "fc3" }}',
    "V1": OLD
    + f'layers {{ name: "c" type: CONVOLUTION bottom: "data" top: "c" convolution_param {{ num_output: 4 kernel_size: 3 {GAUSS} }} }}'
    + 'layers { name: "r" type: RELU bottom: "c" top: "c" }'
    + f'layers {{ name: "fc3" type: INNER_PRODUCT bottom: "c" top: "fc3" inner_product_param {{ num_output: 3 {GAUSS} }} }}',
    "in-place chain": small(),
    "shared parameters": data()
    + conv("c1", "data", more='param { name: "w" } param { name: "b" }')
    + conv("c2", "c1", more='param { name: "w" } param { name: "b" }')
    + fc("fc3", "c2"),
    "two phases": data()
    + conv("c", "data", more="include { phase: TRAIN }").replace('name: "c"', 'name: "other"')
    + conv("c", "data", more="include { phase: TEST }")
    + layer("label", "Input", more="input_param { shape { dim: 2 } }")
    + fc("fc3", "c")
    + layer("loss", "SoftmaxWithLoss", "fc3 label", more="include { phase: TRAIN }"),
    "several inputs": data() + data("vector", (2, 5)) + fc("f", "data", 6) + fc("g", "vector", 6)
    + layer("s", "Eltwise", "f g") + fc("fc3", "s"),
    "several tops": data() + layer("cut", "Slice", "data", "x y", "slice_param { slice_point: 1 }")
    + fc("f", "y", 6) + fc("g", "x", 6) + layer("s", "Concat", "f g") + fc("fc3", "s"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_net_is_a_branch_that_computes_the_same(caffe, tmp_path, kind):
    path = written(tmp_path / "n.prototxt", KINDS[kind])
    original = caffe.Net(os.fspath(path), caffe.TEST)
    original.save(os.fspath(tmp_path / "n.caffemodel"))
    builder = prototxt(path)
    source = DataSource(Input((4, 6, 6)), kind="input", train_batch=2, test_batch=2)
    train_val, deploy, _ = emit_files(Fusion({"a": builder, "b_": builder}, 3), source, tmp_path / "net")
    weights = dict.fromkeys(["a", "b_"], tmp_path / "n.caffemodel")
    fuse_weights(train_val, weights, tmp_path / "init.caffemodel")
    for net_path in (train_val, deploy):
        originals = {prefix: Original(os.fspath(path), os.fspath(own)) for prefix, own in weights.items()}
        found = verify_branches(net_path, tmp_path / "init.caffemodel", originals)
        assert [(one.prefix, one.equal) for one in found] == [("a", True), ("b_", True)]
    message = proto.read_net(train_val)
    shared = {spec.name for one in message.layer for spec in one.param if spec.name}
    assert shared == ({"a/w", "a/b", "b_w", "b_b"} if kind == "shared parameters" else set())
    assert not any(spec.lr_mult for one in message.layer if one.name.startswith(("a/", "b_")) for spec in one.param)
    caffe.Net(os.fspath(train_val), caffe.TRAIN)


@given(nets(inputs=2))
def test_writing_a_net_into_a_netspec_gives_it_back(message):
    spec = netspec().NetSpec()
    add_layers(spec, message.layer, {})
    assert type(message)(layer=spec.to_proto().layer) == message


def test_both_phases_of_a_net_go_through_a_netspec(recipe):
    message = proto.read_net(recipe / "lenet_fusion_train_val.prototxt")
    message.layer[2].convolution_param.SetInParent()
    message.layer.add(name="silence", type="Silence", bottom=["label"])
    spec = netspec().NetSpec()
    add_layers(spec, message.layer, {})
    assert type(message)(name=message.name, layer=spec.to_proto().layer) == message


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=nets())
def test_a_net_cut_and_joined_again_computes_the_same(caffe, tmp_path, message):
    """Every cut point: the front as one branch, the rest as a branch after it, weights copied by prefix."""
    from netbuild.graph.cut import cut, cut_points
    from netbuild.graph.feed import with_inputs, without_inputs

    whole = tmp_path / "whole.prototxt"
    last = cut_points(message)[-1:]
    if not last or last[0].startswith("data"):
        return
    message = cut(message, last)
    proto.write(whole, message)
    original = caffe.Net(os.fspath(whole), caffe.TEST)
    original.save(os.fspath(tmp_path / "whole.caffemodel"))
    values = np.random.default_rng(0).normal(size=(2, 4, 6, 6)).astype(np.float32)
    original.blobs["data"].data[...] = values
    original.forward()
    for seam in cut_points(message)[:-1]:
        front = cut(message, [seam])
        proto.write(tmp_path / "front.prototxt", front)
        kept = set(names(front))
        back = type(message)(layer=[one for one in without_inputs(message).layer if one.name not in kept])
        proto.write(tmp_path / "back.prototxt", with_inputs(back, {seam: original.blobs[seam].data.shape}))
        parts = {
            "front": prototxt(tmp_path / "front.prototxt", seam),
            "back": BranchSpec(prototxt(tmp_path / "back.prototxt", last[0]), reads="front"),
        }
        source = DataSource(Input((4, 6, 6)), kind="input")
        deploy = emit_files(Fusion(parts), source, tmp_path / "net", deploy_batch=2)[0]
        own = {p: tmp_path / "whole.caffemodel" for p in parts if any(one.type == "Convolution" for one in
               (front if p == "front" else back).layer)}  # fmt: skip
        if not own:
            continue
        fuse_weights(deploy, own, tmp_path / "both.caffemodel")
        joined = caffe.Net(os.fspath(deploy), os.fspath(tmp_path / "both.caffemodel"), caffe.TEST)
        joined.blobs["data"].data[...] = values
        joined.forward()
        assert joined.blobs[f"back/{last[0]}"].data.tobytes() == original.blobs[last[0]].data.tobytes()


@pytest.fixture(scope="module")
def published(tmp_path_factory, caffe):
    """A ResNet-50 as people get it: a deploy net without `param` entries and two weight files."""
    folder = tmp_path_factory.mktemp("published")
    emit_files(Fusion({"": resnet50}, 1000, frozen=False), DataSource(IMAGENET, kind="input"), folder)
    deploy = folder / "deploy.prototxt"
    assert "param {\n    lr_mult" not in deploy.read_text()
    rng = np.random.default_rng(0)
    loaded = caffe.Net(os.fspath(deploy), caffe.TEST)
    for name in "ab":
        for layer_name, blobs in loaded.params.items():
            for index, blob in enumerate(blobs):
                if layer_name.startswith("bn"):
                    values = [rng.normal(0, 0.1, blob.data.shape), rng.uniform(0.5, 2, blob.data.shape), 1.0][index]
                elif layer_name.startswith("scale"):
                    values = rng.uniform(0.2, 0.6, blob.data.shape) if index == 0 else 0.01
                else:
                    values = rng.normal(0, (2 / max(1, int(np.prod(blob.data.shape[1:])))) ** 0.5, blob.data.shape)
                blob.data[...] = values
        loaded.save(os.fspath(folder / f"{name}.caffemodel"))
    return folder


def test_two_published_resnets_from_their_deploy_net(caffe, published, tmp_path):
    """All names right, all blobs frozen, seams bit-equal in Caffe, one solver step changes only the head."""
    deploy = published / "deploy.prototxt"
    parts = {prefix: prototxt(deploy) for prefix in "ab"}
    source = DataSource(IMAGENET, kind="input", train_batch=2, test_batch=2)
    train_val, _, solver = emit_files(
        Fusion(parts, 4), source, tmp_path, solver_options={"snapshot_prefix": str(tmp_path / "s"), "test_iter": "1"}
    )
    message = proto.read_net(train_val)
    own = names(proto.read_net(deploy))[1:-2]
    assert len(own) == 226
    body = [one for one in message.layer if one.type != "Input"]
    assert [one.name for one in body][:-4] == [f"{prefix}/{name}" for prefix in "ab" for name in own]
    blobs = {top for one in body[:-4] for top in one.top}
    assert all(blob.startswith(("a/", "b/")) for blob in blobs)
    weights = {prefix: published / f"{prefix}.caffemodel" for prefix in "ab"}
    fuse_weights(train_val, weights, tmp_path / "init.caffemodel")
    originals = {p: Original(os.fspath(deploy), os.fspath(path)) for p, path in weights.items()}
    found = verify_branches(train_val, tmp_path / "init.caffemodel", originals)
    assert [(one.seam, one.layers, one.equal) for one in found] == [("a/pool5", 226, True), ("b/pool5", 226, True)]
    trained = caffe.get_solver(os.fspath(solver))
    trained.net.copy_from(os.fspath(tmp_path / "init.caffemodel"))
    rng = np.random.default_rng(1)
    trained.net.blobs["data"].data[...] = rng.normal(0, 1, trained.net.blobs["data"].data.shape)
    trained.net.blobs["label"].data[...] = [1, 3]
    before = {(n, i): blob.data.copy() for n, blobs in trained.net.params.items() for i, blob in enumerate(blobs)}
    trained.step(1)
    changed = {n for (n, i), values in before.items() if values.tobytes() != trained.net.params[n][i].data.tobytes()}
    assert changed == {"fc4"}


def test_a_fused_net_is_a_branch_of_another(tmp_path, trained):
    source = DataSource(MNIST, kind="input", train_batch=2, test_batch=2)
    (inner, *_) = emit_files(Fusion({"odd": lenet, "even": lenet}, 10), source, tmp_path / "inner")
    weights = {"odd": trained / "a.caffemodel", "even": trained / "b.caffemodel"}
    fuse_weights(inner, weights, tmp_path / "inner.caffemodel")
    outer, *_ = emit_files(Fusion({"a": prototxt(inner), "b": lenet}, 4), source, tmp_path / "outer")
    assert [one.name for one in proto.read_net(outer).layer if one.name.endswith("conv1")] == [
        *("a/odd/conv1", "a/even/conv1", "b/conv1"),
    ]
    own = {"a": tmp_path / "inner.caffemodel", "b": trained / "b.caffemodel"}
    fuse_weights(outer, own, tmp_path / "outer.caffemodel")
    originals = {"a": Original(os.fspath(inner), os.fspath(own["a"])), "b": Original("lenet", os.fspath(own["b"]))}
    found = verify_branches(outer, tmp_path / "outer.caffemodel", originals)
    assert [(one.seam, one.equal) for one in found] == [("a/ip1_fused", True), ("b/ip1", True)]


def test_dummy_data_is_an_input_where_nothing_else_feeds_the_net(tmp_path):
    dummy = layer("data", "DummyData", more="dummy_data_param { shape { dim: 1 dim: 3 } }")
    rest = fc("ip", "data", 4) + fc("fc", "ip", 2)
    _, branch = branch_of(prototxt(written(tmp_path / "d.prototxt", dummy + rest)), "")
    assert branch.input == Input((3,), prepared=False)
    emitted = emit_files(
        Fusion({"": prototxt(tmp_path / "d.prototxt")}, 2, frozen=False), DataSource(branch.input, "input"), tmp_path
    )
    alone = proto.parsed(data(shape=(1, 3)) + rest + layer("prob", "Softmax", "fc"))
    assert [proto.without_fillers(one) for one in alone.layer] == list(proto.read_net(emitted[1]).layer)
    # Beside an input it is what it says: a constant.
    both = (
        data(shape=(1, 5)) + dummy.replace('"data"', '"ones"') + fc("ip", "data", 3) + layer("s", "Eltwise", "ip ones")
    )
    message, branch = branch_of(prototxt(written(tmp_path / "d.prototxt", both), "s"))
    assert (sorted(names(message)), branch.input.shape) == (["a/ip", "a/ones", "a/s", "data"], (5,))
    with pytest.raises(GraphError, match="'c' depends on no input of the net"):
        weight = layer("w", "Parameter", more="parameter_param { shape { dim: 1 dim: 4 } }")
        prototxt(written(tmp_path / "d.prototxt", weight + layer("c", "ReLU", "w")), "c")


def test_a_classifier_that_reads_the_labels_is_not_written_again(tmp_path):
    """SphereFace's reads them: alone, for other classes, there is nothing that gives them."""
    images = layer("images", "Input", "", "data label", "input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } }")
    margin = layer(
        "fc6", "MarginInnerProduct", "fc5 label", "fc6 lambda", "margin_inner_product_param { num_output: 9 }"
    )
    loss = layer("loss", "SoftmaxWithLoss", "fc6 label")
    path = written(tmp_path / "net.prototxt", images + fc("fc5", "data", 4) + margin + loss)
    source = DataSource(Input((3,)), kind="input", train_batch=2, test_batch=2)
    with pytest.raises(GraphError, match=r"layer 'fc6' \(MarginInnerProduct\) reads 'label', .*net.prototxt@fc5$"):
        emit_files(Fusion({"": prototxt(path)}, 3), source, tmp_path / "new")
    emit_files(Fusion({"": prototxt(path, "fc5")}, 3), source, tmp_path / "new")
