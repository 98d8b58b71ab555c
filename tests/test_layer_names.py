"""Nets whose layers have no name, one name or one parameter between them, through everything that reads a net."""

import warnings

import pytest
from nets import conv, data, fc, layer, net, relu

from netbuild import (
    BranchSpec,
    DataSource,
    Fusion,
    Original,
    build,
    compare_engines,
    differences,
    emit_files,
    extract_branch,
    fuse_weights,
    prototxt,
    read_net,
    summarize,
    verify_branches,
)
from netbuild.errors import GraphError, NetbuildWarning, WeightsError
from netbuild.graph.check import problems, remarks
from netbuild.show.drawing import dot

INPUTS = DataSource(kind="input")
NAMELESS = (
    data()
    + conv("conv", "data")
    + layer("", "ReLU", "conv", "conv")
    + layer("", "Pooling", "conv", "pool", "pooling_param { kernel_size: 2 stride: 2 }")
    + fc("ip", "pool", 5)
    + relu("relu", "ip")
    + layer("relu", "Power", "ip", "double", "power_param { scale: 2 }")
    + fc("fc", "double", 2)
    + layer("", "Softmax", "fc", "prob")
)
"""As Caffe takes it: layers without weights have no name, or one name."""
BY_PHASE = (
    data()
    + conv("conv", "data")
    + layer("bn", "BatchNorm", "conv", more="batch_norm_param { use_global_stats: false } include { phase: TRAIN }")
    + layer("bn", "BatchNorm", "conv", more="batch_norm_param { use_global_stats: true } include { phase: TEST }")
    + fc("ip", "bn", 5)
    + fc("fc", "ip", 2)
)
"""One BatchNorm, on the batch's statistics in TRAIN and on its stored ones in TEST, as published nets have it."""
TOWERS = (
    data("one")
    + data("two")
    + conv("conv_1", "one", more='param { name: "w" lr_mult: 1 } param { name: "b" lr_mult: 2 }')
    + fc("ip_1", "conv_1")
    + conv("conv_2", "two", more='param { name: "w" lr_mult: 1 } param { name: "b" lr_mult: 2 }')
    + fc("ip_2", "conv_2")
    + layer("diff", "Eltwise", "ip_1 ip_2")
    + fc("fc", "diff")
)
ONE_WITH_WEIGHTS = data() + fc("ip", "data") + relu("ip", "ip") + fc("fc", "ip")


def test_what_two_layers_share_by_count_alone_is_shared_in_deploy(caffe, written):
    """A convolution of 1 x 1 and an inner product hold as many values, in other shapes: Caffe asks for PERMISSIVE."""
    text = data(shape=(2, 3, 1, 1))
    kernels = "convolution_param { num_output: 4 kernel_size: 1 bias_term: false }"
    text += layer("c", "Convolution", "data", more=f'param {{ name: "w" }} {kernels}')
    by_count = 'param { name: "w" share_mode: PERMISSIVE } inner_product_param { num_output: 4 bias_term: false }'
    text += layer("i", "InnerProduct", "data", more=by_count)
    text += layer("f", "Flatten", "c") + layer("cat", "Concat", "f i") + fc("ip", "cat")
    path = written("permissive", text)
    emit_files(Fusion({"a": prototxt(path), "b": prototxt(path)}, 3), INPUTS, path.parent / "o")
    params = caffe.Net(str(path.parent / "o" / "deploy.prototxt"), caffe.TEST).params
    shapes = {name: [blob.data.shape for blob in blobs] for name, blobs in params.items()}
    assert shapes["a/c"] == [(4, 3, 1, 1)]
    assert shapes["a/i"] == [(4, 3)]


