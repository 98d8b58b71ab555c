"""The message classes of caffe.proto, without Caffe's engine."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Optional, Sequence

from ..errors import CaffeError
from .pycaffe import not_caffe, package_folder, unfit

Message = Any
"""A message of caffe.proto (NetParameter, LayerParameter, SolverParameter); its classes are made at run time."""

TRAIN, TEST = 0, 1
"""The values of caffe.proto's enum Phase."""

_PB2 = "caffe.proto.caffe_pb2"


@lru_cache(maxsize=None)
def schema() -> Any:
    """Return the module caffe_pb2 of the installed Caffe, without loading its engine.

    A later `import caffe` gets this very module, so that there is one class for each message.
    """
    if _PB2 in sys.modules:
        return sys.modules[_PB2]
    path = package_folder() / "proto" / "caffe_pb2.py"
    if not path.exists():
        raise CaffeError(not_caffe(path.parent.parent))
    spec = importlib.util.spec_from_file_location(_PB2, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except TypeError as error:
        raise CaffeError(unfit(error)) from error
    sys.meta_path.insert(0, _LoadedSchema(module, path))
    return module


class _LoadedSchema(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the schema that is loaded already to Caffe's own import of it, and to no other Caffe."""

    def __init__(self, module: ModuleType, path: Path) -> None:
        self._module, self._path = module, path

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]], _target: Optional[ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        if fullname != _PB2 or str(self._path.parent) not in (path or ()):
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=self)

    def create_module(self, _spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, _module: ModuleType) -> None:
        """Do nothing: the module has run already."""
