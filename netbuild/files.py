"""Reading and replacing files so that a failure never costs the user an old one."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Iterator, Sequence, Union

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


def require_output(path: PathLike, inputs: Sequence[PathLike]) -> None:
    """Raise one sentence where `path` cannot be replaced: an input, a folder, a pipe, or in a missing folder."""
    target = Path(path)
    if not target.exists():
        if not target.absolute().parent.is_dir():
            raise NetbuildError(f"output {str(target)!r}: its folder does not exist; make it first")
        return
    if target.is_dir():
        raise NetbuildError(f"output {str(target)!r}: is a folder; name a file")
    if not target.is_file():
        raise NetbuildError(f"output {str(target)!r}: is not a regular file; name another")
    if any(Path(name).exists() and target.samefile(name) for name in inputs):
        raise NetbuildError(f"output {str(target)!r}: is one of the inputs; name another file")


@contextmanager
def replacing(path: PathLike) -> Iterator[IO[bytes]]:
    """Give a temporary file beside `path` that takes its place when the block ends well.

    The content is on the disk (fsync) before the name changes hands. After an exception the temporary file is
    gone and whatever stood at `path` is as it was. Of a symbolic link the file that it points to is replaced.
    """
    require_output(path, [])
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
    try:
        file = temporary.open("x+b")
    except OSError as error:
        raise NetbuildError(f"output {str(target)!r}: cannot be written ({error.strerror})") from None
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        temporary.unlink()
        raise NetbuildError(f"output {str(target)!r}: {error.strerror or error}; nothing was written") from error
    except BaseException:
        temporary.unlink()
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Put a name that has changed hands on the disk, too."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        # Some file systems know no fsync of a folder; the file itself is safe there as it is.
        with suppress(OSError):
            os.fsync(fd)
    finally:
        os.close(fd)


def write_text(path: PathLike, text: str) -> None:
    """Replace the file at `path` by `text` (UTF-8)."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))
