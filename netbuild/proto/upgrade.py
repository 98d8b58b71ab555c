"""Prototxt of any age in the current format: what Caffe itself upgrades when it reads a file, in its order.

Before 2014 a net's layers stood as `layers { layer { type: "conv" num_output: 20 } }` (V0), then until 2015 as
`layers { type: CONVOLUTION convolution_param { } }` (V1); inputs were fields of the net. The rules are those of
UpgradeNetAsNeeded (upgrade_proto.cpp of BVLC Caffe 1.0).
"""

from __future__ import annotations

import warnings
from typing import Any, Dict, List, Mapping, Set, Tuple

from ..errors import GraphError, NetbuildWarning
from ..schema import CARRIED, Message, is_repeated, schema

_V0_TYPES: Mapping[str, str] = {
    "conv": "CONVOLUTION",
    "innerproduct": "INNER_PRODUCT",
    "pool": "POOLING",
    "images": "IMAGE_DATA",
    **{
        name.lower(): name
        for name in (
            *("ACCURACY", "BNLL", "CONCAT", "DATA", "DROPOUT", "EUCLIDEAN_LOSS", "FLATTEN", "HDF5_DATA", "HDF5_OUTPUT"),
            *("IM2COL", "INFOGAIN_LOSS", "LRN", "MULTINOMIAL_LOGISTIC_LOSS", "RELU", "SIGMOID", "SOFTMAX"),
            *("SOFTMAX_LOSS", "SPLIT", "TANH", "WINDOW_DATA"),
        )
    },
}
_CONV, _IP = {"conv": "convolution_param"}, {"innerproduct": "inner_product_param"}
_POOL, _LRN = {"pool": "pooling_param"}, {"lrn": "lrn_param"}
_DATA, _IMAGES, _WINDOWS = {"data": "data_param"}, {"images": "image_data_param"}, {"window_data": "window_data_param"}
_V0_FIELDS: Mapping[str, Tuple[str, Mapping[str, str]]] = {
    **{name: (name, {**_CONV, **_IP}) for name in ("num_output", "weight_filler", "bias_filler")},
    "biasterm": ("bias_term", {**_CONV, **_IP}),
    "pad": ("pad", {**_CONV, **_POOL}),
    "kernelsize": ("kernel_size", {**_CONV, **_POOL}),
    "stride": ("stride", {**_CONV, **_POOL}),
    "group": ("group", _CONV),
    "pool": ("pool", _POOL),
    "dropout_ratio": ("dropout_ratio", {"dropout": "dropout_param"}),
    **{name: (name, _LRN) for name in ("local_size", "alpha", "beta", "k")},
    "source": (
        "source",
        {**_DATA, **_IMAGES, **_WINDOWS, "hdf5_data": "hdf5_data_param", "infogain_loss": "infogain_loss_param"},
    ),
    "batchsize": ("batch_size", {**_DATA, **_IMAGES, **_WINDOWS, "hdf5_data": "hdf5_data_param"}),
    "rand_skip": ("rand_skip", {**_DATA, **_IMAGES}),
    "shuffle_images": ("shuffle", _IMAGES),
    "new_height": ("new_height", _IMAGES),
    "new_width": ("new_width", _IMAGES),
    "concat_dim": ("concat_dim", {"concat": "concat_param"}),
    **{
        f"det_{name}": (name, _WINDOWS)
        for name in ("fg_threshold", "bg_threshold", "fg_fraction", "context_pad", "crop_mode")
    },
}
"""A V0 field -> its new name, and by V0 type the message that holds it now."""
_V0_TRANSFORM = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}
_V0_ELSEWHERE = ("name", "type", "blobs", "blobs_lr", "weight_decay", "hdf5_output_param", CARRIED)

_V1_OWN_WAY = {
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "LRN": "LRN",
    "MVN": "MVN",
    "NONE": "",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
    "ABSVAL": "AbsVal",
    # of forks: MobileNet-YOLO's, DeepLab's
    "RELU6": "ReLU6",
    "DENSE_CRF": "DenseCRF",
}
"""V1 types whose current name is not made of their words: INNER_PRODUCT is InnerProduct."""
_V1_PARAM_SPECS = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}
_TYPE = "type: "
"""What a type that is carried begins with."""
_V1_ELSEWHERE = ("type", "layer", *_V1_PARAM_SPECS)
_TRANSFORMED = {"DATA": "data_param", "IMAGE_DATA": "image_data_param", "WINDOW_DATA": "window_data_param"}


