"""A branch taken out of a fused net is the branch that went in: blobs by protobuf, outputs by real Caffe."""

import json
import os
import re

import numpy as np
import pytest
from click.testing import CliRunner
from commands import invoke, run
from netbuild_cli.main import main
from nets import conv, data, fc, layer, relu, small

from netbuild import BranchSpec, DataSource, Fusion, emit_files, extract_branch, fuse_weights, lenet, proto, prototxt
from netbuild.branches.branch import Input
from netbuild.branches.lenet import MNIST
from netbuild.branches.resnet import IMAGENET, resnet50
from netbuild.errors import GraphError, NetbuildError, WeightsError

SMALL = Input((4, 6, 6))


def source(preset):
    return DataSource(preset, kind="input", train_batch=2, test_batch=2)


def blobs(pb, path):
    net = pb.NetParameter.FromString(path.read_bytes())
    return {
        one.name: [np.array(blob.data, np.float32).tobytes() for blob in one.blobs] for one in net.layer if one.blobs
    }


def outputs(caffe, net, weights, images, seam):
    loaded = caffe.Net(os.fspath(net), os.fspath(weights), caffe.TEST)
    (name,) = [blob for blob in loaded.inputs if blob != "label"]
    loaded.blobs[name].reshape(*images.shape)
    if "label" in loaded.blobs:
        loaded.blobs["label"].reshape(len(images))
    loaded.blobs[name].data[...] = images
    loaded.forward()
    return loaded.blobs[seam].data.tobytes()


@pytest.mark.parametrize("prefix", ["a\nb", "a\0b", "..\\a"])
def test_a_prefix_decides_over_names_of_files_in_the_folder_only(tmp_path, prefix):
    with pytest.raises(NetbuildError, match="prefix: .* is no plain name of a file"):
        extract_branch(prefix, "fused.prototxt", "fused.caffemodel", tmp_path)
    # Whatever leads upwards becomes part of a name.
    with pytest.raises(NetbuildError, match="'fused.prototxt': no such file"):
        extract_branch("../../a", "fused.prototxt", "fused.caffemodel", tmp_path)


@pytest.mark.parametrize("file", ["train_val.prototxt", "deploy.prototxt"])
def test_two_lenets_come_out_as_they_went_in(caffe, pb, trained, tmp_path, file):
    emit_files(Fusion({"odd": lenet, "even": lenet}, 10), source(MNIST), tmp_path / "net")
    target, weights = tmp_path / "net" / file, {"odd": trained / "a.caffemodel", "even": trained / "b.caffemodel"}
    fuse_weights(target, weights, tmp_path / "init")
    images = np.random.default_rng(0).normal(size=(2, 1, 28, 28)).astype(np.float32)
    for prefix, path in weights.items():
        found = extract_branch(prefix, target, tmp_path / "init", tmp_path / "out")
        assert (found.layers, found.blobs) == (3, 6)
        out = tmp_path / "out" / f"{prefix}.caffemodel"
        own = blobs(pb, path)
        assert blobs(pb, out) == {name: own[name] for name in ("conv1", "conv2", "ip1")}
        alone = tmp_path / "out" / f"{prefix}.prototxt"
        assert not any(one.param for one in proto.read_net(alone).layer)
        expected = outputs(caffe, trained / "lenet.prototxt", path, images, "ip1")
        assert outputs(caffe, alone, out, images, "ip1") == expected
    again = {prefix: tmp_path / "out" / f"{prefix}.caffemodel" for prefix in weights}
    fuse_weights(target, again, tmp_path / "again")
    assert blobs(pb, tmp_path / "again") == blobs(pb, tmp_path / "init")
    builders = {prefix: prototxt(tmp_path / "out" / f"{prefix}.prototxt", "ip1") for prefix in weights}
    emit_files(Fusion(builders, 10), source(MNIST), tmp_path / "rebuilt")
    first, second = (proto.read_net(tmp_path / name / "deploy.prototxt") for name in ("net", "rebuilt"))
    assert [(one.name, list(one.bottom), list(one.top)) for one in first.layer if "/" in one.name] == [
        (one.name, list(one.bottom), list(one.top)) for one in second.layer if "/" in one.name
    ]


