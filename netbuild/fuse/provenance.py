"""Weight files compared with the sources that their sidecars name.

The files of a split fusion are of one run: the sidecar of each has the digests of all.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Collection, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from ..errors import NetbuildError, WeightsError, some
from ..files import PathLike, is_there
from ..spelling import option
from ..weights.compare import same_values
from ..weights.digest import Digests
from ..weights.index import index
from ..weights.model import Layer, Model
from ..weights.values import read_bytes
from ..weights.wire import WireFile
from .head import head_values
from .options import HeadStart
from .sidecar import recorded, sidecar


class Checked(NamedTuple):
    """A source of a weight file, looked at again, or the weight file itself, where something in it has no source."""

    prefix: str
    """Of a head its layer, of the weight file itself its name."""
    path: str
    sha256: str
    blobs: int
    """How many blobs of it the file holds."""
    faults: Tuple[str, ...]
    """What is no longer as recorded."""


def check_sources(path: PathLike) -> List[Checked]:
    """Compare a weight file with the sources that `PATH.json` beside it names: digests, then each blob, bit by bit.

    Args:
        path: A file that `fuse_weights` wrote.

    Returns:
        Each source with what is no longer as recorded (`faults`). What the file holds beyond that, and what else about
        it is not as recorded, comes as a last entry.

    Raises:
        WeightsError: Nothing beside the file tells where its values come from, or it cannot be read.

    Examples:
        >>> from netbuild import check_sources
        >>> [(one.prefix, one.blobs, one.faults) for one in check_sources("fused/init.caffemodel")]
        [('odd', 6, ()), ('even', 6, ())]
    """
    model = index(path)
    record = recorded(path)
    folder = Path(sidecar(path)).resolve().parent
    checked: List[Checked] = []
    for prefix, branch in record["branches"].items():
        for number, file in enumerate(branch["files"]):
            layers = [one for one in branch["layers"] if one["file"] == number]
            checked.append(_check_copies(prefix, model, _located(folder, file["path"]), file["sha256"], layers))
    if record.get("head"):
        checked += _check_head(record["head"], model, folder)
    faults = (*unexplained(record, model), *_changed(record, model.path))
    if faults:
        checked.append(Checked(Path(path).name, Path(sidecar(path)).name, "", 0, faults))
    return checked


def unexplained(record: Mapping[str, Any], model: Model) -> Iterator[str]:
    """Yield what shows, without a look at values, that a sidecar does not tell all of a weight file."""
    size = Path(model.path).stat().st_size
    if size != record["bytes"]:
        yield f"it tells of a file of {record['bytes']:,} bytes, and this one has {size:,}"
    known = _recorded_layers(record)
    held = [layer.name for layer in model.layers]
    unknown = [name for name in held if name not in known]
    if unknown:
        old = "" if "head" in record else " (it is of an older netbuild, which did not tell of a head: fuse again)"
        yield f"it does not tell the origin of {some(unknown)}{old}"
    doubled = [name for name in dict.fromkeys(held) if held.count(name) > 1]
    if doubled:
        yield f"the file has more than one layer {some(doubled)}"


def _recorded_layers(record: Mapping[str, Any]) -> Set[str]:
    heads = [record["head"]["layer"]] if record.get("head") else []
    return {*heads, *(one["layer"] for branch in record["branches"].values() for one in branch["layers"])}


def require_one_set(paths: Sequence[PathLike]) -> None:
    """Raise WeightsError where files of a split fusion that are used together are of two runs.

    So it is where a fusion was killed as its files took their names, or when one of them was replaced later.
    """
    used = {os.path.realpath(path): os.fspath(path) for path in paths}
    together = _used_together(used)
    with Digests([member for members in together.values() for member in members]) as digests:
        for path, members in together.items():
            replaced = [member for member, sha256 in members.items() if digests.of(member).sha256 != sha256]
            if replaced:
                raise WeightsError(
                    f"weights {used[replaced[0]]!r}: not of the run of {_split()} that {sidecar(used[path])!r} tells "
                    "of; fuse again, or remove that sidecar where the files are meant to be mixed"
                )


def _used_together(used: Collection[str]) -> Mapping[str, Mapping[str, str]]:
    """Return, for each file used with others of its run, those with the SHA-256 that its sidecar says they have."""
    members = {path: {name: sha256 for name, sha256 in _set(path).items() if name in used} for path in used}
    return {path: found for path, found in members.items() if len(found) > 1}


def _split() -> str:
    return f"fuse {option('split', True)}"


def _set(path: str) -> Mapping[str, str]:
    """Return the files, with their SHA-256, that a weight file was written with; none where no sidecar says so."""
    try:
        members = recorded(path)["set"]
    except NetbuildError:
        return {}
    return {os.fspath(Path(path).with_name(name)): sha256 for name, sha256 in members.items()}


def _changed(record: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield which files of the run are not as they were written."""
    beside = {name: os.fspath(Path(path).with_name(name)) for name in record["set"]}
    there = {name: other for name, other in beside.items() if is_there(other, "weights")}
    with Digests(list(there.values())) as digests:
        for name, other in there.items():
            if digests.of(other).sha256 != record["set"][name]:
                yield f"{name} is not of the run of {_split()} that it tells of: fuse again"


