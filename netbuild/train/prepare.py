"""Before a training: find what would go wrong, and derive the solver that the child process runs."""

from __future__ import annotations

import re
from glob import escape
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence

from .. import proto
from ..costs.summary import summarize
from ..engine.caffe import TEST, TRAIN, Message
from ..engine.ending import machine_memory
from ..errors import GraphError, NetbuildError, WeightsError, some
from ..files import PathLike, existing_file
from ..fuse.provenance import require_one_set
from ..graph.check import require_savable, require_sound, warn
from ..graph.feed import data_layers
from ..graph.filled import unfilled
from ..soundness.check import require_readable
from ..weights.index import index, kind_of, read_state

NEVER = 2**31 - 1
"""A test_interval that no run reaches: Caffe's own testing is off."""
_NET_FIELDS = ("net", "train_net")
_SNAPSHOT = re.compile(r".*_iter_(\d+)\.").match


def require_kind(path: PathLike, kind: str, option: str, other: str) -> None:
    """Raise WeightsError where a caffemodel is given for a solverstate or the reverse."""
    found = kind_of(path)
    if found not in (kind, "hdf5") or (found == "hdf5" and kind == "solverstate"):
        raise WeightsError(f"{option} {str(path)!r}: is a {found}, not a {kind}; give it with --{other} instead")


def resolve_nets(solver: Message, folder: Path) -> None:
    """Make the paths of the solver's nets good for any folder."""
    for field in _NET_FIELDS:
        if solver.HasField(field):
            setattr(solver, field, _found(getattr(solver, field), folder))
    tests = [_found(path, folder) for path in solver.test_net]
    del solver.test_net[:]
    solver.test_net.extend(tests)


def _found(path: str, folder: Path) -> str:
    if not path:
        raise GraphError("solver: names no net: the path is empty")
    beside = folder / Path(path).name
    return str(existing_file(beside if not Path(path).exists() and beside.exists() else path, "solver's net").resolve())


def require_trainable(solver: Message) -> None:
    """Find what would make Caffe abort: unsound nets, missing data, snapshots that cannot be saved."""
    given = [getattr(solver, field) for field in _NET_FIELDS if solver.HasField(field)]
    if len(given) != 1:
        raise GraphError("solver: exactly one of 'net' and 'train_net' is needed (nets inside the solver: not read)")
    if len(solver.test_iter) < len(solver.test_net):
        raise GraphError(
            f"solver: {len(solver.test_net)} test nets need as many test_iter, found {len(solver.test_iter)}"
        )
    for path, used in phases_of_nets(solver).items():
        net = proto.read_net(path)
        require_sound(net, path, in_phases=used)
        warn(net, path)
        require_savable(solver, net)
        for phase in used:
            _require_data(net, phase, path)
        require_readable(net, path, used)


def phases_of_nets(solver: Message) -> Dict[str, List[int]]:
    """Return the solver's nets, each with the phases in which it is built."""
    phases = {getattr(solver, field): [TRAIN] for field in _NET_FIELDS if solver.HasField(field)}
    tested = [*solver.test_net, *([solver.net] if solver.test_iter and solver.HasField("net") else [])]
    for path in tested:
        phases.setdefault(path, []).append(TEST)
    return phases


def _require_data(net: Message, phase: int, path: str) -> None:
    for layer in data_layers(net, phase):
        options: List[Message] = [value for field, value in layer.ListFields() if field.name.endswith("data_param")]
        for option in options:
            source = getattr(option, "source", "")
            if source and not Path(source).exists():
                where = f"{path}: data layer {layer.name!r} ({proto.phase_name(phase)})"
                raise NetbuildError(
                    f"{where} reads {source!r}, which is not there (looked from {str(Path.cwd())!r}); "
                    "run in the folder that its paths hold for"
                )


