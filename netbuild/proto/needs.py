"""Which Caffe a net needs: what it has that upstream lacks, and the forks that have it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from ..errors import some
from ..schema import CARRIED, Message, values_of
from ..schema.definitions import kind_of
from ..schema.forks import Fork, forks_of, forks_with, forks_with_filler
from .unknown import name_of

_FILLER = "FillerParameter"


class Needs(NamedTuple):
    """What of a net upstream Caffe does not have."""

    known: Mapping[str, Tuple[str, ...]]
    """The layer types, 'PriorBox', and fields, 'PoolingParameter.ceil_mode', each with the names of its forks."""
    unknown: Sequence[str]
    """The fields that no Caffe known here has, such as 'ConvolutionParameter.twist'."""

    @property
    def forks(self) -> Tuple[str, ...]:
        """The forks that have all of it; none where no single one has."""
        if self.unknown or not self.known:
            return ()
        first, *others = self.known.values()
        return tuple(fork for fork in first if all(fork in other for other in others))

    @property
    def sentence(self) -> str:
        """What Caffe the net needs, in words; empty where upstream will do."""
        if not (self.known or self.unknown):
            return ""
        what = some([*self.known, *self.unknown], 6)
        if self.forks:
            return f"needs the Caffe of {' or '.join(self.forks)}, for {what}"
        if not self.known:
            return f"needs a Caffe that is not known here, for {what}"
        told = [f"{one} ({' or '.join(forks)})" for one, forks in self.known.items()]
        more = [f"{one} (not known here)" for one in self.unknown]
        return f"needs a Caffe that has all of {some([*told, *more], 6)}"


def needs(net: Message) -> Needs:
    """Return what of a net, or of a solver, upstream Caffe does not have."""
    known: Dict[str, Tuple[Fork, ...]] = {}
    unknown: List[str] = []
    _look_into(net, known, unknown)
    known.update((layer.type, forks_with(layer.type)) for layer in getattr(net, "layer", ()))
    named = {one: tuple(fork.name for fork in forks) for one, forks in known.items() if forks}
    return Needs(named, tuple(dict.fromkeys(unknown)))


def _look_into(message: Message, known: Dict[str, Tuple[Fork, ...]], unknown: List[str]) -> None:
    """Add what a message has, and those inside it; of what upstream has there are no forks."""
    owner = message.DESCRIPTOR.name
    of_forks = _forks_fields(message.DESCRIPTOR)
    if owner == _FILLER:
        known[f"{owner}.type {message.type!r}"] = forks_with_filler(message.type)
    for field, value in message.ListFields():
        name = f"{owner}.{field.name}"
        if field.name == CARRIED:
            unknown.extend(f"{owner}.{name_of(text)}" for text in value)
        elif field.name in of_forks:
            known[name] = of_forks[field.name]
        elif field.message_type is not None:
            for inner in values_of(field, value):
                _look_into(inner, known, unknown)
        elif field.enum_type is not None:
            for number in values_of(field, value):
                word = field.enum_type.values_by_number[number].name
                known[f"{name} {word}"] = forks_of(kind_of(field.enum_type), word)


@lru_cache(maxsize=None)
def _forks_fields(descriptor: Any) -> Dict[str, Tuple[Fork, ...]]:
    """Return the fields of a message that only forks have, and which do."""
    found = {field.name: forks_of(kind_of(descriptor), field.name) for field in descriptor.fields}
    return {name: forks for name, forks in found.items() if forks}
