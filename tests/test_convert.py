"""Every format that Caffe writes is read, every format that is written Caffe reads: bit for bit."""

import os

import numpy as np
import pytest
from click.testing import CliRunner
from commands import run
from netbuild_cli.main import main
from nets import conv, data, fc, layer, limited

from netbuild import convert_weights
from netbuild.errors import NetbuildError, NetbuildWarning, WeightsError
from netbuild.fuse.live import read_values
from netbuild.weights import formats
from netbuild.weights.index import index
from netbuild.weights.wire import WireFile

pytest.importorskip("h5py")
RNG = np.random.default_rng(3)
NET = (
    data(shape=(2, 3, 6, 6)),
    conv("conv", "data"),
    layer("bn", "BatchNorm", "conv"),
    layer("scale", "Scale", "bn", more="scale_param { bias_term: true }"),
    layer("up", "Deconvolution", "scale", more="convolution_param { num_output: 2 kernel_size: 2 group: 2 }"),
    layer("prelu", "PReLU", "up"),
    fc("fc", "prelu"),
)
LOSS = layer("label", "Input", more="input_param { shape { dim: 2 } }") + layer("loss", "SoftmaxWithLoss", "fc label")


@pytest.fixture()
def net(caffe, tmp_path):
    (tmp_path / "net.prototxt").write_text("".join(NET))
    made = caffe.Net(os.fspath(tmp_path / "net.prototxt"), caffe.TEST)
    fill(made)
    return made


def fill(net):
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = RNG.normal(size=blob.data.shape)
            blob.diff[...] = RNG.normal(size=blob.data.shape)


def bits(net):
    return {name: [blob.data.tobytes() for blob in blobs] for name, blobs in net.params.items()}


def read(path):
    with WireFile(path) as file:
        return {layer.name: [read_values(file, blob).tobytes() for blob in layer.blobs] for layer in index(path).layers}


def snapshot(caffe, folder, options):
    (folder / "train.prototxt").write_text("".join(NET) + LOSS)
    (folder / "solver.prototxt").write_text(
        f'train_net: "{folder}/train.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "{folder}/s" '
        + options
    )
    solver = caffe.SGDSolver(os.fspath(folder / "solver.prototxt"))
    fill(solver.net)
    solver.snapshot()
    return solver.net, next(path for path in folder.glob("s_iter_0.caffemodel*"))


@pytest.mark.parametrize("way", ["save", "save_hdf5", "", "snapshot_diff: true", "snapshot_format: HDF5"])
def test_all_that_caffe_writes_is_read(caffe, net, tmp_path, way):
    path = tmp_path / "x.caffemodel.h5"
    if way.startswith("save"):
        getattr(net, way)(os.fspath(path))
    elif way.endswith("HDF5"):
        net, path = snapshot(caffe, tmp_path, way)
        assert path.suffix == ".h5"
    else:
        net, path = snapshot(caffe, tmp_path, way)
    assert read(path) == bits(net)


@pytest.mark.parametrize("first", ["save", "save_hdf5"])
@pytest.mark.parametrize(
    "ways", [["b.caffemodel"], ["b.h5"], ["b.h5", "c.caffemodel"], ["b.caffemodel", "c.caffemodel.h5"]]
)
def test_all_that_is_written_caffe_reads(caffe, net, tmp_path, first, ways):
    getattr(net, first)(os.fspath(tmp_path / "a"))
    source = tmp_path / "a"
    for name in ways:
        convert_weights(source, tmp_path / name)
        source = tmp_path / name
    assert bits(caffe.Net(os.fspath(tmp_path / "net.prototxt"), os.fspath(source), caffe.TEST)) == bits(net)


def test_definitions_are_kept_and_diffs_left_behind(caffe, pb, tmp_path):
    _, source = snapshot(caffe, tmp_path, "snapshot_diff: true")
    convert_weights(source, tmp_path / "new")
    before, after = (pb.NetParameter.FromString(path.read_bytes()) for path in (source, tmp_path / "new"))
    assert any(blob.diff for one in before.layer for blob in one.blobs)
    for one in before.layer:
        for blob in one.blobs:
            blob.ClearField("diff")
    assert after == before


