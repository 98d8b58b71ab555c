import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netbuild import DataSource, Fusion, emit_files, fuse_weights, lenet, verify_branches
from netbuild.branches.lenet import MNIST
from netbuild.errors import CaffeError, GraphError, NetbuildError, NetbuildWarning
from netbuild.verify.branches import Original


@pytest.fixture()
def fused(tmp_path, trained):
    emit_files(Fusion({"odd": lenet, "even": lenet}, 10), DataSource(MNIST), tmp_path / "net")
    weights = {"odd": trained / "a.caffemodel", "even": trained / "b.caffemodel"}
    fuse_weights(tmp_path / "net" / "deploy.prototxt", weights, tmp_path / "init.caffemodel")
    return tmp_path


def originals(trained, net="lenet.prototxt"):
    net = os.fspath(trained / net) if net.endswith("prototxt") else net
    return {
        "odd": Original(net, os.fspath(trained / "a.caffemodel")),
        "even": Original(net, os.fspath(trained / "b.caffemodel")),
    }


@pytest.mark.parametrize("target", ["train_val.prototxt", "deploy.prototxt"])
@pytest.mark.parametrize("net", ["lenet.prototxt", "lenet"])
def test_branches_are_bit_equal_in_real_caffe(fused, trained, target, net):
    found = verify_branches(fused / "net" / target, fused / "init.caffemodel", originals(trained, net))
    assert [(one.prefix, one.seam, one.layers, one.equal) for one in found] == [
        ("odd", "odd/ip1", 6, True),
        ("even", "even/ip1", 6, True),
    ]
    assert found[0].shape[1:] == (500,)
    assert found[0].largest_difference == 0


def test_one_changed_weight_is_found_in_its_layer(fused, trained, caffe):
    net = caffe.Net(os.fspath(fused / "net/deploy.prototxt"), os.fspath(fused / "init.caffemodel"), caffe.TEST)
    net.params["even/conv2"][0].data[7, 3, 2, 2] += 1e-3
    net.save(os.fspath(fused / "changed.caffemodel"))
    odd, even = verify_branches(fused / "net/deploy.prototxt", fused / "changed.caffemodel", originals(trained))
    assert odd.equal
    assert not even.equal
    assert even.first_difference == "conv2"
    assert 0 < even.largest_difference < 0.1


def test_swapped_weights_are_found(fused, trained):
    wrong = originals(trained)
    wrong["odd"], wrong["even"] = wrong["even"], wrong["odd"]
    found = verify_branches(fused / "net/deploy.prototxt", fused / "init.caffemodel", wrong)
    assert [one.first_difference for one in found] == ["conv1", "conv1"]


def test_one_image_is_a_list_of_one_and_other_kinds_are_refused_in_words(fused, trained):
    target, weights = fused / "net/train_val.prototxt", fused / "init.caffemodel"
    Image.fromarray(np.full((28, 28), 7, np.uint8)).save(fused / "one.png")
    alone, listed = (
        verify_branches(target, weights, originals(trained), images=images)
        for images in (fused / "one.png", [os.fspath(fused / "one.png")])
    )
    assert alone == listed
    assert alone[0].shape[0] == 1
    for images in (None, 3, {"one.png": 1}, [3]):
        with pytest.raises(NetbuildError, match="^images: expected a path or a list of paths, found "):
            verify_branches(target, weights, originals(trained), images=images)
    with pytest.raises(NetbuildError, match=r"^branch 'odd': expected Original\(...\), found 'lenet.prototxt'"):
        verify_branches(target, weights, {"odd": "lenet.prototxt"})


def test_images_are_fed_as_the_data_layer_prepares_them(fused, trained, monkeypatch):
    paths = []
    for value in (0, 128, 255):
        paths.append(fused / f"{value}.png")
        Image.new("RGB", (56, 56), (value,) * 3).save(paths[-1])
    from netbuild.verify import branches

    seen = {}
    monkeypatch.setattr(branches, "run", lambda _function, **job: seen.update(job) or [])
    verify_branches(fused / "net/train_val.prototxt", fused / "init.caffemodel", originals(trained), images=paths)
    pixels = seen["job"].inputs["data"]
    assert pixels.shape == (3, 1, 28, 28)
    np.testing.assert_allclose(pixels[:, 0, 0, 0], [-0.5, 0, 127 / 256])
    monkeypatch.undo()
    found = verify_branches(
        fused / "net/train_val.prototxt", fused / "init.caffemodel", originals(trained), images=paths
    )
    assert [one.shape for one in found] == [(3, 500), (3, 500)]
    assert all(one.equal for one in found)


