"""What the data files of a net tell of its inputs, where its definition does not: the shapes of HDF5 data sets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, Tuple

from ..extras import have
from ..layers.roles import reads
from ..layers.row import Reads
from ..schema import Message


def listed_files(content: bytes) -> List[str]:
    """Return the paths of a list of HDF5 files: Caffe reads it word by word, so that no path may have blanks."""
    return [os.fsdecode(word) for word in content.split()]


def stored_shapes(layer: Message) -> Dict[str, Tuple[int, ...]]:
    """Return the shapes of a layer's tops with its batch size in front, as the first file of its list has them.

    Empty for a layer that reads no HDF5, and where the list or its file is not there or cannot be read.
    """
    if reads(layer) is not Reads.HDF5 or not have("h5py"):
        return {}
    options = layer.hdf5_data_param
    found = data_sets(options.source)
    return {top: (options.batch_size, *found[top][1:]) for top in layer.top if top in found}


def data_sets(source: str) -> Dict[str, Tuple[int, ...]]:
    """Return the shapes of the data sets in the first file of a list, by name; none of what cannot be read."""
    try:
        names = listed_files(Path(source).read_bytes())
        return _shapes(names[0]) if names else {}
    except OSError:
        # Who opens the file to train says what is wrong with it (soundness).
        return {}


def _shapes(path: str) -> Dict[str, Tuple[int, ...]]:
    import h5py

    with h5py.File(path, "r") as file:
        # A group has no shape, and a scalar no axis of images.
        return {name: tuple(one.shape) for name, one in file.items() if getattr(one, "shape", None)}
