"""Which layers of a net learn, how fast, and on which statistics."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Collection, Dict, Iterator, Optional, Sequence, Set, Tuple

from ..errors import GraphError, NetbuildWarning
from ..layers import infer
from ..layers.fields import unclear
from ..layers.roles import is_filled, is_input, is_loss_layer, is_unknown
from ..layers.training import (
    draws,
    has_own_code,
    has_own_rates,
    has_statistics_alone,
    normalises,
    statistics,
    work_on_each_batch,
    work_on_stored_statistics,
)
from ..proto import copied, in_phase, of_phase
from ..schema import TEST, TRAIN, Message
from .flow import Flow

BATCH_NORM = ("global", "batch")
"""The statistics that BatchNorm normalises by in training: those stored in its weights, or each batch's own."""


class Edit:
    """A copy of a net, edited where it stands: what several edits ask of the net is asked once."""

    def __init__(self, net: Message) -> None:
        self.net = copied(net)

    @cached_property
    def blobs(self) -> Dict[int, Optional[int]]:
        """The number of parameter blobs of each layer, by index; None for a layer type not known here."""
        params = {index: shapes for phase in self._phases for index, shapes in infer(self.net, phase).params.items()}
        return {index: None if shapes is None else len(shapes) for index, shapes in sorted(params.items())}

    @cached_property
    def flows(self) -> Sequence[Flow]:
        """Who writes and who reads each blob in the phases that there are: no edit changes it."""
        return [Flow(of_phase(self.net, phase)) for phase in self._phases]

    @cached_property
    def _phases(self) -> Sequence[int]:
        """The phases that have all layers between them: TEST alone, unless some layer is in TRAIN only."""
        return (TEST,) if all(in_phase(layer, TEST) for layer in self.net.layer) else (TRAIN, TEST)

    def behind(self, blob: str) -> Set[int]:
        """Return the layers that a blob depends on, in any phase, those that make it included."""
        makers = [(flow, flow.writer[blob]) for flow in self.flows if blob in flow.writer]
        return set().union(*(flow.behind([maker]) for flow, maker in makers))

    def named(self, name: str, like: Message) -> Optional[Message]:
        """Return the layer of this name that is in the phases of another; of several layers the last."""
        return self._by_name.get((name, _in_phases(like)))

    @cached_property
    def _by_name(self) -> Dict[Tuple[str, Tuple[bool, ...]], Message]:
        return {(layer.name, _in_phases(layer)): layer for layer in self.net.layer}

    @cached_property
    def _rated(self) -> Set[str]:
        """The shared parameters that a layer gives a learning rate."""
        return {name for layer in self.net.layer for name in _rated_by(layer)}

    def freeze(self, layers: Optional[Collection[int]] = None) -> None:
        """Do what `frozen` does."""
        for layer, blobs in self._of(layers):
            _freeze(layer, blobs)
            self.rates_changed(layer)

    def freeze_sharers(self, fixed: Collection[int], others: Collection[int]) -> Set[int]:
        """Freeze what those of the others share with layers that are fixed: Caffe takes one rate for a parameter.

        Returns the layers concerned. One that has no other parameters is fixed like these; of one that has, those of
        its own go on learning.
        """
        names = {spec.name for index in fixed for spec in self.net.layer[index].param} - {""}
        found = {index for index in others if any(spec.name in names for spec in self.net.layer[index].param)}
        for index in found:
            layer, blobs = self.net.layer[index], self.blobs.get(index)
            shared = [spec for spec in layer.param if spec.name in names]
            if len(shared) == blobs:
                self.freeze({index})
            for spec in shared:
                spec.lr_mult = spec.decay_mult = 0
        return found

    def slow(self, factor: float, layers: Optional[Collection[int]] = None) -> None:
        """Do what `slowed` does."""
        for layer, blobs in self._of(layers):
            # Statistics never learn, and Caffe takes no other rate for them than 0.
            if not has_statistics_alone(layer):
                _require_heeded_rates(layer)
                _complete(layer, blobs)
                self._multiply(layer, factor)
                for blob in statistics(layer):
                    layer.param[blob].lr_mult = layer.param[blob].decay_mult = 0

    def normalise(self, by: str, layers: Optional[Collection[int]] = None) -> None:
        """Do what `normalised_by` does."""
        if by not in BATCH_NORM:
            raise GraphError(f"no BatchNorm statistics {by!r}; known are {' and '.join(BATCH_NORM)}")
        for layer, _ in self._of(layers):
            if normalises(layer):
                work_on_each_batch(layer)
                if by == "global":
                    work_on_stored_statistics(layer)

    def rates_changed(self, layer: Message) -> None:
        """Take note of the rates that a layer gives now."""
        self._rated.update(_rated_by(layer))

    def _multiply(self, layer: Message, factor: float) -> None:
        for spec in layer.param:
            if spec.HasField("lr_mult") or spec.name not in self._rated:
                spec.lr_mult *= factor
                self._rated.update([spec.name] if spec.name else [])

    def _of(self, layers: Optional[Collection[int]]) -> Iterator[Tuple[Message, Optional[int]]]:
        """Yield the layers of these indices (None: all), each with its number of blobs, in the net's order."""
        for index in self.blobs if layers is None else sorted(layers):
            if index in self.blobs:
                yield self.net.layer[index], self.blobs[index]


