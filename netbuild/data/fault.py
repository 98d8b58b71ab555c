"""What may be wrong with the data that a net reads, and who has to refuse it."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Weight(IntEnum):
    """How much a fault weighs. Whoever writes a net refuses the heaviest only, whoever runs it all but doubts."""

    DOUBT = 1
    """What Caffe takes, and its user may not mean."""
    ELSEWHERE = 2
    """A file beside the net is not there: it may be where the net will run."""
    ABSENT = 3
    """Images of a list that is there are not."""
    WRONG = 4


class Fault(NamedTuple):
    """What is wrong with a data layer's list, or with what it names."""

    sentence: str
    weight: Weight = Weight.WRONG
