"""Before a training: find what would go wrong, and derive the solver that the child process runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from glob import escape
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from .. import proto
from ..costs.summary import MemoryNeed, summarize
from ..engine.ending import machine_memory
from ..errors import GraphError, NetbuildError, WeightsError, some
from ..files import PathLike, existing_file
from ..fuse.provenance import require_one_set
from ..graph.check import problems_of, require_none, require_savable, require_sound_views, warn
from ..graph.definition import phase_faults
from ..graph.filled import unfilled
from ..graph.view import NetView, Views
from ..layers.roles import reads_data
from ..names import branch_alone
from ..proto.state import listed
from ..proto.upgrade import is_current
from ..schema import TEST, TRAIN, Message
from ..solving import SolverNet, labels, nets_of, require_sensible, snapshot_name
from ..soundness.check import require_readable
from ..spelling import name_of, option
from ..weights.index import index, kind_of
from .solverstate import iteration_of

NEVER = 2**31 - 1
"""A test_interval that no run reaches: Caffe's own testing is off."""


class CheckedNet(NamedTuple):
    """A net of a solver, in the state in which the solver builds it."""

    built: SolverNet
    view: NetView
    label: str
    """What tells a net that is tested from the others; '' where there are no others."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.built.name} (test net {self.label})" if self.label else self.built.name


@dataclass(frozen=True)
class CheckedSolver:
    """A solver that Caffe takes, and its nets."""

    message: Message
    nets: Sequence[CheckedNet]
    """The one that it trains, and those that it tests."""

    @property
    def view(self) -> NetView:
        """The net that it trains."""
        return self.nets[0].view

    @property
    def trained(self) -> Message:
        """The net that it trains, with the layers of all phases."""
        return self.view.net

    @property
    def tested(self) -> Sequence[CheckedNet]:
        """The nets that it tests, in Caffe's order."""
        return self.nets[1:]

    @property
    def of_phases(self) -> Views:
        """The net that it trains, and as TEST the first net of the same layers that it tests, if there is one."""
        return _in_both_phases(self.nets)

    @property
    def by_file(self) -> Dict[str, List[NetView]]:
        """The nets by what messages call the files that they stand in."""
        found: Dict[str, List[NetView]] = {}
        for one in self.nets:
            found.setdefault(one.built.name, []).append(one.view)
        return found


def _in_both_phases(nets: Sequence[CheckedNet]) -> Dict[int, NetView]:
    trained, *tested = nets
    twin = next((one.view for one in tested if one.built.has_source_of(trained.built)), None)
    return {TRAIN: trained.view} if twin is None else {TRAIN: trained.view, TEST: twin}


def checked_solver(
    path: PathLike, max_iter: Optional[int], *, stages: Sequence[str] = (), level: Optional[int] = None
) -> CheckedSolver:
    """Read a solver, and find its nets wherever it stands; raise NetbuildError for what Caffe would abort on.

    As by `caffe train`, stages and level are those of the net that is trained, beside its own.
    """
    message = proto.read_solver(path)
    if max_iter is not None:
        message.max_iter = max_iter
    message.train_state.stage.extend(listed(stages))
    if level is not None:
        message.train_state.level = level
    require_sensible(message)
    resolve_nets(message, Path(path).parent)
    checked = require_trainable(message)
    proto.tell_idle_stages(checked.trained, stages, checked.nets[0].name)
    return checked


def require_kind(path: PathLike, kind: str, argument: str, other: str) -> None:
    """Raise WeightsError where a caffemodel is given for a solverstate or the reverse."""
    actual = kind_of(path)
    if actual not in (kind, "hdf5") or (actual == "hdf5" and kind == "solverstate"):
        raise WeightsError(
            f"{argument} {str(path)!r}: is a {actual}, not a {kind}; give it with {name_of(other)} instead"
        )


def resolve_nets(solver: Message, folder: Path) -> None:
    """Make the paths of the solver's nets good for any folder."""
    for field in ("net", "train_net"):
        if solver.HasField(field):
            setattr(solver, field, _resolved(getattr(solver, field), folder))
    tests = [_resolved(path, folder) for path in solver.test_net]
    del solver.test_net[:]
    solver.test_net.extend(tests)


def _resolved(path: str, folder: Path) -> str:
    if not path:
        raise GraphError("solver: names no net: the path is empty")
    beside = folder / Path(path).name
    found = existing_file(beside if not Path(path).exists() and beside.exists() else path, "solver's net").resolve()
    # Caffe is given the file itself.
    fault = proto.mark_fault(found)
    if fault:
        raise GraphError(f"solver's net {str(found)!r}: {fault}")
    return str(found)


def require_trainable(solver: Message) -> CheckedSolver:
    """Return a solver with its nets; raise NetbuildError for what would make Caffe abort: unsound nets, missing data,
    snapshots that cannot be saved."""
    trained, *tested = nets_of(solver)
    read: Dict[str, Message] = {}
    nets = [CheckedNet(one, _view(one, read), label) for one, label in zip([trained, *tested], ["", *labels(tested)])]
    message = nets[0].view.net
    of_phases = _in_both_phases(nets)
    require_sound_views(message, of_phases, trained.name)
    warn(message, trained.name, of_phases)
    require_savable(solver, message)
    for one in nets[1:]:
        _require_testable(one, nets[0].view)
    for one in nets:
        _require_data(one.view, one.name)
    require_readable(of_phases, trained.name)
    for one in nets:
        if one.view not in of_phases.values():
            require_readable({one.built.phase: one.view}, one.name)
    return CheckedSolver(solver, nets)


def _view(one: SolverNet, read: Dict[str, Message]) -> NetView:
    """Return the view of a net as the solver builds it; `read` are the files that are read, each once."""
    if one.name not in read:
        read[one.name] = proto.read_net(one.path) if one.message is None else _inside(one, one.message)
    net = one.in_its_state(read[one.name])
    return NetView(net, net.state.phase if net.state.HasField("phase") else one.phase)


def _inside(one: SolverNet, net: Message) -> Message:
    """Return a net that stands in the solver; GraphError for one that Caffe would upgrade in a file."""
    if not is_current(net):
        raise GraphError(
            f"{one.name}: is in an old format, or lets the statistics of a BatchNorm learn, and Caffe mends that "
            "only in a net's own file; write it to one, and name that"
        )
    return net


def _require_testable(one: CheckedNet, trained: NetView) -> None:
    """Raise GraphError for a net that cannot be tested, or not with the parameters of the one that is trained."""
    found = problems_of(one.view.net, {TEST: one.view})
    found += phase_faults(trained.net, trained.shapes.params, one.view.shapes.params, one.view.net)
    require_none(found, one.name)


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
    empty = unfilled(solver.trained, filled, solver.of_phases)
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
