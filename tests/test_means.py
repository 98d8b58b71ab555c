"""Mean files, looked at before a run; real Caffe says what it would have made of them."""

from pathlib import Path

import commands
import numpy as np
import pytest
from nets import layer, net
from PIL import Image

from netbuild import DataSource, Fusion, emit_files, lenet
from netbuild.data.means import read_mean
from netbuild.engine.child import run
from netbuild.errors import NetbuildError
from netbuild.graph.view import views
from netbuild.soundness.check import data_faults, require_readable

RESIZED = "new_height: 20 new_width: 24"


def images(options="", crop=0, *, grey=True):
    """Images of list.txt, 28 x 28, less the mean of mean.bp."""
    fields = f"source: 'list.txt' batch_size: 2 is_color: {'false' if grey else 'true'} {options}"
    transform = f"transform_param {{ mean_file: 'mean.bp' crop_size: {crop} }}"
    return layer("d", "ImageData", "", "data label", f"image_data_param {{ {fields} }} {transform}")


def blob(pb, *lengths, legacy=False, values=None, kind="data"):
    """The bytes of a BlobProto of a shape."""
    made = pb.BlobProto()
    if legacy:
        made.num, made.channels, made.height, made.width = lengths
    else:
        made.shape.dim.extend(lengths)
    getattr(made, kind).extend(np.full(int(np.prod(lengths)), 7.0) if values is None else values)
    return made.SerializeToString()


@pytest.fixture()
def listed(in_tmp):
    for name in "ab":
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (28, 28)).astype(np.uint8)).save(f"{name}.png")
    Path("list.txt").write_text("a.png 0\nb.png 1\n")


CASES = [
    (images(), (1, 1, 28, 28), {}, None),
    (images(), (1, 1, 28, 28), {"legacy": True}, None),
    (images(), (1, 1, 28, 28), {"kind": "double_data"}, None),
    (images(), (3, 1, 28, 28), {}, None),
    (images(crop=20), (1, 1, 28, 28), {}, None),
    (images(RESIZED), (1, 1, 20, 24), {}, None),
    (images(RESIZED, 16), (1, 1, 20, 24), {}, None),
    (images(grey=False), (1, 3, 28, 28), {}, None),
    (images(), (1, 1, 10, 10), {}, "list 'list.txt': image 'a.png' in line 1 is 28 x 28 (2 of 2 images are such)"),
    (images(crop=20), (1, 1, 20, 20), {}, "image 'a.png' in line 1 is 28 x 28"),
    (images(RESIZED), (1, 1, 28, 28), {}, "its images are resized to 20 x 24"),
    (images(RESIZED), (1, 1, 24, 20), {}, "its images are resized to 20 x 24"),
    (images(RESIZED, 16), (1, 1, 16, 16), {}, "its images are resized to 20 x 24"),
    (images(), (1, 3, 28, 28), {}, "is 3 x 28 x 28 (channels, height, width), and its images have 1 channel;"),
    (images(grey=False), (1, 1, 28, 28), {}, "its images have 3 channels"),
    # Caffe counts four axes from the first on.
    (images(), (1, 28, 28), {}, "is 28 x 28 x 1 (channels"),
    (images(), (1, 1, 1, 28, 28), {}, "has 784 values for a shape of 1 x 1 x 1 x 28 x 28; expected"),
    (images(), (1, 1, 28, 28), {"values": [1.0]}, "has 1 value for a shape of 1 x 1 x 28 x 28"),
    (images(), (), {"values": []}, "has no value for a shape of no length"),
    (images(), (), {}, "has 1 value for a shape of no length"),
]


def test_a_mean_fits_where_caffe_takes_it(listed, pb):
    found = []
    for number, (text, lengths, options, _) in enumerate(CASES):
        Path(f"{number}.bp").write_bytes(blob(pb, *lengths, **options))
        Path(f"{number}.prototxt").write_text(text.replace("mean.bp", f"{number}.bp"))
        found.append([fault.sentence for fault in data_faults(net(Path(f"{number}.prototxt").read_text()))])
    outcomes = list(run("jobs:first_batch_of", nets=[f"{number}.prototxt" for number in range(len(CASES))]))
    assert [not isinstance(one, str) for one in outcomes] == [not sentences for sentences in found], outcomes
    for (_, _, _, said), sentences in zip(CASES, found):
        assert len(sentences) == bool(said), sentences
        assert not said or said in sentences[0]


