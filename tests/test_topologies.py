"""What feeds what, how seams are joined, what is trained on top: shown by real Caffe."""

import os
from itertools import permutations

import numpy as np
import pytest
from nets import conv, data, fc, layer, relu, small

from netbuild import (
    Branch,
    BranchSpec,
    DataSource,
    Fusion,
    Head,
    Join,
    build,
    emit_files,
    fuse_weights,
    lenet,
    proto,
    prototxt,
    qualify,
)
from netbuild.branches.branch import Input
from netbuild.branches.lenet import MNIST
from netbuild.errors import GraphError
from netbuild.verify.branches import Original, verify_branches

SMALL = Input((4, 6, 6))


@pytest.fixture()
def nets(tmp_path):
    """Returns a function that writes a net and gives its builder."""
    written = []

    def write(text, seam=None):
        path = tmp_path / f"net{len(written)}.prototxt"
        path.write_text(text)
        written.append(path)
        return prototxt(path, seam)

    return write


def loaded(caffe, path, phase=None):
    return caffe.Net(os.fspath(path), caffe.TEST if phase is None else phase)


def emitted(fusion, folder, source=None, **options):
    source = source or DataSource(SMALL, kind="input", train_batch=2, test_batch=2)
    return {path.stem: path for path in emit_files(fusion, source, folder, deploy_batch=2, **options)}


def run(net, seed=0, **given):
    rng = np.random.default_rng(seed)
    for blob in net.inputs:
        values = given.get(blob, rng.normal(size=net.blobs[blob].data.shape))
        net.blobs[blob].data[...] = values
    net.forward()
    return {name: blob.data.copy() for name, blob in net.blobs.items()}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (Join(), lambda a, b: np.concatenate([a, b], axis=1)),
        (Join(axis=-1), lambda a, b: np.concatenate([a, b], axis=1)),
        (Join("sum"), lambda a, b: a + b),
        (Join("sum", weights={"b": -2.0}), lambda a, b: a - 2 * b),
        (Join("mean"), lambda a, b: (a + b) / 2),
        (Join("mean", weights={"a": 3.0}), lambda a, b: (3 * a + b) / 4),
        (Join("product"), lambda a, b: a * b),
        (Join("max"), np.maximum),
    ],
)
def test_joins_compute_what_numpy_does(caffe, tmp_path, nets, how, expected):
    builder = nets(small())
    net = loaded(caffe, emitted(Fusion({"a": builder, "b": builder}, join=how), tmp_path / "net")["deploy"])
    for name in ("conv1", "fc1"):
        for blob in net.params[f"b/{name}"]:
            blob.data[...] += 0.1
    blobs = run(net)
    np.testing.assert_allclose(blobs["fc1_fused"], expected(blobs["a/fc1"], blobs["b/fc1"]), rtol=1e-5)


def test_seams_that_do_not_fit_are_explained_and_can_be_bridged(caffe, tmp_path, nets):
    a, b = nets(small(), "pool1"), nets(small(), "fc1")
    with pytest.raises(GraphError, match=r"joined by concat.*: a: \(N, 4, 3, 3\), b: \(N, 5\); bridge='flatten'"):
        emitted(Fusion({"a": a, "b": b}, 3), tmp_path / "net")
    with pytest.raises(GraphError, match=r"by sum, for which they must be of one shape: .*bridge='fc=K' gives"):
        emitted(Fusion({"a": a, "b": b}, 3, join=Join("sum")), tmp_path / "net")
    assert not (tmp_path / "net").exists()
    flat = emitted(Fusion({"a": a, "b": b}, 3, join=Join(bridge="flatten", blob="both")), tmp_path / "flat")
    assert run(loaded(caffe, flat["deploy"]))["both"].shape == (2, 4 * 3 * 3 + 5)
    fcs = emitted(Fusion({"a": a, "b": b}, 3, join=Join("sum", bridge="fc=7", blob="both")), tmp_path / "fc")
    assert run(loaded(caffe, fcs["deploy"]))["both"].shape == (2, 7)
    learning = [one.name for one in proto.read_net(fcs["train_val"]).layer if any(spec.lr_mult for spec in one.param)]
    assert learning == ["bridge_a", "bridge_b", "fc3"]


