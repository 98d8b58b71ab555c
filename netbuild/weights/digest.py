"""SHA-256 of files, computed while other work goes on."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Collection, Dict, NamedTuple, Tuple

from ..errors import WeightsError
from ..files import existing_file

_STEP = 1 << 20
"""Bytes per step; hashing them needs no lock of the interpreter's."""
_AT_ONCE = 2


class Digest(NamedTuple):
    """What tells a file from another."""

    size: int
    sha256: str


class Digests:
    """The digests of some files, as a context manager: begun on entry, given up where the block fails."""

    def __init__(self, paths: Collection[str]) -> None:
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self._stop = Event()
        self._found: Dict[str, Future[Tuple[Digest, os.stat_result]]] = {
            path: self._pool.submit(self._digest, path) for path in dict.fromkeys(paths)
        }

    def __enter__(self) -> Digests:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown()

    def of(self, path: str) -> Digest:
        """Return the digest of a file; WeightsError where the file has changed since it was begun."""
        digest, then = self._found[path].result()
        now = Path(path).stat()
        if (now.st_size, now.st_mtime_ns, now.st_ino) != (digest.size, then.st_mtime_ns, then.st_ino):
            raise WeightsError(f"weights {path!r}: changed while it was read; let its writer end, then try again")
        return digest

    def _digest(self, path: str) -> Tuple[Digest, os.stat_result]:
        total = hashlib.sha256()
        buffer = memoryview(bytearray(_STEP))
        size = 0
        with existing_file(path, "weights").open("rb", buffering=0) as file:
            begun = os.fstat(file.fileno())
            while not self._stop.is_set():
                count = file.readinto(buffer)
                if not count:
                    break
                total.update(buffer[:count])
                size += count
        return Digest(size, total.hexdigest()), begun
