"""One phase of a net whose features are kept, and what they depend on."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple

from .. import proto
from ..data.listing import ImageList
from ..errors import GraphError, WeightsError
from ..files import PathLike
from ..graph.feed import data_layers
from ..graph.freeze import drop_rates
from ..graph.view import NetView
from ..names import branch_alone
from ..schema import TEST, TRAIN, Message
from ..spelling import name_of
from ..weights.index import index
from ..weights.model import Layer
from ..weights.values import read_bytes
from ..weights.wire import WireFile
from .listing import data_key, listings
from .split import Split, split


class Task(NamedTuple):
    """A piece of work for any process: the features of some batches, those of one file."""

    part: str
    number: int
    lists: Dict[str, bytes]
    """The list of its images for each data layer, whole batches."""
    images: int
    """How many of them count: the last batch is filled up with images from the list's beginning."""


@dataclass(frozen=True)
class PhaseFeatures:
    """The features of one phase: where a net is cut, and the images that go through it."""

    name: str
    phase: int
    split: Split
    lists: Dict[str, ImageList]

    @property
    def images(self) -> int:
        """Images in its lists."""
        return len(next(iter(self.lists.values())))

    def task(self, number: int, first: int, count: int) -> Task:
        """Return the work on so many images from the `first` on."""
        whole = math.ceil(count / self.split.batch) * self.split.batch
        return Task(self.name, number, {name: one.part(first, whole) for name, one in self.lists.items()}, count)

    def job(self) -> Dict[str, Any]:
        """Return what a process needs to compute features of it."""
        return {
            "phase": self.phase,
            "data": proto.to_text(self.split.data),
            "features": proto.to_text(self.split.features),
            "blobs": dict(self.split.blobs),
            "batch": self.split.batch,
        }

    def key(self) -> Dict[str, Any]:
        """Return what the features depend on besides the weights."""
        return {"net": _net_key(self.split), "batch": self.split.batch, "data": data_key(self.lists)}


def parts_of(net: Message, phases: Iterable[int] = (TRAIN, TEST)) -> List[PhaseFeatures]:
    """Return the parts of a train_val net, `train` and `test`, those that have data; GraphError where one cannot be."""
    with_data = [phase for phase in phases if data_layers(net, phase)]
    found = [part_of(proto.phase_name(phase).lower(), net, phase) for phase in with_data]
    if not found:
        raise GraphError("the net has no data layer")
    return found


def part_of(name: str, net: Message, phase: int) -> PhaseFeatures:
    """Return one phase of a net as a part; GraphError names the layer for which it cannot be one."""
    divided = split(NetView(proto.only_phase(net, phase), phase))
    return PhaseFeatures(name, phase, divided, listings(divided.data))


def untrained(parts: Sequence[PhaseFeatures], weights: Sequence[PathLike]) -> List[str]:
    """Return the layers above the heads whose weights are in none of the files."""
    stored, wanted = _stored(weights), _with_weights(parts)
    given = {name for layer, names in wanted.items() if layer in stored for name in names}
    return [name for name, names in wanted.items() if name not in stored and not (names and given.issuperset(names))]


def weights_key(parts: Sequence[PhaseFeatures], weights: Sequence[PathLike]) -> str:
    """Return the SHA-256 of the weights of all layers above the heads; of several files the last with a layer counts.

    Raises WeightsError where a layer's weights are in none of them.
    """
    missing = untrained(parts, weights)
    if missing:
        alone = branch_alone(list(_stored(weights)), list(_with_weights(parts)))
        raise WeightsError(
            f"{len(missing)} frozen layers get no trained weights (first {missing[0]!r}): give them with "
            f"{name_of('weights')}{'; ' if alone else ''}{alone}"
        )
    stored = _stored(weights)
    total = hashlib.sha256()
    for name in sorted(set(stored) & set(_with_weights(parts))):
        path, layer = stored[name]
        with WireFile(path) as file:
            for blob in layer.blobs:
                total.update(f"{name} {blob.shape} {blob.item_size}\n".encode())
                total.update(read_bytes(file, blob))
    return total.hexdigest()


def _stored(weights: Sequence[PathLike]) -> Dict[str, Tuple[str, Layer]]:
    """Return each layer's file and place there."""
    stored: Dict[str, Tuple[str, Layer]] = {}
    for path in weights:
        model = index(path)
        stored.update((layer.name, (model.path, layer)) for layer in model.layers)
    return stored


def _with_weights(parts: Sequence[PhaseFeatures]) -> Dict[str, List[str]]:
    """Return the layers above the heads that have parameters, with the names under which they share them."""
    wanted: Dict[str, List[str]] = {}
    for part in parts:
        for layer in part.split.features.layer:
            if part.split.parameters[layer.name] != 0:
                names = [spec.name for spec in layer.param]
                wanted[layer.name] = names if all(names) else []
    return wanted


def _net_key(divided: Split) -> str:
    """Return the SHA-256 of what is computed above the head, whatever their files are called."""
    total = hashlib.sha256()
    for layer in (*divided.data.layer, *divided.features.layer):
        bare = proto.without_fillers(layer)
        for field in ("source", "root_folder"):
            bare.image_data_param.ClearField(field)
        drop_rates(bare)
        total.update(proto.to_text(bare).encode())
    total.update(repr(sorted(divided.blobs.items())).encode())
    return total.hexdigest()


def row_shapes(shapes: Mapping[str, Sequence[int]], part: PhaseFeatures) -> Dict[str, Tuple[int, ...]]:
    """Return one image's part of the features' shapes, by their names in files; `shapes` are those of a batch.

    Raises GraphError where a blob has no entry for each image.
    """
    found: Dict[str, Tuple[int, ...]] = {}
    for blob, name in part.split.blobs.items():
        shape = tuple(shapes[blob])
        if not shape or shape[0] != part.split.batch:
            raise GraphError(
                f"blob {blob!r}: its shape {shape} has no entry for each of the {part.split.batch} images of a batch"
            )
        found[name] = shape[1:]
    return found
