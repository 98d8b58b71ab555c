"""What the command line thinks was meant, where a word is not known."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from netbuild_cli.main import main
from nets import small

from netbuild.errors import did_you_mean


def test_a_hint_names_the_closest_word_or_what_there_is():
    assert did_you_mean("con1", ["conv1", "pool2"]) == "did you mean 'conv1'?"
    assert did_you_mean("x", ["conv1", "pool2"]) == "known are conv1, pool2"
    assert did_you_mean("x", ["conv1"], "look again") == "look again"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["emti"], "No such command 'emti'; did you mean 'emit'?"),
        (["zzz"], "No such command 'zzz'; netbuild --help lists them all"),
        (["emit", "lenet", "--clases", 5], "No such option:? '?--clases.*--classes"),
        (["emit", "lenet", "--classes", 5, "--solver", "base_rl=1", "-o", "x"], "no field 'base_rl'.*mean 'base_lr'"),
        (["emit", "lenet", "--classes", 5, "--solver", "solver_mode=CPPU", "-o", "x"], "CPPU is not.*mean 'CPU'"),
        (["emit", "lenet", "--classes", 5, "--train-source", "dat=x", "-o", "x"], "called 'dat'; did you mean 'data'"),
        (["emit", "fusion", "--branch", "odd=lenett", "--classes", 5, "-o", "x"], "'lenett': did you mean 'lenet'"),
        (["emit", "fusion", "--branch", "odd=lenet@ipp1", "--classes", 5, "-o", "x"], "'ipp1' in.*mean 'ip1'"),
        (["emit", "lenet", "--head", "fc=5", "--loss", "fcc=HingeLoss", "-o", "x"], "--loss fcc.*mean 'fc'"),
        (["fuse", "n.prototxt", "--weights", "odd=x", "--init-head", "od=1", "-o", "x"], "head od.*mean 'odd'"),
        (["extract", "sma", "n.prototxt", "n.caffemodel", "-o", "x"], "prefixes there are: none"),
    ],
)
def test_a_slip_of_the_finger_is_told(in_tmp, arguments, sentence):
    Path("n.prototxt").write_text(small())
    Path("n.caffemodel").write_bytes(b"\x0a\x01n\xa2\x06\x05\x0a\x03one")
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code in (1, 2)
    assert re.search(sentence, result.output), result.output


TWO = ["emit", "fusion", "--branch", "odd=lenet", "--branch", "even=lenet", "--classes", 10, "-o", "x"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--lr", "odf=2"], "--lr odf: no branch has this prefix; did you mean 'odd'?"),
        (["--trainable", "third"], "--trainable third: no branch has this prefix; the branches are odd, even"),
        (["--after", "evn"], "--after"),
        (["--share", "odd=evn"], "parameters of 'evn', which is no other branch; did you mean 'even'?"),
        (["--input", "odd=even/ip9"], "'even/ip9', which is no blob of that branch; did you mean 'even/ip1'?"),
        (["--frozen-to", "odd=pol1"], "up to 'pol1', which is no blob of it; did you mean 'pool1'?"),
    ],
)
def test_a_slip_in_a_prefix_or_a_blob_of_a_branch(in_tmp, arguments, sentence):
    assert sentence in CliRunner().invoke(main, list(map(str, [*TWO, *arguments]))).output