@pytest.mark.parametrize("kind", ["mean", "max"])
def test_an_ensemble_answers_with_its_branches_softmaxes(caffe, tmp_path, nets, kind):
    builder = nets(small())
    weights = {"a": 3.0} if kind == "mean" else {}
    fusion = Fusion({"a": builder, "b": builder}, ensemble=True, join=Join(kind, weights=weights))
    paths = emitted(fusion, tmp_path / "net")
    assert sorted(paths) == ["deploy", "test"]
    net = loaded(caffe, paths["deploy"])
    net.params["b/fc3"][0].data[...] *= -1
    blobs = run(net)
    expected = {
        "mean": (3 * blobs["a/prob"] + blobs["b/prob"]) / 4,
        "max": np.maximum(blobs["a/prob"], blobs["b/prob"]),
    }
    np.testing.assert_allclose(blobs["prob"], expected[kind], rtol=1e-5)
    np.testing.assert_allclose(blobs["a/prob"].sum(axis=1), 1, rtol=1e-5)
    test = proto.read_net(paths["test"])
    assert test.layer[-1].type == "Accuracy"
    assert not any(spec.lr_mult for one in test.layer for spec in one.param)


def test_ensembles_of_builders_and_of_given_softmaxes(tmp_path, nets):
    source = DataSource(MNIST, kind="input", train_batch=2, test_batch=2)
    deploy = emitted(Fusion({"a": lenet, "b": lenet}, 5, ensemble=True, join=Join("mean")), tmp_path / "net", source)
    assert [one.name for one in proto.read_net(deploy["deploy"]).layer][-4:] == ["b/relu1", "b/ip2", "b/prob", "mean"]
    given = nets(small(), "prob")
    message = build(Fusion({"a": given, "b": given}, ensemble=True, join=Join("max")), deploy=True).message
    assert [one.type for one in message.layer].count("Softmax") == 2
    scores = nets(small(), "fc3")
    message = build(Fusion({"a": scores, "b": given}, ensemble=True, join=Join("max")), deploy=True).message
    assert [one.name for one in message.layer if one.type == "Softmax"] == ["a/prob", "b/prob"]
    with pytest.raises(GraphError, match="branch 'a': its classifier 'ip2' needs a number of classes"):
        build(Fusion({"a": lenet, "b": lenet}, ensemble=True, join=Join("mean")))
    with pytest.raises(GraphError, match="an ensemble is the mean or the max of at least two branches"):
        build(Fusion({"a": lenet, "b": lenet}, 5, ensemble=True))


FRONT = data() + conv("conv1", "data") + relu("r", "conv1") + conv("conv2", "conv1", 6) + fc("x", "conv2")
BACK = data("feat", (2, 6, 6, 6)) + conv("conv3", "feat") + fc("score", "conv3", 3) + layer("prob", "Softmax", "score")


def test_the_seam_of_one_branch_feeds_another(caffe, tmp_path, nets):
    parts = {"front": nets(FRONT, "conv2"), "back": BranchSpec(nets(BACK, "prob"), reads="front")}
    built = build(Fusion(parts))
    assert (built.joined, list(built.inputs)) == (("back",), ["data"])
    (deploy,) = emitted(Fusion(parts), tmp_path / "net").values()
    net = loaded(caffe, deploy)
    assert list(net.blobs)[-1] == "back/prob"
    assert list(net.bottom_names["back/conv3"]) == ["front/conv2"]
    np.testing.assert_allclose(run(net)["back/prob"].sum(axis=1), 1, rtol=1e-5)


def test_a_branch_may_read_anothers_inner_blob_after_its_in_place_layers(caffe, tmp_path, nets):
    inner = nets(data("in", (2, 4, 6, 6)) + conv("c", "in"), "c")
    parts = {"side": BranchSpec(inner, reads="front/conv1"), "front": nets(FRONT, "conv2")}
    net = loaded(caffe, emitted(Fusion(parts, 3), tmp_path / "net")["deploy"])
    order = list(net._layer_names)
    assert order.index("front/r") < order.index("side/c")
    assert build(Fusion(parts)).joined == ("side", "front")


