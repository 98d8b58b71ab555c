"""Compute the features of a net's frozen part once and keep them; find them again, as long as they are right."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Generator, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Union

from .. import proto
from ..engine.child import BLAS_THREADS, cores, run, share
from ..engine.interpreter import named
from ..errors import NetbuildError
from ..extras import require
from ..files import PathLike, listed_paths, write_text
from ..graph.check import require_sound
from ..graph.view import views
from ..schema import TEST, TRAIN, Message
from ..soundness.check import require_readable
from .cluster import share_in_cluster
from .part import PhaseFeatures, Task, parts_of, row_shapes, weights_key
from .record import begin, usable_record
from .split import reading_files
from .store import Shape, Store


@dataclass(frozen=True)
class Kept:
    """The features of one part, on disk or, of a dry run, as they would be."""

    images: int
    batch: int
    blobs: Mapping[str, Shape]
    """The shape of one image's features, by their names in the files."""
    files: int
    new: int
    """How many of the files were not there before."""
    head: Message
    """The net that reads them, where Caffe is run in their folder."""

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return 4 * self.images * sum(math.prod(shape) for shape in self.blobs.values())


@dataclass(frozen=True)
class DiskNeed:
    """What is going to be computed, as it is reported before that begins."""

    images: int
    size: int
    """Bytes that it takes on disk."""
    free: int
    """Bytes that are free there."""


@dataclass(frozen=True)
class FeatureProgress:
    """So many of all images have their features, and how fast this goes."""

    done: int
    total: int
    per_second: float


OnEvent = Callable[[Union[DiskNeed, FeatureProgress]], None]


@dataclass(frozen=True)
class Execution:
    """Who computes features.

    Examples:
        >>> from netbuild import Execution, Features
        >>> features = Features(execution=Execution(workers=4))
    """

    workers: Optional[int] = None
    """Processes on this machine; by default one for each core."""
    scheduler: Optional[str] = None
    """The address of a Dask cluster, which computes instead."""
    gpu: Optional[int] = None
    """The number of the GPU that computes instead of the CPU."""


HERE: Execution = Execution()


def make_features(
    net: proto.Net,
    weights: Union[PathLike, Sequence[PathLike]],
    folder: PathLike,
    execution: Execution = HERE,
    *,
    force: bool = False,
    dry_run: bool = False,
    on_event: OnEvent = lambda _event: None,
) -> Dict[str, Kept]:
    """Compute what the head of a train_val net reads, once for all images of its lists, and keep it.

    For each phase, everything before the first layer that learns runs once over the data. Features and labels go to
    HDF5 files, and `head_train.prototxt` is a net that reads them. What is in the folder already, and still right, is
    kept. Paths in the net hold for the current folder, as in Caffe.

    Args:
        net: The train_val net: a path, a NetParameter or a NetSpec.
        weights: The file with the weights of the frozen layers. Or several, of which the last that has a layer counts.
        folder: Where to keep the features; made if need be.
        execution: Who computes: processes here, by default one for each core, a Dask cluster, or a GPU.
        force: Replace features of something else that are in the folder.
        dry_run: Only tell what would be computed.
        on_event: Called with a DiskNeed before it begins, and a FeatureProgress as it goes.

    Returns:
        By phase, 'train' and 'test', what is kept: number of `images`, shapes of `blobs`, `size` in bytes.

    Raises:
        GraphError: The net is not sound, or one pass over its data does not repeat the last.
        NetbuildError: The folder holds features of something else, or the disk is full.

    Examples:
        >>> from netbuild import Execution, make_features
        >>> kept = make_features("fused/train_val.prototxt", "fused/init.caffemodel", "features", Execution(workers=1))
        >>> kept["train"].images, kept["train"].blobs
        (40, {'ip1_fused': (1000,), 'label': ()})
    """
    message, name = proto.net_of(net), proto.name_of_net(net)
    require_sound(message, name)
    require_readable(views(message, (TRAIN, TEST)), name)
    return keep(
        parts_of(message), listed_paths(weights), folder, execution, force=force, dry_run=dry_run, told=on_event
    )


def keep(
    parts: Sequence[PhaseFeatures],
    weights: Sequence[PathLike],
    folder: PathLike,
    execution: Execution = HERE,
    *,
    force: bool = False,
    dry_run: bool = False,
    told: OnEvent = lambda _event: None,
) -> Dict[str, Kept]:
    """Compute and keep the features of some parts, by name, as `make_features` does."""
    require("features need", "h5py")
    if execution.scheduler is not None:
        require("a cluster needs", "distributed")
    work = _Work(parts, weights, Path(folder), execution, told)
    key = work.key()
    record = usable_record(work.target, key, work.blobs(), force=force)
    shapes = record["parts"] if record else _shapes(parts)
    stores = work.stores(shapes, begun=record is not None)
    kept = {part.name: _kept(part, store) for part, store in zip(parts, stores)}
    missing = sum(store.missing_images for store in stores)
    if missing:
        told(_need(kept, missing, work.target))
    if dry_run:
        return kept
    if not record:
        begin(work.target, key, shapes)
    if missing:
        _fill(work, stores, missing)
        work.require_same(key)
    for store in stores:
        store.finish()
        write_text(work.target / f"head_{store.part}.prototxt", proto.file_text(kept[store.part].head))
    return kept


