"""What a weight file is made of: told in its sidecar as it is written, and compared with the sources later.

The files of a split fusion are of one run: the sidecar of each has the digests of all.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .. import __version__, proto
from ..engine.caffe import TEST, Message
from ..errors import NetbuildError, WeightsError, some
from ..files import PathLike, is_there
from ..graph.cut import outlets
from ..weights.compare import same_values
from ..weights.digest import Digests
from ..weights.index import index
from ..weights.model import Layer, Model
from ..weights.values import read_bytes
from ..weights.wire import WireFile
from .head import Classifier, head_values
from .plan import Copy, HeadStart
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


@dataclass(frozen=True)
class Origin:
    """What all files of a fusion have in common: the net they are for, their sources, and what else was written."""

    target: Optional[PathLike]
    """The file of the net, None for one that was in memory only."""
    net: Message
    sources: Digests
    sizes: Mapping[str, int]
    """Of each file, in bytes."""
    of_set: Mapping[str, str]
    """The names of the files of a split fusion with their SHA-256. A file alone has none: that would take half as long
    again as to write it, and each of its blobs is compared with its source anyway."""
    head: Optional[str] = None
    """The layer that is made of its branches' classifiers, and what of."""
    classifiers: Tuple[Classifier, ...] = ()

    def record(self, path: str, copies: Sequence[Copy], *, with_head: bool) -> str:
        """Return the sidecar of one of the files, which holds these copies, and perhaps the head."""
        folder = Path(path).resolve().parent
        head = {"layer": self.head, "from": [self._classifier(one, folder) for one in self.classifiers]}
        told = {
            "netbuild": __version__,
            "bytes": self.sizes[path],
            "set": dict(self.of_set),
            "net": None if self.target is None else os.path.relpath(self.target, folder),
            "branches": self._branches(copies, folder),
            "head": head if with_head else None,
        }
        # Indented, json takes its slow way: a hundredth of a second for a thousand layers.
        return json.dumps(told) + "\n"

    def _branches(self, copies: Sequence[Copy], folder: Path) -> Dict[str, Any]:
        only_test = proto.only_phase(self.net, TEST)
        branches: Dict[str, Dict[str, Any]] = {}
        prefixes = list(dict.fromkeys(copy.prefix for copy in copies))
        for prefix in prefixes:
            own = [copy for copy in copies if copy.prefix == prefix]
            paths = list(dict.fromkeys(copy.path for copy in own))
            branches[prefix] = {
                "seams": outlets(only_test, prefix, prefixes),
                "files": [self._source(path, folder) for path in paths],
                "layers": [
                    {
                        "layer": copy.target,
                        "file": paths.index(copy.path),
                        "from": copy.source,
                        "shapes": copy.shapes,
                        "channels": copy.channels,
                    }
                    for copy in own
                ],
            }
        return branches

    def _classifier(self, one: Classifier, folder: Path) -> Dict[str, Any]:
        return {**self._source(one.path, folder), "layer": one.layer, "classes": list(one.classes)}

    def _source(self, path: str, folder: Path) -> Dict[str, Any]:
        digest = self.sources.of(path)
        return {"path": os.path.relpath(Path(path).resolve(), folder), "bytes": digest.size, "sha256": digest.sha256}


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
    told = recorded(path)
    model = index(path)
    folder = Path(sidecar(path)).resolve().parent
    found: List[Checked] = []
    for prefix, branch in told["branches"].items():
        for number, file in enumerate(branch["files"]):
            layers = [one for one in branch["layers"] if one["file"] == number]
            found.append(_copied(prefix, model, _located(folder, file["path"]), file["sha256"], layers))
    if told.get("head"):
        found += _head(told["head"], model, folder)
    faults = (*unexplained(told, model), *_changed(told, model.path))
    if faults:
        found.append(Checked(Path(path).name, Path(sidecar(path)).name, "", 0, faults))
    return found


