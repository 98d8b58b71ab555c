"""A fusion proved in OpenCV alone: what is equal, what is told as different, and what cannot be run.

Nets and weights come from text, protobuf and numpy: only the tests that ask Caffe too need one.
"""

import json
import sys

import numpy as np
import pytest
from commands import run
from nets import conv, data, fc, layer, net, relu

from netbuild import Original, convert_weights, fuse_weights, using_caffe, verify_branches
from netbuild.errors import CaffeError, GraphError, NetbuildError, WeightsError
from netbuild.graph.view import NetView
from netbuild.layers.inference import infer
from netbuild.schema import TEST, schema
from netbuild.verify import branches, opencv

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")


def features(p=""):
    """The layers of a branch: all that OpenCV has parameters for, in place and not."""
    return "".join(
        [
            conv(f"{p}conv1", "data"),
            layer(f"{p}bn1", "BatchNorm", f"{p}conv1", f"{p}conv1"),
            layer(f"{p}scale1", "Scale", f"{p}conv1", f"{p}conv1", "scale_param { bias_term: true }"),
            layer(f"{p}prelu1", "PReLU", f"{p}conv1", f"{p}conv1"),
            layer(f"{p}pool1", "Pooling", f"{p}conv1", more="pooling_param { kernel_size: 2 stride: 2 }"),
            fc(f"{p}fc1", f"{p}pool1", 5),
            layer(f"{p}drop1", "Dropout", f"{p}fc1", f"{p}fc1"),
        ]
    )


def random_blobs(text, seed, double=False):
    """A NetParameter with random blobs, a part of them negative, for each layer of a net."""
    message, rng = net(text), np.random.default_rng(seed)
    model = schema().NetParameter()
    for index, shapes in infer(message, TEST).params.items():
        if not shapes:
            continue
        stored = model.layer.add(name=message.layer[index].name)
        for shape in shapes:
            blob = stored.blobs.add()
            blob.shape.dim.extend(shape)
            lowest = 0.1 if message.layer[index].type == "BatchNorm" else -0.5
            getattr(blob, "double_data" if double else "data").extend(rng.uniform(lowest, 1, shape).ravel().tolist())
    return model


class Pair:
    """Two branches of one net with weights of their own, a Concat, and a head that has no weights yet."""

    def __init__(self, folder, make=features, seam="fc1", **options):
        self.folder, text = folder, data() + make()
        (folder / "one.prototxt").write_text(text)
        for name in "ab":
            model = random_blobs(text, ord(name), **options)
            (folder / f"{name}.caffemodel").write_bytes(model.SerializeToString())
        self.target, self.init = folder / "fused.prototxt", folder / "init.caffemodel"
        head = layer("join", "Concat", f"a/{seam} b/{seam}") + fc("head", "join")
        self.target.write_text(data() + make("a/") + make("b/") + head)
        fuse_weights(self.target, {name: folder / f"{name}.caffemodel" for name in "ab"}, self.init)

    def originals(self, names="ab"):
        """The originals, with the weights of these."""
        files = [self.folder / f"{name}.caffemodel" for name in names]
        return {p: Original(self.folder / "one.prototxt", file) for p, file in zip("ab", files)}

    def verify(self, names="ab", **options):
        return verify_branches(self.target, self.init, self.originals(names), engine="opencv", **options)

    def arguments(self):
        nets = [f"--branch={p}={self.folder / 'one.prototxt'}" for p in "ab"]
        return [self.target, self.init, *nets, *[f"--weights={p}={self.folder / p}.caffemodel" for p in "ab"]]

    def model(self):
        return schema().NetParameter.FromString(self.init.read_bytes())

    def store(self, model):
        self.init.write_bytes(model.SerializeToString())


@pytest.fixture()
def pair(tmp_path):
    return Pair(tmp_path)


@pytest.fixture()
def in_this_process(monkeypatch):
    """Without a child process, where a test asks many times."""
    monkeypatch.setattr(branches, "run", lambda _function, job, **_: opencv.compare(job))


