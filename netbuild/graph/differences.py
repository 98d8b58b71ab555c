"""What differs between two nets, as nets: order, defaults spelled out and other ways to write the same do not count."""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from typing import Any, Deque, Dict, FrozenSet, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..proto import Net, chooses, in_phase, net_of, phase_name, settled
from ..schema import TEST, TRAIN, Message, is_repeated
from .makers import Bottom, Source, Wires, carried, makers, rewired

_OWN = ("name", "bottom", "top", "include", "exclude")
"""Fields of a layer that are no options of it."""
_NAME = re.compile(r"param\[\d+\]\.name").fullmatch
_PLAIN = {"stride": (1,), "pad": (0,), "dilation": (1,)}
"""What a window does where nothing is said."""


class Change(NamedTuple):
    """One field that differs; None where it is at its default."""

    field: str
    """As in prototxt: 'convolution_param.num_output', 'param[0].lr_mult', 'bottom[1]', 'phase'."""
    old: Any
    new: Any


@dataclass(frozen=True)
class Differences:
    """What has to be done to one net to get the other."""

    net: List[Change]
    """Fields of the net itself."""
    removed: List[str]
    """Layers of the first net that the second has not."""
    added: List[str]
    renamed: List[Tuple[str, str]]
    """Layers that do the same on the same input under another name."""
    changed: Dict[str, List[Change]]
    """Layers of both nets, by the name in the second."""

    @property
    def any(self) -> bool:
        """Whether there is a difference at all."""
        return bool(self.net or self.removed or self.added or self.renamed or self.changed)


def differences(old: Net, new: Net) -> Differences:
    """Compare two nets as nets: order, defaults that are spelled out and names of blobs do not count.

    Layers are compared by name and phase, and those that only one net has by what they do to what. Where one of the
    nets has stages or a level (`Staged`, or its own `state`), only layers count that Caffe builds in that state.

    Args:
        old: One net: a path, a NetParameter or a NetSpec.
        new: The other.

    Returns:
        What has to be done to `old` to get `new`: layers `removed`, `added`, `renamed` and `changed`. `any` tells
        whether there is anything.

    Raises:
        GraphError: A net cannot be read.

    Examples:
        >>> from netbuild import differences, read_net
        >>> net = read_net("odd/deploy.prototxt")
        >>> net.layer[1].convolution_param.num_output = 32
        >>> differences("odd/deploy.prototxt", net).changed
        {'conv1': [Change(field='convolution_param.num_output', old=20, new=32)]}
    """
    one, other = net_of(old), net_of(new)
    if chooses(one) or chooses(other):
        # In a state of their own, they are compared as Caffe builds them.
        return _differences(settled(one), settled(other))
    return _differences(one, other)


def _differences(old: Message, new: Message) -> Differences:
    one, other = _Net(old, makers(old)), _Net(new, makers(new))
    olds, news = _keyed(old), _keyed(new)
    named = {index: news[key] for key, index in olds.items() if key in news}
    renamed = _renamed(one, other, named)
    pairs = {**named, **renamed}
    left = set(pairs.values())
    return Differences(
        list(_compared(_fields(old, ("layer", "layers")), _fields(new, ("layer", "layers")))),
        [layer.name for index, layer in enumerate(old.layer) if index not in pairs],
        [layer.name for index, layer in enumerate(new.layer) if index not in left],
        [(old.layer[before].name, new.layer[after].name) for before, after in renamed.items()],
        _changed(one, other, pairs),
    )


class _Net(NamedTuple):
    message: Message
    made: List[List[Bottom]]
    """What feeds each bottom of each layer."""


_Key = Tuple[str, str, int]
"""A layer's name, the phases that it is in, and which of several such it is."""
_Deed = Tuple[FrozenSet[Tuple[str, Any]], Tuple[FrozenSet[Tuple[int, Source]], ...], int]
"""What a layer does to what, whatever it is called: its options, what feeds its bottoms, how many tops it has."""


def _keyed(net: Message) -> Dict[_Key, int]:
    """Return the index of each layer."""
    found: Dict[_Key, int] = {}
    # Where a net tells nothing apart by phases, a layer of one name is a layer of one name.
    count = Counter(layer.name for layer in net.layer)
    numbers: Dict[Tuple[str, str], int] = defaultdict(int)
    for index, layer in enumerate(net.layer):
        phase = _phases(layer) if count[layer.name] > 1 else ""
        found[(layer.name, phase, numbers[layer.name, phase])] = index
        numbers[layer.name, phase] += 1
    return found


def _renamed(old: _Net, new: _Net, named: Mapping[int, int]) -> Dict[int, int]:
    """Pair the layers that only one net has by name; `named` are those of both. All by their indices."""
    taken = set(named.values())
    waiting: Dict[_Deed, Deque[int]] = defaultdict(deque)
    for index, layer in enumerate(new.message.layer):
        if index not in taken:
            waiting[_deed(layer, new.made[index])].append(index)
    pairs, found = dict(named), {}
    for index, layer in enumerate(old.message.layer):
        if index in named:
            continue
        twins = waiting.get(_deed(layer, [carried(bottom, pairs) for bottom in old.made[index]]))
        if twins:
            pairs[index] = found[index] = twins.popleft()
    return found