def test_a_file_may_call_its_layers_as_pycaffe_does(caffe, written):
    """NetSpec calls a layer Convolution1 where its author gave no name: so do MTCNN, DenseNet and others."""
    text = data() + conv("Convolution1", "data") + layer("ReLU1", "ReLU", "Convolution1", "Convolution1")
    path = written("automatic", text + fc("fc", "Convolution1"))
    emit_files(Fusion({"": prototxt(path)}, 5, frozen=False), INPUTS, path.parent / "o")
    deploy = caffe.Net(str(path.parent / "o" / "deploy.prototxt"), caffe.TEST)
    assert list(deploy.params) == ["Convolution1", "fc"]


def test_names_that_say_nothing_are_notes(caffe, written):
    path = written("nameless", NAMELESS)
    assert list(caffe.Net(str(path), caffe.TEST).params) == ["conv", "ip", "fc"]
    assert problems(str(path)) == []
    assert remarks(read_net(path)) == [
        "layers 2 and 3 and 8 have no name: Caffe takes them, for they have no weights",
        "layers 5 and 6 are all called 'relu': Caffe takes them, for they have no weights",
    ]


def test_layers_without_names_are_fused_verified_and_taken_out_again(written, tmp_path):
    path = written("nameless", NAMELESS)
    weights = path.with_suffix(".caffemodel")
    assert summarize(path).totals[-1].layers == 9
    assert "(no name): ReLU" in dot(read_net(path))
    emit_files(Fusion({"a": prototxt(path), "b": prototxt(path)}, 3), INPUTS, tmp_path / "o")
    target, init = tmp_path / "o" / "train_val.prototxt", tmp_path / "init.caffemodel"
    names = [one.name for one in read_net(target).layer]
    assert names[2:8] == ["a/conv", "a/conv_2", "a/pool", "a/ip", "a/relu", "a/relu_2"]
    fuse_weights(target, {"a": weights, "b": weights}, init)
    found = verify_branches(target, init, {prefix: Original(path, weights) for prefix in "ab"})
    assert [(one.equal, one.layers) for one in found] == [(True, 6), (True, 6)]
    extract_branch("a", target, init, tmp_path / "x")
    assert sorted(differences(path, tmp_path / "x" / "a.prototxt").removed) == ["", "fc"]


def test_opencv_finds_layers_without_names_too(written):
    pytest.importorskip("cv2")
    path = written("nameless", NAMELESS)
    assert [(one.blob, one.equal) for one in compare_engines(path, path.with_suffix(".caffemodel"))] == [("prob", True)]


def test_a_name_that_a_layer_with_weights_has_is_its_alone_in_a_branch(caffe, pb, written, tmp_path):
    """Caffe copies no weights into such a net, not even those that it has stored itself."""
    path = written("one", ONE_WITH_WEIGHTS)
    weights = path.with_suffix(".caffemodel")
    assert problems(str(path)) == []
    assert "layers 1 and 2 are all called 'ip', and layer 1 has weights: Caffe copies" in remarks(read_net(path))[0]
    with pytest.raises(WeightsError, match="ambiguous  ip"):
        fuse_weights(path, {"": weights}, tmp_path / "init.caffemodel")
    emit_files(Fusion({"a": prototxt(path), "b": prototxt(path)}, 3), INPUTS, tmp_path / "o")
    target, init = tmp_path / "o" / "train_val.prototxt", tmp_path / "init.caffemodel"
    fuse_weights(target, {"a": weights, "b": weights}, init)
    caffe.Net(str(target), caffe.TEST, weights=str(init))
    stored, fused = pb.NetParameter(), pb.NetParameter()
    stored.ParseFromString(weights.read_bytes())
    fused.ParseFromString(init.read_bytes())
    own = next(one.blobs for one in stored.layer if one.name == "ip" and one.blobs)
    for prefix in "ab":
        assert next(one.blobs for one in fused.layer if one.name == f"{prefix}/ip") == own


def test_several_layers_with_weights_and_no_name_are_refused():
    sentence = "layers 1 and 2 have no name: weights would go to the first only; rename the others"
    two = layer("", "PReLU", "data", "a") + layer("", "PReLU", "a", "b")
    assert problems(net(data() + two)) == [sentence]


