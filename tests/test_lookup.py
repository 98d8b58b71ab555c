"""The shape of an input, looked up in what tells it: a mean for each channel, a mean image, HDF5 data sets."""

import numpy as np
import pytest
from commands import invoke, run
from nets import fc, layer

from netbuild import proto
from netbuild.schema import schema


def database(transform):
    return layer(
        "d",
        "Data",
        "",
        "data label",
        f"data_param {{ source: 'l' batch_size: 4 backend: LMDB }} transform_param {{ {transform} }}",
    )


def write(path, source):
    path.write_text(source + fc("ip", "data", 4) + fc("fc", "ip", 2) + layer("s", "Silence", "label", ""))


def shape():
    return list(proto.read_net("out/deploy.prototxt").layer[0].input_param.shape[0].dim)[1:]


def mean_image(path, lengths):
    blob = schema().BlobProto(data=np.zeros(lengths, np.float32).reshape(-1).tolist())
    blob.shape.dim.extend(lengths)
    path.write_bytes(blob.SerializeToString())


EMIT = ["emit", "net.prototxt@ip", "--classes", 3, "-o", "out"]


@pytest.mark.parametrize("kind", ["lmdb", "input", "image"])
def test_a_crop_and_a_mean_for_each_channel_tell_the_shape(in_tmp, kind):
    write(in_tmp / "net.prototxt", database("crop_size: 24 mean_value: 104 mean_value: 117 mean_value: 123"))
    run(*EMIT, "--data", kind)
    assert shape() == [3, 24, 24]


def test_one_mean_is_for_any_channels(in_tmp):
    write(in_tmp / "net.prototxt", database("crop_size: 24 mean_value: 104"))
    assert "input 'data': the shape of the input is not known" in invoke(*EMIT, "--data", "lmdb", code=1).output
    assert "--shape C,24,24" in invoke(*EMIT, "--data", "lmdb", code=1).output
    run(*EMIT, "--data", "lmdb", "--grey")
    assert shape() == [1, 24, 24]


@pytest.mark.parametrize(("transform", "expected"), [("", [3, 8, 9]), ("crop_size: 6", [3, 6, 6])])
@pytest.mark.parametrize("kind", ["lmdb", "input"])
def test_a_mean_image_has_the_shape_of_the_images(in_tmp, transform, expected, kind):
    write(in_tmp / "net.prototxt", database(f"mean_file: 'mean.binaryproto' {transform}"))
    assert "not known" in invoke(*EMIT, "--data", kind, code=1).output
    mean_image(in_tmp / "mean.binaryproto", (1, 3, 8, 9))
    run(*EMIT, "--data", kind)
    assert shape() == expected
    (in_tmp / "mean.binaryproto").write_bytes(b"none")
    assert "not known" in invoke(*EMIT, "--data", kind, code=1).output


def test_a_mean_image_of_the_command_line(in_tmp):
    write(in_tmp / "net.prototxt", database(""))
    mean_image(in_tmp / "m", (1, 1, 8, 9))
    run(*EMIT, "--data", "lmdb", "--mean-file", "m", "--crop", 5)
    assert shape() == [1, 5, 5]


def test_a_list_of_hdf5_files_tells_the_shapes_of_its_data_sets(caffe, in_tmp):
    h5py = pytest.importorskip("h5py")
    with h5py.File("a.h5", "w") as file:
        file["data"], file["label"] = np.ones((9, 2, 3), np.float32), np.zeros(9, np.float32)
    (in_tmp / "list.txt").write_text("a.h5\n")
    stored = layer("d", "HDF5Data", "", "data label", "hdf5_data_param { source: 'list.txt' batch_size: 4 }")
    write(in_tmp / "net.prototxt", stored)
    run(*EMIT, "--data", "input")
    assert shape() == list(caffe.Net("net.prototxt", caffe.TEST).blobs["data"].data.shape)[1:] == [2, 3]
    write(in_tmp / "net.prototxt", database(""))
    run(*EMIT, "--data", "hdf5", "--train-source", "list.txt", "--test-source", "list.txt", "--test-batch", 4)
    assert shape() == [2, 3]
    assert caffe.Net("out/train_val.prototxt", caffe.TEST).blobs["data"].data.shape == (4, 2, 3)
    (in_tmp / "list.txt").write_text("")
    assert "not known" in invoke(*EMIT, "--data", "hdf5", "--test-source", "list.txt", code=1).output


def test_the_shape_of_a_second_input_has_no_option(in_tmp):
    given = layer("p", "Data", "", "image label", "data_param { source: 'l' batch_size: 4 backend: LMDB }")
    also = layer("h", "HDF5Data", "", "more", "hdf5_data_param { source: 'nowhere' batch_size: 4 }")
    both = layer("sum", "Eltwise", "image more", "data")
    write(in_tmp / "net.prototxt", given + also + both)
    said = invoke(*EMIT, "--data", "input", "--shape", "3,4,4", code=1).output
    assert "input 'more': its shape is not known from the branches' nets, and --shape is for the first input" in said
