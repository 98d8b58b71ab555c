"""What a DataSource says against what the branches tell, from Python and on the command line."""

import math
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from commands import invoke, run
from nets import conv, data, fc, layer
from next_door import aside
from PIL import Image

from netbuild import BranchSpec, DataSource, Fusion, Head, Join, emit_files, lenet, proto, prototxt
from netbuild.branches.branch import Input
from netbuild.branches.lenet import MNIST
from netbuild.errors import GraphError, NetbuildWarning
from netbuild.schema import schema

IMAGES = """layer { name: "data" type: "ImageData" top: "data" top: "label"
  transform_param { crop_size: 24 mirror: true mean_value: 104 mean_value: 117 mean_value: 123 }
  image_data_param { source: "l.txt" batch_size: 4 new_height: 32 new_width: 32 } }"""
LISTS = {"train_source": "l.txt", "test_source": "l.txt", "train_batch": 4, "test_batch": 4}


def pooled():
    """A seam that takes images of any size."""
    pool = layer("ip", "Pooling", "c", more="pooling_param { pool: AVE global_pooling: true }")
    return conv("c", "data") + pool + fc("fc", "ip", 2)


@pytest.fixture(autouse=True)
def pictures(in_tmp):
    rng = np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (40, 36, 3)).astype(np.uint8)).save(f"{number}.png")
    Path("l.txt").write_text("".join(f"{number}.png {number % 2}\n" for number in range(4)))
    Path("pa.prototxt").write_text(IMAGES + pooled())
    Path("deploy.prototxt").write_text(data(shape=(1, 3, 24, 24)) + pooled())
    for side in (24, 32):
        mean = schema().BlobProto(num=1, channels=3, height=side, width=side, data=[100.0] * (3 * side * side))
        Path(f"mean{side}").write_bytes(mean.SerializeToString())
    return in_tmp


def two(name="pa.prototxt", **more):
    return Fusion({"a": BranchSpec(prototxt(name), **more), "b": BranchSpec(prototxt(name), **more)}, classes=10)


