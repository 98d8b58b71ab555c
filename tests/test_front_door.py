"""The names of `netbuild` itself: lazy at run time, typed by the stub, all of both, each the same object."""

import ast
import os
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


def mypy(*programs):
    """Return what mypy says of programs: a set of (line, code) for each."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--show-error-codes",
        "--follow-imports=silent",
        *map(str, programs),
    ]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    found = re.findall(r"^(\S+?):(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    known = {os.path.relpath(program, ROOT): program.name for program in programs}
    assert {path for path, _, _ in found} <= set(known), done.stdout
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {name: {(int(line), code) for path, line, code in found if path == own} for own, name in known.items()}


def test_a_type_checker_finds_each_mistake_and_nothing_else():
    wrong = (PROGRAMS / "wrong.py").read_text().splitlines()
    marked = [(number, re.search(r"  # ([\w, -]+)$", line)) for number, line in enumerate(wrong, 1)]
    expected = {(number, code) for number, mark in marked if mark for code in mark[1].split(", ")}
    found = mypy(PROGRAMS / "right.py", PROGRAMS / "wrong.py")
    assert found["right.py"] == set()
    assert {line for line, _ in found["wrong.py"]} == {line for line, _ in expected}
    assert found["wrong.py"] <= expected


def test_each_public_call_has_a_mistake():
    called = set(re.findall(r"^nb\.(\w+)\(", (PROGRAMS / "wrong.py").read_text(), re.MULTILINE))
    errors = {name for name in netbuild.__all__ if name.endswith(("Error", "Warning"))}
    assert called == set(netbuild.__all__) - errors - {"__version__", "blocks", "MNIST"}
