"""Before a training: find what would go wrong, and derive the solver that the child process runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from glob import escape
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence

from .. import proto
from ..costs.summary import MemoryNeed, summarize
from ..engine.ending import machine_memory
from ..errors import GraphError, NetbuildError, WeightsError, some
from ..files import PathLike, existing_file
from ..fuse.provenance import require_one_set
from ..graph.check import require_savable, require_sound, warn
from ..graph.filled import unfilled
from ..graph.view import NetView, Views
from ..layers.roles import reads_data
from ..names import branch_alone
from ..schema import TRAIN, Message
from ..solving import TRAINED_FIELDS, phases_of_nets, require_sensible, snapshot_name, trained_net
from ..soundness.check import require_readable
from ..spelling import name_of, option
from ..weights.index import index, kind_of
from .solverstate import iteration_of

NEVER = 2**31 - 1
"""A test_interval that no run reaches: Caffe's own testing is off."""


@dataclass(frozen=True)
class CheckedSolver:
    """A solver that Caffe takes, and its nets, each read once and in the phases in which it is built."""

    message: Message
    nets: Mapping[str, Views]
    """By the paths that the solver names."""

    @property
    def view(self) -> NetView:
        """The net that it trains, in TRAIN."""
        return self.nets[trained_net(self.message)][TRAIN]

    @property
    def trained(self) -> Message:
        """The net that it trains, with the layers of all phases."""
        return self.view.net


def checked_solver(path: PathLike, max_iter: Optional[int]) -> CheckedSolver:
    """Read a solver, and find its nets wherever it stands; raise NetbuildError for what Caffe would abort on."""
    message = proto.read_solver(path)
    if max_iter is not None:
        message.max_iter = max_iter
    require_sensible(message)
    resolve_nets(message, Path(path).parent)
    return require_trainable(message)


def require_kind(path: PathLike, kind: str, argument: str, other: str) -> None:
    """Raise WeightsError where a caffemodel is given for a solverstate or the reverse."""
    actual = kind_of(path)
    if actual not in (kind, "hdf5") or (actual == "hdf5" and kind == "solverstate"):
        raise WeightsError(
            f"{argument} {str(path)!r}: is a {actual}, not a {kind}; give it with {name_of(other)} instead"
        )


def resolve_nets(solver: Message, folder: Path) -> None:
    """Make the paths of the solver's nets good for any folder."""
    for field in TRAINED_FIELDS:
        if solver.HasField(field):
            setattr(solver, field, _resolved(getattr(solver, field), folder))
    tests = [_resolved(path, folder) for path in solver.test_net]
    del solver.test_net[:]
    solver.test_net.extend(tests)


def _resolved(path: str, folder: Path) -> str:
    if not path:
        raise GraphError("solver: names no net: the path is empty")
    beside = folder / Path(path).name
    return str(existing_file(beside if not Path(path).exists() and beside.exists() else path, "solver's net").resolve())


def require_trainable(solver: Message) -> CheckedSolver:
    """Return a solver with its nets; raise NetbuildError for what would make Caffe abort: unsound nets, missing data,
    snapshots that cannot be saved."""
    _require_nets(solver)
    nets: Dict[str, Views] = {}
    for path, in_phases in phases_of_nets(solver).items():
        net = proto.read_net(path)
        # Caffe is given the file itself.
        marked = proto.mark_fault(path)
        if marked:
            raise GraphError(f"{path}: {marked}")
        of_phases = nets[path] = require_sound(net, path, in_phases=in_phases)
        warn(net, path, of_phases)
        require_savable(solver, net)
        for view in of_phases.values():
            _require_data(view, path)
        require_readable(of_phases, path)
    return CheckedSolver(solver, nets)


def _require_nets(solver: Message) -> None:
    if sum(map(solver.HasField, TRAINED_FIELDS)) != 1:
        raise GraphError("solver: exactly one of 'net' and 'train_net' is needed (nets inside the solver: not read)")
    if len(solver.test_iter) < len(solver.test_net):
        raise GraphError(
            f"solver: {len(solver.test_net)} test nets need as many test_iter, found {len(solver.test_iter)}"
        )


def _require_data(view: NetView, path: str) -> None:
    for layer in (layer for _, layer in view.layers if reads_data(layer)):
        for source in _sources(layer):
            if not Path(source).exists():
                where = f"{path}: data layer {layer.name!r} ({proto.phase_name(view.phase)})"
                raise NetbuildError(
                    f"{where} reads {source!r}, which is not there (looked from {str(Path.cwd())!r}); "
                    "run in the folder that its paths hold for"
                )


