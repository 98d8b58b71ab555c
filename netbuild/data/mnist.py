"""MNIST: the idx files or mnist.pkl.gz, from a folder or downloaded, in the recipe's split.

Y. LeCun, C. Cortes, C. Burges: The MNIST database of handwritten digits. The recipe takes the first 50,000 training
images to train and the last 10,000 to validate.
"""

from __future__ import annotations

import math
import pickle
import struct
from pathlib import Path
from typing import Any, Dict, Optional

import numpy as np

from ..errors import NetbuildError
from ..files import Progress, existing_file
from .download import download
from .lists import Digits, checked
from .outside import MAX_BYTES, Stored, load_arrays, too_long, unpacked

TRAINING_IMAGES = 50_000
URL = "https://ossci-datasets.s3.amazonaws.com/mnist"
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Of the unpacked files."""
_AXES = 3
"""Of images; labels have one."""
_WHITE = 255


def load_mnist(
    source: Optional[str] = None, cache: Optional[Path] = None, *, progress: Progress = lambda _done, _size: None
) -> Dict[str, Digits]:
    """Return MNIST split into train (50,000), val (10,000) and test (10,000).

    `source` is a folder with the four idx files (gzipped or not), a file mnist.pkl.gz, or a URL of either;
    without it the idx files are downloaded into `cache`, checked by SHA-256.
    """
    place = source or URL
    if "://" in place:
        if cache is None:
            raise NetbuildError(f"{place}: no folder was given to download to")
        place = str(_fetched(place, cache, progress, official=source is None))
    path = Path(place)
    if path.is_dir():
        return _from_idx(path)
    if not path.exists():
        raise NetbuildError(f"MNIST {place!r}: no such file or folder; give one with the idx files, or mnist.pkl.gz")
    return _from_pickle(path)


def _fetched(url: str, cache: Path, progress: Progress, *, official: bool) -> Path:
    if url.endswith((".pkl.gz", ".pkl")):
        return download(url, cache / url.rpartition("/")[2], progress)
    for name, sha256 in SHA256.items():
        download(f"{url.rstrip('/')}/{name}.gz", cache / f"{name}.gz", progress, sha256 if official else None)
    return cache


def _from_idx(folder: Path) -> Dict[str, Digits]:
    train = checked(
        _idx(folder, "train-images-idx3-ubyte"), _idx(folder, "train-labels-idx1-ubyte"), f"MNIST {str(folder)!r}"
    )
    test = checked(_idx(folder, "t10k-images-idx3-ubyte"), _idx(folder, "t10k-labels-idx1-ubyte"), str(folder))
    if train.pixels.shape[1:] != test.pixels.shape[1:]:
        sizes = ["{} x {}".format(*digits.pixels.shape[1:]) for digits in (train, test)]
        raise NetbuildError(
            f"MNIST {str(folder)!r}: training images are {sizes[0]}, test images {sizes[1]}; one size is expected, "
            "28 x 28"
        )
    if len(train.labels) <= TRAINING_IMAGES:
        raise NetbuildError(f"MNIST {str(folder)!r}: {len(train.labels)} training images, 60,000 are expected")
    cut = TRAINING_IMAGES
    return {
        "train": Digits(train.pixels[:cut], train.labels[:cut]),
        "val": Digits(train.pixels[cut:], train.labels[cut:]),
        "test": test,
    }


def _idx(folder: Path, name: str) -> Any:
    """Read an idx file: magic 0 0 8 (unsigned byte) and the number of axes, then each length, then the values."""
    packed = folder / f"{name}.gz"
    path = existing_file(packed if packed.exists() else folder / name, "MNIST")
    with unpacked(path, "MNIST") as stream:
        head = stream.read(4)
        if len(head) < 4 or head[:3] != b"\0\0\x08":
            raise NetbuildError(f"MNIST {str(path)!r}: is no idx file of unsigned bytes")
        axes = head[3]
        if axes > _AXES:
            raise NetbuildError(f"MNIST {str(path)!r}: has {axes} axes; images have {_AXES}, and labels 1")
        lengths = stream.read(4 * axes)
        shape = struct.unpack(f">{axes}I", lengths) if len(lengths) == 4 * axes else ()
        expected = math.prod(shape) if shape else -1
        if expected > MAX_BYTES:
            raise too_long("MNIST", path)
        # One more, to see that nothing follows; at the end gzip's own check is done.
        raw = stream.read(max(expected, 0) + 1)
    if len(raw) != expected:
        actual = "more" if len(raw) > expected >= 0 else len(raw)
        raise NetbuildError(f"MNIST {str(path)!r}: shape {shape} needs {expected} bytes, found {actual}")
    return np.frombuffer(raw, np.uint8).reshape(shape)


def _from_pickle(path: Path) -> Dict[str, Digits]:
    """Read mnist.pkl.gz: (images, labels) for train, val and test; images (N, 784), grey / 256."""
    try:
        train, val, test = load_arrays(existing_file(path, "MNIST"), "MNIST")
        splits = {"train": train, "val": val, "test": test}
        return {
            name: checked(_grey(images), _array(labels, "iu"), str(path)) for name, (images, labels) in splits.items()
        }
    except NetbuildError:
        raise
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
    ) as error:
        raise NetbuildError(f"MNIST {str(path)!r}: is not mnist.pkl.gz ({error})") from None


def _grey(images: Any) -> Any:
    """Return grey levels 0..255 (N, 28, 28) of images that hold grey / 256; ValueError for any other values."""
    values = _array(images, "f")
    with np.errstate(invalid="ignore"):
        lowest, highest = float(values.min(initial=0)), float(values.max(initial=0))
    # Written so that NaN is refused too.
    if not (lowest >= 0 and highest * 256 < _WHITE + 0.5):
        raise ValueError(
            f"its images have values from {lowest:.4g} to {highest:.4g}; expected is grey / 256, from 0 to "
            f"{_WHITE / 256:.4g}"
        )
    return np.rint(values * 256).reshape(-1, 28, 28)


def _array(values: Any, kinds: str) -> Any:
    """Return an array of one of these kinds of numbers as it is; lists within lists could be of any size."""
    array = values.values if isinstance(values, Stored) else values
    if not isinstance(array, np.ndarray) or array.dtype.kind not in kinds:
        raise TypeError(f"it has {type(array).__name__} for an array of {'whole ' * (kinds != 'f')}numbers")
    return array
