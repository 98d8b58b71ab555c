"""Divide a net at the last blobs that are the same in every pass over the data: features above, a head below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Collection, Dict, Iterable, List, Mapping, Optional, Set

from ..errors import GraphError
from ..graph.rename import renamed
from ..graph.view import NetView
from ..layers.roles import has_learned_top, is_measure, reads_list
from ..layers.training import Effect, crops_at_random, has_own_code
from ..proto import with_layers
from ..schema import Message
from ..spelling import option, spells_flags


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
    parameters: Mapping[str, Optional[int]]
    """How many parameter blobs each layer of `features` has, by its name; None where that is not known."""


def split(view: NetView) -> Split:
    """Divide a net without rules; GraphError, with the layer that is the reason, where no pass repeats the last one."""
    data = [index for index, layer in view.layers if not layer.bottom and not has_learned_top(layer)]
    batch = _batch(view, data)
    above = _above_head(view)
    head = [layer for index, layer in view.layers if index not in above]
    makers = _crossing(view, above, head)
    features = sorted(view.flow.behind(makers.values()).difference(data))
    parameters = {view.by_index[index].name: view.training[index].parameters for index in features}
    if not any(parameters.values()):
        raise GraphError("no frozen layer with weights stands above the first that learns")
    _require_no_images(head, [view.by_index[index].top[0] for index in data], makers)
    names = _plain(makers, view.flow.writer)
    return Split(
        data=_net(view, data),
        features=_net(view, features),
        head=_reading(with_layers(view.net, head), names),
        blobs=names,
        batch=batch,
        parameters=parameters,
    )


def _net(view: NetView, layers: Iterable[int]) -> Message:
    """Return a net of these layers alone."""
    return with_layers(view.net, [view.by_index[index] for index in layers])


def _batch(view: NetView, data: List[int]) -> int:
    """Return the images in a batch; GraphError where the data layers differ, or read something else in another pass."""
    for index in data:
        layer = view.by_index[index]
        reason = _unsteady(layer, view.phase)
        if reason:
            raise GraphError(f"layer {layer.name!r} ({layer.type}) {reason}")
    if not data:
        raise GraphError("the net has no data layer")
    sizes = {view.by_index[index].image_data_param.batch_size for index in data}
    if len(sizes) > 1:
        raise GraphError(f"its data layers have batches of {' and '.join(map(str, sorted(sizes)))}")
    return int(sizes.pop())


def _unsteady(layer: Message, phase: int) -> Optional[str]:
    """Return why a data layer may give other data in the next pass, None where it does not."""
    options = layer.image_data_param
    # Only a list gives the same images, in the same order, wherever and whenever it is read.
    if not reads_list(layer):
        return "is not read by parts; ImageData layers are"
    if options.shuffle:
        return f"shuffles its list; without that, {option('shuffle', True)} shuffles the features"
    if options.rand_skip:
        return "begins at random (rand_skip)"
    if layer.transform_param.mirror:
        return f"mirrors at random; emit {option('mirror', False)} writes one that does not"
    if crops_at_random(layer, phase):
        steady = "--crop none --resize H,W" if spells_flags() else "crop=0, resize=(H, W)"
        return f"crops at random; emit {steady} writes one that does not"
    return None


def _above_head(view: NetView) -> Set[int]:
    """Return the layers that compute the same in every pass; raise GraphError for chance above a frozen layer.

    A layer that judges is none of them wherever it stands: what it puts out is reported.
    """
    causes: Dict[int, Optional[int]] = {}
    """Of each layer that no step changes, nor anything above it: which layer makes it another in each pass, if any."""
    for index, layer in view.layers:
        sources, effect = view.flow.sources[index], view.training[index]
        if not causes.keys() >= set(sources):
            continue
        above = _first([causes[source] for source in sources])
        if above is None and _chance(layer, effect):
            causes[index] = index
        elif _is_fixed(effect):
            _require_steady(view, index, above)
            causes[index] = above
    repeated = [index for index, cause in causes.items() if cause is None]
    return {index for index in repeated if not is_measure(view.by_index[index])}


def _first(causes: Iterable[Optional[int]]) -> Optional[int]:
    return next((cause for cause in causes if cause is not None), None)


def _is_fixed(effect: Effect) -> bool:
    """Tell whether a layer is of a known type, and its parameters stay."""
    return effect.learns is False and effect.draws is not None


def _chance(layer: Message, effect: Effect) -> Optional[str]:
    """Return what makes the layer compute something else in another pass, None where nothing is known to."""
    if effect.draws:
        return "acts at random"
    if effect.on_stored_statistics is False:
        return "works on each batch's own statistics"
    if effect.remembers:
        return "goes on from the batch before"
    return "may give something else each time" if has_own_code(layer) else None


def _require_steady(view: NetView, index: int, cause: Optional[int]) -> None:
    """Raise GraphError where a frozen layer has weights, and another layer makes its input another in each pass."""
    if cause is not None and view.training[index].parameters:
        layer, above = view.by_index[index], view.by_index[cause]
        reason = _chance(above, view.training[cause])
        raise GraphError(f"layer {above.name!r} ({above.type}) {reason}, above the frozen {layer.name!r}")


def _require_no_images(head: List[Message], images: List[str], blobs: Collection[str]) -> None:
    for image in images:
        readers = [layer.name for layer in head if image in layer.bottom]
        if image in blobs and readers:
            raise GraphError(f"layer {readers[0]!r} learns from the images themselves")


def _crossing(view: NetView, above: Collection[int], head: List[Message]) -> Dict[str, int]:
    """Return the blobs from above that the head's layers read, in the order in which they do, and who makes each."""
    made = {top: index for index in sorted(above) for top in view.by_index[index].top}
    found: Dict[str, int] = {}
    own: Set[str] = set()
    for layer in head:
        found.update((blob, made[blob]) for blob in layer.bottom if blob in made and blob not in own)
        own.update(layer.top)
    return found


def _plain(blobs: Iterable[str], taken: Collection[str]) -> Dict[str, str]:
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
    return with_layers(head, [source, *head.layer])
