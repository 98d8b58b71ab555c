"""`netbuild doctor --install`: an environment with Caffe, whole or not at all. pip and uv are played: no network."""

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import invoke

from netbuild.doctor import install as module
from netbuild.doctor.install import REQUIREMENTS, install
from netbuild.engine import interpreter
from netbuild.errors import CaffeError

ROOT = Path(__file__).resolve().parent.parent
PIP = """
import sys, pathlib
if FAILS:
    print("Collecting kendryte-caffe"); print("ERROR: No matching distribution"); print("note"); sys.exit(1)
place = pathlib.Path(sys.argv[0]).parent.parent / "caffe"
place.mkdir()
(place / "__init__.py").write_text(CONTENT)
(place / "asked").write_text(" ".join(sys.argv[1:]))
"""
"""Stands for pip: it installs a package called caffe."""


@pytest.fixture()
def home(tmp_path, monkeypatch):
    """The user's data folder, on a machine for which there is a wheel."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(module.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(module.sys, "platform", "linux")
    return tmp_path / "data" / "netbuild"


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture()
def machine(tmp_path, monkeypatch):
    """Gives the machine one Python, whose environments have a pip of ours; returns what takes it away, or breaks pip."""

    def make(*, fits=True, fails=False, content="Net = 1"):
        pip = f"FAILS = {fails}; CONTENT = {content!r}" + PIP
        (tmp_path / "pip.py").write_text(pip)
        environment = (
            f'mkdir -p "$3/bin" "$3/pip"; cp "{tmp_path / "pip.py"}" "$3/pip/__main__.py"; '
            f'printf \'#!/bin/sh\\nPYTHONPATH="${{0%%/bin/python}}" exec "{sys.executable}" -S "$@"\\n\' > "$3/bin/python"; '
            'chmod +x "$3/bin/python"'
        )
        text = f'case "$2" in venv) {environment};; *) {"exit 0" if fits else "exit 1"};; esac'
        python = script(tmp_path / "python", text)
        monkeypatch.setattr(module, "_candidates", lambda _version: [python])
        return python

    return make


def test_the_requirements_are_those_of_the_extras():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    lines = [line for name in ("caffe", "hdf5") for line in extras[name].split("\n") if line]
    # The extra's lines say for which Pythons and machines there is a wheel.
    assert list(REQUIREMENTS) == [line.partition(";")[0] for line in lines]


def test_it_is_made_beside_and_named_when_it_is_whole(home, machine):
    said = []
    machine()
    made = install(said.append)
    assert (made.python, made.new) == (home / "caffe" / "bin" / "python", True)
    assert [path.name for path in home.iterdir()] == ["caffe"]
    assert (home / "caffe" / "caffe" / "asked").read_text() == f"install --no-input {' '.join(REQUIREMENTS)}"
    assert len(said) == 2
    assert interpreter.installed_python() == made.python


def test_one_that_works_is_kept_and_one_that_does_not_is_replaced(home, machine, in_tmp):
    # In the source folder of a Caffe, say.
    (in_tmp / "caffe.py").write_text("raise ImportError")
    machine()
    install()
    (home / "caffe" / "mine").touch()
    assert not install().new
    assert (home / "caffe" / "mine").exists()
    (home / "caffe" / "caffe" / "__init__.py").write_text("raise ImportError")
    assert install().new
    assert not (home / "caffe" / "mine").exists()
    assert [path.name for path in home.iterdir()] == ["caffe"]


@pytest.mark.parametrize(
    ("faults", "sentence"),
    [
        ({"fails": True}, "pip could not install Caffe: ERROR: No matching distribution$"),
        ({"content": "raise ImportError('no lib')"}, "the installed Caffe cannot be loaded: ImportError: no lib$"),
    ],
)
def test_what_fails_leaves_nothing_and_the_old_one_as_it_was(home, machine, faults, sentence):
    machine(**faults)
    with pytest.raises(CaffeError, match=sentence):
        install()
    assert list(home.iterdir()) == []
    (home / "caffe").mkdir()
    (home / "caffe" / "mine").touch()
    with pytest.raises(CaffeError, match=sentence):
        install()
    assert (home / "caffe" / "mine").exists()


def test_uv_brings_a_python_where_none_is_here(home, machine, tmp_path, monkeypatch):
    python = machine(fits=False)
    uv = script(
        tmp_path / "bin" / "uv",
        f'[ "$1 $2 $3 $4" = "venv --seed --python 3.9" ] && echo "$UV_PYTHON_INSTALL_DIR" > "{tmp_path}/asked" && '
        f'exec "{python}" -m venv "$5"',
    )
    monkeypatch.setenv("PATH", f"{Path(uv).parent}:/usr/bin:/bin")
    assert install().new
    assert (tmp_path / "asked").read_text().strip() == str(home / "python")


def test_where_neither_can_be_had_it_says_what_to_do(home, machine, tmp_path, monkeypatch):
    machine(fits=False)
    script(tmp_path / "bin" / "uv", "echo 'error: Request failed' >&2; exit 2")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(
        CaffeError, match="no Python 3.9 or 3.8 was found .*uv could not bring one; install one .*failed"
    ):
        install()
    assert list(home.iterdir()) == []


def test_a_machine_without_a_wheel_is_told_what_it_can_do(home, monkeypatch):
    monkeypatch.setattr(module.platform, "machine", lambda: "aarch64")
    with pytest.raises(CaffeError, match="for Linux on x86-64 .* on aarch64: name .* NETBUILD_CAFFE, .*docker run"):
        install()
    monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(module.platform, "libc_ver", lambda: ("", ""))
    with pytest.raises(CaffeError, match="on x86_64 without glibc"):
        install()
    assert not home.exists()


def test_pythons_that_are_here_are_found(monkeypatch):
    """Of those that this machine has each is of a version with a wheel, and can make an environment."""
    for python in module._fitting():
        code = "import sys, ensurepip; print(sys.version_info[:2] in ((3, 8), (3, 9)))"
        assert subprocess.run([python, "-c", code], capture_output=True, check=True).stdout.strip() == b"True"
    if sys.version_info[:2] in ((3, 8), (3, 9)):
        assert next(module._fitting(), None)


def test_the_folder_is_where_the_system_keeps_such(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert interpreter.installed_folder() == tmp_path / ".local/share/netbuild/caffe"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert interpreter.installed_folder() == tmp_path / ".local/share/netbuild/caffe"
    monkeypatch.setattr(interpreter.sys, "platform", "darwin")
    assert interpreter.installed_folder() == tmp_path / "Library/Application Support/netbuild/caffe"


def test_the_command_makes_it_and_examines_what_is_used(home, machine):
    machine()
    said = invoke("doctor", "--install", code=None).output
    assert f"made: {home / 'caffe' / 'bin' / 'python'}\n" in said
    assert "passed   Convolution" in said
    assert (
        f"kept, for it works: {home / 'caffe' / 'bin' / 'python'}\n" in invoke("doctor", "--install", code=None).output
    )
    shutil.rmtree(home)
    machine(fails=True)
    failed = invoke("doctor", "--install", code=1).output
    assert failed.splitlines()[-1] == "Error: pip could not install Caffe: ERROR: No matching distribution"
    assert list(home.iterdir()) == []


def test_a_user_without_a_home_is_told(monkeypatch):
    """And nothing is made in the current folder."""
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(module, "_require_platform", lambda: None)
    with pytest.raises(
        CaffeError, match="no home folder to make the environment in: name a place for it in XDG_DATA_H"
    ):
        module.install()
