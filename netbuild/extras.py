"""The packages that some work needs and that netbuild does not bring by itself; how to get each is written here once.

Messages name the package itself: `pip install h5py` is right in every environment, whichever way netbuild got there.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Type

from .errors import NetbuildError

_PACKAGES = {
    "PIL": "pillow",
    # OpenCV 5 no longer reads Caffe's nets. From 4.12 on it wants numpy 2, which old Pythons' Caffe does not bear.
    "cv2": f"'opencv-python-headless<{'4.12' if sys.version_info < (3, 10) else '5'}'",
    "distributed": "distributed",
    "google.protobuf": "protobuf",
    "graphviz": "graphviz",
    "h5py": "h5py",
    "jinja2": "jinja2",
    "matplotlib": "matplotlib",
    "netron": "netron",
    "sklearn": "scikit-learn",
}
"""What pip is asked for, by the module that it brings."""


def have(module: str) -> bool:
    """Tell whether a module is installed; it is not loaded."""
    # Imported where it is needed, so that netbuild --help is quick.
    from importlib.util import find_spec

    return find_spec(module) is not None


def getting(*modules: str) -> str:
    """Return the command that brings these modules: 'pip install h5py'."""
    return f"pip install {' '.join(map(package_of, modules))}"


def package_of(module: str) -> str:
    """Return what pip is asked for: 'pillow' for 'PIL'."""
    return _PACKAGES.get(module, module)


def optional(module: str, what: str, error: Type[NetbuildError] = NetbuildError) -> Any:
    """Return a module; `what` says whose need it is: 'features need'. A submodule may be named: 'sklearn.datasets'.

    Raises `error` where it is missing, or where it is installed and cannot be loaded.
    """
    try:
        return import_module(module)
    except ImportError as reason:
        raise error(_sentence(module.partition(".")[0], what, reason)) from None


def require(what: str, *modules: str) -> None:
    """Raise NetbuildError for those of these modules that are not installed, all at once, before any work begins."""
    missing = [module for module in modules if not have(module)]
    if missing:
        raise NetbuildError(f"{what} {', '.join(missing)}: {getting(*missing)}")


def _sentence(package: str, what: str, reason: ImportError) -> str:
    if not have(package):
        return f"{what} {package}: {getting(package)}"
    # It is there: to install it once more would change nothing.
    return f"{what} {package}, which is installed but cannot be loaded ({reason})"