def test_both_engines_prove_a_fusion(pair, caffe):
    for engine in ("caffe", "opencv"):
        found = verify_branches(pair.target, pair.init, pair.originals(), engine=engine)
        told = [(one.prefix, one.seam, one.layers, one.shape, one.equal, one.finite) for one in found]
        assert told == [(p, f"{p}/fc1", 7, (2, 5), True, True) for p in "ab"]


def test_on_the_command_line_without_caffe(pair, tmp_path, monkeypatch):
    with using_caffe(str(tmp_path / "nothing")):
        told = run("verify", *pair.arguments(), "--engine", "opencv")
        assert f"a: 7 layers up to a/fc1 (2 x 5) bit-equal to {tmp_path / 'one.prototxt'} in OpenCV" in told
        assert "how its images are prepared was not compared: OpenCV has no data layers; Caffe compares it" in told
        (a, _) = json.loads(run("verify", *pair.arguments(), "--engine", "opencv", "--json", "-q"))
        assert (a["engine"], a["equal"]) == ("opencv", True)
    assert "--tolerance goes with" in run("verify", *pair.arguments(), "--engine=opencv", "--tolerance=1", code=2)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("NETBUILD_CAFFE", raising=False)
    monkeypatch.setattr("netbuild.engine.interpreter.lack_here", lambda: "has none")
    told = run("verify", *pair.arguments(), code=1)
    assert "no Caffe found" in told
    assert "Without Caffe, --engine opencv proves a fusion" in told


def test_each_changed_blob_is_found_in_its_layer(pair, in_this_process):
    whole = pair.model()
    places = [(one, number) for one, stored in enumerate(whole.layer) for number in range(len(stored.blobs))]
    assert len(places) == 2 * 10
    for one, number in places:
        changed = schema().NetParameter.FromString(whole.SerializeToString())
        changed.layer[one].blobs[number].data[0] += 0.01
        pair.store(changed)
        prefix, _, name = whole.layer[one].name.partition("/")
        firsts = {found.prefix: found.first_difference for found in pair.verify()}
        assert firsts == {**dict.fromkeys("ab"), prefix: name}


def test_swapped_weights_are_told(pair):
    assert [one.first_difference for one in pair.verify("ba")] == ["conv1", "conv1"]
    (pair.folder / "b.caffemodel").replace(pair.folder / "a.caffemodel")
    (pair.folder / "b.caffemodel").write_bytes((pair.folder / "a.caffemodel").read_bytes())
    told = run("verify", *pair.arguments(), "--engine", "opencv", code=1)
    assert "a: DIFFERS from" in told
    assert "in OpenCV: first in layer 'conv1'" in told
    assert "b: 7 layers up to b/fc1" in told


def test_wiring_that_differs_is_told(tmp_path, in_this_process):
    wired = Pair(tmp_path)
    text = wired.target.read_text()
    without_activation = text.replace(layer("b/prelu1", "PReLU", "b/conv1", "b/conv1"), "")
    max_to_mean = text.replace("kernel_size: 2 stride: 2", "kernel_size: 2 stride: 2 pool: AVE")
    for changed, expected in ((without_activation, [None, "pool1"]), (max_to_mean, ["pool1", "pool1"])):
        wired.target.write_text(changed)
        assert [one.first_difference for one in wired.verify()] == expected


@pytest.mark.parametrize("computes", ["caffe", "opencv"])
def test_a_seam_that_lost_its_activation_is_told(tmp_path, computes, request):
    if computes == "caffe":
        request.getfixturevalue("caffe")
    lost = Pair(tmp_path, lambda p="": conv(f"{p}conv1", "data") + relu(f"{p}relu1", f"{p}conv1"), "conv1")
    lost.target.write_text(lost.target.read_text().replace(relu("b/relu1", "b/conv1"), ""))
    a, b = verify_branches(lost.target, lost.init, lost.originals(), engine=computes)
    assert a.equal
    assert b.first_difference == "relu1"
    assert b.largest_difference > 0