def _located(folder: Path, path: str) -> str:
    """Return the source where it was, or beside the weight file, where people move files together."""
    beside, there = folder / Path(path).name, folder / path
    return os.path.relpath(beside if not is_there(there, "source") and is_there(beside, "source") else there)


def _check_copies(prefix: str, model: Model, source: str, sha256: str, layers: Sequence[Mapping[str, Any]]) -> Checked:
    missing = _missing(model, source)
    if missing:
        return Checked(prefix, source, sha256, 0, (missing,))
    stored, sources = model.by_name(), index(source).by_name()
    faults: List[str] = []
    blobs = 0
    for one in layers:
        ours = stored[one["layer"]][-1].blobs if one["layer"] in stored else ()
        theirs = sources[one["from"]][0].blobs if one["from"] in sources else ()
        blobs += len(ours)
        if len(ours) != len(theirs) or not ours:
            faults.append(f"{one['layer']} is not in both files")
        elif one["shapes"] not in (None, [blob.shape for blob in ours]):
            faults.append(f"{one['layer']} has other shapes than it was written with")
        elif not same_values(model.path, ours, source, theirs, one["channels"]):
            faults.append(f"{one['layer']} differs from its {one['from']}")
    return Checked(prefix, source, sha256, blobs, (*_replaced(source, sha256), *faults))


def _missing(model: Model, source: str) -> Optional[str]:
    if not is_there(source, "source"):
        return "is not there any more"
    return "is the file itself, and proves nothing" if Path(source).samefile(model.path) else None


def _replaced(source: str, sha256: str) -> List[str]:
    with Digests([source]) as digests:
        return [] if digests.of(source).sha256 == sha256 else ["is not the file it was (its SHA-256 is another)"]


def _check_head(record: Mapping[str, Any], model: Model, folder: Path) -> List[Checked]:
    """Make a head again of the classifiers that it began as, and compare it: its fault is counted to the first."""
    layer = model.by_name().get(record["layer"], [None])[-1]
    paths = [_located(folder, one["path"]) for one in record["from"]]
    missing = [_missing(model, path) for path in paths]
    faults = [[fault] if fault else [] for fault in missing]
    if not any(missing):
        faults = _changed_sources(record, paths)
        if faults and not _is_remade(record, model.path, layer, paths):
            faults[0].append(f"{record['layer']} differs from what its branches' classifiers make")
    blobs = len(layer.blobs) if layer else 0
    return [
        Checked(record["layer"], path, one["sha256"], blobs, tuple(fault))
        for path, one, fault in zip(paths, record["from"], faults)
    ]


def _changed_sources(record: Mapping[str, Any], paths: Sequence[str]) -> List[List[str]]:
    return [_replaced(path, one["sha256"]) for path, one in zip(paths, record["from"])]


def _is_remade(record: Mapping[str, Any], path: str, layer: Optional[Layer], sources: Sequence[str]) -> bool:
    """Tell whether the classifiers in the sources make the very head that a file holds."""
    if layer is None or [len(blob.shape) for blob in layer.blobs] not in ([2], [2, 1]):
        return False
    starts = {str(number): HeadStart(tuple(one["classes"]), one["layer"]) for number, one in enumerate(record["from"])}
    models = {str(number): [index(source)] for number, source in enumerate(sources)}
    try:
        expected, _ = head_values(starts, models, {}, [blob.shape for blob in layer.blobs])
    except WeightsError:
        return False
    with WireFile(path) as file:
        return [(blob.shape, read_bytes(file, blob)) for blob in layer.blobs] == [tuple(blob) for blob in expected]