def _deed(layer: Message, bottoms: Sequence[Bottom]) -> _Deed:
    reads = tuple(frozenset(bottom.items()) for bottom in bottoms)
    return frozenset(options(layer).items()), reads, len(layer.top)


def _changed(old: _Net, new: _Net, pairs: Mapping[int, int]) -> Dict[str, List[Change]]:
    """Return what differs in the layers that both nets have, by their names in the second."""
    called = {old.message.layer[before].name: new.message.layer[after].name for before, after in pairs.items()}
    shared, sharing = _sharing(old.message, called), _sharing(new.message, {})
    found: Dict[str, List[Change]] = {}
    for before, after in pairs.items():
        one, other = old.message.layer[before], new.message.layer[after]
        wires = rewired(Wires(old.message, old.made[before]), Wires(new.message, new.made[after]), pairs)
        changes = [
            *_compared(options(one), options(other)),
            *(Change(f"bottom[{position}]", first or None, second or None) for position, first, second in wires),
            *(_compared(_numbered("top", one.top), _numbered("top", other.top)) if one.name == other.name else ()),
            *_compared(shared.get(one.name, {}), sharing.get(other.name, {})),
        ]
        found.setdefault(other.name, []).extend(changes)
    return {name: changes for name, changes in found.items() if changes}


def _numbered(field: str, values: Any) -> Dict[str, str]:
    return {f"{field}[{position}]": value for position, value in enumerate(values)}


def _compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for field in dict.fromkeys([*old, *new]):
        if old.get(field) != new.get(field):
            yield Change(field, old.get(field), new.get(field))


def options(layer: Message) -> Dict[str, Any]:
    """Return what the layer does: its fields that are not at their default, names and blobs left out."""
    fields = {name: value for name, value in _fields(layer, _OWN).items() if not _NAME(name)}
    for rule in (*layer.include, *layer.exclude):
        fields.update({f"rule.{name}": value for name, value in _fields(rule, ("phase",)).items()})
    if _phases(layer) != _phases(type(layer)()):
        fields["phase"] = _phases(layer)
    return fields


def _sharing(net: Message, called: Mapping[str, str]) -> Dict[str, Dict[str, str]]:
    """Return, by layer, the parameters that it shares: each with the first layer that has it, by its name in `called`.

    What the parameter is called says nothing more.
    """
    users: Dict[str, List[Tuple[str, int]]] = {}
    for layer in net.layer:
        for position, spec in enumerate(layer.param):
            if spec.name:
                users.setdefault(spec.name, []).append((layer.name, position))
    found: Dict[str, Dict[str, str]] = {}
    for (first, owned), *others in users.values():
        for name, position in others:
            place = "" if position == owned else f" (param[{owned}])"
            found.setdefault(name, {})[f"param[{position}] shared with"] = called.get(first, first) + place
    return found


def _phases(layer: Message) -> str:
    return " ".join(phase_name(phase) for phase in (TRAIN, TEST) if in_phase(layer, phase))


def _fields(message: Message, without: Tuple[str, ...] = ()) -> Dict[str, Any]:
    """Return the fields that are not at their default, those of messages inside by their path."""
    found: Dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name in without:
            continue
        several = is_repeated(field)
        if field.message_type is not None:
            messages = {f"{field.name}[{at}]": one for at, one in enumerate(value)} if several else {field.name: value}
            found.update(_fields_inside(messages))
        elif several:
            found[field.name] = tuple(_readable(field, one) for one in value)
        elif value != field.default_value:
            found[field.name] = _readable(field, value)
    return found


def _fields_inside(messages: Mapping[str, Message]) -> Dict[str, Any]:
    """Return the fields of messages inside one, by their path; `messages` are these by the paths to them."""
    return {
        f"{path}.{name}": value
        for path, message in messages.items()
        for name, value in _windows(_fields(message)).items()
    }


def _readable(field: Any, value: Any) -> Any:
    """Return a value as prototxt has it: one of an enumeration by its name."""
    return value if field.enum_type is None else field.enum_type.values_by_number[value].name


def _windows(fields: Dict[str, Any]) -> Dict[str, Any]:
    """Write the window of a convolution or pooling in one way: `kernel_h` and `kernel_w` as `kernel_size`."""
    for stem in ("kernel", "stride", "pad", "dilation"):
        name = "kernel_size" if stem == "kernel" else stem
        sides = _sides(fields.pop(name, None), fields.pop(f"{stem}_h", None), fields.pop(f"{stem}_w", None))
        if sides and sides != _PLAIN.get(stem):
            fields[name] = sides
    return fields


def _sides(sides: Any, height: Optional[int], width: Optional[int]) -> Tuple[int, ...]:
    """Return a window's sides, one number for equal ones; () where nothing is said of them."""
    if height is not None or width is not None:
        sides = (height or 0, width or 0)
    elif sides is None:
        return ()
    listed: Tuple[int, ...] = sides if isinstance(sides, tuple) else (sides,)
    return listed[:1] if len(set(listed)) == 1 else listed