def test_options_that_opencv_passes_over_are_compared(tmp_path, in_this_process):
    def product(p=""):
        options = "eltwise_param { operation: PROD stable_prod_grad: true }"
        return features(p) + layer(f"{p}square", "Eltwise", f"{p}fc1 {p}fc1", more=options)

    squares = Pair(tmp_path, product, "square")
    assert all(one.equal for one in squares.verify())
    squares.target.write_text(squares.target.read_text().replace("stable_prod_grad: true", "stable_prod_grad: false"))
    with pytest.raises(GraphError, match="'a/square' has stable_prod_grad false, and 'square' of .* has true"):
        squares.verify()


def test_tops_after_the_first_are_those_that_the_layer_made(tmp_path):
    weights = tmp_path / "none.caffemodel"
    weights.write_bytes(random_blobs(data() + conv("other", "data"), 0).SerializeToString())
    halves = layer("halves", "Slice", "data", "x y", "slice_param { axis: 1 slice_point: 1 }")
    after = relu("relu", "y") + layer("more", "Power", "y", "y", "power_param { scale: 2 }")
    text = data() + halves + after + layer("c", "Concat", "x y")
    values = np.random.default_rng(0).uniform(-1, 1, (2, 4, 6, 6)).astype(np.float32)
    found = dict(opencv._layers(NetView.of_all_layers(net(text)), str(weights), {"data": values}, "the net"))
    x, y = values[:, :1], values[:, 1:]
    assert {name: len(tops) for name, tops in found.items()} == {"halves": 2, "relu": 1, "more": 1, "c": 1}
    np.testing.assert_array_equal(found["halves"][0], x)
    np.testing.assert_array_equal(found["halves"][1], y)
    np.testing.assert_array_equal(found["relu"][0], np.maximum(y, 0))
    np.testing.assert_array_equal(found["more"][0], np.maximum(y, 0) * 2)


def test_a_branch_that_reads_another(tmp_path):
    """The second is fed with a layer's second top: what its original gets is that, and not the input."""
    first = layer("a/halves", "Slice", "data", "a/x a/y", "slice_param { axis: 1 slice_point: 2 }") + conv("a/c", "a/x")
    second = fc("b/f", "a/y")
    (tmp_path / "b.prototxt").write_text(data(shape=(2, 2, 6, 6)) + fc("f", "data"))
    (tmp_path / "fused.prototxt").write_text(data() + first + second)
    weights = random_blobs((tmp_path / "b.prototxt").read_text(), 0)
    (tmp_path / "b.caffemodel").write_bytes(weights.SerializeToString())
    weights.layer[0].name = "b/f"
    (tmp_path / "init.caffemodel").write_bytes(weights.SerializeToString())
    originals = {"b": Original(tmp_path / "b.prototxt", tmp_path / "b.caffemodel")}
    (found,) = verify_branches(tmp_path / "fused.prototxt", tmp_path / "init.caffemodel", originals, engine="opencv")
    assert (found.equal, found.layers) == (True, 1)
    reader = opencv._read(NetView.of_all_layers(net(data() + first + second)), {}, {"a/halves": [1, 2]}, ("b/f", 0))
    assert reader == 2


def test_shared_parameters_are_caffes(tmp_path, in_this_process):
    """A file need not hold them twice; where it does, the last one is what both have."""

    twins = Pair(tmp_path, lambda p="": conv(f"{p}conv1", "data") + relu(f"{p}relu1", f"{p}conv1"), "conv1")
    shared = net(twins.target.read_text())
    for one in shared.layer:
        if one.type == "Convolution":
            one.param.add(name="w")
            one.param.add(name="b")
    twins.target.write_text(str(shared))
    stored = schema().NetParameter.FromString((tmp_path / "a.caffemodel").read_bytes())
    stored.layer[-1].name = "a/conv1"
    twins.store(stored)
    assert [one.equal for one in twins.verify("aa")] == [True, True]
    assert [one.equal for one in twins.verify("ab")] == [True, False]
    other = schema().NetParameter.FromString((tmp_path / "b.caffemodel").read_bytes())
    stored.layer.add().CopyFrom(other.layer[-1])
    stored.layer[-1].name = "b/conv1"
    twins.store(stored)
    assert [one.equal for one in twins.verify("ab")] == [False, True]


