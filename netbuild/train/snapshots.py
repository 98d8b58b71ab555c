"""In the child process of `train`: snapshots that have their final names only when they are whole and on the disk.

Caffe writes under a name that begins with a dot, `.s_iter_10.caffemodel`, in a fork: a full disk makes it abort. Then
the files are checked and renamed, the caffemodel first, for the solverstate names it.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional, Sequence

from ..engine.child import apart
from ..errors import CaffeError, NetbuildError, WeightsError
from ..files import sync_folder
from ..weights.hdf5 import MAGIC
from ..weights.index import index, read_state
from ..weights.wire import WireFile
from .head import complete
from .job import Place, Rest, hidden
from .watch import require_finite

_PATIENCE = 3600
"""Seconds that a snapshot may take to be written."""
_CURRENT_STEP = 4
"""The last field of a SolverState; Caffe always writes it."""
_HDF5_END = slice(40, 48)
"""Where an HDF5 file has its own length."""


def save(engine: Any, place: Place, *, on_gpu: bool, last: bool = False) -> None:
    """Write a snapshot of the solver; raise NetbuildError where it cannot be, and nothing is left of it.

    Of the `last` one the caffemodel stays where it alone is whole: there is no later one to hope for. Raises
    NotFiniteError where the weights are not finite.
    """
    require_finite(engine.net)
    final = place.files(engine.iter)
    written = [hidden(path) for path in final]
    try:
        _write(engine, place.folder, on_gpu=on_gpu)
        _require_whole_model(written[0], engine.net)
        _require_whole_state(written[1], engine.iter)
        _point_at(written[1], written[0])
        _name_finally(written, final, place.rest)
    except (OSError, NetbuildError) as error:
        text = f"it cannot be written ({error.strerror or error})" if isinstance(error, OSError) else str(error)
        kept = _keep_model(written, final[0], engine.net, place.rest) if last else ""
        raise NetbuildError(text + kept) from error
    finally:
        for path in written:
            with suppress(OSError):
                path.unlink()


def _keep_model(written: Sequence[Path], final: Path, net: Any, rest: Optional[Rest]) -> str:
    """Give the caffemodel its final name if it is whole though its solverstate is not; return a note on that."""
    try:
        _require_whole_model(written[0], net)
    except (OSError, NetbuildError):
        return ""
    try:
        written[1].unlink()  # for there may be little room
        _name_model(written[0], final, rest)
    except OSError:
        return ""
    except NetbuildError as error:
        return f"; {error}"
    return (
        f"; its caffemodel is whole, and kept in {str(final)!r}: only the solverstate is missing, without which the "
        "training cannot go on from there"
    )


def _write(engine: Any, folder: Path, *, on_gpu: bool) -> None:
    if on_gpu:  # a fork cannot use its original's GPU
        engine.snapshot()
        return
    disk = os.statvfs(folder)
    try:
        list(apart(lambda: [engine.snapshot()], _PATIENCE))
    except CaffeError as error:
        free = disk.f_bavail * disk.f_frsize / 2**20
        raise NetbuildError(f"it cannot be written ({free:.1f} MiB of the disk were free): {error}") from error


def _require_whole_model(path: Path, net: Any) -> None:
    if path.suffix == ".h5":
        _require_whole_hdf5(path)
        return
    stored = {layer.name: [blob.shape for blob in layer.blobs] for layer in index(path).layers}
    for name, blobs in net.params.items():
        if stored.get(name) != [tuple(blob.data.shape) for blob in blobs]:
            raise WeightsError(f"it is not whole (layer {name!r} is not there with all its blobs)")


def _require_whole_state(path: Path, iteration: int) -> None:
    if path.suffix == ".h5":
        _require_whole_hdf5(path)
        return
    state = read_state(path)
    with WireFile(path) as file:
        *_, last = file.fields(0, file.size)
    if state is None or state.iteration != iteration or last.number != _CURRENT_STEP:
        raise WeightsError("its solverstate is not whole")


def _require_whole_hdf5(path: Path) -> None:
    """Compare the file's length with the end that its superblock (version 0, as Caffe's HDF5 writes it) names."""
    with path.open("rb") as file:
        head = file.read(_HDF5_END.stop)
    if not head.startswith(MAGIC) or path.stat().st_size < int.from_bytes(head[_HDF5_END], "little"):
        raise WeightsError("it is not whole (its HDF5 file ends too early)")


def _point_at(state: Path, model: Path) -> None:
    """Make a solverstate name the caffemodel by its final path instead of the hidden one.

    Both paths have one length, since `//` leads where `/` does: so the name can be replaced in either format.
    """
    old = os.fsencode(model)
    new = os.fsencode(f"{model.parent}//{model.name[1:]}")
    with state.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        at = content.find(old)
        if at < 0:
            raise WeightsError("its solverstate does not name its caffemodel")
        content[at : at + len(old)] = new
        content.flush()


def _name_finally(written: Sequence[Path], final: Sequence[Path], rest: Optional[Rest]) -> None:
    """Give the files their names: the caffemodel first, for the solverstate leads to it."""
    _sync(written[1])
    _name_model(written[0], final[0], rest)
    written[1].replace(final[1])
    sync_folder(final[1].parent)


def _name_model(written: Path, final: Path, rest: Optional[Rest]) -> None:
    _sync(written)
    if rest is None:
        written.replace(final)
    else:
        _complete(written, final, rest)
    sync_folder(final.parent)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _complete(alone: Path, whole: Path, rest: Rest) -> None:
    try:
        complete(alone, whole, rest)
    except NetbuildError as error:
        kept = whole.with_suffix(".head.caffemodel")
        alone.replace(kept)
        raise NetbuildError(
            f"the frozen layers cannot be added to it ({error}); its head is in {str(kept)!r}, for fuse"
        ) from error
