"""Message definitions as values: read from .proto text, joined, and made into classes by protobuf.

The text is the part of protobuf's language (proto2) that caffe.proto needs, one statement to a line: `message X {`,
`enum X {`, `LABEL TYPE name = NUMBER [OPTIONS];`, `NAME = NUMBER;`, `}`, and `import "FILE";` for all that stands in
another file, to which what follows adds. Names of nested types are joined by dots.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional

PACKAGE = "caffe"

_STATEMENT = (
    r"(?P<label>optional|required|repeated) (?P<type>[\w.]+) (?P<field>\w+) = (?P<number>\d+)(?: \[(?P<options>.*)\])?;"
    r"|(?P<value>\w+) = (?P<of_value>-?\d+);"
    r"|(?P<kind>message|enum) (?P<name>\w+) \{"
    r"|(?P<end>\})"
    r'|import "(?P<file>[\w.]+)";'
    r"|(?://.*|syntax .*|package .*)?$"
)
_DEFAULT = r'default = ("(?:[^"\\]|\\.)*"|[^,\s]+)'
_PACKED = "packed = true"
_OWN_NUMBERS = range(100_000, 1 << 28)
"""For what has a name of its own and a number that another has: no Caffe has numbers as large."""
SCALARS = ("double", "float", "int64", "int32", "bool", "string", "bytes", "uint32")
_REALS = ("float", "double")


class Field(NamedTuple):
    """A field of a message."""

    label: str
    """optional, required or repeated."""
    type: str
    """A scalar type of protobuf, or the name of a message or an enum."""
    number: int
    default: Optional[str] = None
    """As its text stands in a .proto; None without one."""
    packed: bool = False


class Definitions(NamedTuple):
    """Messages and enums, by their names: 'PoolingParameter', 'PoolingParameter.PoolMethod'."""

    messages: Dict[str, Dict[str, Field]]
    enums: Dict[str, Dict[str, int]]


def read(path: Path) -> Definitions:
    """Read the definitions of a .proto file."""
    found = Definitions({}, {})
    scopes: List[str] = []
    # Compiled here and not above: where the schema is kept nobody needs it.
    statement = re.compile(_STATEMENT)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = statement.match(line.strip())
        if match is None:
            raise ValueError(f"{path}, line {number}: not a statement that is known here: {line}")
        if match["field"]:
            found.messages[scopes[-1]][match["field"]] = _field(match)
        elif match["value"]:
            found.enums[scopes[-1]][match["value"]] = int(match["of_value"])
        elif match["kind"]:
            scopes.append(".".join([*scopes[-1:], match["name"]]))
            known: Dict[str, Any] = found.messages if match["kind"] == "message" else found.enums
            known.setdefault(scopes[-1], {})
        elif match["end"]:
            scopes.pop()
        elif match["file"]:
            _take_in(read(path.with_name(match["file"])), found)
    return _with_whole_names(found)


def _take_in(more: Definitions, found: Definitions) -> None:
    for message, fields in more.messages.items():
        found.messages.setdefault(message, {}).update(fields)
    for enum, values in more.enums.items():
        found.enums.setdefault(enum, {}).update(values)


def _field(match: Any) -> Field:
    options = match["options"] or ""
    default = re.search(_DEFAULT, options)
    return Field(match["label"], match["type"], int(match["number"]), default and default[1], _PACKED in options)


def _with_whole_names(found: Definitions) -> Definitions:
    """Return the definitions with the types of fields named from the outermost message on, where they are nested."""

    def whole(kind: str, scope: str) -> str:
        if kind in SCALARS:
            return kind
        while scope:
            name = f"{scope}.{kind}"
            if name in found.messages or name in found.enums:
                return name
            scope = scope.rpartition(".")[0]
        return kind

    return Definitions(
        {
            message: {name: field._replace(type=whole(field.type, message)) for name, field in fields.items()}
            for message, fields in found.messages.items()
        },
        found.enums,
    )


def kind_of(descriptor: Any) -> str:
    """Return what definitions call the message or enum of a descriptor: 'PoolingParameter.PoolMethod'."""
    return str(descriptor.full_name[len(PACKAGE) + 1 :])


def of_descriptor(file: Any) -> Definitions:
    """Return the definitions of a FileDescriptorProto of the package `caffe`."""
    found = Definitions({}, {})

    def take_enum(enum: Any, scope: str) -> None:
        found.enums[scope + enum.name] = {value.name: value.number for value in enum.value}

    def take(message: Any, scope: str) -> None:
        name = scope + message.name
        found.messages[name] = {field.name: _described(field) for field in message.field}
        for enum in message.enum_type:
            take_enum(enum, name + ".")
        for inner in message.nested_type:
            take(inner, name + ".")

    for enum in file.enum_type:
        take_enum(enum, "")
    for message in file.message_type:
        take(message, "")
    return found


def _described(field: Any) -> Field:
    kind = field.type_name[len(PACKAGE) + 2 :] or field.Type.Name(field.type)[len("TYPE_") :].lower()
    default = field.default_value if field.HasField("default_value") else None
    if default is not None and kind in ("string", "bytes"):
        default = f'"{default}"'
    return Field(
        field.Label.Name(field.label)[len("LABEL_") :].lower(), kind, field.number, default, field.options.packed
    )


def joined(all_of: Iterable[Definitions], widened: bool = False) -> Definitions:
    """Return one set of definitions for the texts of all: every field, enum and value by its name.

    Of fields of one name the first decides, its number and its default included; where `widened`, it becomes one that
    takes the text of both. A number that another name has already gives way to one that no Caffe uses.
    """
    whole = Definitions({}, {})
    for one in all_of:
        for message, fields in one.messages.items():
            known = whole.messages.setdefault(message, {})
            for name, field in fields.items():
                first = known.setdefault(name, field)
                if widened:
                    known[name] = _either(first, field)
        for enum, values in one.enums.items():
            for name, number in values.items():
                whole.enums.setdefault(enum, {}).setdefault(name, number)
    for message, fields in whole.messages.items():
        numbers = _distinct({name: field.number for name, field in fields.items()})
        whole.messages[message] = {name: field._replace(number=numbers[name]) for name, field in fields.items()}
    for enum, values in whole.enums.items():
        whole.enums[enum] = _distinct(values)
    return whole


def _either(first: Field, other: Field) -> Field:
    """Return a field that takes the text of both."""
    if "repeated" in (first.label, other.label) and first.label != other.label:
        first = first._replace(label="repeated", default=None)
    if other.type in _REALS and first.type in SCALARS and first.type not in _REALS:
        return first._replace(type=other.type)
    return first


def _distinct(numbers: Dict[str, int]) -> Dict[str, int]:
    """Return the numbers by name, where one has been given before with one that is free."""
    result: Dict[str, int] = {}
    theirs = set(numbers.values())
    free = (number for number in _OWN_NUMBERS if number not in theirs)
    taken = set()
    for name, number in numbers.items():
        result[name] = next(free) if number in taken else number
        taken.add(number)
    return result


def overridden(base: Definitions, fork: Definitions) -> Definitions:
    """Return the definitions of a fork: those of upstream, where the fork does not use their numbers, and its own."""

    def merged(theirs: Dict[str, Any], own: Dict[str, Any], number: Callable[[Any], int]) -> Dict[str, Any]:
        taken = set(map(number, own.values()))
        return {**{name: one for name, one in theirs.items() if name in own or number(one) not in taken}, **own}

    messages, enums = dict(base.messages), dict(base.enums)
    for message, fields in fork.messages.items():
        messages[message] = merged(messages.get(message, {}), fields, lambda field: int(field.number))
    for enum, values in fork.enums.items():
        enums[enum] = merged(enums.get(enum, {}), values, int)
    return Definitions(messages, enums)
