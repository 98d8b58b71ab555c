"""Try several settings of a solver, one run for each, and keep the best."""

from __future__ import annotations

import csv
import io
import math
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple, Union

from .. import proto
from ..emit.files import set_field
from ..errors import NetbuildError, require_type
from ..files import PathLike, output_folder, write_text
from ..solving import require_sensible, snapshot_name
from . import prepare
from .events import Event, Note
from .head import WHERE_IT_PAYS, Features
from .run import DivergedError, EndedError, StoppedError, Trained, train_solver

TABLE = "grid.csv"


@dataclass(frozen=True)
class Tried:
    """One setting, and how its run ended: trained, or with an error where it diverged or never began."""

    setting: Mapping[str, str]
    trained: Optional[Trained]
    error: Optional[EndedError] = None

    @property
    def iteration(self) -> int:
        """The one at which it ended."""
        return self._end.iteration

    @property
    def scores(self) -> Mapping[str, float]:
        """The last test's; a run that diverged has none."""
        return self.trained.scores if self.trained else {}

    @property
    def log(self) -> Path:
        """The log of its run."""
        return self._end.log

    @property
    def _end(self) -> Union[Trained, EndedError]:
        ended = self.trained or self.error
        assert ended is not None  # one of both
        return ended

    @property
    def ended(self) -> str:
        """How it ended: 'finished', 'interrupted' or 'diverged'."""
        if self.trained is None:
            return "diverged" if isinstance(self.error, DivergedError) else "interrupted"
        return "interrupted" if self.trained.interrupted else "finished"


def train_grid(
    solver: PathLike,
    folder: PathLike,
    grid: Mapping[str, Union[str, Sequence[str]]],
    *,
    features: Features = WHERE_IT_PAYS,
    on_event: Callable[[Event], None] = lambda _event: None,
    **options: Any,
) -> List[Tried]:
    """Train once for each combination of the solver's fields in `grid`, {"base_lr": ["0.1", "0.01"]}; best first.

    Each run has a folder in `folder`, called as its setting, with its solver and log; all share one folder of features.
    The best by the last test's accuracy (without one: by the loss) keeps its snapshot, the others do not. `options`
    are those of `train_solver`; `grid.csv` lists all scores. An interrupted run ends the grid with what is done; one
    that diverges comes last. DivergedError where all do.
    """
    max_iter = options.get("max_iter")
    if "max_iter" in grid and max_iter is not None:
        raise NetbuildError("max_iter is given for all runs, so that its values in the grid had no effect; give one")
    require_type(features, Features, "features")
    target = Path(folder)
    settings = {setting_name(setting): setting for setting in _combined(grid)}
    _require_new(target, settings)
    texts = _solvers(solver, settings, max_iter)
    shared = replace(features, folder=features.folder or target / "features")
    on_new_event = _once(on_event)
    tried: List[Tried] = []
    for name, setting in settings.items():
        own = output_folder(target / name) / "solver.prototxt"
        write_text(own, texts[name])
        with _named(name, target / TABLE if tried else None):
            heading = Note(f"{name} ({len(tried) + 1} of {len(settings)})")
            one = _tried(setting, own, on_new_event, heading, features=shared, **options)
        tried = sorted([*tried, one], key=_rank)
        for other in tried[1:]:
            _forget(other)
        write_text(target / TABLE, _table(tried))
        if one.ended == "interrupted":
            break
    _require_best(tried)
    return tried


def _require_new(target: Path, settings: Mapping[str, object]) -> None:
    taken = [name for name in (*settings, TABLE) if (target / name).exists()]
    if taken:
        raise NetbuildError(f"folder {str(target)!r}: holds an earlier grid ({taken[0]}); name another folder")


def _solvers(solver: PathLike, settings: Mapping[str, Mapping[str, str]], max_iter: Optional[int]) -> Dict[str, str]:
    """Return the solver of each setting; raise NetbuildError for the first that makes no sense."""
    texts = {}
    for name, setting in settings.items():
        with _named(name):
            texts[name] = _solver(solver, setting, max_iter)
    return texts