def test_a_top_of_two_names_is_read_by_the_one_that_it_has_in_the_net(nets, caffe):
    def named_twice(net, bottom, prefix="", *, frozen=False):
        first, last = (qualify(prefix, name) for name in ("first", "last"))
        net[first] = net[last] = caffe.layers.Power(bottom)
        return Branch(prefix, "last", net[last], 4, input=SMALL)

    back = BranchSpec(nets(small()), reads="front")
    layers = build(Fusion({"front": named_twice, "back": back}, 3)).message.layer
    assert [(list(one.bottom), list(one.top)) for one in layers][:2] == [
        (["data"], ["front/last"]),
        (["front/last"], ["back/conv1"]),
    ]


def test_what_a_branch_cannot_read(tmp_path, nets):
    back, front = nets(BACK, "prob"), nets(FRONT, "conv1")
    with pytest.raises(
        GraphError, match=r"'back' reads 'front/conv1' of shape \(N, 4, 6, 6\), but its net was made for \(N, 6, 6, 6\)"
    ):
        build(Fusion({"front": front, "back": BranchSpec(back, reads="front")}))
    with pytest.raises(GraphError, match="'back' is to read 'front/conv9', which is no blob of that branch"):
        build(Fusion({"front": front, "back": BranchSpec(back, reads="front/conv9")}))
    with pytest.raises(GraphError, match="the branches 'back' and 'front' feed each other in a circle"):
        build(Fusion({"front": BranchSpec(front, reads="back"), "back": BranchSpec(back, reads="front")}))


def test_a_serial_net_is_verified_on_what_its_back_really_reads(caffe, tmp_path, nets):
    parts = {"front": nets(FRONT, "conv2"), "back": BranchSpec(nets(BACK, "prob"), reads="front")}
    (deploy,) = emitted(Fusion(parts), tmp_path / "net").values()
    originals = {}
    for prefix, path in (("front", "net0"), ("back", "net1")):
        weights = tmp_path / f"{prefix}.caffemodel"
        loaded(caffe, tmp_path / f"{path}.prototxt").save(os.fspath(weights))
        originals[prefix] = Original(os.fspath(tmp_path / f"{path}.prototxt"), os.fspath(weights))
    fuse_weights(deploy, {p: one.weights for p, one in originals.items()}, tmp_path / "init.caffemodel")
    found = verify_branches(deploy, tmp_path / "init.caffemodel", originals)
    assert [(one.seam, one.layers, one.equal) for one in found] == [("front/conv2", 3, True), ("back/prob", 3, True)]


def halves(caffe, tmp_path, front, back):
    """Write two nets, front.prototxt and back.prototxt, with weights of their own: each as an Original."""
    originals = {}
    for seed, (prefix, text) in enumerate({"front": front, "back": back}.items()):
        path, weights = tmp_path / f"{prefix}.prototxt", tmp_path / f"{prefix}.caffemodel"
        path.write_text(text)
        net, rng = loaded(caffe, path), np.random.default_rng(seed)
        for blobs in net.params.values():
            for blob in blobs:
                blob.data[...] = rng.normal(size=blob.data.shape)
        net.save(os.fspath(weights))
        originals[prefix] = Original(os.fspath(path), os.fspath(weights))
    return originals


BLOCK = (
    data() + conv("c0", "data") + relu("r0", "c0") + conv("c1", "c0") + relu("r1", "c1") + conv("c2", "c1")
    + layer("sum", "Eltwise", "c0 c2") + relu("r2", "sum") + conv("c3", "sum") + relu("r3", "c3") + fc("f", "c3", 5)
    + fc("fc3", "f") + layer("prob", "Softmax", "fc3")
)  # fmt: skip
"""A block with a way around it, and in-place layers on what is cut."""