def test_a_deep_branch_with_statistics(caffe, pb, tmp_path):
    emit_files(Fusion({"": resnet50}, 1000, frozen=False), source(IMAGENET), tmp_path / "single")
    net = caffe.Net(os.fspath(tmp_path / "single" / "train_val.prototxt"), caffe.TRAIN)
    net.save(os.fspath(tmp_path / "one"))
    emit_files(Fusion({"a": resnet50, "b": resnet50}, 3), source(IMAGENET), tmp_path / "net")
    target = tmp_path / "net" / "train_val.prototxt"
    fuse_weights(target, {"a": tmp_path / "one", "b": tmp_path / "one"}, tmp_path / "init")
    extract_branch("b", target, tmp_path / "init", tmp_path / "out")
    expected = blobs(pb, tmp_path / "one")
    del expected["fc1000"]
    assert blobs(pb, tmp_path / "out" / "b.caffemodel") == expected
    caffe.Net(os.fspath(tmp_path / "out/b.prototxt"), os.fspath(tmp_path / "out/b.caffemodel"), caffe.TEST)


def test_a_nested_branch_and_what_is_around_it(caffe, pb, written, tmp_path):
    one = written("one", small())
    inner = tmp_path / "inner"
    emit_files(Fusion({"x": prototxt(one), "y": prototxt(one)}, 3), source(SMALL), inner)
    weights = {"x": one.with_suffix(".caffemodel"), "y": one.with_suffix(".caffemodel")}
    fuse_weights(inner / "deploy.prototxt", weights, tmp_path / "inner.caffemodel")
    outer = tmp_path / "outer"
    emit_files(
        Fusion({"a": prototxt(inner / "deploy.prototxt", "fc1_fused"), "b": prototxt(one)}, 3), source(SMALL), outer
    )
    fuse_weights(
        outer / "deploy.prototxt",
        {"a": tmp_path / "inner.caffemodel", "b": one.with_suffix(".caffemodel")},
        tmp_path / "outer.caffemodel",
    )
    original = blobs(pb, one.with_suffix(".caffemodel"))
    found = extract_branch("a/x", outer / "deploy.prototxt", tmp_path / "outer.caffemodel", tmp_path / "out")
    assert found.net.endswith("a_x.prototxt")
    taken = blobs(pb, tmp_path / "out" / "a_x.caffemodel")
    assert taken == {name: original[name] for name in taken}
    assert "conv1" in taken
    extract_branch("a", outer / "deploy.prototxt", tmp_path / "outer.caffemodel", tmp_path / "out")
    assert {name.partition("/")[0] for name in blobs(pb, tmp_path / "out" / "a.caffemodel")} == {"x", "y"}


def test_the_back_of_a_serial_net_gets_an_input_of_its_own(caffe, pb, written, tmp_path):
    front = written("front", data() + conv("conv1", "data") + relu("r", "conv1") + conv("conv2", "conv1", 6))
    back = written(
        "back", data("feat", (2, 6, 6, 6)) + relu("in", "feat") + conv("conv3", "feat") + fc("score", "conv3", 3)
    )
    parts = {"front": prototxt(front, "conv2"), "back": BranchSpec(prototxt(back, "score"), reads="front")}
    emit_files(Fusion(parts), source(SMALL), tmp_path / "net")
    target = tmp_path / "net" / "deploy.prototxt"
    fuse_weights(target, {p.stem: p.with_suffix(".caffemodel") for p in (front, back)}, tmp_path / "init")
    found = extract_branch("back", target, tmp_path / "init", tmp_path / "out")
    ((name, shape),) = found.inputs.items()
    assert shape[1:] == (6, 6, 6)
    assert "/" not in name
    assert blobs(pb, tmp_path / "out" / "back.caffemodel") == blobs(pb, back.with_suffix(".caffemodel"))
    values = np.random.default_rng(1).normal(size=(2, 6, 6, 6)).astype(np.float32)
    alone = tmp_path / "out" / "back.prototxt"
    assert outputs(caffe, alone, alone.with_suffix(".caffemodel"), values, "score") == outputs(
        caffe, back, back.with_suffix(".caffemodel"), values, "score"
    )


