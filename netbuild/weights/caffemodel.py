"""The index of a `.caffemodel`: which layers it holds, and where the values of their blobs lie.

A caffemodel is a serialised NetParameter (caffe.proto of BVLC Caffe 1.0):

    NetParameter    layer 100 (LayerParameter), before 2015 layers 2 (V1LayerParameter); name 1
    LayerParameter  name 1, blobs 7
    V1LayerParameter  name 4, blobs 6; layer 1 (a V0LayerParameter: refused)
    BlobProto       shape 7 (BlobShape), data 5 (packed float), double_data 8 (packed double);
                    before shape: num 1, channels 2, height 3, width 4; diff 6 and double_diff 9 are passed over
    BlobShape       dim 1 (packed or repeated varint)

All other fields are passed over. Refused: values that are not packed (no Caffe writes them), a shape whose
count differs from the number of values, solver states and HDF5 files.
"""

from __future__ import annotations

import math
import os
from typing import Dict, List, NamedTuple, Optional, Tuple

from ..errors import WeightsError
from ..files import PathLike, existing_file
from .wire import BYTES, VARINT, Field, WireFile

NET_NAME, NET_V1_LAYERS, NET_LAYER = 1, 2, 100
LAYER_NAME, LAYER_BLOBS = 1, 7
V1_V0_LAYER, V1_BLOBS, V1_NAME = 1, 6, 4
BLOB_LEGACY_SHAPE = (1, 2, 3, 4)
BLOB_DATA, BLOB_SHAPE, BLOB_DOUBLE_DATA = 5, 7, 8
SHAPE_DIM = 1
_MAX_NAME, _MAX_SHAPE, _MAX_DIMS = 4096, 320, 32
"""Bytes of a name and of a shape, axes of a blob (Caffe's kMaxBlobAxes)."""
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"

Shape = Tuple[int, ...]


class Blob(NamedTuple):
    """One blob of a layer: its shape and the file's byte ranges [start, end) that hold its values in order."""

    shape: Shape
    legacy: bool
    """Whether the shape stands in the four old fields; it then equals any shape padded with leading 1s."""
    item_size: int
    """4 for float, 8 for double."""
    spans: Tuple[Tuple[int, int], ...]

    @property
    def byte_size(self) -> int:
        """Number of bytes that the values take."""
        return sum(end - start for start, end in self.spans)


class Layer(NamedTuple):
    """A layer of the file that holds at least one blob."""

    name: str
    blobs: Tuple[Blob, ...]


class Model(NamedTuple):
    """The index of one caffemodel: its layers with blobs, in file order."""

    path: str
    layers: Tuple[Layer, ...]

    def by_name(self) -> Dict[str, List[Layer]]:
        """Return the layers under their names (a file may hold a name twice)."""
        found: Dict[str, List[Layer]] = {}
        for layer in self.layers:
            found.setdefault(layer.name, []).append(layer)
        return found


def kind_of(path: PathLike) -> str:
    """Tell what a weight file is from its first bytes: 'caffemodel', 'solverstate' or 'hdf5'.

    A SolverState begins with its iteration (field 1, a varint); a NetParameter with its name (field 1, bytes) or
    with a layer.
    """
    with existing_file(path, "weights").open("rb") as file:
        head = file.read(len(_HDF5_MAGIC))
    if head == _HDF5_MAGIC:
        # Inside both are HDF5 groups; Caffe's own names (x_iter_9.solverstate.h5) tell them apart.
        return "solverstate" if ".solverstate" in os.fspath(path) else "hdf5"
    return "solverstate" if head[0] == 1 << 3 | VARINT else "caffemodel"


def solverstate_iteration(path: PathLike) -> Optional[int]:
    """Return the iteration of a solverstate (SolverState: iter 1), None for one in HDF5."""
    with WireFile(path) as file:
        if file.pread(0, min(file.size, len(_HDF5_MAGIC))) == _HDF5_MAGIC:
            return None
        return next((field.value for field in file.fields(0, file.size) if field.number == 1), 0)


