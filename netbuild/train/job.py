"""What the child process of `train` is told of its run: when it is to do what, and where the snapshots go."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence, Tuple

from .head import Rest


class Rhythm(NamedTuple):
    """How often what is done, in iterations."""

    report: int
    snapshot: int
    """0: only at the end."""
    test: int
    test_initialization: bool
    test_iter: Sequence[int]
    """Batches of a test, for each test net."""


class Place(NamedTuple):
    """Where the snapshots of a run go."""

    folder: Path
    """Absolute."""
    prefix: str
    hdf5: bool = False
    rest: Optional[Rest] = None
    """Of a head that is trained alone: what its snapshots are completed with."""

    def stem(self, iteration: int) -> str:
        """Return the name of an iteration's files, without their endings."""
        return f"{self.prefix}_iter_{iteration}"

    def files(self, iteration: int) -> Tuple[Path, Path]:
        """Return the caffemodel and the solverstate of an iteration."""
        suffix = ".h5" if self.hdf5 else ""
        stem = self.stem(iteration)
        return self.folder / f"{stem}.caffemodel{suffix}", self.folder / f"{stem}.solverstate{suffix}"

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
        ours = re.compile(
            re.escape(f".{self.prefix}_iter_") + r"\d+\.(caffemodel|solverstate)(\.h5)?(\.[0-9a-f]{8}\.tmp)?"
        )
        left = sorted(path for path in self.folder.iterdir() if ours.fullmatch(path.name))
        for path in left:
            path.unlink()
        return [path.name for path in left]


def hidden(path: Path) -> Path:
    """Return the name that a snapshot has until it is whole."""
    return path.with_name(f".{path.name}")
