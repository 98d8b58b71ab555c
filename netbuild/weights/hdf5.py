"""HDF5 weight files, as Caffe saves them with `snapshot_format: HDF5`: their index, and room for a new one's values.

The layout (Net::ToHDF5 of BVLC Caffe 1.0): a group /data/NAME for each layer, in it the datasets "0", "1", ...: its
blobs. A `/` in NAME makes further groups; Caffe itself neither writes nor reads such a file. Shared parameters stand in
the layer that owns them; /diff is passed over. Caffe's datasets lie in one piece, so a blob is a range of bytes here as
in a caffemodel. Others, chunked or compressed, are refused.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

from ..errors import WeightsError
from ..files import PathLike, existing_file
from .model import MAX_VALUES, Blob, Layer, Model, Shape, Span, oversized
from .tree import Tree

MAGIC = b"\x89HDF\r\n\x1a\n"
_FLOATS = {"IEEE_F32LE": 4, "IEEE_F64LE": 8}
"""HDF5's names of the types that are read, with their bytes."""


def read_hdf5(path: PathLike) -> Model:
    """Index an HDF5 weight file; its layers are in the order of their names, for HDF5 keeps no other."""
    file = existing_file(path, "weights")
    h5py = _h5py(f"weights {str(file)!r}")
    blobs: Dict[str, Dict[str, Blob]] = {}
    try:
        with h5py.File(file, "r") as stored:
            tree = Tree(h5py, stored, file)
            data = tree.group("data")
            if data is None:
                raise WeightsError(f"weights {str(file)!r}: has no group /data, where Caffe's HDF5 keeps its layers")
            for name, dataset in tree.datasets(data):
                layer, _, number = name.rpartition("/")
                blobs.setdefault(layer, {})[number] = _blob(h5py, dataset, file, f"blob {number} of layer {layer!r}")
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"weights {str(file)!r}: damaged, or not HDF5 ({error})") from error
    layers = tuple(Layer(name, _in_order(found, name, file)) for name, found in blobs.items())
    if not layers:
        raise WeightsError(f"weights {str(file)!r}: the group /data holds no blobs")
    return Model(str(file), layers)


def _blob(h5py: Any, dataset: Any, file: Path, where: str) -> Blob:
    # numpy's name for the type is not enough: it is the same for floats whose bits are arranged otherwise.
    stored = dataset.id.get_type()
    item_size = next((size for name, size in _FLOATS.items() if stored.equal(getattr(h5py.h5t, name))), None)
    if item_size is None:
        raise WeightsError(f"weights {str(file)!r}: {where} holds {dataset.dtype}; Caffe writes float or double")
    if dataset.shape is None:
        raise WeightsError(f"weights {str(file)!r}: {where} has no shape; Caffe gives each blob one")
    if oversized(dataset.shape):
        raise WeightsError(f"weights {str(file)!r}: {where} has shape {dataset.shape}, more than {MAX_VALUES} values")
    start, length = dataset.id.get_offset(), dataset.size * item_size
    if start is None and length:
        raise WeightsError(
            f"weights {str(file)!r}: {where} is compressed or in chunks; write it in one piece first: "
            "h5repack -l CONTI -f NONE IN OUT"
        )
    spans = (Span(start, start + length),) if length else ()
    if length and start + length > file.stat().st_size:
        raise WeightsError(f"weights {str(file)!r}: {where} ends at byte {start + length}, beyond the file's end")
    return Blob(tuple(dataset.shape), False, item_size, spans)


def _in_order(found: Dict[str, Blob], layer: str, file: Path) -> Tuple[Blob, ...]:
    numbers = [str(number) for number in range(len(found))]
    if set(found) != set(numbers):
        listed = ", ".join(sorted(found))
        raise WeightsError(
            f"weights {str(file)!r}: layer {layer!r} has the blobs {listed}; expected {', '.join(numbers)}"
        )
    return tuple(found[number] for number in numbers)


Key = Tuple[str, int]
"""A blob: its layer's name and its number there."""


def allocate(path: PathLike, blobs: Mapping[Key, Tuple[Shape, int]]) -> Dict[Key, int]:
    """Make an HDF5 file with room for blobs of these shapes and item sizes; return where their values are to be."""
    h5py = _h5py("output")
    try:
        return _allocated(h5py, path, blobs)
    except (OSError, RuntimeError) as error:
        # Of a full disk the library tells in several lines, and in errors of its own.
        number = re.search(r"errno = (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def _allocated(h5py: Any, path: PathLike, blobs: Mapping[Key, Tuple[Shape, int]]) -> Dict[Key, int]:
    offsets: Dict[Key, int] = {}
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


def _h5py(what: str) -> Any:
    try:
        import h5py
    except ImportError:
        raise WeightsError(f"{what}: HDF5 needs h5py: pip install 'netbuild[hdf5]'") from None
    return h5py