@pytest.mark.parametrize("content", [b"", b"junk", b"\xff" * 40, b"\x0a\x7f", b"\x0c"])
def test_files_that_are_no_mean(listed, content):
    Path("mean.bp").write_bytes(content)
    Path("net.prototxt").write_text(images())
    (outcome,) = run("jobs:first_batch_of", nets=["net.prototxt"])
    assert isinstance(outcome, str)
    (fault,) = data_faults(net(images()))
    assert fault.sentence.startswith("mean file 'mean.bp': ")


def test_a_mean_of_no_numbers(listed, pb):
    Path("mean.bp").write_bytes(blob(pb, 1, 1, 28, 28, values=[*[1.0] * 783, float("nan")]))
    with pytest.raises(NetbuildError, match=r"mean.bp': has values that are no finite numbers"):
        read_mean("mean.bp")


def test_a_database_tells_of_its_images_only_what_the_layer_does(in_tmp, pb):
    def said(transform):
        fields = f"data_param {{ source: 'db' batch_size: 2 }} transform_param {{ mean_file: 'mean.bp' {transform} }}"
        return [one.sentence for one in data_faults(net(layer("d", "Data", "", "data label", fields)))]

    Path("mean.bp").write_bytes(blob(pb, 1, 1, 28, 28))
    assert said("") == said("crop_size: 28") == said("force_gray: true") == []
    assert "its images are cropped to 29 x 29" in said("crop_size: 29")[0]
    assert "its images have 3 channels" in said("force_color: true")[0]


def emitted(folder):
    solver = {"max_iter": "2", "test_interval": "2", "test_iter": "1", "snapshot": "0"}
    lists = {"train_source": "list.txt", "test_source": "list.txt"}
    source = DataSource(mean_file="mean.bp", train_batch=2, test_batch=2, **lists)
    emit_files(Fusion({"": lenet}, 10, frozen=False), source, folder, solver_options=solver)


def test_every_command_looks_at_the_mean(listed, pb):
    Path("mean.bp").write_bytes(blob(pb, 1, 1, 28, 28))
    emitted("net")
    commands.run("train", "net/solver.prototxt", "-o", "good", "--no-plot")
    commands.run("check", "net/train_val.prototxt")
    Path("mean.bp").write_bytes(blob(pb, 1, 1, 10, 10))
    words = "its mean file 'mean.bp' is 1 x 10 x 10 (channels, height, width), and list 'list.txt': image 'a.png'"
    for command in (("train", "net/solver.prototxt", "-o", "run"), ("check", "net/train_val.prototxt")):
        assert words in commands.run(*command, code=1)
    with pytest.raises(NetbuildError, match=r"its mean file 'mean.bp' is 1 x 10 x 10"):
        emitted("again")
    Path("mean.bp").write_bytes(b"junk")
    output = commands.run("train", "net/solver.prototxt", "-o", "run", code=1)
    assert "mean file 'mean.bp': is no BlobProto" in output
    assert not any(Path(folder).exists() for folder in ("run", "again"))


def test_a_mean_that_is_not_there_is_noted_where_nothing_runs(listed, pb):
    Path("mean.bp").write_bytes(blob(pb, 1, 1, 28, 28))
    emitted("net")
    Path("mean.bp").unlink()
    output = commands.run("check", "net/train_val.prototxt")
    assert output.count("note: the mean file 'mean.bp' is not there") == 1
    output = commands.run("train", "net/solver.prototxt", "-o", "run", code=1)
    assert "the mean file 'mean.bp' is not there" in output
    assert not Path("run").exists()
    with pytest.raises(NetbuildError, match="the mean file 'mean.bp' is not there"):
        require_readable(views(net(images()), [0]), "net")
