"""How messages spell an option: as an argument in Python, as a flag on the command line.

Errors and warnings are written once, in the library; whoever reads them is told what can be typed where it is read.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Iterator, Mapping

_AS_FLAGS: ContextVar[bool] = ContextVar("as_flags", default=False)


def option(name: str, value: Any, *, flag: str = "") -> str:
    """Return an option as the reader of a message gives it.

    `option("bridge", "flatten")` is `bridge='flatten'`, or `--bridge flatten`; a mapping `{"odd": "FILE"}` gives
    `weights={'odd': 'FILE'}`, or `--weights odd=FILE`; True and False give `partial=True`, or `--partial` and
    `--no-partial`; a sequence `(1, 3)` gives `shape=(1, 3)`, or `--shape 1,3`. `flag` is the flag's name where it is
    not the argument's with dashes.
    """
    if not _AS_FLAGS.get():
        return f"{name}={value!r}"
    front = flag or name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{front}" if value else f"--no-{front}"
    if isinstance(value, Mapping):
        return " ".join(
            f"--{front} {key}={_listed(one)}" if key else f"--{front} {_listed(one)}" for key, one in value.items()
        )
    return f"--{front} {_listed(value)}"


def name_of(name: str, *, flag: str = "") -> str:
    """Return the bare name of an option: `bridge`, or `--bridge`."""
    return f"--{flag or name.replace('_', '-')}" if _AS_FLAGS.get() else name


def either(on_command_line: str, in_python: str) -> str:
    """Return the text for whoever reads the message, where one cannot be spelled from the other."""
    return on_command_line if _AS_FLAGS.get() else in_python


def branch_option(prefix: str, name: str, *value: str) -> str:
    """Return an option of one branch: `--mean odd=VALUE`, or `BranchSpec(mean=VALUE)`; several values as a list."""
    if not _AS_FLAGS.get():
        return f"BranchSpec({name}={value[0] if len(value) == 1 else '(' + ', '.join(value) + ')'})"
    front = f"{prefix}=" if prefix else ""
    return f"--{name.replace('_', '-')} {front}{','.join(value)}"


def spells_flags() -> bool:
    """Tell whether options are spelled as flags."""
    return _AS_FLAGS.get()


@contextmanager
def flags(on: bool = True) -> Iterator[None]:
    """Spell options as flags for as long as this lasts: for the command line."""
    token = _AS_FLAGS.set(on)
    try:
        yield
    finally:
        _AS_FLAGS.reset(token)


def _listed(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
