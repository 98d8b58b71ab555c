"""What a net is made of and costs: each layer, each branch, the whole, and the batch that fits into a memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .. import names, proto
from ..engine.caffe import TEST, TRAIN, Message
from ..graph.branches import require_prefixes
from ..graph.view import NetView
from ..layers import Inferred, Shape
from ..layers.costs import multiply_adds, values
from ..layers.roles import is_loss
from ..layers.training import Effect
from .memory import FLOAT, TRAINING_COPIES, Bytes, layer_memory, own_parameters
from .sizes import input_sizes


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
    """Whether training changes them; None where it has none, and in a net without a loss, which nothing trains."""
    multiply_adds: Optional[int]
    """For one item of the batch."""
    train_bytes: Optional[int]
    """What Caffe takes for it in TRAIN besides the parameters: values, gradients, what it keeps."""
    test_bytes: Optional[int]
    shares: bool
    """Whether an earlier layer has some of its blobs too."""
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
    """A net, looked at."""

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


class _Phase(NamedTuple):
    shapes: Inferred
    training: Mapping[int, Effect]
    memory: Dict[int, Optional[Bytes]]
    batch: Optional[int]
    faults: Tuple[str, ...]


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
    return _summary(proto.net_of(net), prefixes, shapes or {}, batch)


def _summary(
    net: Message, prefixes: Sequence[str], sizes: Mapping[str, Sequence[int]], batch: Optional[int]
) -> Summary:
    branches = require_prefixes(net, prefixes)
    trains = any(map(is_loss, net.layer))
    # A net that makes no difference between phases is the same in both.
    known = {TRAIN, TEST} if trains and proto.phases(net) == (TEST,) else set(proto.phases(net))
    phases = {phase: _phase(net, phase, sizes, batch) for phase in sorted(known)}
    blobs = {index: shapes for one in phases.values() for index, shapes in one.shapes.params.items()}
    owned = own_parameters(net, dict(sorted(blobs.items())))
    layers = [
        _layer(index, layer, names.owner(branches, layer.name) or "", phases, owned.get(index, []), trains=trains)
        for index, layer in enumerate(net.layer)
        if any(index in one.shapes.params for one in phases.values())
    ]
    groups = dict.fromkeys([*branches, ""]) if branches else {}
    totals = [_total(branch, (one for one in layers if one.branch == branch)) for branch in groups]
    testing = _need(phases[TEST], owned) if TEST in phases else None
    training = _need(phases[TRAIN], owned) if TRAIN in phases else None
    if training is not None:
        beside = 0 if testing is None else testing.columns + testing.growing
        training = training._replace(parameters=training.parameters * TRAINING_COPIES, tested=beside)
    unknown = [net.layer[i].name for one in phases.values() for i, memory in one.memory.items() if memory is None]
    return Summary(
        net.name,
        tuple(branches),
        layers,
        [*(total for total in totals if total.layers), _total(None, layers)],
        training,
        testing,
        tuple(dict.fromkeys(unknown)),
        tuple(dict.fromkeys(fault for one in phases.values() for fault in one.faults)),
    )


def _phase(net: Message, phase: int, given: Mapping[str, Sequence[int]], batch: Optional[int]) -> _Phase:
    sizes = input_sizes(net, phase, given, batch)
    view = NetView(net, phase, inputs=sizes)
    first = next((shape[0] for shape in sizes.values() if shape and shape[0]), None)
    faults = tuple(fault.sentence for fault in view.misfits)
    return _Phase(view.shapes, view.training, layer_memory(view), first, faults)


def _layer(
    index: int, layer: Message, branch: str, phases: Mapping[int, _Phase], owned: Sequence[Shape], *, trains: bool
) -> LayerCost:
    here = {phase: one for phase, one in phases.items() if index in one.shapes.params}
    first = next(iter(here.values()))
    blobs = first.shapes.params[index]
    work = multiply_adds(layer, first.shapes.bottoms[index], first.shapes.tops[index], blobs)
    sizes = [values(shape) for shape in owned]
    known = [size for size in sizes if size is not None]
    memory = {phase: one.memory[index] for phase, one in here.items()}
    taken = {phase: None if found is None else found.total for phase, found in memory.items()}
    return LayerCost(
        branch,
        layer.name,
        layer.type,
        tuple(map(proto.phase_name, here)),
        next(iter(first.shapes.tops[index]), None),
        None if blobs is None or len(known) < len(sizes) else sum(known),
        first.training[index].changes if trains and blobs != [] else None,
        None if work is None or first.batch is None else work // first.batch,
        taken.get(TRAIN),
        taken.get(TEST),
        len(owned) < len(blobs or ()),
        index,
    )


def _total(branch: Optional[str], layers: Iterable[LayerCost]) -> Total:
    own = list(layers)
    return Total(
        branch,
        len(own),
        sum(one.parameters or 0 for one in own),
        sum(one.parameters or 0 for one in own if one.learns),
        sum(one.multiply_adds or 0 for one in own),
        sum(one.train_bytes or 0 for one in own),
        sum(one.test_bytes or 0 for one in own),
        state(own),
        size(own),
    )


def state(layers: Iterable[LayerCost]) -> str:
    """Return 'frozen', 'trainable' or 'partly trainable' for layers together, '' where none learns or could."""
    found = {one.learns for one in layers} - {None}
    return "" if not found else "partly trainable" if len(found) > 1 else "trainable" if True in found else "frozen"


def size(layers: Sequence[LayerCost]) -> str:
    """Return in words how many parameters layers have; '' where they have none."""
    known = sum(one.parameters or 0 for one in layers)
    if any(one.parameters is None for one in layers):
        return f"{known:,} parameters and some of unknown number" if known else "parameters of unknown number"
    shared = any(one.shares for one in layers)
    return f"{known:,} parameters" if known else "parameters shared with others" if shared else ""


def _need(one: _Phase, owned: Mapping[int, Sequence[Shape]]) -> Optional[MemoryNeed]:
    """Return what a net of this phase takes with its parameters once; None where a shape is not known."""
    parameters = [values(shape) for index in one.shapes.params for shape in owned[index]]
    known = [size for size in parameters if size is not None]
    memory = [taken for taken in one.memory.values() if taken is not None]
    if one.batch is None or len(known) < len(parameters) or len(memory) < len(one.memory):
        return None
    columns, growing = (sum(column) for column in zip(*((taken.columns, taken.batch) for taken in memory)))
    return MemoryNeed(one.batch, FLOAT * sum(known), columns, 0, growing)
