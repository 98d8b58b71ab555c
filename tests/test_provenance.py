"""What a weight file is made of: the sidecar, and its check against the sources."""

import hashlib
import json
import os
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pytest
from commands import run

from netbuild import DataSource, Fusion, emit_files, fuse_weights, lenet
from netbuild.branches.lenet import MNIST
from netbuild.errors import WeightsError
from netbuild.fuse.provenance import check_sources, require_one_set


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


def test_a_shape_that_changed_is_found(fused, pb):
    """The values are what they were, and Caffe would refuse the file, or multiply by a matrix that lies on its side."""
    path = fused / "net" / "init.caffemodel"
    model = pb.NetParameter.FromString(path.read_bytes())
    blob = next(layer for layer in model.layer if layer.name == "odd/conv1").blobs[0]
    assert list(blob.shape.dim) == [20, 1, 5, 5]
    blob.shape.dim[:] = [1, 20, 5, 5]
    path.write_bytes(model.SerializeToString())
    output = run("verify", path, code=1)
    assert "odd: DIFFERS from" in output and "odd/conv1 has other shapes than it was written with" in output
    assert "even: DIFFERS" not in output


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


@pytest.mark.parametrize(
    "change",
    [
        {"bytes": float("inf")},
        {"bytes": float("nan")},
        {"bytes": 1e300},
        {"bytes": -1},
        {"bytes": "12"},
        {"bytes": True},
        {"bytes": None},
        {"netbuild": 3},
        {"set": {"x": "abc"}},
        {"set": []},
        {"set": {"../x": "0" * 64}},
        {"set": {"x": 1}},
        {"branches": []},
        {"branches": {"odd": []}},
        {"branches": {"a": {"seams": [], "files": [{"path": "a\0", "bytes": 1, "sha256": "0" * 64}], "layers": []}}},
        {"head": 3},
        {"head": {"layer": "ip2", "from": 4}},
        {"head": {"layer": "ip2", "from": [{}]}},
    ],
)
def test_a_sidecar_with_values_of_other_kinds_is_one_sentence(fused, change):
    sidecar = fused / "net" / "init.caffemodel.json"
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **change}))
    sentence = "net/init.caffemodel.json': is not one of netbuild's; remove or rename it"
    assert sentence in run("verify", "net/init.caffemodel", code=1)
    assert sentence in run("weights", "net/init.caffemodel")


FILE = {"path": "odd.caffemodel", "bytes": 1, "sha256": "0" * 64}
LAYER = {"layer": "odd/conv1", "file": 0, "from": "conv1", "channels": None}


@pytest.mark.parametrize(
    "change",
    [
        {"seams": "odd/ip1"},
        {"seams": [3]},
        {"files": {}},
        {"files": [{**FILE, "path": 3}]},
        {"files": [{**FILE, "path": "odd\0.caffemodel"}]},
        {"files": [{**FILE, "bytes": 10.0}]},
        {"files": [{**FILE, "sha256": "0" * 63 + "g"}]},
        {"layers": [{**LAYER, "file": 1}]},
        {"layers": [{**LAYER, "file": -1}]},
        {"layers": [{**LAYER, "file": True}]},
        {"layers": [{**LAYER, "channels": "max"}]},
        {"layers": [{**LAYER, "shapes": [[20, -1]]}]},
        {"layers": [{**LAYER, "shapes": [20]}]},
        {"layers": [{**LAYER, "shapes": None}]},
        {"layers": [{**LAYER, "layer": ["x"]}]},
        {"layers": [[]]},
    ],
)
def test_a_sidecars_branch_with_values_of_other_kinds_is_one_sentence(fused, change):
    sidecar = fused / "net" / "init.caffemodel.json"
    told = json.loads(sidecar.read_text())
    told["branches"]["odd"].update(change)
    sidecar.write_text(json.dumps(told))
    assert "is not one of netbuild's; remove or rename it" in run("verify", "net/init.caffemodel", code=1)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"bytes": ' + "9" * 5000 + "}", "\xff\xfe", "null", "{}"])
def test_a_sidecar_that_is_none_is_one_sentence(fused, text):
    (fused / "net" / "init.caffemodel.json").write_bytes(text.encode("latin-1"))
    assert "is not one of netbuild's; remove or rename it" in run("verify", "net/init.caffemodel", code=1)


