"""MNIST: the idx files or mnist.pkl.gz, from a folder or downloaded, in the recipe's split.

Y. LeCun, C. Cortes, C. Burges: The MNIST database of handwritten digits. The recipe takes the first 50,000 training
images to train and the last 10,000 to validate.
"""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import numpy as np

from ..errors import NetbuildError
from ..files import existing_file
from .download import download
from .lists import Digits, checked

TRAINING_IMAGES = 50_000
URL = "https://ossci-datasets.s3.amazonaws.com/mnist"
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Of the unpacked files."""


Progress = Callable[[int, int], None]
"""Called with the bytes downloaded so far and in all (0: unknown)."""


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
    raw = _unpacked(path)
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise NetbuildError(f"MNIST {str(path)!r}: is no idx file of unsigned bytes")
    axes = raw[3]
    start = 4 + 4 * axes
    shape = struct.unpack(f">{axes}I", raw[4:start]) if len(raw) >= start else ()
    expected = int(np.prod(shape, dtype=np.int64)) if shape else -1
    if len(raw) - start != expected:
        raise NetbuildError(f"MNIST {str(path)!r}: shape {shape} needs {expected} bytes, found {len(raw) - start}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def _unpacked(path: Path) -> bytes:
    raw = path.read_bytes()
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise NetbuildError(f"MNIST {str(path)!r}: broken gzip file ({error}); fetch it again") from None


def _from_pickle(path: Path) -> Dict[str, Digits]:
    """Read mnist.pkl.gz: (images, labels) for train, val and test; images (N, 784), grey / 256."""
    try:
        content = _ArraysOnly(io.BytesIO(_unpacked(existing_file(path, "MNIST"))), encoding="latin1").load()
        train, val, test = content
        splits = {"train": train, "val": val, "test": test}
        return {
            name: checked(np.rint(np.asarray(images) * 256).reshape(-1, 28, 28), labels, str(path))
            for name, (images, labels) in splits.items()
        }
    except NetbuildError:
        raise
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise NetbuildError(f"MNIST {str(path)!r}: is not mnist.pkl.gz ({error})") from None


class _ArraysOnly(pickle.Unpickler):
    """Unpickles numpy arrays and nothing else: a pickle from the network could run any code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module.split(".")[0], name) in {("numpy", "ndarray"), ("numpy", "dtype"), ("numpy", "_reconstruct")}:
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, not only arrays")