@pytest.mark.parametrize(
    ("front", "back", "begins", "left_out"),
    [
        ("c0", "f", {"c0": "front/c0"}, ["c0"]),
        ("sum", "f", {"sum": "front/sum"}, ["c0", "c1", "c2"]),
        # Two blobs, one of which is no seam: the block gets both of its ways from elsewhere.
        ("c2", "c3", {"c0": "front/c0", "c2": "front/c2"}, ["c0", "c1", "c2"]),
        ("c2", "prob", {"c0": "front/c2", "c1": "front/c1"}, ["c0", "c1"]),
    ],
)
def test_the_back_half_of_a_net_computes_behind_the_front_half_of_another_what_it_did(
    caffe, tmp_path, front, back, begins, left_out
):
    originals = halves(caffe, tmp_path, BLOCK, BLOCK)
    parts = {
        "front": f"{originals['front'].net}@{front}",
        "back": BranchSpec(prototxt(originals["back"].net, back), reads=begins),
    }
    (deploy,) = emitted(Fusion(parts), tmp_path / "net").values()
    report = fuse_weights(deploy, {p: one.weights for p, one in originals.items()}, tmp_path / "init.caffemodel")
    fused = caffe.Net(os.fspath(deploy), os.fspath(tmp_path / "init.caffemodel"), caffe.TEST)
    assert not [name for name in fused.params if name.startswith("back/") and name[5:] in left_out]
    assert not report.plan.left_to_fillers
    run(fused)

    # Its own net, fed with these values from there on: each layer after the last that works in place on a fed blob.
    alone = caffe.Net(originals["back"].net, originals["back"].weights, caffe.TEST)
    names = list(alone._layer_names)
    for blob, outer in begins.items():
        alone.blobs[blob].data[...] = fused.blobs[outer].data
    skipped = {name for blob in begins for name in names if blob in alone.top_names[name]}
    for index, name in enumerate(names):
        if f"back/{name}" in fused._layer_names or "_split" in name:
            assert name not in skipped
            alone._forward(index, index)
    assert np.array_equal(alone.blobs[back].data, fused.blobs[f"back/{back}"].data)
    assert np.abs(alone.blobs[back].data).max() > 0

    found = {
        one.prefix: one
        for one in verify_branches(deploy, tmp_path / "init.caffemodel", originals_at(originals, front, back))
    }
    assert {p: (one.equal, tuple(sorted(one.begins))) for p, one in found.items()} == {
        "front": (True, ()),
        "back": (True, tuple(begins)),
    }
    swapped = {**originals, "back": Original(originals["back"].net, originals["front"].weights)}
    found = verify_branches(deploy, tmp_path / "init.caffemodel", originals_at(swapped, front, back))
    assert [one.equal for one in found] == [True, False]


def originals_at(originals, front, back):
    ends = {"front": front, "back": back}
    return {p: Original(f"{one.net}@{ends[p]}", one.weights) for p, one in originals.items()}


def test_two_halves_under_a_head_are_frozen_and_the_head_learns(caffe, tmp_path):
    originals = halves(caffe, tmp_path, BLOCK, BLOCK)
    parts = {
        "front": f"{originals['front'].net}@sum",
        "back": BranchSpec(prototxt(originals["back"].net), reads={"sum": "front"}),
    }
    built = build(Fusion(parts, classes=2))
    assert (built.joined, built.seams) == (("back",), {"front": "front/sum", "back": "back/f"})
    rates = {one.name: [spec.lr_mult for spec in one.param] for one in built.message.layer if one.param}
    assert rates.pop("fc2") == [1, 2]
    assert list(rates) == ["front/c0", "front/c1", "front/c2", "back/c3", "back/f"]
    assert set(map(tuple, rates.values())) == {(0, 0)}


def test_a_net_may_begin_at_a_blob_that_an_input_feeds(caffe, tmp_path):
    originals = halves(caffe, tmp_path, BLOCK, BLOCK)
    fusion = Fusion({"back": BranchSpec(prototxt(originals["back"].net, "prob"), reads={"f": "code"})})
    (deploy,) = emitted(fusion, tmp_path / "net", DataSource(Input((5,)), kind="input")).values()
    net = loaded(caffe, deploy)
    assert (list(net.inputs), net.blobs["code"].data.shape) == (["code"], (2, 5))
    fuse_weights(deploy, {"back": originals["back"].weights}, tmp_path / "init.caffemodel")
    wanted = {"back": Original(originals["back"].net + "@prob", originals["back"].weights)}
    (found,) = verify_branches(deploy, tmp_path / "init.caffemodel", wanted)
    assert (found.equal, found.begins, found.layers) == (True, ("f",), 2)


