"""A message from its text, and its text from a message; what no Caffe known here has is carried along."""

from __future__ import annotations

import re
import warnings
from typing import Any, Dict, List, Sequence, Tuple

from ..errors import GraphError, NetbuildWarning, did_you_mean
from ..schema import Message, schema
from .lines import read_lines
from .needs import needs
from .unknown import NoFormError, Unknown, carry, unknown_fields, without, written_out

_KNOWN = {
    "NetParameter": re.compile(r"^\s*(layers?|input)\b", re.MULTILINE),
    "SolverParameter": re.compile(r"^\s*[a-z]", re.MULTILINE),
}
"""What a text has that is one of such a message at all."""
_SLIP = 0.88
"""How like a known name is what may be a slip of it: forks' own names have words and endings in common with others."""
_AT_HAND = "where you have the Caffe that knows it, put its python folder on PYTHONPATH"
_NO_FIELD = "has no field named"
_LAYERS = ("LayerParameter", "V1LayerParameter")
_NET_OF_SOLVER = re.compile(r"""^\s*(?:train_)?net\s*:\s*["']([^"'\n]+)["']""", re.MULTILINE)


def parsed(text: str) -> Message:
    """Return the net of a text that no user wrote; what is carried is not told."""
    return parse(text, schema().NetParameter(), "the net", tell=False)


def parsed_solver(text: str) -> Message:
    """Return the solver of a prototxt that netbuild wrote itself."""
    return parse(text, schema().SolverParameter(), "the solver", tell=False)


def to_text(message: Message) -> str:
    """Return a message as prototxt."""
    from google.protobuf import text_format

    return written_out(str(text_format.MessageToString(message)))


def file_text(message: Message) -> str:
    """Return a message as the prototxt of a file, whose first line says what Caffe it needs if upstream will not do."""
    sentence = needs(message).sentence
    return f"# {sentence}\n{to_text(message)}" if sentence else to_text(message)


def parse(text: str, message: Message, source: str, *, tell: bool = True) -> Message:
    """Fill a message from its text; what no Caffe known here has is carried, and told in a NetbuildWarning."""
    if read_lines(text, message):
        return message
    # Imported where it is needed: it costs as much as reading most files without it.
    from google.protobuf import text_format

    try:
        message.Clear()
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        found = _unknown(text, message, source, error)
        rest = without(text, found)
        if not found or not _KNOWN[message.DESCRIPTOR.name].search(rest) or _layer_in_layer(found):
            raise _failure(text, message, source, str(error)) from None
    try:
        message.Clear()
        text_format.Parse(rest, message)
    except text_format.ParseError as error:
        raise _failure(text, message, source, str(error)) from None
    carry(message, found)
    _require_no_slip(text, found, source)
    if tell:
        _tell(text, found, source)
    return message


def _unknown(text: str, message: Message, source: str, error: Exception) -> List[Unknown]:
    """Return what a message cannot take of a text; `error` is what protobuf says of the first of it."""
    try:
        return unknown_fields(text, message.DESCRIPTOR)
    except NoFormError as form:
        # A name that is not known is not what is wrong with such a text.
        raise _failure(text, message, source, str(form if _NO_FIELD in str(error) else error)) from None


def _layer_in_layer(unknown: Sequence[Unknown]) -> bool:
    """Tell whether a layer stands in another, as where a brace is missing: no Caffe has that, whatever its fields."""
    return any(one.owner.name in _LAYERS and one.name in ("layer", "layers") for one in unknown)


def _failure(text: str, message: Message, source: str, complaint: str) -> GraphError:
    """Return the error of a text that cannot be read: what it is instead, a brace that is missing, or the complaint."""
    # Imported where they are needed: most texts can be read.
    from ..what_is import NET, SOLVER, instead
    from .braces import fault_before

    wanted = NET if message.DESCRIPTOR.name == "NetParameter" else SOLVER
    foreign = instead(text.encode("utf-8", "replace"), wanted)
    net = _NET_OF_SOLVER.search(text) if foreign and wanted == NET else None
    more = f"; its net is {net[1]!r}" if net else ""
    words = f"{foreign}{more}" if foreign else fault_before(text, complaint) or complaint.rstrip(".")
    return GraphError(f"{source}: {words}")


def _require_no_slip(text: str, unknown: Sequence[Unknown], source: str) -> None:
    """Raise GraphError for a word in other letters, as cpu for CPU: every Caffe has words that differ in more."""
    for one in unknown:
        field = one.owner.fields_by_name.get(one.name)
        value = _value(one)
        meant = field is not None and field.enum_type is not None and _likely(field, value)
        if meant and value.lower() in meant.lower():
            line = text.count("\n", 0, one.start) + 1
            raise GraphError(f"{source}: line {line} has {one.name} {value!r}, which no Caffe knows; {meant}")


def _value(unknown: Unknown) -> str:
    return unknown.text.partition(":")[2].strip()


def _likely(field: Any, value: str) -> str:
    """Return which of the words that a field takes may be meant by another, as cpu by CPU."""
    words = [word.name for word in field.enum_type.values] if field.enum_type is not None else []
    same = [word for word in words if word.lower() == value.lower()]
    return f"did you mean {same[0]!r}?" if same else did_you_mean(value, words, "", likeness=_SLIP)


def _tell(text: str, unknown: Sequence[Unknown], source: str) -> None:
    """Warn of each kind of field that is carried, once, with the line where it first stands."""
    kinds: Dict[Tuple[str, str], List[Unknown]] = {}
    for one in unknown:
        # A type of an old layer gets a new name in the upgrade, which tells it.
        if (one.owner.name, one.name) != ("V1LayerParameter", "type"):
            kinds.setdefault((one.owner.name, one.name), []).append(one)
    for (owner, name), those in kinds.items():
        line = text.count("\n", 0, those[0].start) + 1
        more = f" and {len(those) - 1} more" if len(those) > 1 else ""
        known = those[0].owner.fields_by_name
        value = _value(those[0])
        what = f"the field {name!r} of {owner}"
        hint = did_you_mean(name, known, "", likeness=_SLIP)
        if name in known:
            what, hint = f"the value {value!r} for {name!r} of {owner}", _likely(known[name], value)
        warnings.warn(
            f"{source}: no Caffe that is known here has {what} (line {line}{more}); it is kept as it is written, and "
            f"what it means is not known; {hint or _AT_HAND}",
            NetbuildWarning,
            stacklevel=2,
        )
