"""Take a branch out of a fused net again: its graph and its weights, under the names it has alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Set, Tuple

from .. import names, proto
from ..errors import GraphError, did_you_mean, some
from ..files import PathLike, output_folder, plain_name, replacing_together, require_output
from ..graph.check import require_sound
from ..graph.feed import with_inputs
from ..graph.freeze import count_as_no_loss, drop_rates
from ..graph.rename import renamed
from ..graph.view import NetView
from ..layers.lengths import in_full
from ..layers.roles import is_input
from ..proto.forms import path_of
from ..schema import TEST, Message
from ..weights.caffemodel import net_fields
from ..weights.index import index as index_weights
from ..weights.model import Model, Shape
from ..weights.write import require_writable, write_into
from .declared import declare
from .entries import entries
from .inputs import Weighted, shapes_to_feed
from .options import CopyOptions
from .plan import make_plan

_ADVICE = {"": "Check that the file holds the weights of this net."}


@dataclass(frozen=True)
class Extracted:
    """What was written, and of how much."""

    net: str
    weights: str
    inputs: Mapping[str, Tuple[int, ...]]
    """The branch's inputs with their shapes (N, C, H, W)."""
    layers: int
    blobs: int


def extract_branch(
    prefix: str,
    target: proto.Net,
    weights: PathLike,
    folder: PathLike,
    *,
    shapes: Mapping[str, Sequence[int]] = {},
) -> Extracted:
    """Take a branch out of a fused net again, graph and weights, under the names that it has alone.

    What the branch reads from outside it becomes an Input, of the shape that the net declares, that its HDF5 files have
    or that fits the weights. Learning rates and fillers are left out. Parameters that a branch shares with another one
    come from there.

    Args:
        prefix: The branch's prefix.
        target: The fused net: a path, a NetParameter or a NetSpec.
        weights: Its weight file, .caffemodel or HDF5.
        folder: Where to write `PREFIX.prototxt`, a deploy net, and `PREFIX.caffemodel`; made if need be.
        shapes: Shapes of the fused net's inputs, (N, C, H, W), by name, where nothing else tells them.

    Returns:
        What was written: the paths `net` and `weights`, `inputs` with their shapes (N, C, H, W), numbers of layers and
        blobs.

    Raises:
        GraphError: No layer bears the prefix, or the layers of several branches do; nothing is written.
        WeightsError: Weights are missing or do not fit; nothing is written.

    Examples:
        >>> from netbuild import extract_branch
        >>> found = extract_branch("odd", "fused/train_val.prototxt", "fused/init.caffemodel", "alone")
        >>> found.net, found.inputs, found.blobs
        ('alone/odd.prototxt', {'data': (20, 1, 28, 28)}, 6)
    """
    stem = prefix.replace("/", "_").rstrip("_.-") or "net"
    plain_name(stem, "prefix")
    whole, name = proto.net_of(target), proto.name_of_net(target)
    require_sound(whole, name)
    model = index_weights(weights)
    fused = _tested(Weighted(name, whole, model), shapes)
    own = _own_layers(prefix, fused)
    _require_one_branch(prefix, own, fused)
    net, inputs = _alone(prefix, own, fused, name)
    require_sound(net, f"the branch {prefix!r}")
    declared = declare(net)
    stored_names = _stored_names(prefix, fused.net, model)
    maps = {layer.name: stored_names[layer.name] for layer in declared if layer.has_parameters}
    plan = make_plan(declared, {"": [model]}, CopyOptions(maps=maps), advice=_ADVICE)
    output_folder(folder)
    net_path, weights_path = Path(folder) / f"{stem}.prototxt", Path(folder) / f"{stem}.caffemodel"
    sources = [path for path in (path_of(target), weights) if path is not None]
    for path in (net_path, weights_path):
        require_output(path, sources)
    written, fields = entries(plan, declared), net_fields(net.name)
    require_writable(written, weights_path, net=fields)
    with replacing_together([weights_path, net_path]) as (model_file, net_file):
        write_into(model_file, written, weights_path, net=fields)
        net_file.write(proto.file_text(net).encode())
    return Extracted(os.fspath(net_path), os.fspath(weights_path), inputs, len(plan.copies), plan.blob_count())


