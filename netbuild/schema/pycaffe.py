"""The pycaffe that this interpreter has: where it lies, and the sentences where there is none or an unfit one."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path
from typing import Optional

from ..errors import CaffeError
from .definitions import Definitions, of_descriptor

_OLD_ENOUGH = "'numpy<2' 'protobuf<3.21'"
_GET = (
    f"install it with: pip install kendryte-caffe {_OLD_ENOUGH} (Python 3.8 or 3.9 on Linux x86-64), "
    "or put the python folder of your own Caffe build on PYTHONPATH"
)
_SERIALIZED = r"(?:serialized_pb\s*=\s*(?:_b\()?|AddSerializedFile\()\s*(b?(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"))"
"""Where protoc's generated Python has the descriptor, in the notations of its releases since 3.0."""


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
        f"the wheel needs older ones: pip install {_OLD_ENOUGH}"
    )


def generated() -> bytes:
    """Return the content of the installed pycaffe's caffe_pb2, which protobuf may be too new to run; empty for none."""
    try:
        return (package_folder() / "proto" / "caffe_pb2.py").read_bytes()
    except (CaffeError, OSError):
        return b""


def installed_definitions() -> Optional[Definitions]:
    """Return the definitions that the installed pycaffe was made with; None where its caffe_pb2 does not tell them."""
    match = re.search(_SERIALIZED, generated().decode("utf-8", "replace"))
    if match is None:
        return None
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.message import DecodeError

    literal = ast.literal_eval(match[1])
    # Made for Python 2 as well, it is text, of letters that stand for bytes.
    serialized = literal.encode("latin-1") if isinstance(literal, str) else literal
    try:
        return of_descriptor(FileDescriptorProto.FromString(serialized))
    except DecodeError:
        return None
