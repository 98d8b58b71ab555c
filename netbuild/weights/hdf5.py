"""HDF5 weight files, as Caffe saves them with `snapshot_format: HDF5`: their index, and room for a new one's values.

The layout (Net::ToHDF5 of BVLC Caffe 1.0): a group /data/NAME for each layer, in it the datasets "0", "1", ...: its
blobs. A `/` in NAME makes further groups; Caffe itself neither writes nor reads such a file. Shared parameters stand in
the layer that owns them; /diff is passed over. Caffe's datasets lie in one piece, so a blob is a range of bytes here as
in a caffemodel. Others, chunked or compressed, are refused.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..errors import WeightsError
from ..extras import optional
from ..files import PathLike, existing_file
from .entry import Entry
from .model import MAX_VALUES, Blob, Layer, Model, Shape, Span, oversized
from .places import Placed, placed
from .tree import Tree

MAGIC = b"\x89HDF\r\n\x1a\n"
_FLOATS = {"IEEE_F32LE": 4, "IEEE_F64LE": 8}
"""HDF5's names of the types that are read, with their bytes."""


def read_hdf5(path: PathLike) -> Model:
    """Index an HDF5 weight file; its layers are in the order of their names, for HDF5 keeps no other."""
    file = existing_file(path, "weights")
    h5py = optional("h5py", f"weights {str(file)!r}: HDF5 needs", WeightsError)
    blobs: Dict[str, Dict[str, Blob]] = {}
    try:
        with h5py.File(file, "r") as stored:
            tree = Tree(h5py, stored, file)
            data = tree.group("data")
            if data is None:
                raise WeightsError(f"weights {str(file)!r}: has no group /data, where Caffe's HDF5 keeps its layers")
            for name, dataset in tree.datasets(data):
                layer, _, number = name.rpartition("/")
                blobs.setdefault(layer, {})[number] = _dataset_blob(
                    h5py, dataset, file, f"blob {number} of layer {layer!r}"
                )
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"weights {str(file)!r}: damaged, or not HDF5 ({error})") from error
    layers = tuple(Layer(name, _in_order(own, name, file)) for name, own in blobs.items())
    if not layers:
        raise WeightsError(f"weights {str(file)!r}: the group /data holds no blobs")
    return Model(str(file), layers)


def _dataset_blob(h5py: Any, dataset: Any, file: Path, where: str) -> Blob:
    where = f"weights {str(file)!r}: {where}"
    item_size, length = _item_size(h5py, dataset, where), dataset.size
    _require_shape(dataset.shape, where)
    if not length:
        return Blob(tuple(dataset.shape), False, item_size, ())
    start, size = dataset.id.get_offset(), length * item_size
    if start is None:
        raise WeightsError(
            f"{where} is compressed or in chunks; write it in one piece first: h5repack -l CONTI -f NONE IN OUT"
        )
    if start + size > file.stat().st_size:
        raise WeightsError(f"{where} ends at byte {start + size}, beyond the file's end")
    return Blob(tuple(dataset.shape), False, item_size, (Span(start, start + size),))


def _item_size(h5py: Any, dataset: Any, where: str) -> int:
    # numpy's name for the type is not enough: it is the same for floats whose bits are arranged otherwise.
    stored = dataset.id.get_type()
    for name, size in _FLOATS.items():
        if stored.equal(getattr(h5py.h5t, name)):
            return size
    raise WeightsError(f"{where} holds {dataset.dtype}; Caffe writes float or double")


def _require_shape(shape: Optional[Shape], where: str) -> None:
    if shape is None:
        raise WeightsError(f"{where} has no shape; Caffe gives each blob one")
    if oversized(shape):
        raise WeightsError(f"{where} has shape {shape}, more than {MAX_VALUES} values")


def _in_order(blobs: Dict[str, Blob], layer: str, file: Path) -> Tuple[Blob, ...]:
    numbers = [str(number) for number in range(len(blobs))]
    if set(blobs) != set(numbers):
        listed = ", ".join(sorted(blobs))
        raise WeightsError(
            f"weights {str(file)!r}: layer {layer!r} has the blobs {listed}; expected {', '.join(numbers)}"
        )
    return tuple(blobs[number] for number in numbers)


_Key = Tuple[str, int]
"""A blob: its layer's name and its number there."""


def misplaced_names(entries: Sequence[Entry]) -> Optional[str]:
    """Return which names Caffe does not find in HDF5, and what to do; None where it finds all.

    Saving a name with `/` it aborts, and loading a file that has one it passes over it in silence.
    """
    names = [entry.name for entry in entries if entry.blobs]
    nested = [name for name in names if "/" in name or name in ("", ".", "..")]
    if nested:
        return (
            f"Caffe finds no layer with '/' in its name in HDF5, and here are {len(nested)} (first {nested[0]!r}); "
            "write a .caffemodel, or emit the net with a prefix such as 'odd_'"
        )
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        return (
            f"HDF5 has one place for a name, and several layers are called {name!r}; write a .caffemodel, or rename "
            "them in their net"
        )
    return None


def lay_out_hdf5(path: str, entries: Sequence[Entry], _net: bytes) -> List[Placed]:
    """Make the structure of the HDF5 file at `path`, with room for all blobs, and return the values to be put there."""
    blobs = {(entry.name, number): blob for entry in entries for number, blob in enumerate(entry.blobs)}
    offsets = _make_room(path, {key: (blob.shape, blob.item_size) for key, blob in blobs.items()})
    return [part for key, blob in blobs.items() for part in placed(key[0], blob, offsets[key])]


def _make_room(path: str, blobs: Mapping[_Key, Tuple[Shape, int]]) -> Dict[_Key, int]:
    """Make an HDF5 file with room for blobs of these shapes and item sizes; return where their values are to be."""
    h5py = optional("h5py", "output: HDF5 needs", WeightsError)
    try:
        return _allocate(h5py, path, blobs)
    except (OSError, RuntimeError) as error:
        # The library reports a full disk in several lines, and in errors of its own.
        number = re.search(r"errno = (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def _allocate(h5py: Any, path: PathLike, blobs: Mapping[_Key, Tuple[Shape, int]]) -> Dict[_Key, int]:
    offsets: Dict[_Key, int] = {}
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        for (layer, number), (shape, item_size) in blobs.items():
            creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            creation.set_obj_track_times(False)
            kind = h5py.h5t.IEEE_F64LE if item_size == 8 else h5py.h5t.IEEE_F32LE
            space = h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR)
            group = data.require_group(layer)
            dataset = h5py.h5d.create(group.id, str(number).encode(), kind, space, creation)
            offsets[layer, number] = dataset.get_offset() or 0
    return offsets
