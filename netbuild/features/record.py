"""What the features in a folder were computed from, and the removal of those that nobody wants any more.

A folder may come from elsewhere, and hold what others put there: of all that a record names only what netbuild itself
wrote under those names is ever removed, and nothing outside the folder.
"""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..errors import NetbuildError
from ..files import existing_file, is_temporary, output_folder, plain_name, write_text
from ..spelling import option
from .store import Shape, is_numbered

RECORD = "features.json"
_PART = re.compile(r"train|test(_[0-9]+)?").fullmatch


def read_record(folder: Path) -> Optional[Dict[str, Any]]:
    """Return what the features in a folder were computed from, None where there are none."""
    path = folder / RECORD
    if not path.exists():
        return None
    try:
        record = json.loads(existing_file(path, "record of features").read_text(encoding="utf-8"))
        parts = {_part(part, path): _shapes(shapes) for part, shapes in record["parts"].items()}
        return {"key": dict(record["key"]), "parts": parts}
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        raise NetbuildError(f"{str(path)!r}: is not a record of features; name another folder") from None


def _part(name: str, path: Path) -> str:
    if not _PART(plain_name(name, str(path))):
        raise ValueError(name)
    return name


def _shapes(shapes: Mapping[str, Sequence[int]]) -> Dict[str, Shape]:
    found = {name: tuple(map(int, shape)) for name, shape in shapes.items()}
    if not found or any(length < 1 for shape in found.values() for length in shape):
        raise ValueError(shapes)
    return found


def usable_record(
    folder: Path, key: Mapping[str, Any], blobs: Mapping[str, Sequence[str]], *, force: bool
) -> Optional[Dict[str, Any]]:
    """Return the record of a folder whose features are those asked for, None where there are none.

    `blobs` are their names, by part. NetbuildError where they are others, unless with `force`.
    """
    record = read_record(folder)
    _require_no_links(folder, [*blobs, *(record["parts"] if record else ())])
    if record is None and folder.is_dir() and not all(map(_left_over, folder.iterdir())):
        raise NetbuildError(f"folder {str(folder)!r}: holds something else than features; name another")
    other = _other(record, key, blobs) if record else []
    if other and not force:
        raise NetbuildError(
            f"features in {str(folder)!r}: are stale, computed with other {', '.join(other)}; compute them anew with "
            f"{option('force', True)}, or name another folder"
        )
    return None if other else record


def _other(record: Mapping[str, Any], key: Mapping[str, Any], blobs: Mapping[str, Sequence[str]]) -> List[str]:
    """Return the names of what a record does not agree on with what is asked for."""
    held = {part: set(shapes) for part, shapes in record["parts"].items()}
    wanted = {part: set(names) for part, names in blobs.items()}
    return changes(record["key"], key) or (["blobs"] if held != wanted else [])


def _require_no_links(folder: Path, parts: Sequence[str]) -> None:
    """Raise NetbuildError where one of our names is a link: what is written under it would land outside the folder."""
    inside = [path for part in parts for path in (folder / part).glob("*.h5")]
    lists = [path for part in parts for path in _lists(folder, part)]
    for path in [folder / RECORD, *(folder / part for part in parts), *lists, *inside]:
        if path.is_symlink():
            raise NetbuildError(
                f"{str(path)!r}: is a link, and features are not written through one; put in its place "
                "what it leads to, or name another folder"
            )


def _left_over(path: Path) -> bool:
    """Tell whether a run that was killed before it began left this."""
    return is_temporary(path, RECORD)


def changes(old: Any, new: Any, where: Tuple[str, ...] = ()) -> List[str]:
    """Return the names of what two keys do not agree on, as in 'train data images'."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = list(dict.fromkeys([*old, *new]))
        return [found for name in names for found in changes(old.get(name), new.get(name), (*where, str(name)))]
    return [] if old == new else [" ".join(where)]


def begin(folder: Path, key: Mapping[str, Any], shapes: Mapping[str, Mapping[str, Shape]]) -> None:
    """Make the folder ready for features of this key; of others that netbuild wrote there nothing stays.

    Raises NetbuildError, with everything as it was, where something else has one of their names.
    """
    record = read_record(folder)
    parts = dict.fromkeys([*record["parts"], *shapes]) if record else {}
    written = [path for part in parts for path in _written(folder, part)]
    for path in written:
        path.unlink()
    for part in parts:
        # One that holds something else stays.
        with contextlib.suppress(OSError):
            (folder / part).rmdir()
    write_text(output_folder(folder) / RECORD, json.dumps({"key": key, "parts": shapes}, indent=2) + "\n")


def _lists(folder: Path, part: str) -> Tuple[Path, Path, Path]:
    """Return the files that tell of a part's features: their digests, their names, and the net that reads them."""
    return folder / f"{part}.sha256", folder / f"{part}.txt", folder / f"head_{part}.prototxt"


def _written(folder: Path, part: str) -> List[Path]:
    """Return the files of a part that netbuild wrote; NetbuildError where others have their names."""
    sums, names, head = _lists(folder, part)
    signs = {
        sums: rf"([0-9a-f]+  {part}/\d+\.h5\n)*([0-9a-f]*|[0-9a-f]+ .*)",
        names: r"(.*\d\.h5\n)*",
        head: r'(.*\n)*.*type: "HDF5Data"\n(.*\n)*',
    }
    lists = [path for path, sign in signs.items() if _is_there(path, sign)]
    return [*_numbered(folder / part, sums.read_text() if sums in lists else ""), *lists]


def _is_there(path: Path, sign: str) -> bool:
    """Tell whether a file is there; NetbuildError where its text does not show that netbuild wrote it."""
    if not path.exists():
        return False
    if not path.is_file() or not re.fullmatch(sign, path.read_text(encoding="utf-8", errors="replace")):
        raise _others(path)
    return True


def _numbered(home: Path, sums: str) -> List[Path]:
    """Return the files of features in a part's folder, and what killed runs left of such."""
    if not home.exists():
        return []
    if not home.is_dir():
        raise _others(home)
    inside = sorted(home.iterdir())
    for path in inside:
        # Each has its line before it has its name.
        if is_numbered(path.name) and (f"  {home.name}/{path.name}\n" not in sums or path.is_dir()):
            raise _others(path)
    return [path for path in inside if is_numbered(path.name) or is_temporary(path)]


def _others(path: Path) -> NetbuildError:
    return NetbuildError(
        f"{str(path)!r}: was not written by netbuild, so that it is not removed; move it away, or name another folder"
    )