@pytest.mark.parametrize(
    ("reads", "sentence"),
    [
        ({"c2": "front/c0"}, r"'back' reads 'front/c0' of shape \(N, 4, 6, 6\), but its own 'c2' has \(N, 7, 6, 6\); cut the "),
        ({"c9": "front/c0"}, "back.prototxt: has no input 'c9', nor another blob of this name; it reads data"),
        ({"fc3": "front/c0"}, "'fc3' is to come from elsewhere, but 'f' does not depend on it; netbuild check"),
        ({"c1": "front/c0", "c3": "front/c0"}, "'f' does not depend on it other than through 'c3'"),
        ({"f": "front/c0"}, "'f' is to come from elsewhere, and the net to end there: nothing lies between"),
        ({"": "data", "c3": "front/c0"}, "something is to feed its input, which nothing reads where the net begins at 'c3'"),
        ({"data": "data", "c3": "front/c0"}, "something is to feed its 'data', which nothing reads where the net begins"),
        ({"c1": "front/c0", "c2": "front/c0"}, "does not depend on it other than through 'c2'"),
        ({"half": "front/c0", "other": "front/c0", "c2": "front/c0"}, "other than through"),
        ({"half": "front/c0"}, "layer 'cut' makes 'half', which is to come from elsewhere, and 'other', which 'f' depends"),
    ],
)  # fmt: skip
def test_where_a_net_cannot_begin(tmp_path, nets, reads, sentence):
    (tmp_path / "back.prototxt").write_text(
        data() + conv("c1", "data") + layer("cut", "Slice", "c1", "half other") + layer("two", "Concat", "half other")
        + conv("c2", "two", 7) + conv("c3", "c2") + fc("f", "c3") + fc("fc3", "f")
    )  # fmt: skip
    back = BranchSpec(prototxt(tmp_path / "back.prototxt"), reads=reads)
    with pytest.raises(GraphError, match=sentence):
        build(Fusion({"front": nets(data() + conv("c0", "data"), "c0"), "back": back}))


def test_one_blob_does_not_stand_for_two_of_different_shapes(tmp_path, nets):
    text = data() + conv("a", "data", 4) + conv("b", "data", 5) + layer("two", "Concat", "a b") + fc("f", "two")
    (tmp_path / "back.prototxt").write_text(text)
    back = BranchSpec(prototxt(tmp_path / "back.prototxt", "f"), reads={"a": "front/c0", "b": "front/c0"})
    sentence = r"'front/c0' is to feed 'a', which is \(N, 4, 6, 6\) in its own net, and 'b', which is \(N, 5, 6, 6\)"
    with pytest.raises(GraphError, match=sentence):
        build(Fusion({"front": nets(data() + conv("c0", "data"), "c0"), "back": back}))


def test_two_streams_with_inputs_of_their_own(caffe, tmp_path, nets):
    three = small().replace("dim: 4", "dim: 3")
    parts = {"rgb": BranchSpec(lenet, reads="images"), "flow": BranchSpec(nets(three), reads="flow", mean=(2.0,))}
    built = build(Fusion(parts, 4))
    assert built.inputs["images"] == MNIST
    assert (built.inputs["flow"].shape, built.inputs["flow"].mean) == ((3, 6, 6), (2.0,))
    lists = {blob: DataSource(told, train_source=f"{blob}.txt") for blob, told in built.inputs.items()}
    paths = emitted(Fusion(parts, 4), tmp_path / "net", lists)
    layers = proto.read_net(paths["train_val"]).layer
    assert [(one.name, list(one.top)) for one in layers[:3]] == [
        ("images", ["images", "label"]),
        ("flow", ["flow", "flow_label"]),
        ("flow_silence", []),
    ]
    assert [one.image_data_param.source for one in layers[:2]] == ["images.txt", "flow.txt"]
    net = loaded(caffe, paths["deploy"])
    assert {blob: net.blobs[blob].data.shape for blob in net.inputs} == {"images": (2, 1, 28, 28), "flow": (2, 3, 6, 6)}
    with pytest.raises(GraphError, match="the net has the inputs images and flow; give each a source of its own"):
        emitted(Fusion(parts, 4), tmp_path / "other", DataSource(MNIST))
    together = emitted(Fusion(parts, 4), tmp_path / "hdf5", DataSource(MNIST, kind="hdf5"))
    assert list(proto.read_net(together["train_val"]).layer[0].top) == ["images", "flow", "label"]


