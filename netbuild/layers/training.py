"""What training does to a layer: the one answer, for all that freezes, checks, caches or counts layers.

Four things may happen to a layer while a net is trained. The solver *learns* its parameters. Its statistics *drift*:
those of a BatchNorm follow the batches in each forward pass, whatever its learning rates say. It *draws*: chance
decides what it computes. It *remembers*: what it computes depends on the batch before. A frozen layer does none of it.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ..errors import GraphError
from ..schema import TRAIN, Message
from .fields import unclear
from .inference import Layers
from .lengths import Shape, UnfitError
from .pooling import pooling_draws, spp_draws
from .row import Statistics, Training, answer
from .sources import crops
from .table import UNKNOWN, of


class Effect(NamedTuple):
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
    drifting = {name for _, layer in layers if drifts(layer, phase) for name in _shared_statistics(layer)}
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
            drifts=drifts(layer, phase) or drifted,
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
    if has_own_rates(layer):
        return True
    if blobs is None:
        return any(rates.get(spec.name, spec.lr_mult) != 0 for spec in layer.param) if layer.param else None
    return any(_learns_blob(layer, blob, rates) for blob in range(blobs) if blob not in statistics(layer))


def _learns_blob(layer: Message, blob: int, rates: Mapping[str, float]) -> bool:
    if blob >= len(layer.param):
        return True
    spec = layer.param[blob]
    return bool(rates.get(spec.name, spec.lr_mult) != 0)


def wants_backward(layer: Message, blobs: Optional[int]) -> bool:
    """Tell whether Caffe takes the layer to have parameters that learn, and runs the backward pass down to it.

    Net::Init reads the entries as they are written: a missing one counts as lr_mult 1, also of a BatchNorm, whose
    statistics never learn, and of a shared parameter whose rate another layer gives as 0. Where a BatchNorm has all
    its entries Caffe sets them to 0 itself (UpgradeNetBatchNorm).
    """
    if blobs is not None and len(layer.param) < blobs:
        return True
    return not has_statistics_alone(layer) and any(spec.lr_mult != 0 for spec in layer.param[:blobs])


def normalises(layer: Message) -> bool:
    """Tell whether the layer normalises by means and variances, stored ones or each batch's."""
    return of(layer).training.statistics is not None


def statistics(layer: Message) -> Sequence[int]:
    """Return which of the layer's parameter blobs are known to be statistics."""
    facts = _statistics(layer)
    return () if facts is None else facts.blobs(layer) or ()


def moving_average_factor(layer: Message) -> Optional[int]:
    """Return which parameter blob divides the layer's statistics; None where there is none, or none is known."""
    facts = _statistics(layer)
    return None if facts is None else facts.factor(layer)


def has_statistics_alone(layer: Message) -> bool:
    """Tell whether the layer's parameter blobs are statistics, as those of upstream's BatchNorm are."""
    return moving_average_factor(layer) is not None and not has_own_rates(layer)


def has_own_rates(layer: Message) -> bool:
    """Tell whether the layer learns at a rate of its own, whatever its entries say."""
    return answer(of(layer).training.own_rates, layer)


def _statistics(layer: Message) -> Optional[Statistics]:
    return of(layer).training.statistics


def has_own_code(layer: Message) -> bool:
    """Tell whether a user's own code decides what the layer does."""
    return of(layer).training.own_code


def on_stored_statistics(layer: Message, phase: int) -> Optional[bool]:
    """Tell whether the layer works on stored statistics and not on each batch's; None where it has no statistics."""
    facts = _statistics(layer)
    return None if facts is None else facts.stored(layer, phase_of(layer, phase) == TRAIN)


def drifts(layer: Message, phase: int) -> bool:
    """Tell whether forward passes may change the layer's statistics: in every phase in which it works on each batch's.

    What normalises by each batch and stores nothing has none to change.
    """
    facts = _statistics(layer)
    return facts is not None and facts.blobs(layer) != () and on_stored_statistics(layer, phase) is False


def work_on_stored_statistics(layer: Message) -> None:
    """Make a layer that normalises work on its stored statistics in training too; GraphError where nothing does."""
    _change(layer, lambda facts: facts.store(layer))


def held_by(layer: Message) -> str:
    """Return what makes a layer that normalises work on its stored statistics, as it is written; '' for any other."""
    facts = _statistics(layer)
    return "" if facts is None else facts.held_by


def work_on_each_batch(layer: Message) -> None:
    """Make a layer that normalises work on each batch's statistics in training; GraphError where nothing does."""
    _change(layer, lambda facts: facts.release(layer))


def _change(layer: Message, edit: Callable[[Statistics], None]) -> None:
    facts = _statistics(layer)
    if facts is None:
        return
    try:
        edit(facts)
    except UnfitError as error:
        raise GraphError(f"layer {layer.name!r} ({layer.type}): {error}") from None


def draws(layer: Message, phase: int) -> Optional[bool]:
    """Tell whether chance decides what the layer computes; None for types not known here and a user's own code."""
    facts = _facts(layer)
    if facts is None:
        return None
    return answer(facts.draws if phase_of(layer, phase) == TRAIN else facts.draws_in_test, layer)


def is_for_gpu(layer: Message) -> bool:
    """Tell whether Caffe computes the layer on the GPU alone: poolings that draw (PoolingLayer::Forward_cpu)."""
    drawing = {"pooling_param": pooling_draws, "spp_param": spp_draws}.get(of(layer).options)
    return drawing is not None and drawing(layer)


def impossible_draw(layer: Message, phase: int) -> Optional[str]:
    """Return why Caffe aborts, or makes no numbers, when the layer draws in this phase; None where it does not."""
    if of(layer).options != "dropout_param" or not draws(layer, phase):
        return None
    ratio: float = layer.dropout_param.dropout_ratio
    if ratio == 1:
        return "dropout_ratio 1 drops all, and Caffe makes NaN of what is left; give less than 1"
    if not 0 <= ratio < 1:
        return f"Caffe aborts when it runs: dropout_ratio {ratio:g} must be from 0 to below 1"
    return None


def crops_at_random(layer: Message, phase: int) -> bool:
    """Tell whether a data layer cuts each image out where chance says; in TEST it takes the middle."""
    return crops(layer.transform_param) and phase_of(layer, phase) == TRAIN


def remembers(layer: Message) -> Optional[bool]:
    """Tell whether the layer begins a pass with what the last one left (RecurrentLayer::Forward).

    None for types that are not known here and for a user's own code.
    """
    facts = _facts(layer)
    return None if facts is None else facts.remembers


def _facts(layer: Message) -> Optional[Training]:
    """Return what training does to the layer's type, None where that is not known here, or not with its options."""
    row = of(layer)
    return None if row is UNKNOWN or row.training.own_code or unclear(layer) else row.training


def _shared_statistics(layer: Message) -> List[str]:
    """Return the names under which the layer shares its statistics."""
    return [layer.param[blob].name for blob in statistics(layer) if blob < len(layer.param) and layer.param[blob].name]


def _shared_rates(layers: Layers) -> Dict[str, float]:
    """Return the rates of shared parameters, by name: of those who share one, the first that gives it decides."""
    rates: Dict[str, float] = {}
    for _, layer in layers:
        for spec in layer.param:
            if spec.name and spec.HasField("lr_mult"):
                rates.setdefault(spec.name, spec.lr_mult)
    return rates
