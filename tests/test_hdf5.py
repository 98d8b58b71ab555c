import contextlib
import os
import time

import numpy as np
import oracle
import pytest
from commands import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netbuild import DataSource, Fusion, emit_files, fuse_weights, lenet, weight_report
from netbuild.branches.lenet import MNIST
from netbuild.errors import WeightsError
from netbuild.fuse.live import read_values
from netbuild.weights.index import index, kind_of
from netbuild.weights.wire import WireFile

h5py = pytest.importorskip("h5py")


def values(path):
    """Everything in a file as {layer: [array, ...]}, read by netbuild."""
    model = index(path)
    with WireFile(path) as file:
        return {layer.name: [read_values(file, blob) for blob in layer.blobs] for layer in model.layers}


@pytest.fixture()
def saved(caffe, trained, tmp_path):
    """A net in Caffe, and the HDF5 file that Caffe saved of it."""
    net = caffe.Net(os.fspath(trained / "lenet.prototxt"), os.fspath(trained / "a.caffemodel"), caffe.TEST)
    net.save_hdf5(os.fspath(tmp_path / "a.caffemodel.h5"))
    return net, tmp_path / "a.caffemodel.h5"


def test_a_file_that_caffe_saved(saved):
    net, path = saved
    assert kind_of(path) == "hdf5"
    found = values(path)
    assert set(found) == set(net.params)
    for name, blobs in net.params.items():
        assert [blob.data.shape for blob in blobs] == [array.shape for array in found[name]]
        assert [blob.data.tobytes() for blob in blobs] == [array.tobytes() for array in found[name]]


def test_branches_are_fused_from_hdf5(caffe, trained, saved, tmp_path):
    source = DataSource(MNIST, kind="input", train_batch=2, test_batch=2)
    emit_files(Fusion({"odd": lenet, "even": lenet}, 10), source, tmp_path / "fused")
    target = tmp_path / "fused" / "deploy.prototxt"
    fuse_weights(target, {"odd": saved[1], "even": trained / "b.caffemodel"}, tmp_path / "mixed")
    fuse_weights(target, {"odd": trained / "a.caffemodel", "even": trained / "b.caffemodel"}, tmp_path / "plain")
    assert (tmp_path / "mixed").read_bytes() == (tmp_path / "plain").read_bytes()
    net = caffe.Net(os.fspath(target), os.fspath(tmp_path / "mixed"), caffe.TEST)
    assert net.params["odd/ip1"][0].data.tobytes() == saved[0].params["ip1"][0].data.tobytes()


def test_what_h5py_writes_is_read_alike(tmp_path):
    path = tmp_path / "m.h5"
    single = np.arange(6, dtype="<f4").reshape(2, 3)
    with h5py.File(path, "w") as file:
        file["data/odd/conv1/0"] = single
        file["data/odd/conv1/1"] = np.array([0.1, 0.2], "<f8")
        file["data/scalar/0"] = np.float32(7)
        file["data/none/0"] = np.zeros((0, 3), "<f4")
        file["diff/odd/conv1/0"] = single
        file.create_group("data/relu")
    found = values(path)
    assert set(found) == {"odd/conv1", "scalar", "none"}
    np.testing.assert_array_equal(found["odd/conv1"][0], single)
    np.testing.assert_array_equal(found["odd/conv1"][1], [0.1, 0.2])
    assert found["scalar"][0].shape == ()
    assert found["none"][0].shape == (0, 3)


@pytest.mark.parametrize(
    ("fill", "reason"),
    [
        ({}, "has no group /data"),
        ({"data": np.zeros(3, "<f4")}, "has no group /data"),
        ({"data/conv/0": np.zeros(3, "<i4")}, "blob 0 of layer 'conv' holds int32; Caffe writes float or double"),
        ({"data/conv/0": np.zeros(3, ">f4")}, "blob 0 of layer 'conv' holds >f4"),
        ({"data/conv/0": h5py.Empty("<f4")}, "blob 0 of layer 'conv' has no shape"),
        ({"data/conv/1": np.zeros(3, "<f4")}, "layer 'conv' has the blobs 1; expected 0"),
    ],
)
def test_other_contents_are_refused(tmp_path, fill, reason):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for name, array in fill.items():
            file[name] = array
    with pytest.raises(WeightsError, match=reason):
        index(tmp_path / "m.h5")


