"""The branches of a net that is there already, known by the names of its layers."""

from __future__ import annotations

from typing import Dict, List, Sequence, Set, Tuple

from .. import names
from ..engine.caffe import Message
from ..errors import GraphError
from ..proto import of_phase, phases


def prefixes(net: Message) -> List[str]:
    """Return the prefixes of the branches that the net joins, in its order; none where no layer joins any.

    A layer joins branches where it reads blobs of several layer groups `PREFIX/...`, none of which depends on another,
    and belongs to none of them. So the modules inside a net (`inception_3a/1x1`) are no branches. Branches one behind
    the other, and prefixes that do not end in `/`, cannot be told from a net's own names: whoever knows them says so.
    """
    found: Dict[str, None] = {}
    for phase in phases(net):
        behind: Dict[str, Tuple[str, Set[str]]] = {}
        for _, layer in of_phase(net, phase):
            own = _first(layer.name)
            read = [behind[blob] for blob in layer.bottom if behind.get(blob, ("",))[0]]
            joined = dict.fromkeys(first for first, _ in read)
            apart = not any((groups - {first}) & set(joined) for first, groups in read)
            if len(joined) > 1 and apart and own not in joined:
                found.update(joined)
            all_of_them = {own}.union(*(behind[blob][1] for blob in layer.bottom if blob in behind))
            behind.update(dict.fromkeys(layer.top, (own, all_of_them)))
    order = dict.fromkeys(_first(layer.name) for layer in net.layer)
    return [prefix for prefix in order if prefix in found]


def require_prefixes(net: Message, given: Sequence[str]) -> List[str]:
    """Return the prefixes that were given, or those that the net shows; GraphError where one has no layer."""
    for prefix in given:
        if not any(names.local(prefix, layer.name) for layer in net.layer):
            front, shown = names.stem(prefix), ", ".join(prefixes(net)) or "none"
            raise GraphError(
                f"prefix {prefix!r}: no layer's name begins with {front!r}; the net shows the prefixes: {shown}"
            )
    return list(given) or prefixes(net)


def _first(name: str) -> str:
    first, slash, _ = name.partition("/")
    return first if slash else ""