def test_a_layer_with_weights_and_no_name_keeps_its_weights_and_is_no_branch(caffe, written, tmp_path):
    path = written("lone", data() + layer("", "PReLU", "data", "a") + fc("fc", "a"))
    weights, init = path.with_suffix(".caffemodel"), tmp_path / "init.caffemodel"
    fuse_weights(path, {"": weights}, init)
    stored = [[blob.data for blob in layer] for layer in caffe.Net(str(path), 1, weights=str(weights)).params.values()]
    fused = [[blob.data for blob in layer] for layer in caffe.Net(str(path), 1, weights=str(init)).params.values()]
    assert all((one == two).all() for ones, twos in zip(stored, fused) for one, two in zip(ones, twos))
    with pytest.raises(GraphError, match="layer 1 .PReLU. has weights and no name"):
        build(Fusion({"a": prototxt(path)}, 3))


def test_a_layer_written_once_for_each_phase_is_copied_once_and_counted_once(caffe, pb, written, tmp_path):
    path = written("phased", BY_PHASE)
    weights, init = path.with_suffix(".caffemodel"), tmp_path / "init.caffemodel"
    fuse_weights(path, {"": weights}, init)
    stored = pb.NetParameter()
    stored.ParseFromString(init.read_bytes())
    assert [one.name for one in stored.layer if one.blobs] == ["conv", "bn", "ip", "fc"]
    for phase in (caffe.TRAIN, caffe.TEST):
        params = caffe.Net(str(path), phase, weights=str(init)).params
        values = caffe.Net(str(path), phase, weights=str(weights)).params
        assert all((one.data == two.data).all() for name in params for one, two in zip(params[name], values[name]))
    # A convolution of 4 x 4 x 3 x 3 and 4, means, variances and their factor, an inner product of 5 x 144 and 5 ...
    assert summarize(path).totals[-1].parameters == (144 + 4) + (4 + 4 + 1) + (5 * 144 + 5) + (2 * 5 + 2)
    assert summarize(path).totals[-1].layers == 5


def norms(folder):
    layers = read_net(folder / "train_val.prototxt").layer
    found = [one for one in layers if one.type == "BatchNorm"]
    phases = [[rule.phase for rule in one.include] for one in found]
    return [(one.name, phase, one.batch_norm_param.use_global_stats) for one, phase in zip(found, phases)]


def with_variances(pb, weights):
    """Make what stands for variances and their factor in weights made at random positive."""
    model = pb.NetParameter()
    model.ParseFromString(weights.read_bytes())
    for one in model.layer:
        for blob in one.blobs[1:] if one.type == "BatchNorm" else ():
            blob.data[:] = [abs(value) for value in blob.data]
    weights.write_bytes(model.SerializeToString())


def test_a_branch_that_learns_keeps_both_forms_of_such_a_layer(caffe, pb, written, tmp_path):
    path = written("phased", BY_PHASE)
    with_variances(pb, path.with_suffix(".caffemodel"))
    learns = BranchSpec(prototxt(path), frozen=False, lr=0.5, batch_norm=None)
    fusion = Fusion({"a": learns, "b": prototxt(path)}, 3)
    emit_files(fusion, INPUTS, tmp_path / "o")
    assert norms(tmp_path / "o") == [("a/bn", [0], False), ("a/bn", [1], True), ("b/bn", [], True)]
    for phase in (caffe.TRAIN, caffe.TEST):
        assert len(caffe.Net(str(tmp_path / "o" / "train_val.prototxt"), phase).params["a/bn"]) == 3
    deploy = read_net(tmp_path / "o" / "deploy.prototxt")
    assert [one.name for one in deploy.layer if one.type == "BatchNorm"] == ["a/bn", "b/bn"]
    target, init, weights = tmp_path / "o" / "train_val.prototxt", tmp_path / "i", path.with_suffix(".caffemodel")
    fuse_weights(target, {"a": weights, "b": weights}, init)
    found = verify_branches(target, init, {prefix: Original(path, weights) for prefix in "ab"})
    assert [one.equal for one in found] == [True, True]


