"""Pictures through matplotlib, which is loaded only here, and written only when they are complete."""

from __future__ import annotations

import io
from typing import Any, Tuple

from .errors import printable
from .extras import optional
from .files import PathLike, replacing


def new_figure(what: str, size: Tuple[float, float]) -> Any:
    """Return an empty Figure of so many inches, that no window shows.

    Raises NetbuildError where matplotlib is missing; `what` says in it what cannot be drawn ('curves').
    """
    agg = optional("matplotlib.backends.backend_agg", f"{what} need")
    figure = optional("matplotlib.figure", f"{what} need").Figure(figsize=size, constrained_layout=True)
    agg.FigureCanvasAgg(figure)
    return figure


def plain(words: str) -> str:
    """Return text that matplotlib draws as it is: between two dollar signs it would look for mathematics."""
    return printable(words).replace("$", "\\$")


def save_png(figure: Any, path: PathLike) -> None:
    """Write a figure as PNG, replacing the file only when the new one is complete."""
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=110)


def svg_bytes(figure: Any) -> bytes:
    """Return a figure as an SVG file without a ground of its own, the same bytes for the same figure."""
    import matplotlib

    drawn = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "netbuild"}):
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
    return drawn.getvalue()
