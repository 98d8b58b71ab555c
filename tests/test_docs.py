"""The documentation: every command, file and piece of code as it stands, and the site that is made of it."""

import importlib.util
import os
import re
import runpy
import subprocess
import sys

import pytest
from netbuild_cli.main import _COMMANDS
from pages import ROOT, blocks, run

import netbuild
from netbuild.engine.interpreter import VARIABLE

DOCS = ROOT / "docs"
TESTED_BELOW = {"own-builder.md", "fusing.md", "weights.md", "evaluating.md", "scale.md"}
PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


@pytest.fixture()
def as_a_user(in_tmp, monkeypatch):
    """An empty folder from which modules are imported, forgotten afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path, os.fspath(in_tmp)])
    before = set(sys.modules)
    yield in_tmp
    for name in set(sys.modules) - before:
        if name.startswith("tiny"):
            del sys.modules[name]


@pytest.mark.parametrize("page", [page for page in PAGES if page not in TESTED_BELOW])
def test_page(page, in_tmp):
    if any("opencv" in text for _, text in blocks(DOCS / page)):
        pytest.importorskip("cv2", reason="OpenCV is not installed")
    run(DOCS / page, in_tmp)


def test_own_builder(as_a_user):
    printed = run(DOCS / "own-builder.md", as_a_user)
    assert "fc1 (N, 16)" in printed[0]
    assert "pool1 (N, 8, 5, 5)" in printed[2]
    net = (as_a_user / "fused/deploy.prototxt").read_text()
    for name in ('"a/conv1"', '"b/fc1"', '"score"'):
        assert f"name: {name}" in net


def test_fusing(in_tmp):
    printed = run(DOCS / "fusing.md", in_tmp)
    assert "ip1 (N, 500)" in printed[3]
    folders = {"streams": 3, "ensemble": 2, "serial": 1, "tasks": 3}
    assert {folder: len(list((in_tmp / folder).iterdir())) for folder in folders} == folders


def test_weights(in_tmp):
    printed = "".join(run(DOCS / "weights.md", in_tmp))
    assert "6 of 6 blobs of odd_ bit-equal to odd.h5" in printed
    assert "odd: 6 blobs as in odd.caffemodel" in printed
    assert "6 of 6 blobs, in 3 layers, bit-equal to init.caffemodel" in printed
    assert 'weights: "parts.even.caffemodel"' in printed
    assert (in_tmp / "twins.caffemodel").exists() is False


def test_evaluating(in_tmp, capsys):
    printed = run(DOCS / "evaluating.md", in_tmp)
    # The deploy net with the preparation given is the train_val net.
    assert printed[-1].replace("deploy", "train_val").split() == printed[8].split()
    files = {"confusion.csv", "confusion.png", "per_class.csv", "predictions.csv"}
    assert {path.name for path in (in_tmp / "results").iterdir()} == files
    runpy.run_path("compare.py")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()][:8]
    for (name, _, top1), line in zip(rows, printed[9].splitlines()[1:]):
        assert name in line
        assert line.split()[-2] == f"{float(top1):.4f}", line


def test_scale(in_tmp):
    printed = run(DOCS / "scale.md", in_tmp)
    assert "wrote features/head_train.prototxt" in printed[6]
    assert "only the head is trained, on features" in printed[7]
    assert "wrote whole.caffemodel" in printed[9]
    assert "best: base_lr=" in printed[10]
    assert (in_tmp / "grid" / "grid.png").exists()


def test_what_is_left_to_the_reader_exists():
    makefile = (ROOT / "Makefile").read_text()
    told = "".join(text for page in PAGES for language, text in blocks(DOCS / page) if language == "console")
    assert told
    for line in told.splitlines():
        program, command = re.split("[ =]", line, maxsplit=2)[:2]
        if program == "code":
            # A variable of the shell's, which a line below uses.
            assert f"-v ${program}:" in told
            continue
        if program == "export":
            assert command == VARIABLE
            continue
        assert command in _COMMANDS if program == "netbuild" else re.search(rf"^{command}:", makefile, re.MULTILINE), (
            line
        )


def test_everything_public_is_in_the_reference():
    listed = (DOCS / "reference" / "python.md").read_text()
    places = {f"::: netbuild.{module}.{name}" for name, module in netbuild._CONTENTS.items()}
    places |= {f"::: netbuild.{module}" for module in netbuild._MODULES}
    assert set(re.findall(r"^::: \S+", listed, re.MULTILINE)) == places


def test_the_site(tmp_path):
    for package in ("mkdocs", "material", "mkdocstrings", "mkdocs_click"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (make docs installs it)")
    command = [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    commands = (tmp_path / "reference" / "commands" / "index.html").read_text()
    for name in _COMMANDS:
        assert f'id="netbuild-{name}"' in commands, name
    assert "--collapse" in commands
    python = (tmp_path / "reference" / "python" / "index.html").read_text()
    for name, module in netbuild._CONTENTS.items():
        assert f'id="netbuild.{module}.{name}"' in python, name
    # Nothing on the pages is asked of another host.
    for page in tmp_path.rglob("*.html"):
        assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', page.read_text(encoding="utf-8")), (
            page
        )
