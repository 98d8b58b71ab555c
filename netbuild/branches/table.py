"""The builders that the command line knows by name, and how it finds those of users."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Dict

from ..errors import GraphError, did_you_mean, some
from .alexnet import alexnet, caffenet
from .branch import Builder
from .googlenet import googlenet
from .lenet import lenet
from .mobilenet import mobilenet_v1, mobilenet_v2
from .resnet import resnet18, resnet34, resnet50, resnet101, resnet152
from .squeezenet import squeezenet1_0, squeezenet1_1
from .vgg import vgg16, vgg19

BUILDERS: Dict[str, Builder] = {
    "lenet": lenet,
    "alexnet": alexnet,
    "caffenet": caffenet,
    "vgg16": vgg16,
    "vgg19": vgg19,
    "googlenet": googlenet,
    "squeezenet1_0": squeezenet1_0,
    "squeezenet1_1": squeezenet1_1,
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v2": mobilenet_v2,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "resnet152": resnet152,
}


def find_builder(name: str) -> Builder:
    """Return the builder called `name`: one of the table, or a user's own as `package.module:function`."""
    if name in BUILDERS:
        return BUILDERS[name]
    module_name, colon, function_name = name.partition(":")
    if not colon:
        hint = did_you_mean(name, sorted(BUILDERS))
        raise GraphError(f"no builder called {name!r}: {hint} (your own: package.module:function)")
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
