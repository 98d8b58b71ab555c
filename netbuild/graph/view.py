"""A net as Caffe builds it in one state: flow, shapes and the rest are made once, when they are first needed."""

from __future__ import annotations

from functools import cached_property
from typing import Collection, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from .. import names
from ..errors import GraphError
from ..layers import Fault, Inferred, Layers, Shape, survey_layers, unclear_options, unknown_types
from ..layers.lengths import Length
from ..layers.training import Effect, effects
from ..proto import NetState, phases
from ..schema import TEST, Message
from .backward import backward, dead_ends
from .flow import Flow


class NetView:
    """One net in one phase, stages and level: its layers, who reads what, and all shapes.

    The view holds the net itself: whoever edits the net makes a new view. `inputs` gives shapes for blobs that data
    layers feed, (N, C, H, W), as for `layers.infer`.
    """

    def __init__(
        self,
        net: Message,
        phase: int,
        *,
        level: int = 0,
        stages: Collection[str] = (),
        inputs: Optional[Mapping[str, Sequence[Length]]] = None,
    ) -> None:
        self.net = net
        self.state = NetState(phase, level, frozenset(stages))
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
        view = NetView(self.net, self.phase, level=self.state.level, stages=self.state.stages, inputs=inputs)
        # What does not depend on shapes is known already, or will be.
        view.layers, view.flow = self.layers, self.flow
        return view

    def in_phase(self, phase: int) -> NetView:
        """Return the view of the same net in another phase. Shapes tell no phases apart, only rules of layers do."""
        view = NetView(self.net, phase, level=self.state.level, stages=self.state.stages, inputs=self.inputs)
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
        return Flow(self.layers)

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
        """Where the backward pass cannot go on, one sentence for each."""
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
    return {phase: NetView(net, phase) for phase in (phases(net) if in_phases is None else in_phases)}


def parameter_shapes(of_phases: Views) -> List[Optional[List[Shape]]]:
    """Return the shapes of each layer's parameter blobs, of a net in all the phases that it is made for.

    Raises GraphError at the first layer that does not fit.
    """
    net = next(iter(of_phases.values())).net
    known: Dict[int, Optional[List[Shape]]] = {}
    for view in of_phases.values():
        known.update(view.fitting_shapes().params)
    return [known.get(index, []) for index in range(len(net.layer))]
