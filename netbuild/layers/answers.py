"""What the rows of several types say."""

from __future__ import annotations

from typing import List, Sequence

from ..schema import Message
from .lengths import Length, Shape, count
from .row import (
    ANY,
    ELSE,
    GRADIENT,
    Arity,
    Fact,
    Gradient,
    Kind,
    Left,
    Memory,
    Role,
    Scores,
    Training,
    Use,
    Values,
    Weights,
)

NONE, ONE, TWO, THREE, SOME = (0, 0), (1, 1), (2, 2), (3, 3), (1, ANY)
ONE_OR_TWO, UP_TO_ONE, UP_TO_TWO = (1, 2), (0, 1), (0, 2)
ONE_TO_ONE = Arity(ONE, ONE)
ONE_LOSS = Arity(TWO, UP_TO_ONE)
"""A loss whose tops are left out gets them from Net::Init (AutoTopBlobs)."""


def no_work(_layer: Message, _bottoms: Sequence[Shape], _tops: Sequence[Shape], _params: Sequence[Shape]) -> Length:
    """Nothing is multiplied by weights."""
    return 0


WEIGHT_AND_BIAS = ("weight_filler", "bias_filler")
NO_WEIGHTS = Weights(fillers=(), work=no_work)


def nothing(_use: Use) -> int:
    """Nothing is kept beside the tops."""
    return 0


def as_bottom(use: Use) -> int:
    """As many values as the first bottom has."""
    return count(use.bottoms[0]) if use.bottoms else 0


def as_bottom_in_place(use: Use) -> int:
    """A copy of the bottom that is overwritten."""
    return as_bottom(use) if use.in_place else 0


def keeps(kept: Values) -> Memory:
    """Return the memory of a type that has tops of its own, and keeps values beside them."""
    return Memory(kept=kept, columns=nothing, hands_on=False, stays=False)


OWN_TOPS = keeps(nothing)
BOTTOMS_OWN = Memory(kept=nothing, columns=nothing, hands_on=True, stays=False)


def where_shapes_agree(_layer: Message, bottoms: List[Shape], tops: List[Shape]) -> str:
    """Only a top that is as large as its bottom fits there; the gradient is another all the same."""
    return GRADIENT if bottoms[0] == tops[0] else ELSE


READS_NOTHING = Gradient(bottoms=False, tops=False, needs=Left.NOTHING)
GOES_TO_PLACES = READS_NOTHING._replace(places=True)
READS_LABELS = READS_NOTHING._replace(stops=(1,), forced=False)
"""Of a loss that has no gradient for its second bottom, the labels."""
NO_GRADIENT = READS_NOTHING._replace(stops=(0,), stops_all=True)
"""Of a layer without a backward pass."""
READS_BOTTOMS = Gradient(bottoms=True, tops=False, needs=Left.VALUES)
READS_TOPS = Gradient(bottoms=False, tops=True, needs=Left.VALUES)
READS_BOTH = Gradient(bottoms=True, tops=True, needs=Left.VALUES)

COMPUTES = Role(Kind.OTHER)
COMPUTES_IN_SIZE = Role(Kind.OTHER, measures=(1,))
PASSES_SCORES = Role(Kind.OTHER, Scores.PASSES)

STILL = Training(draws=False, draws_in_test=False, statistics=None, remembers=False, own_code=False)
"""In TRAIN the layer computes as it does in TEST."""
REMEMBERING = STILL._replace(remembers=True)
OWN_CODE = STILL._replace(own_code=True)
"""The user's own code, or program, decides what the layer gives."""


def draws_in_train(fact: Fact) -> Training:
    """Return what training does to a type that draws at random in TRAIN alone, always or by its options."""
    return STILL._replace(draws=fact)


def draws_in_both(fact: Fact) -> Training:
    """Return what training does to a type that draws at random in either phase."""
    return STILL._replace(draws=fact, draws_in_test=fact)