def frozen(net: Message, layers: Optional[Collection[int]] = None) -> Message:
    """Return the net with the layers of these indices (default: all) fixed, so that they compute one function.

    Each parameter blob gets a `param` entry with `lr_mult: 0` and `decay_mult: 0`, also where there was none: without
    an entry a blob learns at 1, and a BatchNorm without its three makes Caffe run backward through all that stands
    before it. BatchNorm works on its stored statistics; Dropout and stochastic pooling get `phase: TEST`. Nothing of
    them counts as a loss.
    Raises GraphError for what cannot be fixed: a Python layer with parameters, whose own code may change them, and a
    DummyData that fills its tops at random. Of a layer type that is not known here only the entries that stand in the
    net are set, with a NetbuildWarning.
    """
    edit = Edit(net)
    edit.freeze(layers)
    return edit.net


def slowed(net: Message, factor: float, layers: Optional[Collection[int]] = None) -> Message:
    """Return the net with each learning rate multiplied: an `lr_mult` of 2 becomes 2 * factor, a missing one factor.

    Of layers that share a parameter, those that leave its rate to another go on leaving it: Caffe takes no two.
    """
    edit = Edit(net)
    edit.slow(factor, layers)
    return edit.net


def normalised_by(net: Message, statistics: str, layers: Optional[Collection[int]] = None) -> Message:
    """Return the net with BatchNorm on the `global` statistics of its weights, or on each `batch`'s own in TRAIN.

    In TEST phase it always works on the global ones: `use_global_stats: false` would take those away too, so that for
    `batch` the field is left out.
    """
    edit = Edit(net)
    edit.normalise(statistics, layers)
    return edit.net


def _in_phases(layer: Message) -> Tuple[bool, ...]:
    return tuple(in_phase(layer, phase) for phase in (TRAIN, TEST))


def _rated_by(layer: Message) -> Iterator[str]:
    """Yield the shared parameters that the layer gives a learning rate."""
    return (spec.name for spec in layer.param if spec.name and spec.HasField("lr_mult"))


def _freeze(layer: Message, blobs: Optional[int]) -> None:
    _require_no_own_parameters(layer)
    _require_heeded_rates(layer)
    work_on_stored_statistics(layer)
    if blobs is None:
        entries = f"its {len(layer.param)} param entries are set to 0" if layer.param else "it has no param entries"
        warnings.warn(
            f"layer {layer.name!r}: {_unknown_here(layer)} not known here; {entries}, and a parameter without an entry "
            "would learn: give the layer one entry for each",
            NetbuildWarning,
            stacklevel=2,
        )
    _complete(layer, blobs)
    for spec in layer.param:
        spec.lr_mult = spec.decay_mult = 0
    layer.ClearField("propagate_down")
    count_as_no_loss(layer)
    _quieten(layer)


def _unknown_here(layer: Message) -> str:
    options = unclear(layer)
    if options:
        return f"what {' and '.join(options)} does is"
    return f"the type {layer.type!r} is" if is_unknown(layer) else f"how many parameters this {layer.type} has is"


def count_as_no_loss(layer: Message) -> None:
    """Take the tops of a layer out of the net's loss."""
    layer.loss_weight[:] = [0] * max(1, len(layer.top)) if is_loss_layer(layer) else []


def drop_rates(layer: Message) -> None:
    """Take the rates out of a layer's param entries: all else that they say of its parameters stays.

    Names and share modes make the net what it is in every phase. Where not all statistics have an entry, those that
    are there keep their rate: Caffe takes nothing but 0 for it, and sets it so itself where all are there.
    """
    keeps = has_statistics_alone(layer) and len(layer.param) < len(statistics(layer))
    for spec in layer.param:
        for field in () if keeps and spec.name else ("lr_mult", "decay_mult"):
            spec.ClearField(field)
    if not any(spec.ListFields() for spec in layer.param):
        layer.ClearField("param")


def _require_no_own_parameters(layer: Message) -> None:
    """Raise GraphError where the forward pass of a user's own code may change the layer's parameters."""
    if has_own_code(layer) and layer.param:
        raise GraphError(
            f"layer {layer.name!r} ({layer.type}): has parameters ({len(layer.param)} param entries), and its own code "
            "may change them in the forward pass, so that it cannot be frozen; cut the branch before it, or train it"
        )


def _require_heeded_rates(layer: Message) -> None:
    """Raise GraphError where a layer learns as fast as it likes."""
    if has_own_rates(layer):
        raise GraphError(
            f"layer {layer.name!r} ({layer.type}): learns its scale and bias at a rate of its own, whatever its param "
            "entries say (NVIDIA's Caffe sets them to 1), so that it cannot be held fixed or slowed; put scale and "
            "bias into a Scale layer, and leave scale_bias and their fillers out"
        )


def _quieten(layer: Message) -> None:
    """Take chance out of the layer; what data layers read is not theirs to fix."""
    if is_input(layer) or not draws(layer, TRAIN):
        return
    layer.phase = TEST
    if draws(layer, TRAIN):
        raise GraphError(f"layer {layer.name!r} ({layer.type}): {_why_it_draws(layer)}")


def _why_it_draws(layer: Message) -> str:
    if is_filled(layer):
        return (
            "fills its tops at random before each pass, so that it cannot be frozen; let it fill them with a constant, "
            "or put an Input layer in its place"
        )
    return "draws at random in TEST phase too, so that it cannot be frozen; leave it out, or take that option from it"


def _complete(layer: Message, blobs: Optional[int]) -> None:
    """Give the layer one `param` entry per blob; those it has stay."""
    for _ in range(len(layer.param), blobs or 0):
        layer.param.add()
