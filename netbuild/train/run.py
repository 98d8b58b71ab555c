"""Run a solver: check everything first, then train in a child process, with log, curves and snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence

from .. import proto
from .._caffe import TEST, TRAIN, Message, schema
from .._child import run
from ..errors import GraphError, NetbuildError, WeightsError
from ..files import PathLike, existing_file, output_folder
from ..graph.check import require_savable, require_sound
from ..graph.feed import data_layers
from ..weights.caffemodel import kind_of
from .events import Event, Finished, Tested
from .log import Log

_NEVER = 2**31 - 1
_NET_FIELDS = ("net", "train_net")


@dataclass(frozen=True)
class Trained:
    """How a run ended, and the files it wrote."""

    iteration: int
    caffemodel: Path
    solverstate: Path
    log: Path
    scores: Dict[str, float]
    """The last test's."""
    interrupted: bool


def train_solver(
    solver: PathLike,
    folder: PathLike,
    *,
    weights: Sequence[PathLike] = (),
    resume: Optional[PathLike] = None,
    max_iter: Optional[int] = None,
    gpu: Optional[int] = None,
    on_event: Callable[[Event], None] = lambda _event: None,
) -> Trained:
    """Train with Caffe's solver; everything goes to `folder`: snapshots, `train_log.csv`.

    `weights` are copied into the net first (a later file wins), `resume` is a .solverstate to go on from. Paths inside
    the prototxts hold for the current folder, as in Caffe; the nets are also looked for beside the solver. SIGINT
    ends the run after the current iteration with a snapshot.
    """
    if weights and resume:
        raise NetbuildError("weights and resume exclude each other: a .solverstate names the weights it goes on from")
    for path in weights:
        _require_kind(path, "caffemodel", "weights", "resume")
    if resume is not None:
        _require_kind(resume, "solverstate", "resume", "weights")
    message = proto.read_solver(solver)
    target = output_folder(folder)
    _resolve_nets(message, Path(solver).parent)
    _require_trainable(message)
    test_interval, test_initialization = message.test_interval or _NEVER, message.test_initialization
    _direct(message, target, max_iter, gpu)
    log_path = target / "train_log.csv"
    if resume is None:
        _require_untouched(target, Path(message.snapshot_prefix).name, log_path)
    events: Iterator[Event] = run(
        "netbuild.train.engine:train",
        solver=proto.to_text(message),
        snapshot_prefix=message.snapshot_prefix,
        weights=[str(path) for path in weights],
        resume=str(resume) if resume is not None else None,
        gpu=gpu,
        test_interval=test_interval,
        test_initialization=test_initialization,
        test_iter=list(message.test_iter),
        report_every=max(1, min(message.display or 100, message.max_iter // 100)),
    )
    scores: Dict[str, float] = {}
    with Log(log_path) as log:
        for event in events:
            log.add(event)
            on_event(event)
            if isinstance(event, Tested):
                scores = dict(event.scores)
            if isinstance(event, Finished):
                end = event
    suffix = ".h5" if message.snapshot_format == schema().SolverParameter.HDF5 else ""
    caffemodel, solverstate = (Path(f"{end.stem}.{kind}{suffix}") for kind in ("caffemodel", "solverstate"))
    return Trained(end.iteration, caffemodel, solverstate, log_path, scores, end.interrupted)


def _require_kind(path: PathLike, kind: str, option: str, other: str) -> None:
    found = kind_of(path)
    if found not in (kind, "hdf5"):
        raise WeightsError(f"{option} {str(path)!r}: is a {found}, not a {kind}; give it with --{other} instead")


def _resolve_nets(solver: Message, folder: Path) -> None:
    """Make the paths of the solver's nets good for any folder."""
    for field in ("net", "train_net"):
        if solver.HasField(field):
            setattr(solver, field, _found(getattr(solver, field), folder))
    tests = [_found(path, folder) for path in solver.test_net]
    del solver.test_net[:]
    solver.test_net.extend(tests)


def _found(path: str, folder: Path) -> str:
    beside = folder / Path(path).name
    return str(existing_file(beside if not Path(path).exists() and beside.exists() else path, "solver's net").resolve())


def _require_trainable(solver: Message) -> None:
    """Find what would make Caffe abort: unsound nets, missing data, snapshots that cannot be saved."""
    given = [getattr(solver, field) for field in _NET_FIELDS if solver.HasField(field)]
    if len(given) != 1:
        raise GraphError("solver: exactly one of 'net' and 'train_net' is needed (nets inside the solver: not read)")
    if len(solver.test_iter) < len(solver.test_net):
        raise GraphError(
            f"solver: {len(solver.test_net)} test nets need as many test_iter, found {len(solver.test_iter)}"
        )
    phases = {given[0]: [TRAIN, TEST] if solver.HasField("net") and solver.test_iter else [TRAIN]}
    for path in solver.test_net:
        phases.setdefault(path, []).append(TEST)
    for path, used in phases.items():
        net = proto.read_net(path)
        require_sound(net, path, in_phases=used)
        require_savable(solver, net)
        for phase in used:
            _require_data(net, phase, path)


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


def _direct(solver: Message, folder: Path, max_iter: Optional[int], gpu: Optional[int]) -> None:
    """Point the solver's output into `folder` and leave the testing to the engine's loop."""
    solver.snapshot_prefix = str(folder / (Path(solver.snapshot_prefix).name or "snapshot"))
    solver.solver_mode = solver.CPU if gpu is None else solver.GPU
    if gpu is not None:
        solver.device_id = gpu
    if max_iter is not None:
        solver.max_iter = max_iter
    solver.test_interval, solver.test_initialization = _NEVER, False


def _require_untouched(folder: Path, prefix: str, log: Path) -> None:
    """Refuse to train into a folder that holds the results of an earlier run."""
    found = sorted(folder.glob(f"{prefix}_iter_*"))
    if log.exists() or found:
        there = found[0] if found else log
        raise NetbuildError(
            f"folder {str(folder)!r}: holds an earlier run ({there.name}); name another folder, or go on from its last "
            ".solverstate with --resume"
        )
