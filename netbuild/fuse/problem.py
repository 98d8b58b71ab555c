"""The table of everything that keeps a plan from being carried out."""

from __future__ import annotations

from typing import NamedTuple, Sequence

from ..errors import WeightsError, printable

_REMEDIES = {
    "missing": "Where a file calls a layer otherwise: --map PREFIX:LAYER=NAME; to leave it to its filler: --partial.",
    "differs": "Where a parameter is meant to differ from what the file says: --accept PARAMETER.",
}


class Problem(NamedTuple):
    """A row of the table that a refused plan prints."""

    what: str
    target: str
    expected: str
    source: str
    found: str


def require_none(problems: Sequence[Problem]) -> None:
    """Raise WeightsError with a table of the problems, if there are any."""
    if not problems:
        return
    heading = Problem("PROBLEM", "TARGET LAYER", "EXPECTED", "SOURCE", "FOUND")
    rows = [[printable(cell) for cell in row] for row in (heading, *problems)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heading))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise WeightsError(
        f"the weights do not fit the target ({count}); nothing was written:\n"
        + "\n".join(lines)
        + "".join(
            f"\n{remedy}" for what, remedy in _REMEDIES.items() if any(problem.what == what for problem in problems)
        )
        + "\nCheck that each --weights PREFIX=FILE names the file of that branch and the target its prefixes."
    )
