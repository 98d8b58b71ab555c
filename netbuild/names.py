"""The law of names: how a branch's layers, blobs and shared parameters are called inside a fused net.

A prefix that ends in a letter or digit gets ``/`` appended (``odd`` -> ``odd/conv1``), one that ends in any
other character is used verbatim (``odd_`` -> ``odd_conv1``), the empty prefix changes nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Collection, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from .errors import some


def stem(prefix: str) -> str:
    """Return what a prefix puts in front of a name: ``odd`` -> ``odd/``, ``odd_`` -> ``odd_``."""
    return f"{prefix}/" if prefix[-1:].isalnum() else prefix


def qualify(prefix: str, name: str) -> str:
    """Return the name that a branch's own layer or blob has inside a fused net.

    A prefix that ends in a letter or digit gets a `/`, any other is used as it is, and the empty one changes nothing.

    Args:
        prefix: The branch's prefix: `odd`, or `odd_`.
        name: The branch's own name of a layer, a blob or a shared parameter.

    Returns:
        The full name.

    Examples:
        >>> from netbuild import qualify
        >>> qualify("odd", "conv1"), qualify("odd_", "conv1"), qualify("", "conv1")
        ('odd/conv1', 'odd_conv1', 'conv1')
    """
    return stem(prefix) + name


def local(prefix: str, name: str) -> Optional[str]:
    """Return the branch's own name for `name`, or None where `name` is not of that branch."""
    front = stem(prefix)
    return name[len(front) :] if name.startswith(front) and name != front else None


def free(name: str, taken: Collection[str]) -> str:
    """Return the name, or where it is taken, the first of `name_2`, `name_3` ... that is not."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def owner(prefixes: Iterable[str], name: str) -> Optional[str]:
    """Return the prefix whose branch a name belongs to; None where it is of none of them.

    Of several prefixes that fit (a, a/odd) the longest owns the name. This is the only answer to "whose layer is
    this?": `local` tells what a branch calls a name, not that the name is no other branch's. No name at all (Caffe
    takes layers without) is one of the empty prefix.
    """
    for length, by_stem in _by_length(tuple(prefixes)):
        prefix = by_stem.get(name[:length])
        if prefix is not None and (len(name) > length or not length):
            return prefix
    return None


@lru_cache(maxsize=32)
def _by_length(prefixes: Tuple[str, ...]) -> List[Tuple[int, Mapping[str, str]]]:
    """Return the prefixes by their stems, the longest stems first: a name is looked up once for each length."""
    found: Dict[int, Dict[str, str]] = {}
    for prefix in prefixes:
        found.setdefault(len(stem(prefix)), {}).setdefault(stem(prefix), prefix)
    return sorted(found.items(), reverse=True)


def overlapping(prefixes: Iterable[str]) -> List[Tuple[str, str]]:
    """Return the pairs of prefixes of which the second's names are all the first's too: odd_, odd_b_ or a, a/odd."""
    known = list(prefixes)
    return [(one, other) for one in known for other in known if one != other and stem(other).startswith(stem(one))]


def branch_alone(held: Sequence[str], net: Collection[str]) -> str:
    """Return what to say of weights that are of one branch alone, under its own names, while the net has prefixes.

    Args:
        held: The layers of a weight file.
        net: The layers of the net that it was given for.

    Returns:
        A sentence, or '' where less than half of what the net lacks is in it under a prefix.
    """
    foreign = [name for name in held if name not in net]
    fronts: Dict[str, List[Tuple[str, str]]] = {}
    for name in foreign:
        for other in net:
            front = other[: -len(name)]
            if front and other.endswith(name) and not front[-1].isalnum():
                fronts.setdefault(front, []).append((name, other))
    told = [f"{of[0][0]!r} is {of[0][1]!r} here" for of in fronts.values() if len(of) * 2 >= len(foreign)]
    if not told:
        return ""
    return (
        f"these are the weights of one branch alone ({some(told, 2)}): netbuild fuse puts all branches' into one file"
    )
