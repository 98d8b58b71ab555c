"""The state that Caffe builds a net in, and which layers it keeps there (Net::FilterNet, Net::StateMeetsRule)."""

from __future__ import annotations

from typing import FrozenSet, Iterable, List, NamedTuple, Tuple

from ..schema import Message


class NetState(NamedTuple):
    """Caffe's NetState: the phase, TRAIN or TEST, and what the caller sets besides."""

    phase: int
    level: int = 0
    stages: FrozenSet[str] = frozenset()

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
        """Return a net of these layers alone, without the rules that told the states apart."""
        result = with_layers(net, [layer for _, layer in self.layers(net)])
        for layer in result.layer:
            layer.ClearField("include")
            layer.ClearField("exclude")
        return result


def with_layers(net: Message, layers: Iterable[Message]) -> Message:
    """Return a net of these layers, with all else that the net says of itself."""
    others = {field.name: value for field, value in net.ListFields() if field.name != "layer"}
    return type(net)(layer=layers, **others)
