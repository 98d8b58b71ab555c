"""What may be wrong with the data that a net reads, and who has to refuse it."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Severity(IntEnum):
    """How bad a fault is. Whoever writes a net refuses only the worst, whoever runs it refuses all but doubts."""

    DOUBT = 1
    """Caffe takes it, and its user may not mean it."""
    ELSEWHERE = 2
    """A file beside the net is not there: it may be where the net will run."""
    ABSENT = 3
    """Images of a list that is there are not."""
    WRONG = 4


class DataFault(NamedTuple):
    """What is wrong with a data layer's list, or with what the list names."""

    sentence: str
    severity: Severity = Severity.WRONG