def test_a_siamese_branch_brings_the_values_it_shares(caffe, pb, written, tmp_path):
    one = written("one", small())
    parts = {"a": prototxt(one), "b": BranchSpec(prototxt(one), shares="a", reads="other")}
    emit_files(Fusion(parts, 3), source(SMALL), tmp_path / "net")
    target = tmp_path / "net" / "deploy.prototxt"
    fuse_weights(target, {"a": one.with_suffix(".caffemodel")}, tmp_path / "init")
    original = blobs(pb, one.with_suffix(".caffemodel"))
    for prefix in ("a", "b"):
        extract_branch(prefix, target, tmp_path / "init", tmp_path / "out")
        taken = blobs(pb, tmp_path / "out" / f"{prefix}.caffemodel")
        assert taken == {name: original[name] for name in taken}
        assert set(taken) == {"conv1", "bn1", "scale1", "fc1"}
        path = tmp_path / "out" / f"{prefix}.prototxt"
        caffe.Net(os.fspath(path), os.fspath(path.with_suffix(".caffemodel")), caffe.TEST)
        assert "lr_mult" not in path.read_text()


def test_what_freezing_added_is_gone(written, tmp_path):
    one = written("one", data() + conv("c", "data") + layer("drop", "Dropout", "c", "c") + fc("score", "c"))
    emit_files(Fusion({"a": prototxt(one, "c"), "b": prototxt(one, "c")}, 3), source(SMALL), tmp_path / "net")
    target = tmp_path / "net" / "train_val.prototxt"
    assert any(one.HasField("phase") for one in proto.read_net(target).layer)
    fuse_weights(target, dict.fromkeys("ab", one.with_suffix(".caffemodel")), tmp_path / "init")
    extract_branch("a", target, tmp_path / "init", tmp_path / "out")
    net = proto.read_net(tmp_path / "out" / "a.prototxt")
    assert [one.name for one in net.layer] == ["data", "c", "drop"]
    assert not any(one.HasField("phase") or one.param for one in net.layer)


def test_a_branch_with_its_own_data_layer_gets_an_input(written, tmp_path):
    one = written("one", data(shape=(2, 3, 6, 6)) + conv("c", "data"))
    lines = 'layer { name: "a/data" type: "ImageData" top: "a/data" top: "a/label" image_data_param { source: "no.txt" batch_size: 2 } }'
    (tmp_path / "t.prototxt").write_text(lines + conv("a/c", "a/data"))
    fuse_weights(tmp_path / "t.prototxt", {"a": one.with_suffix(".caffemodel")}, tmp_path / "init")
    found = extract_branch("a", tmp_path / "t.prototxt", tmp_path / "init", tmp_path / "out")
    assert list(found.inputs) == ["data"]
    assert [one.type for one in proto.read_net(tmp_path / "out" / "a.prototxt").layer] == ["Input", "Convolution"]


