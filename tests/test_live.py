import os

import pytest

from netbuild import DataSource, Fusion, copy_branch, emit_files, lenet
from netbuild.branches.lenet import MNIST
from netbuild.errors import WeightsError
from netbuild.weights.index import index


@pytest.fixture()
def folder(tmp_path):
    source = DataSource(MNIST, kind="input", train_batch=2, test_batch=2)
    emit_files(Fusion({"odd": lenet, "even": lenet}, 10), source, tmp_path)
    return tmp_path


def alone(caffe, trained, name):
    return caffe.Net(os.fspath(trained / "lenet.prototxt"), os.fspath(trained / f"{name}.caffemodel"), caffe.TEST)


def test_a_net_in_memory_gets_a_branch(caffe, folder, trained):
    net = caffe.Net(os.fspath(folder / "deploy.prototxt"), caffe.TEST)
    untouched = net.params["even/ip1"][0].data.copy()
    copied = copy_branch(net, "odd", trained / "a.caffemodel")
    assert copied.layers == ["odd/conv1", "odd/conv2", "odd/ip1"]
    assert copied.unused == ["ip2"]
    for name, blobs in alone(caffe, trained, "a").params.items():
        for expected, blob in zip(blobs, net.params[f"odd/{name}"] if name != "ip2" else []):
            assert expected.data.tobytes() == blob.data.tobytes()
    assert untouched.tobytes() == net.params["even/ip1"][0].data.tobytes()


def test_a_solver_gets_a_branch(caffe, folder, trained):
    solver = caffe.get_solver(os.fspath(folder / "solver.prototxt"))
    copy_branch(solver, "even", trained / "b.caffemodel")
    expected = alone(caffe, trained, "b").params["ip1"][0].data
    assert solver.net.params["even/ip1"][0].data.tobytes() == expected.tobytes()


def test_what_does_not_fit_changes_nothing(caffe, folder, trained, tmp_path):
    net = caffe.Net(os.fspath(folder / "deploy.prototxt"), caffe.TEST)
    before = net.params["odd/conv1"][0].data.copy()
    text = (trained / "lenet.prototxt").read_text().replace("num_output: 500", "num_output: 400")
    (tmp_path / "other.prototxt").write_text(text)
    caffe.Net(os.fspath(tmp_path / "other.prototxt"), caffe.TEST).save(os.fspath(tmp_path / "other.caffemodel"))
    with pytest.raises(WeightsError, match="mismatch +odd/ip1 +500 x 800, 500 .* 400 x 800, 400"):
        copy_branch(net, "odd", tmp_path / "other.caffemodel")
    assert before.tobytes() == net.params["odd/conv1"][0].data.tobytes()
    with pytest.raises(WeightsError, match="no layer"):
        copy_branch(net, "green", trained / "a.caffemodel")


def test_a_file_that_was_indexed_already_is_taken_as_its_path(caffe, folder, trained):
    net = caffe.Net(os.fspath(folder / "deploy.prototxt"), caffe.TEST)
    model = index(trained / "a.caffemodel")
    for prefix in ("odd", "even"):
        copy_branch(net, prefix, model)
    expected = alone(caffe, trained, "a").params["ip1"][0].data.tobytes()
    assert [net.params[f"{prefix}/ip1"][0].data.tobytes() for prefix in ("odd", "even")] == [expected, expected]


def test_an_error_names_no_option_of_a_command(caffe, folder, trained):
    net = caffe.Net(os.fspath(folder / "deploy.prototxt"), caffe.TEST)
    with pytest.raises(WeightsError) as error:
        copy_branch(net, "", trained / "a.caffemodel")
    assert "missing" in str(error.value)
    assert "--" not in str(error.value)
    assert "partial" not in str(error.value)
