"""The index of a `.caffemodel`: which layers it holds, and where the values of their blobs lie.

A caffemodel is a serialised NetParameter (caffe.proto of BVLC Caffe 1.0):

    NetParameter    layer 100 (LayerParameter), before 2015 layers 2 (V1LayerParameter); name 1
    LayerParameter  name 1, type 2, blobs 7
    V1LayerParameter  name 4, type 5, blobs 6; layer 1 (a V0LayerParameter: refused)
    BlobProto       shape 7 (BlobShape), data 5 (float), double_data 8 (double), packed or not;
                    before shape: num 1, channels 2, height 3, width 4; diff 6 and double_diff 9 are passed over
    BlobShape       dim 1 (packed or repeated varint)

Of all other fields only the place is kept. Refused: a shape whose count differs from the number of values, what no
net of Caffe's reaches (the limits below), and binaries of 2013 (V0 layers).
"""

from __future__ import annotations

import math
from typing import Dict, Iterable, List, Sequence, Tuple, Union

from ..errors import WeightsError
from ..files import PathLike
from .model import MAX_VALUES, Blob, Definition, Layer, Model, Span, oversized
from .wire import BYTES, FIXED32, FIXED64, VARINT, Field, WireFile, encode_bytes

NET_NAME, NET_V1_LAYERS, NET_LAYER = 1, 2, 100
LAYER_NAME, LAYER_TYPE, LAYER_BLOBS = 1, 2, 7
V1_V0_LAYER, V1_NAME, V1_TYPE, V1_BLOBS = 1, 4, 5, 6
BLOB_LEGACY_SHAPE = (1, 2, 3, 4)
BLOB_DATA, BLOB_SHAPE, BLOB_DOUBLE_DATA = 5, 7, 8
_ITEM_SIZES = {
    (BLOB_DATA, BYTES): 4,
    (BLOB_DATA, FIXED32): 4,
    (BLOB_DOUBLE_DATA, BYTES): 8,
    (BLOB_DOUBLE_DATA, FIXED64): 8,
}
"""Bytes of a value, by the number and the wire type of a field that holds values."""
SHAPE_DIM = 1
_MAX_NAME, _MAX_SHAPE, _MAX_DIMS, _MAX_LENGTH = 4096, 320, 32, 2**31 - 1
"""Bytes of a name and of a shape, axes of a blob (Caffe's kMaxBlobAxes) and their length (an int)."""
_MAX_LAYERS, _MAX_BLOBS, _MAX_PIECES = 1 << 15, 1 << 12, 1 << 12
"""Layers of a file, blobs of a layer, pieces of a blob's values: memory is bounded whatever a file repeats."""


def read_caffemodel(path: PathLike) -> Model:
    """Index a caffemodel; time and memory grow with the number of its layers, not with its size."""
    layers: List[Layer] = []
    rest: List[Field] = []
    with WireFile(path) as file:
        for field in file.fields(0, file.size):
            if field.number in (NET_LAYER, NET_V1_LAYERS) and field.wire_type == BYTES:
                layers.append(_layer(file, field))
            else:
                rest.append(field)
            if len(layers) + len(rest) > _MAX_LAYERS:
                raise WeightsError(f"weights {str(file.path)!r}: holds more than {_MAX_LAYERS} layers")
    if not layers:
        raise WeightsError(f"weights {str(file.path)!r}: holds no layers; is it a caffemodel?")
    return Model(str(file.path), tuple(layers), Definition(_ranges(rest)))


def net_fields(name: str) -> bytes:
    """Return the serialised fields of a net of this name, without layers."""
    return encode_bytes(NET_NAME, name.encode()) if name else b""


def _ranges(fields: Iterable[Field]) -> Tuple[Tuple[int, int], ...]:
    """Return the byte ranges of whole fields, those that touch as one."""
    ranges: List[Tuple[int, int]] = []
    for field in fields:
        start = ranges.pop()[0] if ranges and ranges[-1][1] == field.tag else field.tag
        ranges.append((start, field.end))
    return tuple(ranges)


def _layer(file: WireFile, message: Field) -> Layer:
    v1 = message.number == NET_V1_LAYERS
    blobs_key = (V1_BLOBS if v1 else LAYER_BLOBS, BYTES)
    blobs: List[Field] = []
    rest: List[Field] = []
    for field in file.fields(message.start, message.end):
        (blobs if (field.number, field.wire_type) == blobs_key else rest).append(field)
        if len(blobs) + len(rest) > _MAX_BLOBS:
            raise WeightsError(
                f"weights {str(file.path)!r}: the layer at byte {message.tag} has more than {_MAX_BLOBS} fields"
            )
    name = _layer_name(file, rest, v1=v1)
    return Layer(
        name,
        tuple(_blob(file, field, f"blob {at} of layer {name!r}") for at, field in enumerate(blobs)),
        Definition(_ranges(rest), v1),
    )


