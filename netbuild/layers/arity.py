"""How many bottoms and tops each layer takes, which Layer::CheckBlobCounts holds every net to."""

from __future__ import annotations

from typing import Optional

from ..schema import Message
from .lengths import counted
from .row import ANY, Arity, answer
from .table import of


def arity(layer: Message) -> Optional[Arity]:
    """Return how many bottoms and tops Caffe wants for a layer, None for types not known here and Python."""
    return answer(of(layer).arity, layer)


def misfit(layer: Message) -> Optional[str]:
    """Return what is wrong with a layer's number of bottoms or tops, None where nothing is."""
    wanted = arity(layer)
    if wanted is None:
        return None
    for kind, blobs, limits in (("bottom", layer.bottom, wanted.bottoms), ("top", layer.top, wanted.tops)):
        if not limits[0] <= len(blobs) <= limits[1]:
            return f"has {counted(len(blobs), kind)}; expected {_expected(*limits)}"
    if wanted.paired and len(layer.bottom) != len(layer.top):
        bottoms, tops = counted(len(layer.bottom), "bottom"), counted(len(layer.top), "top")
        return f"has {bottoms} and {tops}; expected one top for each bottom"
    return None


def _expected(least: int, most: int) -> str:
    if least == most:
        return str(least or "none")
    return f"at least {least}" if most == ANY else f"{least} to {most}" if least else f"at most {most}"
