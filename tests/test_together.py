"""Several lists that feed one net: held against each other before a run; Caffe reads each on its own."""

import shutil
from pathlib import Path

import commands
import numpy as np
import pytest
from nets import layer, net
from PIL import Image

from netbuild.errors import NetbuildError, NetbuildWarning
from netbuild.graph.view import views
from netbuild.soundness.check import data_faults, require_readable

NAMES = [f"{number}.png" for number in range(6)]


def write(path, names=NAMES, label=lambda number: number % 2):
    Path(path).write_text("".join(f"{name} {label(number)}\n" for number, name in enumerate(names)))


@pytest.fixture()
def lists(in_tmp):
    """ok.txt, with the images that it names."""
    for number, name in enumerate(NAMES):
        Image.fromarray(np.full((28, 28), number, np.uint8)).save(name)
    write("ok.txt")
    return in_tmp


def source(name, path, options=""):
    fields = f"image_data_param {{ source: '{path}' is_color: false batch_size: 2 {options} }}"
    return layer(name, "ImageData", "", f"{name} {name}_label", fields)


def head(name, images, labels):
    scores = layer(name, "InnerProduct", images, more="inner_product_param { num_output: 2 }")
    return scores + layer(f"{name}_loss", "SoftmaxWithLoss", f"{name} {labels}")


def heads(path, options="", first="", image="ok.txt"):
    """A list of images with its labels, and one that is read for its labels only."""
    layers = source("a", image, first) + source("b", path, options) + layer("silence", "Silence", "b", "")
    return layers + head("one", "a", "a_label") + head("two", "a", "b_label")


def streams(path, options="", more=""):
    """Two lists whose images are read, and the first one's labels."""
    layers = source("a", "ok.txt", options) + source("b", path, options) + layer("silence", "Silence", "b_label", "")
    return layers + layer("both", "Concat", "a b") + head("one", "both", "a_label") + more


def said(text):
    return [(fault.severity.name, fault.sentence) for fault in data_faults(net(text))]


@pytest.mark.parametrize(
    ("names", "line", "expected", "found", "count"),
    [
        (NAMES[:4], 5, "'4.png'", "the list's end", 4),
        ([*NAMES, "0.png"], 7, "the list's end", "'0.png'", 7),
        (NAMES[::-1], 1, "'0.png'", "'5.png'", 6),
        ([*NAMES[:3], *NAMES[4:]], 4, "'3.png'", "'4.png'", 5),
    ],
)
def test_labels_of_other_images_are_refused(lists, names, line, expected, found, count):
    write("b.txt", names)
    assert said(heads("b.txt")) == [
        (
            "WRONG",
            f"list 'b.txt' (layer 'b') gives labels to the images of list 'ok.txt' (layer 'a'), and they differ in line "
            f"{line}: expected {expected}, found {found}; both lists must name the same images in the same order (6 "
            f"lines and {count})",
        )
    ]


def test_labels_of_the_same_images_are_not_spoken_of(lists):
    write("b.txt", label=lambda _: 0)
    assert said(heads("b.txt")) == []
    # The same files, told otherwise.
    write("b.txt", [f"./{name}" for name in NAMES])
    assert said(heads("b.txt")) == []
    write("b.txt", [str(lists / name) for name in NAMES])
    assert said(heads("b.txt", first=f"root_folder: '{lists}/'")) == []
    # Where the images' own list is not there, nothing is known.
    assert said(heads("b.txt", image="nowhere.txt")) == []
    # Nobody reads these labels.
    write("b.txt", NAMES[:3])
    assert said(heads("b.txt").replace('bottom: "b_label"', 'bottom: "a_label"')) == []


def test_what_is_wrong_with_a_list_itself_is_said_alone(lists):
    Path("b.txt").write_text("0.png 0\n\n1.png 0\n")
    ((_, sentence),) = said(heads("b.txt"))
    assert "line 2 is ''" in sentence


def test_caffe_shuffles_each_list_in_an_order_of_its_own(lists, caffe):
    write("ok.txt", label=lambda number: number)
    text = source("a", "ok.txt", "shuffle: true") + source("b", "ok.txt", "shuffle: true")
    Path("net.prototxt").write_text(text)
    loaded = caffe.Net("net.prototxt", caffe.TRAIN)
    orders = [loaded.forward() and [loaded.blobs[f"{name}_label"].data.tolist() for name in "ab"] for _ in range(9)]
    assert any(first != second for first, second in orders)
    assert all(
        loaded.forward() and np.array_equal(loaded.blobs[name].data[:, 0, 0, 0], loaded.blobs[f"{name}_label"].data)
        for name in "ab"
    )


