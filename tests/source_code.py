"""Our own source, as the tests that hold its order read it."""

import ast
from pathlib import Path
from typing import Dict

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"netbuild": ROOT / "netbuild", "netbuild_cli": ROOT / "cli"}


def sources(package: str) -> Dict[str, str]:
    """Return the text of each module of a package by its name in it: 'weights.wire'; '' is the package's own."""
    folder = FOLDERS[package]
    texts = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        texts[".".join(part for part in parts if part != "__init__")] = path.read_text(encoding="utf-8")
    return texts


def path_of(package: str, module: str) -> str:
    """Return where a module stands in the repository."""
    inner = Path(*module.split("."))
    folder = FOLDERS[package]
    path = folder / inner / "__init__.py" if (folder / inner).is_dir() else (folder / inner).with_suffix(".py")
    return path.relative_to(ROOT).as_posix()


def strings(text: str):
    """Yield (string, node, enclosing nodes) for each string constant of a source that is no docstring."""
    yield from _strings(ast.parse(text), ())


def _strings(node, around):
    for child in ast.iter_child_nodes(node):
        # A string that stands alone is a docstring, of a module, a function or the name before it.
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child.value, child, around
        yield from _strings(child, (*around, child))
