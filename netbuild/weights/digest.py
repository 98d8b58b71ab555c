"""SHA-256 of files, computed while other work goes on."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Collection, Dict, NamedTuple, Optional, Tuple

from ..errors import WeightsError
from .wire import WireFile

_STEP = 1 << 20
"""Bytes per step; hashing them needs no lock of the interpreter's."""


class Digest(NamedTuple):
    """What tells a file from another."""

    size: int
    sha256: str


class Digests:
    """The digests of some files, as a context manager: begun on entry, given up where the block fails."""

    def __init__(self, paths: Collection[str]) -> None:
        # One after the other: that leaves the second core to what goes on meanwhile.
        self._pool = ThreadPoolExecutor(1)
        self._stop = Event()
        # What the files are now, before anyone reads them: their turn to be digested comes later.
        self._begun = {path: _identity(path) for path in dict.fromkeys(paths)}
        self._found: Dict[str, Future[Digest]] = {path: self._pool.submit(self._digest, path) for path in self._begun}

    def __enter__(self) -> Digests:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown()

    def of(self, path: str) -> Digest:
        """Return the digest of a file; WeightsError where the file has changed since it was begun."""
        digest = self._found[path].result()
        if _identity(path) != self._begun[path]:
            raise WeightsError(f"weights {path!r}: changed while it was read; let its writer end, then try again")
        return digest

    def _digest(self, path: str) -> Digest:
        total = hashlib.sha256()
        buffer = memoryview(bytearray(_STEP))
        with WireFile(path) as file:
            for at in range(0, file.size, _STEP):
                if self._stop.is_set():
                    break
                part = buffer[: min(_STEP, file.size - at)]
                file.read_into(part, at)
                total.update(part)
            return Digest(file.size, total.hexdigest())


def _identity(path: str) -> Optional[Tuple[int, ...]]:
    """Return what changes when a file does; None for one that is not there: whoever reads it says so."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
