"""What a weight file for a net is to hold, decided and compared before anything is written."""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass
from typing import Collection, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from .. import proto
from ..errors import NetbuildWarning, WeightsError, did_you_mean, some
from ..files import PathLike, listed_paths
from ..graph.check import require_sound
from ..graph.filled import unfilled
from ..graph.view import NetView, Views, parameter_shapes
from ..layers.training import moving_average_factor
from ..schema import TEST, Message
from ..spelling import either, name_of, option, spells_flags
from ..weights.entry import Entry
from ..weights.index import index
from ..weights.model import Model
from ..weights.values import read_floats
from ..weights.wire import WireFile
from .declared import Declared, declare
from .entries import entries
from .head import Classifier, find_head, head_values
from .mismatch import compare_definitions
from .options import AS_THEY_ARE, CHANNELS, CopyOptions, HeadStart
from .plan import Plan, make_plan
from .problem import DIFFERS, MISSING, NO_PREFIX, Advice
from .sharing import with_shared

Weights = Mapping[str, Union[PathLike, Sequence[PathLike]]]
"""For each prefix the weight file of its branch, or several, of which the last that has a layer counts."""


@dataclass(frozen=True)
class Planned:
    """What is to be copied, and what the file is to hold."""

    plan: Plan
    net: Message
    entries: Tuple[Entry, ...]
    head: Optional[str] = None
    """The layer that begins as its branches' classifiers, where one does."""
    untrained: Tuple[str, ...] = ()
    """BatchNorm layers whose moving-average factor is 0 in their file."""
    accepted: Tuple[str, ...] = ()
    """Where layers differ from what their files say of them, and may (`CopyOptions.accept`)."""
    classifiers: Tuple[Classifier, ...] = ()
    """What the head begins as, in the order of the seams."""


class _Target(NamedTuple):
    """The net that weights are copied into."""

    net: Message
    of_phases: Views
    declared: Sequence[Declared]

    @property
    def tested(self) -> NetView:
        """The net in TEST phase."""
        return self.of_phases[TEST] if TEST in self.of_phases else NetView(self.net, TEST)


def plan_weights(target: proto.Net, weights: Weights, choices: CopyOptions = AS_THEY_ARE) -> Planned:
    """Plan a caffemodel of the target net with the blobs of each prefix's weight files; nothing is written.

    `target` is the net, train_val or deploy. No data is opened and Caffe's engine is not loaded. Names, counts,
    shapes and what the files say of their layers are compared: WeightsError lists what does not fit. It names frozen
    layers that would get no weights too, unless `CopyOptions.partial` lets them.
    """
    files = listed_files(weights)
    _require_possible(choices, files)
    into = _read_target(target)
    models = {prefix: [index(path) for path in paths] for prefix, paths in files.items()}
    advice = _advice()
    plan = with_shared(make_plan(into.declared, models, choices, advice=advice), into.net)
    _tell_of_idle(choices, plan)
    head, branches = find_head(into.tested, choices.head, {*models, *choices.head}) if choices.head else ("", [])
    if not choices.partial:
        _require_filled(into, [head, *(copy.target for copy in plan.copies)])
    accepted = compare_definitions(into.net, plan.copies, models, accept=choices.accept, advice=advice)
    planned = Planned(plan, into.net, (), head or None, _untrained(into.net, plan), accepted)
    if not head:
        return dataclasses.replace(planned, entries=tuple(entries(plan, into.declared)))
    return _with_head(planned, into.declared, models, {prefix: choices.head[prefix] for prefix in branches})


def listed_files(weights: Weights) -> Dict[str, List[str]]:
    """Return each prefix's weight files as a list of paths."""
    files = {prefix: listed_paths(paths) for prefix, paths in weights.items()}
    for prefix, paths in files.items():
        if not paths:
            raise WeightsError(
                f"{name_of('weights')}: the list of files for {prefix!r} is empty; name one, or leave it out"
            )
    return files


