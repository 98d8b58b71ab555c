"""How messages name options: each reader is told what he can type."""

import pytest

from netbuild.engine.child import run
from netbuild.spelling import flags, name_of, option, spells_flags

SPELLED = [
    (("bridge", "flatten"), "bridge='flatten'", "--bridge flatten"),
    (("over_2gb", True), "over_2gb=True", "--over-2gb"),
    (("mirror", False), "mirror=False", "--no-mirror"),
    (("shape", (1, 3, 28, 28)), "shape=(1, 3, 28, 28)", "--shape 1,3,28,28"),
    (("weights", {"odd": "FILE"}), "weights={'odd': 'FILE'}", "--weights odd=FILE"),
    (("mean", {"": (1, 2)}), "mean={'': (1, 2)}", "--mean 1,2"),
    (("heads", {"a": 3, "b": 4}), "heads={'a': 3, 'b': 4}", "--heads a=3 --heads b=4"),
]


@pytest.mark.parametrize(("given", "python", "command_line"), SPELLED)
def test_an_option_is_spelled_for_its_reader(given, python, command_line):
    assert option(*given) == python
    with flags():
        assert option(*given) == command_line
    assert option(*given) == python


def test_a_flag_may_have_a_name_of_its_own():
    assert option("heads", {"digit": 10}, flag="head") == "heads={'digit': 10}"
    assert name_of("init_head") == "init_head"
    with flags():
        assert option("heads", {"digit": 10}, flag="head") == "--head digit=10"
        assert name_of("init_head") == "--init-head"
        assert spells_flags()
        with flags(False):
            assert not spells_flags()
    assert not spells_flags()


def test_a_child_process_spells_as_its_parent():
    assert list(run("jobs:spelled")) == ["join='sum'"]
    with flags():
        assert list(run("jobs:spelled")) == ["--join sum"]