def emitted(fusion, source, **more):
    """The sentences that were said as warnings."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        emit_files(fusion, source, "out", **more)
    assert {one.category for one in said} <= {NetbuildWarning}
    return [str(one.message) for one in said]


def first_batch(caffe, path, blob="data"):
    def forwarded():
        net = caffe.Net(str(path), caffe.TEST)
        net.forward()
        yield net.blobs[blob].data.copy()

    return next(iter(aside(caffe, forwarded)))


def test_a_source_without_an_input_prepares_as_the_branches_do(caffe):
    assert emitted(two(), DataSource(**LISTS)) == []
    # By hand without the mirroring, which acts by chance in TEST too where one layer is for both phases.
    Path("still.prototxt").write_text(IMAGES.replace("mirror: true", "") + pooled())
    expected = first_batch(caffe, "still.prototxt")
    assert first_batch(caffe, "out/train_val.prototxt").tobytes() == expected.tobytes()
    deploy = proto.read_net("out/deploy.prototxt").layer[0]
    assert list(deploy.input_param.shape[0].dim) == [1, 3, 24, 24]


def test_what_a_source_does_otherwise_is_said_once():
    (said,) = emitted(two(), DataSource(Input((3, 24, 24)), **LISTS))
    assert "input 'data': the data layer prepares images otherwise than" in said
    assert "raw pixels 0..255; in TRAIN in the size in which they are stored; " in said
    assert "they tell: less 104, 117, 123; in TRAIN resized to 32 x 32, cropped to 24 x 24, mirrored; " in said
    (said,) = emitted(two(), DataSource(Input((3, 30, 30), mean=(104, 117, 123)), **LISTS))
    assert "(N, 3, 30, 30); " in said
    assert "they tell: (N, 3, 24, 24); " in said
    # Said by the part, and by the source's own options: known.
    told = Input((3, 24, 24), mean=(1,))
    assert emitted(two(mean=(1,)), DataSource(told, crop=24, resize=(32, 32), mirror=True, **LISTS)) == []
    assert emitted(two(), DataSource(crop=0, resize=(24, 24), mirror=False, mean_file="mean24", **LISTS)) == []
    Path("out/train_val.prototxt").unlink()
    Path("out/solver.prototxt").unlink()
    (said,) = emitted(Fusion({"a": prototxt("pa.prototxt")}), DataSource(Input((3, 24, 24)), **LISTS))
    assert "they tell: less 104, 117, 123" in said


def test_what_nobody_tells_is_said_from_python_too():
    (said,) = emitted(two("deploy.prototxt"), DataSource(**LISTS))
    assert "the source of 'a' and of 'b' does not tell how images were prepared" in said
    assert emitted(two("deploy.prototxt"), DataSource(Input((3, 24, 24), mean=(5,)), **LISTS)) == []
    assert emitted(two("deploy.prototxt", mean=()), DataSource(**LISTS)) == []


@pytest.mark.parametrize(
    "given", [MNIST, Input((3, 24, 24), scale=0.5), Input((3, 24, 24), mean_file="m")], ids=["grey", "scale", "file"]
)
def test_images_are_not_prepared_twice_where_each_branch_does_it_itself(given):
    parts = {"a": prototxt("pa.prototxt"), "b": BranchSpec(prototxt("pa.prototxt"), mean=(1,))}
    with pytest.raises(GraphError, match="those of the source would come on top"):
        emitted(Fusion(parts, 10), DataSource(given, **LISTS))
    assert not Path("out").exists()


def test_images_that_frozen_weights_do_not_fit_are_refused():
    """Caffe refuses weights of another shape when it copies them (blob.cpp: shape mismatch)."""
    with pytest.raises(GraphError, match=r"\(N, 1, 28, 28\), and .* \(N, 3, 24, 24\): the weights of .* 'a/c'"):
        emitted(two(), DataSource(MNIST, **LISTS))
    with pytest.raises(GraphError, match="frozen layer 'a/ip1' would not fit"):
        emitted(Fusion({"a": lenet}, 10), DataSource(Input((1, 32, 32), (128,), 1 / 256), **LISTS))
    assert not Path("out").exists()
    # A net that learns from the beginning takes what it is given, with a word.
    (said,) = emitted(Fusion({"": lenet}, 10, frozen=False), DataSource(Input((1, 32, 32), (128,), 1 / 256), **LISTS))
    assert "(N, 1, 32, 32); they tell: (N, 1, 28, 28)" in said


def test_a_cut_that_branches_dispute_has_to_be_decided():
    Path("pb.prototxt").write_text(
        IMAGES.replace("new_height: 32 new_width: 32", "new_height: 28 new_width: 28") + pooled()
    )
    fusion = Fusion({"a": prototxt("pa.prototxt"), "b": prototxt("pb.prototxt")}, 10)
    given = Input((3, 24, 24), mean=(104, 117, 123))
    for source in (DataSource(**LISTS), DataSource(given, **LISTS)):
        with pytest.raises(GraphError, match=r"resized differently \(a: 32 x 32, b: 28 x 28\)"):
            emitted(fusion, source)


def test_the_command_line_says_each_thing_once():
    words = ["emit", "fusion", "--branch", "a=deploy.prototxt", "--classes", 3, "--train-source", "l.txt", "-o", "out"]
    words += ["--test-source", "l.txt"]
    output = run(*words)
    assert output.count("note:") == output.count("does not tell how images were prepared") == 1
    assert "note" not in run(*words, "--mean", "none")
    known = [*words[:2], "--branch", "a=pa.prototxt", *words[4:]]
    assert "note" not in run(*known, "--mean", "3", "--scale", "0.5", "--crop", "20", "--no-mirror")
    assert "note" not in run(*known, "--mean-file", "mean32")
    transform = proto.read_net("out/train_val.prototxt").layer[0].transform_param
    assert (transform.mean_file, list(transform.mean_value)) == ("mean32", [])


def test_a_net_fed_from_memory_tells_no_preparation():
    memory = "memory_data_param { batch_size: 1 channels: 3 height: 24 width: 24 }"
    Path("m.prototxt").write_text(layer("data", "MemoryData", "", "data label", memory) + pooled())
    (said,) = emitted(two("m.prototxt"), DataSource(**LISTS))
    assert "the source of 'a' and of 'b' does not tell how images were prepared" in said
    told = layer("data", "MemoryData", "", "data label", f"transform_param {{ mean_value: 9 }} {memory}")
    Path("m.prototxt").write_text(told + pooled())
    assert emitted(two("m.prototxt"), DataSource(**LISTS)) == []
    assert proto.read_net("out/train_val.prototxt").layer[0].transform_param.mean_value == [9]


def test_windows_are_prepared_as_caffe_does(caffe):
    """A window that is a whole image: Caffe's own WindowData against the ImageData that is written for it."""
    for number in range(4):
        Image.new("RGB", (36, 40), (10 * number + 50,) * 3).save(f"{number}.png")
    windows = "".join(
        f"# {number}\n{Path(f'{number}.png').resolve()}\n3\n40\n36\n2\n1 1.0 0 0 35 39\n0 0.0 0 0 35 39\n"
        for number in range(4)
    )
    Path("w.txt").write_text(windows)
    options = """transform_param { crop_size: 24 mirror: true mean_value: 30 scale: 7 }
      window_data_param { source: "w.txt" batch_size: 8 scale: 0.5 }"""
    Path("w.prototxt").write_text(layer("data", "WindowData", "", "data label", options) + pooled())
    assert emitted(two("w.prototxt"), DataSource(**LISTS)) == []
    train, test = proto.read_net("out/train_val.prototxt").layer[:2]
    assert (train.image_data_param.new_height, train.image_data_param.new_width) == (24, 24)
    assert (train.transform_param.mirror, test.transform_param.mirror) == (True, False)
    found = first_batch(caffe, "out/train_val.prototxt")
    own = first_batch(caffe, "w.prototxt")
    assert found.shape[1:] == own.shape[1:] == (3, 24, 24)
    # Which windows it takes is chance: each is an image of one value.
    assert set(own.ravel()) <= set(found.ravel()) == {10.0, 15.0, 20.0, 25.0}