def _require_best(tried: Sequence[Tried]) -> None:
    """Raise the error of the first setting where none was trained."""
    error = tried[0].error
    if error is not None:
        stopped = tried[-1].ended == "interrupted"
        how = "the grid was ended before a setting was trained" if stopped else f"all {len(tried)} settings diverged"
        text = f"{how}; {setting_name(tried[0].setting)}: {error}"
        raise type(error)(text, error.iteration, error.log)


@contextmanager
def _named(name: str, table: Optional[Path] = None) -> Iterator[None]:
    """Add to an error the setting that it comes from, and where the settings before it are listed."""
    try:
        yield
    except NetbuildError as error:
        before = f"; the settings before it are in {str(table)!r}" if table else ""
        raise type(error)(f"{name}: {error}{before}") from error


def _tried(
    setting: Mapping[str, str], solver: Path, on_event: Callable[[Event], None], heading: Note, **options: Any
) -> Tried:
    try:
        on_event(heading)
        return Tried(setting, train_solver(solver, solver.parent, on_event=on_event, **options))
    except EndedError as error:
        on_event(Note(f"{setting_name(setting)}: {error}"))
        return Tried(setting, None, error)
    except KeyboardInterrupt:
        # Before its training process could take it: while the nets are checked, or the features computed.
        stopped = StoppedError("stopped before it began; nothing was written", 0, solver.with_name("train_log.csv"))
        return Tried(setting, None, stopped)


def _forget(worse: Tried) -> None:
    """Remove the snapshots of a setting that is not the best; one that diverged keeps those that its error names."""
    for path in worse.log.parent.glob("*_iter_*") if worse.trained else ():
        name = snapshot_name(path.name)
        if name and name.is_caffes:
            path.unlink()


def setting_name(setting: Mapping[str, str]) -> str:
    """Return what a setting is called: 'base_lr=0.1,weight_decay=0'."""
    return ",".join(f"{name}={value}" for name, value in setting.items()).replace("/", "_")


def _combined(grid: Mapping[str, Union[str, Sequence[str]]]) -> List[Dict[str, str]]:
    columns = [[values] if isinstance(values, str) else values for values in grid.values()]
    return [dict(zip(grid, values)) for values in product(*columns)]


def _solver(path: PathLike, setting: Mapping[str, str], max_iter: Optional[int]) -> str:
    """Return a solver with other fields, good for any folder, whose only snapshot is the last."""
    message = proto.read_solver(path)
    prepare.resolve_nets(message, Path(path).parent)
    if not (message.test_iter and message.test_interval):
        raise NetbuildError(f"solver {str(path)!r}: tests nothing (test_iter, test_interval), so that none is the best")
    message.snapshot = 0
    for name, value in setting.items():
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
        set_field(message, name, value)
    if max_iter is not None:
        message.max_iter = max_iter
    require_sensible(message)
    return proto.to_text(message)


def _rank(tried: Tried) -> Tuple[float, float]:
    """Return the key that sorts the best first: by accuracy, then by loss; a run that diverged comes last."""
    accuracy = next((value for name, value in tried.scores.items() if "accuracy" in name), 0.0)
    loss = next((value for name, value in tried.scores.items() if "loss" in name), 0.0)
    if tried.trained is None:
        return (math.inf, math.inf)
    return (math.inf, 0.0) if math.isnan(loss) or math.isnan(accuracy) else (-accuracy, loss)


def _table(tried: Sequence[Tried]) -> str:
    names = list(dict.fromkeys(name for one in tried for name in one.scores))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*tried[0].setting, "iteration", *names, "ended"])
    for one in tried:
        scores = [repr(one.scores.get(name, math.nan)) for name in names]
        rows.writerow([*one.setting.values(), one.iteration, *scores, one.ended])
    return text.getvalue()


def _once(on_event: Callable[[Event], None]) -> Callable[[Event], None]:
    """Pass on events; a note that several runs give is passed on once."""
    seen: Set[str] = set()

    def pass_on(event: Event) -> None:
        if isinstance(event, Note):
            if event.text in seen:
                return
            seen.add(event.text)
        on_event(event)

    return pass_on
