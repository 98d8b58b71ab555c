"""The files of kept features: one folder of HDF5 files for each part, which Caffe's HDF5Data reads as they are.

DIR/features.json       what they were computed from, and their shapes
DIR/train/000000.h5     one data set for each blob, (images, ...), float32
DIR/train.sha256        a line for each finished file, as sha256sum writes and checks them
DIR/train.txt           the list of the files, for HDF5Data
DIR/head_train.prototxt the net below, which reads them
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..errors import NetbuildError
from ..files import output_folder, replacing, write_text

RECORD = "features.json"
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

    def put(self, number: int, features: Mapping[str, Any]) -> None:
        """Write one file."""
        path = self._folder / self._name(number)
        output_folder(path.parent)
        with replacing(path) as file:
            with h5py("features").File(file.name, "w") as made:
                for name, values in features.items():
                    made.create_dataset(name, data=values, track_times=False)
            self._digests[number] = _digest(Path(file.name).read_bytes())
        with self._sums.open("a", encoding="utf-8") as sums:
            sums.write(self._line(number))

    def finish(self) -> None:
        """Write the lists of what is there: the same for the same files, in whatever order they came."""
        write_text(self._sums, "".join(self._line(number) for number in range(self.files)))
        names = (str((self._folder / self._name(number)).resolve()) for number in range(self.files))
        write_text(self.listed, "".join(f"{name}\n" for name in names))

    def _name(self, number: int) -> str:
        return f"{self.part}/{number:06d}.h5"

    def _line(self, number: int) -> str:
        return f"{self._digests[number]}  {self._name(number)}\n"


def read_record(folder: Path) -> Optional[Dict[str, Any]]:
    """Return what the features in a folder were computed from, None where there are none."""
    path = folder / RECORD
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        parts = {
            part: {name: tuple(map(int, shape)) for name, shape in shapes.items()}
            for part, shapes in record["parts"].items()
        }
        return {"key": dict(record["key"]), "parts": parts}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NetbuildError(f"{str(path)!r}: is not a record of features; name another folder") from None


def begin(folder: Path, key: Mapping[str, Any], shapes: Mapping[str, Mapping[str, Shape]]) -> None:
    """Make the folder ready for features of this key; of others that were there nothing stays."""
    record = read_record(folder)
    for name in record["parts"] if record else ():
        shutil.rmtree(folder / name, ignore_errors=True)
        for file in (f"{name}.sha256", f"{name}.txt", f"head_{name}.prototxt"):
            with contextlib.suppress(FileNotFoundError):
                (folder / file).unlink()
    write_text(output_folder(folder) / RECORD, json.dumps({"key": key, "parts": shapes}, indent=2) + "\n")


def changes(old: Any, new: Any, where: Tuple[str, ...] = ()) -> List[str]:
    """Return the names of what two keys do not agree on, as in 'train data images'."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = list(dict.fromkeys([*old, *new]))
        return [found for name in names for found in changes(old.get(name), new.get(name), (*where, str(name)))]
    return [] if old == new else [" ".join(where)]


def h5py(what: str) -> Any:
    """Return h5py; NetbuildError where it is missing."""
    try:
        import h5py as module
    except ImportError:
        raise NetbuildError(f"{what} need h5py: pip install 'netbuild[hdf5]'") from None
    return module


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
