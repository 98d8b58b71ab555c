"""Copy the trained blobs of several branches into one caffemodel for a fused net, on the level of files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Mapping, Optional

from . import proto
from ._caffe import Message
from .files import PathLike, require_output
from .graph.check import require_sound
from .shapes import parameter_shapes
from .weights.caffemodel import index
from .weights.plan import Declared, Plan, make_plan
from .weights.stream import stream


@dataclass(frozen=True)
class Fused:
    """What was copied, or would be."""

    plan: Plan
    output: str
    bytes_written: Optional[int]
    """None for a dry run."""


def fuse_weights(
    target: PathLike, weights: Mapping[str, PathLike], output: PathLike, *, dry_run: bool = False
) -> Fused:
    """Write to `output` a caffemodel of the target net with the blobs of each prefix's weight file.

    `target` is a prototxt (train_val or deploy), `weights` maps prefixes to caffemodels. No data is opened and
    Caffe's engine is not loaded. Parameter shapes, counts and names are checked before a byte is written, and each
    value is compared with its source before the output takes its name: WeightsError lists what does not fit.
    """
    require_output(output, [target, *weights.values()])
    net = proto.read_net(target)
    require_sound(net, str(target))
    declared = declare(net)
    plan = make_plan(declared, {prefix: index(path) for prefix, path in weights.items()})
    size = None if dry_run else stream(plan, net.name, declared, output)
    return Fused(plan, str(output), size)


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
