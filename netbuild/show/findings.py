"""Everything that the folder of a fusion holds, and how to get what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple, TypeVar, Union

from .. import names, proto
from ..branches.declared import described, images_of
from ..costs.summary import Summary, summarize
from ..errors import NetbuildError
from ..files import PathLike
from ..fuse.provenance import Checked, check_sources
from ..fuse.sidecar import recorded, sidecar
from ..graph.view import views
from ..schema import Message
from ..solving import snapshot_name
from ..train.log import curves_svg, read_log
from ..weights.formats import suffixes
from ..weights.index import index
from .drawing import svg

_NETS = ("train_val.prototxt", "test.prototxt", "deploy.prototxt")
_LOG = "train_log.csv"
_MANY = 40
"""A net of more layers is drawn with its modules as one box each."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class Missing:
    """Why something is not there, and how to get it."""

    sentence: str


Maybe = Union[Found, Missing]


@dataclass(frozen=True)
class Training:
    """One training's log."""

    name: str
    """Its folder, seen from the report's."""
    curves: Maybe[bytes]
    """As an SVG file."""
    scores: Dict[str, float]
    """The last value of each output of the test net."""
    iteration: int


@dataclass(frozen=True)
class FusionReport:
    """What a folder tells of a fusion."""

    folder: Path
    net_file: Path
    net: Message
    summary: Summary
    picture: Maybe[str]
    """An <svg> element."""
    weights: Maybe[Tuple[Path, Mapping[str, Any]]]
    """The weight file that training starts from, and what its sidecar says."""
    sources: Maybe[List[Checked]]
    trainings: List[Training]
    trained: Optional[Path]
    """The last snapshot of this net."""
    images: Dict[str, str] = field(default_factory=dict)
    """How the net prepares the images of each input, in words."""
    filled: List[str] = field(default_factory=list)
    """Layers with parameters that no source gave: they begin as their fillers say."""


def gather_report(
    folder: PathLike, prefixes: Sequence[str] = (), *, stages: Sequence[str] = (), level: Optional[int] = None
) -> FusionReport:
    """Gather what the folder of a fusion tells, as `emit_files`, `fuse_weights` and `train_solver` leave it.

    Args:
        folder: That folder, or the one of a demo.
        prefixes: The prefixes of its branches, where neither the layers' names nor the weight file tell them.
        stages: Stages that choose layers of its net, beside those of the net's own `state`.
        level: The level that does; by default that of the net's own `state`.

    Returns:
        Net, summary, drawing, sources of the weights, trainings: what `write_report` writes.

    Raises:
        NetbuildError: The folder holds no net.

    Examples:
        >>> from netbuild import gather_report
        >>> report = gather_report("fused")
        >>> report.net_file.name, report.summary.branches
        ('train_val.prototxt', ('odd', 'even'))
    """
    folder = Path(folder)
    net_file = _net_file(folder)
    home = net_file.parent
    net = proto.read_net(net_file, stages=stages, level=level)
    weights = _weights(home)
    if not prefixes and not isinstance(weights, Missing):
        prefixes = _prefixes(net, weights[1]["branches"])
    summary = summarize(net, prefixes=prefixes)
    logs = dict.fromkeys([*home.glob(_LOG), *sorted(home.glob(f"*/{_LOG}")), *sorted(folder.glob(f"*/{_LOG}"))])
    return FusionReport(
        folder,
        net_file,
        net,
        summary,
        _or_why(lambda: svg(net, prefixes=prefixes, collapse=len(net.layer) > _MANY)),
        weights,
        _sources(weights),
        [_training(log, folder) for log in logs],
        _last_snapshot(home, summary),
        {blob: described(images) for blob, images in images_of(views(net)).items()},
        [] if isinstance(weights, Missing) else _filled(summary, weights[1]),
    )


def _net_file(folder: Path) -> Path:
    """Return the net of a fusion's folder, or of a demo's; NetbuildError where there is none."""
    for home in (folder, folder / "fused"):
        for name in _NETS:
            if (home / name).exists():
                return home / name
    raise NetbuildError(
        f"folder {str(folder)!r}: holds no fusion (none of {', '.join(_NETS)}); netbuild emit fusion ... -o DIR "
        "makes one"
    )


def _prefixes(net: Message, recorded: Iterable[str]) -> List[str]:
    """Return those of the prefixes that a layer of the net bears."""
    layers = {layer.name for layer in net.layer}
    return [prefix for prefix in recorded if prefix and any(names.local(prefix, layer) for layer in layers)]


def _or_why(get: Callable[[], Found]) -> Maybe[Found]:
    try:
        return get()
    except NetbuildError as error:
        return Missing(f"{error}.")


def _weights(home: Path) -> Maybe[Tuple[Path, Mapping[str, Any]]]:
    """Return the weight file that tells where its values come from."""
    files = sorted(path for suffix in suffixes() for path in home.glob(f"*{suffix}"))
    recorded_files = [path for path in files if Path(sidecar(path)).exists()]
    if not recorded_files:
        return Missing("No weights were copied yet: netbuild fuse TARGET --weights PREFIX=FILE ... -o init.caffemodel.")
    first = recorded_files[0]
    return _or_why(lambda: (first, recorded(first)))


def _sources(weights: Maybe[Tuple[Path, Mapping[str, Any]]]) -> Maybe[List[Checked]]:
    if isinstance(weights, Missing):
        return weights
    path = weights[0]
    return _or_why(lambda: check_sources(path))


def _filled(summary: Summary, record: Mapping[str, Any]) -> List[str]:
    copied = {one["layer"] for branch in record["branches"].values() for one in branch["layers"]}
    copied.update([record["head"]["layer"]] if record.get("head") else [])
    return [one.name for one in summary.layers if one.parameters and one.name not in copied]


def _training(log: Path, folder: Path) -> Training:
    name = str(log.parent.relative_to(folder)) if log.parent != folder else folder.resolve().name
    curves = _or_why(lambda: read_log(log))
    if isinstance(curves, Missing):
        return Training(name, curves, {}, 0)
    scores = {output: points[-1][1] for (phase, output), points in curves.items() if phase == "TEST"}
    last = max((points[-1][0] for points in curves.values()), default=0)
    return Training(name, _or_why(lambda: curves_svg(log)), scores, last)


def _last_snapshot(home: Path, summary: Summary) -> Optional[Path]:
    """Return the snapshot of the most iterations that is one of this net: one of a branch may lie beside it."""
    names = {path: snapshot_name(path.name) for path in [*home.glob("*.caffemodel"), *home.glob("*/*.caffemodel")]}
    numbers = {path: name.iteration for path, name in names.items() if name and name.is_caffes}
    needed = {one.name for one in summary.layers if one.parameters}
    by_number = sorted(numbers, key=lambda path: numbers[path], reverse=True)
    return next((path for path in by_number if needed <= _layers(path)), None)


def _layers(path: Path) -> Set[str]:
    """Return the layers that a weight file has, none where it cannot be read."""
    try:
        return {layer.name for layer in index(path).layers}
    except NetbuildError:
        return set()
