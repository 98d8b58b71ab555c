"""Modules of pycaffe that exist before it is imported: its own later import gets them."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Optional, Sequence


def offer(name: str, module: ModuleType, folder: Path) -> None:
    """Let the import of a module of this name out of this folder give a module that has been made already."""
    sys.meta_path.insert(0, _Loaded(name, module, folder))


class _Loaded:
    """A finder and loader: gives a module to the pycaffe in one folder, and to no other Caffe.

    It is none of importlib.abc's by name: that takes longer to load than all of this room.
    """

    def __init__(self, name: str, module: ModuleType, folder: Path) -> None:
        self._name, self._module, self._folder = name, module, folder

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]], _target: Optional[ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        if fullname != self._name or str(self._folder) not in (path or ()):
            return None
        file = self._folder / f"{fullname.rpartition('.')[2]}.py"
        # The types ask for load_module, too, which no Python calls where there is exec_module.
        return importlib.util.spec_from_file_location(fullname, file, loader=self)  # type: ignore[arg-type]

    def create_module(self, _spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, _module: ModuleType) -> None:
        """Do nothing: the module has run already."""