@pytest.mark.parametrize("form", ["double", "hdf5", "twice"])
def test_files_that_opencv_reads_otherwise(tmp_path, form, in_this_process):
    pair = Pair(tmp_path, double=form == "double")
    original = tmp_path / "b.caffemodel"
    if form == "hdf5":
        pytest.importorskip("h5py")
        convert_weights(original, tmp_path / "b.h5")
        (tmp_path / "b.h5").replace(original)
    if form == "twice":
        # Caffe copies one after the other; OpenCV stops at the first.
        original.write_bytes((tmp_path / "a.caffemodel").read_bytes() + original.read_bytes())
    assert [one.equal for one in pair.verify()] == [True, True]
    assert [one.equal for one in pair.verify("bb")] == [False, True]


def test_weights_that_are_not_there(pair, in_this_process):
    model = pair.model()
    conv1 = next(one for one in model.layer if one.name == "b/conv1")
    conv1.blobs[0].shape.dim[:] = [2, 8, 3, 3]
    pair.store(model)
    message = (
        r"init.caffemodel': does not fit the layer 'b/conv1' of .*expected 4 x 4 x 3 x 3, 4, found 2 x 8 x 3 x 3, 4"
    )
    with pytest.raises(WeightsError, match=message):
        pair.verify()
    del conv1.blobs[:]
    pair.store(model)
    with pytest.raises(WeightsError, match=r"init.caffemodel': holds no blobs for the layer 'b/conv1' of .*fused"):
        pair.verify()


def test_what_cannot_be_run(pair, tmp_path, monkeypatch):
    text = (tmp_path / "one.prototxt").read_text()
    strange = layer("sum", "Reduction", "fc1", more="reduction_param { axis: 1 }")
    (tmp_path / "one.prototxt").write_text(text + strange)
    pair.target.write_text(pair.target.read_text() + layer("a/sum", "Reduction", "a/fc1"))
    wanted = {"a": Original(f"{tmp_path / 'one.prototxt'}@sum", tmp_path / "a.caffemodel")}
    with pytest.raises(CaffeError, match=r"OpenCV .* does not read the layer types of 'a/sum' \(Reduction\)$"):
        verify_branches(pair.target, pair.init, wanted, engine="opencv")
    with pytest.raises(NetbuildError, match="^engine: expected 'caffe' or 'opencv', found 'torch'$"):
        verify_branches(pair.target, pair.init, wanted, engine="torch")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(NetbuildError, match="OpenCV as the engine needs cv2: pip install"):
        pair.verify()


def test_a_reader_that_is_not_on_the_way(tmp_path, in_this_process):
    inputs = data() + data("other")
    both = conv("c", "data") + conv("d", "other") + layer("sum", "Eltwise", "c d")
    (tmp_path / "one.prototxt").write_text(inputs + both)
    (tmp_path / "w.caffemodel").write_bytes(random_blobs(inputs + both, 0).SerializeToString())
    fused = inputs + conv("p/c", "data") + layer("p/sum", "Eltwise", "p/c p/c") + conv("p/d", "other")
    (tmp_path / "fused.prototxt").write_text(fused)
    fuse_weights(tmp_path / "fused.prototxt", {"p": tmp_path / "w.caffemodel"}, tmp_path / "init.caffemodel")
    originals = {"p": Original(f"{tmp_path / 'one.prototxt'}@sum", tmp_path / "w.caffemodel")}
    with pytest.raises(
        GraphError, match="'p/d', whose like reads the input 'other' of .* is not on the way to the seam"
    ):
        verify_branches(tmp_path / "fused.prototxt", tmp_path / "init.caffemodel", originals, engine="opencv")