class _Work(NamedTuple):
    """What is computed, where to, by whom, and who hears of it."""

    parts: Sequence[PhaseFeatures]
    weights: Sequence[PathLike]
    target: Path
    execution: Execution
    on_event: OnEvent

    def key(self) -> Dict[str, Any]:
        """Return what the features depend on, as it is now."""
        common = {"weights": weights_key(self.parts, self.weights), "BLAS threads": blas_threads()}
        return {**common, **{part.name: part.key() for part in self.parts}}

    def require_same(self, key: Mapping[str, Any]) -> None:
        """Raise NetbuildError where the features depend on something else by now."""
        if self.key() != key:
            raise NetbuildError(f"images or weights changed meanwhile: the features in {str(self.target)!r} are stale")

    def blobs(self) -> Dict[str, List[str]]:
        """Return the names of each part's features in files."""
        return {part.name: [*part.split.blobs.values()] for part in self.parts}

    def stores(self, shapes: Mapping[str, Mapping[str, Shape]], *, begun: bool) -> List[Store]:
        """Return the files of each part; where they are `begun`, those that are finished and as they were count."""
        stores = [
            Store(self.target, part.name, part.images, part.split.batch, shapes[part.name]) for part in self.parts
        ]
        if begun:
            for store in stores:
                store.verify()
        return stores


def blas_threads() -> int:
    """Return how many threads BLAS gets in each process: one, or what the environment says.

    Their number changes the order in which BLAS sums, and so the last bits.
    """
    given = next((os.environ[name] for name in BLAS_THREADS if os.environ.get(name, "").isdigit()), "1")
    return max(1, int(given))


def _shapes(parts: Sequence[PhaseFeatures]) -> Dict[str, Dict[str, Shape]]:
    """Ask Caffe for the shapes of the features, which the size of the images decides."""
    jobs = {part.name: part.job() for part in parts}
    first = {part.name: part.task(0, 0, part.split.batch) for part in parts}
    found = next(run("netbuild.features.child:shapes", blas_threads=blas_threads(), jobs=jobs, first=first))
    return {part.name: row_shapes(found[part.name], part) for part in parts}


def _kept(part: PhaseFeatures, store: Store) -> Kept:
    batch = part.split.batch
    head = reading_files(part.split.head, part.split.blobs.values(), store.listed.name, batch)
    return Kept(part.images, batch, store.shapes, store.files, len(store.missing()), head)


def _need(found: Mapping[str, Kept], images: int, folder: Path) -> DiskNeed:
    size = sum(one.size * one.new // one.files for one in found.values())
    free = shutil.disk_usage(next(path for path in (folder, *folder.resolve().parents) if path.is_dir())).free
    if size > free:
        raise NetbuildError(
            f"features need {size / 2**20:,.0f} MiB, and {free / 2**20:,.0f} are free in {str(folder)!r}; use another "
            "disk"
        )
    return DiskNeed(images, size, free)


def _fill(work: _Work, stores: Sequence[Store], missing: int) -> None:
    """Compute what is missing, by whom it may be, and write it down here as it comes; so many images are missing."""
    by_name = {store.part: store for store in stores}
    began, done = time.monotonic(), 0
    with contextlib.closing(_shared(work, _tasks(work.parts, stores))) as computed:
        for part, number, features in computed:
            by_name[part].put(number, features)
            done += by_name[part].span(number)[1]
            work.on_event(FeatureProgress(done, missing, done / (time.monotonic() - began)))


def _tasks(parts: Sequence[PhaseFeatures], stores: Sequence[Store]) -> Iterator[Task]:
    for part, store in zip(parts, stores):
        yield from (part.task(number, *store.span(number)) for number in store.missing())


def _shared(work: _Work, tasks: Iterator[Task]) -> Generator[Any, None, None]:
    function, execution = "netbuild.features.child:compute", work.execution
    job = {
        "jobs": {part.name: part.job() for part in work.parts},
        "weights": [str(Path(path).resolve()) for path in work.weights],
        "gpu": execution.gpu,
    }
    if execution.scheduler is not None:
        threads = blas_threads()
        return share_in_cluster(execution.scheduler, function, tasks, caffe=named(), blas_threads=threads, **job)
    # Several processes on one GPU would only wait for each other.
    workers = 1 if execution.gpu is not None else execution.workers or cores()
    return share(function, tasks, workers, blas_threads=blas_threads(), **job)
