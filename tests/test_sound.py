"""What a net's data layers would stumble over, found before a run; real Caffe says what it would have been."""

import os
import re
import shutil
from pathlib import Path

import commands
import numpy as np
import pytest
from nets import layer, net
from next_door import aside
from PIL import Image

from netbuild import DataSource, Fusion, emit_files, lenet, proto
from netbuild.branches.lenet import MNIST
from netbuild.engine.child import run
from netbuild.errors import CaffeError, NetbuildError, NetbuildWarning
from netbuild.graph.view import views
from netbuild.schema import TEST, TRAIN
from netbuild.soundness.check import data_faults, require_readable
from netbuild.soundness.headers import read_header


def noise(size=(28, 28), colour=False):
    shape = (*size, 3) if colour else size
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8))


def images(source="list.txt", options="", transform="", batch=2):
    fields = f"image_data_param {{ source: '{source}' is_color: false batch_size: {batch} {options} }}"
    return layer("d", "ImageData", "", "data label", f"{fields} transform_param {{ {transform} }}")


def scored(classes=10, more="", top="label", bottom="data"):
    """A classifier and its loss."""
    scores = layer("ip", "InnerProduct", bottom, more=f"inner_product_param {{ num_output: {classes} }}")
    return scores + layer("loss", "SoftmaxWithLoss", f"ip {top}", more=more)


def faults(text):
    return [fault.sentence for fault in data_faults(net(text))]


@pytest.fixture()
def list_of(in_tmp):
    """Write list.txt with an image for each label."""
    noise().save("a.png")

    def write(*labels):
        Path("list.txt").write_text("".join(f"a.png {label}\n" for label in labels))

    return write


def test_a_list_is_read_and_its_images_are_opened_once_for_both_phases(list_of, opened):
    list_of(0, 11)
    noise().save("b.png")
    Path("list.txt").write_text("a.png 0\nb.png 11\n")
    accuracy = layer("right", "Accuracy", "ip label", more="include { phase: TEST }")
    opened.clear()
    assert len(faults(images() + scored() + accuracy)) == 1
    assert [opened.count(name) for name in ("list.txt", "a.png", "b.png")] == [1, 1, 1]


def test_a_pipe_in_the_place_of_an_image_is_no_image(list_of):
    list_of(0)
    Path("a.png").unlink()
    os.mkfifo("a.png")
    assert re.search(r"image 'a.png' in line 1 cannot be read \(not a regular file\)", *faults(images() + scored()))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (
            [*range(1, 11)],
            r"line 10 has the label 10; layer 'loss' \(SoftmaxWithLoss\) takes labels from 0 to 9: count",
        ),
        ([0, -1], "line 2 has the label -1; .* ignore_label: -1 }"),
        ([0, 10], "line 2 has the label 10; .* the 11 classes that they count up to"),
        ([3, 255, 255], "line 2 has the label 255, 2 of 3 are such; .* loss_param { ignore_label: 255 }"),
        ([0, 11, 10], "line 2 has the label 11, 2 of 3 are such; .* the 12 classes that they count up to"),
        ([1_000_000], "line 1 has the label 1000000; .* from 0 to 9"),
        ([-2, -1], "line 1 has the label -2, 2 of 2 are such; .* correct the labels"),
    ],
)
def test_labels_beyond_the_classes(list_of, labels, said):
    list_of(*labels)
    (sentence,) = faults(images() + scored())
    assert re.match(f"list 'list.txt': {said}", sentence), sentence


def test_labels_that_fit_or_are_ignored_are_not_spoken_of(list_of):
    list_of(0, 9, 255)
    assert faults(images() + scored(more="loss_param { ignore_label: 255 }")) == []
    # The accuracy does not ignore them: Caffe would read beside the scores there.
    accuracy = layer("acc", "Accuracy", "ip label")
    (one,) = faults(images() + scored(more="loss_param { ignore_label: 255 }") + accuracy)
    assert "layer 'acc' (Accuracy) takes labels from 0 to 9" in one
    assert "accuracy_param { ignore_label: 255 }" in one


def test_a_list_of_another_head_is_held_against_that_head(list_of):
    list_of(0, 1, 2)
    shutil.copy("list.txt", "parity.txt")
    parity = layer("p", "ImageData", "", "p_data p_label", "image_data_param { source: 'parity.txt' batch_size: 2 }")
    parity += layer("p_silence", "Silence", "p_data", "")
    head = layer("p_ip", "InnerProduct", "data", more="inner_product_param { num_output: 2 }")
    head += layer("parity/loss", "SoftmaxWithLoss", "p_ip p_label")
    (one,) = faults(images() + parity + scored() + head)
    assert one.startswith("list 'parity.txt': line 3 has the label 2; layer 'parity/loss' (SoftmaxWithLoss)")


