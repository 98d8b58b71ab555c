"""What a weight file is made of: the sidecar, and its check against the sources."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from commands import run

from netbuild import DataSource, Fusion, emit_files, fuse_weights, lenet
from netbuild.branches.lenet import MNIST
from netbuild.errors import WeightsError
from netbuild.provenance import check_sources


@pytest.fixture()
def fused(trained, tmp_path, monkeypatch):
    """A folder with two trained branches and what was fused of them."""
    for prefix, name in (("odd", "a"), ("even", "b")):
        (tmp_path / f"{prefix}.caffemodel").write_bytes((trained / f"{name}.caffemodel").read_bytes())
    emit_files(
        Fusion({"odd": lenet, "even": lenet}, 10),
        DataSource(MNIST, kind="input", train_batch=2, test_batch=2),
        tmp_path / "net",
    )
    weights = {prefix: tmp_path / f"{prefix}.caffemodel" for prefix in ("odd", "even")}
    fuse_weights(tmp_path / "net" / "deploy.prototxt", weights, tmp_path / "net" / "init.caffemodel")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_sidecar_names_sources_seams_and_digests(fused):
    told = json.loads((fused / "net" / "init.caffemodel.json").read_text())
    assert told["bytes"] == (fused / "net" / "init.caffemodel").stat().st_size
    for prefix in ("odd", "even"):
        raw = (fused / f"{prefix}.caffemodel").read_bytes()
        branch = told["branches"][prefix]
        assert branch["seams"] == [f"{prefix}/ip1"]
        assert branch["files"] == [
            {"path": f"../{prefix}.caffemodel", "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
        ]
        assert [one["layer"] for one in branch["layers"]] == [f"{prefix}/{name}" for name in ("conv1", "conv2", "ip1")]


def test_verify_needs_the_weight_file_alone(fused):
    output = run("verify", "net/init.caffemodel")
    assert "odd: 6 blobs as in odd.caffemodel, whose SHA-256 is still " in output
    # The whole folder is moved, and the sources are put beside the weights.
    moved = fused / "moved"
    (fused / "net").rename(moved)
    for prefix in ("odd", "even"):
        (fused / f"{prefix}.caffemodel").rename(moved / f"{prefix}.caffemodel")
    assert all(not one.faults for one in check_sources(moved / "init.caffemodel"))
    (moved / "odd.caffemodel").unlink()
    assert "odd: DIFFERS from odd.caffemodel: is not there any more" in run("verify", "moved/init.caffemodel", code=1)


def test_a_bit_that_changed_is_found(fused, pb):
    path = fused / "net" / "init.caffemodel"
    net = pb.NetParameter.FromString(path.read_bytes())
    changed = next(layer for layer in net.layer if layer.name == "even/ip1").blobs[0].data
    changed[77] = np.nextafter(np.float32(changed[77]), np.float32(9))
    path.write_bytes(net.SerializeToString())
    assert "even: DIFFERS from even.caffemodel: even/ip1 differs from its ip1" in run("verify", path, code=1)


def test_a_source_that_was_trained_on_is_found(fused, trained):
    (fused / "odd.caffemodel").write_bytes((trained / "b.caffemodel").read_bytes())
    (fault, *more) = check_sources(fused / "net" / "init.caffemodel")[0].faults
    assert "its SHA-256 is another" in fault
    assert len(more) == 3


def test_a_file_without_a_sidecar_or_with_anothers(fused):
    init, sidecar = fused / "net" / "init.caffemodel", fused / "net" / "init.caffemodel.json"
    assert "init.caffemodel.json is not beside it" in (sidecar.unlink() or run("verify", init, code=1))
    beyond = '{"seams": [], "files": [], "layers": [{"layer": "a", "file": 4, "from": "a", "channels": null}]}'
    branches = ('{"odd": {}}', "3", '{"odd": 3}', f'{{"odd": {beyond}}}')
    others = [f'{{"netbuild": "1", "bytes": 2, "branches": {one}}}' for one in branches]
    for text in ("", "{", "[]", '{"branches": 3}', *others):
        sidecar.write_text(text)
        assert "Error: " in run("verify", init, code=1)
        if text:
            with pytest.raises(WeightsError, match="is not one of netbuild's"):
                check_sources(init)


def test_a_source_that_changes_while_it_is_read_is_refused(fused, monkeypatch):
    honest = os.fdatasync

    def slow(fd):
        honest(fd)
        os.utime(fused / "odd.caffemodel", ns=(1, 1))

    monkeypatch.setattr(os, "fdatasync", slow)
    weights = {prefix: fused / f"{prefix}.caffemodel" for prefix in ("odd", "even")}
    with pytest.raises(WeightsError, match="odd.caffemodel': changed while it was read"):
        fuse_weights(fused / "net" / "deploy.prototxt", weights, fused / "out")
    assert not (fused / "out").exists()


@pytest.mark.parametrize("command", ["verify", "weights"])
def test_no_caffe_is_needed_to_look_at_a_weight_file(fused, command):
    script = "import sys; sys.modules['caffe'] = None; from netbuild_cli.main import main; main()"
    arguments = [sys.executable, "-c", script, command, "net/init.caffemodel"]
    ran = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert "odd.caffemodel" in ran.stdout
