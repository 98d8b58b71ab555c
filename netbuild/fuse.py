"""Copy the trained blobs of several branches into one caffemodel for a fused net, on the level of files."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Collection, Dict, List, Mapping, Optional, Tuple

from . import names, proto
from ._caffe import TEST, Message
from .errors import GraphError, WeightsError
from .files import PathLike, require_output
from .graph.check import require_sound
from .shapes import parameter_shapes
from .weights.caffemodel import NET_NAME
from .weights.entry import Made, entries
from .weights.head import Start, head_values
from .weights.index import index
from .weights.plan import Copy, Declared, Plan, make_plan
from .weights.wire import encode_bytes
from .weights.write import write_model


@dataclass(frozen=True)
class Fused:
    """What was copied, or would be."""

    plan: Plan
    output: str
    bytes_written: Optional[int]
    """None for a dry run."""
    head: Optional[str] = None
    """The layer that begins as its branches' classifiers, where that was asked for."""


def fuse_weights(
    target: PathLike,
    weights: Mapping[str, PathLike],
    output: PathLike,
    *,
    head: Mapping[str, Start] = {},
    dry_run: bool = False,
) -> Fused:
    """Write to `output` a caffemodel of the target net with the blobs of each prefix's weight file.

    `target` is a prototxt (train_val or deploy), `weights` maps prefixes to caffemodels. No data is opened and
    Caffe's engine is not loaded. Parameter shapes, counts and names are checked before a byte is written, and each
    value is compared with its source before the output takes its name: WeightsError lists what does not fit.

    With `head` the classifier on the concat of the branches begins as the classifiers that the branches were trained
    with: for each prefix the classes that its own outputs stand for.
    """
    require_output(output, [target, *weights.values()])
    net = proto.read_net(target)
    require_sound(net, str(target))
    declared = declare(net)
    models = {prefix: index(path) for prefix, path in weights.items()}
    plan = _shared_once(make_plan(declared, models), net)
    made: Dict[str, List[Made]] = {}
    if head:
        name, prefixes = head_on_concat(net, head)
        shapes = next(layer.shapes for layer in declared if layer.name == name)
        known = [shape for shape in shapes or () if shape is not None]
        made[name], used = head_values({prefix: head[prefix] for prefix in prefixes}, models, plan.unused, known)
        left = tuple(layer for layer in plan.left_to_fillers if layer != name)
        unused = {prefix: tuple(one for one in rest if one != used.get(prefix)) for prefix, rest in plan.unused.items()}
        plan = dataclasses.replace(plan, left_to_fillers=left, unused=unused)
    size = None
    if not dry_run:
        fields = encode_bytes(NET_NAME, net.name.encode()) if net.name else b""
        size = write_model(entries(plan, declared, made), output, net=fields)
    return Fused(plan, str(output), size, next(iter(made), None))


def _shared_once(plan: Plan, net: Message) -> Plan:
    """Return the plan without calling those layers left over whose parameters another layer owns and gets.

    Raises WeightsError where layers that share their parameters (siamese) would get them from different files.
    """
    origins: Dict[str, Copy] = {}
    copies = {copy.target: copy for copy in plan.copies}
    for layer in net.layer:
        copy = copies.get(layer.name)
        for name in (spec.name for spec in layer.param if spec.name and copy is not None):
            assert copy is not None
            first = origins.setdefault(name, copy)
            if first.path != copy.path:
                raise WeightsError(
                    f"{first.target!r} and {copy.target!r} share the parameter {name!r}, but would get it from two "
                    f"files, {first.path} and {copy.path}; give both branches one"
                )
    filled = {layer.name for layer in net.layer if layer.param and all(spec.name in origins for spec in layer.param)}
    shared = tuple(layer for layer in plan.left_to_fillers if layer in filled)
    left = tuple(layer for layer in plan.left_to_fillers if layer not in filled)
    return dataclasses.replace(plan, shared=shared, left_to_fillers=left)


def head_on_concat(net: Message, prefixes: Collection[str]) -> Tuple[str, List[str]]:
    """Return the InnerProduct that reads a concat of blobs of these branches, and the branches in the concat's order.

    Raises GraphError where the net has none, or one whose weights do not lie as the branches' own do.
    """
    layers = [layer for _, layer in proto.of_phase(net, TEST)]
    flat = {layer.top[0]: layer.bottom[0] for layer in layers if layer.type == "Flatten"}
    for concat in (layer for layer in layers if layer.type == "Concat"):
        order = [_owner(flat.get(blob, blob), prefixes) for blob in concat.bottom]
        for layer in layers:
            if layer.type != "InnerProduct" or list(layer.bottom) != list(concat.top) or set(order) != set(prefixes):
                continue
            if len(order) > len(prefixes) or layer.inner_product_param.transpose or concat.concat_param.axis != 1:
                raise GraphError(
                    f"the head {layer.name!r} cannot begin as its branches' classifiers: its weights are "
                    "transposed, or a branch comes twice, or the concat is not along axis 1"
                )
            return layer.name, [prefix for prefix in order if prefix is not None]
    listed = " and ".join(map(repr, prefixes))
    raise GraphError(f"the net has no InnerProduct on a concat of exactly the branches {listed}, to begin as theirs")


def _owner(blob: str, prefixes: Collection[str]) -> Optional[str]:
    return next((prefix for prefix in prefixes if names.local(prefix, blob) is not None), None)


def declare(net: Message) -> List[Declared]:
    """Return what the net declares of each of its layers, for a plan."""
    return [Declared(layer.name, shapes, _definition(layer)) for layer, shapes in zip(net.layer, parameter_shapes(net))]


def _definition(layer: Message) -> bytes:
    """Return the serialised layer, without the values that a definition may carry itself."""
    if not layer.blobs:
        return bytes(layer.SerializeToString())
    bare = proto.copied(layer)
    bare.ClearField("blobs")
    return bytes(bare.SerializeToString())