def test_a_seam_can_be_named(fused, trained):
    named = {p: Original(f"{one.net}@pool1", one.weights) for p, one in originals(trained).items()}
    found = verify_branches(fused / "net/deploy.prototxt", fused / "init.caffemodel", named)
    assert [(one.seam, one.layers) for one in found] == [("odd/pool1", 2), ("even/pool1", 2)]


def test_equal_nans_prove_nothing(fused, trained, caffe, tmp_path):
    broken = caffe.Net(os.fspath(trained / "lenet.prototxt"), os.fspath(trained / "a.caffemodel"), caffe.TEST)
    broken.params["conv1"][0].data[...] = np.nan
    broken.save(os.fspath(tmp_path / "nan.caffemodel"))
    weights = {"odd": tmp_path / "nan.caffemodel", "even": trained / "b.caffemodel"}
    fuse_weights(fused / "net/deploy.prototxt", weights, tmp_path / "nan-init.caffemodel")
    nets = {"odd": Original("lenet", os.fspath(weights["odd"]))}
    (found,) = verify_branches(fused / "net/deploy.prototxt", tmp_path / "nan-init.caffemodel", nets)
    assert found.first_difference is None
    assert not found.finite
    assert not found.equal


def test_a_path_with_an_at_sign_is_a_path(fused, trained):
    place = fused / "me@work"
    place.mkdir()
    (place / "net.prototxt").write_bytes((trained / "lenet.prototxt").read_bytes())
    for name in (f"{place}/net.prototxt", f"{place}/net.prototxt@ip1"):
        nets = {"odd": Original(name, os.fspath(trained / "a.caffemodel"))}
        assert verify_branches(fused / "net/deploy.prototxt", fused / "init.caffemodel", nets)[0].equal


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [({"nope": (1, 1, 28, 28)}, "no such input; it has data"), ({"data": (0, 1, 2, 3)}, "is no shape")],
)
def test_shapes_that_cannot_be_fed(fused, trained, shapes, reason):
    with pytest.raises(GraphError, match=reason):
        verify_branches(fused / "net/deploy.prototxt", fused / "init.caffemodel", originals(trained), shapes=shapes)
    named = {"odd": Original("lenet@nope", os.fspath(trained / "a.caffemodel"))}
    with pytest.raises(GraphError, match="the fused net has no blob 'odd/nope'"):
        verify_branches(fused / "net/deploy.prototxt", fused / "init.caffemodel", named)


def test_a_prefix_that_the_fused_net_lacks(fused, trained):
    with pytest.raises(GraphError, match="no layer whose name begins with 'third/'"):
        verify_branches(fused / "net/deploy.prototxt", fused / "init.caffemodel", {"third": originals(trained)["odd"]})


def test_a_broken_image_is_told(fused, trained):
    (fused / "x.png").write_bytes(b"no image")
    with pytest.raises(NetbuildError, match="image '.*x.png': cannot be read"):
        verify_branches(
            fused / "net/deploy.prototxt", fused / "init.caffemodel", originals(trained), images=[fused / "x.png"]
        )


def test_caffes_abort_is_told(fused, trained):
    """Weights whose shapes do not fit: Caffe aborts, in the child."""
    with pytest.raises(CaffeError, match="do not fit the net: blob 0 of the layer 'ip2' is 5 x 500 in"):
        verify_branches(fused / "net/deploy.prototxt", trained / "a.caffemodel", originals(trained))


def test_weights_that_an_original_lacks_are_told(fused, trained, pb):
    """Caffe leaves such a layer to its fillers, and says nothing of it."""
    known = originals(trained)
    model = pb.NetParameter.FromString(Path(known["odd"].weights).read_bytes())
    model.layer.remove(next(layer for layer in model.layer if layer.name == "conv2"))
    (fused / "less.caffemodel").write_bytes(model.SerializeToString())
    known = {"odd": Original(known["odd"].net, fused / "less.caffemodel")}
    with pytest.warns(NetbuildWarning, match="^branch 'odd': weights '.*less.*' hold nothing for conv2 of .*fillers"):
        found = verify_branches(fused / "net/deploy.prototxt", fused / "init.caffemodel", known)
    assert not found[0].equal