def test_such_a_net_alone_is_written_as_it_is(written, tmp_path):
    emit_files(Fusion({"": prototxt(written("phased", BY_PHASE))}, 2, frozen=False), INPUTS, tmp_path / "o")
    assert norms(tmp_path / "o") == [("bn", [0], False), ("bn", [1], True)]


def of_one_phase(statistics):
    norm = layer("bn", "BatchNorm", "conv", more=f"batch_norm_param {{ {statistics} }}")
    return data() + conv("conv", "data") + norm + fc("fc", "bn")


def test_files_of_two_phases_may_differ_in_the_statistics_they_normalise_by(written, tmp_path):
    train = written("train", of_one_phase("use_global_stats: false"))
    test = written("test", of_one_phase("use_global_stats: true"))
    emit_files(Fusion({"": prototxt([train, test])}, 2, frozen=False), INPUTS, tmp_path / "o")
    assert norms(tmp_path / "o") == [("bn", [0], False), ("bn", [1], True)]


def test_siamese_branches_share_both_forms(caffe, written, tmp_path):
    builder = prototxt(written("phased", BY_PHASE))
    parts = {
        "a": BranchSpec(builder, frozen=False, batch_norm=None, reads="one"),
        "b": BranchSpec(builder, frozen=False, batch_norm=None, reads="two", shares="a"),
    }
    emit_files(Fusion(parts, 3), INPUTS, tmp_path / "o")
    for phase in (caffe.TRAIN, caffe.TEST):
        params = caffe.Net(str(tmp_path / "o" / "train_val.prototxt"), phase).params
        params["a/bn"][0].data[...] = 7
        assert (params["b/bn"][0].data == 7).all()


def test_towers_that_share_are_frozen_together(caffe, written, tmp_path):
    path = written("towers", TOWERS)
    learns = BranchSpec(prototxt(path), frozen=False, frozen_to="conv_1")
    with pytest.warns(NetbuildWarning, match="branch 'a': is frozen up to 'conv_1', and so is what a/conv_2 beyond it"):
        emit_files(Fusion({"a": learns, "b": prototxt(path)}, 3), INPUTS, tmp_path / "o")
    target = tmp_path / "o" / "train_val.prototxt"
    caffe.Net(str(target), caffe.TRAIN)
    rates = {one.name: [spec.lr_mult for spec in one.param] for one in read_net(target).layer}
    assert rates["a/conv_1"] == rates["a/conv_2"] == [0, 0]
    assert rates["a/ip_1"] == rates["a/ip_2"] == []


@pytest.mark.parametrize("owner", [{"frozen": False, "lr": 0.5}, {}])
def test_rates_of_a_branch_that_shares_anothers_parameters_are_said_to_count_for_nothing(written, owner):
    builder = prototxt(written("twins", data() + conv("c", "data") + fc("fc", "c")))
    parts = {
        "a": BranchSpec(builder, reads="one", **owner),
        "b": BranchSpec(builder, reads="two", shares="a", frozen=False, lr=0.1),
    }
    with pytest.warns(NetbuildWarning, match="branch 'b': shares the parameters of 'a'.* counts for nothing"):
        build(Fusion(parts, 3))


@pytest.mark.parametrize(("options", "told"), [("use_global_stats: false", 1), ("", 0), ("use_global_stats: true", 0)])
def test_a_branch_that_normalises_by_each_batch_in_test_is_said_to_become_another(tmp_path, options, told):
    """What is written wins over the phase (BatchNormLayer::LayerSetUp)."""
    norm = layer("bn", "BatchNorm", "data", more=f"phase: TEST batch_norm_param {{ {options} }}")
    path = tmp_path / "n.prototxt"
    path.write_text(data() + norm + fc("fc", "bn"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build(Fusion({"a": prototxt(path)}, 3))
    sentence = "by its definition 'bn' (BatchNorm) normalises by each batch in TEST too"
    assert sum(sentence in str(one.message) for one in caught) == told