def edited(path, change):
    """Change what a sidecar tells."""
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


def test_what_the_sidecar_does_not_name_is_said_and_fails(fused, pb):
    path, sidecar = fused / "net" / "init.caffemodel", fused / "net" / "init.caffemodel.json"
    net = pb.NetParameter.FromString(path.read_bytes())
    next(layer for layer in net.layer if layer.name == "even/ip1").blobs[0].data[77] += 1
    path.write_bytes(net.SerializeToString())

    def tampered(told):
        told["branches"]["even"]["layers"] = told["branches"]["even"]["layers"][:2]
        told["bytes"] = path.stat().st_size

    edited(sidecar, tampered)
    told = run("verify", path, code=1)
    assert "init.caffemodel: DIFFERS from init.caffemodel.json: it does not tell the origin of even/ip1" in told
    assert "even: 4 blobs as in even.caffemodel" in told
    assert "init.caffemodel.json: it does not tell the origin of even/ip1" in run("weights", path)
    edited(sidecar, lambda told: told["branches"].pop("odd"))
    assert "the origin of odd/conv1, odd/conv2, odd/ip1, even/ip1" in run("verify", path, code=1)


def test_a_layer_that_was_added_or_stands_twice_is_said(fused, pb):
    path = fused / "net" / "init.caffemodel"
    net = pb.NetParameter.FromString(path.read_bytes())
    blob = net.layer.add(name="ip2").blobs.add(data=[1])
    blob.shape.dim.append(1)
    net.layer.add().CopyFrom(next(layer for layer in net.layer if layer.name == "odd/ip1"))
    path.write_bytes(net.SerializeToString())
    told = run("verify", path, code=1)
    assert "it does not tell the origin of ip2" in told
    assert "more than one layer odd/ip1" in told
    assert "it tells of a file of " in told


