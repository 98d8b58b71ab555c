"""The names of `netbuild` itself: lazy at run time, typed by the stub, all of both, each the same object."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from pages import ROOT

import netbuild
from netbuild.branches.table import BUILDERS

STUB = ROOT / "netbuild" / "__init__.pyi"
PROGRAMS = Path(__file__).with_name("programs")


def stubbed():
    """Yield (name, its module, or '' for the package itself) of everything that the stub gives a type."""
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            assert node.level == 1
            for alias in node.names:
                # Without it, a type checker takes the name for a private one.
                assert alias.asname == alias.name
                yield alias.name, node.module or ""
        elif isinstance(node, ast.AnnAssign):
            yield node.target.id, None


def test_the_stub_has_the_names_of_the_package():
    names = [name for name, _ in stubbed()]
    assert sorted(names) == sorted(netbuild.__all__)


@pytest.mark.parametrize(("name", "module"), list(stubbed()))
def test_each_name_is_what_the_stub_says(name, module):
    found = getattr(netbuild, name)
    if module is None:
        assert isinstance(found, str)
    elif module:
        assert found is getattr(import_module(f"netbuild.{module}"), name)
    else:
        assert found is import_module(f"netbuild.{name}")


def test_every_builder_of_the_table_is_a_name():
    assert set(BUILDERS) < set(netbuild.__all__)
    for name in BUILDERS:
        assert getattr(netbuild, name) is netbuild.find_builder(name)


def test_every_builder_of_the_table_is_in_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.search(r"^Builders: (.*?)\. Names", text, re.MULTILINE | re.DOTALL)
    assert re.findall(r"`(\w+)`", listed[1]) == list(BUILDERS)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="module 'netbuild' has no attribute 'Fusionn'"):
        netbuild.Fusionn  # noqa: B018


def test_dir_and_star():
    assert set(dir(netbuild)) == set(netbuild.__all__)
    names = {}
    exec("from netbuild import *", names)
    assert names["resnet50"] is netbuild.resnet50


def test_importing_it_is_quick():
    """Of the library it loads the table of builders and the errors, and nothing of others'."""
    code = "import sys; old = set(sys.modules); import netbuild; print(*sorted(set(sys.modules) - old))"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    ours = [name for name in done.stdout.split() if name.startswith("netbuild")]
    assert ours == ["netbuild", "netbuild.branches", "netbuild.branches.table", "netbuild.errors"]
    assert not {"numpy", "google", "caffe", "dataclasses"} & set(done.stdout.split())
