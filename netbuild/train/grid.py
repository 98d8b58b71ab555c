"""Try several settings of a solver, one run for each, and keep the best."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Sequence, Set, Tuple

from .. import proto
from ..emit import set_field
from ..errors import NetbuildError
from ..files import PathLike, output_folder, write_text
from . import prepare
from .events import Event, Note
from .head import WHERE_IT_PAYS, Features
from .run import Trained, train_solver

TABLE = "grid.csv"


@dataclass(frozen=True)
class Tried:
    """One setting and how its run ended."""

    setting: Mapping[str, str]
    trained: Trained


def train_grid(
    solver: PathLike,
    folder: PathLike,
    grid: Mapping[str, Sequence[str]],
    *,
    features: Features = WHERE_IT_PAYS,
    on_event: Callable[[Event], None] = lambda _event: None,
    **options: Any,
) -> List[Tried]:
    """Train once for each combination of the solver's fields in `grid`, {"base_lr": ["0.1", "0.01"]}; best first.

    Each run has a folder in `folder`, called as its setting, with its solver and log; all share one folder of features.
    The best by the last test's accuracy (without one: by the loss) keeps its snapshot, the others do not. `options`
    are those of `train_solver`; `grid.csv` lists all scores. An interrupted run ends the grid with what is done.
    """
    target = Path(folder)
    settings = {setting_name(setting): setting for setting in _combined(grid)}
    taken = [name for name in (*settings, TABLE) if (target / name).exists()]
    if taken:
        raise NetbuildError(f"folder {str(target)!r}: holds an earlier grid ({taken[0]}); name another folder")
    texts = {name: _solver(solver, setting) for name, setting in settings.items()}
    tried: List[Tried] = []
    told = _once(on_event)
    for name, setting in settings.items():
        own = output_folder(target / name)
        write_text(own / "solver.prototxt", texts[name])
        told(Note(f"{name} ({len(tried) + 1} of {len(settings)})"))
        shared = replace(features, folder=features.folder or target / "features")
        ended = train_solver(own / "solver.prototxt", own, features=shared, on_event=told, **options)
        tried = sorted([*tried, Tried(setting, ended)], key=_rank)
        for other in tried[1:]:
            for path in (other.trained.caffemodel, other.trained.solverstate):
                path.unlink(missing_ok=True)
        write_text(target / TABLE, _table(tried))
        if ended.interrupted:
            break
    return tried


def setting_name(setting: Mapping[str, str]) -> str:
    """Return what a setting is called: 'base_lr=0.1,weight_decay=0'."""
    return ",".join(f"{name}={value}" for name, value in setting.items()).replace("/", "_")


def _combined(grid: Mapping[str, Sequence[str]]) -> List[Dict[str, str]]:
    return [dict(zip(grid, values)) for values in product(*grid.values())]


def _solver(path: PathLike, setting: Mapping[str, str]) -> str:
    """Return a solver with other fields, good for any folder, whose only snapshot is the last."""
    message = proto.read_solver(path)
    prepare.resolve_nets(message, Path(path).parent)
    if not (message.test_iter and message.test_interval):
        raise NetbuildError(f"solver {str(path)!r}: tests nothing (test_iter, test_interval), so that none is the best")
    message.snapshot = 0
    for name, value in setting.items():
        message.ClearField(name) if name in message.DESCRIPTOR.fields_by_name else None
        set_field(message, name, value)
    return proto.to_text(message)


def _rank(tried: Tried) -> Tuple[float, float]:
    """Return what the best has least of: its accuracy negated, then its loss; a run that went astray comes last."""
    scores = tried.trained.scores
    accuracy = next((value for name, value in scores.items() if "accuracy" in name), 0.0)
    loss = next((value for name, value in scores.items() if "loss" in name), 0.0)
    return (math.inf, math.inf) if math.isnan(loss) else (-accuracy, loss)


def _table(tried: Sequence[Tried]) -> str:
    names = list(dict.fromkeys(name for one in tried for name in one.trained.scores))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*tried[0].setting, "iteration", *names])
    for one in tried:
        scores = [repr(one.trained.scores.get(name, math.nan)) for name in names]
        rows.writerow([*one.setting.values(), one.trained.iteration, *scores])
    return text.getvalue()


def _once(on_event: Callable[[Event], None]) -> Callable[[Event], None]:
    """Pass on events, but of what each run notes again only the first."""
    seen: Set[str] = set()

    def tell(event: Event) -> None:
        if isinstance(event, Note):
            if event.text in seen:
                return
            seen.add(event.text)
        on_event(event)

    return tell