def _require_possible(choices: CopyOptions, prefixes: Collection[str]) -> None:
    """Raise WeightsError for a choice that means nothing, whatever the net and the files are."""
    for prefix in choices.head:
        if prefix not in prefixes:
            hint = did_you_mean(prefix, prefixes, f"they are there for {', '.join(prefixes)}")
            head = name_of("head", flag="init-head")
            raise WeightsError(f"{head}: there are no weights for the branch {prefix!r}; {hint}")
    for layer, how in choices.channels.items():
        if how not in CHANNELS:
            raise WeightsError(f"{name_of('channels')}: {layer!r} has {how!r}; expected {' or '.join(CHANNELS)}")


def _tell_of_idle(choices: CopyOptions, plan: Plan) -> None:
    """Warn of options for layers that fit without them."""
    named = {name_of("reshape"): choices.reshape, name_of("channels"): choices.channels}
    for option_name, layers in named.items():
        idle = [copy.target for copy in plan.copies if copy.target in layers and not (copy.reshaped or copy.channels)]
        if idle:
            verb = "fits as it is" if len(idle) == 1 else "fit as they are"
            warnings.warn(f"{option_name} changes nothing: {some(idle)} {verb}", NetbuildWarning, stacklevel=3)


def _read_target(target: proto.Net) -> _Target:
    net = proto.net_of(target)
    of_phases = require_sound(net, proto.name_of_net(target))
    return _Target(net, of_phases, declare(net, parameter_shapes(of_phases)))


def _advice() -> Advice:
    """Return what can be done about a plan that is refused."""
    layer = "PREFIX:LAYER" if spells_flags() else "PREFIX/LAYER"
    renamed, left = option("maps", {layer: "NAME"}, flag="map"), option("partial", True)
    unprefixed = either("--weights =FILE", "weights={'': 'FILE'}")
    accepted, weights = option("accept", ["PARAMETER"]), option("weights", {"PREFIX": "FILE"})
    return {
        MISSING: f"Where a file calls a layer otherwise: {renamed}; to leave it to its filler: {left}.",
        NO_PREFIX: f"The target's layers have no prefix: {unprefixed}.",
        DIFFERS: f"Where a parameter is meant to differ from what the file says: {accepted}.",
        "": f"Check that each {weights} names the file of that branch and the target its prefixes.",
    }


def _require_filled(target: _Target, filled: Sequence[str]) -> None:
    """Raise WeightsError where frozen layers would get no weights."""
    left = unfilled(target.net, filled, target.of_phases)
    if not left:
        return
    fronts = dict.fromkeys(name.partition("/")[0] for name in left if "/" in name)
    files = option("weights", dict.fromkeys(fronts or ["PREFIX"], "FILE"))
    raise WeightsError(
        f"{len(left)} frozen layers would get no weights, and no training gives them any: {some(left)}; add {files}, "
        f"or leave them to their fillers with {option('partial', True)}"
    )


def _untrained(net: Message, plan: Plan) -> Tuple[str, ...]:
    """Return the BatchNorm layers that get a factor of 0: never trained, or never loaded."""
    factors = {layer.name: moving_average_factor(layer) for layer in net.layer}
    untrained: List[str] = []
    for path in dict.fromkeys(copy.path for copy in plan.copies):
        own = [(copy, factors.get(copy.target)) for copy in plan.copies if copy.path == path]
        with WireFile(path) as file:
            untrained += [
                copy.target
                for copy, factor in own
                if factor is not None and not any(read_floats(file, copy.blobs[factor]))
            ]
    return tuple(untrained)


def _with_head(
    planned: Planned,
    declared: Sequence[Declared],
    models: Mapping[str, Sequence[Model]],
    starts: Mapping[str, HeadStart],
) -> Planned:
    """Return the plan with a head that begins as its branches' classifiers, which are then not unused any more."""
    plan, head = planned.plan, planned.head or ""
    shapes = next(layer.shapes for layer in declared if layer.name == head) or ()
    values, classifiers = head_values(starts, models, plan.unused, [shape for shape in shapes if shape is not None])
    taken = {(prefix, classifier.layer) for prefix, classifier in classifiers.items()}
    written = tuple(entries(plan, declared, {head: values}))
    plan = plan.with_made(head, taken)
    return dataclasses.replace(planned, plan=plan, entries=written, classifiers=tuple(classifiers.values()))