def old_net(pb, *, values=range(6)):
    net = pb.NetParameter(name="old", input=["data"], input_dim=[1, 1, 2, 3])
    first = net.layers.add(name="conv", type=pb.V1LayerParameter.CONVOLUTION, bottom=["data"], top=["conv"])
    first.convolution_param.num_output = 2
    first.convolution_param.kernel_size.append(1)
    first.blobs_lr.extend([1, 2])
    first.blobs.add(num=2, channels=1, height=1, width=1, data=[1, 2])
    first.blobs.add(num=1, channels=1, height=1, width=2, data=[3, 4])
    second = net.layers.add(name="fc", type=pb.V1LayerParameter.INNER_PRODUCT, bottom=["conv"], top=["fc"])
    second.inner_product_param.num_output = 1
    second.inner_product_param.bias_term = False
    second.blobs.add(num=1, channels=1, height=1, width=12, data=range(12), diff=range(12))
    net.layers.add(name="prob", type=pb.V1LayerParameter.SOFTMAX, bottom=["fc"], top=["prob"])
    return net


@pytest.mark.parametrize("output", ["new.caffemodel", "new.h5"])
def test_a_file_of_before_2015_becomes_one_of_today(caffe, pb, tmp_path, output):
    (tmp_path / "old").write_bytes(old_net(pb).SerializeToString())
    ran = CliRunner().invoke(main, ["convert", os.fspath(tmp_path / "old"), os.fspath(tmp_path / output)])
    assert ran.exit_code == 0, ran.output
    assert "brought up to date: 3 layers from before 2015" in ran.output
    assert f"3 of 3 blobs, in 2 layers, bit-equal to {tmp_path / 'old'}" in ran.output
    text = data(shape=(1, 1, 2, 3)) + layer(
        "conv", "Convolution", "data", more="convolution_param { num_output: 2 kernel_size: 1 }"
    )
    text += layer("fc", "InnerProduct", "conv", more="inner_product_param { num_output: 1 bias_term: false }")
    (tmp_path / "net.prototxt").write_text(text)
    params = caffe.Net(os.fspath(tmp_path / "net.prototxt"), os.fspath(tmp_path / output), caffe.TEST).params
    assert params["conv"][0].data.ravel().tolist() == [1, 2]
    assert params["conv"][1].data.tolist() == [3, 4]
    assert params["fc"][0].data.tolist() == [list(range(12))]
    if output.endswith("caffemodel"):
        net = pb.NetParameter.FromString((tmp_path / output).read_bytes())
        assert not net.layers
        assert [(one.name, one.type) for one in net.layer] == [
            ("input", "Input"),
            ("conv", "Convolution"),
            ("fc", "InnerProduct"),
            ("prob", "Softmax"),
        ]
        assert [spec.lr_mult for spec in net.layer[1].param] == [1, 2]
        assert [list(blob.shape.dim) for one in net.layer for blob in one.blobs] == [[2, 1, 1, 1], [2], [1, 12]]


def test_old_and_new_layers_in_one_file(caffe, pb, tmp_path):
    net = old_net(pb)
    stored = net.layer.add(name="more", type="Scale").blobs.add(double_data=[0.1])
    stored.shape.dim.append(1)
    (tmp_path / "mixed").write_bytes(net.SerializeToString())
    convert_weights(tmp_path / "mixed", tmp_path / "new")
    after = pb.NetParameter.FromString((tmp_path / "new").read_bytes())
    assert {one.name for one in after.layer if one.blobs} == {"conv", "fc", "more"}
    assert list(next(one for one in after.layer if one.name == "more").blobs[0].double_data) == [0.1]