def _layer_name(file: WireFile, fields: Sequence[Field], *, v1: bool) -> str:
    name_field = V1_NAME if v1 else LAYER_NAME
    name = ""
    for field in (field for field in fields if field.wire_type == BYTES):
        if field.number == name_field:
            name = _name_text(file, field)
        elif v1 and field.number == V1_V0_LAYER:
            raise WeightsError(
                f"weights {str(file.path)!r}: written by a Caffe of 2013 (V0 layers); "
                "run Caffe's upgrade_net_proto_binary on it first"
            )
    return name


def stored_type(file: WireFile, layer: Layer) -> Union[str, int]:
    """Return the type that a file gives a layer: its name, or its number in the enum of V1LayerParameter.

    '' where the file gives none, as in HDF5.
    """
    kind: Union[str, int] = ""
    type_key = (V1_TYPE, VARINT) if layer.definition.v1 else (LAYER_TYPE, BYTES)
    for start, end in layer.definition.ranges:
        for field in file.fields(start, end):
            if (field.number, field.wire_type) == type_key:
                kind = field.value if layer.definition.v1 else _name_text(file, field)
    return kind


def _name_text(file: WireFile, field: Field) -> str:
    try:
        return file.payload(field, _MAX_NAME).decode("utf-8")
    except UnicodeDecodeError:
        raise WeightsError(f"weights {str(file.path)!r}: the name at byte {field.start} is not UTF-8") from None


def _blob(file: WireFile, message: Field, where: str) -> Blob:
    shape: List[int] = []
    legacy: Dict[int, int] = {}
    spans: Dict[int, List[Span]] = {4: [], 8: []}
    for field in file.fields(message.start, message.end):
        key = field.number, field.wire_type
        if field.start == field.end:
            continue  # doubles that are none do not win, and many a nothing takes no memory
        if key == (BLOB_SHAPE, BYTES):
            shape += _dims(file, field, where)
            _check_lengths(file, shape, where)
        elif field.number in BLOB_LEGACY_SHAPE and field.wire_type == VARINT:
            legacy[field.number] = field.value & 0xFFFFFFFF  # an int32, stored as 64 bits where negative
        elif key in _ITEM_SIZES:
            spans[_ITEM_SIZES[key]].append(_span(field))
            _check_pieces(file, len(spans[4]) + len(spans[8]), where)
    # Blob::FromProto: doubles win where both stand, the legacy fields win over shape.
    item_size = 8 if spans[8] else 4
    lengths = [legacy.get(number, 0) for number in BLOB_LEGACY_SHAPE] if legacy else shape
    _check_lengths(file, lengths, where)
    blob = Blob(tuple(lengths), bool(legacy), item_size, tuple(spans[item_size]))
    _check_count(file, blob, where)
    return blob


def _span(field: Field) -> Span:
    return Span(field.start, field.end, 0 if field.wire_type == BYTES else 1)


def _check_pieces(file: WireFile, pieces: int, where: str) -> None:
    if pieces > _MAX_PIECES:
        raise WeightsError(f"weights {str(file.path)!r}: {where} lies in more than {_MAX_PIECES} pieces")


def _dims(file: WireFile, message: Field, where: str) -> List[int]:
    dims: List[int] = []
    for field in file.fields(message.start, message.end):
        if field.number == SHAPE_DIM and field.wire_type == BYTES:
            dims += file.varints(field, _MAX_SHAPE)
        elif field.number == SHAPE_DIM and field.wire_type == VARINT:
            dims.append(field.value)
        _check_lengths(file, dims, where)
    return dims


def _check_lengths(file: WireFile, shape: Sequence[int], where: str) -> None:
    # A negative length is a large one here.
    if len(shape) > _MAX_DIMS or max(shape, default=0) > _MAX_LENGTH:
        raise WeightsError(
            f"weights {str(file.path)!r}: {where} has more than {_MAX_DIMS} axes, or one longer than {_MAX_LENGTH}"
        )


def _check_count(file: WireFile, blob: Blob, where: str) -> None:
    if oversized(blob.shape):
        raise WeightsError(f"weights {str(file.path)!r}: {where} has shape {blob.shape}, more than {MAX_VALUES} values")
    expected = math.prod(blob.shape)
    sizes = [span.size(blob.item_size) for span in blob.spans]
    if -1 in sizes:
        raise WeightsError(f"weights {str(file.path)!r}: the values of {where} end within a value")
    if sum(sizes) != expected * blob.item_size:
        raise WeightsError(
            f"weights {str(file.path)!r}: {where} has shape {blob.shape}, that is {expected} values, "
            f"but holds {sum(sizes)} bytes of {blob.item_size}-byte values"
        )
