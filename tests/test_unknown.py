"""Fields that no Caffe known here has: carried as written. protobuf's own parser, with a schema that has them, judges."""

import warnings

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from netbuild import proto
from netbuild.errors import GraphError, NetbuildWarning
from netbuild.proto.text import parse
from netbuild.proto.unknown import carried, own_fields, unknown_fields
from netbuild.schema import CARRIED, schema
from netbuild.schema.definitions import Definitions, Field, overridden
from netbuild.schema.forks import upstream
from netbuild.schema.messages import module_of, upstream_schema

TEXT = r"""
name: "n"   # a comment, with "quotes" and {
input: 'data' input_dim: [1, 3, 20, 20]
layer {
  name: "c\"{" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 kernel_size: 5; stride: [2, 1], weight_filler < type: "xavier" > }
  param { lr_mult: 1 decay_mult: -1.5e3 } param: { name: "a" "b" share_mode: PERMISSIVE }
  include [{ phase: TRAIN stage: "x" }, { phase: TEST }]
}
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "é" type: "Dropout" bottom: "p" top: "p" loss_weight: 1 loss_weight: 0.5 dropout_param { dropout_ratio: .3 } }
"""
NAMES = [
    ("ConvolutionParameter", ["kernel_size", "stride", "weight_filler", "num_output"]),
    ("LayerParameter", ["param", "include", "convolution_param", "dropout_param", "loss_weight"]),
    ("ParamSpec", ["lr_mult", "name", "share_mode"]),
    ("PoolingParameter", ["pool", "stride"]),
    ("NetStateRule", ["phase", "stage"]),
    ("FillerParameter", ["type"]),
    ("NetParameter", ["input_dim", "name"]),
]
FIELDS = [(message, name) for message, names in NAMES for name in names]


def knowing_less(lost):
    """The messages of a Caffe that has not these fields, with the place for what it lacks."""
    messages = {
        message: {
            **{name: field for name, field in fields.items() if (message, name) not in lost},
            CARRIED: Field("repeated", "string", 1 << 28),
        }
        for message, fields in upstream().messages.items()
    }
    return module_of(Definitions(messages, upstream().enums))


@given(st.sets(st.sampled_from(FIELDS)))
def test_what_is_carried_reads_as_it_was(lost):
    """Without its knowing them, fields come through: read by a Caffe that has them, the text written is the same net."""
    net = parse(TEXT, knowing_less(lost).NetParameter(), "it", tell=False)
    again = text_format.Parse(proto.to_text(net), upstream_schema().NetParameter())
    assert again == text_format.Parse(TEXT, upstream_schema().NetParameter())


UNKNOWN = """
force_x: true
layer { name: "data" type: "Input" top: "data" }
layer {
  name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 twist: 5 twist: -1.5e3
    odd { a: "x\\"y\\n" 'z' b: [1, 2] c < d: FOO > } }
  weird: { q: true } [ext.x]: 3
}
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: MEDIAN kernel_size: 2 } }
layer { name: "q" type: "Pooling" bottom: "p" top: "q" pooling_param: 7 }
"""


def test_values_of_every_form():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        net = parse(UNKNOWN, schema().NetParameter(), "net 'x'")
    assert list(carried(net)) == [
        ("ConvolutionParameter", "twist: 5"),
        ("ConvolutionParameter", "twist: -1.5e3"),
        ("ConvolutionParameter", 'odd { a: "x\\"y\\n" \'z\' b: [ 1 , 2 ] c < d: FOO > }'),
        ("LayerParameter", "weird: { q: true }"),
        ("LayerParameter", "[ ext.x ]: 3"),
        ("PoolingParameter", "pool: MEDIAN"),
        ("LayerParameter", "pooling_param: 7"),
        ("NetParameter", "force_x: true"),
    ]
    sentences = [str(one.message) for one in told]
    assert all(one.category is NetbuildWarning for one in told)
    assert len(sentences) == 7
    assert (
        "no Caffe that is known here has the field 'twist' of ConvolutionParameter (line 6 and 1 more)" in sentences[1]
    )
    assert "has the value 'MEDIAN' for 'pool' of PoolingParameter (line 10)" in sentences[5]
    assert proto.parsed(proto.to_text(net)) == net


