"""What a layer fills its parameters with, and where Caffe aborts doing so: when the net is built, after all else."""

from __future__ import annotations

from typing import Callable, Dict, Iterator, List, Optional, Tuple

from ..schema import Message
from ..schema.forks import forks_with_filler
from .lengths import Shape, shape_text
from .row import Filled
from .table import of, of_type


def filler_faults(layer: Message, params: Optional[List[Shape]], tops: List[Shape]) -> Iterator[str]:
    """Yield why Caffe aborts when it fills the layer's parameters, or the tops of a DummyData."""
    for field, filler, shape in _filled(layer, params or [], tops):
        why = _why(filler, shape)
        if why is not None:
            yield f"Caffe aborts on its {field} {filler.type!r}: {why}"


def fork_fillers(layer: Message, params: Optional[List[Shape]], tops: List[Shape]) -> Iterator[str]:
    """Yield the layer's fillers that only forks have, and on which every other Caffe aborts."""
    for field, filler, _ in _filled(layer, params or [], tops):
        forks = () if filler.type in _WHY_NOT else forks_with_filler(filler.type)
        if forks:
            names = " or ".join(fork.name for fork in forks)
            yield f"its {field} {filler.type!r} is of the Caffe of {names}; any other aborts when it fills the blob"


def has_weight_filler(kind: str) -> bool:
    """Tell whether the first blob of a layer type is weights that a `weight_filler` fills, usually at random."""
    fillers = of_type(kind).weights.fillers
    return not callable(fillers) and "weight_filler" in fillers


def _filled(layer: Message, params: List[Shape], tops: List[Shape]) -> Iterator[Filled]:
    """Yield the blobs that Caffe fills, each with its filler."""
    row = of(layer)
    fillers = row.weights.fillers
    if callable(fillers):
        yield from fillers(layer, params, tops)
        return
    for field, shape in zip(fillers, params):
        yield Filled(field, getattr(getattr(layer, row.options), field), shape)


def _why(filler: Message, shape: Shape) -> Optional[str]:
    """Return why Caffe aborts when it fills a blob of this shape, None where it does not."""
    if filler.type not in _WHY_NOT:
        if forks_with_filler(filler.type):
            # Of what a fork's filler cannot fill nothing is known.
            return None
        return f"there is no such filler; known are {', '.join(_WHY_NOT)}"
    if filler.type != "gaussian" and filler.sparse != -1:
        return "sparse goes with gaussian only"
    return _WHY_NOT[filler.type](filler, shape)


def _never(_filler: Message, _shape: Shape) -> Optional[str]:
    return None


def _why_not_uniform(filler: Message, _shape: Shape) -> Optional[str]:
    return None if filler.min <= filler.max else f"min {filler.min:g} is more than max {filler.max:g}"


def _why_not_bilinear(_filler: Message, shape: Shape) -> Optional[str]:
    if shape is None or (len(shape) == 4 and not _oblong(shape)):
        return None
    return f"only square windows can be filled with it; the blob is {shape_text(shape)}"


def _why_not_by_first_axis(_filler: Message, shape: Shape) -> Optional[str]:
    return "the blob is a single number, without the axis that this filler counts by" if shape == () else None


def _oblong(shape: Tuple[Optional[int], ...]) -> bool:
    return None not in shape[2:] and shape[2] != shape[3]


def _why_not_gaussian(filler: Message, shape: Shape) -> Optional[str]:
    if not filler.std > 0:
        return f"std {filler.std:g} must be above 0; for equal values take constant"
    if filler.sparse < -1:
        return f"sparse {filler.sparse} must be at least 0, or -1 for none"
    if filler.sparse == -1 or shape is None:
        return None
    if not shape:
        return "sparse needs a blob with axes"
    outputs = shape[0]
    if outputs is not None and filler.sparse > outputs:
        return f"sparse {filler.sparse} is more than the {outputs} outputs of the blob {shape_text(shape)}"
    return None


_WHY_NOT: Dict[str, Callable[[Message, Shape], Optional[str]]] = {
    "bilinear": _why_not_bilinear,
    "constant": _never,
    "gaussian": _why_not_gaussian,
    "msra": _why_not_by_first_axis,
    "positive_unitball": _why_not_by_first_axis,
    "uniform": _why_not_uniform,
    "xavier": _why_not_by_first_axis,
}
"""Each filler that there is, and what tells why it cannot fill a blob."""
