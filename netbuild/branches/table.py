"""The builders that the command line knows by name, and how it finds those of users."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Dict

from ..errors import GraphError, did_you_mean, some

if TYPE_CHECKING:
    # `import netbuild` reads this table, and loads nothing else for it.
    from .branch import Builder

BUILDERS: Dict[str, str] = {
    "lenet": "lenet",
    "alexnet": "alexnet",
    "caffenet": "alexnet",
    "vgg16": "vgg",
    "vgg19": "vgg",
    "googlenet": "googlenet",
    "squeezenet1_0": "squeezenet",
    "squeezenet1_1": "squeezenet",
    "mobilenet_v1": "mobilenet",
    "mobilenet_v2": "mobilenet",
    "resnet18": "resnet",
    "resnet34": "resnet",
    "resnet50": "resnet",
    "resnet101": "resnet",
    "resnet152": "resnet",
}
"""Each builder, and the module of this room that holds it: loaded when it is asked for."""


def find_builder(name: str) -> Builder:
    """Return the builder of this name.

    Args:
        name: One of netbuild's (`resnet50`), or one of your own: `package.module:function`, looked for in the current
            folder too.

    Returns:
        The function.

    Raises:
        GraphError: There is no such builder, module or function.

    Examples:
        >>> from netbuild import find_builder, resnet50
        >>> find_builder("resnet50") is resnet50
        True
    """
    if name in BUILDERS:
        known: Builder = getattr(importlib.import_module(f".{BUILDERS[name]}", __package__), name)
        return known
    module_name, colon, function_name = name.partition(":")
    if not colon:
        _require_no_file(name)
        hint = did_you_mean(name, sorted(BUILDERS))
        raise GraphError(f"no builder called {name!r}: {hint} (your own: package.module:function)")
    if Path(module_name).suffix == ".py":
        raise GraphError(
            f"builder {name!r}: a module is named as in an import: {_as_module(module_name)}:{function_name}"
        )
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise GraphError(
            f"builder {name!r}: cannot import {module_name!r} ({type(error).__name__}: {error}); "
            "is it in this folder or on PYTHONPATH?"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        others = [other for other, value in vars(module).items() if callable(value) and not other.startswith("_")]
        hint = did_you_mean(function_name, others, f"it has {some(others) or 'none'}")
        raise GraphError(f"builder {name!r}: the module {module_name!r} has no function {function_name!r}; {hint}")
    builder: Builder = function
    return builder


def _as_module(path: str) -> str:
    """Return what an import calls the file of a module, from the current folder."""
    return ".".join(part for part in Path(path).with_suffix("").parts if part not in (".", ".."))


def _require_no_file(name: str) -> None:
    """Raise GraphError for a folder that is given as a net, and for a file that is not there."""
    folder = Path(name)
    if folder.is_dir():
        files = sorted(str(path) for path in folder.glob("*.prototxt"))
        hint = f"name one of the prototxts in it: {some(files)}" if files else "there is no prototxt in it"
        raise GraphError(f"net {name!r}: is a folder, and a prototxt or the name of a builder is expected here; {hint}")
    if "/" in name:
        from ..files import near

        raise GraphError(f"net {name!r}: no such file{near(folder)}")
