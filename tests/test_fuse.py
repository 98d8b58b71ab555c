"""Fusing on the level of files, checked by real Caffe and by protobuf's own parser."""

import os
import subprocess
import sys

import numpy as np
import pytest
from nets import limited

from netbuild import BranchSpec, DataSource, Fusion, emit_files, fuse_weights, lenet
from netbuild.branches.lenet import MNIST
from netbuild.errors import GraphError, NetbuildError, WeightsError
from netbuild.weights import copier, formats, places


@pytest.fixture()
def target(tmp_path):
    source = DataSource(MNIST, train_source="nowhere.txt", test_source="nowhere.txt")
    emit_files(Fusion({"odd": lenet, "even": lenet}, 10), source, tmp_path / "net")
    return tmp_path / "net"


@pytest.fixture()
def weights(trained):
    return {"odd": trained / "a.caffemodel", "even": trained / "b.caffemodel"}


def by_protobuf(pb, path):
    net = pb.NetParameter.FromString(path.read_bytes())
    return {layer.name: [np.array(b.data, np.float32) for b in layer.blobs] for layer in net.layer if layer.blobs}


@pytest.mark.parametrize("file", ["train_val.prototxt", "deploy.prototxt"])
def test_all_blobs_arrive_bit_equal_in_real_caffe(caffe, pb, target, weights, tmp_path, file):
    out = tmp_path / "init.caffemodel"
    result = fuse_weights(target / file, weights, out)
    net = caffe.Net(os.fspath(target / "deploy.prototxt"), os.fspath(out), caffe.TEST)
    count = 0
    for prefix, path in weights.items():
        for name, arrays in by_protobuf(pb, path).items():
            if name != "ip2":
                for expected, blob in zip(arrays, net.params[f"{prefix}/{name}"]):
                    assert expected.tobytes() == blob.data.tobytes()
                    count += 1
    assert count == 12
    assert result.files == {str(out): out.stat().st_size}
    assert result.plan.left_to_fillers == ("ip2",)


def test_the_output_is_a_caffemodel_of_the_targets_layers(pb, target, weights, tmp_path):
    out = tmp_path / "init.caffemodel"
    fuse_weights(target / "deploy.prototxt", weights, out)
    net = pb.NetParameter.FromString(out.read_bytes())
    assert net.name == "LeNet"
    names = [layer.name for layer in net.layer]
    assert names[:3] == ["data", "odd/conv1", "odd/pool1"]
    # Caffe aborts on a layer entry with fewer blobs than the net has.
    assert "ip2" not in names
    assert net.layer[1].convolution_param.num_output == 20


def test_same_input_same_bytes(target, weights, tmp_path):
    for name in "xy":
        fuse_weights(target / "deploy.prototxt", weights, tmp_path / name)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_old_and_double_blobs_are_written_in_the_current_form(caffe, pb, tmp_path):
    (tmp_path / "t.prototxt").write_text(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } }'
        'layer { name: "a/fc" type: "InnerProduct" bottom: "data" top: "a/fc" inner_product_param { num_output: 2 } }'
    )
    old = pb.NetParameter()
    layer = old.layers.add(name="fc", type=pb.V1LayerParameter.INNER_PRODUCT)
    layer.blobs.add(num=1, channels=1, height=2, width=3, data=range(6))
    bias = layer.blobs.add(double_data=[0.5, 0.25])
    bias.shape.dim.append(2)
    (tmp_path / "old").write_bytes(old.SerializeToString())
    fuse_weights(tmp_path / "t.prototxt", {"a": tmp_path / "old"}, tmp_path / "new")
    net = caffe.Net(os.fspath(tmp_path / "t.prototxt"), os.fspath(tmp_path / "new"), caffe.TEST)
    assert net.params["a/fc"][0].data.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert net.params["a/fc"][1].data.tolist() == [0.5, 0.25]
    assert list(pb.NetParameter.FromString((tmp_path / "new").read_bytes()).layer[1].blobs[0].shape.dim) == [2, 3]


def test_a_net_without_a_name_and_blobs_larger_than_a_chunk(pb, tmp_path):
    size = places.BATCH // 4 + copier._CHUNK // 4 + 7
    (tmp_path / "t.prototxt").write_text(
        f'layer {{ name: "a/p" type: "Parameter" top: "p" parameter_param {{ shape {{ dim: {size} }} }} }}'
    )
    net = pb.NetParameter()
    blob = net.layer.add(name="p", type="Parameter").blobs.add()
    values = np.random.default_rng(0).normal(size=size).astype(np.float32)
    blob.data.extend(values)
    blob.shape.dim.append(size)
    (tmp_path / "s").write_bytes(net.SerializeToString())
    fuse_weights(tmp_path / "t.prototxt", {"a": tmp_path / "s"}, tmp_path / "o")
    assert by_protobuf(pb, tmp_path / "o")["a/p"][0].tobytes() == values.tobytes()


def test_dry_run_writes_nothing(target, weights, tmp_path):
    result = fuse_weights(target / "deploy.prototxt", weights, tmp_path / "out", dry_run=True)
    assert result.files == {str(tmp_path / "out"): None}
    assert len(result.plan.copies) == 6
    assert not (tmp_path / "out").exists()