@pytest.mark.parametrize("field", ["shuffle: true", "rand_skip: 3"])
@pytest.mark.parametrize("place", ["options", "first"])
def test_labels_in_an_order_of_their_own_are_refused(lists, field, place):
    write("b.txt")
    ((weight, sentence),) = said(heads("b.txt", **{place: field}))
    name = field.partition(":")[0]
    assert weight == "WRONG"
    assert f"and by {name} each layer goes through its list in an order of its own" in sentence
    assert said(heads("b.txt", **{place: "rand_skip: 1"})) == []


def test_two_streams_may_be_no_pairs(lists):
    write("b.txt", NAMES[:4])
    message = net(streams("b.txt"))
    ((weight, sentence),) = said(streams("b.txt"))
    assert weight == "DOUBT"
    assert "each begins anew at its own end: 'ok.txt' has 6 lines, 'b.txt' has 4 lines; where" in sentence
    with pytest.warns(NetbuildWarning, match="are read side by side"):
        require_readable(views(message, [0]), "net")
    write("b.txt", NAMES[::-1])
    assert said(streams("b.txt")) == []
    ((weight, sentence),) = said(streams("b.txt", "shuffle: true"))
    assert weight == "DOUBT"
    assert "and by shuffle each in an order of its own; where their images belong in pairs" in sentence


def test_further_labels_belong_to_the_stream_whose_images_they_name(lists):
    names = NAMES[::-1]
    write("b.txt", names)
    more = source("c", "c.txt") + layer("quiet", "Silence", "c", "") + head("two", "both", "c_label")
    write("c.txt", names)
    assert said(streams("b.txt", more=more)) == []
    write("c.txt")
    assert said(streams("b.txt", more=more)) == []
    write("c.txt", [*NAMES[:2], *names[2:]])
    ((_, sentence),) = said(streams("b.txt", more=more))
    assert "list 'c.txt' (layer 'c') gives labels to the images of list 'ok.txt' (layer 'a')" in sentence
    assert "line 3: expected '2.png', found '3.png'" in sentence


FUSION = ("emit", "fusion", "--branch", "a=lenet", "--branch", "b=lenet", "--train-batch", 2, "--test-batch", 2)
LISTS = ("--train-source", "ok.txt", "--test-source", "ok.txt")
TWO_HEADS = (*FUSION, *LISTS, "--head", "digit=10", "--head", "parity=2", "--test-source", "parity_label=ok.txt")


def test_every_command_holds_two_lists_against_each_other(lists, trained):
    write("short.txt", NAMES[:4])
    words = "list 'short.txt' (layer 'parity_label') gives labels to the images of list 'ok.txt'"
    output = commands.run(*TWO_HEADS, "--train-source", "parity_label=short.txt", "-o", "net", code=1)
    assert words in output
    assert not Path("net").exists()
    write("par.txt")
    commands.run(*TWO_HEADS, "--train-source", "parity_label=par.txt", "-o", "net", "--solver", "max_iter=2")
    commands.run("check", "net/train_val.prototxt")
    shutil.copy("short.txt", "par.txt")
    for command in (
        ("check", "net/train_val.prototxt"),
        ("train", "net/solver.prototxt", "-o", "run", "--force"),
        ("features", "net/train_val.prototxt", "--weights", trained / "a.caffemodel", "-o", "kept"),
    ):
        assert words.replace("short", "par") in commands.run(*command, code=1)
    assert not any(Path(folder).exists() for folder in ("run", "kept"))


def test_two_streams_of_unequal_length_are_noted(lists):
    write("b.txt", NAMES[:4])
    inputs = ("--input", "a=left", "--input", "b=right", "--classes", 10, "--trainable", "a", "--trainable", "b")
    sources = ("--train-source", "left=ok.txt", "--test-source", "left=ok.txt", "--test-source", "right=ok.txt")
    words = "note: list 'ok.txt' (layer 'left') and list 'b.txt' (layer 'right') are read side by side"
    solver = [part for field in ("max_iter=1", "test_interval=1", "test_iter=1") for part in ("--solver", field)]
    output = commands.run(*FUSION, *inputs, *sources, "--train-source", "right=b.txt", *solver, "-o", "net")
    assert output.count(words) == 1
    assert words in commands.run("check", "net/train_val.prototxt")
    output = commands.run("train", "net/solver.prototxt", "-o", "run", "--no-plot", "--features", "off")
    assert output.count(words) == 1


def test_features_of_unequal_lists_are_refused(lists):
    from netbuild.features.listing import listings

    write("b.txt", NAMES[:4])
    message = net(source("a", "ok.txt") + source("b", "b.txt"))
    with pytest.raises(NetbuildError, match="must be equally long: 'ok.txt' has 6 lines, 'b.txt' has 4 lines"):
        listings(message)
