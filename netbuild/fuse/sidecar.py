"""The sidecar of a weight file, `init.caffemodel.json` beside it, and how it is read.

    {"netbuild": VERSION, "bytes": N, "set": {}, "net": "train_val.prototxt", "branches": {
        "odd": {"seams": ["odd/ip1"],
                "files": [{"path": "../odd.caffemodel", "bytes": N, "sha256": "..."}],
                "layers": [{"layer": "odd/conv1", "file": 0, "from": "conv1", "shapes": [[20, 1, 5, 5], [20]],
                            "channels": null}]}},
     "head": {"layer": "ip2", "from": [{"path": "../odd.caffemodel", "bytes": N, "sha256": "...",
                                        "layer": "ip2", "classes": [1, 3, 5, 7, 9]}]}}

Paths are relative to the sidecar's folder, so that a folder with all of it can be moved. `set` has the name and SHA-256
of each file of a split fusion, `head` the classifiers that a head begins as, in the order of their seams. Older ones
have no `set`, `head` and `shapes`. What is read was perhaps written by others: every value has its type, or the file is
refused.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, TypeVar

from ..errors import NetbuildError, WeightsError
from ..files import PathLike, existing_file, plain_name
from ..spelling import spells_flags
from ..weights.model import Shape
from .options import CHANNELS

_MAX_BYTES = 1 << 26
_VERIFY = "netbuild verify TARGET.prototxt INIT.caffemodel --branch ... --weights ..."
_SHA256 = re.compile(r"[0-9a-f]{64}").fullmatch
Value = TypeVar("Value")


def sidecar(path: PathLike) -> str:
    """Return the name of the file that says what the weight file `path` is made of."""
    return f"{os.fspath(path)}.json"


def recorded(path: PathLike) -> Dict[str, Any]:
    """Return what the sidecar of a weight file says; WeightsError where there is none, or another's.

    In an old one `head` is not there, and `shapes` are None.
    """
    file = Path(sidecar(path))
    if not os.path.lexists(file):
        raise WeightsError(
            f"weights {os.fspath(path)!r}: nothing tells where its values come from ({file.name} is not beside it); "
            f"name its sources: {_VERIFY if spells_flags() else 'verify_branches(target, weights, originals)'}"
        )
    with existing_file(file, "sidecar").open("rb") as stream:
        raw = stream.read(_MAX_BYTES)
    try:
        return _read_record(json.loads(raw))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, NetbuildError):
        raise WeightsError(f"sidecar {str(file)!r}: is not one of netbuild's; remove or rename it") from None


def _read_record(raw: Mapping[str, Any]) -> Dict[str, Any]:
    """Return a sidecar's record, each value of its type; anything may be raised where one is not."""
    record = {
        "netbuild": _read_text(raw["netbuild"]),
        "bytes": _read_number(raw["bytes"]),
        "set": {_read_name(name): _read_sha256(sha256) for name, sha256 in raw.get("set", {}).items()},
        "branches": {_read_text(prefix): _read_branch(branch) for prefix, branch in raw["branches"].items()},
    }
    if "head" in raw:
        record["head"] = None if raw["head"] is None else _read_head(raw["head"])
    return record


def _read_branch(raw: Mapping[str, Any]) -> Dict[str, Any]:
    files = _read_list(_read_source, raw["files"])
    return {
        "seams": _read_list(_read_text, raw["seams"]),
        "files": files,
        "layers": _read_list(lambda one: _read_layer(one, len(files)), raw["layers"]),
    }


def _read_layer(raw: Mapping[str, Any], files: int) -> Dict[str, Any]:
    file, channels = _read_number(raw["file"]), raw["channels"]
    if file >= files or channels not in (None, *CHANNELS):
        raise ValueError
    shapes = _read_list(_read_shape, raw["shapes"]) if "shapes" in raw else None
    named = {"layer": _read_text(raw["layer"]), "from": _read_text(raw["from"])}
    return {**named, "file": file, "shapes": shapes, "channels": channels}


def _read_shape(raw: Any) -> Shape:
    return tuple(_read_list(_read_number, raw))


def _read_head(raw: Mapping[str, Any]) -> Dict[str, Any]:
    return {"layer": _read_text(raw["layer"]), "from": _read_list(_read_classifier, raw["from"])}


def _read_classifier(raw: Mapping[str, Any]) -> Dict[str, Any]:
    layer, classes = _read_text(raw["layer"]), _read_list(_read_number, raw["classes"])
    return {**_read_source(raw), "layer": layer, "classes": classes}


def _read_source(raw: Mapping[str, Any]) -> Dict[str, Any]:
    return {"path": _read_path(raw["path"]), "bytes": _read_number(raw["bytes"]), "sha256": _read_sha256(raw["sha256"])}


def _read_list(read: Callable[[Any], Value], raw: Any) -> List[Value]:
    if not isinstance(raw, list):
        raise TypeError
    return [read(one) for one in raw]


def _read_number(raw: Any) -> int:
    if type(raw) is not int or raw < 0:
        raise ValueError
    return raw


def _read_text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise TypeError
    return raw


def _read_path(raw: Any) -> str:
    os.fsencode(_read_text(raw))  # no path has other letters
    if "\0" in raw:
        raise ValueError
    return str(raw)


def _read_name(raw: Any) -> str:
    return plain_name(_read_path(raw), "sidecar")


def _read_sha256(raw: Any) -> str:
    if not _SHA256(raw):
        raise ValueError
    return str(raw)
