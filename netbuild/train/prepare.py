"""Before a training: find what would go wrong, and derive the solver that the child process runs."""

from __future__ import annotations

import os
import re
from glob import escape
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence

from .. import proto
from .._caffe import TEST, TRAIN, Message
from ..costs.summary import summarize
from ..errors import GraphError, NetbuildError, WeightsError
from ..files import PathLike, existing_file
from ..graph.check import require_savable, require_sound
from ..graph.feed import data_layers
from ..shapes import parameter_shapes
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
        require_savable(solver, net)
        for phase in used:
            _require_data(net, phase, path)


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


def direct(solver: Message, folder: Path, gpu: Optional[int]) -> None:
    """Point the solver's output into `folder` and leave the testing to the engine's loop."""
    solver.snapshot_prefix = str(folder.resolve() / (Path(solver.snapshot_prefix).name or "snapshot"))
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
        state = read_state(resume)
        later = [path for path, number in snapshots.items() if state is not None and number > state.iteration]
        if state is not None and later:
            raise NetbuildError(
                f"folder {str(folder)!r}: holds snapshots beyond iteration {state.iteration} ({later[0].name}), which "
                "would be overwritten; name another folder, or resume from the last"
            )
    elif snapshots or log.exists():
        there = next(iter(snapshots), log)
        raise NetbuildError(
            f"folder {str(folder)!r}: holds an earlier run ({there.name}); name another folder, or go on from its last "
            ".solverstate with --resume"
        )


def weight_notes(solver: Message, weights: Sequence[PathLike]) -> Iterator[str]:
    """Yield what is odd about the weights that a training begins with; raise WeightsError where none would arrive."""
    net = proto.read_net(train_net(solver))
    named = {layer.name for layer in net.layer}
    filled = set()
    for path in weights:
        found = {layer.name for layer in index(path).layers}
        if not found & named:
            raise WeightsError(
                f"weights {str(path)!r}: no layer of it is in the net (it has {', '.join(sorted(found)[:3])} ...); are "
                "the names prefixed? netbuild fuse does that"
            )
        filled |= found
    empty = [name for name in frozen_layers(net) if name not in filled]
    if empty:
        yield f"{len(empty)} frozen layers get no trained weights (first {empty[0]!r}): give them with --weights"


def memory_note(solver: Message) -> Optional[str]:
    """Return what to say where a training on the CPU takes more memory than the machine has."""
    need = summarize(proto.read_net(train_net(solver))).training
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if need is None or need.total <= there:
        return None
    return (
        f"training at batch {need.batch} takes about {need.total / 2**30:.1f} GiB, and this machine has "
        f"{there / 2**30:.1f}: the largest batch that fits is {need.largest_batch(there)} (netbuild summary)"
    )


def train_net(solver: Message) -> str:
    """Return the path of the net that the solver trains."""
    return str(next(getattr(solver, field) for field in _NET_FIELDS if solver.HasField(field)))


def frozen_layers(net: Message) -> List[str]:
    """Return the layers with parameters whose entries say of each that it does not learn."""
    return [
        layer.name
        for layer, shapes in zip(net.layer, parameter_shapes(net))
        if shapes and len(layer.param) >= len(shapes) and not any(spec.lr_mult for spec in layer.param)
    ]
