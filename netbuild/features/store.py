"""The files of kept features: one folder of HDF5 files for each part, which Caffe's HDF5Data reads as they are.

DIR/features.json       what they were computed from, and their shapes
DIR/train/000000.h5     one data set for each blob, (images, ...), float32
DIR/train.sha256        a line for each finished file, as sha256sum writes and checks them
DIR/train.txt           the list of the files, for HDF5Data: it reads the names as of the folder in which Caffe is run
DIR/head_train.prototxt the net below, which reads them
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

from ..extras import optional
from ..files import output_folder, replacing, write_text

Shape = Tuple[int, ...]


_FILE_BYTES = 4 << 20
"""Features in one file: what HDF5Data reads at a time; larger ones it reads more slowly."""
_FILE_IMAGES = 1000
"""Images in one file, at most: what a process that dies has lost."""


class Store:
    """The files of one part: so many images, whose features have these shapes (without the axis of the images)."""

    def __init__(self, folder: Path, part: str, images: int, batch: int, shapes: Mapping[str, Shape]) -> None:
        self.part, self.images, self.shapes = part, images, shapes
        self.listed = folder / f"{part}.txt"
        self._folder, self._sums = folder, folder / f"{part}.sha256"
        self._digests: Dict[int, str] = {}
        row = 4 * sum(math.prod(shape) for shape in shapes.values())
        self._per_file = max(1, min(_FILE_BYTES // row, _FILE_IMAGES) // batch) * batch
        self.files = math.ceil(images / self._per_file)

    def span(self, number: int) -> Tuple[int, int]:
        """Return the first image of a file, and how many it holds."""
        first = number * self._per_file
        return first, min(self._per_file, self.images - first)

    def verify(self) -> None:
        """Look which files are there and as they were when they were finished."""
        for line in self._sums.read_text().splitlines() if self._sums.exists() else []:
            digest, _, name = line.partition("  ")
            number = Path(name).stem
            # A process that was killed may have left half a line.
            if number.isdigit() and int(number) < self.files and name == self._name(int(number)):
                path = self._folder / name
                if path.exists() and _digest(path.read_bytes()) == digest:
                    self._digests[int(number)] = digest

    def missing(self) -> List[int]:
        """Return the numbers of the files that are not finished."""
        return [number for number in range(self.files) if number not in self._digests]

    @property
    def missing_images(self) -> int:
        """How many images are in them."""
        return sum(self.span(number)[1] for number in self.missing())

    def put(self, number: int, features: Mapping[str, Any]) -> None:
        """Write one file."""
        content = _hdf5(features)
        self._digests[number] = _digest(content)
        path = self._folder / self._name(number)
        output_folder(path.parent)
        with replacing(path) as file:
            file.write(content)
            # Before the file has its name: one without a line is not ours.
            with self._sums.open("a", encoding="utf-8") as sums:
                sums.write(self._line(number))

    def finish(self) -> None:
        """Write the lists of what is there: the same for the same files, in whatever order they came."""
        write_text(self._sums, "".join(self._line(number) for number in range(self.files)))
        write_text(self.listed, "".join(f"{self._name(number)}\n" for number in range(self.files)))

    def _name(self, number: int) -> str:
        return f"{self.part}/{number:06d}.h5"

    def _line(self, number: int) -> str:
        return f"{self._digests[number]}  {self._name(number)}\n"


def is_numbered(name: str) -> bool:
    """Tell whether a file of features may have this name."""
    return re.fullmatch(r"[0-9]{6,}\.h5", name) is not None


def _hdf5(features: Mapping[str, Any]) -> bytes:
    """Return an HDF5 file made in memory: where the disk is full the HDF5 library gives up in execution of its own."""
    made = io.BytesIO()
    with optional("h5py", "features need").File(made, "w") as file:
        for name, values in features.items():
            file.create_dataset(name, data=values, track_times=False)
    return made.getvalue()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
