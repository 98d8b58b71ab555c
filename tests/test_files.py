import os

import pytest

from netbuild.errors import NetbuildError
from netbuild.files import existing_file, output_folder, plain_name, replacing, write_all, write_text


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "out"
    target.write_text("old")
    with pytest.raises(RuntimeError), replacing(target) as file:
        file.write(b"half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_success_replaces_the_file_with_the_users_permissions(tmp_path):
    target = tmp_path / "out"
    write_text(target, "grün")
    assert target.read_bytes() == "grün".encode()
    mask = os.umask(0o022)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~mask


def test_errors_name_the_file(tmp_path):
    with pytest.raises(NetbuildError, match="weights '.*nowhere': no such file"):
        existing_file(tmp_path / "nowhere", "weights")
    with pytest.raises(NetbuildError, match="is a folder, and a file is expected; it has none$"):
        existing_file(tmp_path, "weights")
    (tmp_path / "empty").touch()
    with pytest.raises(NetbuildError, match="the file is empty"):
        existing_file(tmp_path / "empty", "weights")
    with pytest.raises(NetbuildError, match="is a folder; name a file"), replacing(tmp_path):
        pass
    with pytest.raises(NetbuildError, match="its folder does not exist"), replacing(tmp_path / "no" / "folder"):
        pass
    with pytest.raises(NetbuildError, match="cannot be made"):
        output_folder(tmp_path / "empty" / "below")


def test_the_content_is_synced_before_the_name_and_the_folder_after_it(tmp_path, monkeypatch):
    honest, synced = os.fsync, []

    def noting(fd):
        synced.append((os.path.realpath(f"/proc/self/fd/{fd}"), (tmp_path / "out").exists()))
        honest(fd)

    monkeypatch.setattr(os, "fsync", noting)
    write_text(tmp_path / "out", "new")
    (file, named), folder = synced
    assert file.endswith(".tmp")
    assert not named
    assert folder == (os.fspath(tmp_path), True)


@pytest.mark.parametrize("name", ["", ".", "..", "/etc", "../up", "a/b", "a\\b", "a\0", "a\nb"])
def test_a_name_from_a_file_cannot_lead_out_of_its_folder(name):
    assert plain_name("train.sha256", "features.json") == "train.sha256"
    with pytest.raises(NetbuildError, match=r"^features\.json: .* may lead out of the folder$"):
        plain_name(name, "features.json")


def test_files_that_belong_together_are_all_written_before_one_takes_its_name(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").mkdir()
    with pytest.raises(NetbuildError, match="b': is a folder"):
        write_all({tmp_path / "a": b"new", tmp_path / "b": b"new"})
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a", "b"]
    assert (tmp_path / "a").read_text() == "old"
    write_all({tmp_path / "a": b"new", tmp_path / "c": b"too"})
    assert [(tmp_path / name).read_bytes() for name in "ac"] == [b"new", b"too"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("od/deploy.prototxt", "; there is no folder 'nets/od'; did you mean 'odd'?"),
        ("odd/deplyo.prototxt", "; did you mean 'deploy.prototxt'?"),
        ("odd/solver.prototxt", ""),
        ("far/away/x.prototxt", "; there is no folder 'nets/far'"),
    ],
)
def test_a_file_that_is_not_there_has_a_neighbour_that_is(tmp_path, monkeypatch, path, said):
    (tmp_path / "nets" / "odd").mkdir(parents=True)
    (tmp_path / "nets" / "odd" / "deploy.prototxt").write_text("x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NetbuildError) as refused:
        existing_file(f"nets/{path}", "prototxt")
    assert str(refused.value) == f"prototxt 'nets/{path}': no such file{said}"
