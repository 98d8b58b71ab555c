"""The README's commands and code, run as they stand."""

import re
from pathlib import Path

import pytest
from pages import ROOT, run


def shorter(line):
    """Fewer iterations do for this; everything else is as printed."""
    return re.sub(r"--max-iter \d+", "--max-iter 5", re.sub(r"_iter_\d+\.", "_iter_5.", line))


def test_the_commands_and_code(in_tmp):
    printed = run(ROOT / "README.md", in_tmp, shorter)
    assert len(printed) > 9
    assert Path("net/train_val.prototxt").exists()


@pytest.mark.parametrize("target", ["demo", "docs", "test", "bench", "install", "lint"])
def test_make_targets_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
