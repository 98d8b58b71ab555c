"""What several nets answer together, without any training: three simple ensembles in pure numpy."""

from __future__ import annotations

from typing import Any, Callable, Mapping, NamedTuple, Sequence

import numpy as np


class Member(NamedTuple):
    """What one net answers."""

    probabilities: Any
    """float32 (N, C), 0 for a label that the net does not know."""
    known: Sequence[int]
    """The labels that it knows."""


def mean(members: Sequence[Member]) -> Any:
    """Return the mean of the probabilities."""
    return sum(member.probabilities for member in members) / np.float32(len(members))


def product(members: Sequence[Member]) -> Any:
    """Return the geometric mean of the probabilities (the mean of their logarithms), made to sum to 1.

    For each label only the nets that know the label count.
    """
    logarithms = np.zeros_like(members[0].probabilities)
    count = np.zeros(logarithms.shape[1], np.float32)
    tiny = np.finfo(np.float32).tiny
    for probabilities, known in members:
        logarithms[:, known] += np.log(np.maximum(probabilities[:, known], tiny))
        count[list(known)] += 1
    powers = np.where(count > 0, np.exp(logarithms / np.maximum(count, 1)), 0)
    return powers / powers.sum(axis=1, keepdims=True)


def vote(members: Sequence[Member]) -> Any:
    """Return the votes: each net has one, for its best label, and the mean probability decides a tie.

    Both together are made to sum to 1: (votes + mean) / (nets + 1).
    """
    # In float32 the mean would be rounded away beside the votes.
    votes = mean(members).astype(np.float64)
    images = np.arange(len(votes))
    for member in members:
        votes[images, member.probabilities.argmax(axis=1)] += 1
    return votes / (len(members) + 1)


ENSEMBLES: Mapping[str, Callable[[Sequence[Member]], Any]] = {"mean": mean, "product": product, "vote": vote}
"""Each takes members and returns (N, C), rows that sum to 1."""
