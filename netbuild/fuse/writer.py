"""Which Caffe wrote the definitions in a weight file: the one whose messages fit their bytes.

A number means different things in different forks: 137 is upstream's embed_param, TSN's bn_param and SegNet's
upsample_param. A definition that is read by the wrong messages has numbers that they lack, payloads of other types,
inner messages that do not parse. Where there is any such misfit under upstream's messages, the fork with the fewest is
looked for, over all layers of the file.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..errors import WeightsError
from ..schema.definitions import Field
from ..schema.dialects import Dialect, dialects
from ..weights.caffemodel import stored_type
from ..weights.model import Layer, Model
from ..weights.wire import BYTES, FIXED32, FIXED64, VARINT, WireFile
from ..weights.wire import Field as Found

Place = Tuple[str, int]
"""A message and the number of a field of it, or an enum and one of its values."""

NET, LAYER, V1_LAYER = "NetParameter", "LayerParameter", "V1LayerParameter"
_WIRE_TYPES = {"double": FIXED64, "float": FIXED32, "string": BYTES, "bytes": BYTES}
"""Of the scalar types; all others are varints."""
_SIZES = {FIXED64: 8, FIXED32: 4}
_RANGES: Mapping[str, Tuple[range, ...]] = {
    "bool": (range(2),),
    "uint32": (range(1 << 32),),
    "int32": (range(1 << 31), range((1 << 64) - (1 << 31), 1 << 64)),
}
"""The varints that a writer stores of a type; a negative number is a large one."""
_WHOLE_NUMBERS = ("int32", "int64", "uint32")
_DEEPEST = 100
"""Messages within messages, as protobuf's own limit."""
_MAX_TEXT = 1 << 16
"""Bytes of a text that are looked at."""
_TYPES = f"{V1_LAYER}.LayerType"


class Writer(NamedTuple):
    """The Caffe whose messages fit the definitions of a file best."""

    dialect: Dialect
    misfits: Mapping[Place, str] = {}
    """What it passes over, with the layer where it stands first; '' is the net itself."""
    rivals: Sequence[str] = ()
    """The Caffes that fit as well, and read something else."""
    disputed: Mapping[Place, str] = {}
    """What they read otherwise, with the layer where it stands first."""


def writer_of(model: Model, file: WireFile) -> Writer:
    """Return the Caffe whose messages fit the definitions of a file best; upstream where none fits better.

    Of those that fit equally well it is the one that has the most layers with options of their type's own name: BN with
    bn_param. Where several are left, and read something else, that is `disputed`.
    """
    fields = _Fields(file)
    upstream, *forks = [_Reading(dialect, fields, model) for dialect in dialects()]
    best = min(reading.rank for reading in forks)
    if upstream.count <= best[0]:
        return Writer(upstream.dialect, upstream.misfits)
    first, *others = [reading for reading in forks if reading.rank == best]
    rivals: List[str] = []
    disputed: Dict[Place, str] = {}
    for other in others:
        differences = first.differences(other)
        rivals += [other.dialect.name] if differences else []
        disputed.update(differences)
    return Writer(first.dialect, first.misfits, rivals, disputed)


class _Fields:
    """The fields of the messages in a file, found once each."""

    def __init__(self, file: WireFile) -> None:
        self.file = file
        self._known: Dict[Tuple[int, int], Optional[List[Found]]] = {}
        self._texts: Dict[Tuple[int, int], bool] = {}

    def of(self, start: int, end: int) -> Optional[List[Found]]:
        """Return the fields of the message that fills these bytes, None where they are no message."""
        if (start, end) not in self._known:
            try:
                self._known[start, end] = list(self.file.fields(start, end))
            except WeightsError:
                self._known[start, end] = None
        return self._known[start, end]

    def is_text(self, start: int, end: int) -> bool:
        """Tell whether these bytes are a text, as names and paths are: UTF-8 without control characters."""
        if (start, end) not in self._texts:
            try:
                text = self.file.pread(start, min(end - start, _MAX_TEXT)).decode()
            except UnicodeDecodeError:
                text = "\0"
            self._texts[start, end] = min(text, default=" ") >= " "
        return self._texts[start, end]


