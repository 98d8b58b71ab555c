"""Image folders and the list files that ImageData reads: the recipe's split into odd, even and all digits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence

from ..errors import NetbuildError
from ..files import PathLike, output_folder, replacing, write_text
from .images import FORMATS, encoded
from .listing import Entry, ImageList, read_lines

SUBSETS = ("odd", "even", "all")

ImageProgress = Callable[[int], None]
"""Called with the number of images written since the last call."""


class Digits(NamedTuple):
    """Labelled grey images: pixels (N, H, W) of type uint8 with light ink on black, labels (N,) in 0..9."""

    pixels: Any
    labels: Any


class ListedImages(NamedTuple):
    """What a list file names: the paths (N) as Caffe opens them, labels (N,) of type int64."""

    paths: List[str]
    labels: Any


@dataclass(frozen=True)
class Written:
    """What was written: the lists by name (`train_odd`) and how many images each names."""

    folder: Path
    counts: Mapping[str, int]

    def path(self, name: str) -> Path:
        """Return the path of a list."""
        return self.folder / f"{name}.txt"


def write_images(
    splits: Mapping[str, Digits],
    folder: PathLike,
    *,
    image_format: str = "png",
    progress: ImageProgress = lambda _n: None,
) -> Written:
    """Write each split's images to `folder/SPLIT/NNNNNN_LABEL.png` and its lists to `folder/SPLIT_SUBSET.txt`.

    The lists `odd` and `even` carry label // 2 (five classes each), `all` the digit. Paths in the lists begin with
    `folder` as given: relative ones hold for the folder in which Caffe is run.
    """
    if image_format not in FORMATS:
        raise NetbuildError(f"no image format {image_format!r}; known are {', '.join(FORMATS)}")
    root = output_folder(folder)
    if "\n" in str(root):
        raise NetbuildError(f"folder {str(root)!r}: a list file cannot hold paths with line breaks")
    counts: Dict[str, int] = {}
    for split, digits in splits.items():
        paths = _write_split(digits, output_folder(root / split), image_format, progress)
        for subset in SUBSETS:
            lines = _lines(paths, digits.labels, subset)
            write_text(root / f"{split}_{subset}.txt", "".join(lines))
            counts[f"{split}_{subset}"] = len(lines)
    return Written(root, counts)


def _write_split(digits: Digits, folder: Path, image_format: str, progress: ImageProgress) -> List[Path]:
    paths = []
    for index, (pixels, label) in enumerate(zip(digits.pixels, digits.labels)):
        path = folder / f"{index:06d}_{label}.{image_format}"
        with replacing(path, durable=False) as file:
            file.write(encoded(pixels, image_format))
        paths.append(path)
        if index % 500 == 499:
            progress(500)
    progress(len(paths) % 500)
    return paths


def _lines(paths: List[Path], labels: Any, subset: str) -> List[str]:
    if subset == "all":
        return [f"{path} {label}\n" for path, label in zip(paths, labels)]
    odd = int(subset == "odd")
    return [f"{path} {label // 2}\n" for path, label in zip(paths, labels) if label % 2 == odd]


def count_images(path: PathLike) -> int:
    """Return how many images a list file names."""
    return len(read_lines(path).without_blank_lines())


def read_list(path: PathLike, root_folder: str = "") -> ListedImages:
    """Read a list file of lines `PATH LABEL`, the root folder put in front of each path as Caffe does it.

    Blank lines are left out. Raises NetbuildError for a line that is none, and where images are not there.
    """
    found = read_lines(path, root_folder)
    blank = {number for number, line in enumerate(found.lines, 1) if not line.strip()}
    entries = [entry for entry in found.entries() if entry.line not in blank]
    wrong = [one for one in found.misread() if one.line not in blank]
    if wrong:
        raise NetbuildError(found.sentences(wrong)[0])
    _require_classes(found, entries)
    missing = [entry for entry in entries if not Path(os.fsdecode(entry.path)).is_file()]
    if missing:
        raise NetbuildError(found.absent(missing))
    if not entries:
        raise NetbuildError(f"list {str(path)!r}: names no image")
    import numpy as np

    labels = np.array([entry.label for entry in entries], np.int64)
    return ListedImages([os.fsdecode(entry.path) for entry in entries], labels)


def _require_classes(found: ImageList, entries: Sequence[Entry]) -> None:
    for entry in entries:
        if entry.label < 0:
            raise NetbuildError(
                f"list {found.path!r}: line {entry.line} is {found.shown(entry.line)}; expected PATH LABEL: the label "
                "stands for a class, and those count from 0"
            )


def total(splits: Mapping[str, Digits]) -> int:
    """Return the number of images in all splits."""
    return sum(len(digits.labels) for digits in splits.values())


def checked(pixels: Any, labels: Any, source: str) -> Digits:
    """Return the arrays as Digits; raise NetbuildError where they are no labelled digits of one size."""
    import numpy as np

    pixels, labels = np.asarray(pixels), np.asarray(labels)
    if pixels.ndim != 3 or labels.ndim != 1 or len(pixels) != len(labels) or not len(labels):
        raise NetbuildError(f"{source}: {pixels.shape} pixels and {labels.shape} labels are not labelled images")
    if not np.issubdtype(labels.dtype, np.integer):
        raise NetbuildError(f"{source}: labels are of type {labels.dtype}; whole numbers are expected")
    if labels.min() < 0 or labels.max() > 9:
        raise NetbuildError(f"{source}: labels reach from {labels.min()} to {labels.max()}; digits 0 to 9 are expected")
    return Digits(pixels.astype(np.uint8), labels.astype(int))
