"""The folder of a demo: what a demo writes there, so that nothing else is ever removed from it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Iterator, List, Sequence

from .errors import NetbuildError
from .files import is_temporary, output_folder, write_text
from .spelling import option

_MARKER = ".netbuild-demo"
_TEXT = "This folder was made by netbuild demo, which may empty it when asked to with --force.\n"
_FOLDERS = re.compile(r"data(/(train|val|test))?|odd|even|fused(/features(/(train|test))?)?").fullmatch
_FILES = re.compile(
    "|".join(
        (
            r"report\.html|\.netbuild-demo",
            r"data/(train|val|test)/[0-9]{6}_[0-9]\.png",
            r"data/(train|val|test)_(odd|even|all)\.txt",
            r"(odd|even|fused)/((train_val|deploy|solver)\.prototxt|train_log\.csv|curves\.png|lenet_\w+_iter_[0-9]+\..+)",
            r"fused/init\.caffemodel(\.json)?",
            r"fused/features/(features\.json|(train|test)\.(txt|sha256)|head_(train|test)\.prototxt)",
            r"fused/features/(train|test)/[0-9]{6,}\.h5",
        )
    )
).fullmatch


def emptied(folder: Path, force: bool, inputs: Sequence[Path]) -> Path:
    """Return the folder, new or empty; with `force` it is emptied if a demo made it, and all that is in it.

    Raises NetbuildError, with everything as it was, where it holds something else, or one of the inputs.
    """
    root = output_folder(folder)
    if any(root.iterdir()):
        _require_ours(root, force, inputs)
        _empty(root)
    write_text(root / _MARKER, _TEXT)
    return root


def _require_ours(root: Path, force: bool, inputs: Sequence[Path]) -> None:
    where, marker = f"output folder {str(root)!r}", root / _MARKER
    if not force and not all(is_temporary(path, _MARKER) for path in root.iterdir()):
        again = f", or {option('force', True)} empties this one, which a demo made" if marker.is_file() else ""
        raise NetbuildError(f"{where}: is not empty; name a new one{again}")
    if force and (marker.is_symlink() or not marker.is_file()):
        raise NetbuildError(f"{where}: was not made by a demo; it was not touched")
    if any(root.resolve() in path.resolve().parents for path in inputs):
        raise NetbuildError(f"{where}: holds one of the inputs; it was not touched")
    other = next(_others(root), None)
    if other is not None:
        raise NetbuildError(
            f"{where}: holds {other!r}, which no demo wrote; it was not touched: move that away, or name a new one"
        )


def _others(root: Path) -> Iterator[str]:
    """Yield what no demo writes, by names within the folder."""
    for place, folders, files in os.walk(root):
        for path in (Path(place) / name for name in sorted(folders)):
            if path.is_symlink() or not _FOLDERS(_inside(root, path)):
                yield _inside(root, path)
        for path in (Path(place) / name for name in sorted(files)):
            if not is_temporary(path) and not _FILES(_inside(root, path)):
                yield _inside(root, path)


def _inside(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _empty(root: Path) -> None:
    """Remove all but the marker, which tells a later run whose folder this is."""
    folders: List[Path] = []
    for place, _, files in os.walk(root):
        folders.append(Path(place))
        for path in (Path(place) / name for name in files if name != _MARKER):
            path.unlink()
    for path in reversed(folders[1:]):
        path.rmdir()
