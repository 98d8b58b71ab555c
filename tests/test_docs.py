"""The commands and files of the pages in docs/, as they stand."""

import os
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from netbuild_cli.main import main

DOCS = Path(__file__).resolve().parents[1] / "docs"


def blocks(page):
    """Yield (language, text) of a page's code blocks in order."""
    yield from re.findall(r"```(\w+)\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def run(page, folder):
    """Write the page's files, run its commands; return what they print."""
    printed = []
    for language, text in blocks(page):
        name = re.match(r"# (\w+\.(?:py|prototxt))\n", text)
        if name:
            (folder / name.group(1)).write_text(text)
            continue
        assert language == "sh", text
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line)
            assert words[0] == "netbuild"
            result = CliRunner().invoke(main, words[1:])
            assert result.exit_code == 0, f"{line}\n{result.output}"
            printed.append(result.output)
    return printed


@pytest.fixture()
def as_a_user(in_tmp, monkeypatch):
    """An empty folder from which modules are imported, forgotten afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path, os.fspath(in_tmp)])
    before = set(sys.modules)
    yield in_tmp
    for name in set(sys.modules) - before:
        if name.startswith("tiny"):
            del sys.modules[name]


def test_own_builder(as_a_user):
    printed = run("own-builder.md", as_a_user)
    assert "fc1 (N, 16)" in printed[0]
    assert "pool1 (N, 8, 5, 5)" in printed[2]
    net = (as_a_user / "fused/deploy.prototxt").read_text()
    for name in ('"a/conv1"', '"b/fc1"', '"score"'):
        assert f"name: {name}" in net


def test_fusing(in_tmp):
    printed = run("fusing.md", in_tmp)
    assert "ip1 (N, 500)" in printed[3]
    folders = {"streams": 3, "ensemble": 2, "serial": 1, "tasks": 3}
    assert {folder: len(list((in_tmp / folder).iterdir())) for folder in folders} == folders


def test_weights(in_tmp):
    printed = "".join(run("weights.md", in_tmp))
    assert "6 of 6 blobs of odd_ bit-equal to odd.h5" in printed
    assert "odd: 6 blobs as in odd.caffemodel" in printed
    assert "6 of 6 blobs, in 3 layers, bit-equal to init.caffemodel" in printed
    assert 'weights: "parts.even.caffemodel"' in printed
    assert (in_tmp / "twins.caffemodel").exists() is False


def test_evaluating(in_tmp, capsys):
    printed = run("evaluating.md", in_tmp)
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
    printed = run("scale.md", in_tmp)
    assert "wrote features/head_train.prototxt" in printed[6]
    assert "only the head is trained, on features" in printed[7]
    assert "wrote whole.caffemodel" in printed[9]
    assert "best: base_lr=" in printed[10]
    assert (in_tmp / "grid" / "grid.png").exists()
