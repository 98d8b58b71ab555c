"""Image folders and the list files that ImageData reads: the recipe's split into odd, even and all digits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple

from ..errors import NetbuildError
from ..files import PathLike, Progress, output_folder, replacing, write_text
from .images import FORMATS, encoded

SUBSETS = ("odd", "even", "all")
_SHOWN = 500
"""After so many images the progress is reported."""


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
    progress: Progress = lambda _done, _all: None,
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
    done, images = 0, total(splits)
    for split, digits in splits.items():
        paths: List[Path] = []
        for path in _write_split(digits, output_folder(root / split), image_format):
            paths.append(path)
            done += 1
            if done % _SHOWN == 0 or done == images:
                progress(done, images)
        for subset in SUBSETS:
            lines = _lines(paths, digits.labels, subset)
            write_text(root / f"{split}_{subset}.txt", "".join(lines))
            counts[f"{split}_{subset}"] = len(lines)
    return Written(root, counts)


def _write_split(digits: Digits, folder: Path, image_format: str) -> Iterator[Path]:
    """Write images; yield the path of each when it is written."""
    for index, (pixels, label) in enumerate(zip(digits.pixels, digits.labels)):
        path = folder / f"{index:06d}_{label}.{image_format}"
        with replacing(path, durable=False) as file:
            file.write(encoded(pixels, image_format))
        yield path


def _lines(paths: List[Path], labels: Any, subset: str) -> List[str]:
    if subset == "all":
        return [f"{path} {label}\n" for path, label in zip(paths, labels)]
    odd = int(subset == "odd")
    return [f"{path} {label // 2}\n" for path, label in zip(paths, labels) if label % 2 == odd]


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
