"""The examination of the Caffe at hand: `netbuild doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

from ..engine.child import run
from ..engine.interpreter import chosen
from ..errors import CaffeError
from .facts import Facts, versions
from .selftest import FAILED, Outcome
from .table import SELF_TESTS


@dataclass(frozen=True)
class Diagnosis:
    """What was found."""

    versions: Dict[str, Optional[str]]
    """Of the Python that netbuild runs in, its numpy, protobuf and h5py; None for what is not installed."""
    missing: str
    """Why there is no usable Caffe; empty where there is one."""
    chosen: str
    """Why it is this Caffe: 'NETBUILD_CAFFE names it'; empty where there is none."""
    caffe: Optional[Facts]
    gpu_refusal: str
    """Why Caffe cannot use a GPU; empty where it can."""
    outcomes: Tuple[Outcome, ...]

    @property
    def failed(self) -> Tuple[Outcome, ...]:
        """The self-tests that failed."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == FAILED)

    @property
    def known(self) -> Tuple[Outcome, ...]:
        """Those of them which this package of Caffe is known to fail."""
        package = self.caffe.package if self.caffe else None
        return tuple(outcome for outcome in self.failed if package in SELF_TESTS[outcome.name].fails_in)

    @property
    def unexpected(self) -> Tuple[Outcome, ...]:
        """The other ones that failed: something is wrong here."""
        known = self.known
        return tuple(outcome for outcome in self.failed if outcome not in known)


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
    try:
        interpreter = chosen()
        events = run("netbuild.doctor.child:diagnose", interpreter=interpreter, gpu=gpu)
        facts = next(events)
    except CaffeError as error:
        return Diagnosis(versions(), str(error), "", None, "", ())
    gpu_refusal = next(events)
    return Diagnosis(versions(), "", interpreter.reason, facts, gpu_refusal, tuple(events))