def direct(solver: Message, snapshot_prefix: str, gpu: Optional[int]) -> None:
    """Say where Caffe is to write, and leave the testing and when to save to the engine's loop."""
    solver.snapshot_prefix, solver.snapshot = snapshot_prefix, 0
    solver.solver_mode = solver.CPU if gpu is None else solver.GPU
    if gpu is not None:
        solver.device_id = gpu
    solver.test_interval, solver.test_initialization = NEVER, False


def require_untouched(folder: Path, prefix: str, log: Path, resume: Optional[PathLike]) -> None:
    """Refuse a folder in which an earlier run's results would be overwritten."""
    snapshots = {
        path: int(match[1])
        for path in sorted(folder.glob(f"{escape(prefix)}_iter_*"))
        if (match := _SNAPSHOT(path.name))
    }
    if resume is not None:
        iteration = _iteration(Path(resume))
        later = [path for path, number in snapshots.items() if iteration is not None and number > iteration]
        if later:
            raise NetbuildError(
                f"folder {str(folder)!r}: holds snapshots beyond iteration {iteration} ({later[0].name}), which "
                "would be overwritten; name another folder, or resume from the last"
            )
    elif snapshots or log.exists():
        there = next(iter(snapshots), log)
        raise NetbuildError(
            f"folder {str(folder)!r}: holds an earlier run ({there.name}); name another folder, or go on from its last "
            ".solverstate with --resume"
        )


def _iteration(resume: Path) -> Optional[int]:
    """Return the iteration of a solverstate; of one in HDF5 its name tells it, None where it does not."""
    state = read_state(resume)
    if state is not None:
        return state.iteration
    named = _SNAPSHOT(resume.name)
    return int(named[1]) if named else None


def weight_notes(solver: Message, weights: Sequence[PathLike], *, force: bool) -> Iterator[str]:
    """Yield what is odd about the weights that a training begins with.

    Raises WeightsError where none would arrive, and where frozen layers get none; with `force` that is yielded instead.
    """
    files = [*weights, *_of_solver(solver)]
    require_one_set(files)
    net = proto.read_net(train_net(solver))
    named = {layer.name for layer in net.layer}
    filled = set()
    for path in files:
        found = {layer.name for layer in index(path).layers}
        if not found & named:
            raise WeightsError(
                f"weights {str(path)!r}: no layer of it is in the net (it has {some(sorted(found), 3)}); are "
                "the names prefixed? netbuild fuse does that"
            )
        filled |= found
    empty = unfilled(net, filled)
    if empty:
        told = f"{len(empty)} frozen layers get no trained weights ({some(empty)}) and would never get any"
        if not force:
            raise WeightsError(
                f"{told}: give them with --weights, in one file with all the net's branches (netbuild fuse); where "
                "they are to stay as their fillers make them, --force"
            )
        yield told


def _of_solver(solver: Message) -> List[str]:
    """Return the weight files that the solver itself names; each line may hold several, as in Caffe."""
    return [path.strip() for line in getattr(solver, "weights", ()) for path in line.split(",")]


def memory_need(solver: Message) -> Optional[str]:
    """Return what a training on the CPU takes, in words; None where that is not known."""
    need = summarize(proto.read_net(train_net(solver))).training
    return None if need is None else f"training at batch {need.batch} takes about {need.total / 2**20:.0f} MiB"


def memory_note(solver: Message) -> Optional[str]:
    """Return what to say where a training on the CPU takes more memory than the machine has."""
    need = summarize(proto.read_net(train_net(solver))).training
    there = machine_memory()
    if need is None or need.total <= there:
        return None
    return (
        f"training at batch {need.batch} takes about {need.total / 2**30:.1f} GiB, and this machine has "
        f"{there / 2**30:.1f}: the largest batch that fits is {need.largest_batch(there)} (netbuild summary)"
    )


def train_net(solver: Message) -> str:
    """Return the path of the net that the solver trains."""
    return str(next(getattr(solver, field) for field in _NET_FIELDS if solver.HasField(field)))
