"""Which Caffe a net needs: told by what only forks have, in check, in the first line of a file, and where Caffe refuses."""

import pytest
from click.testing import CliRunner
from google.protobuf import text_format
from netbuild_cli.main import main

from netbuild import proto
from netbuild.engine.child import run
from netbuild.errors import CaffeError
from netbuild.proto.needs import needs
from netbuild.schema import schema

POOL = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 20 dim: 20 } } }
layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { kernel_size: 3 stride: 2 OPTION } }"""


def sentence(text):
    return needs(proto.parsed(text)).sentence


def test_upstream_needs_nothing():
    assert sentence(POOL.replace("OPTION", "round_mode: FLOOR")) == ""


def test_one_fork_that_has_all():
    text = 'layer { name: "a" type: "Convolution" transform_param { is_flow: true } scale_param { } bn_param { frozen: true } }'
    assert sentence(text).startswith("needs the Caffe of TSN, for ")
    assert needs(proto.parsed(text)).forks == ("TSN",)


def test_a_value_that_only_a_fork_has():
    text = 'layer { name: "a" type: "Eltwise" eltwise_param { operation: STOCHASTIC_SUM } }'
    assert sentence(text) == "needs the Caffe of TSN, for EltwiseParameter.operation STOCHASTIC_SUM"


def test_what_no_single_fork_has():
    text = 'layer { name: "a" type: "Convolution" convolution_param { hole: 2 } transform_param { is_flow: true } }'
    assert sentence(text) == (
        "needs a Caffe that has all of TransformationParameter.is_flow (TSN), ConvolutionParameter.hole (DeepLab)"
    )


def test_what_nobody_has():
    assert sentence(POOL.replace("OPTION", "twist: 3")) == (
        "needs a Caffe that is not known here, for PoolingParameter.twist"
    )


def test_a_file_says_it_first(tmp_path):
    path = tmp_path / "net.prototxt"
    net = proto.parsed(POOL.replace("OPTION", "ceil_mode: false"))
    proto.write(path, net)
    first = path.read_text().partition("\n")[0]
    assert first == "# needs the Caffe of BVLC/caffe with pull request 3057, for PoolingParameter.ceil_mode"
    assert text_format.Parse(path.read_text(), schema().NetParameter()) == net
    proto.write(path, proto.parsed(POOL.replace("OPTION", "")))
    assert path.read_text().startswith("layer {")


def test_check_says_it(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(POOL.replace("OPTION", "ceil_mode: false"))
    done = CliRunner().invoke(main, ["check", str(path)])
    assert done.exit_code == 0
    assert "note: needs the Caffe of BVLC/caffe with pull request 3057" in done.output


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        (
            POOL.replace("OPTION", "ceil_mode: false"),
            "the field 'ceil_mode' of PoolingParameter, which the net has; the",
        ),
        (POOL.replace("OPTION", "").replace('"Pooling"', '"Foo"'), "the layer type 'Foo', which the net has: run it"),
    ],
)
def test_a_caffe_that_lacks_it_says_who_has_it(caffe, text, lacks):
    with pytest.raises(CaffeError) as refused:
        list(run("netbuild.engine.caffe:load_net", text=text))
    assert f"this Caffe does not know {lacks}" in str(refused.value)


def test_a_filler_that_only_a_fork_has():
    """Upstream aborts on it."""
    text = 'layer { name: "c" type: "Convolution" convolution_param { weight_filler { type: "gabor" } } }'
    assert sentence(text) == "needs the Caffe of Intel, for FillerParameter.type 'gabor'"
