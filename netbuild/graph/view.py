"""A net as Caffe builds it in one state: flow, shapes and the rest are made once, when they are first needed."""

from __future__ import annotations

from functools import cached_property
from typing import Collection, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from .. import names
from ..errors import GraphError
from ..layers import Fault, Inferred, Layers, Shape, survey_layers, unclear_options, unknown_types
from ..layers.lengths import Length
from ..layers.training import Effect, effects
from ..proto import NetState, rules_in_words
from ..schema import TEST, Message
from ..spelling import either
from .backward import backward, dead_ends
from .flow import Flow
from .phases import made_for

_SHOWN = 3
"""So many layers are named that another state would have."""


class NetView:
    """One net in one phase: its layers, who reads what, and all shapes.

    Stages and level are the net's own (`proto.in_state`).

    The view holds the net itself: whoever edits the net makes a new view. `inputs` gives shapes for blobs that data
    layers feed, (N, C, H, W), as for `layers.infer`.
    """

    def __init__(
        self,
        net: Message,
        phase: int,
        *,
        inputs: Optional[Mapping[str, Sequence[Length]]] = None,
    ) -> None:
        self.net = net
        self.state = NetState.of(net, phase)
        self.inputs = inputs or {}

    @classmethod
    def of_all_layers(cls, net: Message) -> NetView:
        """Return the view of a net all of whose layers are built together, whatever rules they have."""
        view = cls(net, TEST)
        view.layers = list(enumerate(net.layer))
        view.only = net
        return view

    def with_inputs(self, inputs: Mapping[str, Sequence[Length]]) -> NetView:
        """Return the view of the same layers for other shapes of inputs."""
        view = NetView(self.net, self.phase, inputs=inputs)
        # What does not depend on shapes is known already, or will be.
        view.layers, view.flow = self.layers, self.flow
        return view

    def in_phase(self, phase: int) -> NetView:
        """Return the view of the same net in another phase. Shapes tell no phases apart, only rules of layers do."""
        view = NetView(self.net, phase, inputs=self.inputs)
        if [index for index, _ in view.layers] == [index for index, _ in self.layers]:
            view.flow, view._survey = self.flow, self._survey
        return view

    @property
    def phase(self) -> int:
        """TRAIN or TEST."""
        return self.state.phase

    @cached_property
    def layers(self) -> Layers:
        """The layers that Caffe keeps in this state, each with its index in the net."""
        return self.state.layers(self.net)

    @cached_property
    def by_index(self) -> Dict[int, Message]:
        """The same by their indices."""
        return dict(self.layers)

    @cached_property
    def only(self) -> Message:
        """A net of these layers alone, without the rules that told the states apart; its indices are its own."""
        return self.state.only(self.net)

    @cached_property
    def flow(self) -> Flow:
        """Who writes and who reads each blob."""
        return Flow(self.layers, self._why_not)

    def _why_not(self, blob: str) -> str:
        """Return which layers make a blob that none of this state makes, and which rules hide them; '' for none."""
        kept = self.by_index
        hidden = [layer for index, layer in enumerate(self.net.layer) if index not in kept and blob in layer.top]
        said = [f"layer {layer.name!r} makes it, but {rules_in_words(layer)}" for layer in hidden[:_SHOWN]]
        more = [f"{len(hidden) - _SHOWN} layers more"] if len(hidden) > _SHOWN else []
        return "; ".join([*said, *more, *self._remedy(hidden)])

    def _remedy(self, hidden: Sequence[Message]) -> List[str]:
        """Return how to build the net with one of these layers, where a stage is all that it lacks."""
        for layer in hidden:
            for rule in layer.include:
                stages = self.state.stages.union(rule.stage)
                if rule.stage and self.state._replace(stages=stages).meets(rule):
                    listed = [stage for stage in rule.stage if stage not in self.state.stages]
                    how = either(" ".join(f"--stage {stage}" for stage in listed), f"Staged(net, {listed!r})")
                    return [f"{how} builds the net with it"]
        return []

    @cached_property
    def _survey(self) -> Tuple[Inferred, List[Fault]]:
        return survey_layers(self.layers, self.inputs)

    @property
    def shapes(self) -> Inferred:
        """The shapes of blobs and parameters; unknown behind a layer that does not fit."""
        return self._survey[0]

    @property
    def misfits(self) -> List[Fault]:
        """The layers that do not fit their bottoms or lack an option, in the net's order."""
        return self._survey[1]

    def fitting_shapes(self) -> Inferred:
        """Return the shapes; raise GraphError at the first layer that does not fit."""
        if self.misfits:
            raise GraphError(self.misfits[0].sentence)
        return self.shapes

    @cached_property
    def unknown_types(self) -> Dict[str, str]:
        """The layers whose type is not known here, name to type."""
        return unknown_types(self.layers)

    @cached_property
    def unclear_options(self) -> Dict[str, List[str]]:
        """The options of which it is not known what they do to a layer's shapes, by the layer's name."""
        return unclear_options(self.layers)

    @cached_property
    def backward(self) -> Set[int]:
        """The indices of the layers that the backward pass runs."""
        return backward(self.layers, self.shapes, self.flow, everywhere=self.net.force_backward)

    @property
    def dead_ends(self) -> Iterator[str]:
        """Where Caffe's backward pass aborts, one sentence for each."""
        return dead_ends(self.layers, self.shapes, self.flow, everywhere=self.net.force_backward)

    @cached_property
    def training(self) -> Dict[int, Effect]:
        """What training does to each layer, by index."""
        return effects(self.layers, self.phase, self.shapes.params)

    @cached_property
    def made(self) -> Dict[Tuple[str, int], Shape]:
        """The shape of each blob as one layer has made it, by its name and the layer's index, as in `flow.readers`."""
        return {
            (top, index): shape
            for index, layer in self.layers
            for top, shape in zip(layer.top, self.shapes.tops[index])
        }

    def owners(self, prefixes: Collection[str]) -> Dict[int, Optional[str]]:
        """Return for each layer the prefix of the branch that it belongs to, None where it belongs to none."""
        return {index: names.owner(prefixes, layer.name) for index, layer in self.layers}


Views = Mapping[int, NetView]
"""One net in several phases, by phase."""


def views(net: Message, in_phases: Optional[Sequence[int]] = None) -> Views:
    """Return a net's view in each phase: in those that something feeds, unless the phases are given."""
    return {phase: NetView(net, phase) for phase in (made_for(net) if in_phases is None else in_phases)}


def parameter_shapes(of_phases: Views) -> List[Optional[List[Shape]]]:
    """Return the shapes of each layer's parameter blobs, of a net in all the phases that it is made for.

    Raises GraphError at the first layer that does not fit.
    """
    net = next(iter(of_phases.values())).net
    known: Dict[int, Optional[List[Shape]]] = {}
    for view in of_phases.values():
        known.update(view.fitting_shapes().params)
    return [known.get(index, []) for index in range(len(net.layer))]
