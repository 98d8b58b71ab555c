"""The pages of the documentation, run as a reader would: top to bottom, in an empty folder."""

import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

from click.testing import CliRunner
from netbuild_cli.main import main

from netbuild import proto
from netbuild.engine.interpreter import chosen

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"# (\w+\.(?:py|prototxt))\n")


def blocks(page):
    """Yield (language, text) of a page's code blocks in order."""
    for _, language, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        yield language, textwrap.dedent(text)


def run(page, folder, shorter=lambda line: line):
    """Write the page's files, run its commands and code; return what they print. What the page shows must be in it.

    A block of `console` is left to the reader: it names commands that make an environment, or wait for a person.
    """
    printed = []
    for language, text in blocks(page):
        name = _NAME.match(text)
        if name:
            (folder / name[1]).write_text(text)
            if language == "prototxt":
                proto.read_net(folder / name[1])
        elif language == "sh":
            printed += [_netbuild(shorter(line)) for line in text.replace("\\\n", " ").splitlines()]
        elif language == "python":
            # A reader whose Caffe is next door runs a program of pycaffe's there.
            python = chosen().command if re.search(r"^import caffe$", text, re.MULTILINE) else [sys.executable]
            done = subprocess.run([*python, "-c", shorter(text)], check=True, capture_output=True, text=True)
            printed.append(done.stdout)
        elif language == "text":
            _require_shown(shorter(text), "".join(printed))
        else:
            assert language == "console", f"{page}: a block of {language!r} is run by nothing"
    return printed


def _netbuild(line):
    words = shlex.split(line)
    assert words[0] == "netbuild", line
    result = CliRunner().invoke(main, words[1:])
    # `diff` ends as diff does.
    allowed = (0, 1) if words[1] == "diff" and "Error" not in result.output else (0,)
    assert result.exit_code in allowed, f"{line}\n{result.output}"
    return result.output


def _require_shown(text, printed):
    """Each line stands in what was printed, with anything for `...`, and any number of spaces."""
    told = re.sub(r" +", " ", printed)
    for line in text.splitlines():
        pattern = ".*".join(map(re.escape, re.sub(r" +", " ", line.strip()).split("...")))
        assert re.search(pattern, told), f"not printed: {line}\n{printed}"
