"""Bytes that take long to make, kept in the user's cache folder: a command needs them each time it starts.

Nothing depends on them: where they cannot be kept or are damaged they are made anew, and so are those made of other
contents than today's. A file is called by a hash of what it is made of, and begins with one of the bytes in it:

    hash        8 bytes, of the name and the bytes
    the bytes

The hash is Python's own, for compiled modules; it may be another in another Python, which then has files of its own.
"""

from __future__ import annotations

from contextlib import suppress
from importlib.util import source_hash
from pathlib import Path
from typing import Callable, Optional

from ..errors import NetbuildError
from ..files import replacing, user_folder

_HASH = 8


def kept(kind: str, contents: bytes, make: Callable[[], bytes]) -> bytes:
    """Return what `make()` returns, from the last time if it has been made of the same contents before.

    Args:
        kind: What the bytes are, the first word of the file's name.
        contents: All that they are made of, the program that makes them included.
        make: Makes them.
    """
    name = f"{kind}-{source_hash(contents).hex()}"
    folder = cache_folder()
    found = _read(folder / name) if folder else None
    if found is None:
        found = make()
        if folder:
            _write(folder / name, found)
    return found


def cache_folder() -> Optional[Path]:
    """Return the folder for what can be made anew at any time; None where the user has none."""
    folder = user_folder("XDG_CACHE_HOME", "~/.cache", "~/Library/Caches")
    return folder if folder.is_absolute() else None


def _read(file: Path) -> Optional[bytes]:
    """Return the bytes that a file keeps; None where it is not there, or is not as it was written."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    return content[_HASH:] if content[:_HASH] == _hash(file, content[_HASH:]) else None


def _write(file: Path, content: bytes) -> None:
    with suppress(OSError, NetbuildError):  # a folder that may not be written to, a full disk
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file, durable=False) as stream:
            stream.write(_hash(file, content) + content)


def _hash(file: Path, content: bytes) -> bytes:
    return source_hash(file.name.encode() + content)