def test_a_list_whose_labels_nothing_reads_needs_none(list_of):
    Path("list.txt").write_text("a.png\na.png x\n")
    assert faults(images() + layer("s", "Silence", "label", "")) == []
    assert len(faults(images() + layer("r", "EuclideanLoss", "label label"))) == 2


def test_a_list_that_is_not_there_is_not_spoken_of(in_tmp):
    assert faults(images("nowhere.txt") + scored()) == []


def save_all(folder):
    """Images of many formats, whole and not."""
    for ending in ("png", "jpg", "bmp", "gif", "tiff", "webp", "ppm"):
        noise().save(folder / f"whole.{ending}")
    noise(colour=True).save(folder / "colour.jpg", progressive=True)
    noise(colour=True).save(folder / "comment.jpg", comment=b"x" * 9000)
    for ending in ("png", "bmp", "jpg"):
        whole = (folder / f"whole.{ending}").read_bytes()
        for name, length in (("half", len(whole) // 2), ("begun", 60), ("end", len(whole) - 4)):
            (folder / f"{name}.{ending}").write_bytes(whole[:length])
        (folder / f"longer.{ending}").write_bytes(whole + b"more")
    (folder / "empty.png").touch()
    (folder / "page.jpg").write_text("<html>404</html>")
    (folder / "text.png").write_text("no image")


def test_images_are_refused_where_caffe_cannot_read_them(in_tmp):
    save_all(in_tmp)
    (in_tmp / "net.prototxt").write_text(images(batch=1))
    names = sorted(path.name for path in in_tmp.iterdir() if path.suffix != ".prototxt")
    lists = [f"{name} 0\n".encode() for name in names]
    read = [not isinstance(found, str) for found in run("jobs:first_batches", net="net.prototxt", lists=lists)]
    Path("list.txt").write_bytes(b"".join(lists))
    unread = [name for name, is_read in zip(names, read) if not is_read]
    assert 5 < len(unread) < len(names)
    assert all(read_header(name.encode()).doubtful for name in unread)
    assert not any(read_header(f"whole.{ending}".encode()).doubtful for ending in ("png", "jpg", "bmp"))
    assert list(run("netbuild.soundness.child:unread", paths=names)) == unread
    sentences = faults(images(batch=1))
    page = f"image 'page.jpg' in line {names.index('page.jpg') + 1} looks like text or HTML, and Caffe cannot read it"
    assert page in "\n".join(sentences)
    assert len(sentences) == len({read_header(name.encode()).format for name in unread})


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp"])
@pytest.mark.parametrize("size", [(5, 300), (300, 5), (28, 28)])
def test_sizes_are_those_of_pillow(in_tmp, ending, size):
    noise(size).save(f"a.{ending}")
    with Image.open(f"a.{ending}") as image:
        assert read_header(f"a.{ending}".encode()).size == (image.height, image.width) == size
    assert not read_header(f"a.{ending}".encode()).doubtful


def test_images_that_do_not_fit_are_named(in_tmp):
    for name, size in (("a", (28, 28)), ("b", (40, 28)), ("c", (28, 24))):
        noise(size).save(f"{name}.png")
    Path("list.txt").write_text("a.png 0\na.png 1\nb.png 2\nc.png 3\n")
    small = "list 'list.txt': image 'c.png' in line 4 is 28 x 24, smaller than the crop of 26 x 26; take a smaller crop"
    assert faults(images(transform="crop_size: 26"))[0].startswith(small)
    assert faults(images(transform="crop_size: 24")) == []
    assert faults(images(options="new_height: 20 new_width: 20")) == []
    unequal = "image 'c.png' in line 4 is 28 x 24, and 'b.png' in line 3 40 x 28: images of one batch must"
    assert unequal in faults(images())[0]
    assert "'b.png' in line 3 is 40 x 28, and 'a.png' in line 1 28 x 28" in faults(images(options="shuffle: true"))[0]
    assert faults(images(batch=1)) == []
    (one,) = faults(images(options="new_height: 20 new_width: 20", transform="crop_size: 24"))
    assert one == "layer 'd': its crop_size 24 is larger than new_height or new_width, 20"


def test_batches_that_are_each_of_one_size_are_taken_as_by_caffe(in_tmp, caffe):
    noise((28, 28)).save("a.png")
    noise((20, 24)).save("b.png")
    Path("list.txt").write_text("a.png 0\na.png 1\nb.png 2\nb.png 3\n")
    Path("net.prototxt").write_text(images())
    loaded = caffe.Net("net.prototxt", caffe.TEST)
    shapes = [loaded.forward() and loaded.blobs["data"].data.shape for _ in range(3)]
    assert shapes == [(2, 1, 28, 28), (2, 1, 20, 24), (2, 1, 28, 28)]
    assert faults(images()) == []


@pytest.mark.parametrize("sizes", [[(28, 28), (20, 28)], [(20, 20), (20, 20), (28, 20)]])
def test_an_image_of_another_size_under_weights_for_one_size_as_in_caffe(in_tmp, caffe, sizes):
    conv = layer("c", "Convolution", "data", "c", "convolution_param { num_output: 3 kernel_size: 3 }")
    pool = layer("p", "Pooling", "c", "p", "pooling_param { global_pooling: true }")
    nets = {"flat": conv + scored(bottom="c"), "any": conv + pool + scored(bottom="p")}
    for number, size in enumerate(sizes):
        noise(size).save(f"{number}.png")
    Path("list.txt").write_text("".join(f"{number}.png 0\n" for number in range(len(sizes))))
    told = {}
    for name, below in nets.items():
        Path(f"{name}.prototxt").write_text(images(batch=1) + below)

        def passes(name=name):
            loaded = caffe.Net(f"{name}.prototxt", caffe.TRAIN)
            for _ in sizes:
                loaded.forward()
                yield loaded.blobs["data"].data.shape[2:]

        try:
            assert list(aside(caffe, passes)) == sizes
            told[name] = []
        except CaffeError as error:
            assert "K_ == new_K" in str(error)
            told[name] = [len(sizes)]
    assert told == {"flat": [len(sizes)], "any": []}
    (one,) = faults(images(batch=1) + nets["flat"])
    assert f"in line {len(sizes)} is {sizes[-1][0]} x {sizes[-1][1]}, and '0.png' in line 1" in one
    assert "the weights of layer 'ip' (InnerProduct) are for images of one size" in one
    assert faults(images(batch=1) + nets["any"]) == []


def test_images_that_are_missing_or_no_files(in_tmp):
    noise().save("a.png")
    Path("folder.png").mkdir()
    Path("list.txt").write_text("a.png 0\nfolder.png 0\ngone.png 0\na.png/x.png 1\n")
    missing, folder = faults(images())
    assert missing.startswith("list 'list.txt': 2 of 4 images are not there; the first is 'gone.png' in line 3 (looked")
    assert folder == "list 'list.txt': image 'folder.png' in line 2 cannot be read (Is a directory)"


def test_lists_that_are_none(in_tmp):
    Path("list.txt").touch()
    assert faults(images()) == ["layer 'd': list 'list.txt': the file is empty"]
    assert "is a folder, and a file is expected" in faults(images(str(in_tmp)))[0]


def test_the_phases_are_looked_at_that_run(list_of):
    list_of(12)
    message = net((images() + scored()).replace('name: "d"', 'name: "d" include { phase: TRAIN }'))
    with pytest.raises(NetbuildError, match=r"^net: list 'list.txt': line 1 has the label 12"):
        require_readable(views(message, [TRAIN]), "net")
    require_readable(views(message, [TEST]), "net")


HDF5 = "hdf5_data_param { source: 'files.txt' batch_size: 2 }"


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 9], None),
        ([0, 1, 10], "data set 'label': value 2 has the label 10; layer 'loss'"),
        ([0.5, 1], "data set 'label': value 0 has the label 0.5; .* correct"),
        # The field ignore_label is of whole numbers of 32 bits.
        ([1.5, 1], r"data set 'label': value 0 has the label 1.5; [^{]* correct the labels$"),
        ([1.5, 9], r"data set 'label': value 0 has the label 1.5; [^{]* correct the labels$"),
        ([1, 1e10], r"data set 'label': value 1 has the label 1e\+10; [^{]* correct the labels"),
        ([1, 255], r"data set 'label': value 1 has the label 255; .* loss_param { ignore_label: 255 }"),
        ([float("nan"), 1], "data set 'label': value 0 has the label nan"),
    ],
)
def test_labels_in_hdf5_files(in_tmp, labels, said):
    h5py = pytest.importorskip("h5py")
    with h5py.File("a.h5", "w") as file:
        file["data"], file["label"] = np.zeros((len(labels), 3), np.float32), np.array(labels, np.float32)
    Path("files.txt").write_text("a.h5\n")
    scores = layer("s", "Parameter", "", "s", "parameter_param { shape { dim: 2 dim: 10 } }")
    found = faults(
        layer("d", "HDF5Data", "", "data label", HDF5) + scores + layer("loss", "SoftmaxWithLoss", "s label")
    )
    assert len(found) == bool(said)
    if said:
        assert re.match(f"list 'files.txt': file 'a.h5': {said}", found[0]), found