def _tested(whole: Weighted, shapes: Mapping[str, Sequence[int]]) -> NetView:
    """Return the view of the layers that the net has in TEST phase, its inputs of the shapes that fit the weights."""
    net = proto.only_phase(whole.net, TEST)
    return NetView(net, TEST, inputs=shapes_to_feed(whole._replace(net=net), chosen=shapes))


def _own_layers(prefix: str, fused: NetView) -> List[int]:
    """Return the indices of the layers that bear the prefix; GraphError where none does."""
    own = [
        index for index, layer in fused.layers if names.local(prefix, layer.name) is not None and not is_input(layer)
    ]
    if not own:
        known = sorted({layer.name.rpartition("/")[0] for _, layer in fused.layers if "/" in layer.name})
        hint = did_you_mean(prefix, known, f"prefixes there are: {some(known) or 'none'}")
        raise GraphError(f"the net has no layer whose name begins with {names.stem(prefix)!r}; {hint}")
    return own


def _require_one_branch(prefix: str, own: Sequence[int], fused: NetView) -> None:
    """Raise GraphError where the layers are of several branches: odd_ and odd_b_ both begin with odd_."""
    params = fused.fitting_shapes().params
    branches = [group for group in _connected(own, fused) if any(params[index] != [] for index in group)]
    if len(branches) > 1:
        listed = ", ".join(repr(fused.by_index[min(group)].name) for group in branches)
        raise GraphError(
            f"{len(branches)} branches that have nothing in common bear {names.stem(prefix)!r} (they begin with "
            f"the layers {listed}); give the prefix that one of them alone bears"
        )


def _connected(layers: Sequence[int], fused: NetView) -> List[Set[int]]:
    """Return the layers in groups; within a group each reads of another, or is read."""
    groups: List[Set[int]] = []
    for index in layers:
        joined = [group for group in groups if group.intersection(fused.flow.sources[index])]
        groups = [*(group for group in groups if group not in joined), {index}.union(*joined)]
    return groups


def _alone(prefix: str, own: Sequence[int], fused: NetView, target: str) -> Tuple[Message, Dict[str, Shape]]:
    """Return the branch's layers under their own names with an Input for each blob from outside, and these' shapes."""
    layers = [fused.by_index[index] for index in own]
    outside = _outside(prefix, layers)
    name = names.stem(prefix).rstrip("/") or fused.net.name
    net = type(fused.net)(name=name, layer=[_bare(layer) for layer in layers])
    net = renamed(net, lambda name: names.local(prefix, name) or name, outside)
    blobs = fused.fitting_shapes().blobs
    inputs: Dict[str, Shape] = {}
    for blob, input_name in outside.items():
        shape = in_full(blobs.get(blob))
        if shape is None:
            raise GraphError(f"branch {prefix!r}: the shape of what it reads, {blob!r}, is not known from {target}")
        inputs[input_name] = shape
    return with_inputs(net, inputs), inputs


def _outside(prefix: str, layers: Sequence[Message]) -> Dict[str, str]:
    """Return the blobs that the branch reads and does not make, with the names that they get."""
    taken = {names.local(prefix, top) or top for layer in layers for top in layer.top}
    own: Set[str] = set()
    outside: Dict[str, str] = {}
    for layer in layers:
        for blob in layer.bottom:
            if blob not in own and blob not in outside:
                name = blob.rpartition("/")[2]
                outside[blob] = f"{name}_input" if name in taken else name
                taken.add(outside[blob])
        own.update(layer.top)
    return outside


def _bare(layer: Message) -> Message:
    """Return the layer as a deploy net has it: without what only training reads, or freezing added."""
    bare = proto.without_fillers(layer)
    for field in ("phase", "propagate_down"):
        bare.ClearField(field)
    count_as_no_loss(bare)
    drop_rates(bare)
    return bare


def _stored_names(prefix: str, fused: Message, model: Model) -> Dict[str, str]:
    """Return where the weights of each of the branch's layers stand in the fused file.

    A layer that shares all its parameters with another one may have none of its own there.
    """
    stored = model.by_name()
    owners = {tuple(spec.name for spec in layer.param): layer.name for layer in fused.layer if layer.name in stored}
    sources: Dict[str, str] = {}
    for layer in fused.layer:
        local = names.local(prefix, layer.name)
        shared = tuple(spec.name for spec in layer.param)
        if local is not None:
            is_owner = layer.name in stored or not shared or not all(shared)
            sources[local] = layer.name if is_owner else owners.get(shared, layer.name)
    return sources
