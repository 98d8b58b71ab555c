"""Prototxt: text to message and back, and which layers a phase has."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from ..errors import GraphError
from ..files import PathLike, existing_file, write_text
from ..schema import TEST, TRAIN, Message, is_repeated, schema
from ..what_is import NET, SOLVER, said
from .decoding import NoTextError, decoded
from .state import NetState, in_state, tell_idle_stages
from .text import file_text, parse
from .upgrade import upgraded

_FILLERS = ("weight_filler", "bias_filler", "filler")


def read_net(path: PathLike, *, stages: Sequence[str] = (), level: Optional[int] = None) -> Message:
    """Read the prototxt of a net, of whatever age, in the current format.

    Args:
        path: The prototxt.
        stages: Stages that choose layers, beside those of the net's own `state`, in which the result has them all.
        level: The level that chooses layers; by default that of the net's own `state`.

    Returns:
        The net as a NetParameter.

    Raises:
        GraphError: The text does not parse (with line and column), or cannot be upgraded.
        NetbuildError: There is no such file, or it cannot be read.

    Examples:
        >>> from netbuild import read_net
        >>> net = read_net("odd/deploy.prototxt")
        >>> net.name, [layer.type for layer in net.layer][:3]
        ('LeNet', ['Input', 'Convolution', 'Pooling'])
    """
    net = upgraded(_parse(path, schema().NetParameter()), str(path))
    tell_idle_stages(net, stages, str(path))
    return in_state(net, stages, level)


def read_solver(path: PathLike) -> Message:
    """Read the prototxt of a solver.

    Args:
        path: The prototxt.

    Returns:
        The solver as a SolverParameter.

    Raises:
        GraphError: The text does not parse (with line and column).
        NetbuildError: There is no such file, or it cannot be read.

    Examples:
        >>> from netbuild import read_solver
        >>> solver = read_solver("fused/solver.prototxt")
        >>> solver.net, solver.max_iter
        ('fused/train_val.prototxt', 20)
    """
    return _parse(path, schema().SolverParameter())


def write(path: PathLike, message: Message) -> None:
    """Write a message as prototxt, replacing the file only when the new one is complete."""
    write_text(path, file_text(message))


def copied(message: Message) -> Message:
    """Return a copy of a message, for functions that return an edited net."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def without_fillers(layer: Message) -> Message:
    """Return the layer without the fields that only say how its parameters begin."""
    bare = copied(layer)
    for options, field in list(_fillers(bare)):
        options.ClearField(field)
    return bare


def fillers(layer: Message) -> Dict[str, Message]:
    """Return how the layer says that its parameters begin, by the names of the fields; none where it does not say."""
    return {field: getattr(options, field) for options, field in _fillers(layer)}


def _fillers(layer: Message) -> Iterator[Tuple[Message, str]]:
    for descriptor, options in layer.ListFields():
        if descriptor.name.endswith("_param") and not is_repeated(descriptor):
            for field in _FILLERS:
                if field in options.DESCRIPTOR.fields_by_name and options.HasField(field):
                    yield options, field


def in_phase(layer: Message, phase: int) -> bool:
    """Tell whether Caffe keeps the layer in a net of this phase, at level 0 and without stages."""
    return NetState(phase).keeps(layer)


def by_name(layers: Iterable[Tuple[int, Message]]) -> Dict[str, List[int]]:
    """Return the indices of the layers of each name, '' included."""
    places: Dict[str, List[int]] = {}
    for index, layer in layers:
        places.setdefault(layer.name, []).append(index)
    return places


def written_again(net: Message, layers: Iterable[int]) -> Set[int]:
    """Return those of a net's layers, by index, that are one layer with another of them, written for another phase.

    So is a BatchNorm that works on the batch's statistics in TRAIN and on its stored ones in TEST. To Caffe layers of
    one name have the same parameters. That of TRAIN stands for all, as in Caffe's snapshots, or else the first.
    """
    kept = {phase: {index for index, _ in of_phase(net, phase)} for phase in (TRAIN, TEST)}
    again: Set[int] = set()
    for indices in by_name((index, net.layer[index]) for index in layers).values():
        first = next((index for index in indices if index in kept[TRAIN]), indices[0])
        together = {index for of_one in kept.values() if first in of_one for index in of_one}
        again.update(index for index in indices if index not in {first, *together})
    return again


def of_phase(net: Message, phase: int) -> List[Tuple[int, Message]]:
    """Return the layers of one phase in the net's own state, each with its index in the net."""
    return NetState.of(net, phase).layers(net)


def only_phase(net: Message, phase: int) -> Message:
    """Return a net of one phase's layers in the net's own state, without what told the states apart."""
    return NetState.of(net, phase).only(net)


def phases(net: Message) -> Tuple[int, ...]:
    """Return the phases in which a layer that needs no bottom feeds the net, TEST first; TEST where all are alike."""
    if not any(layer.include or layer.exclude for layer in net.layer):
        return (TEST,)
    fed = [phase for phase in (TEST, TRAIN) if any(not layer.bottom for _, layer in of_phase(net, phase))]
    return tuple(fed) or (TEST,)


def phase_name(phase: int) -> str:
    """Return 'TRAIN' or 'TEST'."""
    return "TRAIN" if phase == TRAIN else "TEST"


def _parse(path: PathLike, message: Message) -> Message:
    file: Path = existing_file(path, "prototxt")
    source = f"prototxt {str(file)!r}"
    try:
        text = decoded(file.read_bytes(), source)
    except (NoTextError, GraphError) as error:
        foreign = said(file, NET if message.DESCRIPTOR.name == "NetParameter" else SOLVER)
        if not foreign and isinstance(error, GraphError):
            raise
        raise GraphError(f"{source}: {foreign or 'is not text; a prototxt is expected here'}") from None
    return parse(text, message, source)