def test_two_streams_train_from_two_lists(caffe, tmp_path, small_lists, monkeypatch):
    parts = {"one": BranchSpec(lenet, reads="left"), "two": BranchSpec(lenet, reads="right")}
    source = DataSource(MNIST, train_source=str(small_lists.path("train_all")), test_source=str(small_lists.path("val_all")), train_batch=4)  # fmt: skip
    options = {"snapshot_prefix": str(tmp_path / "s"), "test_iter": "1"}
    paths = emitted(Fusion(parts, 10), tmp_path / "net", {"left": source, "right": source}, solver_options=options)
    solver = caffe.get_solver(os.fspath(paths["solver"]))
    solver.step(2)
    assert solver.net.blobs["left"].data.tobytes() == solver.net.blobs["right"].data.tobytes()
    assert np.any(solver.net.params["ip2"][0].diff)


@pytest.mark.parametrize("phase", ["train_val", "deploy"])
def test_a_shared_input_is_prepared_in_the_branch_where_means_differ(caffe, tmp_path, nets, phase):
    """On raw pixels each branch sees, to the bit, what Caffe's own data layer would have given it."""
    colour = Input((3, 6, 6))
    builder = nets(data(shape=(2, 3, 6, 6)) + fc("f", "data"), "f")
    parts = {
        "a": BranchSpec(builder, mean=(104.0, 117.0, 123.0), scale=0.017),
        "b": BranchSpec(builder, mean=(128.0,)),
        "c": BranchSpec(builder, mean=(), scale=0.5),
    }
    assert build(Fusion(parts)).inputs["data"].mean == ()
    source = DataSource(colour, kind="input", train_batch=2, test_batch=2)
    net = loaded(caffe, emitted(Fusion(parts, 3), tmp_path / "net", source)[phase])
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 6, 6)).astype(np.float32)
    blobs = run(net, data=pixels, label=0)
    means = np.array([104, 117, 123], np.float32).reshape(1, 3, 1, 1)
    assert blobs["a/data_scale"].tobytes() == ((pixels - means) * np.float32(0.017)).tobytes()
    assert blobs["b/data_mean"].tobytes() == (pixels - np.float32(128)).tobytes()
    assert blobs["c/data_scale"].tobytes() == (pixels * np.float32(0.5)).tobytes()


def test_means_that_no_layer_can_carry_or_that_nobody_told(nets):
    builder = nets(small())
    with pytest.raises(GraphError, match="'b' does not tell its own; give BranchSpec.mean=VALUE."):
        build(Fusion({"a": BranchSpec(builder, mean=(1.0,)), "c": BranchSpec(builder, mean=(2.0,)), "b": builder}))
    images = 'layer { name: "i" type: "ImageData" top: "data" top: "label" transform_param { mean_file: "m.bp" } image_data_param { new_height: 6 new_width: 6 } }'
    with_file = nets(images + conv("c", "data"), "c")
    with pytest.raises(GraphError, match="branch 'a' subtracts the mean file 'm.bp', others that read 'data' do not"):
        build(Fusion({"a": with_file, "b": BranchSpec(builder, shape=(3, 6, 6), mean=(1.0,))}))
    # One that tells nothing follows those that agree.
    assert build(Fusion({"a": BranchSpec(builder, mean=(1.0,)), "b": builder})).inputs["data"].mean == (1.0,)


def solver_after(caffe, tmp_path, fusion, steps=3, **options):
    source = DataSource(SMALL, kind="input", train_batch=2, test_batch=2)
    given = {"snapshot_prefix": str(tmp_path / "s"), "test_iter": "1", "weight_decay": "0.1", **options}
    paths = emitted(fusion, tmp_path / "net", source, solver_options=given)
    solver = caffe.get_solver(os.fspath(paths["solver"]))
    rng = np.random.default_rng(0)
    for name, blobs in solver.net.params.items():
        if "/bn" in name:
            blobs[1].data[...], blobs[2].data[...] = 1, 1
    solver.net.blobs["data"].data[...] = rng.normal(size=(2, 4, 6, 6))
    solver.net.blobs["label"].data[...] = [0, 2]
    before = {(n, i): blob.data.copy() for n, blobs in solver.net.params.items() for i, blob in enumerate(blobs)}
    solver.step(steps)
    after = {(n, i): blob.data.copy() for n, blobs in solver.net.params.items() for i, blob in enumerate(blobs)}
    return before, after


def moved(before, after):
    return {name for (name, index), values in before.items() if values.tobytes() != after[name, index].tobytes()}


