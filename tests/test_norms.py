"""Layers that normalise, as upstream and each fork have them: parameters, statistics, and how they are held fixed.

What the forks do was read in their batch_norm_layer.cpp and bn_layer.cpp; upstream's is tried in test_training_facts.
"""

import pytest
from nets import data, layer, net

from netbuild.errors import GraphError
from netbuild.graph.freeze import frozen, normalised_by, slowed
from netbuild.graph.frozen import require_frozen
from netbuild.graph.view import NetView
from netbuild.layers import infer
from netbuild.layers.training import moving_average_factor, statistics
from netbuild.schema import TEST, TRAIN

CHANNELS, ONE = (4,), (1,)
THREE = [CHANNELS, CHANNELS, ONE]
SLOPE = "bn_param { slope_filler { value: 1 } bias_filler { value: 0 } }"
SEGNET = "bn_param { scale_filler { value: 1 } shift_filler { value: 0 } }"


def norm(options="", kind="BatchNorm", more=""):
    return data() + layer("x", kind, "data", more=options + more)


def bn(options=SLOPE, more=""):
    return norm(options, "BN", more)


def effect(text, phase=TRAIN):
    return NetView(net(text), phase).training[1]


def options(text):
    return f"batch_norm_param {{ {text} }}"


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("", THREE),
        ("use_global_stats: true eps: 0.1", THREE),
        ("scale_bias: false", THREE),
        ("scale_bias: true", [*THREE, CHANNELS, CHANNELS]),
        ("scale_bias: true scale_filler { value: 1 }", [*THREE, CHANNELS, CHANNELS]),
        # Without scale_bias it may be NVIDIA 0.15's, which has scale and bias first.
        ("scale_filler { value: 1 }", None),
        ("engine: CAFFE", None),
        ("engine: MKLDNN", None),
        ("use_weight_bias: false engine: MKLDNN", THREE),
        ("use_weight_bias: true", None),
        ("update_global_stats: true", THREE),
        ("relu: true", THREE),
    ],
)
def test_parameters_of_a_batch_norm(text, params):
    found = infer(net(norm(options(text))), TEST)
    assert found.params[1] == params
    assert found.blobs["x"] == found.blobs["data"]


@pytest.mark.parametrize(
    ("text", "blobs", "factor"),
    [
        (norm(), (0, 1, 2), 2),
        (norm(options("scale_bias: true")), (0, 1, 2), 2),
        (norm(options("engine: CUDNN")), (), None),
        (bn(), (2, 3), None),
        (bn(SEGNET), (), None),
        (data() + layer("x", "ReLU", "data"), (), None),
    ],
)
def test_which_blobs_are_statistics(text, blobs, factor):
    one = net(text).layer[1]
    assert (statistics(one), moving_average_factor(one)) == (blobs, factor)


def test_a_layer_on_intels_engine_may_have_more_parameters():
    assert infer(net(norm('engine: "MKLDNN"')), TEST).params[1] is None


@pytest.mark.parametrize(
    ("text", "train", "test"),
    [
        # learns, drifts, on_stored_statistics, in TRAIN and in TEST.
        (norm(), (False, True, False), (False, False, True)),
        (norm(options("use_global_stats: true")), (False, False, True), (False, False, True)),
        (norm(options("scale_bias: true")), (True, True, False), (True, False, True)),
        # NVIDIA's goes by the phase, whatever the option says.
        (norm(options("scale_bias: true use_global_stats: true")), (True, True, False), (True, False, True)),
        (norm(options("use_global_stats: true update_global_stats: true")), (False, True, False), (False, False, True)),
        (bn(), (True, True, False), (True, False, True)),
        (bn("bn_param { frozen: true }"), (True, False, True), (True, False, True)),
        (bn("bn_param { frozen: true }", 4 * "param { lr_mult: 0 }"), (False, False, True), (False, False, True)),
        # The rates of statistics say nothing.
        (
            bn(SLOPE, 2 * "param { lr_mult: 0 }" + 2 * "param { lr_mult: 1 }"),
            (False, True, False),
            (False, False, True),
        ),
        (bn(SEGNET), (True, False, False), (True, False, False)),
        (bn("bn_param { bn_mode: INFERENCE }"), (True, False, None), (True, False, None)),
        (norm("", "SyncBN"), (True, True, False), (True, False, True)),
        (norm("phase: TEST ", "SyncBN"), (True, False, True), (True, False, True)),
    ],
)
def test_what_training_does_to_it(text, train, test):
    for phase, expected in ((TRAIN, train), (TEST, test)):
        found = effect(text, phase)
        assert (found.learns, found.drifts, found.on_stored_statistics) == expected, phase


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        (norm(), 3),
        (norm(options("use_global_stats: true update_global_stats: true")), 3),
        (norm(options("scale_bias: false")), 3),
        (bn(), 4),
        (bn("bn_param { momentum: 0.95 }", "param { lr_mult: 1 decay_mult: 0 }"), 4),
        (bn("bn_param { bn_mode: INFERENCE }"), 2),
        (norm("", "SyncBN"), 4),
    ],
)
def test_a_frozen_layer_stays_as_it_is_in_both_phases(text, entries):
    message = frozen(net(text))
    assert [(spec.lr_mult, spec.decay_mult) for spec in message.layer[1].param] == [(0, 0)] * entries
    for phase in (TRAIN, TEST):
        found = NetView(message, phase).training[1]
        assert found.frozen
        assert not found.wants_backward
    require_frozen({TRAIN: NetView(message, TRAIN)}, {"": {"x"}})