def test_a_refused_plan_leaves_the_old_output(target, weights, tmp_path):
    out = tmp_path / "out"
    out.write_text("old")
    with pytest.raises(WeightsError, match="do not fit"):
        fuse_weights(target / "deploy.prototxt", {"odd": weights["odd"], "evn": weights["even"]}, out)
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("dry_run", [False, True])
def test_an_output_that_is_an_input_or_no_file_is_refused(target, weights, tmp_path, dry_run):
    for path in (weights["odd"], target / "deploy.prototxt"):
        before = path.read_bytes()
        with pytest.raises(NetbuildError, match="is one of the inputs"):
            fuse_weights(target / "deploy.prototxt", weights, path, dry_run=dry_run)
        assert path.read_bytes() == before
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NetbuildError, match="is not a regular file"):
        fuse_weights(target / "deploy.prototxt", weights, tmp_path / "pipe", dry_run=dry_run)


def test_a_fault_while_copying_is_found_and_nothing_is_kept(target, weights, tmp_path, monkeypatch):
    """Writes that go wrong without an error: the proof must see one flipped bit."""
    honest = os.preadv

    def flipping(fd, buffers, at):
        count = honest(fd, buffers, at)
        if os.readlink(f"/proc/self/fd/{fd}").endswith(".tmp") and count > 100_000:
            buffers[0][1000] ^= 1
        return count

    monkeypatch.setattr(os, "preadv", flipping)
    with pytest.raises(WeightsError, match="layer 'odd/ip1' differs from .* after copying"):
        fuse_weights(target / "deploy.prototxt", weights, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_result_past_caffes_limit_is_refused_before_writing(target, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "FORMATS", limited(1000))
    with pytest.raises(WeightsError, match="Caffe reads at most 1,000"):
        fuse_weights(target / "deploy.prototxt", weights, tmp_path / "out")
    with pytest.raises(WeightsError, match="Caffe reads at most 1,000"):
        fuse_weights(target / "deploy.prototxt", weights, tmp_path / "out", dry_run=True)


def test_an_unsound_target_is_refused(tmp_path, weights):
    (tmp_path / "t.prototxt").write_text('layer { name: "r" type: "ReLU" bottom: "dat" top: "r" }')
    with pytest.raises(GraphError, match="unknown bottom 'dat'"):
        fuse_weights(tmp_path / "t.prototxt", weights, tmp_path / "out")


def test_neither_caffes_engine_nor_numpy_is_loaded(target, weights, tmp_path):
    script = (
        "import sys; from netbuild_cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code in (0, None), end.code\n"
        "loaded = {'caffe', 'caffe._caffe', 'numpy'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    arguments = ["fuse", os.fspath(target / "train_val.prototxt"), "-o", os.fspath(tmp_path / "out")]
    for prefix, path in weights.items():
        arguments += ["--weights", f"{prefix}={path}"]
    subprocess.run([sys.executable, "-c", script, *arguments], check=True)
    assert (tmp_path / "out").exists()


def test_the_recipes_models(caffe, pb, recipe, target, tmp_path):
    weights = {p: recipe / f"mnist_lenet_{p}_iter_30000.caffemodel" for p in ("odd", "even")}
    fuse_weights(recipe / "lenet_fusion_train_val.prototxt", weights, tmp_path / "init")
    net = caffe.Net(os.fspath(target / "deploy.prototxt"), os.fspath(tmp_path / "init"), caffe.TEST)
    for prefix, path in weights.items():
        for name, arrays in by_protobuf(pb, path).items():
            for expected, blob in zip(arrays, net.params[f"{prefix}/{name}"] if name != "ip2" else []):
                assert expected.tobytes() == blob.data.tobytes()


def test_values_in_the_targets_own_definition_do_not_double_the_blobs(pb, tmp_path):
    (tmp_path / "t.prototxt").write_text(
        'name: "t" layer { name: "a/p" type: "Parameter" top: "p" parameter_param { shape { dim: 2 } } '
        "blobs { shape { dim: 2 } data: 8 data: 9 } }"
    )
    source = pb.NetParameter()
    blob = source.layer.add(name="p").blobs.add(data=[1, 2])
    blob.shape.dim.append(2)
    (tmp_path / "s").write_bytes(source.SerializeToString())
    fuse_weights(tmp_path / "t.prototxt", {"a": tmp_path / "s"}, tmp_path / "o")
    assert [array.tolist() for array in by_protobuf(pb, tmp_path / "o")["a/p"]] == [[1, 2]]


def test_siamese_branches_get_one_files_weights_once_or_twice(caffe, tmp_path, weights):
    parts = {"odd": lenet, "even": BranchSpec(lenet, shares="odd")}
    folder = tmp_path / "siamese"
    target, *_ = emit_files(Fusion(parts, 2), DataSource(MNIST, kind="input", train_batch=2, test_batch=2), folder)
    once = fuse_weights(target, {"odd": weights["odd"]}, tmp_path / "once")
    assert once.plan.left_to_fillers == ("ip2",)
    fuse_weights(target, dict.fromkeys(parts, weights["odd"]), tmp_path / "twice")
    nets = [caffe.Net(os.fspath(target), os.fspath(tmp_path / name), caffe.TEST) for name in ("once", "twice")]
    for net in nets:
        for name in ("conv1", "ip1"):
            expected = nets[0].params[f"odd/{name}"][0].data
            assert np.any(expected)
            assert net.params[f"even/{name}"][0].data.tobytes() == expected.tobytes()
    with pytest.raises(WeightsError, match="'odd/conv1' and 'even/conv1' share the parameter 'odd/conv1_0'.*two files"):
        fuse_weights(target, weights, tmp_path / "both")
    assert not (tmp_path / "both").exists()
