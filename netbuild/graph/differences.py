"""What differs between two nets, as nets: order, defaults spelled out and other ways to write the same do not count."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Tuple

from ..engine.caffe import TEST, TRAIN, Message
from ..proto import Net, in_phase, net_of, phase_name
from .makers import Bottom, Wires, carried, makers, rewired

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

    Layers are compared by name and phase, and those that only one net has by what they do to what.

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
    return _differences(net_of(old), net_of(new))


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


def _keyed(net: Message) -> Dict[_Key, int]:
    """Return the index of each layer."""
    found: Dict[_Key, int] = {}
    # Where a net tells nothing apart by phases, a layer of one name is a layer of one name.
    count = Counter(layer.name for layer in net.layer)
    for index, layer in enumerate(net.layer):
        number = 0
        phase = _phases(layer) if count[layer.name] > 1 else ""
        while (layer.name, phase, number) in found:
            number += 1
        found[layer.name, phase, number] = index
    return found


def _renamed(old: _Net, new: _Net, named: Mapping[int, int]) -> Dict[int, int]:
    """Pair the layers that only one net has by name; `named` are those of both. All by their indices."""
    layers, taken = new.message.layer, set(named.values())
    waiting = {index: options(layer) for index, layer in enumerate(layers) if index not in taken}
    pairs, found = dict(named), {}
    for index, layer in enumerate(old.message.layer):
        if index in named:
            continue
        does, reads, tops = options(layer), [carried(bottom, pairs) for bottom in old.made[index]], len(layer.top)
        alike = (one for one, told in waiting.items() if told == does and new.made[one] == reads)
        twin = next((one for one in alike if len(layers[one].top) == tops), None)
        if twin is not None:
            del waiting[twin]
            pairs[index] = found[index] = twin
    return found


def _changed(old: _Net, new: _Net, pairs: Mapping[int, int]) -> Dict[str, List[Change]]:
    """Return what differs in the layers that both nets have, by their names in the second."""
    called = {old.message.layer[before].name: new.message.layer[after].name for before, after in pairs.items()}
    shared, sharing = _sharing(old.message, called), _sharing(new.message, {})
    found: Dict[str, List[Change]] = {}
    for before, after in pairs.items():
        one, other = old.message.layer[before], new.message.layer[after]
        wires = rewired(Wires(old.message, old.made[before]), Wires(new.message, new.made[after]), pairs)
        told = [
            *_compared(options(one), options(other)),
            *(Change(f"bottom[{position}]", first or None, second or None) for position, first, second in wires),
            *(_compared(_numbered("top", one.top), _numbered("top", other.top)) if one.name == other.name else ()),
            *_compared(shared.get(one.name, {}), sharing.get(other.name, {})),
        ]
        found.setdefault(other.name, []).extend(told)
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
        if field.label == field.LABEL_REPEATED and field.message_type is None:
            found[field.name] = tuple(_told(field, one) for one in value)
        elif field.message_type is not None:
            several = field.label == field.LABEL_REPEATED
            for position, one in enumerate(value if several else [value]):
                path = f"{field.name}[{position}]" if several else field.name
                found.update({f"{path}.{name}": inner for name, inner in _windows(_fields(one)).items()})
        elif value != field.default_value:
            found[field.name] = _told(field, value)
    return found


def _told(field: Any, value: Any) -> Any:
    return value if field.enum_type is None else field.enum_type.values_by_number[value].name


def _windows(fields: Dict[str, Any]) -> Dict[str, Any]:
    """Write the window of a convolution or pooling in one way: `kernel_h` and `kernel_w` as `kernel_size`."""
    for stem in ("kernel", "stride", "pad", "dilation"):
        name = "kernel_size" if stem == "kernel" else stem
        height, width = fields.pop(f"{stem}_h", None), fields.pop(f"{stem}_w", None)
        sides = fields.pop(name, None) if height is None and width is None else (height or 0, width or 0)
        if sides is None:
            continue
        sides = sides if isinstance(sides, tuple) else (sides,)
        sides = sides[:1] if len(set(sides)) == 1 else sides
        if sides != _PLAIN.get(stem):
            fields[name] = sides
    return fields