def upgraded(net: Message, source: str) -> Message:
    """Return the net in the current format, as a new message; `source` names it in errors.

    Raises GraphError for what Caffe refuses to upgrade: both kinds of layers in one net, an unknown old type, a
    padding layer before anything but a convolution or pooling, inputs without their shapes.
    """
    result = type(net)()
    result.CopyFrom(net)
    if net.layers:
        if net.layer:
            raise GraphError(
                f"{source}: has layers of the current format ('layer') and of an old one ('layers'); Caffe reads only "
                "one of them: rewrite the fewer"
            )
        result.ClearField("layers")
        _tell_without_place(net, source)
        for layer in _unpadded(net, source):
            result.layer.add().CopyFrom(_from_v1(_from_v0(layer, source)))
    if net.input:
        _put_inputs_first(result, source)
    for layer in filter(_learns_statistics, result.layer):
        for spec in layer.param:
            spec.lr_mult = spec.decay_mult = 0
    return result


def is_current(net: Message) -> bool:
    """Tell whether a net is in the current format, so that Caffe would upgrade nothing of it."""
    return not net.layers and not net.input and not any(map(_learns_statistics, net.layer))


def _learns_statistics(layer: Message) -> bool:
    """Tell whether a BatchNorm has entries that let its statistics learn, which Caffe sets to 0."""
    learns = any(spec.lr_mult or spec.decay_mult for spec in layer.param)
    return layer.type == "BatchNorm" and len(layer.param) == 3 and learns


def _unpadded(net: Message, source: str) -> Any:
    """Return the old layers, V0 padding layers taken into the convolution or pooling that reads them."""
    kept = []
    padding: Dict[str, Message] = {}
    for old in net.layers:
        layer = type(old)()
        layer.CopyFrom(old)
        if layer.layer.type == "padding":
            if len(layer.bottom) != 1 or len(layer.top) != 1:
                raise GraphError(f"{source}: padding layer {layer.layer.name!r}: needs one bottom and one top")
        else:
            kept.append(layer)
            _take_in_padding(layer, padding, source)
        for top in layer.top:
            padding.pop(top, None)
            if layer.layer.type == "padding":
                padding[top] = layer
    return kept


def _take_in_padding(layer: Message, padding: Mapping[str, Message], source: str) -> None:
    """Let the layer pad itself what a padding layer made for it; `padding` are such layers by their tops."""
    for position, blob in enumerate(layer.bottom):
        if blob not in padding:
            continue
        if layer.layer.type not in ("conv", "pool") or len(layer.bottom) != 1:
            raise GraphError(
                f"{source}: layer {layer.layer.name!r} ({layer.layer.type}): reads the padding layer "
                f"{padding[blob].layer.name!r}, which only a conv or pool with one bottom can do"
            )
        layer.layer.pad = padding[blob].layer.pad
        layer.bottom[position] = padding[blob].bottom[0]


def _from_v0(old: Message, source: str) -> Message:
    """Return a V0 layer as a V1 one; a V1 layer as it is."""
    if not old.HasField("layer"):
        return old
    v0 = old.layer
    if v0.type not in _V0_TYPES:
        raise GraphError(f"{source}: layer {v0.name!r}: {v0.type!r} is no layer type of that format")
    new = type(old)(name=v0.name, bottom=old.bottom, top=old.top)
    new.type = type(old).LayerType.Value(_V0_TYPES[v0.type])
    for repeated in ("blobs", "blobs_lr", "weight_decay"):
        getattr(new, repeated).extend(getattr(v0, repeated))
    getattr(new, CARRIED).extend([*getattr(old, CARRIED), *getattr(v0, CARRIED)])
    if v0.HasField("hdf5_output_param"):
        new.hdf5_output_param.CopyFrom(v0.hdf5_output_param)
    for field, value in v0.ListFields():
        if field.name in _V0_ELSEWHERE:
            continue
        if field.name in _V0_TRANSFORM:
            _set(new.transform_param, _V0_TRANSFORM[field.name], value)
            continue
        name, homes = _V0_FIELDS.get(field.name, ("", {}))
        if v0.type not in homes:
            # Caffe writes this to its log and goes on.
            warnings.warn(
                f"{source}: layer {v0.name!r} ({v0.type}): its field {field.name!r} means nothing for this type and is "
                "left out",
                NetbuildWarning,
                stacklevel=2,
            )
            continue
        _set(getattr(new, homes[v0.type]), name, value)
    return new


def _from_v1(old: Message) -> Message:
    kind = _v1_type(old)
    _take_out_transform(old, kind)
    new = schema().LayerParameter(type=_current_type(kind))
    for field, value in old.ListFields():
        if field.name in _V1_ELSEWHERE:
            continue
        if field.name in new.DESCRIPTOR.fields_by_name:
            _set(new, field.name, value)
        else:
            getattr(new, CARRIED).append(_as_written(old, field.name))
    for name, spec_field in _V1_PARAM_SPECS.items():
        for position, value in enumerate(getattr(old, name)):
            while len(new.param) <= position:
                new.param.add()
            setattr(new.param[position], spec_field, value)
    return new