def test_branches_learn_as_their_parts_say(caffe, tmp_path, nets):
    builder = nets(small().replace("Dropout", "ReLU"))
    parts = {
        "still": builder,
        "late": BranchSpec(builder, frozen=False, frozen_to="pool1"),
        "all": BranchSpec(builder, frozen=False),
    }
    before, after = solver_after(caffe, tmp_path, Fusion(parts, 3))
    assert moved(before, after) == {"late/fc1", "all/conv1", "all/scale1", "all/fc1", "fc3"}


def test_a_learning_rate_factor_scales_the_step(caffe, tmp_path, nets):
    builder = nets(small().replace("Dropout", "ReLU"))
    steps = {}
    for factor in (1.0, 0.125):
        parts = {"a": BranchSpec(builder, frozen=False, lr=factor), "b": builder}
        folder = tmp_path / str(factor)
        folder.mkdir()
        caffe.set_random_seed(1)
        before, after = solver_after(caffe, folder, Fusion(parts, 3), 1, momentum="0", weight_decay="0")
        steps[factor] = after["a/fc1", 0] - before["a/fc1", 0]
    assert np.any(steps[1.0])
    np.testing.assert_allclose(steps[0.125], steps[1.0] / 8, rtol=1e-3, atol=1e-8)


def test_batch_norm_of_a_branch_that_learns(nets):
    builder = nets(small())
    for statistics, expected in (("global", True), ("batch", False)):
        part = BranchSpec(builder, frozen=False, batch_norm=statistics)
        message = build(Fusion({"a": part, "b": builder}, 3)).message
        norms = {one.name: one.batch_norm_param for one in message.layer if one.type == "BatchNorm"}
        assert norms["a/bn1"].HasField("use_global_stats") == expected
        assert norms["b/bn1"].use_global_stats


@pytest.mark.parametrize("frozen", [True, False])
def test_siamese_branches_stay_one(caffe, tmp_path, nets, frozen):
    builder = nets(small().replace("Dropout", "ReLU"))
    parts = {
        "left": BranchSpec(builder, frozen=frozen),
        "right": BranchSpec(builder, frozen=frozen, shares="left"),
    }
    before, after = solver_after(caffe, tmp_path, Fusion(parts, 3))
    deploy = {
        one.name: [spec.name for spec in one.param] for one in proto.read_net(tmp_path / "net/deploy.prototxt").layer
    }
    assert deploy["left/fc1"] == deploy["right/fc1"] == ["left/fc1_0", "left/fc1_1"]
    for (name, index), values in after.items():
        if name.startswith("left/"):
            assert values.tobytes() == after["right" + name[4:], index].tobytes()
    assert ("left/fc1" in moved(before, after)) is not frozen
    other = nets(data() + fc("other", "data"), "other")
    with pytest.raises(GraphError, match="branch 'b' cannot share the parameters of 'a': its layer 'other'"):
        build(Fusion({"a": builder, "b": BranchSpec(other, shares="a")}, 3))
    with pytest.raises(GraphError, match="'a' is to share the parameters of 'z', which is no other branch"):
        build(Fusion({"a": BranchSpec(builder, shares="z")}, 3))


ORDERS = [tuple(order) for order in permutations(["a", "b", "c"])]


@pytest.mark.parametrize("order", ORDERS, ids="".join)
@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_branches_that_share_through_others_stay_one_in_any_order(caffe, tmp_path, nets, order, rate):
    """`a` shares `b` and `b` shares `c`: Caffe refuses two rates for one parameter, and keeps one blob for all three."""
    builder = nets(small().replace("Dropout", "ReLU"))
    specs = {
        "a": BranchSpec(builder, shares="b"),
        "b": BranchSpec(builder, frozen=False, shares="c"),
        "c": BranchSpec(builder, frozen=False, lr=rate),
    }
    before, after = solver_after(caffe, tmp_path, Fusion({prefix: specs[prefix] for prefix in order}, 3))
    for (name, index), values in after.items():
        if name.startswith("c/"):
            for other in ("a", "b"):
                assert values.tobytes() == after[other + name[1:], index].tobytes()
    assert {"a/fc1", "b/fc1", "c/fc1"} <= moved(before, after)
    for one in proto.read_net(tmp_path / "net/train_val.prototxt").layer:
        if one.name in ("a/fc1", "b/fc1", "c/fc1"):
            assert [spec.lr_mult for spec in one.param] == [rate, rate]
            assert [spec.name for spec in one.param] == ["c/fc1_0", "c/fc1_1"]


