"""What training does to a layer: the one answer, for all that freezes, checks, caches or counts layers.

Four things may happen to a layer while a net is trained. The solver *learns* its parameters. Its statistics *drift*:
BatchNorm's follow the batches in each forward pass, whatever its learning rates say. It *draws*: chance decides what
it computes. It *remembers*: what it computes depends on the batch before. A frozen layer does none of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional

from ..schema import TRAIN, Message
from .inference import Layers
from .lengths import Shape
from .row import Training, answer
from .table import UNKNOWN, of


@dataclass(frozen=True)
class Effect:
    """What training does to one layer of a net, or a pass in TEST phase where the net is in that.

    None stands for what the definition does not tell: of types that are not known here, and of a user's own code.
    """

    net_phase: int
    phase: int
    """The phase that counts for the layer."""
    parameters: Optional[int]
    """The number of its parameter blobs."""
    learns: Optional[bool]
    """Whether the solver moves any of them."""
    drifts: bool
    """Whether they follow the batches, being statistics."""
    draws: Optional[bool]
    """Whether chance decides what it computes."""
    remembers: Optional[bool]
    """Whether what it computes depends on the batch before."""
    on_stored_statistics: Optional[bool]
    """Whether it works on statistics out of its parameter blobs, and not on each batch's; None without statistics."""
    wants_backward: bool
    """Whether Caffe runs the backward pass down to it for its own parameters."""

    @property
    def changes(self) -> Optional[bool]:
        """Whether training changes any of its parameter blobs, by learning or by drift."""
        return True if self.drifts else self.learns

    @property
    def repeats(self) -> bool:
        """Whether it is known to make the same of an image in every pass, as long as its parameters stay."""
        return self.draws is False and self.remembers is False and self.on_stored_statistics is not False

    @property
    def frozen(self) -> bool:
        """Whether training is known to leave it as it is, in what it holds and in what it computes."""
        return self.changes is False and self.repeats


def effects(layers: Layers, phase: int, params: Mapping[int, Optional[List[Shape]]]) -> Dict[int, Effect]:
    """Return what training does to each layer of a net of this phase, by index.

    `params` has the shapes of each layer's parameter blobs, None where they are not known. Layers that share a
    parameter share its learning rate, and its drift.
    """
    rates = _shared_rates(layers)
    drifting = {spec.name for _, layer in layers if drifts(layer, phase) for spec in layer.param} - {""}
    found: Dict[int, Effect] = {}
    for index, layer in layers:
        shapes = params[index]
        blobs = None if shapes is None else len(shapes)
        stored = on_stored_statistics(layer, phase)
        drifted = any(spec.name in drifting for spec in layer.param)
        found[index] = Effect(
            net_phase=phase,
            phase=phase_of(layer, phase),
            parameters=blobs,
            learns=learns(layer, blobs, rates),
            drifts=stored is False or drifted,
            draws=draws(layer, phase),
            remembers=True if stored and drifted else remembers(layer),
            on_stored_statistics=stored,
            wants_backward=wants_backward(layer, blobs),
        )
    return found


def phase_of(layer: Message, phase: int) -> int:
    """Return the phase that counts for a layer in a net of this phase: its own wins (Net::Init)."""
    return int(layer.phase) if layer.HasField("phase") else phase


def learns(layer: Message, blobs: Optional[int], rates: Mapping[str, float] = {}) -> Optional[bool]:
    """Tell whether the solver moves any of the layer's parameter blobs; False where it has none.

    `blobs` is their number, None where it is not known: then only the layer's own `param` entries tell, and without
    any the answer is None. A blob without an entry learns, for Caffe's default is lr_mult 1; statistics never do
    (BatchNormLayer::LayerSetUp). With lr_mult 0 a blob stays whatever its decay_mult says. `rates` are those of
    shared parameters, by name: a layer that shares one may leave its rate to another.
    """
    if has_statistics(layer):
        return False
    if blobs is None and not layer.param:
        return None
    if _lacks_entries(layer, blobs):
        return True
    return any(rates.get(spec.name, spec.lr_mult) != 0 for spec in layer.param[:blobs])


def wants_backward(layer: Message, blobs: Optional[int]) -> bool:
    """Tell whether Caffe takes the layer to have parameters that learn, and runs the backward pass down to it.

    Net::Init reads the entries as they are written: a missing one counts as lr_mult 1, also of a BatchNorm, whose
    statistics never learn, and of a shared parameter whose rate another layer gives as 0. Where a BatchNorm has all
    its entries Caffe sets them to 0 itself (UpgradeNetBatchNorm).
    """
    if _lacks_entries(layer, blobs):
        return True
    return not has_statistics(layer) and any(spec.lr_mult != 0 for spec in layer.param[:blobs])


def _lacks_entries(layer: Message, blobs: Optional[int]) -> bool:
    """Tell whether a parameter blob has no `param` entry of its own."""
    return blobs is not None and len(layer.param) < blobs


def has_statistics(layer: Message) -> bool:
    """Tell whether the layer's parameter blobs are statistics."""
    return of(layer).training.statistics


def has_own_code(layer: Message) -> bool:
    """Tell whether a user's own code decides what the layer does."""
    return of(layer).training.own_code


def on_stored_statistics(layer: Message, phase: int) -> Optional[bool]:
    """Tell whether the layer works on stored statistics and not on each batch's; None where it has no statistics.

    `use_global_stats`, where it is written, wins over the phase (BatchNormLayer::LayerSetUp).
    """
    if not has_statistics(layer):
        return None
    options = layer.batch_norm_param
    if options.HasField("use_global_stats"):
        return bool(options.use_global_stats)
    return phase_of(layer, phase) != TRAIN


def drifts(layer: Message, phase: int) -> bool:
    """Tell whether forward passes change the layer's statistics: in every phase in which it works on each batch's."""
    return on_stored_statistics(layer, phase) is False


def draws(layer: Message, phase: int) -> Optional[bool]:
    """Tell whether chance decides what the layer computes; None for types not known here and a user's own code."""
    facts = _facts(layer)
    if facts is None:
        return None
    return answer(facts.draws if phase_of(layer, phase) == TRAIN else facts.draws_in_test, layer)


def crops_at_random(layer: Message, phase: int) -> bool:
    """Tell whether a data layer cuts each image out where chance says; in TEST it takes the middle."""
    return bool(layer.transform_param.crop_size) and phase_of(layer, phase) == TRAIN


def remembers(layer: Message) -> Optional[bool]:
    """Tell whether the layer begins a pass with what the last one left (RecurrentLayer::Forward).

    None for types that are not known here and for a user's own code.
    """
    facts = _facts(layer)
    return None if facts is None else facts.remembers


def _facts(layer: Message) -> Optional[Training]:
    """Return what training does to the layer's type, None where that is not known here."""
    row = of(layer)
    return None if row is UNKNOWN or row.training.own_code else row.training


def _shared_rates(layers: Layers) -> Dict[str, float]:
    """Return the rates of shared parameters, by name: of those who share one, the first that gives it decides."""
    rates: Dict[str, float] = {}
    for _, layer in layers:
        for spec in layer.param:
            if spec.name and spec.HasField("lr_mult"):
                rates.setdefault(spec.name, spec.lr_mult)
    return rates
