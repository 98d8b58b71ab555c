"""Nets that take batches of one size alone: a Reshape to fixed lengths, the time steps of an LSTM."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Callable, Mapping, Optional

from ..errors import GraphError, NetbuildWarning
from ..fusion.agreement import declared_batch
from ..graph.view import Views
from ..layers.training import remembers
from ..schema import TEST, TRAIN, Message
from ..spelling import option
from .source import DataSource

Sized = Callable[[Mapping[str, DataSource]], Views]
"""Makes the net for training with the data of these sources."""


def trained(make: Sized, sources: Mapping[str, DataSource]) -> Views:
    """Return the net for training; where it takes no batches but those that its branches' sources declare, GraphError
    says so."""
    batch = _declared(sources)
    try:
        of_phases = make(sources)
    except GraphError as error:
        if batch is None or not _fits(make, _in_batches(sources, batch)):
            raise
        raise GraphError(f"{error}\n{_remedy(batch, 'train_batch', 'test_batch')}") from None
    _say_steps(of_phases, sources, batch)
    return of_phases


def deployed(make: Callable[[int], Message], sources: Mapping[str, DataSource], chosen: Optional[int]) -> Message:
    """Return the net for inference, made by `make` for batches of some size: as `chosen`, else of 1.

    Where the net takes no batches but those that its branches' sources declare, or counts time steps, it is made for
    these, with a NetbuildWarning.
    """
    batch = _declared(sources) or 1
    try:
        net = make(chosen or 1)
        if chosen or batch == 1 or not any(map(remembers, net.layer)):
            return net
    except GraphError as error:
        if batch in (1, chosen) or not _fits(make, batch):
            raise
        if chosen:
            raise GraphError(f"{error}\n{_remedy(batch, 'deploy_batch')}") from None
    warnings.warn(
        f"the deploy net is made for batches of {batch}, as the branches' sources declare, not of 1: its layers count "
        "on that number",
        NetbuildWarning,
        stacklevel=4,
    )
    return make(batch)


def _say_steps(of_phases: Views, sources: Mapping[str, DataSource], batch: Optional[int]) -> None:
    """Say where batches are given to a net that takes their first axis for time."""
    recurrent = [layer.name for view in of_phases.values() for _, layer in view.layers if remembers(layer)]
    given = {source.batch(phase) for source in sources.values() for phase in (TRAIN, TEST)}
    if recurrent and batch is not None and given != {batch}:
        warnings.warn(
            f"layer {recurrent[0]!r} takes the first axis for time, and the branches' sources declare {batch} of it; "
            f"say {_options(batch, 'train_batch', 'test_batch')} for as many",
            NetbuildWarning,
            stacklevel=5,
        )


def _declared(sources: Mapping[str, DataSource]) -> Optional[int]:
    return declared_batch({blob: source.input for blob, source in sources.items()})


def _in_batches(sources: Mapping[str, DataSource], batch: int) -> Mapping[str, DataSource]:
    return {blob: dataclasses.replace(one, train_batch=batch, test_batch=batch) for blob, one in sources.items()}


def _fits(make: Callable[..., object], given: object) -> bool:
    """Tell whether a net can be made with what is given; it is thrown away, and nothing said of it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            make(given)
    except GraphError:
        return False
    return True


def _remedy(batch: int, *names: str) -> str:
    return f"The branches' sources declare batches of {batch}, which fit: {_options(batch, *names)}"


def _options(batch: int, *names: str) -> str:
    return " ".join(option(name, batch) for name in names)
