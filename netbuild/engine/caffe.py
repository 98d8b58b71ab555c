"""The only door to Caffe, opened on first use.

`schema()` gives the message classes of caffe.proto without loading Caffe's engine (25 ms instead of a second);
`caffe()` gives the whole of pycaffe. Both say in one sentence how to get Caffe where it is missing or unfit.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import os
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Optional, Sequence

from ..errors import CaffeError

Message = Any
"""A protobuf message of caffe.proto (NetParameter, LayerParameter, SolverParameter): Caffe ships no types."""

TRAIN, TEST = 0, 1
"""The values of caffe.proto's enum Phase."""

_PB2 = "caffe.proto.caffe_pb2"
_GET = (
    "install it with: pip install 'netbuild[caffe]' (Python 3.8 or 3.9 on Linux x86-64), "
    "or put the python folder of your own Caffe build on PYTHONPATH"
)
_FITTING = "pip install 'numpy<2' 'protobuf<3.21'"


@lru_cache(maxsize=None)
def schema() -> Any:
    """Return the module caffe_pb2 of the installed Caffe, without loading its engine.

    A later `import caffe` gets this very module, so that there is one class for each message.
    """
    if _PB2 in sys.modules:
        return sys.modules[_PB2]
    path = _package_folder() / "proto" / "caffe_pb2.py"
    if not path.exists():
        raise CaffeError(_not_caffe(path.parent.parent))
    spec = importlib.util.spec_from_file_location(_PB2, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except TypeError as error:
        raise CaffeError(_unfit(error)) from error
    sys.meta_path.insert(0, _LoadedSchema(module, path))
    return module


@lru_cache(maxsize=None)
def caffe() -> Any:
    """Return pycaffe, its log silenced up to errors unless GLOG_minloglevel says otherwise."""
    schema()
    # glog reads its level when the library is loaded, at the import.
    os.environ.setdefault("GLOG_minloglevel", "2")
    try:
        # numpy prints a traceback of its own before the error that it raises.
        with contextlib.redirect_stderr(io.StringIO()):
            module = importlib.import_module("caffe")
    except (ImportError, SystemError, AttributeError, TypeError) as error:
        raise CaffeError(_unfit(error)) from error
    if not (hasattr(module, "TEST") and hasattr(module, "Net")):
        raise CaffeError(_not_caffe(_package_folder()))
    return module


def use_device(gpu: Optional[int]) -> None:
    """Let Caffe compute on this GPU, or on the CPU. It aborts where it has no such GPU: for child processes only."""
    if gpu is None:
        caffe().set_mode_cpu()
    else:
        caffe().set_device(gpu)
        caffe().set_mode_gpu()


def load_net(text: str, weights: Optional[str] = None) -> Any:
    """Return Caffe's Net of a prototxt's text in TEST phase, with the weights of a file where one is given.

    Caffe aborts on what it cannot take: for child processes only.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.prototxt"
        path.write_text(text, encoding="utf-8")
        return caffe().Net(str(path), *([] if weights is None else [weights]), TEST)


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


def _package_folder() -> Path:
    loaded = sys.modules.get("caffe")
    spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec("caffe")
    if spec is None:
        raise CaffeError(f"no Caffe found: there is no Python module called caffe; {_GET}")
    if not spec.submodule_search_locations:
        raise CaffeError(_not_caffe(Path(spec.origin or "caffe")))
    return Path(next(iter(spec.submodule_search_locations)))


def _not_caffe(path: Path) -> str:
    return (
        f"the module called caffe at {str(path)!r} is not pycaffe (it lacks caffe.proto, caffe.Net or caffe.TEST): "
        f"rename or uninstall it (the package named caffe on PyPI is an empty placeholder); then {_GET}"
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _unfit(error: BaseException) -> str:
    import google.protobuf
    import numpy

    found = f"numpy {numpy.__version__} and protobuf {google.protobuf.__version__}"
    return (
        f"Caffe is installed but cannot be loaded with {found} ({type(error).__name__}: {_first_line(error)}); "
        f"the wheel needs older ones: {_FITTING}"
    )
