"""Files from outside, read within bounds: gzip that unpacks to no end, pickles that build more than they hold.

Nothing here runs code from a file, and none takes more memory than a few times what MNIST itself needs.
"""

from __future__ import annotations

import gzip
import io
import pickle
import pickletools
import re
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Iterator

import numpy as np

from ..errors import NetbuildError

MAX_BYTES = 1 << 28
"""Of a file, packed or unpacked: the largest of MNIST's, mnist.pkl, has 220 million."""
_MAX_STEPS = 1000
"""Of a pickle: six arrays take about 250."""
_MAX_ARRAYS = 6
_NUMBERS = re.compile(r"[biuf][1248]").fullmatch
"""numpy's codes of the types whose values stand in a pickle as bytes."""


def too_long(what: str, path: Path) -> NetbuildError:
    """Return the error about a file with more bytes than anything of MNIST."""
    return NetbuildError(
        f"{what} {str(path)!r}: has more than {MAX_BYTES >> 20} MiB (unpacked, where it is packed), and no file of "
        "MNIST has; is it another file?"
    )


@contextmanager
def unpacked(path: Path, what: str) -> Iterator[IO[bytes]]:
    """Give the content of a file, gunzipped where it is packed, as a stream; NetbuildError where it is broken."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not packed:
                yield file
                return
            with gzip.GzipFile(fileobj=file) as stream:
                yield stream  # type: ignore[misc] # typeshed has it as no IO
    except (OSError, EOFError, zlib.error) as error:
        raise NetbuildError(f"{what} {str(path)!r}: broken gzip file ({error}); fetch it again") from None


def load_arrays(path: Path, what: str) -> Any:
    """Return what a pickle of numpy arrays, in tuples and lists, holds; of each array what it stored (`Stored`).

    Raises NetbuildError for a broken file and for a long one, pickle.UnpicklingError or any of what a damaged pickle
    ends in for one that holds something else.
    """
    with unpacked(path, what) as stream:
        raw = stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise too_long(what, path)
    _require_few_steps(raw)
    return _ArraysOnly(io.BytesIO(raw), encoding="latin1").load()


def _require_few_steps(raw: bytes) -> None:
    """Raise UnpicklingError for a pickle that builds more than a few arrays, before any of it is built."""
    for number, (step, argument, _) in enumerate(pickletools.genops(raw)):
        # A memo is as long as its highest index.
        if number >= _MAX_STEPS or ("PUT" in step.name and int(argument or 0) > _MAX_STEPS):
            raise pickle.UnpicklingError(f"it holds more than {_MAX_ARRAYS} arrays")


class _Kind:
    """A type of numbers as a pickle has it: its code, then the order of its bytes."""

    def __init__(self, code: str, *_: Any) -> None:
        if not _NUMBERS(code):
            raise pickle.UnpicklingError(f"it holds values of type {code!r}, not only numbers")
        self.code, self.order = code, "="

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]


class Stored:
    """An array as a pickle has it.

    numpy itself, asked to take this in, makes room for any shape first, and believes what the pickle says of the type.
    """

    values: Any = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_columns, raw = state
        content = raw.encode("latin1") if isinstance(raw, str) else raw
        values = np.frombuffer(content, np.dtype(kind.order + kind.code))
        self.values = values.reshape(shape, order="F" if by_columns else "C")


class _ArraysOnly(pickle.Unpickler):
    """Unpickles numpy arrays and nothing else: a pickle from the network could run any code."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._arrays = self._encoded = 0

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "numpy":
            known = {"ndarray": self._no_array, "dtype": _Kind, "_reconstruct": self._array}
            if name in known:
                return known[name]
        if (module, name) == ("_codecs", "encode"):
            return self._bytes
        raise pickle.UnpicklingError(f"it holds {module}.{name}, not only arrays")

    def _array(self, *_: Any) -> Any:
        """Return an array that gets its shape and values next, from the pickle's state."""
        self._arrays += 1
        if self._arrays > _MAX_ARRAYS:
            raise pickle.UnpicklingError(f"it holds more than {_MAX_ARRAYS} arrays")
        return Stored()

    def _no_array(self, *_: Any) -> Any:
        """Refuse to make an array of the class alone: without values it could have any size."""
        raise pickle.UnpicklingError("it makes arrays without values")

    def _bytes(self, text: str, _encoding: str) -> bytes:
        """Return bytes that Python 3 has written as text for Python 2."""
        self._encoded += len(text)
        if self._encoded > MAX_BYTES:
            raise pickle.UnpicklingError("it repeats its values")
        return text.encode("latin1")
