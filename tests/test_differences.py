"""Two nets compared: what is written otherwise is the same, what is another is found."""

import json
from functools import partial

import pytest
from commands import invoke
from hypothesis import given
from hypothesis import strategies as st
from nets import conv, data, fc, layer, net, nets, relu, small

from netbuild import proto
from netbuild.graph.differences import Change, differences
from netbuild.graph.rename import renamed
from netbuild.names import qualify


@given(nets())
def test_a_net_is_itself(message):
    assert not differences(message, message).any
    assert not differences(message, proto.parsed(proto.to_text(message))).any


@given(nets())
def test_a_prefix_renames_and_changes_nothing_else(message):
    prefixed = renamed(message, partial(qualify, "odd"), {"data": "data"})
    found = differences(message, prefixed)
    assert (found.removed, found.added, found.changed) == ([], [], {})
    assert set(found.renamed) == {(one.name, f"odd/{one.name}") for one in message.layer}


@given(nets(), st.data())
def test_a_layer_left_out_is_found(message, draw):
    gone = draw.draw(st.integers(1, len(message.layer) - 1))
    less = type(message)(name=message.name, layer=[one for n, one in enumerate(message.layer) if n != gone])
    assert message.layer[gone].name in [*differences(message, less).removed, *dict(differences(message, less).renamed)]
    assert differences(less, message).any


SAME = [
    (conv("c", "data"), conv("c", "data", more="param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 1 }")),
    (
        layer("c", "Convolution", "data", more="convolution_param { num_output: 2 kernel_size: 3 }"),
        layer(
            "c",
            "Convolution",
            "data",
            more="convolution_param { stride: 1 num_output: 2 kernel_h: 3 kernel_w: 3 bias_term: true pad: 0 }",
        ),
    ),
    (
        layer("p", "Pooling", "data", more="pooling_param { kernel_size: 3 stride: 2 }"),
        layer(
            "p", "Pooling", "data", more="pooling_param { pool: MAX kernel_h: 3 kernel_w: 3 stride_h: 2 stride_w: 2 }"
        ),
    ),
    (
        layer("a", "Accuracy", "data", more="include { phase: TEST }"),
        layer("a", "Accuracy", "data", more="exclude { phase: TRAIN }"),
    ),
    (relu("a", "data") + fc("b", "data"), relu("a", "data") + fc("b", "data")),
    (conv("a", "data") + conv("b", "data"), conv("b", "data") + conv("a", "data")),
]


@pytest.mark.parametrize(("old", "new"), SAME)
def test_other_words_for_the_same(old, new):
    assert not differences(net(data() + old), net(data() + new)).any


CHANGED = [
    (conv("c", "data", 4), conv("c", "data", 5), "c", Change("convolution_param.num_output", 4, 5)),
    (conv("c", "data"), conv("c", "data", more="param { lr_mult: 0 }"), "c", Change("param[0].lr_mult", None, 0.0)),
    (
        layer("a", "Accuracy", "data", more="include { phase: TEST }"),
        layer("a", "Accuracy", "data"),
        "a",
        Change("phase", "TEST", None),
    ),
    (
        layer("a", "Accuracy", "data"),
        layer("a", "Accuracy", "data", more="include { phase: TRAIN }"),
        "a",
        Change("phase", None, "TRAIN"),
    ),
    (
        layer("p", "Pooling", "data", more="pooling_param { kernel_size: 3 }"),
        layer("p", "Pooling", "data", more="pooling_param { kernel_h: 3 kernel_w: 2 pool: AVE }"),
        "p",
        Change("pooling_param.pool", None, "AVE"),
    ),
    (relu("a", "data"), layer("a", "ReLU", "data"), "a", Change("top[0]", "data", "a")),
    (layer("a", "ReLU", "data"), layer("a", "TanH", "data"), "a", Change("type", "ReLU", "TanH")),
]


@pytest.mark.parametrize(("old", "new", "name", "change"), CHANGED)
def test_another_field_is_found(old, new, name, change):
    found = differences(net(data() + old), net(data() + new))
    assert change in found.changed[name]
    assert (found.removed, found.added, found.renamed) == ([], [], [])


def test_another_wiring_is_found():
    text = data() + conv("a", "data") + conv("b", "a") + conv("c", "%s")
    found = differences(net(text % "a"), net(text % "b"))
    assert found.changed == {"c": [Change("bottom[0]", "a", "b")]}


def test_what_counts_of_a_shared_parameter_is_who_shares_it():
    text = data() + "".join(conv(name, "data", more="param { name: '%s' }") for name in "abc")
    old = net(text % ("w", "w", "x"))
    assert not differences(old, net(text % ("v", "v", "w"))).any
    assert differences(old, net(text % ("w", "x", "w"))).changed == {
        "b": [Change("param[0] shared with", "a", None)],
        "c": [Change("param[0] shared with", None, "a")],
    }


def test_the_net_itself():
    found = differences(net("name: 'A'"), net("force_backward: true"))
    assert found.net == [Change("name", "A", None), Change("force_backward", None, True)]


def test_data_layers_of_one_name_are_told_apart_by_phase():
    source = "include { phase: %s } image_data_param { source: '%s' batch_size: 2 }"
    text = "".join(
        layer("d", "ImageData", tops="data label", more=source % one) for one in (("TRAIN", "t"), ("TEST", "%s"))
    )
    found = differences(net(text % "v"), net(text % "w"))
    assert found.changed == {"d": [Change("image_data_param.source", "v", "w")]}


def test_the_command(in_tmp):
    (in_tmp / "a.prototxt").write_text(small())
    (in_tmp / "same.prototxt").write_text("# a comment\n" + small())
    (in_tmp / "b.prototxt").write_text(small(classes=5).replace('"fc1"', '"ip1"').replace('"drop"', '"dropout"'))
    assert invoke("diff", "a.prototxt", "same.prototxt").output == "the same net\n"
    told = invoke("diff", "a.prototxt", "b.prototxt", code=1).output.splitlines()
    assert told == [
        "= fc1 -> ip1",
        "= drop -> dropout",
        "~ relu2: top[0]: fc1 -> ip1",
        "~ fc3: inner_product_param.num_output: 3 -> 5",
        "",
        "2 layers renamed, 2 layers changed",
    ]
    assert json.loads(invoke("diff", "a.prototxt", "b.prototxt", "--json", code=1).output)["renamed"][0] == [
        "fc1",
        "ip1",
    ]
    proto.write("c.prototxt", renamed(net(small()), partial(qualify, "odd"), {"data": "data"}))
    assert invoke("diff", "a.prototxt", "c.prototxt", code=1).output.splitlines()[0] == "= * -> odd/* (11 layers)"
