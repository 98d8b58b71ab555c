"""The values of options: parsed, or refused with what was expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence, Tuple, TypeVar

import click

from netbuild.errors import GraphError, require_finite

Value = TypeVar("Value")


def pairs(kind: str, *, repeat: bool = False) -> Callable[..., Dict[str, Any]]:
    """Return a callback that parses repeated KEY=VALUE into a dict and refuses a key given twice.

    With `repeat` a key may be given several times, and the dict holds lists.
    """

    def parse(_ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> Dict[str, Any]:
        parsed: Dict[str, Any] = {}
        for value in values:
            key, equals, rest = value.partition("=")
            if not equals or not rest:
                raise click.BadParameter(f"{value!r}: expected {param.metavar}")
            if key in parsed and not repeat:
                raise click.BadParameter(f"{kind} {key!r} is given twice; each needs its own")
            parsed[key] = [*parsed.get(key, []), rest] if repeat else rest
        return parsed

    return parse


def keyed(convert: Callable[[str], Value], *, repeat: bool = False) -> Callable[..., Any]:
    """Return a callback that parses repeated [KEY=]VALUE into a dict; the key of a bare VALUE is ''.

    `convert` makes a value of its text and raises ValueError for one it cannot take. With `repeat` a key may be given
    several times, and the dict holds lists.
    """

    def parse(_ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> Dict[str, Any]:
        parsed: Dict[str, Any] = {}
        for value in values:
            key, equals, rest = value.partition("=")
            if not equals or Path(value).exists():
                key, rest = "", value
            if key in parsed and not repeat:
                whom = repr(key) if key else "all"
                raise click.BadParameter(f"{value!r}: the value for {whom} is given twice")
            try:
                made = convert(rest)
            except ValueError as error:
                raise click.BadParameter(f"{value!r}: expected {param.metavar} ({error})") from None
            parsed[key] = [*parsed.get(key, []), made] if repeat else made
        return parsed

    return parse


def lengths(text: str) -> Tuple[int, ...]:
    """Return comma-separated whole numbers, each at least 1."""
    parsed = tuple(int(part) for part in text.split(","))
    if min(parsed) < 1:
        raise ValueError("each at least 1")
    return parsed


def finite(text: str) -> float:
    """Return a number as a net can hold it, in 32 bits."""
    value = float(text)
    try:
        require_finite("it", [value])
    except GraphError:
        raise ValueError("a finite number") from None
    return value


def factor(text: str) -> float:
    """Return a number by which images can be multiplied."""
    value = finite(text)
    if not value:
        raise ValueError("not 0, which makes all images alike")
    return value


def labels(text: str) -> Tuple[int, ...]:
    """Return comma-separated labels."""
    return tuple(int(part) for part in text.split(","))


def channel_values(text: str) -> Tuple[float, ...]:
    """Return a value, or one for each channel; none for 'none'."""
    return () if text == "none" else tuple(finite(part) for part in text.split(","))


def numbers(count: Sequence[int]) -> Callable[[click.Context, click.Parameter, Optional[str]], Any]:
    """Return a callback that parses comma-separated whole numbers, as many as one of `count`."""

    def parse(_ctx: click.Context, param: click.Parameter, value: Optional[str]) -> Optional[Tuple[int, ...]]:
        if value is None:
            return None
        try:
            parsed = tuple(int(part) for part in value.split(","))
        except ValueError:
            raise click.BadParameter(f"{value!r}: expected {param.metavar}, whole numbers") from None
        if len(parsed) not in count or min(parsed) < 1:
            raise click.BadParameter(f"{value!r}: expected {param.metavar}, each at least 1")
        return parsed

    return parse
