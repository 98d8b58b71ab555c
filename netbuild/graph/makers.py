"""What feeds each bottom: the layer that makes the blob, for names of blobs come again and layers in place keep one."""

from __future__ import annotations

from itertools import zip_longest
from typing import Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple, Union

from ..proto import NetState
from ..schema import TEST, TRAIN, Message

Source = Union[Tuple[int, int], str]
"""The layer that makes a blob, by index, and which of its tops; the blob's name where no layer makes it."""
Bottom = Dict[int, Source]
"""What feeds a bottom in each phase that the layer is in."""


def makers(net: Message) -> List[List[Bottom]]:
    """Return what feeds each bottom of each layer of a net with all its phases."""
    found: List[List[Bottom]] = [[{} for _ in layer.bottom] for layer in net.layer]
    trained, tested = (NetState.of(net, phase) for phase in (TRAIN, TEST))
    for state in (trained, tested):
        last: Dict[str, Source] = {}
        for index, layer in enumerate(net.layer):
            # What stages choose is in no phase by itself: it is looked at in both.
            if state.keeps(layer) or not (trained.keeps(layer) or tested.keeps(layer)):
                for bottom, blob in zip(found[index], layer.bottom):
                    bottom[state.phase] = last.get(blob, blob)
                last.update({blob: (index, number) for number, blob in enumerate(layer.top)})
    return found


def carried(bottom: Bottom, pairs: Mapping[int, int]) -> Bottom:
    """Return what feeds a bottom by the indices of another net, whose layers `pairs` gives; others become negative."""
    return {
        phase: source if isinstance(source, str) else (pairs.get(source[0], -1 - source[0]), source[1])
        for phase, source in bottom.items()
    }


class Wires(NamedTuple):
    """What feeds the bottoms of one layer of a net."""

    net: Message
    bottoms: Sequence[Bottom]


def rewired(old: Wires, new: Wires, pairs: Mapping[int, int]) -> Iterator[Tuple[int, str, str]]:
    """Yield the bottoms that something else feeds in the second net: position, and in words what does in each.

    Blobs are called as the second net calls them; '' stands for a bottom that is not there.
    """
    nothing: Bottom = {}
    for position, (before, after) in enumerate(zip_longest(old.bottoms, new.bottoms, fillvalue=nothing)):
        expected = carried(before, pairs)
        # That one net has the layer in fewer phases is a difference of its own.
        phases = [phase for phase in expected if phase in after] or [*expected, *after]
        other = next((phase for phase in phases if expected.get(phase) != after.get(phase)), None)
        if other is not None:
            yield (position, *_in_words(old.net, before.get(other, ""), new.net, after.get(other, ""), pairs))


def _in_words(old: Message, before: Source, new: Message, after: Source, pairs: Mapping[int, int]) -> Tuple[str, str]:
    first = _blob(old, before)
    if not isinstance(before, str) and before[0] in pairs:
        first = _blob(new, (pairs[before[0]], before[1])) or first
    second = _blob(new, after)
    if first != second:
        return first, second
    # Of one name, but not of one maker.
    return f"{first} of {_maker(old, before)}", f"{second} of {_maker(new, after)}"


def _blob(net: Message, source: Source) -> str:
    if isinstance(source, str):
        return source
    index, number = source
    tops = net.layer[index].top
    return str(tops[number]) if number < len(tops) else ""


def _maker(net: Message, source: Source) -> str:
    return "no layer" if isinstance(source, str) else str(net.layer[source[0]].name)
