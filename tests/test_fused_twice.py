"""Nets fused with a copy of themselves: real Caffe says whether all stayed as it was."""

from random import Random

import fused_twice
import pytest
from generated import trained_alone
from nets import small

from netbuild import proto

pytestmark = pytest.mark.usefixtures("pycaffe", "slim")


def test_a_small_net(caffe, tmp_path):
    (tmp_path / "net.prototxt").write_text(small())
    assert fused_twice.faults(caffe, tmp_path / "net.prototxt", (4, 6, 6), "fc1", tmp_path) == []


def test_what_is_wrong_is_seen(caffe, tmp_path, monkeypatch):
    (tmp_path / "net.prototxt").write_text(small())
    monkeypatch.setattr(fused_twice, "fuse_weights", _swapped)
    found = fused_twice.faults(caffe, tmp_path / "net.prototxt", (4, 6, 6), "fc1", tmp_path)
    assert [sentence.split(" ")[:3] for sentence in found] == [
        ["the", "blob", "a/fc1"],
        ["the", "blob", "b/fc1"],
        ["the", "blob", "fc1"],
    ]


def _swapped(target, weights, output):
    from netbuild import fuse_weights

    return fuse_weights(target, {"a": weights["b"], "b": weights["a"]}, output)


@pytest.mark.parametrize("seed", range(6))
def test_nets_made_at_random(caffe, tmp_path, seed):
    message, shape, seam = trained_alone(Random(seed))
    (tmp_path / "net.prototxt").write_text(proto.to_text(message))
    assert fused_twice.faults(caffe, tmp_path / "net.prototxt", shape, seam, tmp_path) == []