def test_a_type_that_numpy_does_not_have_is_refused(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        group = file.create_group("data/conv")
        h5py.h5d.create(group.id, b"0", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((2,)))
    with pytest.raises(WeightsError, match="damaged, or not HDF5.*TypeTimeID"):
        index(tmp_path / "m.h5")


def test_lengths_beside_a_0_that_no_blob_has_are_refused(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("data/conv/0", (0, 2**31, 2**31, 2**31), "<f4")
    with pytest.raises(WeightsError, match="more than 2147483647 values"):
        index(tmp_path / "m.h5")


def test_values_in_chunks_are_refused_with_the_remedy(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("data/conv/0", data=np.zeros((4, 4), "<f4"), compression="gzip")
    with pytest.raises(WeightsError, match="h5repack -l CONTI -f NONE"):
        index(tmp_path / "m.h5")


TWO = """
layer { name: "conv" type: "Parameter" top: "a" parameter_param { shape { dim: 2 } } }
layer { name: "fc" type: "Parameter" top: "b" parameter_param { shape { dim: 2 } } }
"""


def linked(path, *links):
    """Make a file with the layer conv and these links (name, what it is), and beside it what external ones lead to."""
    with h5py.File(path.with_name("other.h5"), "w") as file:
        file["data/fc/0"] = np.array([7, 8], "<f4")
    with h5py.File(path, "w") as file:
        file["pad"] = np.full(4000, 42, "<f4")
        file["data/conv/0"] = np.array([1, 2], "<f4")
        for name, link in links:
            file[name] = file[link] if isinstance(link, str) else link
    return path


@pytest.mark.parametrize(
    "links",
    [
        [("data/fc", h5py.SoftLink("/data/conv"))],
        [("data/fc/0", h5py.SoftLink("/data/conv/0"))],
        [("data/fc", h5py.SoftLink("conv"))],
        [("more", h5py.SoftLink("/data/./")), ("data/fc", h5py.SoftLink("/more/conv"))],
        [("data/fc", "data/conv")],
        [("data/fc/0", "data/conv/0")],
    ],
)
def test_a_layer_of_two_names_is_read_under_both_as_caffe_does(caffe, tmp_path, links):
    path = linked(tmp_path / "m.h5", *links)
    (tmp_path / "net.prototxt").write_text(TWO)
    params = caffe.Net(os.fspath(tmp_path / "net.prototxt"), os.fspath(path), caffe.TEST).params
    expected = {name: [blob.data.tolist() for blob in blobs] for name, blobs in params.items()}
    assert {name: [array.tolist() for array in arrays] for name, arrays in values(path).items()} == expected


ELSEWHERE = h5py.ExternalLink("other.h5", "/data")


@pytest.mark.parametrize(
    ("links", "sentence"),
    [
        ([("data/fc", h5py.ExternalLink("other.h5", "/data/fc"))], "/data/fc is a link into another file .'other.h5'"),
        ([("data/fc/0", h5py.ExternalLink("other.h5", "/data/fc/0"))], "/data/fc/0 is a link into another file"),
        ([("data/a/b/c", ELSEWHERE)], "/data/a/b/c is a link into another file"),
        ([("out", ELSEWHERE), ("data/fc", h5py.SoftLink("/out/fc"))], "/out is a link into another file"),
        ([("data/x", h5py.ExternalLink("m.h5", "/data/conv"))], "/data/x is a link into another file .'m.h5'"),
        ([("data/a", h5py.SoftLink("b")), ("data/b", h5py.SoftLink("a"))], "more than 16 times: a circle"),
        ([("data/fc", h5py.SoftLink("/nowhere/fc"))], "/data/fc is a link to '/nowhere/fc', which is not in the file"),
        ([("data/fc", h5py.SoftLink("conv/0/1"))], "/data/fc is a link to 'conv/0/1', which is not in the file"),
        ([("data/conv/self", "data")], "the group 'conv/self' holds itself"),
        ([("data/conv/self", h5py.SoftLink("/data"))], "the group 'conv/self' holds itself"),
    ],
)
def test_links_that_lead_out_of_the_file_or_nowhere_are_refused(tmp_path, links, sentence):
    path = linked(tmp_path / "m.h5", *links)
    with pytest.raises(WeightsError, match=sentence):
        index(path)


def test_no_command_takes_values_through_a_link_into_another_file(trained, tmp_path):
    """Caffe follows the link; its offsets mean something else in the file that is read here."""
    path = linked(tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        file.move("data", "old")
        file["data"] = ELSEWHERE
    (tmp_path / "net.prototxt").write_text(TWO)
    for arguments in (
        ["weights", path],
        ["convert", path, tmp_path / "out.caffemodel"],
        ["fuse", tmp_path / "net.prototxt", "--weights", f"={path}", "--partial", "-o", tmp_path / "out.caffemodel"],
    ):
        assert "/data is a link into another file ('other.h5')" in run(*arguments, code=1)
    assert not (tmp_path / "out.caffemodel").exists()


def test_what_an_external_link_names_is_not_opened(tmp_path):
    # A pipe: whoever opened it would wait for ever.
    os.mkfifo(tmp_path / "pipe")
    for link in (("data/fc", h5py.ExternalLink("pipe", "/x")), ("data/fc/0", h5py.ExternalLink("pipe", "/x"))):
        with pytest.raises(WeightsError, match="into another file"):
            index(linked(tmp_path / "m.h5", link))


def test_a_link_of_a_users_own_kind_is_refused(tmp_path):
    path = linked(tmp_path / "m.h5", ("data/fc", h5py.ExternalLink("other.h5", "/data/fc")))
    # Kinds of links from 65 on are a user's own; 64 is the external one. In the file of the oldest format the byte
    # stands behind version and flags of the link's message.
    raw = path.read_bytes()
    external = raw.replace(bytes([1, 8, 64]), bytes([1, 8, 99]))
    assert external != raw
    path.write_bytes(external)
    with pytest.raises(WeightsError, match="/data/fc is a link of a kind that HDF5 itself does not have"):
        index(path)


def test_groups_that_hold_each_other_many_times_end(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        below = file.create_group("g")
        for number in range(40):  # 2 ** 40 names
            above = file.create_group(f"g{number}")
            above["a"] = above["b"] = below
            below = above
        file["data"] = below
    with pytest.raises(WeightsError, match="more than 131072 groups and blobs"):
        index(tmp_path / "m.h5")


def test_groups_a_thousand_deep_are_refused(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        group = file.create_group("data")
        for _ in range(1200):
            group = group.create_group("x")
    with pytest.raises(WeightsError, match="has more than 64 parts"):
        index(tmp_path / "m.h5")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(
    st.sampled_from(oracle.hdf5_seeds()),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_a_damaged_file_is_read_as_h5py_reads_it_or_refused_in_words(tmp_path, seed, changes):
    raw = bytearray(seed)
    for at, byte in changes:
        raw[at % len(raw)] = byte
    path = tmp_path / "damaged.h5"
    path.write_bytes(raw)
    oracle.judge_hdf5(raw, path)
    with contextlib.suppress(WeightsError):
        weight_report(path)


def test_a_float_with_its_bits_arranged_otherwise_is_refused(tmp_path):
    # An exponent of one bit: numpy calls that float32 too, and HDF5 would convert it.
    odd = h5py.h5t.IEEE_F32LE.copy()
    odd.set_fields(31, 23, 1, 0, 23)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        group = file.create_group("data/conv")
        h5py.h5d.create(group.id, b"0", odd, h5py.h5s.create_simple((4,)))
        assert file["data/conv/0"].dtype == "<f4"
    with pytest.raises(WeightsError, match="Caffe writes float or double"):
        index(tmp_path / "m.h5")


def test_a_name_that_is_no_text_is_refused(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        h5py.h5g.create(file.create_group("data").id, b"n\xff")
    with pytest.raises(WeightsError, match="is not UTF-8"):
        index(tmp_path / "m.h5")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.data())
def test_a_file_cut_short_is_one_sentence(tmp_path, data):
    whole = tmp_path / "whole.h5"
    if not whole.exists():
        with h5py.File(whole, "w") as file:
            file["data/conv/0"] = np.arange(50, dtype="<f4")
    raw = whole.read_bytes()
    (tmp_path / "cut.h5").write_bytes(raw[: data.draw(st.integers(8, len(raw) - 1))])
    with pytest.raises(WeightsError, match="damaged, or not HDF5"):
        index(tmp_path / "cut.h5")


def test_a_net_fused_into_hdf5_is_what_caffe_reads(caffe, trained, tmp_path):
    source = DataSource(MNIST, kind="input", train_batch=2, test_batch=2)
    emit_files(Fusion({"odd_": lenet, "even_": lenet}, 10), source, tmp_path)
    target, weights = (
        tmp_path / "deploy.prototxt",
        {"odd_": trained / "a.caffemodel", "even_": trained / "b.caffemodel"},
    )
    fuse_weights(target, weights, tmp_path / "init.caffemodel")
    fuse_weights(target, weights, tmp_path / "init.h5")
    expected = caffe.Net(os.fspath(target), os.fspath(tmp_path / "init.caffemodel"), caffe.TEST)
    net = caffe.Net(os.fspath(target), os.fspath(tmp_path / "init.h5"), caffe.TEST)
    copied = [name for name in net.params if name.startswith(("odd_", "even_"))]
    assert len(copied) == 6
    for name in copied:
        for blob, other in zip(net.params[name], expected.params[name]):
            assert blob.data.tobytes() == other.data.tobytes()
    first = (tmp_path / "init.h5").read_bytes()
    time.sleep(1.1)  # HDF5 would tell the second of its making
    fuse_weights(target, weights, tmp_path / "init.h5")
    assert (tmp_path / "init.h5").read_bytes() == first


def test_names_that_caffe_does_not_find_in_hdf5_are_refused(trained, tmp_path):
    source = DataSource(MNIST, kind="input", train_batch=2, test_batch=2)
    emit_files(Fusion({"odd": lenet, "even": lenet}, 10), source, tmp_path)
    (tmp_path / "init.h5").write_bytes(b"old")
    weights = {"odd": trained / "a.caffemodel", "even": trained / "b.caffemodel"}
    with pytest.raises(
        WeightsError, match=r"no layer with '/'.*here are 6 \(first 'odd/conv1'\).*prefix such as 'odd_'"
    ):
        fuse_weights(tmp_path / "deploy.prototxt", weights, tmp_path / "init.h5")
    assert (tmp_path / "init.h5").read_bytes() == b"old"
    assert not list(tmp_path.glob(".*"))


def test_shared_parameters_stand_in_their_owner_alone(caffe, tmp_path):
    """Caffe saves them so: a layer that shares all its parameters is not missing."""
    text = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 } } }'
    fc = 'inner_product_param { num_output: 2 } param { name: "%sw" } param { name: "%sb" }'
    for name, bottom in (("one", "data"), ("two", "one")):
        text += f'layer {{ name: "%s{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" {fc} }}'
    (tmp_path / "alone.prototxt").write_text(text.replace("%s", ""))
    (tmp_path / "fused.prototxt").write_text(text.replace("%s", "x/"))
    net = caffe.Net(os.fspath(tmp_path / "alone.prototxt"), caffe.TEST)
    net.params["one"][0].data[...] = [[1, 2], [3, 4]]
    net.save_hdf5(os.fspath(tmp_path / "alone.h5"))
    fused = fuse_weights(tmp_path / "fused.prototxt", {"x": tmp_path / "alone.h5"}, tmp_path / "init")
    assert (fused.plan.shared, fused.plan.left_to_fillers) == (("x/two",), ())
    params = caffe.Net(os.fspath(tmp_path / "fused.prototxt"), os.fspath(tmp_path / "init"), caffe.TEST).params
    assert params["x/one"][0].data.tolist() == params["x/two"][0].data.tolist() == [[1, 2], [3, 4]]
