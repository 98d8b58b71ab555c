"""The origin of a weight file's values, written to its sidecar."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence

from .. import __version__, proto
from ..files import PathLike
from ..graph.cut import outlets
from ..schema import TEST
from ..weights.digest import Digests
from .decision import Copy
from .head import Classifier
from .planned import Planned


@dataclass(frozen=True)
class Origin:
    """What all files of a fusion have in common: what was planned, for which net, from which sources."""

    target: Optional[PathLike]
    """The file of the net, None for one that was in memory only."""
    planned: Planned
    sources: Digests
    sizes: Mapping[str, int]
    """Of each file, in bytes."""
    of_set: Mapping[str, str]
    """The names of the files of a split fusion with their SHA-256. A file alone has none: that would take half as long
    again as to write it, and each of its blobs is compared with its source anyway."""

    def record(self, path: str, layers: Collection[str]) -> str:
        """Return the text of the sidecar of one of the files, which holds these layers."""
        folder = Path(path).resolve().parent
        record = {
            "netbuild": __version__,
            "bytes": self.sizes[path],
            "set": dict(self.of_set),
            "net": None if self.target is None else os.path.relpath(self.target, folder),
            "branches": self._branches([copy for copy in self.planned.plan.copies if copy.target in layers], folder),
            "head": self._head(folder) if self.planned.head in layers else None,
        }
        # Indented, json takes its slow way: a hundredth of a second for a thousand layers.
        return json.dumps(record) + "\n"

    def _branches(self, copies: Sequence[Copy], folder: Path) -> Dict[str, Any]:
        only_test = proto.only_phase(self.planned.net, TEST)
        # A file of a split fusion holds one branch; whose a layer is, all prefixes decide.
        prefixes = list(dict.fromkeys(copy.prefix for copy in self.planned.plan.copies))
        branches: Dict[str, Any] = {}
        for prefix in dict.fromkeys(copy.prefix for copy in copies):
            own = [copy for copy in copies if copy.prefix == prefix]
            paths = list(dict.fromkeys(copy.path for copy in own))
            branches[prefix] = {
                "seams": outlets(only_test, prefix, prefixes),
                "files": [self._source(path, folder) for path in paths],
                "layers": [_layer_record(copy, paths) for copy in own],
            }
        return branches

    def _head(self, folder: Path) -> Dict[str, Any]:
        classifiers: List[Dict[str, Any]] = [self._classifier(one, folder) for one in self.planned.classifiers]
        return {"layer": self.planned.head, "from": classifiers}

    def _classifier(self, one: Classifier, folder: Path) -> Dict[str, Any]:
        return {**self._source(one.path, folder), "layer": one.layer, "classes": list(one.classes)}

    def _source(self, path: str, folder: Path) -> Dict[str, Any]:
        digest = self.sources.of(path)
        return {"path": os.path.relpath(Path(path).resolve(), folder), "bytes": digest.size, "sha256": digest.sha256}


def _layer_record(copy: Copy, paths: Sequence[str]) -> Dict[str, Any]:
    return {
        "layer": copy.target,
        "file": paths.index(copy.path),
        "from": copy.source,
        "shapes": copy.shapes,
        "channels": copy.channels,
    }
