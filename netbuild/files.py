"""Reading and replacing files so that a failure never costs the user an old one."""

from __future__ import annotations

import os
import re
import stat
import sys
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import IO, Callable, Iterable, Iterator, List, Mapping, Optional, Sequence, Union

from .errors import NetbuildError, did_you_mean, some

PathLike = Union[str, "os.PathLike[str]"]
Progress = Callable[[int, int], None]
"""Called with how much is done (bytes, images) and how much there is in all, 0 where that is not known."""
_SLIP = 0.8
"""How like the name of another file is what may be a slip of it: folders hold many that are alike."""
_MOST_NAMES = 1000
"""Of a folder, among which one is looked for that is like another."""
_AS_IT_WAS = "an old one is as it was"


def user_folder(variable: str, usual: str, on_mac: str) -> Path:
    """Return netbuild's folder among those that a user has for one purpose.

    Args:
        variable: What may name the place of such folders, as XDG has it.
        usual: The place otherwise, in the user's home, as in `~/.cache`.
        on_mac: The same on a Mac.

    Returns:
        The folder, which need not be there; a relative path for a user without a home, who has none.
    """
    given = os.environ.get(variable, "")
    # XDG asks to ignore a relative one. Of a user without a home the ~ is left as it was.
    home = os.path.expanduser(on_mac if sys.platform == "darwin" else usual)  # noqa: PTH111
    return Path(given if os.path.isabs(given) else home) / "netbuild"  # noqa: PTH117


def existing_file(path: PathLike, what: str) -> Path:
    """Return `path` if it is a regular file that is not empty; else raise one sentence about `what`."""
    if not isinstance(path, (str, os.PathLike)):
        raise NetbuildError(f"{what}: expected a path, found {type(path).__name__}")
    file = Path(path)
    status = _status(file, what)
    if status is None:
        raise NetbuildError(f"{what} {str(file)!r}: no such file{near(file)}")
    if stat.S_ISDIR(status.st_mode):
        raise NetbuildError(f"{what} {str(file)!r}: is a folder, and a file is expected{_held(file)}")
    if not stat.S_ISREG(status.st_mode):
        raise NetbuildError(f"{what} {str(file)!r}: not a regular file")
    if status.st_size == 0:
        raise NetbuildError(f"{what} {str(file)!r}: the file is empty")
    if not os.access(file, os.R_OK):
        raise NetbuildError(f"{what} {str(file)!r}: not readable (permission denied)")
    return file


def _held(folder: Path) -> str:
    """Return which files a folder has that may have been meant."""
    names: List[str] = []
    with suppress(OSError):
        names = sorted(str(one) for one in islice(folder.iterdir(), _MOST_NAMES) if one.is_file())
    return f", such as {some(names, 3)}" if names else "; it has none"


def near(path: Path) -> str:
    """Return what to say of a file that is not there: which folder is not, and the name there that is most like."""
    missing, hint = path, ""
    with suppress(OSError):
        while not missing.parent.is_dir():
            missing = missing.parent
        names = [other.name for other in islice(missing.parent.iterdir(), _MOST_NAMES)]
        hint = did_you_mean(missing.name, names, "", likeness=_SLIP)
    if not hint and "," in str(path) and any(Path(part.strip()).is_file() for part in str(path).split(",")):
        hint = "several files are given by repeating the option, each alone"
    folder = "" if missing == path else f"; there is no folder {str(missing)!r}"
    return f"{folder}; {hint}" if hint else folder


def listed_paths(paths: Union[PathLike, Iterable[PathLike]], what: str = "paths") -> List[str]:
    """Return the paths that an argument names, one alone or several; `what` names it where it is something else."""
    listed = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    if isinstance(listed, (bytes, Mapping)) or not isinstance(listed, Iterable):
        raise NetbuildError(f"{what}: expected a path or a list of paths, found {paths!r}")
    return [_path(one, what) for one in listed]


def _path(path: PathLike, what: str) -> str:
    if not isinstance(path, (str, os.PathLike)):
        raise NetbuildError(f"{what}: expected a path or a list of paths, found {path!r} in the list")
    return os.fspath(path)


def is_there(path: PathLike, what: str) -> bool:
    """Tell whether there is anything at `path`; NetbuildError where that cannot be known."""
    return _status(Path(path), what) is not None


def _status(path: Path, what: str) -> Optional[os.stat_result]:
    """Return what the system knows of a file, None where there is none; links are followed."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        raise NetbuildError(f"{what} {str(path)!r}: no file has a name with NUL in it") from None
    except OSError as error:  # a folder that may not be entered, a link to itself, a name too long
        raise NetbuildError(f"{what} {str(path)!r}: cannot be reached ({error.strerror})") from None


def plain_name(name: str, where: str) -> str:
    """Return `name` where it is that of a file in a folder; NetbuildError where it could lead out of the folder.

    For names that come out of a file: `where` says which.
    """
    if name in ("", ".", "..") or any(mark in name for mark in "/\\\0\r\n"):
        raise NetbuildError(f"{where}: {name!r} is no plain name of a file, and may lead out of the folder")
    return name


def output_folder(path: PathLike) -> Path:
    """Return `path` as an existing folder, made if need be."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NetbuildError(f"output folder {str(folder)!r}: there is a file of this name; name a folder") from None
    except OSError as error:
        raise NetbuildError(f"output folder {str(folder)!r}: cannot be made ({error.strerror})") from None
    return folder


