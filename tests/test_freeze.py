import pytest
from nets import conv, data, fc, layer, net

from netbuild.errors import GraphError, NetbuildWarning
from netbuild.graph.freeze import drop_rates, frozen, normalised_by, slowed
from netbuild.schema import TEST

LAYERS = {
    "Convolution": ("convolution_param { num_output: 2 kernel_size: 1 }", 2),
    "Deconvolution": ("convolution_param { num_output: 2 kernel_size: 1 bias_term: false }", 1),
    "InnerProduct": ("inner_product_param { num_output: 2 }", 2),
    "BatchNorm": ("", 3),
    "Scale": ("scale_param { bias_term: true }", 2),
    "Bias": ("", 1),
    "PReLU": ("", 1),
    "Embed": ("embed_param { num_output: 2 input_dim: 3 }", 2),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_each_type_gets_a_zero_for_each_blob_as_caffe_counts_them(caffe, tmp_path, kind):
    options, count = LAYERS[kind]
    message = frozen(net(data() + layer("x", kind, "data", more=options)))
    assert [(spec.lr_mult, spec.decay_mult) for spec in message.layer[1].param] == [(0, 0)] * count
    (tmp_path / "n.prototxt").write_text(str(message))
    assert len(caffe.Net(str(tmp_path / "n.prototxt"), caffe.TRAIN).params["x"]) == count


@pytest.mark.parametrize(("kind", "count"), [("LSTM", 3), ("RNN", 5)])
def test_recurrent_layers_too(caffe, tmp_path, kind, count):
    text = data(shape=(2, 3, 4)) + data("cont", (2, 3))
    text += layer("x", kind, "data cont", more="recurrent_param { num_output: 2 }")
    message = frozen(net(text))
    assert [spec.lr_mult for spec in message.layer[2].param] == [0] * count
    (tmp_path / "n.prototxt").write_text(str(message))
    assert len(caffe.Net(str(tmp_path / "n.prototxt"), caffe.TRAIN).params["x"]) == count


def test_the_one_blob_of_ssds_normalize():
    """The wheel does not have the layer: its blob was counted in SSD's normalize_layer.cpp."""
    (_, found) = frozen(net(data() + layer("x", "Normalize", "data", more="norm_param { }"))).layer
    assert [(spec.lr_mult, spec.decay_mult) for spec in found.param] == [(0, 0)]


def test_entries_that_are_there_keep_their_names():
    message = net(data() + conv("c", "data", more='param { name: "w" lr_mult: 3 decay_mult: 2 } propagate_down: true'))
    (_, found) = frozen(message).layer
    assert [(spec.name, spec.lr_mult, spec.decay_mult) for spec in found.param] == [("w", 0, 0), ("", 0, 0)]
    assert not found.propagate_down
    assert message.layer[1].param[0].lr_mult == 3


def test_statistics_and_noise_stand_still():
    text = data() + layer("bn", "BatchNorm", "data") + layer("d", "Dropout", "bn")
    text += layer("p", "Pooling", "d", more="pooling_param { pool: STOCHASTIC kernel_size: 2 }")
    text += layer("m", "Pooling", "p", more="pooling_param { pool: MAX kernel_size: 2 }")
    _, norm, drop, stochastic, largest = frozen(net(text)).layer
    assert norm.batch_norm_param.use_global_stats
    assert (drop.phase, stochastic.phase) == (TEST, TEST)
    assert not largest.HasField("phase")


def test_some_layers_only():
    found = frozen(net(data() + conv("a", "data") + conv("b", "a")), {1}).layer
    assert [len(one.param) for one in found] == [0, 2, 0]


def test_python_layers_with_parameters_are_refused_with_the_reason():
    message = net(data() + layer("p", "Python", "data", more="param { lr_mult: 1 }"))
    with pytest.raises(GraphError, match="layer 'p' .Python.: has parameters .1 param entries., and its own code may"):
        frozen(message)


def test_of_unknown_types_what_can_be_set_is_set_with_a_warning():
    message = net(data() + layer("x", "Mystery", "data", more="param { lr_mult: 1 }"))
    with pytest.warns(NetbuildWarning, match="layer 'x': the type 'Mystery' is not known here; its 1 param entries"):
        found = frozen(message)
    assert found.layer[1].param[0].lr_mult == 0


def test_learning_rates_are_multiplied_and_missing_ones_written():
    text = data() + conv("a", "data", more="param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }")
    text += layer("bn", "BatchNorm", "a") + fc("b", "bn")
    _, first, norm, second = slowed(net(text), 0.5).layer
    assert [(spec.lr_mult, spec.decay_mult) for spec in first.param] == [(0.5, 1), (1, 0)]
    assert [spec.lr_mult for spec in second.param] == [0.5, 0.5]
    assert not norm.param


@pytest.mark.parametrize("rates", [("", "lr_mult: 2"), ("lr_mult: 2", ""), ("", ""), ("lr_mult: 2", "lr_mult: 2")])
def test_layers_that_share_a_parameter_do_not_come_to_disagree(caffe, tmp_path, rates):
    text = data() + "".join(conv(n, "data", more=f'param {{ name: "w" {rate} }}') for n, rate in zip("ab", rates))
    message = slowed(net(text), 0.5)
    found = [spec.lr_mult for one in message.layer for spec in one.param if spec.name and spec.HasField("lr_mult")]
    assert set(found) == {1.0 if any(rates) else 0.5}
    (tmp_path / "n.prototxt").write_text(str(message))
    caffe.Net(str(tmp_path / "n.prototxt"), caffe.TRAIN)


def test_batch_norm_in_training():
    message = net(data() + layer("bn", "BatchNorm", "data", more="batch_norm_param { use_global_stats: false }"))
    assert normalised_by(message, "global").layer[1].batch_norm_param.use_global_stats
    # False in TEST phase would normalise by the batch there too.
    assert not normalised_by(message, "batch").layer[1].batch_norm_param.HasField("use_global_stats")
    with pytest.raises(GraphError, match="no BatchNorm statistics 'both'; known are global and batch"):
        normalised_by(message, "both")


def test_what_an_entry_says_beside_its_rates_stays():
    text = 'param { name: "w" share_mode: PERMISSIVE lr_mult: 1 decay_mult: 2 } param { lr_mult: 2 }'
    (one,) = net(conv("c", "data", more=text)).layer
    drop_rates(one)
    expected = net(conv("c", "data", more='param { name: "w" share_mode: PERMISSIVE } param { }'))
    assert one == expected.layer[0]


def test_entries_of_rates_alone_go():
    (one,) = net(conv("c", "data", more="param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }")).layer
    drop_rates(one)
    assert not one.param


def test_named_statistics_keep_the_rate_that_caffe_asks_for(caffe, tmp_path):
    message = net(data() + layer("bn", "BatchNorm", "data", more='param { name: "mean" lr_mult: 0 }'))
    drop_rates(message.layer[1])
    (tmp_path / "n.prototxt").write_text(str(message))
    assert len(caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST).params["bn"]) == 3
