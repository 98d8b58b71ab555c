"""Fields that no Caffe known here has: found in a prototxt by its form alone, carried in the message, written again.

Forks of Caffe add fields, and there are more forks than anybody knows. A field with a name that the schema lacks, an
enum's word that it lacks, or a block where it knows a value, is kept as it is written, in the message that it stands in
(`schema.CARRIED`), so that it goes wherever that message goes. What it means is not known.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

from ..schema import CARRIED, Message, is_repeated, schema, values_of

_TOKEN = (
    r"(?P<skipped>\s+|#[^\n]*)"
    r"""|(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"|(?P<mark>[{}<>\[\]:;,])"
    r"|(?P<word>[^\s{}<>\[\]:;,\"'#]+)"
)
_CLOSING = {"{": "}", "<": ">", "[": "]"}
_NAME = re.compile(r"\[[^\]]*\]|[^\s:{<]+")
_NUMBER = re.compile(r"-?\d+$")
_CARRIED_LINE = re.compile(rf'^( *){CARRIED}: "(.*)"\n', re.MULTILINE)


class Unknown(NamedTuple):
    """A field that is not known, where it stands."""

    place: Tuple[Tuple[str, int], ...]
    """The fields that lead to its message from the outermost, each with its number among those of the same name."""
    owner: Any
    """The descriptor of that message."""
    name: str
    text: str
    """The field as written, on one line, without comments."""
    start: int
    """Its letters in the text, from the first ..."""
    end: int
    """... to the one after the last."""


class NoFormError(Exception):
    """The text has not the form of a prototxt, whatever its names; says where, and what was found."""


class Token(NamedTuple):
    """A word, a string or a mark of a text, or its end."""

    kind: str
    text: str
    start: int
    end: int


def unknown_fields(text: str, descriptor: Any) -> List[Unknown]:
    """Return the fields of a text that a message of this descriptor lacks, the outermost of them in their order.

    Raises NoFormError.
    """
    return list(_Reader(text).message(descriptor))


class _Reader:
    """Goes over the tokens of a text, once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._at = 0

    def message(self, descriptor: Any, closing: str = "", place: Tuple[Tuple[str, int], ...] = ()) -> Iterator[Unknown]:
        """Yield what a message lacks, up to its end."""
        counts: Dict[str, int] = {}
        while not self._ends(closing):
            if self._next().text in (",", ";"):
                self._take()
                continue
            first = self._at
            name = self._name()
            field = descriptor.fields_by_name.get(name)
            with_colon = self._next().text == ":"
            if with_colon:
                self._take()
            if field is None or not self._fits(field):
                self._skip_value()
                unknown = self._unknown(first, place, descriptor, name)
                # A mark that parts fields belongs to the field before it.
                yield unknown._replace(end=self._take().end) if self._next().text in (",", ";") else unknown
            elif field.message_type is None:
                self._skip_value()
            else:
                yield from self._messages(field, counts, place)
        if closing:
            self._take()

    def _ends(self, closing: str) -> bool:
        token = self._next()
        return token.kind == "mark" and token.text == closing if closing else token.kind == "end"

    def _messages(self, field: Any, counts: Dict[str, int], place: Tuple[Tuple[str, int], ...]) -> Iterator[Unknown]:
        """Yield what the message, or the messages of a list, that come next lack."""
        listed = self._next().text == "["
        if listed:
            self._take()
        while self._next().text != "]":
            if self._next().text == ",":
                self._take()
                continue
            number = counts.get(field.name, 0) if is_repeated(field) else 0
            counts[field.name] = number + 1
            opening = self._take().text
            if opening not in ("{", "<"):
                raise self._misplaced("{")
            yield from self.message(field.message_type, _CLOSING[opening], (*place, (field.name, number)))
            if not listed:
                return
        self._take()

    def _fits(self, field: Any) -> bool:
        """Tell whether the value that comes next has the form of the field's."""
        value, after = self._next(), self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        listed = value.text == "[" and value.kind == "mark"
        if listed and not is_repeated(field):
            return False
        sample = after if listed else value
        if sample.text == "]":
            return True
        if (field.message_type is not None) != (sample.kind == "mark"):
            return False
        if field.enum_type is not None and sample.kind == "word" and not _NUMBER.match(sample.text):
            return sample.text in field.enum_type.values_by_name
        return True

    def _name(self) -> str:
        token = self._take()
        if token.kind == "word":
            return token.text
        if token.text != "[":
            raise self._misplaced("the name of a field")
        words = [token.text]
        while words[-1] != "]":
            words.append(self._take().text)
        return "".join(words)

    def _skip_value(self) -> None:
        token = self._take()
        if token.text in _CLOSING and token.kind == "mark":
            self._skip_to(_CLOSING[token.text])
        elif token.kind == "mark":
            raise self._misplaced("a value")
        elif token.kind == "string":
            while self._next().kind == "string":
                self._take()
        elif token.text == "-":
            self._take()

    def _skip_to(self, closing: str) -> None:
        while True:
            token = self._take()
            if token.kind == "mark" and token.text in _CLOSING:
                self._skip_to(_CLOSING[token.text])
            elif token.kind == "mark" and token.text in _CLOSING.values():
                if token.text != closing:
                    raise self._misplaced(closing)
                return

    def _unknown(self, first: int, place: Tuple[Tuple[str, int], ...], owner: Any, name: str) -> Unknown:
        tokens = self._tokens[first : self._at]
        return Unknown(place, owner, name, _on_one_line(tokens), tokens[0].start, tokens[-1].end)

    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        if token.kind == "end":
            raise self._misplaced("more")
        return token

    def _misplaced(self, expected: str) -> NoFormError:
        """Return the error for the token that was taken last."""
        token = self._tokens[self._at - 1]
        return NoFormError(_where(self._text, token.start, expected, repr(token.text) if token.text else "the end"))


