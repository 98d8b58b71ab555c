"""Divide a net at the last blobs that are the same in every pass over the data: features above, a head below.

All functions take a net of one phase (`proto.only_phase`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, Optional, Set

from ..engine.caffe import TEST, TRAIN, Message
from ..errors import GraphError
from ..graph.flow import Flow
from ..graph.rename import renamed
from ..layers import Inferred, survey
from ..layers.roles import is_measure
from ..layers.training import draws

_SOURCE = "ImageData"
"""The data layer whose images are the same, and in the same order, wherever and whenever they are read."""


@dataclass(frozen=True)
class Split:
    """A net in two: what a pass over the data repeats, and what learns from it."""

    data: Message
    """Its data layers."""
    features: Message
    """The layers from there to the features, with the names that they have in the net; their inputs are open."""
    head: Message
    """The layers that read the features; their inputs are open, and called as `blobs` says."""
    blobs: Mapping[str, str]
    """Each blob that the head reads from above, labels too, and what it is called in files and in the head."""
    batch: int
    """Images in a batch."""


def split(net: Message, phase: int) -> Split:
    """Divide a net; raise GraphError, with the layer that is the reason, where no pass repeats the last one."""
    shapes = survey(net, phase)[0]
    flow = Flow(list(enumerate(net.layer)))
    data = {index for index, layer in enumerate(net.layer) if not layer.bottom and layer.type != "Parameter"}
    batch = _batch([net.layer[index] for index in sorted(data)], phase)
    above = _repeated(net, phase, flow, shapes)
    # Wherever they stand they belong to the head: what they put out is reported.
    judging = {index for index in above if is_measure(net.layer[index])}
    head = [layer for index, layer in enumerate(net.layer) if index not in above or index in judging]
    made = {top: index for index in sorted(above - judging) for top in net.layer[index].top}
    blobs = _crossing(head, made)
    needed = flow.behind(made[blob] for blob in blobs)
    if not any(shapes.params[index] for index in needed):
        raise GraphError("no frozen layer with weights stands above the first that learns")
    _require_no_images(head, [net.layer[index].top[0] for index in data], blobs)
    names = _plain(blobs, {top for layer in net.layer for top in layer.top})

    def part(chosen: Iterable[Message]) -> Message:
        return type(net)(name=net.name, layer=chosen)

    return Split(
        part(net.layer[index] for index in sorted(data)),
        part(net.layer[index] for index in sorted(needed - data)),
        _reading(part(head), names),
        names,
        batch,
    )


def learns(layer: Message, count: Optional[int]) -> bool:
    """Tell whether a layer of so many parameter blobs (None: not known) changes in training (BatchNorm's never do)."""
    if layer.type == "BatchNorm":
        return False
    specs = list(layer.param)
    return count is None or len(specs) < count or any(spec.lr_mult for spec in specs[:count])


def _batch(data: List[Message], phase: int) -> int:
    for layer in data:
        reason = _unsteady(layer, phase)
        if reason:
            raise GraphError(f"layer {layer.name!r} ({layer.type}) {reason}")
    if not data:
        raise GraphError("the net has no data layer")
    sizes = {layer.image_data_param.batch_size for layer in data}
    if len(sizes) > 1:
        raise GraphError(f"its data layers have batches of {' and '.join(map(str, sorted(sizes)))}")
    return int(sizes.pop())


def _unsteady(layer: Message, phase: int) -> Optional[str]:
    """Return why a data layer may give other data in the next pass, None where it does not."""
    options = layer.image_data_param
    if layer.type != _SOURCE:
        return f"is not read by parts; {_SOURCE} layers are"
    if options.shuffle:
        return "shuffles its list; without that, --shuffle shuffles the features"
    if options.rand_skip:
        return "begins at random (rand_skip)"
    if layer.transform_param.mirror:
        return "mirrors at random; emit --no-mirror writes one that does not"
    if layer.transform_param.crop_size and phase == TRAIN:
        return "crops at random; emit --crop none --resize H,W writes one that does not"
    return None


def _repeated(net: Message, phase: int, flow: Flow, shapes: Inferred) -> Set[int]:
    """Return the layers that compute the same in every pass; raise GraphError for chance above a frozen layer."""
    found: Set[int] = set()
    random: Dict[int, int] = {}
    for index, layer in enumerate(net.layer):
        blobs = shapes.params.get(index)
        moves = learns(layer, None if blobs is None else len(blobs))
        causes = [random[source] for source in flow.sources[index] if source in random]
        if all(source in found for source in flow.sources[index]):
            if _by_chance(layer, phase):
                random[index] = index
            elif not moves:
                found.add(index)
        elif all(source in found or source in random for source in flow.sources[index]) and not moves:
            if blobs:
                cause = net.layer[causes[0]]
                raise GraphError(
                    f"layer {cause.name!r} ({cause.type}) {_by_chance(cause, phase)}, above the frozen {layer.name!r}"
                )
            random[index] = causes[0]
    return found


def _by_chance(layer: Message, phase: int) -> Optional[str]:
    """Return what makes the layer compute something else each time, None where nothing does."""
    acts = phase == TRAIN and not (layer.HasField("phase") and layer.phase == TEST)
    if layer.bottom and draws(layer, phase):
        return "acts at random"
    norm = layer.batch_norm_param
    if layer.type == "BatchNorm" and not (norm.use_global_stats if norm.HasField("use_global_stats") else not acts):
        return "works on each batch's own statistics"
    if layer.type in ("DummyData", "Python"):
        return "may give something else each time"
    return None


def _require_no_images(head: List[Message], images: List[str], blobs: List[str]) -> None:
    for image in images:
        readers = [layer.name for layer in head if image in layer.bottom]
        if image in blobs and readers:
            raise GraphError(f"layer {readers[0]!r} learns from the images themselves")


def _crossing(head: List[Message], made: Mapping[str, int]) -> List[str]:
    """Return the blobs from above that the head's layers read, in the order in which they do."""
    blobs: Dict[str, None] = {}
    own: Set[str] = set()
    for layer in head:
        blobs.update((blob, None) for blob in layer.bottom if blob in made and blob not in own)
        own.update(layer.top)
    return list(blobs)


def _plain(blobs: List[str], taken: Set[str]) -> Dict[str, str]:
    """Return names without '/', for which Caffe's HDF5Data looks in vain in a file, and which no other blob has."""
    names: Dict[str, str] = {}
    for blob in blobs:
        name = blob.replace("/", "_")
        while name != blob and (name in taken or name in names.values()):
            name += "_"
        names[blob] = name
    return names


def _reading(head: Message, names: Mapping[str, str]) -> Message:
    """Return the head with the blobs that it reads from above called by these names."""
    return renamed(head, lambda name: name, {blob: name for blob, name in names.items() if blob != name})


def reading_files(head: Message, blobs: Iterable[str], listed: str, batch: int) -> Message:
    """Return a head that reads these blobs, by its first layer, from the HDF5 files that the file `listed` names."""
    name = "features"
    while any(layer.name == name for layer in head.layer):
        name += "_"
    source = type(head)().layer.add(name=name, type="HDF5Data", top=list(blobs))
    source.hdf5_data_param.source, source.hdf5_data_param.batch_size = listed, batch
    return type(head)(name=head.name, layer=[source, *head.layer])