class _Reading:
    """How one Caffe reads the definitions of a file."""

    def __init__(self, dialect: Dialect, fields: _Fields, model: Model) -> None:
        self.dialect = dialect
        self.count = 0
        """Fields that it does not read, or would not have written, each time that one is found."""
        self.misfits: Dict[Place, str] = {}
        self._meanings: Dict[Place, Tuple[str, str]] = {}
        """What each place in use is called, and of which type it is."""
        self._first: Dict[Place, str] = {}
        """The layer where each stands first."""
        self._with_own_options = 0
        self._fields = fields
        self._messages, self._enums = dialect.definitions
        self._numbers: Dict[str, Dict[int, Tuple[str, Field]]] = {}
        self._layer = ""
        self._message(NET, model.definition.ranges)
        for layer in model.all_layers:
            self._layer = layer.name
            names = self._message(V1_LAYER if layer.definition.v1 else LAYER, layer.definition.ranges)
            self._with_own_options += self._own_options(layer) in map(_letters, names)

    @property
    def rank(self) -> Tuple[int, int]:
        """The less, the better it fits."""
        return self.count, -self._with_own_options

    def differences(self, other: _Reading) -> Dict[Place, str]:
        """Return what another reading of the same bytes calls otherwise, with the layer where it stands first."""
        return {
            place: self._first[place]
            for place, meaning in self._meanings.items()
            if other._meanings.get(place) != meaning
        }

    def _message(self, kind: str, ranges: Iterable[Tuple[int, int]], depth: int = 0) -> List[str]:
        """Read the fields of a message; return the names of those that fit."""
        numbers = self._numbers_of(kind)
        names: Dict[str, None] = {}
        for field in (field for start, end in ranges for field in self._fields.of(start, end) or ()):
            place = kind, field.number
            name, declared = numbers.get(field.number, ("", None))
            if declared is None or not self._is_read(declared, field):
                self._misfit(place)
                continue
            self.count += not self._is_written(declared, field, again=name in names)
            names[name] = None
            self._note(place, name, "number" if declared.type in _WHOLE_NUMBERS else declared.type)
            if declared.type in self._messages:
                self._inner(place, declared.type, field, depth)
            elif declared.type in self._enums and field.wire_type == VARINT:
                self._note((declared.type, field.value), self._word(declared.type, field.value), "")
        return list(names)

    def _inner(self, place: Place, kind: str, field: Found, depth: int) -> None:
        if depth == _DEEPEST or self._fields.of(field.start, field.end) is None:
            self._misfit(place)
        else:
            self._message(kind, [(field.start, field.end)], depth + 1)

    def _note(self, place: Place, name: str, kind: str) -> None:
        self._meanings[place] = name, kind
        self._first.setdefault(place, self._layer)

    def _misfit(self, place: Place) -> None:
        self.count += 1
        self.misfits.setdefault(place, self._layer)

    def _is_read(self, declared: Field, field: Found) -> bool:
        """Tell whether protobuf reads a field in the file as what is declared; it passes over all others."""
        kind, repeated = declared.type, declared.label == "repeated"
        wire_type = BYTES if kind in self._messages else _WIRE_TYPES.get(kind, VARINT)
        if repeated and field.wire_type == BYTES and wire_type != BYTES:  # packed
            return (field.end - field.start) % _SIZES.get(wire_type, 1) == 0
        known = kind not in self._enums or field.value in self._enums[kind].values()
        return field.wire_type == wire_type and known

    def _is_written(self, declared: Field, field: Found, *, again: bool) -> bool:
        """Tell whether protobuf writes such a field: once if it is not repeated, and a value that the type can have.

        `again`: whether its message had one before.
        """
        size = field.end - field.start
        several = again or size > _SIZES.get(field.wire_type, size)
        if several and declared.label != "repeated":
            return False
        if declared.type == "string":
            return self._fields.is_text(field.start, field.end)
        ranges = _RANGES.get(declared.type)
        return ranges is None or field.wire_type != VARINT or any(field.value in values for values in ranges)

    def _numbers_of(self, message: str) -> Dict[int, Tuple[str, Field]]:
        if message not in self._numbers:
            declared = self._messages.get(message, {})
            self._numbers[message] = {field.number: (name, field) for name, field in declared.items()}
        return self._numbers[message]

    def _word(self, enum: str, value: int) -> str:
        return next((word for word, number in self._enums[enum].items() if number == value), "")

    def _own_options(self, layer: Layer) -> str:
        """Return what a field with options of the layer's type would be called, in letters alone."""
        kind = stored_type(self._fields.file, layer)
        return _letters(f"{self._word(_TYPES, kind) if isinstance(kind, int) else kind}_param")


def _letters(name: str) -> str:
    """Return a name without what tells roi_pooling, ROIPooling and ROI_POOLING apart."""
    return name.replace("_", "").lower()
