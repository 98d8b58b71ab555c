"""Bring a weight file of any age up to date, or from one format to the other."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import List, Optional

from ..files import PathLike, Progress, replacing, require_output
from ..layers.fillers import has_weight_filler
from ..layers.table import of_type
from ..proto.binary import serialised
from ..schema import Message
from ..spelling import option
from ..weights.digest import Digests
from ..weights.entry import CopiedBlob, Entry
from ..weights.formats import format_for
from ..weights.index import index
from ..weights.model import Blob, Layer, Model, Shape
from ..weights.write import require_writable, write_into
from .definitions import Stored, renewed, stored


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
    """Layers of which the file holds more than names and values."""


def convert_weights(
    source: PathLike, output: PathLike, *, over_2gb: bool = False, on_progress: Optional[Progress] = None
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
    format_for(output)  # refuses an ending that is none before anything is read
    require_output(output, [source])
    with Digests([os.fspath(source)]) as digests:
        model = index(source)
        found = stored(model)
        inputs = _input_layers(found, model.path)
        entries = [*inputs, *(_entry(model, found, layer, definition) for layer, definition in found.layers)]
        fields = serialised(found.net, found.dialect)
        remedies = [f"for other readers {option('over_2gb', True)}"]
        require_writable(entries, output, net=fields, over_limit=over_2gb, remedies=remedies)
        with replacing(output) as file:
            size = write_into(file, entries, output, net=fields, progress=on_progress)
            digests.of(model.path)  # what was read is what is there
    return Converted(
        os.fspath(output),
        bytes_written=size,
        layers=len(model.layers),
        blobs=sum(len(layer.blobs) for layer in model.layers),
        renewed=sum(map(_is_old, model.all_layers)),
        defined=sum(bool(definition.type) for _, definition in found.layers),
    )


def _entry(model: Model, found: Stored, layer: Layer, definition: Message) -> Entry:
    blobs = [
        CopiedBlob(_true_shape(blob, definition.type, number), model.path, blob)
        for number, blob in enumerate(layer.blobs)
    ]
    return Entry(layer.name, serialised(definition, found.dialect), blobs)


def _is_old(layer: Layer) -> bool:
    return layer.definition.v1 or any(blob.legacy for blob in layer.blobs)


def _input_layers(found: Stored, path: str) -> List[Entry]:
    """Take the old fields for inputs out of the net, and return the layer that stands for them, if they have shapes."""
    net = found.net
    has_shapes = net.input and (net.input_shape or net.input_dim)
    layers = renewed(net, path).layer if has_shapes else []
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)
    return [Entry(layer.name, serialised(layer, found.dialect), []) for layer in layers]


def _true_shape(blob: Blob, kind: str, number: int) -> Shape:
    """Return the shape that a net of today declares for a blob with four numbers.

    A convolution's kernels have four axes, a full connection's weights the last two of the four, all else of those
    years one.
    """
    axes = 1
    if number == 0 and has_weight_filler(kind):
        axes = 4 if of_type(kind).options == "convolution_param" else 2
    return blob.shape[-axes:] if blob.legacy and set(blob.shape[:-axes]) <= {1} else blob.shape
