"""What a weight file is made of: a sidecar `init.caffemodel.json` beside it, and its check against the sources.

    {"netbuild": VERSION, "bytes": N, "net": "train_val.prototxt", "branches": {
        "odd": {"seams": ["odd/ip1"],
                "files": [{"path": "../odd.caffemodel", "bytes": N, "sha256": "..."}],
                "layers": [{"layer": "odd/conv1", "file": 0, "from": "conv1", "channels": null}]}}}

Paths are relative to the sidecar's folder, so that a folder with all of it can be moved.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from . import __version__, proto
from ._caffe import TEST, Message
from .errors import WeightsError
from .files import PathLike, existing_file
from .graph.cut import seams
from .weights.compare import same_values
from .weights.digest import Digests
from .weights.index import index
from .weights.model import Layer
from .weights.plan import Copy

_MAX_BYTES = 1 << 26


class Checked(NamedTuple):
    """A source of a weight file, looked at again."""

    prefix: str
    path: str
    sha256: str
    blobs: int
    """How many blobs of it the file holds."""
    faults: Tuple[str, ...]
    """What is no longer as recorded."""


def sidecar(path: PathLike) -> str:
    """Return the name of the file that says what the weight file `path` is made of."""
    return f"{os.fspath(path)}.json"


def record(path: str, target: PathLike, net: Message, copies: Sequence[Copy], digests: Digests, size: int) -> str:
    """Return what the sidecar is to say of the weight file `path`, of `size` bytes, and where its values come from."""
    folder = Path(path).resolve().parent
    only_test = proto.only_phase(net, TEST)
    branches: Dict[str, Dict[str, Any]] = {}
    prefixes = list(dict.fromkeys(copy.prefix for copy in copies))
    for prefix in prefixes:
        own = [copy for copy in copies if copy.prefix == prefix]
        paths = list(dict.fromkeys(copy.path for copy in own))
        branches[prefix] = {
            "seams": seams(only_test, prefix, prefixes),
            "files": [_file(path, folder, digests) for path in paths],
            "layers": [
                {"layer": copy.target, "file": paths.index(copy.path), "from": copy.source, "channels": copy.channels}
                for copy in own
            ],
        }
    told = {"netbuild": __version__, "bytes": size, "net": os.path.relpath(target, folder), "branches": branches}
    # Indented, json takes its slow way: a hundredth of a second for a thousand layers.
    return json.dumps(told) + "\n"


def _file(path: str, folder: Path, digests: Digests) -> Dict[str, Any]:
    digest = digests.of(path)
    return {"path": os.path.relpath(Path(path).resolve(), folder), "bytes": digest.size, "sha256": digest.sha256}


def recorded(path: PathLike) -> Mapping[str, Any]:
    """Return what the sidecar of a weight file says; WeightsError where there is none, or another's."""
    file = Path(sidecar(path))
    if not file.exists():
        raise WeightsError(
            f"weights {os.fspath(path)!r}: nothing tells where its values come from ({file.name} is not beside it); "
            "name its sources: netbuild verify TARGET.prototxt INIT.caffemodel --branch ... --weights ..."
        )
    with existing_file(file, "sidecar").open("rb") as stream:
        raw = stream.read(_MAX_BYTES)
    try:
        told = json.loads(raw)
        branches = {prefix: _complete(branch) for prefix, branch in told["branches"].items()}
        return {"branches": branches, "bytes": int(told["bytes"]), "netbuild": str(told["netbuild"])}
    except (ValueError, LookupError, TypeError, AttributeError):
        raise WeightsError(f"sidecar {str(file)!r}: is not one of netbuild's; remove or rename it") from None


def _complete(branch: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what a sidecar says of a branch; raises where it does not say all of it, or means no file of its own."""
    files = [{"path": str(f["path"]), "bytes": int(f["bytes"]), "sha256": str(f["sha256"])} for f in branch["files"]]
    layers = [
        {
            "layer": str(one["layer"]),
            "file": range(len(files))[one["file"]],
            "from": str(one["from"]),
            "channels": one["channels"],
        }
        for one in branch["layers"]
    ]
    return {"seams": [str(seam) for seam in branch["seams"]], "files": files, "layers": layers}


def check_sources(path: PathLike) -> List[Checked]:
    """Compare a weight file with the sources that its sidecar names: their digests, then each blob, bit by bit."""
    told = recorded(path)
    model = index(path)
    folder = Path(sidecar(path)).resolve().parent
    stored = {layer.name: layer for layer in model.layers}
    found: List[Checked] = []
    for prefix, branch in told["branches"].items():
        for number, file in enumerate(branch["files"]):
            layers = [one for one in branch["layers"] if one["file"] == number]
            found.append(_checked(prefix, model.path, stored, _located(folder, file["path"]), file, layers))
    return found


def _located(folder: Path, path: str) -> str:
    """Return the source where it was, or beside the weight file, where people move files together."""
    beside = folder / Path(path).name
    there = folder / path
    return os.path.relpath(beside if not there.exists() and beside.exists() else there)


def _checked(
    prefix: str, path: str, stored: Mapping[str, Layer], source: str, file: Mapping[str, Any], layers: List[Any]
) -> Checked:
    if not Path(source).exists():
        return Checked(prefix, source, file["sha256"], 0, ("is not there any more",))
    faults: List[str] = []
    with Digests([source]) as digests:
        sources = index(source).by_name()
        blobs = 0
        for one in layers:
            ours = stored[one["layer"]].blobs if one["layer"] in stored else ()
            theirs = sources[one["from"]][0].blobs if one["from"] in sources else ()
            blobs += len(ours)
            if len(ours) != len(theirs) or not ours:
                faults.append(f"{one['layer']} is not in both files")
            elif not same_values(path, ours, source, theirs, one["channels"]):
                faults.append(f"{one['layer']} differs from its {one['from']}")
        if digests.of(source).sha256 != file["sha256"]:
            faults.insert(0, "is not the file it was (its SHA-256 is another)")
    return Checked(prefix, source, file["sha256"], blobs, tuple(faults))
