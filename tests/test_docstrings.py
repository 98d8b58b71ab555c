"""The docstrings of everything public: each argument is explained, and each example runs and prints what it shows.

The examples run in a folder as a reader has it after the commands of the README: images and lists in `digits`, the nets
of two LeNets in `odd` and `even` with their weights beside them, and in `fused` the net of both with `init.caffemodel`;
the Python `caffe-env/bin/python` has Caffe.
"""

import ast
import doctest
import importlib.util
import inspect
import re
import shutil
from importlib import import_module
from operator import attrgetter

import pytest

import netbuild
from netbuild import DataSource, Fusion, blocks, emit_files, fuse_weights, lenet
from netbuild.data.lists import write_images
from netbuild.engine.child import run

SECTIONS = ("Args", "Returns", "Raises", "Examples")
NEEDS = {
    "compare_engines": "cv2",
    "copy_branch": "caffe",
    "draw_net": "graphviz",
    "make_features": "h5py",
    "run_demo": "sklearn",
    "write_report": "jinja2",
}
"""What the example of a name needs in this Python."""

NAMES = [name for name in netbuild.__all__ if inspect.isroutine(getattr(netbuild, name))]
CLASSES = [name for name in netbuild.__all__ if inspect.isclass(getattr(netbuild, name))]
REST = {"__version__", "blocks", "MNIST"}
assert {*NAMES, *CLASSES, *REST} == set(netbuild.__all__)
NAMES += [f"blocks.{name}" for name, one in vars(blocks).items() if getattr(one, "__module__", "") == blocks.__name__]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def named(name):
    """Return what is public under a name: `lenet`, `blocks.conv`."""
    return attrgetter(name)(netbuild)


def section(name, heading):
    """Return the lines of a section of a docstring, without its indentation; none where it has no such section."""
    text = inspect.getdoc(named(name)) or ""
    found = re.search(rf"^{heading}:\n((?:    .*\n|\n)+)", f"{text}\n", re.MULTILINE)
    return [] if found is None else [line[4:] for line in found[1].splitlines()]


def explained(name):
    """Return the arguments that a docstring explains, in its order."""
    entries = (re.match(r"(\w+): \S", line) for line in section(name, "Args"))
    return [entry[1] for entry in entries if entry is not None]


def fields(name):
    """Return the fields of a public class, and those of them that have no sentence below them."""
    kind = named(name)
    tree = ast.parse(inspect.getsource(import_module(kind.__module__)))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name).body
    found = {node.target.id: after for node, after in zip(body, body[1:]) if isinstance(node, ast.AnnAssign)}
    told = [
        name for name, after in found.items() if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    ]
    return list(found), [name for name in found if name not in told]


@pytest.mark.parametrize("name", NAMES)
def test_each_argument_of_a_function_is_explained(name):
    assert explained(name) == list(inspect.signature(named(name)).parameters)


@pytest.mark.parametrize("name", CLASSES)
def test_each_field_of_a_class_is_explained(name):
    kind = named(name)
    if issubclass(kind, (Exception, Warning)):
        return
    known, bare = fields(name)
    assert set(inspect.signature(kind).parameters) == set(known)
    assert bare == []


@pytest.mark.parametrize("name", NAMES)
def test_what_a_function_returns_is_explained(name):
    returns = inspect.signature(named(name)).return_annotation
    assert bool(section(name, "Returns")) == (returns != "None")


@pytest.mark.parametrize("name", NAMES)
def test_what_a_function_raises_is_ours(name):
    for line in section(name, "Raises"):
        error = re.match(r"(\w+): \S", line)
        assert error is None or issubclass(getattr(netbuild, error[1]), netbuild.NetbuildError)


@pytest.mark.parametrize("name", [*NAMES, *CLASSES])
def test_sections_come_in_order(name):
    text = inspect.getdoc(named(name))
    found = re.findall(r"^(\w+):$", text, re.MULTILINE)
    assert found == [heading for heading in SECTIONS if heading in found]
    assert len(text.partition("\n")[0]) <= 110, "the first line is a short sentence"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small_digits, engine):
    """The folder in which the examples run: each gets a copy of it."""
    place = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        written = write_images(small_digits, "digits")
        lists = {
            name: {"train_source": str(written.path(f"train_{name}")), "test_source": str(written.path(f"val_{name}"))}
            for name in ("odd", "even", "all")
        }
        for name in ("odd", "even"):
            emit_files(Fusion({"": lenet}, 5, frozen=False), DataSource(**lists[name]), name)
            list(run("jobs:save", net=f"{name}/train_val.prototxt", weights=[f"{name}.caffemodel"]))
        source = DataSource(**lists["all"], train_batch=10, test_batch=20)
        steps = {"max_iter": "20", "snapshot": "20", "test_interval": "10", "random_seed": "1"}
        emit_files(Fusion({"odd": lenet, "even": lenet}, 10), source, "fused", solver_options=steps)
        weights = {"odd": "odd.caffemodel", "even": "even.caffemodel"}
        fuse_weights("fused/train_val.prototxt", weights, "fused/init.caffemodel")
    python = place / "caffe-env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {engine.line} "$@"\n')
    python.chmod(0o755)
    return place


@pytest.mark.parametrize("name", [*NAMES, *CLASSES])
def test_example(name, folder, tmp_path, monkeypatch):
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    shutil.copytree(folder, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    tests = [one for one in doctest.DocTestFinder().find(named(name), name, globs={}) if one.examples]
    assert any(one.name == name for one in tests), "it has no example"
    printed = []
    for one in tests:
        doctest.DocTestRunner(optionflags=OPTIONS).run(one, out=printed.append)
    assert not printed, "".join(printed)