def test_branches_that_share_in_a_circle_are_refused(nets):
    builder = nets(small())
    specs = {
        "a": BranchSpec(builder, shares="b"),
        "b": BranchSpec(builder, shares="c"),
        "c": BranchSpec(builder, shares="b"),
    }
    with pytest.raises(
        GraphError, match="the branches 'b' and 'c' share each other's parameters in a circle.* shares of"
    ):
        build(Fusion(specs, 3))


def test_several_heads_with_losses_of_their_own(caffe, tmp_path, nets):
    heads = [Head(10, "digit"), Head(2, "parity", hidden=6, dropout=0.25, loss="HingeLoss", loss_weight=0.3)]
    paths = emitted(Fusion({"a": nets(small())}, heads=heads), tmp_path / "net")
    net = loaded(caffe, paths["train_val"], caffe.TRAIN)
    assert {"digit_loss", "parity_loss"} <= set(net.blobs)
    assert net.blobs["parity_label"].data.shape == (2,)
    assert list(loaded(caffe, paths["deploy"]).blobs)[-1] == "parity"
    layers = {one.name: one for one in proto.read_net(paths["train_val"]).layer}
    assert list(layers["parity_loss"].loss_weight) == pytest.approx([0.3])
    assert layers["parity_drop"].dropout_param.dropout_ratio == 0.25
    assert net.params["parity_hidden"][0].data.shape == (6, 5)


@pytest.mark.parametrize(("loss", "answer"), [("EuclideanLoss", "score"), ("SigmoidCrossEntropyLoss", "prob")])
def test_losses_on_vectors(caffe, tmp_path, nets, loss, answer):
    fusion = Fusion({"a": nets(small())}, heads=[Head(4, "score", loss=loss)])
    paths = emitted(fusion, tmp_path / "net")
    net = loaded(caffe, paths["train_val"], caffe.TRAIN)
    assert net.blobs["label"].data.shape == (2, 4)
    assert list(loaded(caffe, paths["deploy"]).blobs)[-1] == answer
    with pytest.raises(GraphError, match="'label' has 4 numbers for each image, and a list or a database only one"):
        emitted(fusion, tmp_path / "other", DataSource(kind="lmdb"))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Join("add"), "no join 'add'; known are concat, sum, mean, product, max"),
        (lambda: Join(weights={"a": 1.0}), "a concat join has no coefficients"),
        (lambda: Join("mean", weights={"a": 0.0}), "a sum above 0"),
        (lambda: Join(bridge="pool"), "no bridge 'pool'; known are flatten and fc=K"),
        (lambda: Head(3, loss="Loss"), "no loss 'Loss'; known are SoftmaxWithLoss"),
        (lambda: Head(0), "0 classes"),
        (lambda: Head(3, dropout=1.0), "a dropout of 1"),
        (lambda: BranchSpec(lenet, lr=0.0, frozen=False), "a learning rate factor of 0"),
        (lambda: BranchSpec(lenet, lr=0.5), "a frozen branch does not learn"),
        (lambda: BranchSpec(lenet, batch_norm="x"), "no BatchNorm statistics 'x'"),
        (lambda: build(Fusion({"a": lenet}, 3, join=Join("sum", weights={"z": 1.0}))), "given for 'z', which is no branch"),
        (lambda: build(Fusion({"a": BranchSpec(lenet, reads={"x": "y"})}, 3)), "branch 'a': no blob 'x' in the net"),
        (lambda: build(Fusion({"a": BranchSpec(lenet, reads="label")}, 3)), "the label blob 'label' is there already"),
        (lambda: build(Fusion({"data": lenet, "b": lenet}, 3)), "the prefix 'data' is the name of the input"),
        (lambda: build(Fusion({"a": lenet}, heads=[Head(2), Head(3)])), "several heads need names of their own"),
        (lambda: build(Fusion({"a": lenet}, 3, heads=[Head(2)])), "give either classes or heads"),
        (lambda: build(Fusion({"a": BranchSpec(lenet, frozen=False, frozen_to="x")}, 3)), "frozen up to 'x', which is no blob"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_told(make, sentence):
    with pytest.raises(GraphError, match=sentence):
        make()
