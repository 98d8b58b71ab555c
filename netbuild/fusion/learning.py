"""How the branches of a built net learn: what of each is frozen, how fast the rest learns, what two have in common."""

from __future__ import annotations

from typing import Collection, Mapping

from ..engine.caffe import Message
from ..errors import GraphError, did_you_mean
from ..graph.cut import dependencies
from ..graph.freeze import frozen, normalised_by, slowed
from ..graph.share import shared
from ..names import local, qualify
from .wiring import BranchSpec


def learning(net: Message, parts: Mapping[str, BranchSpec], members: Mapping[str, Collection[str]]) -> Message:
    """Return the net with its branches as their parts say; `members` are each branch's layers, by name."""
    for prefix, part in parts.items():
        if not part.frozen:
            net = _learning(net, prefix, part, members[prefix])
        if part.shares is not None:
            net = shared(net, prefix, part.shares)
    return net


def _learning(net: Message, prefix: str, part: BranchSpec, members: Collection[str]) -> Message:
    free = {index for index, layer in enumerate(net.layer) if layer.name in members}
    if part.frozen_to is not None:
        blob = qualify(prefix, part.frozen_to)
        if not any(blob in layer.top for layer in net.layer if layer.name in members):
            own = dict.fromkeys(local(prefix, top) or top for index in sorted(free) for top in net.layer[index].top)
            hint = did_you_mean(part.frozen_to, own, "netbuild check NET --seams lists where a net can be cut")
            raise GraphError(
                f"branch {prefix!r}: is to be frozen up to {part.frozen_to!r}, which is no blob of it; {hint}"
            )
        fixed = free & dependencies(net, [blob])
        net, free = frozen(net, fixed), free - fixed
    if part.batch_norm is not None:
        net = normalised_by(net, part.batch_norm, free)
    return slowed(net, part.lr, free) if part.lr != 1 else net
