"""The examination of the Caffe at hand: `netbuild doctor`."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Dict, Optional, Tuple

from ..engine.child import run
from ..errors import CaffeError
from .facts import Facts
from .selftest import FAILED, Outcome

_PACKAGES = ("numpy", "protobuf", "h5py")


@dataclass(frozen=True)
class Diagnosis:
    """What was found."""

    versions: Dict[str, Optional[str]]
    """Of Python, numpy, protobuf and h5py; None for what is not installed."""
    missing: str
    """Why there is no usable Caffe; empty where there is one."""
    caffe: Optional[Facts]
    gpu_refusal: str
    """Why Caffe cannot use a GPU; empty where it can."""
    outcomes: Tuple[Outcome, ...]

    @property
    def failed(self) -> Tuple[Outcome, ...]:
        """The self-tests that failed."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == FAILED)


def diagnose(gpu: Optional[int] = None) -> Diagnosis:
    """Return which Caffe there is, with what, and how it does in the self-tests of what netbuild relies on.

    All of Caffe runs in a child process.

    Args:
        gpu: The number of the GPU to test; by default the CPU is tested.

    Returns:
        `versions`, facts of the `caffe`, or why it is `missing`, and the `outcomes` of the tests.

    Raises:
        CaffeError: The GPU cannot be used.

    Examples:
        >>> from netbuild import diagnose
        >>> diagnosis = diagnose()
        >>> diagnosis.missing, len(diagnosis.outcomes) > 10
        ('', True)
    """
    versions = {"Python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}
    events = run("netbuild.doctor.child:diagnose", gpu=gpu)
    try:
        facts = next(events)
    except CaffeError as error:
        return Diagnosis(versions, str(error), None, "", ())
    gpu_refusal = next(events)
    return Diagnosis(versions, "", facts, gpu_refusal, tuple(events))


def _version(package: str) -> Optional[str]:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
