"""Nets as bytes: whose field numbers they have."""

import os

import pytest
from google.protobuf import text_format

from netbuild import fuse_weights
from netbuild.proto import parsed
from netbuild.proto.binary import dialect_for, serialised
from netbuild.schema.dialects import dialects, schema_has_upstreams_numbers

BN = 'layer { name: "bn" type: "BN" bottom: "x" top: "y" bn_param { eps: 0.5 frozen: true } }'
FC = 'layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc" inner_product_param { num_output: 2 } }'
SSD = 'layer { name: "n" type: "Normalize" bottom: "x" top: "y" norm_param { eps: 0.5 } }'
TWISTED = 'layer { name: "p" type: "Pooling" bottom: "x" top: "y" pooling_param { kernel_size: 2 twist: 3 } }'


def classes(name):
    return next(dialect for dialect in dialects() if dialect.name == name).classes()


def test_an_installed_caffe_that_is_known_leaves_upstream_its_numbers():
    assert schema_has_upstreams_numbers()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (FC, "upstream Caffe"),
        (FC + TWISTED, "upstream Caffe"),
        (FC + SSD, "SSD"),
        (FC + BN, "TSN"),
        (BN + 'layer { name: "i" type: "Interp" interp_param { height: 5 } }', "PSPNet"),
        (BN + SSD, "upstream Caffe"),  # no Caffe has both
    ],
)
@pytest.mark.filterwarnings("ignore:.*twist")
def test_whose_numbers_a_net_gets(text, name):
    assert dialect_for(parsed(text)).name == name


def test_bytes_are_those_of_the_caffe_asked_for():
    layer = parsed(FC + BN).layer[1]
    theirs = text_format.Parse(FC + BN, classes("TSN").NetParameter()).layer[1]
    dialect = dialect_for(parsed(FC + BN))
    assert serialised(layer, dialect) == theirs.SerializeToString()
    assert b"\xca\x08" in theirs.SerializeToString()  # the tag of number 137, by hand


def test_of_a_layer_that_the_caffe_lacks_there_are_name_and_type():
    upstream = dialects()[0]
    made = upstream.classes().LayerParameter.FromString(serialised(parsed(BN).layer[0], upstream))
    assert text_format.MessageToString(made, as_one_line=True).strip() == 'name: "bn" type: "BN"'


def test_fields_without_a_number_are_left_out():
    made = serialised(parsed(TWISTED).layer[0], dialects()[0])
    known = 'layer { name: "p" type: "Pooling" bottom: "x" top: "y" pooling_param { kernel_size: 2 } }'
    assert made == text_format.Parse(known, classes("upstream Caffe").NetParameter()).layer[0].SerializeToString()


def test_what_is_fused_for_a_fork_its_caffe_reads(tmp_path):
    """Upstream's number for TSN's `dilation_h` is another field's, which TSN does not have."""
    conv = """
        layer { name: "c" type: "Convolution" bottom: "data" top: "c"
          convolution_param { num_output: 2 kernel_size: 1 dilation_h: 3 } }
    """
    net = text_format.Parse(conv + BN.replace('"x"', '"c"'), classes("TSN").NetParameter())
    data = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 5 dim: 5 } } }'
    target = data + text_format.MessageToString(net).replace('name: "', 'name: "a/')
    (tmp_path / "net.prototxt").write_text(target)
    net.layer[0].blobs.add(data=range(6)).shape.dim.extend([2, 3, 1, 1])
    net.layer[0].blobs.add(data=[1, 2]).shape.dim.append(2)
    for _ in range(4):
        net.layer[1].blobs.add(data=[1, 2]).shape.dim.extend([1, 2, 1, 1])
    (tmp_path / "w.caffemodel").write_bytes(net.SerializeToString())
    output = tmp_path / "init.caffemodel"
    fuse_weights(os.fspath(tmp_path / "net.prototxt"), {"a": os.fspath(tmp_path / "w.caffemodel")}, os.fspath(output))
    made = classes("TSN").NetParameter.FromString(output.read_bytes())
    assert [layer.convolution_param.dilation_h for layer in made.layer if layer.name == "a/c"] == [3]
