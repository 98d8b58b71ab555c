"""The values of options: parsed, or refused with what was expected.

What makes a value of its text raises ValueError, with a few words on what it takes, for a text that it cannot take.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

import click

from netbuild.errors import GraphError, require_finite

Convert = Callable[[str], Any]


def pairs(kind: str, convert: Convert = str, *, repeat: bool = False) -> Callable[..., Dict[str, Any]]:
    """Return a callback that parses repeated KEY=VALUE into a dict; `kind` says what the keys are.

    With `repeat` a key may be given several times, and the dict holds lists.
    """

    def divide(value: str, param: click.Parameter) -> Tuple[str, str]:
        key, equals, rest = value.partition("=")
        if not equals or not rest:
            there = f": put the {kind} and '=' in front" if Path(value).exists() else ""
            raise click.BadParameter(f"{value!r}: expected {param.metavar}{there}")
        if key != key.strip():
            raise click.BadParameter(f"{value!r}: the {kind} {key!r} has a blank at its end or beginning; leave it out")
        return key, rest

    return _dict_of(divide, lambda key: f"{kind} {key!r}", convert, repeat)


def keyed(convert: Convert, *, repeat: bool = False) -> Callable[..., Dict[str, Any]]:
    """Return a callback that parses repeated [KEY=]VALUE into a dict; the key of a bare VALUE is ''.

    With `repeat` a key may be given several times, and the dict holds lists.
    """

    def divide(value: str, _param: click.Parameter) -> Tuple[str, str]:
        key, equals, rest = value.partition("=")
        return (key, rest) if equals and not Path(value).exists() else ("", value)

    return _dict_of(divide, lambda key: f"the value for {repr(key) if key else 'all'}", convert, repeat)


def single(convert: Convert) -> Callable[..., Any]:
    """Return a callback that parses the one value of an option; None where it is not given."""

    def parse(_ctx: click.Context, param: click.Parameter, value: Optional[str]) -> Any:
        return None if value is None else _made(convert, value, value, param)

    return parse


def _dict_of(
    divide: Callable[[str, click.Parameter], Tuple[str, str]],
    named: Callable[[str], str],
    convert: Convert,
    repeat: bool,
) -> Callable[..., Dict[str, Any]]:
    def parse(_ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> Dict[str, Any]:
        parsed: Dict[str, Any] = {}
        for value in values:
            key, text = divide(value, param)
            if key in parsed and not repeat:
                raise click.BadParameter(f"{value!r}: {named(key)} is given twice")
            made = _made(convert, text, value, param)
            parsed[key] = [*parsed.get(key, []), made] if repeat else made
        return parsed

    return parse


def _made(convert: Convert, text: str, value: str, param: click.Parameter) -> Any:
    try:
        return convert(text)
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: expected {param.metavar} ({error})") from None


def lengths(text: str) -> Tuple[int, ...]:
    """Return comma-separated whole numbers, each at least 1."""
    parsed = labels(text)
    if min(parsed) < 1:
        raise ValueError("each at least 1")
    return parsed


def size(text: str) -> Tuple[int, int]:
    """Return a height and a width."""
    parsed = lengths(text)
    if len(parsed) != 2:
        raise ValueError("two lengths")
    return parsed[0], parsed[1]


def side(text: str) -> int:
    """Return the length of a square's sides."""
    parsed = lengths(text)
    if len(parsed) != 1:
        raise ValueError("one length")
    return parsed[0]


def whole(text: str) -> int:
    """Return a whole number."""
    numbers = labels(text)
    if len(numbers) != 1:
        raise ValueError("one whole number")
    return numbers[0]


def finite(text: str) -> float:
    """Return a number as a net can hold it, in 32 bits."""
    try:
        value = float(text)
        require_finite("it", [value])
    except (ValueError, GraphError):
        raise ValueError("a finite number") from None
    return value


def factor(text: str) -> float:
    """Return a number by which images can be multiplied."""
    value = finite(text)
    if not value:
        raise ValueError("not 0, which makes all images alike")
    return value


def labels(text: str) -> Tuple[int, ...]:
    """Return comma-separated whole numbers."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError("whole numbers") from None


def channel_values(text: str) -> Tuple[float, ...]:
    """Return a value, or one for each channel; none for 'none'."""
    if Path(text).suffix in (".binaryproto", ".npy"):
        raise ValueError("a file is none: give the value of each channel; a net's own data layer may name a mean_file")
    return () if text == "none" else tuple(finite(part) for part in text.split(","))


def one_of(known: Sequence[str]) -> Callable[[str], str]:
    """Return what takes one of these words."""

    def check(text: str) -> str:
        if text not in known:
            raise ValueError(f"one of {', '.join(known)}")
        return text

    return check
