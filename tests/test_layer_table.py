"""The table of layer types: what a row asks, and that the functions which put the questions read nothing else."""

import pytest
import test_shapes_layers as every
from shape_nets import INPUT, LABEL, NOT_IN_EVERY_CAFFE, layer, net

from netbuild.graph.check import problems
from netbuild.graph.view import NetView
from netbuild.layers import infer, roles
from netbuild.layers.arity import arity
from netbuild.layers.row import ELSE, LayerType
from netbuild.layers.table import TYPES, UNKNOWN, of
from netbuild.layers.training import draws
from netbuild.schema import TEST, TRAIN

ROW = TYPES["Power"]


@pytest.mark.parametrize("field", LayerType._fields)
def test_a_row_leaves_no_question_open(field):
    answers = ROW._asdict()
    assert LayerType(**answers) == ROW
    del answers[field]
    with pytest.raises(TypeError, match=field):
        LayerType(**answers)


@pytest.mark.parametrize("part", ["weights", "memory", "gradient", "role", "training"])
def test_nor_does_a_part_of_it(part):
    with pytest.raises(TypeError, match="missing"):
        type(getattr(ROW, part))()


def test_a_new_type_is_a_row(monkeypatch):
    text = INPUT + layer("Toy") + layer("ReLU", "", "x", "x")
    assert of(net(text).layer[1]) is UNKNOWN
    assert infer(net(text), TEST).blobs["x"] is None
    toy = ROW._replace(in_place=ELSE, training=ROW.training._replace(draws=True))
    monkeypatch.setitem(TYPES, "Toy", toy)
    found = net(text)
    assert infer(found, TEST).blobs["x"] == (2, 6, 9, 11)
    assert arity(found.layer[1]).bottoms == (1, 1)
    assert (draws(found.layer[1], TRAIN), draws(found.layer[1], TEST)) == (True, False)
    assert (
        "works in place on 'data': Caffe computes something else" in problems(net(INPUT + layer("Toy", tops="data")))[0]
    )


def test_options_are_fields_of_the_schema(caffe):
    fields = caffe.proto.caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name
    named = {kind: row.options for kind, row in TYPES.items() if row.options and kind in caffe.layer_type_list()}
    assert {kind: name for kind, name in named.items() if name not in fields} == {}


@pytest.mark.parametrize("layers", [*every.LOSSES, *every.COMPUTED, *every.REARRANGED], ids=lambda text: text[-60:])
def test_losses_are_those_that_caffe_weighs(caffe, tmp_path, layers):
    for kind in NOT_IN_EVERY_CAFFE:
        if f'type: "{kind}"' in layers and kind not in caffe.layer_type_list():
            pytest.skip(f"this Caffe has no {kind}")
    (tmp_path / "net").write_text(INPUT + LABEL + layers)
    weights = caffe.Net(str(tmp_path / "net"), TEST).blob_loss_weights
    view = NetView(net(INPUT + LABEL + layers), TEST)
    tops = {top: item for _, item in view.layers for top in item.top}
    losses = {top for top, item in tops.items() if roles.is_loss(item) and top == item.top[0]}
    # A loss without a top gets one from Caffe.
    unnamed = sum(roles.is_loss(item) and not item.top for _, item in view.layers)
    weighed = {blob for blob, weight in weights.items() if weight}
    assert losses <= weighed
    assert len(weighed - losses) == unnamed
