"""Take a branch out of a fused net again: its graph and its weights, under the names it has alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Set, Tuple

from .. import names, proto
from ..engine.caffe import TEST, Message
from ..errors import GraphError, did_you_mean, some
from ..files import PathLike, output_folder, plain_name, replacing_together, require_output
from ..graph.check import require_sound
from ..graph.feed import is_input, with_inputs
from ..graph.flow import Flow
from ..graph.freeze import count_as_no_loss
from ..graph.rename import renamed
from ..layers import infer, parameter_shapes
from ..weights.caffemodel import NET_NAME
from ..weights.index import index
from ..weights.model import Model
from ..weights.wire import encode_bytes
from ..weights.write import require_writable, write_into
from .entries import entries
from .fuse import declare
from .inputs import Weighted, shapes_to_feed
from .plan import CopyOptions, make_plan


@dataclass(frozen=True)
class Extracted:
    """What was written, and of how much."""

    net: str
    weights: str
    inputs: Mapping[str, Tuple[int, ...]]
    """The branch's inputs with their shapes (N, C, H, W)."""
    layers: int
    blobs: int


def extract_branch(prefix: str, target: proto.Net, weights: PathLike, folder: PathLike) -> Extracted:
    """Take a branch out of a fused net again, graph and weights, under the names that it has alone.

    What the branch reads from outside it becomes an Input, of the shape that the net tells, or that fits the weights.
    Learning rates and fillers are left out. Parameters that a branch shares with another one come from there.

    Args:
        prefix: The branch's prefix.
        target: The fused net: a path, a NetParameter or a NetSpec.
        weights: Its weight file, .caffemodel or HDF5.
        folder: Where to write `PREFIX.prototxt`, a deploy net, and `PREFIX.caffemodel`; made if need be.

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
    paths = [Path(folder) / f"{stem}.prototxt", Path(folder) / f"{stem}.caffemodel"]
    fused, name = proto.net_of(target), proto.name_of_net(target)
    require_sound(fused, name)
    model = index(weights)
    fused = proto.only_phase(fused, TEST)
    shapes = infer(fused, TEST, shapes_to_feed(Weighted(name, fused, model), {}, {})).blobs
    _require_one_branch(prefix, fused)
    net, outside = _alone(prefix, fused)
    inputs: Dict[str, Tuple[int, ...]] = {}
    for blob, name in outside.items():
        shape = shapes.get(blob)
        if shape is None or None in shape:
            raise GraphError(f"branch {prefix!r}: the shape of what it reads, {blob!r}, is not known from {name}")
        inputs[name] = tuple(length for length in shape if length is not None)
    net = with_inputs(net, inputs)
    require_sound(net, f"the branch {prefix!r}")
    declared = declare(net)
    sources = _sources(prefix, fused, model)
    maps = {layer.name: sources[layer.name] for layer in declared if layer.shapes != []}
    plan = make_plan(declared, {"": [model]}, CopyOptions(maps=maps))
    output_folder(folder)
    for path in paths:
        require_output(path, [*([target] if isinstance(target, (str, os.PathLike)) else []), weights])
    found, fields = entries(plan, declared), encode_bytes(NET_NAME, net.name.encode())
    require_writable(found, paths[1], net=fields)
    with replacing_together([paths[1], paths[0]]) as (model_file, net_file):
        write_into(model_file, found, hdf5=False, net=fields)
        net_file.write(proto.to_text(net).encode())
    return Extracted(os.fspath(paths[0]), os.fspath(paths[1]), inputs, len(plan.copies), plan.blob_count())


def _require_one_branch(prefix: str, fused: Message) -> None:
    """Raise GraphError where layers with parameters bear the prefix, but not all are of one branch: odd_ and odd_b_."""
    sources, shapes = Flow(list(enumerate(fused.layer))).sources, parameter_shapes(fused)
    parts: List[Set[int]] = []
    for number, layer in enumerate(fused.layer):
        if names.local(prefix, layer.name) is not None and not is_input(layer):
            joined = [part for part in parts if part.intersection(sources[number])]
            parts = [*(part for part in parts if part not in joined), {number}.union(*joined)]
    with_weights = [part for part in parts if any(shapes[number] != [] for number in part)]
    if len(with_weights) > 1:
        listed = ", ".join(repr(fused.layer[min(part)].name) for part in with_weights)
        raise GraphError(
            f"{len(with_weights)} branches that have nothing in common bear {names.stem(prefix)!r} (they begin with "
            f"the layers {listed}); give the prefix that one of them alone bears"
        )


def _alone(prefix: str, fused: Message) -> Tuple[Message, Dict[str, str]]:
    """Return the branch's layers under their own names, and the blobs from outside it with the names they get."""
    own = [layer for layer in fused.layer if names.local(prefix, layer.name) is not None and not is_input(layer)]
    if not own:
        known = sorted({layer.name.rpartition("/")[0] for layer in fused.layer if "/" in layer.name})
        hint = did_you_mean(prefix, known, f"prefixes there are: {some(known) or 'none'}")
        raise GraphError(f"the net has no layer whose name begins with {names.stem(prefix)!r}; {hint}")
    tops = {names.local(prefix, top) or top for layer in own for top in layer.top}
    made: List[str] = []
    outside: Dict[str, str] = {}
    for layer in own:
        for blob in layer.bottom:
            if blob not in made and blob not in outside:
                name = blob.rpartition("/")[2]
                outside[blob] = name if name not in (tops | set(outside.values())) else f"{name}_input"
        made += layer.top
    net = type(fused)(name=names.stem(prefix).rstrip("/") or fused.name, layer=[_bare(layer) for layer in own])
    return renamed(net, lambda name: names.local(prefix, name) or name, outside), outside


def _bare(layer: Message) -> Message:
    """Return the layer as a deploy net has it: without what only training reads, or freezing added."""
    bare = proto.without_fillers(layer)
    for field in ("phase", "propagate_down"):
        bare.ClearField(field)
    count_as_no_loss(bare)
    for spec in bare.param:
        spec.ClearField("lr_mult")
        spec.ClearField("decay_mult")
    if not any(spec.name for spec in bare.param):
        bare.ClearField("param")
    return bare


def _sources(prefix: str, fused: Message, model: Model) -> Dict[str, str]:
    """Return where the weights of each of the branch's layers stand in the fused file.

    A layer that shares all its parameters with another one may have none of its own there.
    """
    stored = model.by_name()
    owners = {tuple(spec.name for spec in layer.param): layer.name for layer in fused.layer if layer.name in stored}
    found: Dict[str, str] = {}
    for layer in fused.layer:
        local = names.local(prefix, layer.name)
        shared = tuple(spec.name for spec in layer.param)
        if local is not None:
            is_owner = layer.name in stored or not shared or not all(shared)
            found[local] = layer.name if is_owner else owners.get(shared, layer.name)
    return found
