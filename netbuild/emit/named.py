"""The net that a command line's NET names: a prototxt as it stands, or what a builder makes."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional, Sequence

from .. import proto
from ..branches.given import prototxts, require_no_state
from ..branches.table import find_builder
from ..errors import GraphError
from ..schema import Message
from ..spelling import name_of


def named_net(
    name: str, classes: Optional[int] = None, *, stages: Sequence[str] = (), level: Optional[int] = None
) -> Message:
    """Return the net of a prototxt, or of a builder: up to its seam, or with `classes` the net that trains, fed by
    images that are resized to the shape that the builder declares.

    Stages and level choose layers of a prototxt, as in `read_net`. Raises GraphError where there is none of that name,
    for `classes` of a prototxt, which has its own, and for stages of a builder, which has none.
    """
    files = prototxts(name)
    if files and classes is not None:
        raise GraphError(f"{name}: a prototxt has its own classes; {name_of('classes')} is for builders")
    if len(files) > 1:
        raise GraphError(f"{name}: one net is expected here; give one of these files")
    if files:
        return proto.read_net(files[0], stages=stages, level=level)
    require_no_state(name, stages, level)
    # For builders only: it takes as long to load as a small prototxt's summary.
    from ..branches.source import alone

    builder = find_builder(name)
    net, branch = alone(builder)
    if classes is None:
        return net
    if branch.input is None or branch.input.shape is None:
        raise GraphError(f"{name}: the builder does not tell the shape of its input; write the net with emit first")
    # Few ask for it, and it takes as long to load as the rest.
    from ..fusion import Fusion
    from .files import train_val
    from .source import DataSource

    return train_val(Fusion({"": builder}, classes, frozen=False), DataSource(replace(branch.input, resize=True)))
