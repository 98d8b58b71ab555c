"""A private environment with the Caffe wheel: `netbuild doctor --install`.

The wheel is for Python 3.9 and 3.8 on Linux x86-64. A Python that is there is taken: on PATH, in pyenv; else uv brings
one, and where uv is missing it is had from PyPI for the while. The environment is made beside its place, and gets its
name when its Caffe has been loaded: what is half made is never taken for one.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence

from ..engine.interpreter import OF_THIS_PYTHON, VARIABLE, installed_folder, installed_python
from ..errors import CaffeError, printable
from ..files import output_folder

REQUIREMENTS = ("kendryte-caffe==1.0.0.20210829", "numpy<2", "protobuf<3.21", "h5py>=3")
"""The extras `caffe` and `hdf5` (tests/test_install.py holds them to setup.cfg)."""
_PYTHONS = ("3.9", "3.8")
_FITS = "import sys, ensurepip, venv; sys.exit('%d.%d' % sys.version_info[:2] != sys.argv[1])"
_LOADS = "import caffe; caffe.Net"
_OF_THE_CALLER = (*OF_THIS_PYTHON, "VIRTUAL_ENV")
_NOWHERE = "/"
"""A folder without modules: Python looks for them in the current one, which may hold a Caffe's own."""

OnStep = Callable[[str], None]


@dataclass(frozen=True)
class Installed:
    """The private environment."""

    python: Path
    """Its interpreter."""
    new: bool
    """Whether it was made now; otherwise it was there, and its Caffe could be loaded."""


def install(on_step: OnStep = lambda _line: None) -> Installed:
    """Make the private environment, or keep the one that is there and works.

    `on_step` is called with what is being done. Raises CaffeError where there is no wheel for this machine, where no
    fitting Python can be had, and where pip fails.
    """
    if _loads_caffe(installed_python()):
        return Installed(installed_python(), new=False)
    _require_platform()
    if not installed_folder().is_absolute():
        raise CaffeError("you have no home folder to make the environment in: name a place for it in XDG_DATA_HOME")
    home = output_folder(installed_folder().parent)
    with tempfile.TemporaryDirectory(prefix="making-", dir=home) as place:
        made = Path(place) / "environment"
        _make(made, Path(place), on_step)
        on_step(f"installing {REQUIREMENTS[0]} into it")
        python = made / "bin" / "python"
        _run([python, "-m", "pip", "install", "--no-input", *REQUIREMENTS], "pip could not install Caffe")
        _run([python, "-c", _LOADS], "the installed Caffe cannot be loaded")
        _put_in_place(made, Path(place) / "old")
    return Installed(installed_python(), new=True)


def _require_platform() -> None:
    machine = platform.machine().lower()
    fits = sys.platform == "linux" and machine in ("x86_64", "amd64")
    if fits and platform.libc_ver()[0] == "glibc":
        return
    here = f"{platform.system()} on {machine}" + (" without glibc" if fits else "")
    raise CaffeError(
        f"the Caffe wheel is for Linux on x86-64 (glibc), and this is {here}: name a Python that has your own Caffe in "
        f"{VARIABLE}, or a command line that runs one elsewhere ('docker run --rm -i -v FOLDER:FOLDER IMAGE python3')"
    )


def _make(made: Path, place: Path, on_step: OnStep) -> None:
    """Make an empty environment."""
    python = next(_fitting(), None)
    if python is not None:
        on_step(f"making an environment with {python}")
        _run([python, "-m", "venv", made], f"{python} cannot make a virtual environment")
        return
    on_step(f"no Python {' or '.join(_PYTHONS)} here (with its venv module): uv brings one")
    uv = shutil.which("uv") or _uv(place / "uv")
    # Where the environment is, and not in the place that a uv of the user's own would use.
    bringing = {"UV_PYTHON_INSTALL_DIR": str(installed_folder().parent / "python")}
    _run(
        [uv, "venv", "--seed", "--python", _PYTHONS[0], made],
        f"no Python {' or '.join(_PYTHONS)} was found on PATH or in pyenv, and uv could not bring one; install one "
        "(Debian, Ubuntu: with its venv module), and try again",
        bringing,
    )


def _fitting() -> Iterator[str]:
    """Yield the Pythons of this machine for which there is a wheel, and which can make an environment."""
    for version in _PYTHONS:
        for candidate in _candidates(version):
            # A pyenv shim may be there and not run.
            if _succeeds([candidate, "-c", _FITS, version]):
                yield candidate


def _candidates(version: str) -> List[str]:
    named = [shutil.which(name) for name in (f"python{version}", "python3", "python")]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [sys.executable, *filter(None, named), *map(str, sorted(pyenv.glob(f"{version}*/bin/python")))]
    return list(dict.fromkeys(found))


def _uv(place: Path) -> str:
    """Return a uv from PyPI, in an environment that is gone afterwards."""
    why = "uv, which would bring a Python, cannot be installed"
    if _succeeds([sys.executable, "-c", "import ensurepip, venv"]):
        _run([sys.executable, "-m", "venv", place], why)
        _run([place / "bin" / "python", "-m", "pip", "install", "--no-input", "uv"], why)
    else:
        _run([sys.executable, "-m", "pip", "install", "--no-input", "--target", place, "uv"], why)
    return str(place / "bin" / "uv")


def _put_in_place(made: Path, old: Path) -> None:
    """Give the new environment its name; one that was there and did not work goes."""
    target = installed_folder()
    if target.exists() or target.is_symlink():
        target.rename(old)
    made.rename(target)


def _loads_caffe(python: Path) -> bool:
    return python.exists() and _succeeds([python, "-c", _LOADS])


def _environment(more: Optional[Dict[str, str]] = None) -> Dict[str, str]:
    """Return our environment without what would lead another Python astray."""
    kept = {name: value for name, value in os.environ.items() if name not in _OF_THE_CALLER}
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **(more or {})}


def _succeeds(command: Sequence[object]) -> bool:
    try:
        words = list(map(str, command))
        done = subprocess.run(words, env=_environment(), cwd=_NOWHERE, capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _run(command: Sequence[object], why: str, more: Optional[Dict[str, str]] = None) -> None:
    """Run a command, its output kept back; raise CaffeError with its last line where it fails."""
    words = list(map(str, command))
    try:
        done = subprocess.run(
            words,
            env=_environment(more),
            cwd=_NOWHERE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise CaffeError(f"{why}: {words[0]!r}: {error.strerror}") from error
    if done.returncode:
        lines = [line.strip() for line in done.stdout.decode("utf-8", "replace").splitlines() if line.strip()]
        told = [line for line in lines if line.lower().startswith("error")] or lines
        raise CaffeError(f"{why}: {printable(told[-1]) if told else f'exit status {done.returncode}'}")
