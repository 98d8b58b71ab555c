"""The README's commands and code, run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from netbuild_cli.main import main

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_commands_by_hand(in_tmp):
    output = []
    for line in "".join(blocks("sh")).splitlines():
        # Fewer iterations do for this; everything else is as printed.
        words = re.sub(r"--max-iter \d+", "--max-iter 5", re.sub(r"_iter_\d+\.", "_iter_5.", line)).split()
        assert words[0] == "netbuild"
        result = CliRunner().invoke(main, words[1:])
        assert result.exit_code == 0, result.output
        output.append(result.output)
    assert len(output) == 9
    for line in re.findall(r"^    (.* bit-equal to .*)$", README, re.MULTILINE):
        assert line.replace("_iter_300.", "_iter_5.") in "".join(output)


def test_the_python_code(in_tmp):
    for code in blocks("python"):
        subprocess.run([sys.executable, "-c", code], check=True)
    assert Path("net/train_val.prototxt").exists()


@pytest.mark.parametrize("target", ["demo", "test", "bench", "install", "lint"])
def test_make_targets_exist(target):
    makefile = (Path(__file__).resolve().parents[1] / "Makefile").read_text()
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
