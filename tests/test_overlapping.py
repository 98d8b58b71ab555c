"""Whose layer is it, where one prefix begins with another: every command gives the same answer."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from commands import run
from nets import conv, data, fc, layer, net

from netbuild import CopyOptions, Fusion, HeadStart, build, fuse_weights, lenet, verify_branches
from netbuild.errors import GraphError
from netbuild.graph.check import problems
from netbuild.names import qualify
from netbuild.verify.branches import Original

PAIRS = [("odd_", "odd_b_"), ("left_", "left_eye_"), ("a", "a/odd")]
both_ways = pytest.mark.parametrize("prefixes", [order for pair in PAIRS for order in (pair, pair[::-1])])


def blobs(pb, path):
    message = pb.NetParameter.FromString(path.read_bytes())
    return {one.name: [np.array(b.data, np.float32).reshape(b.shape.dim) for b in one.blobs] for one in message.layer}


@pytest.fixture()
def made(written, prefixes, tmp_path):
    """A fused net of overlapping prefixes, made by other means, and the nets that it is made of, by prefix."""
    one = data(shape=(2, 3, 6, 6)) + conv("c", "data") + fc("score", "c", 2)
    originals = {prefix: written(name, one) for prefix, name in zip(prefixes, ("one", "other"))}
    seams = [qualify(prefix, "c") for prefix in prefixes]
    target = tmp_path / "target.prototxt"
    joined = layer("cat", "Concat", " ".join(seams)) + fc("head", "cat", 4)
    target.write_text(data(shape=(2, 3, 6, 6)) + "".join(conv(seam, "data") for seam in seams) + joined)
    return target, originals


@pytest.fixture()
def fused(made, tmp_path):
    target, originals = made
    weights = {prefix: path.with_suffix(".caffemodel") for prefix, path in originals.items()}
    starts = {prefix: HeadStart((number, number + 2), "score") for number, prefix in enumerate(originals)}
    fuse_weights(target, weights, tmp_path / "init.caffemodel", CopyOptions(head=starts))
    return target, tmp_path / "init.caffemodel", originals


@both_ways
def test_a_fusion_of_them_is_refused_in_words(prefixes, tmp_path):
    sentence = "'(odd_|left_|a)' and '(odd_b_|left_eye_|a/odd)' overlap: what begins with .* choose prefixes"
    with pytest.raises(GraphError, match=sentence):
        build(Fusion(dict.fromkeys(prefixes, lenet), 10))
    branches = [text for prefix in prefixes for text in ("--branch", f"{prefix}=lenet")]
    longer = max(prefixes, key=len)
    told = run("emit", "fusion", *branches, "--classes", 10, "--trainable", longer, "-o", tmp_path / "out", code=1)
    assert "overlap: what begins with" in told
    assert not (tmp_path / "out").exists()


@both_ways
def test_a_layer_that_lacks_the_prefix_is_named(prefixes):
    longer = max(prefixes, key=len)
    seams = {prefix: qualify(prefix, "c") for prefix in prefixes}
    first = {prefix: "lacks" if prefix == longer else qualify(prefix, "first") for prefix in prefixes}
    text = "".join(conv(first[prefix], "data") + conv(seams[prefix], first[prefix]) for prefix in prefixes)
    found = problems(net(data() + text), seams)
    assert [one for one in found if "lacks the prefix" in one] == [
        f"layer 'lacks' of branch {longer!r} lacks the prefix; assign its Top: net[{qualify(longer, 'NAME')!r}] = ..."
    ]


@both_ways
def test_a_parameter_that_ties_them_together_is_named(prefixes):
    seams = {prefix: qualify(prefix, "c") for prefix in prefixes}
    text = data() + "".join(conv(seam, "data", more='param { name: "w" }') for seam in seams.values())
    (found,) = problems(net(text), seams)
    assert found.startswith(f"shared parameter 'w' ties the branches {' and '.join(map(repr, sorted(prefixes)))} ")


@both_ways
def test_weights_and_a_head_come_from_the_branch_that_owns_the_name(fused, pb, prefixes):
    _, init, originals = fused
    found, sources = blobs(pb, init), {p: blobs(pb, path.with_suffix(".caffemodel")) for p, path in originals.items()}
    for prefix, source in sources.items():
        np.testing.assert_array_equal(found[qualify(prefix, "c")][0], source["c"][0])
    one, other = (sources[prefix]["score"][0] for prefix in prefixes)
    nothing = np.zeros_like(one)
    expected = np.block([[one, nothing], [nothing, other]])[[0, 2, 1, 3]]
    np.testing.assert_array_equal(found["head"][0], expected)


@both_ways
def test_the_sidecar_records_each_branchs_own_seam(fused, prefixes):
    branches = json.loads(Path(f"{fused[1]}.json").read_text())["branches"]
    assert {prefix: branch["seams"] for prefix, branch in branches.items()} == {p: [qualify(p, "c")] for p in prefixes}


@both_ways
def test_each_is_verified_against_its_own_net(fused, prefixes):
    target, init, originals = fused
    nets = {p: Original(f"{path}@c", os.fspath(path.with_suffix(".caffemodel"))) for p, path in originals.items()}
    named = {p: Original(os.fspath(path), os.fspath(path.with_suffix(".caffemodel"))) for p, path in originals.items()}
    for given in (nets, named):
        found = verify_branches(target, init, given)
        assert [(one.prefix, one.seam, one.layers, one.equal) for one in found] == [
            (prefix, qualify(prefix, "c"), 1, True) for prefix in prefixes
        ]


@both_ways
def test_both_are_not_written_as_one(fused, pb, prefixes, tmp_path):
    target, init, originals = fused
    shorter, longer = sorted(prefixes, key=len)
    assert "2 branches that have nothing in common" in run("extract", shorter, target, init, "-o", "out", code=1)
    run("extract", longer, target, init, "-o", tmp_path / "out")
    (path,) = (tmp_path / "out").glob("*.caffemodel")
    assert list(blobs(pb, path)) == ["data", "c"]
    expected = blobs(pb, originals[longer].with_suffix(".caffemodel"))["c"]
    np.testing.assert_array_equal(blobs(pb, path)["c"][0], expected[0])


@both_ways
def test_a_summary_gives_each_its_own_layers(made, prefixes):
    target, _ = made
    given = [text for prefix in prefixes for text in ("--prefix", prefix)]
    totals = {one["branch"]: one["layers"] for one in json.loads(run("summary", target, *given, "--json"))["totals"]}
    assert {prefix: totals[prefix] for prefix in prefixes} == dict.fromkeys(prefixes, 1)


def test_a_branch_of_a_branch_goes_on_working_in_every_command(pb, written, small_lists, in_tmp):
    image = layer("data", "Input", more="input_param { shape { dim: 1 dim: 1 dim: 28 dim: 28 } }")
    options = "convolution_param { num_output: 3 kernel_size: 5 stride: 4 weight_filler { type: 'xavier' } }"
    convolution = image + layer("c", "Convolution", "data", more=options)
    for name in ("i", "ii", "iii"):
        written(name, convolution + fc("score", "c", 10))
    prepared = ["--mean", "0", "--scale", "0.00390625"]
    run(
        "emit",
        "fusion",
        "--branch",
        "odd=i.prototxt",
        "--branch",
        "even=ii.prototxt",
        "--no-head",
        *prepared,
        "-o",
        "in",
    )
    weights = ["--weights", "odd=i.caffemodel", "--weights", "even=ii.caffemodel"]
    run("fuse", "in/deploy.prototxt", *weights, "-o", "in.caffemodel")

    sources = ["--train-source", small_lists.path("train_all"), "--test-source", small_lists.path("val_all")]
    batches = ["--train-batch", 10, "--test-batch", 20, "--solver", "snapshot=4", "--solver", "max_iter=4"]
    branches = ["--branch", "a=in/deploy.prototxt@c_fused", "--branch", "b=iii.prototxt"]
    run("emit", "fusion", *branches, "--classes", 10, *prepared, *sources, *batches, "-o", "out")
    # Of the fused net's own branches one gets another file.
    files = {"a": "in.caffemodel", "a/odd": "iii.caffemodel", "b": "iii.caffemodel"}
    given = [text for prefix, file in files.items() for text in ("--weights", f"{prefix}={file}")]
    run("fuse", "out/train_val.prototxt", *given, "-o", "init.caffemodel")
    found = {name: values for name, values in blobs(pb, Path("init.caffemodel")).items() if values}
    alone = {name: blobs(pb, Path(f"{name}.caffemodel"))["c"][0] for name in ("i", "ii", "iii")}
    for name, source in (("a/odd/c", "iii"), ("a/even/c", "ii"), ("b/c", "iii")):
        np.testing.assert_array_equal(found[name][0], alone[source])

    nets = {"a/odd": "iii.prototxt@c", "b": "iii.prototxt"}
    given = [text for prefix, net in nets.items() for text in ("--branch", f"{prefix}={net}")]
    given += [text for prefix in nets for text in ("--weights", f"{prefix}=iii.caffemodel")]
    told = run("verify", "out/train_val.prototxt", "init.caffemodel", *given)
    assert "a/odd: " in told
    given = [text for prefix in ("a", "a/odd", "b") for text in ("--prefix", prefix)]
    totals = {
        one["branch"]: one["layers"]
        for one in json.loads(run("summary", "out/deploy.prototxt", *given, "--json"))["totals"]
    }
    assert {prefix: totals[prefix] for prefix in ("a", "a/odd", "b")} == {"a": 2, "a/odd": 1, "b": 1}
    run("train", "out/solver.prototxt", "--weights", "init.caffemodel", "--no-plot", "-o", "run")
    (trained,) = Path("run").glob("*_iter_4.caffemodel")
    for prefix, layers in (("a", {"odd/c": "iii", "even/c": "ii"}), ("a/odd", {"c": "iii"})):
        run("extract", prefix, "out/deploy.prototxt", trained, "-o", "extracted")
        taken = blobs(pb, Path("extracted") / f"{prefix.replace('/', '_')}.caffemodel")
        for name, source in layers.items():
            np.testing.assert_array_equal(taken[name][0], alone[source])
