"""What the child process of `train` gets: the solver, what it begins with, what it does when, where snapshots go."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..files import is_temporary
from ..solving import snapshot_name, snapshot_names, snapshot_stem

_WRITTEN_BESIDE = ("caffemodel.", "solverstate.")
"""How the endings of a snapshot's temporary files begin."""


class Rest(NamedTuple):
    """What a snapshot of the head alone lacks."""

    net: str
    """The path of the whole net."""
    weights: Tuple[str, ...]
    """Files with the weights of its frozen layers."""
    stages: Tuple[str, ...] = ()
    """Those in which it is trained."""
    level: int = 0


@dataclass(frozen=True)
class Rhythm:
    """How often what is done, in iterations."""

    report: int
    snapshot: int
    """0: only at the end."""
    test: int
    test_initialization: bool
    test_iter: Sequence[int]
    """Batches of a test, for each test net."""
    test_names: Sequence[str]
    """What tells each test net from the others; '' where there is one."""


@dataclass(frozen=True)
class Place:
    """Where the snapshots of a run go."""

    folder: Path
    """Absolute."""
    prefix: str
    hdf5: bool = False
    rest: Optional[Rest] = None
    """Of a head that is trained alone: what its snapshots are completed with."""

    def stem(self, iteration: int) -> str:
        """Return the name of an iteration's files, without their endings."""
        return snapshot_stem(self.prefix, iteration)

    def files(self, iteration: int) -> Tuple[Path, Path]:
        """Return the caffemodel and the solverstate of an iteration."""
        model, state = snapshot_names(self.prefix, iteration, hdf5=self.hdf5)
        return self.folder / model, self.folder / state

    def longest_name(self, iteration: int) -> int:
        """Return how many bytes a name has at most that a snapshot has up to this iteration, while it is written."""
        model, state = (len(os.fsencode(hidden(path).name)) for path in self.files(iteration))
        # What is completed with frozen layers is written by `replacing`, with a random ending.
        return max(state, model + len(".0123abcd.tmp") * (self.rest is not None))

    def caffes_prefix(self) -> str:
        """Return the prefix under which Caffe is to write what is not whole yet."""
        return str(hidden(self.folder / self.prefix))

    def remove_unfinished(self) -> List[str]:
        """Remove what a run that was killed has left half-written in the folder; return the names."""
        left = sorted(path for path in self.folder.iterdir() if self._is_unfinished(path))
        for path in left:
            path.unlink()
        return [path.name for path in left]

    def _is_unfinished(self, path: Path) -> bool:
        name = snapshot_name(path.name[1:]) if path.name.startswith(".") else None
        if name is None or name.prefix != self.prefix:
            return False
        return name.is_caffes or (is_temporary(path) and name.ending.startswith(_WRITTEN_BESIDE))


def hidden(path: Path) -> Path:
    """Return the name that a snapshot has until it is whole."""
    return path.with_name(f".{path.name}")


@dataclass(frozen=True)
class Beginning:
    """What a training begins with: weight files, of which a later one wins, or the solverstate of an earlier run."""

    weights: Tuple[str, ...] = ()
    resume: Optional[str] = None
    filled_as: Optional[str] = None
    """A solver (its prototxt text): before all that, the layers get what the fillers of its net give them."""


@dataclass(frozen=True)
class SelfTests:
    """The self-tests of Caffe that concern the nets (see `doctor.gate`)."""

    concerned: Mapping[str, str]
    """The name of each, and the layer that it concerns."""
    force: bool
    """Train all the same where one fails."""


@dataclass(frozen=True)
class Job:
    """A whole training, as the child process gets it."""

    solver: str
    """Its prototxt text, Caffe's own testing and snapshots switched off."""
    place: Place
    rhythm: Rhythm
    beginning: Beginning
    self_tests: SelfTests
    gpu: Optional[int] = None
