"""The folder of features: what is removed from it, what a killed run leaves, where it may stand."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from netbuild.errors import NetbuildError
from netbuild.features.make import make_features
from netbuild.features.record import begin, read_record, usable_record
from netbuild.features.store import Store


def make(fused, folder, **options):
    return make_features(fused / "train_val.prototxt", [fused / "init.caffemodel"], folder, **options)


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture()
def stale(tmp_path):
    """Features of two images in a folder, as netbuild writes them."""
    folder = tmp_path / "f"
    shapes = {"train": {"ip": (2,)}, "test": {"ip": (2,)}}
    begin(folder, {"key": 1}, shapes)
    for part in shapes:
        store = Store(folder, part, 2, 1, shapes[part])
        store.put(0, {"ip": np.zeros((2, 2), np.float32)})
        store.finish()
        (folder / f"head_{part}.prototxt").write_text('layer {\n  name: "features"\n  type: "HDF5Data"\n}\n')
    return folder


def replace(folder):
    """Make the folder ready for others, as --force does."""
    usable_record(folder, {"key": 2}, {}, force=True)
    begin(folder, {"key": 2}, {"train": {"ip": (2,)}})


@pytest.mark.parametrize("key", [1, 2])
@pytest.mark.parametrize(
    "name", ["features.json", "train", "train/000000.h5", "train.txt", "train.sha256", "head_test.prototxt"]
)
def test_nothing_is_written_through_a_link(stale, tmp_path, name, key):
    """Neither to go on with these features (key 1) nor to replace them by others (key 2)."""
    outside = tmp_path / "outside"
    (stale / name).rename(outside)
    (stale / name).symlink_to(outside)
    before = tree(tmp_path)
    with pytest.raises(NetbuildError, match=r"f/.*': is a link, and features are not written through one"):
        usable_record(stale, {"key": key}, {"train": ["ip"], "test": ["ip"]}, force=True)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["/{}/precious", "../precious", "..", ".", "", "train/../../precious", "a\\b", "train\n", "\0"]
)
def test_a_record_cannot_have_anything_outside_the_folder_removed(tmp_path, name):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "work").write_text("of years")
    (tmp_path / "f").mkdir()
    parts = {name.format(tmp_path): {"ip": [3]}, "train": {"ip": [3]}}
    (tmp_path / "f" / "features.json").write_text(json.dumps({"key": {"a": "b"}, "parts": parts}))
    (tmp_path / "f" / "notes.txt").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(NetbuildError, match="is no plain name of a file, and may lead out of the folder"):
        replace(tmp_path / "f")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["notes", "train.txt", "test_", "test_1/2", "TRAIN", "head_train"])
def test_a_record_names_no_parts_but_netbuilds_own(tmp_path, name):
    (tmp_path / "f" / "notes").mkdir(parents=True)
    (tmp_path / "f" / "notes.txt").write_text("mine")
    (tmp_path / "f" / "features.json").write_text(json.dumps({"key": {}, "parts": {name: {"ip": [3]}}}))
    before = tree(tmp_path / "f")
    with pytest.raises(NetbuildError, match="is not a record of features|is no plain name"):
        replace(tmp_path / "f")
    assert tree(tmp_path / "f") == before


def test_force_leaves_what_others_put_into_the_folders(stale):
    (stale / "train" / "foreign").write_text("mine")
    (stale / "test" / "deep").mkdir()
    (stale / "test" / "deep" / "000000.h5").write_text("mine")
    (stale / "notes.txt").write_text("mine")
    (stale / "train" / ".000000.h5.0123abcd.tmp").write_text("half a file of a run that was killed")
    replace(stale)
    for name in ("train/foreign", "test/deep/000000.h5", "notes.txt"):
        assert (stale / name).read_text() == "mine"
    assert sorted(tree(stale)) == ["features.json", "notes.txt", "test/deep/000000.h5", "train/foreign"]


@pytest.mark.parametrize(
    ("name", "put"),
    [
        ("train/000007.h5", lambda path: path.write_text("mine")),
        ("train/000000.h5", lambda path: (path.unlink(), path.mkdir())),
        ("train.txt", lambda path: path.write_text("milk\nbread\n")),
        ("test.sha256", lambda path: path.write_text("milk\nbread\n")),
        ("head_train.prototxt", lambda path: path.write_text('name: "mine"\n')),
    ],
)
def test_force_stops_before_it_removes_what_others_wrote(stale, name, put):
    put(stale / name)
    before = tree(stale.parent)
    with pytest.raises(NetbuildError, match=f"{name}': was not written by netbuild, so that it is not removed; move"):
        replace(stale)
    assert tree(stale.parent) == before


def test_force_replaces_features_whose_last_run_was_killed(stale):
    """Of the last line of the digests there may be half, and a list of an earlier netbuild has whole paths."""
    with (stale / "train.sha256").open("a") as sums:
        sums.write("0123abcd  tra")
    (stale / "train.txt").write_text(f"{stale / 'train' / '000000.h5'}\n")
    replace(stale)
    assert sorted(tree(stale)) == ["features.json"]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"key": {}, "parts": {"train": {"ip": [Infinity]}}}',
        '{"key": {}, "parts": {"train": {"ip": [-1]}}}',
        '{"key": {}, "parts": {"train": {}}}',
        '{"key": {}, "parts": [1]}',
        "\0",
    ],
)
def test_records_that_are_none(tmp_path, text):
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "features.json").write_text(text)
    with pytest.raises(NetbuildError, match="is not a record of features; name another folder"):
        read_record(tmp_path / "f")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_killed_as_it_writes_its_record_goes_on(fused, tmp_path, moment):
    code = (
        "import os, sys, pathlib\n"
        "from netbuild.features.make import make_features\n"
        "honest = pathlib.Path.replace\n"
        "def killed(path, target):\n"
        "    honest(path, target) if sys.argv[4] == 'after' else None\n"
        "    os.kill(os.getpid(), 9)\n"
        "pathlib.Path.replace = killed\n"
        "make_features(sys.argv[1], [sys.argv[2]], sys.argv[3])\n"
    )
    files = [str(fused / "train_val.prototxt"), str(fused / "init.caffemodel"), str(tmp_path / "f")]
    assert subprocess.run([sys.executable, "-c", code, *files, moment], check=False).returncode == -9
    left = {"before": ".features.json.*.tmp", "after": "features.json"}[moment]
    assert [path.name for path in (tmp_path / "f").iterdir()] == [path.name for path in (tmp_path / "f").glob(left)]
    assert make(fused, tmp_path / "f")["train"].new == 1
    make(fused, tmp_path / "whole")
    assert (tmp_path / "f" / "train.sha256").read_bytes() == (tmp_path / "whole" / "train.sha256").read_bytes()


def test_a_damaged_file_and_one_that_never_got_its_name_are_written_again(stale):
    store = Store(stale, "train", 2, 1, {"ip": (2,)})
    store.verify()
    assert store.missing() == []
    (stale / "train" / "000000.h5").unlink()
    store = Store(stale, "train", 2, 1, {"ip": (2,)})
    store.verify()
    assert store.missing() == [0]


def test_what_is_computed_is_replaced_by_the_command_too(fused, tmp_path):
    """The net that reads the features is known as netbuild's own, as Caffe's text of it is written."""
    make(fused, tmp_path / "f")
    assert (tmp_path / "f" / "train.txt").read_text() == "train/000000.h5\n"
    assert 'source: "test.txt"' in (tmp_path / "f" / "head_test.prototxt").read_text()
    for name, content in tree(tmp_path / "f").items():
        assert os.fsencode(tmp_path) not in content, name
    record = json.loads((tmp_path / "f" / "features.json").read_text())
    record["parts"]["train"] = {"other": [10**12]}
    (tmp_path / "f" / "features.json").write_text(json.dumps(record))
    with pytest.raises(NetbuildError, match="are stale, computed with other blobs"):
        make(fused, tmp_path / "f")
    assert make(fused, tmp_path / "f", force=True)["train"].new == 1
