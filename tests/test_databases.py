"""Databases that Caffe would not open: real Caffe aborts on each that is refused, and opens the one that is not."""

import pytest

from netbuild import CaffeError, proto
from netbuild.engine.child import run
from netbuild.schema import TEST, schema
from netbuild.soundness.check import data_faults

NET = """layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "%s" batch_size: 1 %s } }"""
LMDB, LEVELDB = "backend: LMDB", "backend: LEVELDB"


def faults(source, backend):
    return [fault.sentence for fault in data_faults(proto.parsed(NET % (source, backend)), [TEST])]


@pytest.fixture()
def image(caffe):
    return schema().Datum(channels=1, height=2, width=2, data=bytes(4), label=1).SerializeToString()


@pytest.fixture()
def lmdb_folder(image, tmp_path):
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(tmp_path / "db")) as database, database.begin(write=True) as writing:
        writing.put(b"0", image)
    return tmp_path / "db"


def test_an_lmdb_is_taken_where_it_is_named_as_one(lmdb_folder, tmp_path):
    assert not faults(lmdb_folder, LMDB)
    (tmp_path / "n.prototxt").write_text(NET % (lmdb_folder, LMDB))
    assert list(run("jobs:abort", prototxt=str(tmp_path / "n.prototxt"))) == ["started"]
    assert faults(lmdb_folder, "") == [
        f"layer 'd': database {str(lmdb_folder)!r}: is of the kind LMDB, and the layer opens LEVELDB, the default; write "
        "backend: LMDB"
    ]


@pytest.mark.parametrize(
    ("make", "name", "backend", "said"),
    [
        (
            lambda one: one.write_text("a.png 0\n"),
            "db",
            LMDB,
            "is a list of files and their labels; a database is a folder",
        ),
        (lambda one: one.mkdir(), "db", LMDB, "the folder holds neither data.mdb (LMDB) nor CURRENT (LEVELDB)"),
        (lambda one: one.mkdir() or (one / "data.mdb").write_text("x"), "db", LMDB, "no LMDB, or damaged"),
        (
            lambda one: one.mkdir() or (one / "data.mdb").write_text("x"),
            "db/data.mdb",
            LMDB,
            "a database is a folder, '",
        ),
        (
            lambda one: one.mkdir() or (one / "CURRENT").write_text("x"),
            "db",
            LMDB,
            "is of the kind LEVELDB, and the layer",
        ),
    ],
)
def test_what_is_none_is_told_before_caffe_aborts(caffe, tmp_path, make, name, backend, said):
    make(tmp_path / "db")
    (found,) = faults(tmp_path / name, backend)
    assert said in found
    (tmp_path / "n.prototxt").write_text(NET % (tmp_path / name, backend))
    with pytest.raises(CaffeError, match="Caffe gave up: Check failed: mdb_status == 0"):
        list(run("jobs:abort", prototxt=str(tmp_path / "n.prototxt")))


def test_of_what_is_not_there_nothing_is_said(tmp_path):
    assert not faults(tmp_path / "nowhere", LMDB)
