"""What is handed over: the metadata, the wheel and the source distribution, built without a network.

`make dist` goes further: it installs both in clean environments and runs the demo and tests there.
"""

import configparser
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from source_code import FOLDERS, ROOT

LEFT = (
    "__pycache__",
    "*.egg-info",
    "build",
    "dist",
    "site",
    "demo-out",
    ".*_cache",
    ".hypothesis",
    ".venv*",
    ".upstream",
    ".git",
)
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, 'build_' + sys.argv[1])(sys.argv[2]))"


def settings():
    read = configparser.ConfigParser(interpolation=None)
    read.read(ROOT / "setup.cfg")
    return read


def lines(section, option):
    return settings()[section][option].split("\n")[1:]


def files(folder):
    return {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()}


def of_source(folder):
    """The paths of a folder's files, without what a run or a build leaves there."""
    return {name for name in files(folder) if "__pycache__" not in name and ".egg-info/" not in name}


def build(kind, folder, out):
    """Return what `pip wheel` or `python -m build` makes, by the same call, of setuptools that is here."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD, kind, out], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The source distribution, unpacked."""
    if int(pytest.importorskip("setuptools").__version__.partition(".")[0]) < 70:
        pytest.skip("setuptools 70 or newer is needed to build (make install brings it)")
    folder = tmp_path_factory.mktemp("sdist")
    shutil.copytree(ROOT, folder / "copy", ignore=shutil.ignore_patterns(*LEFT))
    made = build("sdist", folder / "copy", folder)
    with tarfile.open(made) as archive:
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return folder / made.name[: -len(".tar.gz")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, sdist):
    """The wheel, built of the source distribution and unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    # Of a copy, for building leaves files behind.
    shutil.copytree(sdist, folder / "copy")
    with zipfile.ZipFile(build("wheel", folder / "copy", folder)) as archive:
        archive.extractall(folder / "in")
    return folder / "in"


def metadata(wheel):
    (file,) = wheel.glob("*.dist-info/METADATA")
    return Parser().parsestr(file.read_text(encoding="utf-8"))


def test_every_package_is_listed():
    there = {
        ".".join([package, *path.parent.relative_to(folder).parts])
        for package, folder in FOLDERS.items()
        for path in folder.rglob("__init__.py")
    }
    assert set(lines("options", "packages")) == there


def test_the_wheel_has_all_files_of_both_packages_and_no_other(wheel):
    expected = {f"{package}/{name}" for package, folder in FOLDERS.items() for name in of_source(folder)}
    assert {name for name in files(wheel) if ".dist-info/" not in name} == expected
    for package in FOLDERS:
        assert (wheel / package / "py.typed").exists()


def test_the_source_distribution_is_the_repository(sdist):
    assert of_source(sdist) - {"PKG-INFO"} == of_source(sdist.parent / "copy")


def test_versions_are_not_capped_where_caffe_does_not_ask_for_it(wheel):
    required = metadata(wheel).get_all("Requires-Dist")
    assert {line for line in required if "extra ==" not in line} == {"click>=8.0", "numpy>=1.17", "protobuf>=3.6"}
    markers = [line for line in required if 'extra == "caffe"' in line]
    assert len(markers) == 3
    assert all('python_version < "3.10"' in line and 'platform_machine == "x86_64"' in line for line in markers)


def test_pythons_and_version_are_those_of_the_project(wheel):
    import netbuild

    told = metadata(wheel)
    assert (told["Version"], told["Requires-Python"]) == (netbuild.__version__, ">=3.8")
    assert f"\nversion: {netbuild.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    pythons = {line.rpartition(" ")[2] for line in told.get_all("Classifier") if ":: 3." in line}
    assert pythons == {f"3.{minor}" for minor in range(8, 15)}


def test_the_extra_all_brings_every_extra_for_users():
    extras = set(settings()["options.extras_require"]) - {"all", "dev", "docs", "fuzz"}
    (all_of_them,) = lines("options.extras_require", "all")
    assert set(all_of_them[len("netbuild[") : -1].split(",")) == extras


def command(wheel, folder, *words):
    """Run the command of the wheel, in an empty folder."""
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    done = subprocess.run(
        [sys.executable, "-m", "netbuild", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_runs_from_the_wheel(wheel, tmp_path):
    assert command(wheel, tmp_path, "--version") == f"netbuild, version {metadata(wheel)['Version']}\n"


def test_the_demo_runs_from_the_wheel(wheel, tmp_path, caffe):
    for module in ("sklearn", "PIL", "h5py", "jinja2", "matplotlib"):
        pytest.importorskip(module)
    shown = command(wheel, tmp_path, "demo", "-o", "out", "--branch-iterations", "5", "--head-iterations", "5")
    assert "all of it on one page" in shown
    assert (tmp_path / "out" / "report.html").exists()


def test_the_tests_of_the_source_distribution_are_found(sdist):
    """Those of a page, of the order of the modules and of the Makefile read files beside themselves."""
    chosen = [
        "tests/test_layering.py",
        "tests/test_docs.py::test_what_is_left_to_the_reader_exists",
        "tests/test_comparison.py::test_every_row_names_a_test_that_is_there",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen],
        cwd=sdist,
        env={**os.environ, "PYTHONPATH": str(sdist)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
