"""Bytes that are kept in the user's cache folder: never others than those that would be made now."""

import os
import subprocess
import sys

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool

from netbuild.schema import kept as module
from netbuild.schema.kept import cache_folder, kept

CONTENT = b"bytes that take long to make"
DESCRIPTOR = """
import sys
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from netbuild.schema import schema
file = FileDescriptorProto()
schema().DESCRIPTOR.CopyToProto(file)
sys.stdout.buffer.write(file.SerializeToString())
"""


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path / "cache"))
    return tmp_path / "cache" / "netbuild"


def made_times(contents=b"of this", content=CONTENT):
    """Ask for the bytes once, and return how often they had to be made."""
    made = []
    assert kept("thing", contents, lambda: made.append(1) or content) == content
    return len(made)


def test_made_once(folder):
    assert [made_times(), made_times()] == [1, 0]
    (file,) = folder.iterdir()
    assert file.read_bytes().endswith(CONTENT)


def test_other_contents_are_made_anew(folder):
    assert made_times(b"of this") == 1
    assert made_times(b"of that", b"other bytes") == 1
    assert made_times(b"of this") == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda content: content[:4],
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: b"\0" * len(content),
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: bytes([content[0] ^ 1]) + content[1:],
    ],
)
def test_a_damaged_file_is_made_anew(folder, damage):
    made_times()
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert [made_times(), made_times()] == [1, 0]
    assert file.read_bytes() == whole


def test_a_file_under_the_name_of_another_is_made_anew(folder):
    made_times(b"of that", b"other bytes")
    (other,) = folder.iterdir()
    made_times()
    (file,) = set(folder.iterdir()) - {other}
    file.write_bytes(other.read_bytes())
    assert made_times() == 1


def test_nothing_is_needed_of_the_folder(folder):
    folder.parent.mkdir()
    folder.write_text("a file where the folder is to be")
    assert [made_times(), made_times()] == [1, 1]


def test_a_folder_that_cannot_be_written_to(folder, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "replacing", full)
    assert [made_times(), made_times()] == [1, 1]


def test_where_the_folder_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    for given in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert cache_folder() == tmp_path / ".cache" / "netbuild"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == tmp_path / "Library" / "Caches" / "netbuild"


def test_a_user_without_a_home(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert cache_folder() is None
    assert made_times() == 1


def test_the_schema_kept_is_the_schema_made(folder):
    """In processes of their own: the first makes it, the second reads it; protobuf tells what each has."""
    made, read = (subprocess.run([sys.executable, "-c", DESCRIPTOR], capture_output=True, check=True) for _ in range(2))
    (file,) = folder.glob("schema-*")
    assert made.stdout == read.stdout
    content = file.read_bytes()
    pool = DescriptorPool()
    pool.AddSerializedFile(content[8:])
    kept_file = descriptor_pb2.FileDescriptorProto()
    # Some protobufs write defaults in another form than they read.
    pool.FindFileByName("caffe.proto").CopyToProto(kept_file)
    assert kept_file.message_type == descriptor_pb2.FileDescriptorProto.FromString(made.stdout).message_type
    assert len(kept_file.message_type) > 100
