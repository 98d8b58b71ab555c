"""Bring a weight file of any age up to date, or from one format to the other."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import List, Optional

from ..engine.caffe import Message
from ..files import PathLike, require_output
from ..weights.copier import ByteProgress
from ..weights.digest import Digests
from ..weights.entry import Entry, Taken
from ..weights.index import index
from ..weights.model import Blob, Shape
from ..weights.write import require_suffix, write_model
from .definitions import renewed, stored_layers, stored_net


@dataclass(frozen=True)
class Converted:
    """What was written."""

    output: str
    bytes_written: int
    layers: int
    """Layers with blobs."""
    blobs: int
    renewed: int
    """Layers whose definition or shapes were of before 2015."""
    defined: int
    """Layers of which the file told more than the name."""


def convert_weights(
    source: PathLike, output: PathLike, *, over_2gb: bool = False, on_progress: Optional[ByteProgress] = None
) -> Converted:
    """Bring a weight file up to date, or from one format to the other.

    Definitions are upgraded as Caffe does it, and shapes of four numbers become the true ones. Values stay bit for bit
    as they are, floats or doubles; diffs are left behind. What comes out of HDF5 has names and blobs, no definitions.

    Args:
        source: A caffemodel of any age, or an HDF5 file.
        output: The file to write: `.caffemodel`, or `.h5` for HDF5.
        over_2gb: Write a caffemodel even where it is larger than Caffe reads.
        on_progress: Called with the bytes written so far and in all.

    Returns:
        What was written: `layers`, `blobs`, and how many were old.

    Raises:
        WeightsError: The file cannot be read, or the output could not be.

    Examples:
        >>> from netbuild import convert_weights
        >>> done = convert_weights("odd.caffemodel", "odd.h5")
        >>> done.layers, done.blobs
        (4, 8)
    """
    require_suffix(output)
    require_output(output, [source])
    with Digests([os.fspath(source)]) as digests:
        model = index(source)
        net = stored_net(model)
        found: List[Entry] = _inputs(net, model.path)
        old = defined = 0
        for layer, stored in stored_layers(model):
            blobs = [
                Taken(_true_shape(blob, stored.type, number), model.path, blob)
                for number, blob in enumerate(layer.blobs)
            ]
            found.append(Entry(layer.name, stored.SerializeToString(), blobs))
            old += layer.definition.v1 or any(blob.legacy for blob in layer.blobs)
            defined += bool(stored.type)
        size = write_model(
            found,
            output,
            net=net.SerializeToString(),
            over_2gb=over_2gb,
            seal=lambda _: digests.of(model.path),
            progress=on_progress,
        )
    blob_count = sum(len(layer.blobs) for layer in model.layers)
    return Converted(os.fspath(output), size, len(model.layers), blob_count, old, defined)


def _inputs(net: Message, path: str) -> List[Entry]:
    """Take the old fields for inputs out of the net, and return the layer that stands for them, if they have shapes."""
    told = net.input and (net.input_shape or net.input_dim)
    layers = renewed(net, path).layer if told else []
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)
    return [Entry(layer.name, layer.SerializeToString(), []) for layer in layers]


def _true_shape(blob: Blob, kind: str, number: int) -> Shape:
    """Return the shape that a net of today declares for a blob with four numbers.

    A convolution's kernels have four axes, a full connection's weights the last two of the four, all else of those
    years one.
    """
    if not blob.legacy:
        return blob.shape
    if number == 0 and kind in ("Convolution", "Deconvolution"):
        return blob.shape
    axes = 2 if number == 0 and kind == "InnerProduct" else 1
    return blob.shape[-axes:] if set(blob.shape[:-axes]) <= {1} else blob.shape
