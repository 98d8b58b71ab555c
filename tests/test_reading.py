"""Options of data layers on which real Caffe aborts, as soon as it reads or before."""

import faulthandler

import numpy as np
import pytest
from next_door import aside
from shape_nets import layer, net

from netbuild.errors import CaffeError
from netbuild.graph.check import problems
from netbuild.schema import TEST

pytestmark = pytest.mark.usefixtures("slim")

LISTED = 'image_data_param { source: "list" batch_size: 2 %s } transform_param { %s }'
WINDOWS = 'window_data_param { source: "windows" batch_size: 2 %s } transform_param { crop_size: 4 %s }'
STORED = 'hdf5_data_param { source: "files" batch_size: 2 }'
MEANS = "mean_value: 1 mean_value: 2 "
WRONG = [
    ("ImageData", LISTED % ("", 'mean_file: ""'), "mean_file is empty, and Caffe aborts"),
    ("ImageData", LISTED % ("", 'mean_file: "x" ' + MEANS), "mean_file and mean_value are both given"),
    ("ImageData", LISTED % ("", MEANS), "has 2 mean_value for 3 channels, and Caffe aborts when it runs"),
    ("ImageData", LISTED % ("is_color: false", MEANS), "has 2 mean_value for 1 channel, and Caffe aborts when it runs"),
    ("WindowData", WINDOWS % ("", MEANS), "has 2 mean_value for 3 channels"),
    ("WindowData", WINDOWS % ("context_pad: 2", ""), "context_pad 2 on both sides leaves nothing of the crop_size 4"),
    ("HDF5Data", STORED + " transform_param { scale: 0.1 }", "Caffe aborts on its transform_param"),
    ("HDF5Data", STORED + " transform_param { }", "Caffe aborts on its transform_param"),
    ("HDF5Data", 'hdf5_data_param { source: "files" }', "batch_size must be given, and at least 1"),
]
SOUND = [
    ("ImageData", LISTED % ("", "mean_value: 1 crop_size: 4 scale: 2")),
    ("ImageData", LISTED % ("", MEANS + "mean_value: 3")),
    ("ImageData", LISTED % ("is_color: false", "mean_value: 1")),
    ("WindowData", WINDOWS % ("context_pad: 1 fg_fraction: 1", MEANS + "mean_value: 3")),
    ("HDF5Data", STORED),
]


@pytest.fixture
def data(in_tmp):
    from h5py import File
    from PIL import Image

    Image.new("RGB", (8, 7)).save("a.png")
    (in_tmp / "list").write_text("a.png 1\n")
    (in_tmp / "windows").write_text(f"# 0\n{in_tmp}/a.png\n3\n7\n8\n2\n1 0.9 0 0 4 4\n0 0.1 0 0 4 4\n")
    with File("a.h5", "w") as file:
        file["x"], file["y"] = np.zeros((4, 3), np.float32), np.zeros(4, np.float32)
    (in_tmp / "files").write_text("a.h5\n")
    return in_tmp


def _outcome(caffe, text, folder):
    """Return why real Caffe gives up on the net or on its first batch, None where it does not."""
    (folder / "net").write_text(text)

    def run():
        faulthandler.disable()
        yield bool(caffe.Net(str(folder / "net"), TEST).forward())

    try:
        list(aside(caffe, run))
    except CaffeError as error:
        return str(error)
    return None


@pytest.mark.parametrize(("kind", "options", "sentence"), WRONG)
def test_what_caffe_aborts_on_when_it_reads_is_told(caffe, data, kind, options, sentence):
    text = layer(kind, options, "", "x y")
    assert _outcome(caffe, text, data)
    (found,) = problems(net(text), in_phases=[TEST])
    assert found.startswith(f"layer '{kind}' ({kind}): {sentence}")


@pytest.mark.parametrize(("kind", "options"), SOUND)
def test_what_caffe_reads_is_no_problem(caffe, data, kind, options):
    text = layer(kind, options, "", "x y")
    assert _outcome(caffe, text, data) is None
    assert problems(net(text), in_phases=[TEST]) == []


@pytest.mark.parametrize("fraction", [-1, 2])
def test_window_data_must_not_write_beside_its_batch(fraction):
    # Real Caffe corrupts its memory: what becomes of it is not said.
    text = layer("WindowData", WINDOWS % (f"fg_fraction: {fraction}", ""), "", "x y")
    assert problems(net(text)) == [f"layer 'WindowData' (WindowData): fg_fraction {fraction} must be from 0 to 1"]
