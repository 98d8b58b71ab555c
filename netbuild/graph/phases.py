"""The phases that a net is made for: those in which its users will run it."""

from __future__ import annotations

from typing import List, Tuple

from ..layers.roles import is_loss, reads_data
from ..proto import of_phase, phases
from ..schema import TEST, TRAIN, Message


def made_for(net: Message) -> Tuple[int, ...]:
    """Return the phases a net is made for: the one that its own state names, or those in which something feeds it.

    A net whose layers no rule tells apart is made for TEST, and so is one that a caller feeds and no loss trains,
    whatever rules its layers have: nobody runs it in TRAIN.
    """
    if net.state.HasField("phase"):
        return (int(net.state.phase),)
    fed = phases(net)
    if TEST in fed and TRAIN in fed and _is_for_callers([layer for _, layer in of_phase(net, TRAIN)]):
        return (TEST,)
    return fed


def _is_for_callers(layers: List[Message]) -> bool:
    """Tell whether the layers read no data but what a caller gives, in any phase, and no loss is among them."""
    sources = [layer for layer in layers if not layer.bottom]
    alike = not any(reads_data(layer) or layer.include or layer.exclude for layer in sources)
    return alike and not any(map(is_loss, layers))
