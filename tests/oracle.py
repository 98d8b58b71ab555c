"""What the readers of weight files have to make of any bytes, by protobuf's own parser and by h5py.

Shared by tests and fuzzing.
"""

import io
import math

import numpy as np
from google.protobuf.message import DecodeError

from netbuild.errors import NetbuildError
from netbuild.fuse.live import read_values
from netbuild.schema import schema
from netbuild.weights.caffemodel import stored_type
from netbuild.weights.hdf5 import MAGIC
from netbuild.weights.index import index
from netbuild.weights.wire import WireFile

LIMITS = (
    "more than",
    "one longer than",
    "bytes, at most",
    "wire type 3",
    "wire type 4",
    "is not UTF-8",
    "has field number",
    "is a solverstate",
    "or not HDF5",
    "is a prototxt",
    "is a pickle",
    "is a zip archive",
    "is compressed with",
)
"""What may be refused although protobuf takes it: what no net of Caffe's reaches, groups, names that are no text.

And files that begin as others do: with a number in field 1 (a text in a NetParameter), with the first bytes of HDF5, of
archives or of a prototxt.
"""


def read(path):
    """What netbuild reads of a file: (net's definition, layers of before 2015, layers of today).

    A layer is (name, type, blobs, definition), a blob (shape, bytes of a value, values), a definition bytes. The type
    is None for old layers, where it is a number.
    """
    model = index(path)
    with WireFile(path) as file:

        def told(layer):
            blobs = [(blob.shape, blob.item_size, read_values(file, blob).ravel().tolist()) for blob in layer.blobs]
            kind = None if layer.definition.v1 else stored_type(file, layer)
            return layer.name, kind, blobs, stored(layer.definition)

        def stored(definition):
            return b"".join(file.pread(start, end - start) for start, end in definition.ranges)

        layers = model.all_layers
        old, current = ([told(layer) for layer in layers if layer.definition.v1 is v1] for v1 in (True, False))
        return stored(model.definition), old, current


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
        # What a file seems to be instead is said in place of why it could not be read.
        why = str(error.__cause__ or error)
        assert net is None or not sound(net) or any(limit in why for limit in LIMITS), why
        return False
    if net is None:
        return True
    assert sound(net), "protobuf sees another count, or no layers"
    definition, *layers = found
    for told, expected in zip(layers, (net.layers, net.layer)):
        assert len(told) == len(expected)
        for one, layer in zip(told, expected):
            agree(one, layer)
    net.ClearField("layers")
    net.ClearField("layer")
    assert type(net).FromString(definition).SerializeToString() == net.SerializeToString()
    return True


def agree(told, layer):
    """Raise AssertionError unless `told`, a layer as `read` gives it, is what protobuf reads."""
    name, kind, blobs, definition = told
    assert name == layer.name
    assert kind is None or kind == layer.type
    expected = [
        (shape_of(blob), 8 if blob.double_data else 4, list(blob.double_data or blob.data)) for blob in layer.blobs
    ]
    assert repr(blobs) == repr(expected)  # NaN is not equal to itself, but its text is
    layer.ClearField("blobs")
    assert type(layer).FromString(definition).SerializeToString() == layer.SerializeToString()


def judge_hdf5(raw, path):
    """Raise AssertionError where netbuild reads `raw`, an HDF5 file at `path`, otherwise than h5py does.

    Returns whether netbuild took the file. Which files are damaged is left to the HDF5 library.
    """
    import h5py

    if not raw.startswith(MAGIC):
        return False
    try:
        _, _, layers = read(path)
    except NetbuildError as error:
        assert len(str(error)) < 2000, error
        return False
    with h5py.File(path, "r") as file:
        for name, _, blobs, _ in layers:
            for number, (shape, item_size, values) in enumerate(blobs):
                expected = file[f"data/{name}/{number}"]
                assert expected.file.filename == file.filename
                assert (shape, item_size) == (expected.shape, expected.dtype.itemsize)
                assert repr(values) == repr(expected[()].ravel().tolist())
        told = {(name, str(number)) for name, _, blobs, _ in layers for number in range(len(blobs))}
        there = {
            (name, number)
            for name, layer in file["data"].items()
            if isinstance(layer, h5py.Group)
            for number, blob in layer.items()
            if isinstance(blob, h5py.Dataset)
        }
        assert there <= told, "Caffe finds more layers than netbuild"
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
    layer.blobs[1].data.extend(ones[0])
    current.layer.add(name="relu/größe", type="ReLU", loss_weight=[0.5])
    for net in (old, mixed):
        layer = net.layers.add(name="fc", type=pb.V1LayerParameter.INNER_PRODUCT, blobs_lr=[1, 2])
        layer.blobs.add(num=1, channels=1, height=2, width=3, data=range(6), diff=range(6))
    blob(mixed.layer.add(name="scale").blobs.add(), ones)
    ancient = pb.NetParameter()
    ancient.layers.add().layer.name = "v0"
    unpacked = bytes([0xA2, 6, 20, 0x0A, 1, 97, 0x3A, 15, 0x3A, 3, 0x0A, 1, 2, 0x2D, 0, 0, 128, 63, 0x2D, 0, 0, 0, 64])
    # The shape in two pieces, not packed; doubles behind a tag each, then packed.
    pieces = bytes([0x3A, 2, 0x08, 1, 0x41, *range(8), 0x41, *range(8), 0x42, 8, *range(8), 0x3A, 2, 0x08, 3])
    shuffled = bytes([0xA2, 6, len(pieces) + 2, 0x3A, len(pieces)]) + pieces
    return [net.SerializeToString() for net in (current, old, mixed, ancient)] + [unpacked, shuffled]


def hdf5_seeds():
    """Small HDF5 files with the layout of Caffe's, of the oldest format and of the newest, as bytes."""
    import h5py

    found = []
    for version in ("earliest", "latest"):
        raw = io.BytesIO()
        with h5py.File(raw, "w", libver=version) as file:
            file["data/conv/0"] = np.arange(6, dtype="<f4").reshape(2, 3)
            file["data/conv/1"] = np.arange(5, dtype="<f8")
            file["data/odd/ip/0"] = np.float32(7)
            file["data/soft"] = h5py.SoftLink("/data/conv")
            file["data/twice/0"] = file["data/conv/1"]
        found.append(raw.getvalue())
    return found
