"""Reading and replacing files so that a failure never costs the user an old one."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Iterator, Union

from .errors import NetbuildError

PathLike = Union[str, "os.PathLike[str]"]


def existing_file(path: PathLike, what: str) -> Path:
    """Return `path` if it is a regular file that is not empty; else raise one sentence about `what`."""
    found = Path(path)
    if not found.exists():
        raise NetbuildError(f"{what} {str(found)!r}: no such file")
    if not found.is_file():
        raise NetbuildError(f"{what} {str(found)!r}: not a regular file")
    if found.stat().st_size == 0:
        raise NetbuildError(f"{what} {str(found)!r}: the file is empty")
    if not os.access(found, os.R_OK):
        raise NetbuildError(f"{what} {str(found)!r}: not readable (permission denied)")
    return found


def output_folder(path: PathLike) -> Path:
    """Return `path` as an existing folder, made if need be."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NetbuildError(f"output folder {str(folder)!r}: cannot be made ({error.strerror})") from None
    return folder


@contextmanager
def replacing(path: PathLike) -> Iterator[IO[bytes]]:
    """Give a temporary file beside `path` that takes its place when the block ends well.

    The content is on the disk (fsync) before the name changes hands. After an exception the temporary file is
    gone and whatever stood at `path` is as it was.
    """
    target = Path(path)
    if target.is_dir():
        raise NetbuildError(f"output {str(target)!r}: is a folder; name a file")
    try:
        fd, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    except OSError as error:
        raise NetbuildError(f"output {str(target)!r}: cannot be written ({error.strerror})") from None
    try:
        os.close(fd)
        with open(name, "w+b") as file:  # noqa: PTH123 (its `name` is to be the path)
            yield file
            file.flush()
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            os.fsync(file.fileno())
        Path(name).replace(target)
    except OSError as error:
        Path(name).unlink()
        raise NetbuildError(f"output {str(target)!r}: {error.strerror or error}") from error
    except BaseException:
        Path(name).unlink()
        raise


def write_text(path: PathLike, text: str) -> None:
    """Replace the file at `path` by `text` (UTF-8)."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def _umask() -> int:
    # The only portable way to read it is to set it; mkstemp's 0600 would hide results from colleagues.
    mask = os.umask(0)
    os.umask(mask)
    return mask
