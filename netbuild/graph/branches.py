"""The branches of a net that is there already, known by the names of its layers."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Sequence, Set

from .. import names
from ..errors import GraphError
from ..layers.in_place import hands_on
from ..layers.roles import makes_scores
from ..schema import Message
from .view import NetView, Views, views


def prefixes(net: Message, of_phases: Optional[Views] = None) -> List[str]:
    """Return the prefixes of the branches that the net joins, in its order; none where no layer joins any.

    A layer joins branches where it reads blobs of several layer groups `PREFIX/...`, none of which depends on another,
    and belongs to none of them. Between a group and the join may be a bridge: layers of no group that flatten a blob
    or connect it fully. So the modules inside a net (`inception_3a/1x1`) are no branches. Branches one behind the
    other, and prefixes that do not end in `/`, cannot be told from a net's own names: whoever knows them says so.
    """
    found: Set[str] = set()
    for view in (of_phases or views(net)).values():
        found |= _joined(view)
    order = dict.fromkeys(_group(layer.name) for layer in net.layer)
    return [prefix for prefix in order if prefix in found]


def _joined(view: NetView) -> Set[str]:
    """Return the groups that any layer of this phase joins."""
    group_of = {index: _group(layer.name) for index, layer in view.layers}
    sources = view.flow.sources
    comes_from = _handed_on(view, group_of)
    joins = _several_read(group_of, comes_from, sources)
    bits = {group: 1 << place for place, group in enumerate(sorted(set().union(*joins.values())))}
    behind = _groups_behind(group_of, sources, bits)
    found: Set[str] = set()
    for index, groups in joins.items():
        together = sum(bits[group] for group in groups)
        # A group that another of them depends on is no branch beside it.
        others = (behind[source] & ~bits[comes_from[source]] for source in sources[index] if comes_from[source])
        if not any(together & other for other in others):
            found |= groups
    return found


def _handed_on(view: NetView, group_of: Mapping[int, str]) -> Dict[int, str]:
    """Return for each layer its group; for a bridge of none, the group that it comes from; '' where there is none."""
    found: Dict[int, str] = {}
    for index, layer in view.layers:
        sources = view.flow.sources[index]
        is_bridge = len(sources) == 1 and (hands_on(layer) or makes_scores(layer, judged=False))
        found[index] = group_of[index] or (found[sources[0]] if is_bridge else "")
    return found


def _several_read(
    group_of: Mapping[int, str], comes_from: Mapping[int, str], sources: Mapping[int, Sequence[int]]
) -> Dict[int, Set[str]]:
    """Return the layers that read blobs of several groups and belong to none of them, with these groups."""
    found: Dict[int, Set[str]] = {}
    for index, own in group_of.items():
        groups = {comes_from[source] for source in sources[index]} - {""}
        if len(groups) > 1 and own not in groups:
            found[index] = groups
    return found


def _groups_behind(
    group_of: Mapping[int, str], sources: Mapping[int, Sequence[int]], bits: Mapping[str, int]
) -> Dict[int, int]:
    """Return for each layer its group and those of all that it depends on, as the bits of a number.

    Sets would take gigabytes where a net has thousands of groups.
    """
    behind: Dict[int, int] = {}
    for index, own in group_of.items():
        behind[index] = bits.get(own, 0)
        for source in sources[index]:
            behind[index] |= behind[source]
    return behind


def require_prefixes(net: Message, known: Sequence[str], of_phases: Optional[Views] = None) -> List[str]:
    """Return the known prefixes, or without any those that the net shows; GraphError where one has no layer."""
    for prefix in known:
        if not any(names.local(prefix, layer.name) for layer in net.layer):
            front, shown = names.stem(prefix), ", ".join(prefixes(net, of_phases)) or "none"
            raise GraphError(
                f"prefix {prefix!r}: no layer's name begins with {front!r}; the net shows the prefixes: {shown}"
            )
    return list(known) or prefixes(net, of_phases)


def _group(name: str) -> str:
    first, slash, _ = name.partition("/")
    return first if slash else ""
