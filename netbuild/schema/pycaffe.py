"""The pycaffe that this interpreter has: where it lies, and the sentences where there is none or an unfit one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from ..errors import CaffeError

_GET = (
    "install it with: pip install kendryte-caffe 'numpy<2' 'protobuf<3.21' (Python 3.8 or 3.9 on Linux x86-64), "
    "or put the python folder of your own Caffe build on PYTHONPATH"
)
_FITTING = "pip install 'numpy<2' 'protobuf<3.21'"


def package_folder() -> Path:
    """Return the folder of the installed pycaffe, without loading it; raises CaffeError where there is none."""
    loaded = sys.modules.get("caffe")
    spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec("caffe")
    if spec is None:
        raise CaffeError(f"no Caffe found: there is no Python module called caffe; {_GET}")
    if not spec.submodule_search_locations:
        raise CaffeError(not_caffe(Path(spec.origin or "caffe")))
    return Path(next(iter(spec.submodule_search_locations)))


def not_caffe(path: Path) -> str:
    """Return the sentence for a module called caffe that is another."""
    return (
        f"the module called caffe at {str(path)!r} is not pycaffe (it lacks caffe.proto, caffe.Net or caffe.TEST): "
        f"rename or uninstall it (the package named caffe on PyPI is an empty placeholder); then {_GET}"
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def unfit(error: BaseException) -> str:
    """Return the sentence for a pycaffe that cannot be loaded."""
    import google.protobuf
    import numpy

    found = f"numpy {numpy.__version__} and protobuf {google.protobuf.__version__}"
    return (
        f"Caffe is installed but cannot be loaded with {found} ({type(error).__name__}: {_first_line(error)}); "
        f"the wheel needs older ones: {_FITTING}"
    )