def test_a_slip_gets_a_hint():
    text = 'layer { name: "c" type: "Convolution" convolution_param { kernel_sise: 3 } }'
    with pytest.warns(NetbuildWarning, match="did you mean 'kernel_size'"):
        parse(text, schema().NetParameter(), "net 'x'")


def test_a_forks_own_name_gets_none():
    with pytest.warns(
        NetbuildWarning, match="not known; where you have the Caffe that knows it, put its python folder on PYTHONPATH$"
    ):
        parse('layer { name: "b" eval_data_param { } }', schema().NetParameter(), "net 'x'")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('item { name: "cat" label: 1 }', '1:1 : .*no field named "item"'),
        (
            "net: 'train_val.prototxt'\nbase_lr: 0.1\ndebug_info: true",
            "^x: is the prototxt of a solver; .* a net is expected here; its net is 'train_val.prototxt'$",
        ),
        ("<html>\n<body>", "^x: is a web page; download the file itself"),
        (
            'layer { name: "c" frob: 3 kernel: "x }',
            "^x: 1:35 : expected a string that is closed, found the end of its line",
        ),
        (
            'layer { name: "p"\n pooling_param { pool: max } }',
            "^x: line 2 has pool 'max', which no Caffe knows; did you mean 'MAX'",
        ),
        ('layer { name: "c" frob: 3 } }', "^x: the '}' of line 1 closes nothing: it is one too many$"),
        ('layer { name: "c" frob: 3 ', "^x: 'layer' of line 1 is not closed: a '}' is missing$"),
        ('layer { name: "c"\n frob: 3\n convolution_param { num_output: many } }', "^x: 3:3[45] : .*many"),
    ],
)
def test_what_is_no_net_is_refused_as_before(text, said):
    with pytest.raises(GraphError, match=said):
        parse(text, schema().NetParameter(), "x")


def test_a_net_where_a_solver_is_wanted():
    with pytest.raises(GraphError, match="^x: is the prototxt of a net; the prototxt of a solver is expected here"):
        parse('layer { name: "c" }', schema().SolverParameter(), "x")


def test_a_solver_carries_too():
    text = 'net: "n.prototxt" base_lr: 0.1 warm { up: 3 }'
    solver = parse(text, schema().SolverParameter(), "x", tell=False)
    assert proto.parsed_solver(proto.to_text(solver)) == solver
    assert "warm {\n  up: 3\n}\n" in proto.to_text(solver)


def test_a_list_for_a_single_value_is_carried():
    """Of a fork that takes several where upstream takes one."""
    solver = parse("device_id: [0, 1]\nbase_lr: 0.1", schema().SolverParameter(), "x", tell=False)
    assert (list(carried(solver)), solver.HasField("device_id")) == (
        [("SolverParameter", "device_id: [ 0 , 1 ]")],
        False,
    )
    assert proto.parsed_solver(proto.to_text(solver)) == solver


def test_old_layers_keep_what_they_carry():
    text = """
    layers { name: "a" type: FANCY_POOL bottom: "x" top: "y" knob: 3 }
    layers { layer { name: "b" type: "relu" knob: 4 } bottom: "y" top: "z" }
    """
    with pytest.warns(NetbuildWarning, match="type FANCY_POOL of old layers"):
        net = proto.net_of(parse(text, schema().NetParameter(), "x", tell=False))
    assert [(layer.name, layer.type) for layer in net.layer] == [("a", "FancyPool"), ("b", "ReLU")]
    assert [text for _, text in carried(net)] == ["knob: 3", "knob: 4"]


def test_no_field_of_a_known_net_is_unknown():
    assert unknown_fields(TEXT, schema().NetParameter.DESCRIPTOR) == []


def test_names_of_carried_fields_of_every_form():
    net = parse("layer { } knob: 3 knob: 4 odd{ a: 1 } less<b: 2> [ext.x]: 3", schema().NetParameter(), "x", tell=False)
    assert own_fields(net) == ["layer", "knob", "odd", "less", "[ ext.x ]"]


def test_a_message_of_another_schema_comes_over_with_what_is_not_known():
    knob = Definitions({"LayerParameter": {"knob": Field("repeated", "int32", 9000)}}, {})
    definitions = overridden(upstream(), knob)
    theirs = text_format.Parse('layer { name: "a" knob: 3 knob: 4 }', module_of(definitions).NetParameter())
    assert [text for _, text in carried(proto.net_of(theirs))] == ["knob: 3", "knob: 4"]
