"""What the reader of caffemodels has to make of any bytes, by protobuf's own parser: shared by tests and fuzzing."""

import math

import numpy as np
from google.protobuf.message import DecodeError

from netbuild._caffe import schema
from netbuild.errors import NetbuildError
from netbuild.weights.caffemodel import read_caffemodel
from netbuild.weights.live import read_values
from netbuild.weights.wire import WireFile

LIMITS = (
    "more than",
    "one longer than",
    "bytes, at most",
    "wire type 3",
    "wire type 4",
    "is not UTF-8",
    "has field number",
)
"""What may be refused although protobuf takes it: what no net of Caffe's reaches, groups, names that are no text."""


def read(path):
    """Every blob of a file as (layer, shape, values), read by netbuild."""
    model = read_caffemodel(path)
    with WireFile(path) as file:
        return [(layer.name, blob.shape, read_values(file, blob)) for layer in model.layers for blob in layer.blobs]


def parsed(raw):
    """The bytes as protobuf reads them, None where it refuses them."""
    try:
        return schema().NetParameter.FromString(raw)
    except (DecodeError, RuntimeError, SystemError):
        return None


def shape_of(blob):
    """Blob::FromProto of BVLC Caffe: the four old fields win over shape."""
    old = ("num", "channels", "height", "width")
    if any(blob.HasField(name) for name in old):
        return tuple(getattr(blob, name) for name in old)
    return tuple(blob.shape.dim)


def sound(net):
    """Whether the net has layers, none of 2013, and each blob as many values as its shape says."""
    if not (net.layer or net.layers) or any(layer.HasField("layer") for layer in net.layers):
        return False
    for layer in [*net.layer, *net.layers]:
        for blob in layer.blobs:
            shape = shape_of(blob)
            if any(not 0 <= length < 2**31 for length in shape):
                return False
            if math.prod(shape) != len(blob.double_data or blob.data):
                return False
    return True


def judge(raw, path):
    """Raise AssertionError where netbuild reads `raw`, the content of `path`, otherwise than protobuf does.

    Returns whether netbuild took the file. Where protobuf refuses it, netbuild may have passed over the damage: what it
    does not read (definitions, diffs) cannot harm the values.
    """
    net = parsed(raw)
    try:
        found = read(path)
    except NetbuildError as error:
        refusal = str(error)
        assert len(refusal) < 2000, refusal
        assert net is None or not sound(net) or any(limit in refusal for limit in LIMITS), refusal
        return False
    if net is None:
        return True
    assert sound(net), "protobuf sees another count, or no layers"
    expected = [
        (layer.name, shape_of(blob), list(blob.double_data or blob.data))
        for kind in (net.layer, net.layers)
        for layer in kind
        for blob in layer.blobs
    ]
    # Files that mix both kinds of layers keep no order between them; NaN is not equal to itself, but its text is.
    told = [(name, shape, values.ravel().tolist()) for name, shape, values in found]
    assert sorted(map(repr, told)) == sorted(map(repr, expected))
    return True


def seeds():
    """Small files of every kind that the reader knows, as bytes."""
    pb = schema()

    def blob(message, array, field="data"):
        message.shape.dim.extend(array.shape)
        getattr(message, field).extend(array.ravel())

    ones = np.arange(6, dtype=np.float32).reshape(2, 3)
    current, old, mixed = (pb.NetParameter(name=name) for name in ("current", "old", "mixed"))
    layer = current.layer.add(name="conv", type="Convolution", bottom=["data"], top=["conv"])
    layer.convolution_param.num_output = 2
    blob(layer.blobs.add(), ones)
    layer.blobs[0].diff.extend(ones.ravel())
    blob(layer.blobs.add(), ones[0].astype(float), "double_data")
    current.layer.add(name="relu", type="ReLU")
    for net in (old, mixed):
        layer = net.layers.add(name="fc", type=pb.V1LayerParameter.INNER_PRODUCT, blobs_lr=[1, 2])
        layer.blobs.add(num=1, channels=1, height=2, width=3, data=range(6), diff=range(6))
    blob(mixed.layer.add(name="scale").blobs.add(), ones)
    ancient = pb.NetParameter()
    ancient.layers.add().layer.name = "v0"
    unpacked = bytes([0xA2, 6, 20, 0x0A, 1, 97, 0x3A, 15, 0x3A, 3, 0x0A, 1, 2, 0x2D, 0, 0, 128, 63, 0x2D, 0, 0, 0, 64])
    return [net.SerializeToString() for net in (current, old, mixed, ancient)] + [unpacked]