def unexplained(told: Mapping[str, Any], model: Model) -> Iterator[str]:
    """Yield what shows, without a look at values, that a sidecar does not tell all of a weight file."""
    size = Path(model.path).stat().st_size
    if size != told["bytes"]:
        yield f"it tells of a file of {told['bytes']:,} bytes, and this one has {size:,}"
    known = {one["layer"] for branch in told["branches"].values() for one in branch["layers"]}
    known.update([told["head"]["layer"]] if told.get("head") else [])
    held = [layer.name for layer in model.layers]
    unknown = [name for name in held if name not in known]
    if unknown:
        old = "" if "head" in told else " (it is of an older netbuild, which did not tell of a head: fuse again)"
        yield f"it does not tell the origin of {some(unknown)}{old}"
    doubled = [name for name in dict.fromkeys(held) if held.count(name) > 1]
    if doubled:
        yield f"the file has more than one layer {some(doubled)}"


def require_one_set(paths: Sequence[PathLike]) -> None:
    """Raise WeightsError where files of a split fusion that are used together are of two runs.

    So it is where a fusion was killed as its files took their names, or when one of them was replaced later.
    """
    given = {os.path.realpath(path): os.fspath(path) for path in paths}
    sets = {path: {os.fspath(Path(path).with_name(name)): told for name, told in _set(path).items()} for path in given}
    together = {path: told for path, told in sets.items() if len(set(told) & set(given)) > 1}
    with Digests([member for told in together.values() for member in told if member in given]) as digests:
        for path, told in together.items():
            for member in told:
                if member in given and digests.of(member).sha256 != told[member]:
                    raise WeightsError(
                        f"weights {given[member]!r}: not of the run of fuse --split that {sidecar(given[path])!r} "
                        "tells of; fuse again, or remove that sidecar where the files are meant to be mixed"
                    )


def _set(path: str) -> Mapping[str, str]:
    """Return the files that a weight file was written with; none where no sidecar of netbuild's says so."""
    try:
        return dict(recorded(path)["set"])
    except NetbuildError:
        return {}


def _changed(told: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield which files of the run are not as they were written."""
    beside = {name: os.fspath(Path(path).with_name(name)) for name in told["set"]}
    there = {name: other for name, other in beside.items() if is_there(other, "weights")}
    with Digests(list(there.values())) as digests:
        for name, other in there.items():
            if digests.of(other).sha256 != told["set"][name]:
                yield f"{name} is not of the run of fuse --split that it tells of: fuse again"


def _located(folder: Path, path: str) -> str:
    """Return the source where it was, or beside the weight file, where people move files together."""
    beside, there = folder / Path(path).name, folder / path
    return os.path.relpath(beside if not is_there(there, "source") and is_there(beside, "source") else there)


def _copied(prefix: str, model: Model, source: str, sha256: str, layers: Sequence[Mapping[str, Any]]) -> Checked:
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


def _replaced(source: str, sha256: str) -> Iterator[str]:
    with Digests([source]) as digests:
        if digests.of(source).sha256 != sha256:
            yield "is not the file it was (its SHA-256 is another)"


def _head(told: Mapping[str, Any], model: Model, folder: Path) -> List[Checked]:
    """Make a head again of the classifiers that it began as, and compare it."""
    stored = model.by_name().get(told["layer"])
    blobs = len(stored[-1].blobs) if stored else 0
    located = {number: _located(folder, one["path"]) for number, one in enumerate(told["from"])}
    faults = [[missing] if (missing := _missing(model, path)) else [] for path in located.values()]
    if not any(faults):
        faults = [list(_replaced(located[number], one["sha256"])) for number, one in enumerate(told["from"])]
        fault = _head_fault(told, model.path, stored[-1] if stored else None, located)
        faults[:1] = [[*one, *fault] for one in faults[:1]]
    return [
        Checked(told["layer"], located[number], one["sha256"], blobs, tuple(faults[number]))
        for number, one in enumerate(told["from"])
    ]


def _head_fault(told: Mapping[str, Any], path: str, layer: Optional[Layer], located: Mapping[int, str]) -> List[str]:
    different = [f"{told['layer']} differs from what its branches' classifiers make"]
    if layer is None or [len(blob.shape) for blob in layer.blobs] not in ([2], [2, 1]):
        return different
    starts = {str(number): HeadStart(tuple(one["classes"]), one["layer"]) for number, one in enumerate(told["from"])}
    models = {str(number): [index(source)] for number, source in located.items()}
    try:
        made, _ = head_values(starts, models, {}, [blob.shape for blob in layer.blobs])
    except WeightsError:
        return different
    with WireFile(path) as file:
        found = [(blob.shape, read_bytes(file, blob)) for blob in layer.blobs]
    return [] if found == [(blob.shape, blob.values) for blob in made] else different
