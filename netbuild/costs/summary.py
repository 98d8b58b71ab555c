"""What a net is made of and costs: each layer, each branch, the whole, and the batch that fits into a memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .. import names, proto
from ..graph.branches import require_prefixes
from ..graph.phases import made_for
from ..graph.view import NetView, Views, views
from ..layers import Shape
from ..layers.costs import multiply_adds
from ..layers.lengths import values
from ..layers.roles import is_loss
from ..schema import TEST, TRAIN, Message
from .memory import FLOAT, TRAINING_COPIES, Bytes, layer_memory, own_parameters
from .sizes import with_sizes


@dataclass(frozen=True)
class LayerCost:
    """One layer. None stands for what the definition does not tell."""

    branch: str
    """The prefix of its branch, '' where it belongs to none."""
    name: str
    type: str
    phases: Tuple[str, ...]
    """'TRAIN', 'TEST' or both."""
    shape: Shape
    """Of its first top, in TRAIN where it is there."""
    parameters: Optional[int]
    """Values in its blobs, those that it shares with an earlier layer left out."""
    learns: Optional[bool]
    """Whether training changes them; None where it has none of its own, or where the net has no loss to train it."""
    multiply_adds: Optional[int]
    """For one item of the batch."""
    train_bytes: Optional[int]
    """What Caffe takes for it in TRAIN besides the parameters: values, gradients, what it keeps."""
    test_bytes: Optional[int]
    shares: bool
    """Whether an earlier layer has some of its blobs too."""
    again: bool
    """Whether it is another layer of its name, written for another phase: totals count the two once."""
    index: int
    """Its place among the net's layers."""

    @property
    def state(self) -> str:
        """'frozen', 'trainable', or '' where nothing is to be said of that."""
        return state([self])


@dataclass(frozen=True)
class Total:
    """A branch, what belongs to none (''), or the whole net (None). What is not known counts as nothing."""

    branch: Optional[str]
    layers: int
    parameters: int
    learning: int
    """How many of them training changes."""
    multiply_adds: int
    train_bytes: int
    test_bytes: int
    state: str
    """'frozen', 'trainable', 'partly trainable', or '' where nothing is to be said of that."""
    size: str
    """Its parameters in words: '431,080 parameters', or that their number is not known, or that they are another's."""


