"""Prototxt: text to message and back, and which layers a phase has."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

from ..errors import GraphError, NetbuildWarning, did_you_mean
from ..files import PathLike, existing_file, write_text
from ..schema import TEST, TRAIN, Message, is_repeated, schema
from .lines import read_lines
from .needs import needs
from .state import NetState
from .unknown import NoFormError, Unknown, carry, unknown_fields, without, written_out
from .upgrade import upgraded

_KNOWN = {
    "NetParameter": re.compile(r"^\s*(layers?|input)\b", re.MULTILINE),
    "SolverParameter": re.compile(r"^\s*[a-z]", re.MULTILINE),
}
"""What a text has that is one of such a message at all."""
_KINDS = {"NetParameter": "a net", "SolverParameter": "a solver"}
_SLIP = 0.88
"""How like a known name is what may be a slip of it: forks' own names have words and endings in common with others."""
_NO_FIELD = "has no field named"
_FILLERS = ("weight_filler", "bias_filler", "filler")


def read_net(path: PathLike) -> Message:
    """Read the prototxt of a net, of whatever age, in the current format.

    Args:
        path: The prototxt.

    Returns:
        The net as a NetParameter.

    Raises:
        GraphError: The text does not parse (with line and column), or cannot be upgraded.
        NetbuildError: There is no such file, or it cannot be read.

    Examples:
        >>> from netbuild import read_net
        >>> net = read_net("odd/deploy.prototxt")
        >>> net.name, [layer.type for layer in net.layer][:3]
        ('LeNet', ['Input', 'Convolution', 'Pooling'])
    """
    return upgraded(_parse(path, schema().NetParameter()), str(path))


def read_solver(path: PathLike) -> Message:
    """Read the prototxt of a solver.

    Args:
        path: The prototxt.

    Returns:
        The solver as a SolverParameter.

    Raises:
        GraphError: The text does not parse (with line and column).
        NetbuildError: There is no such file, or it cannot be read.

    Examples:
        >>> from netbuild import read_solver
        >>> solver = read_solver("fused/solver.prototxt")
        >>> solver.net, solver.max_iter
        ('fused/train_val.prototxt', 20)
    """
    return _parse(path, schema().SolverParameter())


def parsed(text: str) -> Message:
    """Return the net of a text that no user wrote; what is carried is not told."""
    return _parse_text(text, schema().NetParameter(), "the net", tell=False)


def parsed_solver(text: str) -> Message:
    """Return the solver of a prototxt that netbuild wrote itself."""
    return _parse_text(text, schema().SolverParameter(), "the solver", tell=False)


def to_text(message: Message) -> str:
    """Return a message as prototxt."""
    from google.protobuf import text_format

    return written_out(str(text_format.MessageToString(message)))


def file_text(message: Message) -> str:
    """Return a message as the prototxt of a file, whose first line says what Caffe it needs if upstream will not do."""
    sentence = needs(message).sentence
    return f"# {sentence}\n{to_text(message)}" if sentence else to_text(message)


def write(path: PathLike, message: Message) -> None:
    """Write a message as prototxt, replacing the file only when the new one is complete."""
    write_text(path, file_text(message))


def copied(message: Message) -> Message:
    """Return a copy of a message, for functions that return an edited net."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def without_fillers(layer: Message) -> Message:
    """Return the layer without the fields that only say how its parameters begin."""
    bare = copied(layer)
    for options, field in list(_fillers(bare)):
        options.ClearField(field)
    return bare


def fillers(layer: Message) -> Dict[str, Message]:
    """Return how the layer says that its parameters begin, by the names of the fields; none where it does not say."""
    return {field: getattr(options, field) for options, field in _fillers(layer)}


def _fillers(layer: Message) -> Iterator[Tuple[Message, str]]:
    for descriptor, options in layer.ListFields():
        if descriptor.name.endswith("_param") and not is_repeated(descriptor):
            for field in _FILLERS:
                if field in options.DESCRIPTOR.fields_by_name and options.HasField(field):
                    yield options, field


def in_phase(layer: Message, phase: int) -> bool:
    """Tell whether Caffe keeps the layer in a net of this phase, at level 0 and without stages."""
    return NetState(phase).keeps(layer)


def of_phase(net: Message, phase: int) -> List[Tuple[int, Message]]:
    """Return the layers of one phase, each with its index in the net."""
    return NetState(phase).layers(net)


def only_phase(net: Message, phase: int) -> Message:
    """Return a net of one phase's layers, without the rules that told the phases apart."""
    return NetState(phase).only(net)


def phases(net: Message) -> Tuple[int, ...]:
    """Return the phases a net is made for: those with a layer that needs no bottom; TEST where all are alike."""
    if not any(layer.include or layer.exclude for layer in net.layer):
        return (TEST,)
    fed = [phase for phase in (TEST, TRAIN) if any(not layer.bottom for _, layer in of_phase(net, phase))]
    return tuple(fed) or (TEST,)


def phase_name(phase: int) -> str:
    """Return 'TRAIN' or 'TEST'."""
    return "TRAIN" if phase == TRAIN else "TEST"


def _parse(path: PathLike, message: Message) -> Message:
    file: Path = existing_file(path, "prototxt")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise GraphError(f"prototxt {str(file)!r}: is not text; a prototxt is expected here") from None
    if read_lines(text, message):
        return message
    return _parse_text(text, message, f"prototxt {str(file)!r}")


def _parse_text(text: str, message: Message, source: str, *, tell: bool = True) -> Message:
    """Fill a message from its text; what no Caffe known here has is carried, and told in a NetbuildWarning."""
    # Imported where it is needed: it costs as much as reading most files without it.
    from google.protobuf import text_format

    try:
        message.Clear()
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        found = _unknown(text, message, source, error)
        rest = without(text, found)
        if not found or not _KNOWN[message.DESCRIPTOR.name].search(rest):
            raise GraphError(f"{source}: {error}{_other_kind(found, message)}") from None
    try:
        message.Clear()
        text_format.Parse(rest, message)
    except text_format.ParseError as error:
        raise GraphError(f"{source}: {error}") from None
    carry(message, found)
    if tell:
        _tell(text, found, source)
    return message


def _unknown(text: str, message: Message, source: str, error: Exception) -> List[Unknown]:
    """Return what a message cannot take of a text; `error` is what protobuf says of the first of it."""
    try:
        return unknown_fields(text, message.DESCRIPTOR)
    except NoFormError as form:
        # A name that is not known is not what is wrong with such a text.
        raise GraphError(f"{source}: {form if _NO_FIELD in str(error) else error}") from None


def _other_kind(unknown: Sequence[Unknown], message: Message) -> str:
    """Return the end of a sentence about a text that is none of such a message: what it is instead."""
    names = {one.name for one in unknown if not one.place}
    for kind, what in (("SolverParameter", "a solver"), ("NetParameter", "a net")):
        fields = getattr(schema(), kind).DESCRIPTOR.fields_by_name
        if names and kind != message.DESCRIPTOR.name and names <= set(fields):
            return f"; this is {what}, and {_KINDS[message.DESCRIPTOR.name]} is expected here"
    return ""


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
        what = f"the value that {name!r} has in {owner}" if name in known else f"the field {name!r} of {owner}"
        hint = "" if name in known else did_you_mean(name, known, "", likeness=_SLIP)
        warnings.warn(
            f"{source}: no Caffe that is known here has {what} (line {line}{more}); it is kept as it is written, and "
            f"what it means is not known{'; ' if hint else ''}{hint}",
            NetbuildWarning,
            stacklevel=2,
        )
