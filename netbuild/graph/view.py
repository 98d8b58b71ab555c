"""A net as Caffe builds it in one state: what is asked of it is made once, when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import Collection, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from ..engine.caffe import Message
from ..errors import GraphError
from ..layers import Fault, Inferred, survey
from ..layers.lengths import Length
from ..layers.training import Effect, effects
from ..proto import NetState, only_phase
from .backward import backward
from .flow import Flow


class NetView:
    """One net in one phase, stages and level: its layers, who reads what, and all shapes.

    The net is not to be edited as long as its view is used. `inputs` gives shapes for blobs that data layers feed,
    (N, C, H, W), as for `layers.infer`.
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
        self._inputs = inputs

    @property
    def phase(self) -> int:
        """TRAIN or TEST."""
        return self.state.phase

    @cached_property
    def layers(self) -> List[Tuple[int, Message]]:
        """The layers that Caffe keeps in this state, each with its index in the net."""
        return self.state.layers(self.net)

    @cached_property
    def by_index(self) -> Dict[int, Message]:
        """The same by their indices."""
        return dict(self.layers)

    @cached_property
    def only(self) -> Message:
        """A net of these layers alone, without the rules that told the states apart; its indices are its own."""
        return only_phase(self.net, self.phase)

    @cached_property
    def flow(self) -> Flow:
        """Who writes and who reads each blob."""
        return Flow(self.layers)

    @cached_property
    def _survey(self) -> Tuple[Inferred, List[Fault]]:
        return survey(self.net, self.phase, self._inputs)

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
    def backward(self) -> Set[int]:
        """The indices of the layers that the backward pass runs."""
        return backward(self.net, self.phase, self.shapes, self.flow)

    @cached_property
    def training(self) -> Dict[int, Effect]:
        """What training does to each layer, by index."""
        return effects(self.layers, self.phase, self.shapes.params)
