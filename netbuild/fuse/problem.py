"""The table of everything that keeps a plan from being carried out."""

from __future__ import annotations

from typing import List, Mapping, NamedTuple, Sequence

from ..errors import WeightsError, printable

MISSING, DIFFERS, NO_PREFIX = "missing", "differs", "no prefix"
Advice = Mapping[str, str]
"""What the caller can do about a kind of problem, a sentence each; '' is for any."""


class Problem(NamedTuple):
    """A row of the table that a refused plan prints."""

    kind: str
    target: str
    expected: str
    source: str
    found: str


_HEADING = Problem("PROBLEM", "TARGET LAYER", "EXPECTED", "SOURCE", "FOUND")


def require_none(problems: Sequence[Problem], advice: Advice) -> None:
    """Raise WeightsError with a table of the problems, if there are any, and the advice on their kinds."""
    if not problems:
        return
    kinds = {problem.kind for problem in problems}
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [
        f"the weights do not fit the target ({count}); nothing was written:",
        *_table([_HEADING, *problems]),
        *(sentence for kind, sentence in advice.items() if kind in ("", *kinds)),
    ]
    raise WeightsError("\n".join(lines))


def _table(problems: Sequence[Problem]) -> List[str]:
    rows = [[printable(cell) for cell in row] for row in problems]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