class MemoryNeed(NamedTuple):
    """Memory that Caffe takes for a net on the CPU; what Python and Caffe take without one is not in it."""

    batch: int
    parameters: int
    """Bytes of the parameters: in training their values, gradients and history."""
    columns: int
    """Bytes that convolutions lay one image out in, whatever the batch."""
    tested: int
    """In training, bytes of the net in TEST phase, which a solver holds besides, at that net's own batch."""
    growing: int
    """Bytes that grow with the batch, at this batch."""

    @property
    def fixed(self) -> int:
        """Bytes that do not depend on the batch."""
        return self.parameters + self.columns + self.tested

    @property
    def total(self) -> int:
        """Bytes in all."""
        return self.fixed + self.growing

    def largest_batch(self, memory: int) -> int:
        """Return the largest batch that needs no more than so many bytes, 0 where not even one item fits."""
        return max(0, (memory - self.fixed) * self.batch // max(1, self.growing))


@dataclass(frozen=True)
class Summary:
    """What a net is made of, and what it costs."""

    name: str
    branches: Tuple[str, ...]
    layers: List[LayerCost]
    totals: List[Total]
    """Of each branch, of the rest, and of the whole net, which is the last."""
    training: Optional[MemoryNeed]
    """Of one step of SGD; None for a net without a TRAIN phase, and where shapes are not known."""
    testing: Optional[MemoryNeed]
    """Of one forward pass in TEST."""
    unknown: Tuple[str, ...]
    """The layers of whose memory nothing is known."""
    faults: Tuple[str, ...]
    """What does not fit, a sentence for each layer."""

    @cached_property
    def phases(self) -> Tuple[str, ...]:
        """'TRAIN', 'TEST' or both: the phases that its layers are in."""
        found = {phase for one in self.layers for phase in one.phases}
        return tuple(phase for phase in ("TRAIN", "TEST") if phase in found)


@dataclass(frozen=True)
class _Phase:
    """A net in one phase, and what that takes."""

    view: NetView
    memory: Mapping[int, Optional[Bytes]]

    @cached_property
    def batch(self) -> Optional[int]:
        """The number of items that it reads at a time."""
        return next((shape[0] for shape in self.view.inputs.values() if shape and shape[0]), None)

    def unknown(self) -> List[str]:
        """Return the layers of whose memory nothing is known."""
        return [self.view.by_index[index].name for index, taken in self.memory.items() if taken is None]

    def work(self, index: int) -> Optional[int]:
        """Return a layer's multiply-adds for one item."""
        shapes, layer = self.view.shapes, self.view.by_index[index]
        work = multiply_adds(layer, shapes.bottoms[index], shapes.tops[index], shapes.params[index])
        return None if work is None or self.batch is None else work // self.batch

    def bytes_of(self, index: int) -> Optional[int]:
        """Return what a layer takes besides its parameters; None also where it is not in this phase."""
        taken = self.memory.get(index)
        return None if taken is None else taken.total


def summarize(
    net: proto.Net,
    *,
    prefixes: Sequence[str] = (),
    shapes: Optional[Mapping[str, Sequence[int]]] = None,
    batch: Optional[int] = None,
) -> Summary:
    """Return what each layer of a net costs: parameters, multiply-adds, memory. Caffe's engine is not loaded.

    Of the data that the net names, at most the first image is looked at.

    Args:
        net: A path, a NetParameter or a NetSpec.
        prefixes: The prefixes of its branches, where the layers' names do not tell them.
        shapes: For an input whose shape the net does not tell, the shape: (N, C, H, W).
        batch: Another number of items N in all inputs.

    Returns:
        `layers`, `totals` of the branches and the whole (the last), and in bytes the memory of `training` and
        `testing`.

    Raises:
        GraphError: The net cannot be read, or has no such prefix or input.

    Examples:
        >>> from netbuild import summarize
        >>> summary = summarize("fused/train_val.prototxt")
        >>> [(total.branch, total.parameters) for total in summary.totals]
        [('odd', 426070), ('even', 426070), ('', 10010), (None, 862150)]
        >>> summary.training.largest_batch(2**30) > 1000
        True
    """
    message = proto.net_of(net)
    return summary_of(message, sized_views(message, shapes or {}, batch), prefixes)


def sized_views(net: Message, sizes: Mapping[str, Sequence[int]], batch: Optional[int] = None) -> Views:
    """Return the views of a net in the phases that it has, with the shapes of what it reads.

    A net that trains and makes no difference between phases is the same in both.
    """
    found = made_for(net)
    both = found == (TEST,) and _trains(net)
    return {
        phase: with_sizes(view, sizes, batch)
        for phase, view in views(net, (TRAIN, TEST) if both else sorted(found)).items()
    }


def summary_of(net: Message, of_phases: Views, prefixes: Sequence[str] = ()) -> Summary:
    """Return what `summarize` does, of a net of which there are views already, with the shapes of what it reads."""
    branches = require_prefixes(net, prefixes, of_phases)
    phases = {phase: _Phase(view, layer_memory(view)) for phase, view in of_phases.items()}
    blobs = _blobs(of_phases)
    owned = own_parameters(net, dict(sorted(blobs.items())))
    trains = _trains(net)
    again = proto.written_again(net, (index for index in sorted(blobs) if blobs[index]))
    layers = [
        _layer(index, branch, phases, owned[index], trains=trains, again=index in again)
        for index, branch in ((index, names.owner(branches, net.layer[index].name) or "") for index in sorted(blobs))
    ]
    training, testing = _needs(phases)
    return Summary(
        net.name,
        tuple(branches),
        layers,
        _totals(layers, branches),
        training,
        testing,
        tuple(dict.fromkeys(name for one in phases.values() for name in one.unknown())),
        tuple(dict.fromkeys(fault.sentence for view in of_phases.values() for fault in view.misfits)),
    )


def _blobs(of_phases: Views) -> Dict[int, Optional[List[Shape]]]:
    """Return the shapes of each layer's blobs, in the first phase that tells them: that of its work."""
    found: Dict[int, Optional[List[Shape]]] = {}
    for view in of_phases.values():
        for index, shapes in view.shapes.params.items():
            known = found.get(index)
            if known is None or _number_of_values(known) is None:
                found[index] = shapes
    return found


def _trains(net: Message) -> bool:
    return any(map(is_loss, net.layer))


def _layer(
    index: int, branch: str, phases: Mapping[int, _Phase], owned: Sequence[Shape], *, trains: bool, again: bool
) -> LayerCost:
    here = {phase: one for phase, one in phases.items() if index in one.view.by_index}
    first = next(iter(here.values()))
    layer, blobs = first.view.by_index[index], first.view.shapes.params[index]
    return LayerCost(
        branch=branch,
        name=layer.name,
        type=layer.type,
        phases=tuple(map(proto.phase_name, here)),
        shape=next(iter(first.view.shapes.tops[index]), None),
        parameters=_number_of_values(owned) if blobs is not None else None,
        learns=first.view.training[index].changes if trains and blobs != [] and not again else None,
        multiply_adds=first.work(index),
        train_bytes=here[TRAIN].bytes_of(index) if TRAIN in here else None,
        test_bytes=here[TEST].bytes_of(index) if TEST in here else None,
        shares=len(owned) < len(blobs or ()),
        again=again,
        index=index,
    )


def _number_of_values(shapes: Iterable[Shape]) -> Optional[int]:
    """Return how many values blobs of these shapes have together; None where that of one is not known."""
    sizes = [values(shape) for shape in shapes]
    return None if None in sizes else _sum(sizes)


def _sum(numbers: Iterable[Optional[int]]) -> int:
    """Return the sum of the known numbers."""
    return sum(number for number in numbers if number)


def _totals(layers: Sequence[LayerCost], branches: Sequence[str]) -> List[Total]:
    """Return the totals of each branch and of the rest, where there are any, and of the whole net."""
    members: Dict[str, List[LayerCost]] = {branch: [] for branch in [*branches, ""]} if branches else {}
    for one in layers if branches else ():
        members[one.branch].append(one)
    return [*(_total(branch, own) for branch, own in members.items() if own), _total(None, layers)]


def _total(branch: Optional[str], own: Sequence[LayerCost]) -> Total:
    once = [one for one in own if not one.again]
    return Total(
        branch=branch,
        layers=len(once),
        parameters=_sum(one.parameters for one in own),
        learning=_sum(one.parameters for one in own if one.learns),
        multiply_adds=_sum(one.multiply_adds for one in once),
        train_bytes=_sum(one.train_bytes for one in own),
        test_bytes=_sum(one.test_bytes for one in own),
        state=state(own),
        size=size(own),
    )


def state(layers: Iterable[LayerCost]) -> str:
    """Return 'frozen', 'trainable' or 'partly trainable' for layers together, '' where none learns or could."""
    known = {one.learns for one in layers} - {None}
    if not known:
        return ""
    return "partly trainable" if len(known) > 1 else "trainable" if True in known else "frozen"


def size(layers: Sequence[LayerCost]) -> str:
    """Return in words how many parameters layers have; '' where they have none."""
    known = _sum(one.parameters for one in layers)
    if any(one.parameters is None for one in layers):
        return f"{known:,} parameters and some of unknown number" if known else "parameters of unknown number"
    if known:
        return f"{known:,} parameters"
    return "parameters shared with others" if any(one.shares for one in layers) else ""


def _needs(phases: Mapping[int, _Phase]) -> Tuple[Optional[MemoryNeed], Optional[MemoryNeed]]:
    """Return what one step of training and one pass in TEST take; None where there is no such phase."""
    training, testing = (_need(phases[phase]) if phase in phases else None for phase in (TRAIN, TEST))
    if training is not None:
        beside = 0 if testing is None else testing.columns + testing.growing
        training = training._replace(parameters=training.parameters * TRAINING_COPIES, tested=beside)
    return training, testing


def _need(one: _Phase) -> Optional[MemoryNeed]:
    """Return what a net of this phase takes with its parameters once; None where a shape is not known."""
    owned = own_parameters(one.view.net, one.view.shapes.params)
    parameters = _number_of_values(shape for shapes in owned.values() for shape in shapes)
    memory = [taken for taken in one.memory.values() if taken is not None]
    if one.batch is None or parameters is None or len(memory) < len(one.memory):
        return None
    columns, growing = sum(taken.columns for taken in memory), sum(taken.batch for taken in memory)
    return MemoryNeed(one.batch, FLOAT * parameters, columns, 0, growing)
