"""What is said where a package is missing that some work needs, and that it is said before the work begins."""

import re
import sys
from importlib.metadata import requires

import pytest
from commands import invoke
from source_code import sources, strings

from netbuild import NetbuildError, run_demo
from netbuild.errors import WeightsError
from netbuild.extras import _PACKAGES, getting, have, optional, require


def test_a_module_is_given_or_the_package_named(monkeypatch, tmp_path):
    assert optional("json.decoder", "x needs") is sys.modules["json.decoder"]
    for name in ("PIL", "PIL.Image"):  # which another test may have loaded
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(WeightsError, match=r"^images need PIL: pip install pillow$"):
        optional("PIL.Image", "images need", WeightsError)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("raise ImportError('libGL.so.1: cannot open')", r"libGL\.so\.1: cannot open"),
    ],
)
def test_what_is_there_and_broken_is_not_to_be_installed_again(monkeypatch, tmp_path, text, reason):
    (tmp_path / "broken_one.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(NetbuildError, match=rf"^x needs broken_one, which is installed but .* loaded \({reason}\)$"):
        optional("broken_one", "x needs")


def test_all_that_is_missing_is_named_at_once(monkeypatch):
    require("x needs", "json", "re")
    for module in ("PIL", "sklearn"):
        monkeypatch.setitem(sys.modules, module, None)
        assert not have(module)
    with pytest.raises(NetbuildError, match=r"^x needs PIL, sklearn: pip install pillow scikit-learn$"):
        require("x needs", "PIL", "json", "sklearn")


def test_the_demo_asks_for_all_it_needs_before_it_begins(monkeypatch, in_tmp):
    for module in ("PIL", "h5py", "jinja2", "matplotlib", "sklearn"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(NetbuildError, match="pip install pillow h5py jinja2 matplotlib scikit-learn$"):
        run_demo("out")
    assert not list(in_tmp.iterdir())


@pytest.mark.parametrize(
    ("words", "package", "module"),
    [
        (("data", "digits", "out"), "scikit-learn pillow", ("sklearn", "PIL")),
        (("data", "mnist", "out", "--from", "nowhere"), "pillow", ("PIL",)),
        (("report", ".", "-o", "r.html"), "jinja2", ("jinja2",)),
    ],
)
def test_commands_ask_before_they_begin(words, package, module, monkeypatch, in_tmp):
    for one in module:
        monkeypatch.setitem(sys.modules, one, None)
    said = invoke(*words, code=1).output
    assert said.strip().endswith(f"pip install {package}")
    assert not list(in_tmp.iterdir())


def test_training_says_before_it_begins_that_no_curves_will_be_drawn(monkeypatch, in_tmp):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = invoke("train", "nowhere.prototxt", "-o", "out", code=1).output
    assert said.index("note: no curves: they need matplotlib: pip install matplotlib") < said.index("Error:")
    assert "matplotlib" not in invoke("train", "nowhere.prototxt", "-o", "out", "--no-plot", code=1).output


def test_every_package_that_a_message_names_is_one_of_an_extra():
    declared = {re.match(r"[\w-]+", line)[0] for line in requires("netbuild")}
    assert {
        re.match(r"[\w-]+", getting(module)[len("pip install ") :].strip("'"))[0] for module in _PACKAGES
    } <= declared


def test_messages_name_packages_in_one_place():
    """netbuild is on no index: `pip install 'netbuild[...]'` would be an advice that fails."""
    # The sentence on how to get Caffe is another one: Caffe is no package like others. `PYTHON -m pip install` is for
    # the interpreter that has Caffe.
    elsewhere = {"extras", "schema.pycaffe", "engine.caffe"}
    for package in ("netbuild", "netbuild_cli"):
        for module, text in sources(package).items():
            for string, _, _ in strings(text):
                assert "netbuild[" not in string, module
                assert not re.search("(?<!-m )pip install ", string) or module in elsewhere, module