def _sources(layer: Message) -> List[str]:
    """Return what a data layer's options name as its source: a list, a database."""
    options: List[Message] = [value for field, value in layer.ListFields() if field.name.endswith("data_param")]
    return [one.source for one in options if getattr(one, "source", "")]


def directed(solver: Message, snapshot_prefix: str, gpu: Optional[int]) -> Message:
    """Return a solver that writes snapshots under this prefix; the child's loop decides when to test and to save."""
    result = proto.copied(solver)
    result.snapshot_prefix, result.snapshot = snapshot_prefix, 0
    result.solver_mode = solver.CPU if gpu is None else solver.GPU
    if gpu is not None:
        result.device_id = gpu
    result.test_interval, result.test_initialization = NEVER, False
    return result


def require_untouched(folder: Path, prefix: str, log: Path, resume: Optional[PathLike]) -> None:
    """Raise NetbuildError for a folder in which an earlier run's results would be overwritten."""
    snapshots = _snapshots(folder, prefix)
    if resume is not None:
        _require_none_later(folder, snapshots, resume)
    elif snapshots or log.exists():
        there = next(iter(snapshots), log)
        raise NetbuildError(
            f"folder {str(folder)!r}: holds an earlier run ({there.name}); name another folder, or go on from its last "
            f".solverstate with {name_of('resume')}"
        )


def _snapshots(folder: Path, prefix: str) -> Dict[Path, int]:
    """Return the files of snapshots in a folder, each with its iteration."""
    names = {path: snapshot_name(path.name) for path in sorted(folder.glob(f"{escape(prefix)}_iter_*"))}
    return {path: name.iteration for path, name in names.items() if name}


def _require_none_later(folder: Path, snapshots: Mapping[Path, int], resume: PathLike) -> None:
    iteration = iteration_of(resume)
    later = [path for path, number in snapshots.items() if iteration is not None and number > iteration]
    if later:
        raise NetbuildError(
            f"folder {str(folder)!r}: holds snapshots beyond iteration {iteration} ({later[0].name}), which "
            "would be overwritten; name another folder, or resume from the last"
        )


def weight_notes(solver: CheckedSolver, weights: Sequence[PathLike], *, force: bool) -> Iterator[str]:
    """Yield what is odd about the weights that a training begins with.

    Raises WeightsError where none would arrive, and where frozen layers get none; with `force` that is yielded instead.
    """
    files = [*weights, *_of_solver(solver.message)]
    require_one_set(files)
    names = dict.fromkeys(layer.name for layer in solver.trained.layer)
    filled = set()
    for path in files:
        held = [layer.name for layer in index(path).layers]
        stored = set(held)
        alone = branch_alone(held, names)
        if alone and not force:
            raise WeightsError(f"weights {str(path)!r}: {alone}")
        if not stored & set(names):
            raise WeightsError(
                f"weights {str(path)!r}: no layer of it is in the net, which has {some(list(names), 3)}; it has "
                f"{some(held, 3)}"
            )
        filled |= stored
    empty = unfilled(solver.trained, filled)
    if empty:
        sentence = f"{len(empty)} frozen layers get no trained weights ({some(empty)}) and would never get any"
        if not force:
            raise WeightsError(
                f"{sentence}: give them with {name_of('weights')}, in one file with all the net's branches (netbuild "
                f"fuse); where they are to stay as their fillers make them, {option('force', True)}"
            )
        yield sentence


def _of_solver(solver: Message) -> List[str]:
    """Return the weight files that the solver itself names; each line may hold several, as in Caffe."""
    return [path.strip() for line in getattr(solver, "weights", ()) for path in line.split(",")]


class TrainingMemory:
    """How much memory a training on the CPU takes; its net is summarized once, on the first question."""

    def __init__(self, net: Message) -> None:
        self._net = net

    @cached_property
    def _need(self) -> Optional[MemoryNeed]:
        return summarize(self._net).training

    def in_words(self) -> Optional[str]:
        """Return what it takes; None where that is not known."""
        need = self._need
        return need and f"training at batch {need.batch} takes about {need.total / 2**20:.0f} MiB"

    def excess(self) -> Optional[str]:
        """Return what to say where it takes more than the machine has."""
        need, there = self._need, machine_memory()
        if need is None or need.total <= there:
            return None
        return (
            f"training at batch {need.batch} takes about {need.total / 2**30:.1f} GiB, and this machine has "
            f"{there / 2**30:.1f}: the largest batch that fits is {need.largest_batch(there)} (netbuild summary)"
        )