def require_output(path: PathLike, inputs: Sequence[PathLike]) -> None:
    """Raise one sentence where `path` cannot be replaced: an input, a folder, a pipe, or in a missing folder."""
    target = Path(path)
    status = _status(target, "output")
    if status is None:
        if not Path(os.path.realpath(target)).parent.is_dir():
            raise NetbuildError(f"output {str(target)!r}: its folder does not exist; make it first")
        return
    if stat.S_ISDIR(status.st_mode):
        raise NetbuildError(f"output {str(target)!r}: is a folder; name a file")
    if not stat.S_ISREG(status.st_mode):
        raise NetbuildError(f"output {str(target)!r}: is not a regular file; name another")
    others = [_status(Path(name), "input") for name in inputs]
    if any(other is not None and os.path.samestat(status, other) for other in others):
        raise NetbuildError(f"output {str(target)!r}: is one of the inputs; name another file")


@contextmanager
def replacing(path: PathLike, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """Give a temporary file beside `path` that takes its place when the block ends well.

    The content is on the disk (fsync) before the name changes hands; not `durable`, one of many files, it survives the
    death of this process, not that of the machine. After an exception the temporary file is
    gone and whatever stood at `path` is as it was. Of a symbolic link the file that it points to is replaced. A new
    file has the permissions that the umask leaves, one that replaces another has the other's.
    """
    with replacing_together([path], durable=durable) as (file,):
        yield file


@contextmanager
def replacing_together(paths: Sequence[PathLike], *, durable: bool = True) -> Iterator[List[IO[bytes]]]:
    """Give temporary files as `replacing` does, which take their places one right after the other when all are whole.

    Names change hands one at a time, and a process that is killed in that moment leaves some old and some new:
    whoever has to know records what belongs together. An error in the block names the first file.
    """
    for path in paths:
        require_output(path, [])
    targets = [Path(os.path.realpath(path)) for path in paths]
    temporaries = [target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp") for target in targets]
    with _removed_on_failure(temporaries):
        # Made within it: Ctrl-C may come between a file and its name.
        with _in_words(targets[0]), ExitStack() as stack:
            files = [stack.enter_context(_opened(*pair)) for pair in zip(temporaries, targets)]
            yield list(files)
            for file, target in zip(files, targets):
                _finish(file, target, durable=durable)
        _give_names(temporaries, targets)
    if durable:
        for folder in {target.parent for target in targets}:
            sync_folder(folder)


@contextmanager
def _removed_on_failure(paths: Sequence[Path]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for path in paths:
            with suppress(OSError):
                path.unlink()
        raise


@contextmanager
def _opened(temporary: Path, target: Path) -> Iterator[IO[bytes]]:
    with _in_words(target):
        file = temporary.open("x+b")
    try:
        _permit_as(file, target)
        yield file
    finally:
        # To close it is to try once more to write what could not be written, and has been reported.
        with suppress(OSError):
            file.close()


def _finish(file: IO[bytes], target: Path, *, durable: bool) -> None:
    with _in_words(target):
        file.flush()
        if durable:
            os.fsync(file.fileno())


def _give_names(temporaries: Sequence[Path], targets: Sequence[Path]) -> None:
    for number, (temporary, target) in enumerate(zip(temporaries, targets)):
        done = [str(other) for other in targets[:number]]
        with _in_words(target, f"{some(done)} is new already: write all again" if done else _AS_IT_WAS):
            temporary.replace(target)


@contextmanager
def _in_words(target: Path, rest: str = _AS_IT_WAS) -> Iterator[None]:
    """Turn an error of the system's into the sentence about the file that could not be written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise NetbuildError(f"output {str(target)!r}: cannot be written ({reason}); {rest}") from error


def is_temporary(path: Path, of: str = "") -> bool:
    """Tell whether this is a temporary file of `replacing`, of the file called `of` or of any, which a kill left."""
    return re.fullmatch(rf"\.{re.escape(of) or '.+'}\.[0-9a-f]{{8}}\.tmp", path.name) is not None


def _permit_as(file: IO[bytes], old: Path) -> None:
    """Give a new file the permissions of the one that it will replace; we ourselves must be able to write it."""
    # No old file, or a file system without permissions.
    with suppress(OSError):
        os.fchmod(file.fileno(), old.stat().st_mode & 0o777 | stat.S_IRUSR | stat.S_IWUSR)


def sync_folder(folder: Path) -> None:
    """Put a name that has changed hands on the disk, too."""
    # Some file systems know no fsync of a folder, some folders may not be read: the file itself is safe as it is.
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def write_text(path: PathLike, text: str) -> None:
    """Replace the file at `path` by `text` (UTF-8)."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Replace several files, which belong together: all are written before the first of them takes its name."""
    with replacing_together(list(contents)) as files:
        for file, (path, content) in zip(files, contents.items()):
            with _in_words(path):
                file.write(content)
                # Here, not at the end, shows whether the disk has room for it.
                file.flush()
