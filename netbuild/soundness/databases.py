"""The database of a Data layer: whether there is one where the layer looks, of the kind that it opens.

A database is a folder: LMDB keeps a file `data.mdb` in it, LevelDB one called `CURRENT`. No entry is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ..schema import Message
from ..what_is import LMDB, what_is

_FILES = {"LMDB": "data.mdb", "LEVELDB": "CURRENT"}


def database_fault(layer: Message) -> Optional[str]:
    """Return why Caffe would not open what a layer names as its database; None where it would, or nothing is there."""
    options = layer.data_param
    folder = Path(options.source)
    if not options.source or not folder.exists():
        return None
    where = f"layer {layer.name!r}: database {options.source!r}"
    if not folder.is_dir():
        kind = what_is(folder)
        return f"{where}: is {kind.what if kind else 'a file'}; a database is a folder{_parent(folder)}"
    wanted = options.DESCRIPTOR.fields_by_name["backend"].enum_type.values_by_number[options.backend].name
    there = [kind for kind, name in _FILES.items() if (folder / name).is_file()]
    if not there:
        names = " nor ".join(f"{name} ({kind})" for kind, name in _FILES.items())
        return f"{where}: the folder holds neither {names}"
    if wanted not in there:
        default = "" if options.HasField("backend") else ", the default"
        return f"{where}: is of the kind {there[0]}, and the layer opens {wanted}{default}; write backend: {there[0]}"
    if wanted == "LMDB" and what_is(folder / "data.mdb") != LMDB:
        return f"{where}: its data.mdb is no LMDB, or damaged; was it copied whole?"
    return None


def _parent(file: Path) -> str:
    """Return the hint at the folder of a file that is a part of a database."""
    return f", {str(file.parent)!r}" if file.name in _FILES.values() else ""