def _current_type(kind: str) -> str:
    """Return the current name of a V1 type."""
    return _V1_OWN_WAY.get(kind, "".join(word.capitalize() for word in kind.split("_")))


def _tell_without_place(net: Message, source: str) -> None:
    """Warn of each type and field of old layers that has no known place in the current format."""
    for kind in dict.fromkeys(filter(None, map(_carried_type, net.layers))):
        warnings.warn(
            f"{source}: no Caffe that is known here has the type {kind} of old layers; its current name is taken to be "
            f"{_current_type(kind)!r}, as other types are called: compare it with the Caffe that has it",
            NetbuildWarning,
            stacklevel=2,
        )
    places = {*schema().LayerParameter.DESCRIPTOR.fields_by_name, *_V1_ELSEWHERE}
    fields = (field.name for layer in net.layers for field, _ in layer.ListFields())
    for name in dict.fromkeys(fields):
        if name not in places:
            warnings.warn(
                f"{source}: the field {name!r} of its old layers has no place in the current format; it is kept as it "
                "is written, and no Caffe known here reads it there",
                NetbuildWarning,
                stacklevel=2,
            )


def _as_written(message: Message, name: str) -> str:
    """Return one field of a message as prototxt, on one line."""
    from google.protobuf import text_format

    alone = type(message)()
    _set(alone, name, getattr(message, name))
    return str(text_format.MessageToString(alone, as_one_line=True))


def _v1_type(layer: Message) -> str:
    """Return the word of a V1 layer's type; one that it carries is taken from it."""
    carried_type = _carried_type(layer)
    if carried_type:
        getattr(layer, CARRIED).remove(_TYPE + carried_type)
        return carried_type
    return str(type(layer).LayerType.Name(layer.type))


def _carried_type(layer: Message) -> str:
    """Return the word of a V1 layer's type that no Caffe known here has, '' where one has it."""
    return next((str(text[len(_TYPE) :]) for text in getattr(layer, CARRIED) if text.startswith(_TYPE)), "")


def _take_out_transform(layer: Message, kind: str) -> None:
    """Move scale, mean file, crop size and mirroring of a V1 data layer to where they are now."""
    if kind not in _TRANSFORMED or not layer.HasField(_TRANSFORMED[kind]):
        return
    options = getattr(layer, _TRANSFORMED[kind])
    for name in _V0_TRANSFORM.values():
        if options.HasField(name):
            setattr(layer.transform_param, name, getattr(options, name))
            options.ClearField(name)


def _set(message: Message, name: str, value: Any) -> None:
    """Set a field of any kind; a single value becomes the first of a repeated field."""
    field = message.DESCRIPTOR.fields_by_name[name]
    if is_repeated(field):
        getattr(message, name).extend(value if hasattr(value, "__len__") else [value])
    elif field.message_type is not None:
        getattr(message, name).CopyFrom(value)
    else:
        setattr(message, name, value)


def _put_inputs_first(net: Message, source: str) -> None:
    """Turn the fields `input`, `input_dim` and `input_shape` into a layer `input`.

    Inputs without shapes that layers of the net make, or none reads, go, as in Caffe; and so do shapes without inputs.
    """
    shapes = _input_shapes(net, source)
    layers = list(net.layer)
    if not shapes and not _read_of_inputs(net):
        # Caffe takes such inputs for those of a net that an old version wrote into its weights, and drops them.
        net.ClearField("input")
        return
    if len(shapes) != len(net.input):
        raise GraphError(f"{source}: {len(net.input)} inputs but {len(shapes)} input shapes; give one for each input")
    tops = list(net.input)
    for field in ("input", "input_dim", "input_shape", "layer"):
        net.ClearField(field)
    first = net.layer.add(name="input", type="Input", top=tops)
    for dims in shapes:
        first.input_param.shape.add(dim=dims)
    net.layer.extend(layers)


def _input_shapes(net: Message, source: str) -> List[List[int]]:
    """Return the shapes of the inputs as Caffe takes them (UpgradeNetInput): no more than there are inputs.

    Where there are too few numbers it reads whatever lies in memory.
    """
    if net.input_shape:
        return [list(shape.dim) for shape in net.input_shape][: len(net.input)]
    dims, needed = net.input_dim, 4 * len(net.input)
    if dims and len(dims) < needed and len(dims) % 4:
        raise GraphError(
            f"{source}: {len(net.input)} inputs but {len(dims)} input_dim; give four for each, or an input_shape with "
            "any number of dims"
        )
    return [list(dims[at : at + 4]) for at in range(0, min(len(dims), needed), 4)]


def _read_of_inputs(net: Message) -> Set[str]:
    """Return the inputs that layers read and none makes."""
    made = {top for layer in net.layer for top in layer.top}
    return {blob for layer in net.layer for blob in layer.bottom}.intersection(net.input) - made