def index(path: PathLike) -> Model:
    """Index a caffemodel; time and memory grow with the number of its layers, not with its size."""
    kind = kind_of(path)
    if kind != "caffemodel":
        remedy = "give the .caffemodel that was saved with it" if kind == "solverstate" else "give a .caffemodel"
        raise WeightsError(f"weights {os.fspath(path)!r}: is a file of kind {kind}; {remedy}")
    with WireFile(path) as file:
        layers = [
            _layer(file, field)
            for field in file.fields(0, file.size)
            if field.number in (NET_LAYER, NET_V1_LAYERS) and field.wire_type == BYTES
        ]
    if not layers:
        raise WeightsError(f"weights {os.fspath(path)!r}: holds no layers; is it a caffemodel?")
    return Model(os.fspath(path), tuple(layer for layer in layers if layer.blobs))


def _layer(file: WireFile, message: Field) -> Layer:
    v1 = message.number == NET_V1_LAYERS
    name_field, blobs_field = (V1_NAME, V1_BLOBS) if v1 else (LAYER_NAME, LAYER_BLOBS)
    name = ""
    blobs: List[Tuple[int, Field]] = []
    for field in file.fields(message.start, message.end):
        if field.wire_type != BYTES:
            continue
        if field.number == name_field:
            name = _text(file, field)
        elif field.number == blobs_field:
            blobs.append((len(blobs), field))
        elif v1 and field.number == V1_V0_LAYER:
            raise WeightsError(
                f"weights {str(file.path)!r}: written by a Caffe of 2013 (V0 layers); "
                "run Caffe's upgrade_net_proto_binary on it first"
            )
    return Layer(name, tuple(_blob(file, field, f"blob {at} of layer {name!r}") for at, field in blobs))


def _text(file: WireFile, field: Field) -> str:
    try:
        return file.payload(field, _MAX_NAME).decode("utf-8")
    except UnicodeDecodeError:
        raise WeightsError(f"weights {str(file.path)!r}: the name at byte {field.start} is not UTF-8") from None


def _blob(file: WireFile, message: Field, where: str) -> Blob:
    shape: List[int] = []
    legacy = [0, 0, 0, 0]
    has_legacy = False
    floats: List[Tuple[int, int]] = []
    doubles: List[Tuple[int, int]] = []
    for field in file.fields(message.start, message.end):
        if field.number == BLOB_SHAPE and field.wire_type == BYTES:
            shape.extend(_dims(file, field, where))
        elif field.number in BLOB_LEGACY_SHAPE and field.wire_type == VARINT:
            has_legacy = True
            legacy[field.number - 1] = field.value
        elif field.number in (BLOB_DATA, BLOB_DOUBLE_DATA):
            if field.wire_type != BYTES:
                raise WeightsError(f"weights {str(file.path)!r}: the values of {where} are not packed")
            (floats if field.number == BLOB_DATA else doubles).append((field.start, field.end))
    # Blob::FromProto: doubles win where both stand, the legacy fields win over shape.
    item_size, spans = (8, doubles) if doubles else (4, floats)
    blob = Blob(tuple(legacy if has_legacy else shape), has_legacy, item_size, tuple(spans))
    _check_count(file, blob, where)
    return blob


def _dims(file: WireFile, message: Field, where: str) -> List[int]:
    dims: List[int] = []
    for field in file.fields(message.start, message.end):
        if field.number == SHAPE_DIM and field.wire_type == BYTES:
            dims += file.varints(field, _MAX_SHAPE)
        elif field.number == SHAPE_DIM and field.wire_type == VARINT:
            dims.append(field.value)
        if len(dims) > _MAX_DIMS:
            raise WeightsError(f"weights {str(file.path)!r}: {where} has more than {_MAX_DIMS} axes")
    return dims


def _check_count(file: WireFile, blob: Blob, where: str) -> None:
    expected = math.prod(blob.shape)
    if any((end - start) % blob.item_size for start, end in blob.spans) or (
        blob.byte_size != expected * blob.item_size
    ):
        raise WeightsError(
            f"weights {str(file.path)!r}: {where} has shape {blob.shape}, that is {expected} values, "
            f"but holds {blob.byte_size} bytes of {blob.item_size}-byte values"
        )