def test_a_file_cannot_be_its_own_proof(fused):
    def proves_itself(told):
        raw = (fused / "net" / "init.caffemodel").read_bytes()
        for branch in told["branches"].values():
            branch["files"] = [
                {"path": "init.caffemodel", "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
            ]
            for one in branch["layers"]:
                one["from"] = one["layer"]

    edited(fused / "net" / "init.caffemodel.json", proves_itself)
    assert "is the file itself, and proves nothing" in run("verify", "net/init.caffemodel", code=1)


def test_names_from_a_sidecar_do_not_command_the_terminal(fused):
    def rename(told):
        told["branches"]["\x1b[2J"] = told["branches"].pop("odd")

    edited(fused / "net" / "init.caffemodel.json", rename)
    for command in ("verify", "weights"):
        output = run(command, "net/init.caffemodel")
        assert "\x1b" not in output
        assert "\\x1b[2J: " in output


def test_what_is_rightly_not_copied_is_no_fault(fused):
    target = fused / "net" / "train_val.prototxt"
    run("fuse", target, "--weights", "odd=odd.caffemodel", "--partial", "-o", "half.caffemodel")
    assert "odd: 6 blobs as in odd.caffemodel" in run("verify", "half.caffemodel")


@pytest.fixture()
def headed(fused):
    """As `fused`, with a head that begins as the branches' own classifiers."""
    weights = [text for name in ("odd", "even") for text in ("--weights", f"{name}={name}.caffemodel")]
    head = ["--init-head", "odd=1,3,5,7,9", "--init-head", "even=0,2,4,6,8"]
    run("fuse", "net/deploy.prototxt", *weights, *head, "-o", "net/init.caffemodel")
    run("fuse", "net/deploy.prototxt", *weights, *head, "-o", "parts.caffemodel", "--split")
    return fused


def test_a_head_is_made_again_and_compared(headed, pb):
    path = headed / "net" / "init.caffemodel"
    told = run("verify", path)
    assert "ip2: 2 blobs as in odd.caffemodel, whose SHA-256" in told
    assert "ip2: 2 blobs as in even.caffemodel, whose SHA-256" in told
    assert "ip2: 2 blobs as in odd.caffemodel" in run("verify", "parts.ip2.caffemodel")
    assert "ip2: from ../even.caffemodel" in run("weights", path)
    net = pb.NetParameter.FromString(path.read_bytes())
    head = next(layer for layer in net.layer if layer.name == "ip2")
    for blob, at in ((head.blobs[0], 9_999), (head.blobs[1], 3)):
        before = blob.data[at]
        blob.data[at] = np.nextafter(np.float32(before), np.float32(9))
        path.write_bytes(net.SerializeToString())
        assert "ip2 differs from what its branches' classifiers make" in run("verify", path, code=1)
        blob.data[at] = before


def older(told):
    for key in ("set", "head"):
        del told[key]
    for branch in told["branches"].values():
        for one in branch["layers"]:
            del one["shapes"]


def test_an_old_sidecar_without_a_head_is_said_in_words(headed):
    edited(headed / "net" / "init.caffemodel.json", older)
    told = run("verify", "net/init.caffemodel", code=1)
    assert "does not tell the origin of ip2 (it is of an older netbuild, which did not tell of a head" in told


def test_an_old_sidecar_of_a_file_without_a_head_still_holds(fused):
    edited(fused / "net" / "init.caffemodel.json", older)
    assert "odd: 6 blobs as in odd.caffemodel" in run("verify", "net/init.caffemodel")


KILLED = """
import os, pathlib, signal, sys
left, honest = int(sys.argv[1]), pathlib.Path.replace
def replace(self, target):
    global left
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return honest(self, target)
pathlib.Path.replace = replace
from netbuild import fuse_weights
weights = {"odd": "even.caffemodel", "even": "odd.caffemodel"}
fuse_weights("net/train_val.prototxt", weights, sys.argv[2], split=sys.argv[3] == "split")
"""


def remained(paths):
    """What each file is: its bytes."""
    return [path.read_bytes() for path in paths]


def test_a_split_fusion_killed_between_two_names_leaves_a_set_that_is_told(fused):
    weights = ["--weights", "odd=odd.caffemodel", "--weights", "even=even.caffemodel"]
    files = [fused / f"parts.{name}.caffemodel" for name in ("odd", "even")]
    everything = [*files, *(fused / f"{path.name}.json" for path in files)]
    use = ["fuse", "net/train_val.prototxt", "--weights", f"={files[0].name}", "--weights", f"={files[1].name}"]
    for killed_after in range(5):
        run("fuse", "net/train_val.prototxt", *weights, "-o", "parts.caffemodel", "--split")
        old = remained(everything)
        ended = subprocess.run(
            [sys.executable, "-c", KILLED, str(killed_after), "parts.caffemodel", "split"], check=False, timeout=60
        )
        assert ended.returncode == (0 if killed_after == 4 else -9)
        new = [one != other for one, other in zip(remained(everything), old)]
        assert new == [number < killed_after for number in range(4)]
        mixed = killed_after in (1, 2, 3)
        told = [run("verify", path, code=None) for path in files]
        assert any("DIFFERS" in one for one in told) == mixed
        used = run(*use, "--partial", "-o", "whole.caffemodel", code=1 if mixed else 0)
        assert ("not of the run of fuse --split" in used) == mixed
        with pytest.raises(WeightsError, match="not of the run") if mixed else nullcontext():
            require_one_set(files)
        for path in fused.glob(".*.tmp"):
            path.unlink()


def test_a_fusion_killed_between_the_names_of_weights_and_sidecar_is_told(fused):
    command = [sys.executable, "-c", KILLED, "1", "net/init.caffemodel", "whole"]
    assert subprocess.run(command, check=False, timeout=60).returncode == -9
    assert "odd/conv1 differs from its conv1" in run("verify", "net/init.caffemodel", code=1)


def test_files_of_two_runs_are_not_trained_on_together(fused):
    weights = ["--weights", "odd=odd.caffemodel", "--weights", "even=even.caffemodel"]
    run("fuse", "net/train_val.prototxt", *weights, "-o", "parts.caffemodel", "--split")
    (fused / "parts.even.caffemodel").write_bytes((fused / "even.caffemodel").read_bytes())
    solver = 'net: "net/train_val.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "s"'
    (fused / "s.prototxt").write_text(solver)
    both = ["--weights", "parts.odd.caffemodel", "--weights", "parts.even.caffemodel"]
    told = run("train", "s.prototxt", *both, "-o", "run", code=1)
    assert "weights 'parts.even.caffemodel': not of the run of fuse --split that 'parts.odd.caffemodel.json'" in told
    assert "parts.even.caffemodel is not of the run of fuse --split that it tells of" in run(
        "verify", "parts.odd.caffemodel", code=1
    )


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
