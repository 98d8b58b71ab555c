"""Plans for real life: other names, several files, other shapes, definitions that disagree; real Caffe as the judge."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from commands import run
from nets import layer

from netbuild.errors import NetbuildWarning, WeightsError
from netbuild.fuse.fuse import fuse_weights
from netbuild.fuse.options import CopyOptions, HeadStart

CONV = "convolution_param { num_output: 2 kernel_size: 3 %s }"
RNG = np.random.default_rng(0)


def net_file(path, *layers, shape="1 1 5 5"):
    dims = " ".join(f"dim: {length}" for length in shape.split())
    text = layer("data", "Input", more=f"input_param {{ shape {{ {dims} }} }}")
    Path(path).write_text(text + "".join(layers))
    return Path(path)


def conv(name, extra="", bottom="data", top=None):
    return layer(name, "Convolution", bottom, top or name, CONV % extra)


def fc(name, outputs, extra="", bottom="data"):
    return layer(name, "InnerProduct", bottom, name, f"inner_product_param {{ num_output: {outputs} {extra} }}")


@pytest.fixture()
def saved(caffe, tmp_path):
    """Save a net of the given layers with random weights, by Caffe, and return its file and the net."""

    def save(name, *layers, **more):
        net = caffe.Net(os.fspath(net_file(tmp_path / f"{name}.prototxt", *layers, **more)), caffe.TEST)
        for blobs in net.params.values():
            for blob in blobs:
                blob.data[...] = RNG.normal(size=blob.data.shape)
        net.save(os.fspath(tmp_path / f"{name}.caffemodel"))
        return tmp_path / f"{name}.caffemodel", net

    return save


def loaded(caffe, target, weights):
    return caffe.Net(os.fspath(target), os.fspath(weights), caffe.TEST)


def same(blobs, others):
    return [blob.data.tobytes() for blob in blobs] == [blob.data.tobytes() for blob in others]


def test_a_layer_of_another_name_is_mapped(caffe, saved, tmp_path):
    source, old = saved("source", conv("conv1"))
    target = net_file(tmp_path / "t.prototxt", conv("odd/conv1_new"))
    out = tmp_path / "o"
    with pytest.raises(WeightsError, match=r"missing +odd/conv1_new .*source.caffemodel: conv1_new"):
        fuse_weights(target, {"odd": source}, out)
    output = run("fuse", target, "--weights", f"odd={source}", "--map", "odd:conv1_new=conv1", "-o", out)
    assert f"odd/conv1_new  <-  {source}: conv1  (2 x 1 x 3 x 3, 2)" in output
    assert same(loaded(caffe, target, out).params["odd/conv1_new"], old.params["conv1"])
    output = run("fuse", target, "--weights", f"odd={source}", "--map", "odd:conv_new=conv1", "-o", out, code=1)
    assert "--map" in output
    assert "odd/conv1_new" in output.split("no such layer")[0]


def test_several_files_for_a_branch_and_one_for_what_has_no_prefix(caffe, saved, tmp_path):
    base, base_net = saved("base", conv("conv1"), conv("conv2"))
    tuned, tuned_net = saved("tuned", conv("conv2"))
    head, head_net = saved("head", fc("score", 3))
    target = net_file(tmp_path / "t.prototxt", conv("a/conv1"), conv("a/conv2"), conv("b/conv1"), fc("score", 3))
    weights = ["--weights", f"a={base}", "--weights", f"a={tuned}", "--weights", f"b={base}", "--weights", f"={head}"]
    output = run("fuse", target, *weights, "-o", tmp_path / "o")
    assert f"passed over, a later file has it: a/conv2 from {base}" in output
    assert f"4 of 4 blobs of a bit-equal to {base} and {tuned}" in output
    assert f"2 of 2 blobs of layers without a prefix bit-equal to {head}" in output
    params = loaded(caffe, target, tmp_path / "o").params
    assert same(params["a/conv1"], base_net.params["conv1"])
    assert same(params["a/conv2"], tuned_net.params["conv2"])
    assert same(params["b/conv1"], base_net.params["conv1"])
    assert same(params["score"], head_net.params["score"])


def test_one_file_that_holds_several_branches(caffe, saved, tmp_path):
    both, old = saved("both", conv("odd/conv1"), conv("even/conv1"))
    target = net_file(tmp_path / "t.prototxt", conv("odd/conv1"), conv("even/conv1"), fc("new", 2))
    fuse_weights(target, {"": both}, tmp_path / "o", CopyOptions(partial=True))
    params = loaded(caffe, target, tmp_path / "o").params
    assert all(same(params[name], old.params[name]) for name in old.params)
    fuse_weights(target, {"odd": both, "even": both}, tmp_path / "p")
    params = loaded(caffe, target, tmp_path / "p").params
    assert all(same(params[name], old.params[name]) for name in old.params)


def test_missing_layers_are_left_only_on_wish(saved, tmp_path):
    source, _ = saved("source", conv("conv1"))
    target = net_file(tmp_path / "t.prototxt", conv("a/conv1"), conv("a/conv2"))
    with pytest.raises(WeightsError, match=r"missing +a/conv2"):
        fuse_weights(target, {"a": source}, tmp_path / "o")
    output = run("fuse", target, "--weights", f"a={source}", "--partial", "-o", tmp_path / "o", "--json")
    assert json.loads(output)["missing"] == ["a/conv2"]
    assert json.loads(output)["left_to_fillers"] == ["a/conv2"]


def test_a_part_is_not_nothing(saved, tmp_path):
    source, _ = saved("source", conv("conv1"), conv("other"))
    target = net_file(tmp_path / "t.prototxt", conv("a/conv1"), conv("b/conv8"), conv("b/conv9"))
    with pytest.raises(WeightsError, match=r"nothing +b/\* +a layer to copy .*source.* conv1, other"):
        fuse_weights(target, {"a": source, "b": source}, tmp_path / "o", CopyOptions(partial=True))
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(("into", "out_of"), [("conv", "fc"), ("fc", "conv")])
def test_a_convolution_is_taken_for_a_full_connection_on_wish(caffe, saved, tmp_path, into, out_of):
    kinds = {"conv": conv("x"), "fc": fc("x", 2)}
    source, old = saved("source", kinds[out_of], shape="1 3 3 3")
    target = net_file(tmp_path / "t.prototxt", kinds[into].replace('"x"', '"a/x"'), shape="1 3 3 3")
    with pytest.raises(WeightsError, match="mismatch"):
        fuse_weights(target, {"a": source}, tmp_path / "o")
    output = run("fuse", target, "--weights", f"a={source}", "--reshape", "a/x", "-o", tmp_path / "o")
    assert ", reshaped (" in output
    assert "2 of 2 blobs of a bit-equal" in output
    new = loaded(caffe, target, tmp_path / "o")
    old.blobs["data"].data[...] = new.blobs["data"].data[...] = RNG.normal(size=(1, 3, 3, 3))
    old.forward()
    new.forward()
    np.testing.assert_allclose(old.blobs["x"].data.ravel(), new.blobs["a/x"].data.ravel(), rtol=1e-5)


def test_other_counts_are_not_reshaped(saved, tmp_path):
    source, _ = saved("source", conv("x"), shape="1 3 3 3")
    for outputs, shape in ((3, "1 3 3 3"), (2, "1 3 3 4"), (27, "1 2 1 1")):
        target = net_file(tmp_path / "t.prototxt", fc("a/x", outputs), shape=shape)
        with pytest.raises(WeightsError, match="mismatch"):
            fuse_weights(target, {"a": source}, tmp_path / "o", CopyOptions(reshape=["a/x"]))


def test_a_transposed_matrix_is_no_convolution(saved, tmp_path):
    source, _ = saved("source", fc("x", 9, "transpose: true"), shape="1 1 3 3")
    target = net_file(tmp_path / "t.prototxt", conv("a/x", bottom="data").replace("num_output: 2", "num_output: 9"))
    with pytest.raises(WeightsError, match=r"differs +a/x +transpose false .* true"):
        fuse_weights(target, {"a": source}, tmp_path / "o", CopyOptions(reshape=["a/x"]))


@pytest.mark.parametrize("how", ["mean", "sum"])
def test_colour_becomes_grey_on_wish(caffe, saved, tmp_path, how):
    source, old = saved("source", conv("c"), shape="1 3 5 5")
    target = net_file(tmp_path / "t.prototxt", conv("a/c"), shape="1 1 5 5")
    with pytest.raises(WeightsError, match="mismatch"):
        fuse_weights(target, {"a": source}, tmp_path / "o")
    output = run("fuse", target, "--weights", f"a={source}", "--channels", f"a/c={how}", "-o", tmp_path / "o")
    assert f"the {how} over its channels (2 x 3 x 3 x 3)" in output
    assert "1 of 1 blobs of a bit-equal" in output  # the bias; kernels are new numbers
    params = loaded(caffe, target, tmp_path / "o").params["a/c"]
    kernels = old.params["c"][0].data.astype(np.float64)
    np.testing.assert_array_equal(params[0].data, getattr(kernels, how)(axis=1, keepdims=True).astype(np.float32))
    np.testing.assert_array_equal(params[1].data, old.params["c"][1].data)


@pytest.mark.parametrize("how", ["mean", "sum"])
def test_grey_becomes_colour_on_wish(caffe, saved, tmp_path, how):
    source, old = saved("source", conv("c"), shape="1 1 5 5")
    target = net_file(tmp_path / "t.prototxt", conv("a/c"), shape="1 3 5 5")
    fuse_weights(target, {"a": source}, tmp_path / "o", CopyOptions(channels={"a/c": how}))
    new = loaded(caffe, target, tmp_path / "o")
    image = RNG.normal(size=(1, 3, 5, 5)).astype(np.float32)
    new.blobs["data"].data[...] = image
    old.blobs["data"].data[...] = getattr(image, how)(axis=1, keepdims=True)
    new.forward()
    old.forward()
    np.testing.assert_allclose(new.blobs["a/c"].data, old.blobs["c"].data, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [2, 10, 20])
def test_a_net_on_optical_flow_begins_as_one_on_colour(caffe, saved, tmp_path, channels):
    """Cross-modality start (Wang et al. 2016): the mean over the three, for each channel of the stacked flow."""
    source, old = saved("source", conv("c"), shape="1 3 5 5")
    target = net_file(tmp_path / "t.prototxt", conv("a/c"), shape=f"1 {channels} 5 5")
    fuse_weights(target, {"a": source}, tmp_path / "o", CopyOptions(channels={"a/c": "mean"}))
    params = loaded(caffe, target, tmp_path / "o").params["a/c"]
    mean = old.params["c"][0].data.astype(np.float64).mean(axis=1, keepdims=True)
    np.testing.assert_array_equal(params[0].data, np.repeat(mean, channels, axis=1).astype(np.float32))
    np.testing.assert_array_equal(params[1].data, old.params["c"][1].data)


@pytest.mark.parametrize("options", [{"channels": {"a/c": "mean"}}, {"reshape": ["a/c"]}])
def test_an_option_that_is_not_needed_is_told(saved, tmp_path, options):
    source, _ = saved("source", conv("c"), shape="1 3 5 5")
    target = net_file(tmp_path / "t.prototxt", conv("a/c"), shape="1 3 5 5")
    with pytest.warns(NetbuildWarning, match=f"^{next(iter(options))} changes nothing: a/c fits as it is$"):
        fuse_weights(target, {"a": source}, tmp_path / "o", CopyOptions(**options))


@pytest.mark.parametrize(
    ("theirs", "ours", "shape", "options", "why"),
    [
        (conv("x"), conv("a/x"), "1 10 5 5", {"channels": {"a/x": "sum"}}, "from several channels .* only 'mean'"),
        (
            conv("x"),
            conv("a/x").replace("kernel_size: 3", "kernel_size: 1"),
            "1 1 5 5",
            {"channels": {"a/x": "mean"}},
            "more differs than the number of input",
        ),
        (conv("x"), fc("a/x", 2), "1 1 5 5", {"channels": {"a/x": "mean"}}, "it is for the kernels of convolutions"),
        (conv("x"), fc("a/x", 2), "1 3 5 5", {"reshape": ["a/x"]}, "as many values are needed: 150, not 54"),
        (
            conv("x"),
            fc("a/x", 2, "bias_term: false"),
            "1 3 3 3",
            {"reshape": ["a/x"]},
            "as many blobs are needed: 1, not 2",
        ),
    ],
)
def test_an_option_that_does_not_apply_says_why(saved, tmp_path, theirs, ours, shape, options, why):
    source, _ = saved("source", theirs, shape="1 3 5 5")
    target = net_file(tmp_path / "t.prototxt", ours, shape=shape)
    with pytest.raises(WeightsError, match=f"mismatch +a/x .*; {next(iter(options))}: .*{why}"):
        fuse_weights(target, {"a": source}, tmp_path / "o", CopyOptions(**options))


@pytest.mark.parametrize(
    ("ours", "theirs", "parameter"),
    [
        (fc("%sx", 25), fc("%sx", 25, "transpose: true"), "transpose false"),
        (conv("%sx", "dilation: 2"), conv("%sx"), "dilation 2"),
        (conv("%sx", "pad: 1"), conv("%sx", "pad_h: 1 pad_w: 0"), "pad 1"),
        (
            layer("%sx", "BatchNorm", "data", "%sx", "batch_norm_param { use_global_stats: true eps: 0.001 }"),
            layer("%sx", "BatchNorm", "data", "%sx"),
            "eps 0.001",
        ),
        (conv("%sx"), layer("%sx", "Deconvolution", "data", "%sx", CONV % ""), "type Convolution"),
    ],
)
def test_definitions_that_disagree_are_refused_or_accepted(saved, tmp_path, ours, theirs, parameter):
    shape = "1 2 5 5" if "Deconv" in theirs else "1 1 5 5"
    source, _ = saved("source", theirs.replace("%s", ""), shape=shape)
    target = net_file(tmp_path / "t.prototxt", ours.replace("%s", "a/"), shape=shape)
    with pytest.raises(WeightsError, match=rf"differs +a/x +{parameter} .*source.caffemodel: x"):
        fuse_weights(target, {"a": source}, tmp_path / "o")
    assert not (tmp_path / "o").exists()
    wishes = ["--weights", f"a={source}", "--accept", parameter.split()[0]]
    assert f"accepted: a/x: {parameter}, " in run("fuse", target, *wishes, "-o", tmp_path / "o")


def test_the_same_window_in_another_form_is_the_same(saved, tmp_path):
    source, _ = saved("source", conv("x", "stride: 2 pad_h: 1 pad_w: 1 dilation: 1 engine: CAFFE"))
    target = net_file(tmp_path / "t.prototxt", conv("a/x", "stride_h: 2 stride_w: 2 pad: 1"))
    fuse_weights(target, {"a": source}, tmp_path / "o")


def test_split_files_loaded_in_order_are_the_whole(caffe, saved, tmp_path, monkeypatch):
    odd, odd_net = saved("odd", conv("c"))
    even, even_net = saved("even", conv("c"))
    target = net_file(tmp_path / "t.prototxt", conv("odd/c"), conv("even/c"), fc("score", 3))
    monkeypatch.chdir(tmp_path)
    weights = ["--weights", f"odd={odd}", "--weights", f"even={even}"]
    output = run("fuse", target, *weights, "-o", "init.caffemodel", "--split")
    lines = [line for line in output.splitlines() if line.startswith("weights: ")]
    assert lines == ['weights: "init.odd.caffemodel"', 'weights: "init.even.caffemodel"']
    assert not (tmp_path / "init.caffemodel").exists()
    Path("solver.prototxt").write_text(
        'train_net: "t.prototxt" base_lr: 0 lr_policy: "fixed" max_iter: 1 ' + "\n".join(lines)
    )
    params = caffe.SGDSolver("solver.prototxt").net.params
    assert same(params["odd/c"], odd_net.params["c"])
    assert same(params["even/c"], even_net.params["c"])


def test_a_refused_plan_names_what_its_reader_can_give(saved, tmp_path):
    source, _ = saved("s", conv("conv1"))
    target = net_file(tmp_path / "t.prototxt", conv("odd/conv1_new"))
    arguments = target, {"odd": source}, tmp_path / "o"
    with pytest.raises(WeightsError) as error:
        fuse_weights(*arguments, CopyOptions(maps={"odd/conv2": "conv1"}))
    told = str(error.value)
    assert "maps={'PREFIX/LAYER': 'NAME'}" in told
    assert "partial=True" in told
    assert "\nmaps " in told
    assert "weights={'PREFIX': 'FILE'}" in told
    assert "--" not in told
    printed = run("fuse", target, "--weights", f"odd={source}", "-o", tmp_path / "o", code=1)
    assert "--map PREFIX:LAYER=NAME; to leave it to its filler: --partial." in printed
    assert "Check that each --weights PREFIX=FILE names the file" in printed
    # What the message names does what it says.
    fuse_weights(*arguments, CopyOptions(maps={"odd/conv1_new": "conv1"}))


def test_a_frozen_layer_without_weights_names_what_its_reader_can_give(saved, tmp_path):
    source, _ = saved("s", conv("conv1"))
    frozen = "param { lr_mult: 0 decay_mult: 0 } " * 2
    branches = "".join(layer(f"{p}/conv1", "Convolution", "data", None, CONV % "" + frozen) for p in ("odd", "even"))
    head = layer("cat", "Concat", "odd/conv1 even/conv1") + fc("score", 3, bottom="cat")
    target = net_file(tmp_path / "t.prototxt", branches, head, layer("loss", "EuclideanLoss", "score score"))
    with pytest.raises(WeightsError, match=r"add weights=\{'even': 'FILE'\}, or leave .* with partial=True$"):
        fuse_weights(target, {"odd": source}, tmp_path / "o")
    printed = run("fuse", target, "--weights", f"odd={source}", "-o", tmp_path / "o", code=1)
    assert "add --weights even=FILE, or leave them to their fillers with --partial" in printed


@pytest.mark.parametrize(
    ("weights", "options", "sentence"),
    [
        ({"odd": []}, CopyOptions(), "weights: the list of files for 'odd' is empty"),
        (
            None,
            CopyOptions(head={"od": HeadStart((0,))}),
            "head: there are no weights for the branch 'od'; did you mean",
        ),
        (
            None,
            CopyOptions(channels={"odd/conv1": "median"}),
            "channels: 'odd/conv1' has 'median'; expected mean or sum",
        ),
    ],
)
def test_choices_that_mean_nothing_are_refused_in_words(saved, tmp_path, weights, options, sentence):
    source, _ = saved("s", conv("conv1"))
    target = net_file(tmp_path / "t.prototxt", conv("odd/conv1"))
    with pytest.raises(WeightsError, match=sentence):
        fuse_weights(target, {"odd": source} if weights is None else weights, tmp_path / "o", options)
    assert not (tmp_path / "o").exists()