LENET = ("emit", "lenet", "--classes", 10)
PAIR = ("emit", "fusion", "--branch", "a=lenet", "--branch", "b=lenet")


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        ([*LENET, "--dropout", "0.9"], "a dropout of 0.9 has no effect without a hidden layer", 1),
        ([*LENET, "--join", "concat"], "--join concat: there is one branch, and nothing to join it with", 2),
        ([*LENET, "--axis", "1"], "one branch to join, and the join's axis would have no effect", 1),
        ([*LENET, "--blob", "x"], "one branch to join, and the join's blob would have no effect", 1),
        (["emit", "fusion", "--branch", "a=lenet", "--classes", 2, "--join", "sum", "--coeff", "a=2"], "there is one branch", 2),
        ([*LENET, "--data", "input", "--train-source", "x"], "train and test source do not apply", 1),
        ([*LENET, "--data", "input", "--test-source", "x"], "train and test source do not apply", 1),
        ([*LENET, "--data", "input", "--mean-file", "x"], "nor a mean file", 1),
        ([*LENET, "--data", "hdf5", "--mean-file", "x"], "nor a mean file", 1),
        ([*LENET, "--head", "x=3"], "--classes would have no effect", 2),
        (["emit", "lenet", "--no-head", "--classes", 3], "--classes does not go with --ensemble and --no-head", 2),
        (["emit", "lenet", "--no-head", "--hidden", 3], "--hidden does not go with --ensemble and --no-head", 2),
        ([*PAIR, "--ensemble", "--classes", 3, "--loss", "HingeLoss"], "--loss does not go with", 2),
        ([*PAIR, "--ensemble", "--no-head", "--classes", 3], "exclude each other", 2),
        ([*PAIR, "--ensemble", "--classes", 3, "--solver", "base_lr=1"], "nothing to train, .* base_lr would have no", 1),
        (["emit", "lenet", "--no-head", "--split-phases"], "nothing to train, .* split_phases would have no effect", 1),
        ([*PAIR, "--input", "b=more", "--classes", 3, "--data", "hdf5", "--train-source", "data=x", "--train-source", "more=y"], "one layer of kind hdf5 gives all inputs and labels in TRAIN", 1),
    ],
)  # fmt: skip
def test_options_without_effect_are_refused(arguments, sentence, code):
    output = invoke(*arguments, "-o", "out", code=code).output
    assert re.search(sentence, output), output
    assert not Path("out").exists()


