from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Dict

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from nets import fused_lenets
from next_door import Caffe

from netbuild.data.lists import Digits, Written, write_images
from netbuild.engine.caffe import caffe as open_caffe
from netbuild.engine.child import ENDINGS, run
from netbuild.engine.interpreter import VARIABLE, chosen
from netbuild.errors import CaffeError
from netbuild.schema import schema

# No test depends on time. In a fresh folder the first text that is drawn costs a second and a half: a table is made.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

TESTS = Path(__file__).resolve().parent
SHARED = TESTS.parents[1] / "shared"


@pytest.fixture(scope="session", autouse=True)
def _signals_are_heeded():
    """Let processes that tests start heed signals, also where a shell's background job or nohup ignores them.

    A process inherits what is ignored. It does not inherit a handler.
    """
    for number in ENDINGS:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else lambda *_: None)


@pytest.fixture(scope="session", autouse=True)
def _engine():
    """The Python whose Caffe computes, or why there is none; one next door is shown `jobs`, what tests run there.

    It is shown them because a child process sees no module of its caller's but netbuild's.
    """
    try:
        found = chosen()
    except CaffeError as error:
        yield error
        return
    with pytest.MonkeyPatch.context() as patch:
        if not found.is_this:
            patch.setenv(VARIABLE, f"env PYTHONPATH={shlex.quote(os.fspath(TESTS))} {found.line}")
        yield found


@pytest.fixture(scope="session")
def engine(_engine):
    """The Python whose Caffe computes in child processes: this one, or one next door."""
    if isinstance(_engine, CaffeError):
        pytest.skip(str(_engine))
    return _engine


@pytest.fixture(scope="session")
def pycaffe():
    """Real pycaffe in this process, for what its nets alone do not do: forks, layers in Python, its modules and files.

    Skips where this Python has none at all, as a new one; one that is there and does not work is an error. A test that
    needs pycaffe in another process of this Python asks with `@pytest.mark.usefixtures("pycaffe")`; one to which any
    Caffe will do asks for `engine`, and runs what it needs as a job (tests/jobs.py).
    """
    if importlib.util.find_spec("caffe") is None:
        pytest.skip(f"Python {sys.version_info[0]}.{sys.version_info[1]} has no Caffe in it")
    return open_caffe()


@pytest.fixture(scope="session")
def caffe(engine):
    """pycaffe: only for nets that cannot make it abort. Where it is next door, its nets and solvers (next_door.py)."""
    if engine.is_this or importlib.util.find_spec("caffe") is not None:
        yield open_caffe()
        return
    standing_in = Caffe()
    yield standing_in
    standing_in.close()


@pytest.fixture()
def written(engine, tmp_path):
    """Writes a net, and beside it weights of its own, by the length of its name; returns the prototxt."""

    def write(name: str, text: str) -> Path:
        path: Path = tmp_path / f"{name}.prototxt"
        path.write_text(text)
        list(run("jobs:save", net=path, weights=[path.with_suffix(".caffemodel")], seed=len(name)))
        return path

    return write


@pytest.fixture(scope="module")
def slim(caffe):
    """For tests that fork for each net: memory which earlier tests' nets have left makes each fork dear."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@pytest.fixture(scope="session")
def pb():
    """The messages that pycaffe has where there is one: it takes ours, when it is imported after netbuild."""
    return schema()


@pytest.fixture(scope="session")
def recipe() -> Path:
    """The fusion recipe's prototxts and its two trained models."""
    folder = SHARED / "seed"
    if not folder.is_dir():
        pytest.skip("the recipe's files are not on this machine")
    return folder


@pytest.fixture(scope="session")
def mnist() -> Path:
    folder = SHARED / "data" / "mnist"
    if not folder.is_dir():
        pytest.skip("MNIST is not on this machine")
    return folder


@pytest.fixture(scope="module")
def browser():
    """Chromium, by playwright; not longer than a module, as its event loop stands in the way of others (Dask's)."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine")
    with sync.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class _Opened:
    """The names of the files that this process opens, as the interpreter itself reports them."""

    names = None

    def note(self, event, arguments):
        if event == "open" and self.names is not None and isinstance(arguments[0], (str, bytes)):
            # In old Pythons a Path that is opened is reported twice: by `open`, then by `os.open`, which has no mode.
            path, mode = os.fsdecode(arguments[0]), arguments[1]
            if mode is not None or self.last != path:
                self.names.append(Path(path).name)
            self.last = path if mode is not None else None


_opened = _Opened()
sys.addaudithook(_opened.note)  # which cannot be taken away again


@pytest.fixture()
def opened():
    """The names of the files that this process opens."""
    _opened.names, _opened.last = [], None
    yield _opened.names
    _opened.names = None


@pytest.fixture()
def in_tmp(tmp_path, monkeypatch) -> Path:
    """Run in an empty folder, as a user in a new one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def small_digits() -> Dict[str, Digits]:
    """Forty images a split: noise with a bar whose place tells the label, so that there is something to learn."""
    rng = np.random.default_rng(1)
    splits = {}
    for split in ("train", "val", "test"):
        labels = np.arange(40) % 10
        pixels = rng.integers(0, 60, (40, 28, 28)).astype(np.uint8)
        for image, label in zip(pixels, labels):
            image[2 * label : 2 * label + 6] = 250
        splits[split] = Digits(pixels, labels)
    return splits


@pytest.fixture(scope="session")
def small_lists(tmp_path_factory, small_digits) -> Written:
    return write_images(small_digits, tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory, engine) -> Path:
    """Weights of two LeNets and their prototxt, filled by Caffe: a.caffemodel, b.caffemodel, lenet.prototxt."""
    from netbuild import DataSource, Fusion, emit_files, lenet
    from netbuild.branches.lenet import MNIST

    folder = tmp_path_factory.mktemp("trained")
    emit_files(Fusion({"": lenet}, 5, frozen=False), DataSource(MNIST, kind="input"), folder)
    weights = [folder / f"{name}.caffemodel" for name in "ab"]
    list(run("jobs:save", net=folder / "train_val.prototxt", weights=weights))
    (folder / "train_val.prototxt").rename(folder / "lenet.prototxt")
    return folder


@pytest.fixture()
def fused(tmp_path, small_lists, trained):
    """Two LeNets fused, 40 images in batches of 10 and 20: solver.prototxt, train_val.prototxt, init.caffemodel."""
    return fused_lenets(tmp_path / "fused", small_lists, trained)


@pytest.fixture()
def mounted(tmp_path):
    """Mounts a small file system in memory, or skips."""
    places = []

    def mount(name, size, files=()):
        folder = tmp_path / name
        folder.mkdir()
        done = shutil.which("mount") and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
        )
        if not done or done.returncode:
            pytest.skip("a file system can be mounted by root only")
        places.append(folder)
        for path, content in files:
            (folder / path).write_bytes(content)
        return folder

    yield mount
    for folder in places:
        subprocess.run(["umount", "-l", str(folder)], check=True)