def test_hdf5_lists_name_files_with_the_data_sets_that_are_read(in_tmp):
    h5py = pytest.importorskip("h5py")
    text = layer("d", "HDF5Data", "", "data label", HDF5)
    with h5py.File("a.h5", "w") as file:
        file["data"] = np.zeros((2, 3), np.float32)
    Path("b.h5").write_text("no HDF5")
    Path("files.txt").write_text("a.h5\nmy files/c.h5\nb.h5\n")
    missing, absent, no_hdf5 = faults(text)
    assert missing.startswith("list 'files.txt': 2 of 4 files are not there; the first is 'my' (looked from")
    assert "word by word: no path may have blanks" in missing
    assert (
        absent
        == "list 'files.txt': file 'a.h5': data set 'label' is not there; the layer's tops are called as the data sets"
    )
    assert "file 'b.h5': cannot be read as HDF5" in no_hdf5


@pytest.fixture()
def lists(in_tmp, small_lists):
    """train.txt and val.txt in this folder."""
    for name, split in (("train.txt", "train_all"), ("val.txt", "val_all")):
        shutil.copy(small_lists.path(split), name)
    return in_tmp


def emitted(folder="net", classes=10, frozen=False, **options):
    solver = {"max_iter": "4", "test_interval": "4", "test_iter": "2", "random_seed": "1", "snapshot": "0"}
    source = DataSource(MNIST, train_batch=10, test_batch=10, **options)
    emit_files(Fusion({"": lenet}, classes, frozen=frozen), source, folder, solver_options=solver)


