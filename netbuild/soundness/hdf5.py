"""The list of an HDF5Data layer: whether its files are there, with the data sets that are read, and their labels.

Caffe reads the list word by word, so that no path may have blanks. Looked into only where h5py is installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator, Sequence

from ..extras import have
from ..files import existing_file
from ..graph.judges import Reading
from ..graph.stored import listed_files
from ..schema import Message
from .labels import beyond

_LIMIT = 2**24
"""Labels of more values are left alone: to read them would take longer than to begin."""


def hdf5_faults(layer: Message, tops: Sequence[Reading]) -> Iterator[str]:
    """Yield what is wrong with the files of a list that is there."""
    path = layer.hdf5_data_param.source
    content = existing_file(path, f"layer {layer.name!r}: list").read_bytes()
    words = listed_files(content)
    if not words:
        yield f"list {path!r}: names no file"
    missing = [word for word in words if not Path(word).is_file()]
    if missing:
        hint = "; Caffe reads this list word by word: no path may have blanks" if b" " in content.strip() else ""
        yield (
            f"list {path!r}: {len(missing)} of {len(words)} files are not there; the first is {missing[0]!r} (looked "
            f"from {str(Path.cwd())!r}){hint}"
        )
    for word in words if have("h5py") else ():
        if word not in missing:
            yield from _of_file(word, layer, tops, f"list {path!r}: file {word!r}")


def _of_file(path: str, layer: Message, tops: Sequence[Reading], where: str) -> Iterator[str]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            for name, reading in zip(layer.top, tops):
                yield from _of_data_set(file.get(name), reading, f"{where}: data set {name!r}")
    except OSError as error:
        yield f"{where}: cannot be read as HDF5 ({error})"


def _of_data_set(values: Any, reading: Reading, where: str) -> Iterator[str]:
    if values is None or not hasattr(values, "shape"):
        yield f"{where} is not there; the layer's tops are called as the data sets"
    elif reading.demands and values.size <= _LIMIT:
        yield from beyond(values[...].reshape(-1), reading.demands, where, lambda place: f"value {place}")
