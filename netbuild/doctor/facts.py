"""Which Caffe a process has loaded, and what it computes with."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from ..engine.caffe import caffe
from ..engine.child import cores
from ..schema.messages import installed_has_more

_BLAS = re.compile(r"/lib\w*(blas|atlas|mkl|blis)[^/]*\.so[^/]*$")
_OTHERS = re.compile(r"/(numpy|scipy)(\.libs)?/")
_COUNTERS = ("openblas_get_num_threads", "MKL_Get_Max_Threads", "bli_thread_get_num_threads", "omp_get_max_threads")
_PACKAGES = ("numpy", "protobuf", "h5py")
_LIMITS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")


@dataclass(frozen=True)
class Facts:
    """What a loaded Caffe tells of itself."""

    version: str
    folder: str
    package: Optional[str]
    """Name and version of the installed package it came in; None for a build of one's own."""
    layer_types: Tuple[str, ...]
    blas: Tuple[str, ...]
    """The BLAS libraries it has loaded; none where one is built into Caffe itself."""
    blas_threads: Optional[int]
    """None where the library does not tell."""
    thread_limits: Dict[str, str]
    """The environment variables that limit the threads, those that are set."""
    cpus: int
    """How many this process may use."""
    python: str
    """The interpreter that has it."""
    unknown_fields: Tuple[str, ...]
    """What its messages have that no Caffe known to netbuild has, or have otherwise: 'PoolingParameter.twist'."""
    versions: Dict[str, Optional[str]]
    """Of that Python, and of its numpy, protobuf and h5py; None for what is not installed."""


def gathered() -> Facts:
    """Return the facts of the Caffe that this process loads."""
    module = caffe()
    folder = Path(module.__file__).parent
    return Facts(
        version=getattr(module, "__version__", "unknown"),
        folder=str(folder),
        package=_package(folder),
        layer_types=tuple(sorted(module.layer_type_list())),
        blas=tuple(_loaded_blas()),
        blas_threads=_blas_threads(module._caffe.__file__),
        thread_limits={name: os.environ[name] for name in _LIMITS if name in os.environ},
        cpus=cores(),
        python=sys.executable,
        unknown_fields=tuple(installed_has_more()),
        versions=versions(),
    )


def versions() -> Dict[str, Optional[str]]:
    """Return the versions of this Python, and of the packages that Caffe or netbuild needs; None: not installed."""
    return {"Python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def _version(package: str) -> Optional[str]:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _package(folder: Path) -> Optional[str]:
    for package in distributions():
        names = (package.read_text("top_level.txt") or "").split()
        if folder.name in names and Path(str(package.locate_file(folder.name))) == folder:
            return f"{package.metadata['Name']} {package.version}"
    return None


def _loaded_blas() -> List[str]:
    """Return the BLAS libraries mapped into this process, without those that numpy and scipy bring for themselves."""
    maps = Path("/proc/self/maps")
    # There is none in a chroot without /proc, and on other systems than Linux.
    lines = maps.read_text().splitlines() if maps.exists() else []
    paths = {line.split(maxsplit=5)[-1].strip() for line in lines}
    return sorted(path for path in paths if _BLAS.search(path) and not _OTHERS.search(path))


def _blas_threads(library: str) -> Optional[int]:
    """Ask the BLAS that Caffe's library contains or is linked with for its number of threads."""
    opened = ctypes.CDLL(library)
    for name in _COUNTERS:
        if hasattr(opened, name):
            return int(getattr(opened, name)())
    return None