def test_options_that_had_no_effect_have_one():
    """A published net's own head gives way to a bridge; encoded images of a database are decoded as is said."""
    run("emit", "squeezenet1_0", "--classes", 3, "--bridge", "fc=5", "--data", "input", "-o", "out")
    read = {one.name: one.bottom[:] for one in proto.read_net("out/deploy.prototxt").layer}
    assert read["prob"] == ["conv10"]
    assert read["conv10"] == ["bridge_"]
    run(*LENET, "--color", "--data", "lmdb", "-o", "db")
    assert proto.read_net("db/train_val.prototxt").layer[0].transform_param.force_color


NUMBERS = [math.nan, math.inf, -math.inf, 1e39]


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize(
    "make",
    [
        lambda value: BranchSpec(lenet, mean=(1, value)),
        lambda value: BranchSpec(lenet, scale=value),
        lambda value: BranchSpec(lenet, frozen=False, lr=value),
        lambda value: Join("sum", weights={"a": value}),
        lambda value: Head(3, loss_weight=value),
        lambda value: Head(3, hidden=2, dropout=value),
        lambda value: Input((1, 2, 2), mean=(value,)),
        lambda value: Input((1, 2, 2), scale=value),
    ],
    ids=["mean", "scale", "lr", "coeff", "weight", "dropout", "input mean", "input scale"],
)
def test_numbers_that_a_net_cannot_hold_are_refused(make, value):
    with pytest.raises(GraphError, match="a finite number is needed|expected a share"):
        make(value)


@pytest.mark.parametrize("make", [lambda: BranchSpec(lenet, scale=0), lambda: Input((1, 2, 2), scale=0)])
def test_a_scale_of_0_is_refused(make):
    with pytest.raises(GraphError, match="scale is 0, which makes all images alike"):
        make()


@pytest.mark.parametrize(
    "options",
    [{"crop": -1}, {"resize": (0, 5)}, {"resize": (5,)}, {"crop": math.nan}, {"resize": (math.inf, 5)}, {"crop": 2.5}],
)
def test_sizes_of_a_source_are_whole_numbers(options):
    with pytest.raises(GraphError, match="whole numbers"):
        DataSource(**options)


def test_files_of_another_net_are_named(in_tmp):
    emitted(Fusion({"": lenet}, 10, frozen=False), DataSource(kind="input"))
    before = Path("out/solver.prototxt").read_bytes()
    output = run(*PAIR, "--ensemble", "--classes", 3, "--data", "input", "-o", "out")
    assert "note: folder 'out' also holds train_val.prototxt, solver.prototxt of another net, left as before" in output
    assert Path("out/solver.prototxt").read_bytes() == before
    assert "train_val.prototxt, test.prototxt, solver.prototxt of another" in run(
        "emit", "lenet", "--no-head", "-o", "out"
    )
    emitted(Fusion({"": lenet}, 10, frozen=False), DataSource(kind="input"))
    said = emitted(Fusion({"": lenet}, 10, frozen=False), DataSource(kind="input"), split_phases=True, force=True)
    assert "also holds train_val.prototxt of another net" in said[-1]
    run("emit", "lenet", "--no-head", "-o", "new")
    assert "also holds" not in run("emit", "lenet", "--no-head", "-o", "new")


def test_only_what_applies_is_said_of_test_iter():
    Path("a.txt").write_text("a.h5\n")
    output = run(*LENET, "--data", "hdf5", "--test-source", "a.txt", "--dry-run", "-o", "out", code=None)
    assert "note: what HDF5 files hold is not counted; test_iter is set to 500" in output
    assert "test_iter" not in run(*LENET, "--data", "input", "-o", "out")
    assert "what a database holds is not counted; test_iter is set to 500" in run(*LENET, "--data", "lmdb", "-o", "out")
    Path("pa.prototxt").write_text(IMAGES.replace('"l.txt"', '"l.txt" root_folder: "imgs/"') + pooled())
    output = run("emit", "pa.prototxt", "--classes", 3, "-o", "alone")
    assert "'imgs/' is put in front of the lists' paths (root_folder imgs/)" in output
