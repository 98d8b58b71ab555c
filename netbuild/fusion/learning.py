"""How the branches of a built net learn: what of each is frozen, how fast the rest learns, what two have in common."""

from __future__ import annotations

import warnings
from typing import Collection, Dict, Mapping, Set

from ..errors import GraphError, NetbuildWarning, did_you_mean, some
from ..graph.freeze import Edit
from ..graph.share import share
from ..names import local, qualify
from ..schema import Message
from .wiring import BranchSpec, last_owner


def learning(net: Message, parts: Mapping[str, BranchSpec], members: Mapping[str, Collection[str]]) -> Message:
    """Return the net with its branches as their parts say; `members` are each branch's layers, by name."""
    edit = Edit(net)
    branches = _indices(net, members)
    for prefix, part in parts.items():
        if not part.frozen:
            _let_learn(edit, prefix, part, branches[prefix])
    # Those who share get the owner's rates, so that all rates stand before the first of them does.
    for prefix, part in parts.items():
        if part.shares is not None:
            owner = last_owner(parts, prefix)
            _tell_overruled(prefix, part, owner, parts[owner])
            if parts[owner].frozen and not part.frozen:
                edit.freeze(branches[prefix])
            share(edit, prefix, owner, branches[prefix])
    return edit.net


def _indices(net: Message, members: Mapping[str, Collection[str]]) -> Dict[str, Set[int]]:
    """Return the indices of each branch's layers."""
    branch_of = {name: prefix for prefix, names in members.items() for name in names}
    indices: Dict[str, Set[int]] = {prefix: set() for prefix in members}
    for index, layer in enumerate(net.layer):
        if layer.name in branch_of:
            indices[branch_of[layer.name]].add(index)
    return indices


def _let_learn(edit: Edit, prefix: str, part: BranchSpec, layers: Set[int]) -> None:
    free = layers
    if part.frozen_to is not None:
        fixed = layers & _up_to(edit, prefix, part.frozen_to, layers)
        edit.freeze(fixed)
        free = layers - fixed
        sharers = edit.freeze_sharers(fixed, free)
        if sharers:
            _warn(
                f"branch {prefix!r}: is frozen up to {part.frozen_to!r}, and so is what {_listed(edit, sharers)} "
                "beyond it share with layers before it: Caffe has one rate for a shared parameter"
            )
    if part.batch_norm is not None:
        edit.normalise(part.batch_norm, free)
    if part.lr != 1:
        edit.slow(part.lr, free)


def _up_to(edit: Edit, prefix: str, own_blob: str, layers: Set[int]) -> Set[int]:
    """Return the layers that a blob of the branch depends on; GraphError where the branch makes no such blob."""
    blob = qualify(prefix, own_blob)
    tops = dict.fromkeys(top for index in sorted(layers) for top in edit.net.layer[index].top)
    if blob not in tops:
        own = dict.fromkeys(local(prefix, top) or top for top in tops)
        hint = did_you_mean(own_blob, own, "netbuild check NET --seams lists where a net can be cut")
        raise GraphError(f"branch {prefix!r}: is to be frozen up to {own_blob!r}, which is no blob of it; {hint}")
    return edit.behind(blob)


def _tell_overruled(prefix: str, part: BranchSpec, owner: str, owns: BranchSpec) -> None:
    """Warn where a branch that shares another's parameters is to learn otherwise than that one."""
    own = (part.lr, part.frozen_to)
    if not part.frozen and (owns.frozen or (own != (1, None) and own != (owns.lr, owns.frozen_to))):
        how = "is frozen" if owns.frozen else "has rates of its own"
        _warn(
            f"branch {prefix!r}: shares the parameters of {owner!r}, which {how}: what is said of "
            f"how {prefix!r} learns counts for nothing"
        )


def _listed(edit: Edit, layers: Collection[int]) -> str:
    return some([edit.net.layer[index].name for index in sorted(layers)])


def _warn(text: str) -> None:
    warnings.warn(text, NetbuildWarning, stacklevel=2)
