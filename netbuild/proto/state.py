"""The state that Caffe builds a net in, and which layers it keeps there (Net::FilterNet, Net::StateMeetsRule).

Stages and level stand in the net itself, in its `state { }`: what reads a net, or a caller who wants it in a state of
their own, writes them there (`in_state`), and whoever asks about a phase finds them.
"""

from __future__ import annotations

import warnings
from typing import FrozenSet, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Union

from ..errors import NetbuildWarning, did_you_mean, some
from ..schema import TEST, TRAIN, Message
from ..spelling import either

Stages = Union[str, Iterable[str]]
"""The names of stages, or the name of one."""


class NetState(NamedTuple):
    """Caffe's NetState: the phase, TRAIN or TEST, and what chooses layers besides."""

    phase: int
    level: int = 0
    stages: FrozenSet[str] = frozenset()

    @classmethod
    def of(cls, net: Message, phase: int) -> NetState:
        """Return the state of a net in this phase, with the stages and the level that it has itself."""
        return cls(phase, net.state.level, frozenset(net.state.stage))

    def keeps(self, layer: Message) -> bool:
        """Tell whether Caffe keeps the layer in a net of this state."""
        if layer.include:
            return any(self.meets(rule) for rule in layer.include)
        return not any(self.meets(rule) for rule in layer.exclude)

    def meets(self, rule: Message) -> bool:
        """Tell whether the state meets a NetStateRule."""
        return (
            (not rule.HasField("phase") or rule.phase == self.phase)
            and (not rule.HasField("min_level") or self.level >= rule.min_level)
            and (not rule.HasField("max_level") or self.level <= rule.max_level)
            and self.stages.issuperset(rule.stage)
            and self.stages.isdisjoint(rule.not_stage)
        )

    def layers(self, net: Message) -> List[Tuple[int, Message]]:
        """Return the layers that Caffe keeps, each with its index in the net."""
        return [(index, layer) for index, layer in enumerate(net.layer) if self.keeps(layer)]

    def only(self, net: Message) -> Message:
        """Return a net of these layers alone, without what told the states apart: rules, stages and level."""
        result = with_layers(net, [layer for _, layer in self.layers(net)])
        result.ClearField("state")
        for layer in result.layer:
            layer.ClearField("include")
            layer.ClearField("exclude")
        return result


def with_layers(net: Message, layers: Iterable[Message]) -> Message:
    """Return a net of these layers, with all else that the net says of itself."""
    others = {field.name: value for field, value in net.ListFields() if field.name != "layer"}
    return type(net)(layer=layers, **others)


def listed(stages: Stages) -> List[str]:
    """Return the names of stages, of one as of several."""
    return [stages] if isinstance(stages, str) else list(stages)


def in_state(net: Message, stages: Stages = (), level: Optional[int] = None) -> Message:
    """Return the net with these stages beside its own, and at this level; without one it keeps its own.

    So do Caffe's `Net(file, phase, level, stages)` and its tools, but that they take a level for 0 that is not given.
    """
    more = [stage for stage in dict.fromkeys(listed(stages)) if stage not in net.state.stage]
    if not more and level is None:
        return net
    result = type(net)()
    result.CopyFrom(net)
    result.state.stage.extend(more)
    if level is not None:
        result.state.level = level
    return result


def tell_idle_stages(net: Message, stages: Stages, what: str) -> None:
    """Warn of stages that choose nothing, for no rule of the net names them; `what` names the net."""
    named = stages_of(net)
    for stage in dict.fromkeys(listed(stages)):
        if stage not in named:
            known = did_you_mean(stage, named, f"they name {some(named)}" if named else "they name none")
            text = f"{what}: no rule of its layers names the stage {stage!r}, which changes nothing; {known}"
            warnings.warn(text, NetbuildWarning, stacklevel=3)


def chooses(net: Message) -> bool:
    """Tell whether the net is in a state of its own: with stages, or at another level than 0."""
    return bool(net.state.stage or net.state.level)


def settled(net: Message) -> Message:
    """Return the net of the layers that Caffe builds in the net's state, TRAIN and TEST told apart and nothing else."""
    states = [NetState.of(net, phase) for phase in (TRAIN, TEST)]
    result = with_layers(net, ())
    result.ClearField("state")
    for layer in net.layer:
        phases = [state.phase for state in states if state.keeps(layer)]
        if not phases:
            continue
        kept = result.layer.add()
        kept.CopyFrom(layer)
        kept.ClearField("include")
        kept.ClearField("exclude")
        if len(phases) == 1:
            kept.include.add(phase=phases[0])
    return result


def stages_of(net: Message) -> List[str]:
    """Return the stages that rules of the net's layers name, in its order."""
    return list(dict.fromkeys(stage for rule in _rules(net) for stage in (*rule.stage, *rule.not_stage)))


def rules_in_words(layer: Message) -> str:
    """Return where Caffe keeps a layer that has rules: "only in phase TEST with stage 'val'"."""
    conditions = " or ".join(" ".join(_conditions(rule)) for rule in layer.include or layer.exclude)
    return f"{'only' if layer.include else 'not'} {conditions or 'in any state'}"


def _conditions(rule: Message) -> Iterator[str]:
    if rule.HasField("phase"):
        yield f"in phase {'TRAIN' if rule.phase == TRAIN else 'TEST'}"
    for stage in rule.stage:
        yield f"with stage {stage!r}"
    for stage in rule.not_stage:
        yield f"without stage {stage!r}"
    if rule.HasField("min_level"):
        yield f"from level {rule.min_level} on"
    if rule.HasField("max_level"):
        yield f"up to level {rule.max_level}"


def notes_on_state(net: Message) -> Iterator[str]:
    """Yield in which other states the net has other layers, and where its own level is not heard."""
    others = [stage for stage in stages_of(net) if stage not in net.state.stage]
    if others:
        how = either(f"--stage {others[0]}", f"Staged(net, [{others[0]!r}])")
        yield f"what rules choose by the stages {some(others)} was looked at without them; {how} builds the net so"
    if net.state.level and any(rule.HasField("min_level") or rule.HasField("max_level") for rule in _rules(net)):
        yield f"a solver builds it at its own level {net.state.level}; caffe.Net does at level 0, unless that is given"


def _rules(net: Message) -> Iterator[Message]:
    for layer in net.layer:
        yield from layer.include
        yield from layer.exclude
