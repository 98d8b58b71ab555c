"""How reports say things: numbers, sizes, branches, tables."""

from __future__ import annotations

from typing import List, Sequence

from netbuild.errors import printable


def whose(prefix: str) -> str:
    """Return how reports call the branch of this prefix."""
    return prefix or "layers without a prefix"


def counted(number: int, what: str) -> str:
    """Return '1 layer', '2 layers'."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def by(shape: Sequence[int]) -> str:
    """Return '1 x 28 x 28'."""
    return " x ".join(map(str, shape))


def mib(size: int) -> str:
    """Return a number of bytes in MiB, without the unit: '1,234.5'."""
    return f"{size / 2**20:,.1f}"


def aligned(rows: Sequence[Sequence[str]], left: Sequence[str]) -> List[str]:
    """Return the lines of a table whose first row is its heading; columns headed by one of `left` begin on the left."""
    cells = [list(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    fit = [str.ljust if name in left else str.rjust for name in rows[0]]
    return ["  ".join(pad(cell, width) for pad, cell, width in zip(fit, row, widths)).rstrip() for row in cells]
