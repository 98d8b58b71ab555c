"""A weight file's own definitions are read as the Caffe has them that wrote it: files made by the messages of forks."""

import os
import warnings

import pytest
from google.protobuf import text_format

from netbuild import convert_weights
from netbuild.errors import NetbuildWarning, WeightsError
from netbuild.fuse.definitions import stored
from netbuild.schema import schema
from netbuild.schema.dialects import dialects
from netbuild.weights.index import index
from netbuild.weights.wire import encode_bytes, encode_varint

OF_FORKS = {
    "TSN": """
        layer { name: "bn" type: "BN" bn_param { frozen: true slope_filler { type: "constant" value: 1 } } }
        layer { name: "scale" type: "Scale" scale_param { bias_term: true } }
        layer { name: "conv" type: "Convolution" convolution_param { num_output: 1 kernel_size: 3 dilation: 2 } }
    """,
    "NVIDIA 0.17": 'layer { name: "lstm" type: "LSTM" recurrent_param { num_output: 3 } forward_type: FLOAT16 }',
    "SSD": 'layer { name: "prior" type: "PriorBox" prior_box_param { min_size: 30 aspect_ratio: 2 aspect_ratio: 3 } }',
    "Intel": 'layer { name: "pool" type: "ROIPooling" roi_pooling_param { pooled_h: 7 pooled_size: 7 } }',
    "PSPNet": """
        layer { name: "up" type: "Interp" interp_param { height: 5 width: 6 } }
        layer { name: "bn" type: "BN" bn_param { momentum: 0.5 } }
    """,
    "SegNet": """
        layer { name: "up" type: "Upsample" upsample_param { scale: 2 } }
        layer { name: "bn" type: "BN" bn_param { bn_mode: INFERENCE } }
    """,
    "FlowNet2": 'layer { name: "c" type: "Correlation" correlation_param { pad: 20 kernel_size: 1 stride_2: 2 } }',
}
UPSTREAM = """
    name: "net"
    layer { name: "e" type: "Embed" embed_param { num_output: 3 input_dim: 4 bias_term: false } }
    layer { name: "c" type: "Convolution" convolution_param { num_output: 1 kernel_size: 3 axis: 2 engine: CUDNN } }
    layer { name: "r" type: "LSTM" recurrent_param { num_output: 2 weight_filler { type: "xavier" } } }
"""
LAYER, NAME, TYPE = 100, 1, 2


def classes(name):
    return next(dialect for dialect in dialects() if dialect.name == name).classes()


def written(path, text, name="upstream Caffe"):
    """Write a file as the Caffe of this name writes it, each layer with one value."""
    net = text_format.Parse(text, classes(name).NetParameter())
    for layer in [*net.layer, *net.layers]:
        layer.blobs.add(data=[4]).shape.dim.append(1)
    path.write_bytes(net.SerializeToString())
    return path


def by_hand(path, *layers):
    path.write_bytes(b"".join(encode_bytes(LAYER, layer) for layer in layers))
    return path


def a_layer(name, kind, number, payload):
    return encode_bytes(NAME, name) + encode_bytes(TYPE, kind) + encode_bytes(number, payload)


def read(path):
    return stored(index(path))


def texts(found):
    return [text_format.MessageToString(layer) for _, layer in found.layers]


def by_name(text):
    return [text_format.MessageToString(layer) for layer in text_format.Parse(text, schema().NetParameter()).layer]


def test_upstreams(tmp_path):
    found = read(written(tmp_path / "w", UPSTREAM))
    assert found.dialect.name == "upstream Caffe"
    assert texts(found) == by_name(UPSTREAM)
    assert found.net.name == "net"


@pytest.mark.parametrize("fork", OF_FORKS)
def test_a_forks(tmp_path, fork):
    found = read(written(tmp_path / "w", OF_FORKS[fork], fork))
    assert texts(found) == by_name(OF_FORKS[fork])


@pytest.mark.parametrize("fork", OF_FORKS)
def test_a_converted_file_is_still_the_forks(tmp_path, fork):
    """Its own Caffe reads what it wrote, and nothing that means something else there."""
    source = written(tmp_path / "w", OF_FORKS[fork], fork)
    convert_weights(source, tmp_path / "new.caffemodel")
    after = classes(fork).NetParameter.FromString((tmp_path / "new.caffemodel").read_bytes())
    assert after == classes(fork).NetParameter.FromString(source.read_bytes())


def test_one_layer_tells_for_all(tmp_path):
    """TSN's dilation has the number of upstream's axis; with a layer of TSN beside it that is known."""
    conv = 'layer { name: "c" type: "Convolution" convolution_param { num_output: 1 kernel_size: 3 dilation: 2 } }'
    path = written(tmp_path / "w", conv + 'layer { name: "b" type: "BN" bn_param { eps: 0.5 } }', "TSN")
    assert read(path).layers[0][1].convolution_param.dilation == [2]
    assert stored(index(path), ["c"]).layers[0][1].convolution_param.dilation == [2]


def test_bytes_by_hand(tmp_path):
    """Number 137 is TSN's bn_param, and number 5 in it is `frozen`."""
    path = by_hand(tmp_path / "w", a_layer(b"b", b"BN", 137, b"\x28\x01"))
    ((_, layer),) = read(path).layers
    assert layer.bn_param.frozen
    assert not layer.HasField("embed_param")