def tokens(text: str) -> List[Token]:
    """Return the tokens of a text, without blanks and comments, and one of the kind 'end'; raise NoFormError."""
    # Compiled here and not above: of nearly all nets nobody asks.
    token = re.compile(_TOKEN)
    found: List[Token] = []
    at = 0
    while at < len(text):
        match = token.match(text, at)
        if match is None:
            raise NoFormError(_where(text, at, "a string that is closed", "the end of its line"))
        if match.lastgroup != "skipped":
            found.append(Token(str(match.lastgroup), match[0], at, match.end()))
        at = match.end()
    return [*found, Token("end", "", at, at)]


def _where(text: str, at: int, expected: str, found: str) -> str:
    line = text.count("\n", 0, at) + 1
    return f"{line}:{at - text.rfind(chr(10), 0, at)} : expected {expected}, found {found}"


def _on_one_line(tokens: List[Token]) -> str:
    words: List[str] = []
    for token in tokens:
        if token.text == ":" and token.kind == "mark" and words:
            words[-1] += ":"
        else:
            words.append(token.text)
    return " ".join(words)


def without(text: str, unknown: List[Unknown]) -> str:
    """Return the text with blanks in the place of these fields, so that all else stays in its line and column."""
    letters = list(text)
    for one in unknown:
        letters[one.start : one.end] = [letter if letter == "\n" else " " for letter in text[one.start : one.end]]
    return "".join(letters)


def carry(message: Message, unknown: List[Unknown]) -> None:
    """Put the fields into a message that was read from the text without them."""
    for one in unknown:
        inner = message
        for name, number in one.place:
            repeated = is_repeated(inner.DESCRIPTOR.fields_by_name[name])
            inner = getattr(inner, name)[number] if repeated else getattr(inner, name)
        getattr(inner, CARRIED).append(one.text)


def carried(message: Message) -> Iterator[Tuple[str, str]]:
    """Yield the fields that a message and those inside it carry: the name of the message's type, and the text."""
    for field, value in message.ListFields():
        if field.name == CARRIED:
            yield from ((message.DESCRIPTOR.name, text) for text in value)
        elif field.message_type is not None:
            for inner in values_of(field, value):
                yield from carried(inner)


def own_fields(message: Message) -> List[str]:
    """Return the names of the fields that a message has, those that it carries included."""
    names = [field.name for field, _ in message.ListFields() if field.name != CARRIED]
    return [*names, *dict.fromkeys(name_of(text) for text in getattr(message, CARRIED))]


def name_of(carried_text: str) -> str:
    """Return the name of a field that is carried."""
    match = _NAME.match(carried_text)
    assert match is not None
    return match[0]


def written_out(text: str) -> str:
    """Return the text that protobuf writes of a message, with the fields that it carries as they were written."""
    if CARRIED not in text:
        return text
    from google.protobuf import text_format

    def lines(match: Any) -> str:
        # What protobuf escaped it reads again.
        field = text_format.Parse(f'name: "{match[2]}"', schema().NetParameter()).name
        return "".join(f"{match[1]}{line}\n" for line in _in_lines(field))

    return _CARRIED_LINE.sub(lines, text)


def left_out(text: str) -> str:
    """Return the text that protobuf writes of a message, without the fields that it carries."""
    return _CARRIED_LINE.sub("", text)


def _in_lines(field: str) -> Iterator[str]:
    """Yield the lines of a field, as protobuf would lay them out."""
    depth = 0
    words: List[str] = []
    found = tokens(field)

    def line() -> Iterator[str]:
        if words:
            yield "  " * depth + " ".join(words)
            words.clear()

    for token, after in zip(found, found[1:]):
        mark = token.text if token.kind == "mark" else ""
        begins = token.kind == "word" and after.kind == "mark" and after.text in (":", "{", "<")
        if begins or mark in ("}", ">"):
            yield from line()
        if mark in ("}", ">"):
            depth -= 1
        if mark == ":":
            words[-1] += ":"
        else:
            words.append(token.text)
        if mark in ("{", "<", "}", ">"):
            yield from line()
        if mark in ("{", "<"):
            depth += 1
    yield from line()
