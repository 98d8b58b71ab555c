"""What a self-test is, and what comes of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Optional, Tuple

from ..layers.training import Effect
from ..schema import Message

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float32]]
else:
    Array = Any

Values = Dict[str, Array]
"""The state of a net, copied: blob `ip` as 'ip', its gradient as 'ip.diff', layer ip's parameters as 'ip[0]', 'ip[1]',
and theirs as 'ip[0].diff'."""
Pairs = Mapping[str, Tuple[Any, Any]]
"""What is compared, in words, and its values: expected, found."""

PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"


@dataclass(frozen=True)
class SelfTest:
    """A tiny net that is run in real Caffe, and what numpy expects of it."""

    name: str
    whom: str
    """Which nets it concerns, in words."""
    concerns: Callable[[Message, Effect], bool]
    """Tells for a layer, and what training does to it in its net, whether the layer needs what is tested."""
    net: str
    """Prototxt of a TRAIN net. Its Input and parameter blobs are filled with fixed random values."""
    run: Callable[[str], Tuple[Values, Values]]
    """Runs the net; returns its state before and after. The current folder is one to write to."""
    compare: Callable[[Values, Values], Pairs]
    """Of the states before and after, what is to be equal."""
    tolerance: float = 1e-5
    """How far the found may be from the expected, as a share of it (of 1 where that is smaller)."""
    remedy: Callable[[], str] = lambda: "use another build of Caffe"
    """Says what helps where it fails, in the words of whoever reads it."""
    needs: Optional[str] = None
    """A Python module without which it cannot be run."""
    fails_in: Tuple[str, ...] = ()
    """The packages of Caffe, with their versions, that are known to fail it."""


@dataclass(frozen=True)
class Outcome:
    """What came of a self-test."""

    name: str
    status: str
    """`passed`, `failed` or `not run`."""
    detail: str = ""
    """What was expected and found, or why it was not run."""


def judged(test: SelfTest, pairs: Pairs) -> Outcome:
    """Return `failed`, with the first pair that differs, or `passed`."""
    for what, (expected, found) in pairs.items():
        difference = _difference(expected, found, test.tolerance)
        if difference:
            return Outcome(test.name, FAILED, f"{what}: {difference}")
    return Outcome(test.name, PASSED)


def _difference(expected: Any, found: Any, tolerance: float) -> str:
    import numpy as np

    expected, found = np.asarray(expected), np.asarray(found)
    if expected.shape != found.shape:
        return f"expected the shape {expected.shape}, found {found.shape}"
    with np.errstate(all="ignore"):
        near = np.abs(found - expected) <= tolerance * np.maximum(1, np.abs(expected))
    if near.all():
        return ""
    worst = np.unravel_index(near.argmin(), near.shape)
    return (
        f"expected {expected[worst]:.6g}, found {found[worst]:.6g}; "
        f"{near.size - np.count_nonzero(near)} of {near.size} values differ"
    )