def test_how_each_is_held_on_its_stored_statistics():
    assert frozen(net(bn())).layer[1].bn_param.frozen
    assert frozen(net(norm("", "SyncBN"))).layer[1].phase == TEST
    pspnets = frozen(net(norm(options("update_global_stats: true")))).layer[1].batch_norm_param
    assert (pspnets.use_global_stats, pspnets.update_global_stats) == (True, False)
    # NVIDIA's knows no other way than the phase.
    assert frozen(net(norm(options("scale_bias: false")))).layer[1].phase == TEST
    assert not frozen(net(norm())).layer[1].HasField("phase")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (norm(options("scale_bias: true")), "layer 'x' .BatchNorm.: learns its scale and bias at a rate of its own"),
        (
            norm(options("engine: CUDNN")),
            "its options .engine. mean other parameters in NVIDIA's Caffe than in Intel's",
        ),
        (norm('engine: "MKLDNN"'), "its options .the layer's engine. mean other parameters"),
        (bn(""), "its options do not say whose BN it is"),
        (bn("bn_param { slope_filler { } shift_filler { } }"), "its options do not say whose BN it is"),
        (bn(SEGNET), "in bn_mode LEARN normalises by each batch in every phase"),
    ],
)
def test_what_cannot_be_held_is_not_frozen(text, said):
    with pytest.raises(GraphError, match=said):
        frozen(net(text))


def test_slowed_where_it_learns_and_not_where_it_follows_the_batches():
    entries = slowed(net(bn()), 0.1).layer[1].param
    assert [round(spec.lr_mult, 6) for spec in entries] == [0.1, 0.1, 0, 0]
    assert len(slowed(net(norm()), 0.1).layer[1].param) == 0
    with pytest.raises(GraphError, match="at a rate of its own"):
        slowed(net(norm(options("scale_bias: true"))), 0.1)


def test_normalised_by_either():
    stored = normalised_by(net(bn()), "global")
    assert stored.layer[1].bn_param.frozen
    assert not normalised_by(stored, "batch").layer[1].bn_param.HasField("frozen")
    with pytest.raises(GraphError, match="SegNet's BN stores no statistics"):
        normalised_by(net(bn(SEGNET)), "global")


def test_statistics_that_are_shared_drift_where_a_layer_that_shares_them_does():
    shared = "".join(f'param {{ name: "{name}" lr_mult: 0 }}' for name in "sbmv")
    text = bn(SLOPE, shared) + layer("y", "BN", "data", more="bn_param { frozen: true } " + shared)
    assert NetView(net(text), TRAIN).training[2].drifts
    alone = layer("z", "Scale", "data", more='scale_param { bias_term: true } param { name: "s" } param { name: "b" }')
    assert not NetView(net(text + alone), TRAIN).training[3].drifts


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (norm("", "BatchNorm", 3 * "param { lr_mult: 0 }"), "updating its statistics: set use_global_stats: true"),
        (bn(SLOPE, 4 * "param { lr_mult: 0 }"), r"updating its statistics: set bn_param \{ frozen: true \}"),
        (norm("", "SyncBN", 4 * "param { lr_mult: 0 }"), "updating its statistics: set phase: TEST"),
        (bn(SEGNET, 2 * "param { lr_mult: 0 }"), "normalising by each batch, with no statistics to store"),
        (norm(options("scale_bias: true"), "BatchNorm", 5 * "param { lr_mult: 0 }"), "learning at a rate of its own"),
        (norm(options("scale_bias: true"), "BatchNorm", "phase: TEST"), "learning at a rate of its own"),
    ],
)
def test_a_branch_that_is_called_frozen_is_told_what_it_lacks(text, said):
    with pytest.raises(GraphError, match=said):
        require_frozen({TRAIN: NetView(net(text), TRAIN)}, {"": {"x"}})
