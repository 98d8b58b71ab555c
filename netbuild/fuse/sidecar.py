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
from ..weights.model import Shape
from .plan import CHANNELS

_MAX_BYTES = 1 << 26
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
            "name its sources: netbuild verify TARGET.prototxt INIT.caffemodel --branch ... --weights ..."
        )
    with existing_file(file, "sidecar").open("rb") as stream:
        raw = stream.read(_MAX_BYTES)
    try:
        told = json.loads(raw)
        found = {
            "netbuild": _text(told["netbuild"]),
            "bytes": _number(told["bytes"]),
            "set": {_name(name): _digest(digest) for name, digest in told.get("set", {}).items()},
            "branches": {_text(prefix): _branch(branch) for prefix, branch in told["branches"].items()},
        }
        if "head" in told:
            found["head"] = None if told["head"] is None else _head(told["head"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, NetbuildError):
        raise WeightsError(f"sidecar {str(file)!r}: is not one of netbuild's; remove or rename it") from None
    return found


def _branch(told: Mapping[str, Any]) -> Dict[str, Any]:
    files = _each(_source, told["files"])
    return {
        "seams": _each(_text, told["seams"]),
        "files": files,
        "layers": _each(lambda one: _layer(one, len(files)), told["layers"]),
    }


def _layer(told: Mapping[str, Any], files: int) -> Dict[str, Any]:
    file, channels = _number(told["file"]), told["channels"]
    if file >= files or channels not in (None, *CHANNELS):
        raise ValueError
    shapes = _each(_shape, told["shapes"]) if "shapes" in told else None
    named = {"layer": _text(told["layer"]), "from": _text(told["from"])}
    return {**named, "file": file, "shapes": shapes, "channels": channels}


def _shape(told: Any) -> Shape:
    return tuple(_each(_number, told))


def _head(told: Mapping[str, Any]) -> Dict[str, Any]:
    return {"layer": _text(told["layer"]), "from": _each(_classifier, told["from"])}


def _classifier(told: Mapping[str, Any]) -> Dict[str, Any]:
    return {**_source(told), "layer": _text(told["layer"]), "classes": _each(_number, told["classes"])}


def _source(told: Mapping[str, Any]) -> Dict[str, Any]:
    return {"path": _path(told["path"]), "bytes": _number(told["bytes"]), "sha256": _digest(told["sha256"])}


def _each(read: Callable[[Any], Value], told: Any) -> List[Value]:
    if not isinstance(told, list):
        raise TypeError
    return [read(one) for one in told]


def _number(told: Any) -> int:
    if type(told) is not int or told < 0:
        raise ValueError
    return told


def _text(told: Any) -> str:
    if not isinstance(told, str):
        raise TypeError
    return told


def _path(told: Any) -> str:
    os.fsencode(_text(told))  # no path has other letters
    if "\0" in told:
        raise ValueError
    return str(told)


def _name(told: Any) -> str:
    return plain_name(_path(told), "sidecar")


def _digest(told: Any) -> str:
    if not _SHA256(told):
        raise ValueError
    return str(told)
