"""What a training run reports as it goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Union

from ..features.make import DiskNeed, FeatureProgress


@dataclass(frozen=True)
class Note:
    """Something the user should know before the training begins."""

    text: str


@dataclass(frozen=True)
class Started:
    """The solver is ready: its iteration (not 0 after a resume), and where it is to end."""

    iteration: int
    max_iter: int


@dataclass(frozen=True)
class Stepped:
    """So many iterations are done; `loss` is the mean over those since the last report (of
    iter_size passes, the last counts)."""

    iteration: int
    loss: float
    lr: float


@dataclass(frozen=True)
class Tested:
    """The means of the test net's outputs over its test_iter batches.

    Of several test nets, the names end in what tells these apart: 'loss (test-on-train)'.
    """

    iteration: int
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Saved:
    """A snapshot is written: `stem`.caffemodel and `stem`.solverstate, in the folder of the run."""

    iteration: int
    stem: str


@dataclass(frozen=True)
class Finished:
    """The run is over; `stem` is that of its last snapshot."""

    iteration: int
    stem: str
    interrupted: bool


@dataclass(frozen=True)
class Diverged:
    """The run is over: what it computes is not finite any more. Its weights are not saved."""

    iteration: int
    """The one that would have ended next."""
    what: str
    """What is not finite: 'the loss is nan'."""
    updated: bool
    """Whether the solver had changed the weights before, so that its learning rate may be to blame."""


Event = Union[Note, DiskNeed, FeatureProgress, Started, Stepped, Tested, Saved, Finished, Diverged]
"""What `on_event` gets; DiskNeed and FeatureProgress while features are computed."""
