"""The only door to Caffe's engine, opened on first use.

`caffe()` gives the whole of pycaffe, or says in one sentence how to get it where it is missing or unfit.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional

from ..errors import CaffeError
from ..schema import TEST, schema
from ..schema.pycaffe import not_caffe, package_folder, unfit

_PACKAGES = {"skimage": "scikit-image", "google": "protobuf", "yaml": "pyyaml", "PIL": "pillow", "cv2": "opencv-python"}
"""Packages of modules that pycaffe, upstream's or a fork's, imports, where they are called otherwise."""


@lru_cache(maxsize=None)
def caffe() -> Any:
    """Return pycaffe, its log silenced up to errors unless GLOG_minloglevel says otherwise."""
    package_folder()  # or the sentence that there is none
    schema()
    # glog reads its level when the library is loaded, at the import.
    os.environ.setdefault("GLOG_minloglevel", "2")
    try:
        # numpy prints a traceback of its own before the error that it raises.
        with contextlib.redirect_stderr(io.StringIO()):
            module = importlib.import_module("caffe")
    except (ImportError, SystemError, AttributeError, TypeError) as error:
        raise CaffeError(_not_loaded(error)) from error
    if not (hasattr(module, "TEST") and hasattr(module, "Net")):
        raise CaffeError(not_caffe(package_folder()))
    return module


def _not_loaded(error: Exception) -> str:
    """Return the sentence for a Caffe that is there and does not load: a module that it lacks, or versions."""
    lacking = error.name if isinstance(error, ModuleNotFoundError) and error.name else "caffe"
    if lacking.partition(".")[0] == "caffe":
        return f"{sys.executable}: {unfit(error)}"
    top = lacking.partition(".")[0]
    package = _PACKAGES.get(top, top)
    return (
        f"Caffe in {str(package_folder())!r} needs the Python module {lacking!r}, which is not installed: "
        f"{sys.executable} -m pip install {package}"
    )


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