def test_inputs_without_shapes_are_dropped_as_caffe_drops_them(pb, tmp_path):
    net = old_net(pb)
    net.ClearField("input_dim")
    (tmp_path / "old").write_bytes(net.SerializeToString())
    convert_weights(tmp_path / "old", tmp_path / "new")
    after = pb.NetParameter.FromString((tmp_path / "new").read_bytes())
    assert not after.input
    assert after.layer[0].name == "conv"


def test_two_layers_of_one_name_have_no_place_in_hdf5(pb, tmp_path):
    net = pb.NetParameter()
    for value in (1, 2):
        stored = net.layer.add(name="fc").blobs.add(data=[value])
        stored.shape.dim.append(1)
    (tmp_path / "a").write_bytes(net.SerializeToString())
    with pytest.raises(WeightsError, match="several layers are called 'fc'"):
        convert_weights(tmp_path / "a", tmp_path / "b.h5")
    convert_weights(tmp_path / "a", tmp_path / "b")
    after = pb.NetParameter.FromString((tmp_path / "b").read_bytes())
    assert [one.blobs[0].data[0] for one in after.layer] == [1, 2]


def test_refusals_leave_everything_as_it_was(net, tmp_path, monkeypatch):
    source = tmp_path / "a.caffemodel"
    net.save(os.fspath(source))
    before = source.read_bytes()
    with pytest.raises(NetbuildError, match="is one of the inputs"):
        convert_weights(source, source)
    monkeypatch.setattr(formats, "FORMATS", limited(100))
    with pytest.raises(
        WeightsError,
        match=r"Caffe reads at most 100 of a caffemodel; write HDF5 \(.*\), or for other readers over_2gb=True$",
    ):
        convert_weights(source, tmp_path / "b")
    with pytest.warns(NetbuildWarning, match="Caffe reads at most 100"):
        done = convert_weights(source, tmp_path / "b", over_2gb=True)
    assert done.bytes_written == (tmp_path / "b").stat().st_size
    convert_weights(source, tmp_path / "b.h5")
    assert source.read_bytes() == before


@pytest.mark.parametrize("output", ["b.foo", "b.H5", "b.caffemodel.gz"])
def test_a_name_that_stands_for_no_format_is_refused(net, tmp_path, output):
    # What comes in is known by its bytes, whatever it is called.
    net.save(os.fspath(tmp_path / "a.bak"))
    run("convert", tmp_path / "a.bak", tmp_path / "b.h5")
    told = run("convert", tmp_path / "a.bak", tmp_path / output, code=1)
    assert "is no ending of a weight file; known are .caffemodel, .h5, .hdf5" in told
    assert not (tmp_path / output).exists()


def message(number, payload):
    """A field of bytes, by hand; all lengths here are below 128."""
    tag = number << 3 | 2
    return (bytes([tag]) if tag < 128 else bytes([tag & 127 | 128, tag >> 7])) + bytes([len(payload)]) + payload


VALUES = message(7, message(1, b"\x02")) + message(5, bytes(8))


@pytest.mark.parametrize(
    "raw",
    [
        message(100, message(1, b"p") + message(2, b"Param\xff") + message(7, VALUES)),  # a type
        message(2, message(4, b"p") + message(3, b"\xff") + message(6, VALUES)),  # a top of before 2015
        message(3, b"\xff") + b"\x20\x01" * 4 + message(100, message(1, b"p") + message(7, VALUES)),  # an input
    ],
)
def test_text_that_is_not_utf8_is_one_sentence(tmp_path, raw):
    (tmp_path / "a").write_bytes(raw)
    (tmp_path / "net.prototxt").write_text(layer("p", "Parameter", more="parameter_param { shape { dim: 2 } }"))
    assert "holds a name that is not UTF-8" in run("convert", tmp_path / "a", tmp_path / "b", code=1)
    fuse = ["fuse", tmp_path / "net.prototxt", "--weights", f"={tmp_path / 'a'}", "-o", tmp_path / "b"]
    if raw[0] == 26:  # of the net's inputs nothing is wanted
        run(*fuse)
    else:
        assert "holds a name that is not UTF-8" in run(*fuse, code=1)