def test_refusals_write_nothing(trained, tmp_path):
    emit_files(Fusion({"odd": lenet, "even": lenet}, 10), source(MNIST), tmp_path / "net")
    target = tmp_path / "net" / "deploy.prototxt"
    fuse_weights(target, {"odd": trained / "a.caffemodel", "even": trained / "b.caffemodel"}, tmp_path / "init")
    with pytest.raises(GraphError, match="no layer whose name begins with 'od/'; did you mean 'odd'"):
        extract_branch("od", target, tmp_path / "init", tmp_path / "out")
    with pytest.raises(WeightsError, match="missing +conv1 .*: odd/conv1 +no such layer"):
        extract_branch("odd", target, trained / "a.caffemodel", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    arguments = ["extract", "odd", os.fspath(target), os.fspath(tmp_path / "init"), "-o", os.fspath(tmp_path / "out")]
    ran = CliRunner().invoke(main, arguments)
    assert ran.exit_code == 0, ran.output
    assert f"6 of 6 blobs, in 3 layers, bit-equal to {tmp_path / 'init'}" in ran.output


def test_a_fused_net_in_a_fused_net_and_a_branch_of_it_come_out(written, pb, tmp_path):
    one = written("one", data(shape=(2, 3, 6, 6)) + conv("c", "data"))
    inner = conv("odd/c", "data") + conv("even/c", "data") + layer("cat", "Concat", "odd/c even/c")
    both = written("both", data(shape=(2, 3, 6, 6)) + inner)
    target = tmp_path / "t.prototxt"
    outer = inner.replace('"odd/', '"a/odd/').replace('"even/', '"a/even/').replace('"cat"', '"a/cat"')
    target.write_text(data(shape=(2, 3, 6, 6)) + outer + fc("score", "a/cat"))
    files = {"a": both.with_suffix(".caffemodel"), "a/odd": one.with_suffix(".caffemodel")}
    fuse_weights(target, files, tmp_path / "init")
    told = json.loads((tmp_path / "init.json").read_text())["branches"]
    assert {prefix: branch["seams"] for prefix, branch in told.items()} == {"a": ["a/cat"], "a/odd": ["a/odd/c"]}
    extract_branch("a", target, tmp_path / "init", tmp_path / "out")
    expected = {"odd/c": blobs(pb, files["a/odd"])["c"], "even/c": blobs(pb, files["a"])["even/c"]}
    assert blobs(pb, tmp_path / "out" / "a.caffemodel") == expected
    extract_branch("a/odd", target, tmp_path / "init", tmp_path / "out")
    assert blobs(pb, tmp_path / "out" / "a_odd.caffemodel") == blobs(pb, files["a/odd"])


def overlapping(written, tmp_path):
    """A net that was made by other means, of two branches whose prefixes overlap, and its weights."""
    paths = [written(name, data(shape=(2, 3, 6, 6)) + conv("c", "data")) for name in ("one", "other")]
    branches = "".join(conv(f"{prefix}c", "data") for prefix in ("odd_", "odd_b_"))
    target = tmp_path / "t.prototxt"
    target.write_text(data(shape=(2, 3, 6, 6)) + branches + layer("cat", "Concat", "odd_c odd_b_c"))
    return target, {prefix: path.with_suffix(".caffemodel") for prefix, path in zip(("odd_", "odd_b_"), paths)}


def test_each_file_of_a_split_fusion_has_its_own_branchs_seams(written, tmp_path):
    target, weights = overlapping(written, tmp_path)
    fuse_weights(target, weights, tmp_path / "parts", split=True)
    for prefix, seam in (("odd_", "odd_c"), ("odd_b_", "odd_b_c")):
        record = json.loads((tmp_path / f"parts.{prefix}.caffemodel.json").read_text())
        assert {owner: branch["seams"] for owner, branch in record["branches"].items()} == {prefix: [seam]}


def test_an_error_names_no_option_that_extract_does_not_have(written, tmp_path):
    target, weights = overlapping(written, tmp_path)
    arguments = ["extract", "odd_b_", os.fspath(target), os.fspath(weights["odd_"]), "-o", os.fspath(tmp_path / "out")]
    ran = CliRunner().invoke(main, arguments)
    assert ran.exit_code == 1
    assert "missing  c" in ran.output
    assert "Check that the file holds the weights of this net." in ran.output
    assert "--" not in ran.output


def test_an_input_that_fits_no_weights_has_to_be_given(written, tmp_path):
    images = layer("data", "ImageData", "", "data label", "image_data_param { source: 'x' batch_size: 1 }")
    one = written("one", data(shape=(2, 3, 701, 1)) + fc("a/fc", "data"))
    target = tmp_path / "t.prototxt"
    target.write_text(images + fc("a/fc", "data") + layer("s", "Silence", "label", ""))
    one.with_suffix(".caffemodel").rename(tmp_path / "init")
    arguments = ["extract", "a", target, tmp_path / "init", "-o", tmp_path / "out"]
    said = invoke(*arguments, code=1).output
    assert re.search(r"no square image fits the weights '.*init'; give it, as in --shape data=1,3,224,224", said)
    assert "input data: 1 x 3 x 701 x 1" in run(*arguments, "--shape", "data=1,3,701,1")


def test_the_shapes_of_hdf5_data_stand_in_its_files(caffe, written, in_tmp):
    h5py = pytest.importorskip("h5py")
    with h5py.File("a.h5", "w") as file:
        file["data"], file["label"] = np.zeros((9, 2, 3), np.float32), np.zeros(9, np.float32)
        file.create_group("other")
    (in_tmp / "list.txt").write_text("a.h5\n")
    one = written("one", data(shape=(4, 2, 3)) + fc("a/fc", "data"))
    weights = one.with_suffix(".caffemodel")
    stored = layer("d", "HDF5Data", "", "data label", "hdf5_data_param { source: 'list.txt' batch_size: 4 }")
    (in_tmp / "t.prototxt").write_text(stored + fc("a/fc", "data") + layer("s", "Silence", "label", ""))
    assert "input data: 4 x 2 x 3" in run("extract", "a", "t.prototxt", weights, "-o", "out")
    read = caffe.Net("t.prototxt", caffe.TEST).blobs["data"].data.shape
    assert read == caffe.Net("out/a.prototxt", caffe.TEST).blobs["data"].data.shape
    (in_tmp / "a.h5").write_bytes(b"no HDF5")
    assert "the shape of its input" in invoke("extract", "a", "t.prototxt", weights, "-o", "out", code=1).output