def test_what_nobody_knows_is_told_once_and_left_out(tmp_path):
    inner = encode_varint(1 << 3) + b"\x05" + encode_varint(900 << 3) + b"\x01"  # num_output: 5, and number 900
    layers = [a_layer(name, b"InnerProduct", 117, inner) + encode_bytes(9999, b"x") for name in (b"one", b"two")]
    path = by_hand(tmp_path / "w", *layers)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = read(path)
    assert [str(one.message) for one in told] == [
        f"weights {os.fspath(path)!r}: upstream Caffe fits its layer definitions best of all Caffes known here, and does "
        "not read field 900 of InnerProductParameter (layer 'one'), 9999 of LayerParameter (layer 'one'); left out of the "
        "definitions, values are not touched"
    ]
    assert told[0].category is NetbuildWarning
    assert texts(found) == by_name(
        "".join(
            f'layer {{ name: "{n}" type: "InnerProduct" inner_product_param {{ num_output: 5 }} }}'
            for n in ("one", "two")
        )
    )


def test_what_nobody_knows_is_not_converted(tmp_path):
    path = written(tmp_path / "w", UPSTREAM)
    expected = classes("upstream Caffe").NetParameter.FromString(path.read_bytes())
    path.write_bytes(path.read_bytes() + encode_bytes(777, b"?"))
    with pytest.warns(NetbuildWarning, match=r"field 777 of NetParameter; left out"):
        convert_weights(path, tmp_path / "new.caffemodel")
    # Equal messages have equal unknown fields too.
    assert type(expected).FromString((tmp_path / "new.caffemodel").read_bytes()) == expected


def test_what_forks_read_otherwise_is_told_and_left_out(tmp_path):
    """Number 150 with a number 1 in it: an Upsample, a ROIPooling ..."""
    path = by_hand(tmp_path / "w", a_layer(b"odd", b"Mystery", 150, b"\x08\x05"))
    with pytest.warns(NetbuildWarning, match="may be of .*TSN.*PSPNet, which differ in .* 150 of LayerParameter"):
        found = read(path)
    assert texts(found) == by_name('layer { name: "odd" type: "Mystery" }')


@pytest.mark.parametrize(
    ("kind", "field", "name"),
    [("ROIPooling", "roi_pooling_param", "pooled_h"), ("Upsample", "upsample_param", "scale")],
)
def test_a_layers_type_decides_between_forks(tmp_path, kind, field, name):
    path = by_hand(tmp_path / "w", a_layer(b"l", kind.encode(), 150, b"\x08\x05"))
    ((_, layer),) = read(path).layers
    assert getattr(getattr(layer, field), name) == 5


def test_types_of_before_2015_are_the_forks(tmp_path):
    text = 'layers { name: "up" type: INTERP interp_param { zoom_factor: 2 } }'
    found = read(written(tmp_path / "w", text, "DeepLab"))
    assert texts(found) == by_name('layer { name: "up" type: "Interp" interp_param { zoom_factor: 2 } }')


def test_a_damaged_definition_is_no_forks(tmp_path):
    path = by_hand(tmp_path / "w", a_layer(b"l", b"InnerProduct", 117, b"\x08"))
    with pytest.raises(WeightsError, match="the definition of layer 'l' is damaged"):
        read(path)


def test_values_that_a_field_cannot_have(tmp_path):
    """Number 17 of a convolution is upstream's `force_nd_im2col`, true or false: no 3. Two forks can have it."""
    path = by_hand(tmp_path / "w", a_layer(b"c", b"Convolution", 106, b"\x08\x02\x88\x01\x03"))
    with pytest.warns(NetbuildWarning, match="may be of TSN, DeepLab, .* by field 17 of ConvolutionParameter"):
        found = read(path)
    assert texts(found) == by_name('layer { name: "c" type: "Convolution" convolution_param { num_output: 2 } }')


@pytest.mark.parametrize(
    ("kind", "number", "payload", "text"),
    [
        # A float, which other forks have as a whole number.
        ("ROIPooling", 150, b"\x1d\x00\x00\x80\x3f", "roi_pooling_param { spatial_scale: 1 }"),
        # A message, which another fork has as a text.
        ("Mystery", 149, b"\x08\x02", "reorg_param { stride: 2 }"),
        # Two values, where another fork has one.
        (
            "Mystery",
            106,
            b"\x3a\x0a\x4d\x00\x00\x80\x3f\x4d\x00\x00\x00\x40",
            "convolution_param { weight_filler { diag_val: [1, 2] } }",
        ),
    ],
)
def test_the_form_of_a_field_tells(tmp_path, kind, number, payload, text):
    path = by_hand(tmp_path / "w", a_layer(b"l", kind.encode(), number, payload))
    assert texts(read(path)) == by_name(f'layer {{ name: "l" type: "{kind}" {text} }}')


def test_an_old_type_alone_tells(tmp_path):
    found = read(written(tmp_path / "w", 'layers { name: "l" type: DENSE_CRF }', "DeepLab"))
    assert found.dialect.name == "DeepLab"
    assert texts(found) == by_name('layer { name: "l" type: "DenseCRF" }')