def relabelled(label, name="train.txt", line=1):
    lines = Path(name).read_text().splitlines(keepends=True)
    lines[line - 1] = f"{lines[line - 1].rpartition(' ')[0]} {label}\n"
    Path(name).write_text("".join(lines))


@pytest.mark.parametrize("label", [10, -1, 1_000_000, "cat", "1.5", ""])
@pytest.mark.parametrize("name", ["train.txt", "val.txt"])
def test_every_command_names_a_label_that_caffe_would_not_look_at(lists, trained, label, name):
    emitted()
    emitted("frozen", frozen=True)
    relabelled(label, name, line=7)
    weights = ("--weights", trained / "a.caffemodel")
    for words in (
        ("train", "net/solver.prototxt", "-o", "run"),
        ("train", "net/solver.prototxt", "-o", "run", "--features", "off"),
        ("features", "frozen/train_val.prototxt", *weights, "-o", "kept"),
        ("check", "net/train_val.prototxt"),
        ("emit", "lenet", "--classes", 10, "-o", "again"),
    ):
        output = commands.run(*words, code=1)
        assert f"list '{name}': line 7 " in output, words
    assert not any(map(os.path.exists, ("run", "kept", "again")))


def test_a_net_that_ignores_a_label_trains_with_it(lists):
    emitted()
    relabelled(255)
    relabelled(255, "val.txt")
    message = proto.read_net("net/train_val.prototxt")
    for one in message.layer:
        if one.type == "SoftmaxWithLoss":
            one.loss_param.ignore_label = 255
        elif one.type == "Accuracy":
            one.accuracy_param.ignore_label = 255
    proto.write("net/train_val.prototxt", message)
    assert "finished at iteration 4" in commands.run("train", "net/solver.prototxt", "-o", "run", "--no-plot")


def test_an_image_in_the_middle_of_a_list_is_found_before_training(lists):
    emitted()
    lines = Path("train.txt").read_text().splitlines(keepends=True)
    Path("train.txt").write_text("".join([*lines[:30], "gone.png 3\n", *lines[30:]]))
    output = commands.run("train", "net/solver.prototxt", "-o", "run", code=1)
    assert "1 of 41 images are not there; the first is 'gone.png' in line 31" in output
    assert not Path("run").exists()


def test_a_crop_larger_than_the_images_is_refused_with_the_list_at_hand(lists):
    output = commands.run("emit", "lenet", "--classes", 10, "--crop", 200, "-o", "net", code=1)
    assert "a crop of 200 is larger than the image, 28 x 28" in output
    assert not Path("net").exists()
    commands.run("emit", "lenet", "--classes", 10, "--crop", 24, "-o", "net")
    message = proto.read_net("net/train_val.prototxt")
    for one in message.layer[:2]:
        one.transform_param.crop_size = 200
    proto.write("net/train_val.prototxt", message)
    output = commands.run("train", "net/solver.prototxt", "-o", "run", code=1)
    assert "is 28 x 28, smaller than the crop of 200 x 200 (40 of 40 images are such)" in output


def test_a_net_is_emitted_where_its_images_are_not(in_tmp):
    Path("train.txt").write_text("elsewhere/a.png 3\n")
    with pytest.warns(NetbuildWarning, match="1 of 1 images are not there"):
        emitted()
    assert Path("net/train_val.prototxt").exists()
    output = commands.run("emit", "lenet", "--classes", 10, "-o", "again")
    assert "note: list 'train.txt': 1 of 1 images are not there" in output
    assert "not there" in commands.run("check", "net/train_val.prototxt", code=1)
