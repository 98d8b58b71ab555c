"""One net in one state, asked several things."""

import itertools

import pytest
from nets import conv, data, fc, layer, net, small

from netbuild.errors import GraphError
from netbuild.graph import view as views_of_nets
from netbuild.graph.view import NetView, parameter_shapes, views
from netbuild.layers import infer
from netbuild.proto import in_state

TRAIN, TEST = 0, 1

STAGED = "".join(
    [
        data(),
        conv("conv1", "data"),
        conv("wide", "conv1", 6, "include { min_level: 1 }"),
        fc("deep", "conv1", 5, "include { stage: 'deep' not_stage: 'flat' }"),
        fc("flat", "conv1", 2, "include { stage: 'flat' phase: TEST }"),
        fc("other", "conv1", 4, "exclude { max_level: 1 stage: 'deep' }"),
    ]
)


@pytest.mark.parametrize("level, stages", [*itertools.product([0, 1, 2], [[], ["deep"], ["flat"], ["deep", "flat"]])])
def test_a_view_has_the_layers_and_shapes_that_caffe_builds_in_its_state(caffe, tmp_path, level, stages):
    (tmp_path / "net.prototxt").write_text(STAGED)
    built = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST, level=level, stages=stages)
    view = NetView(in_state(net(STAGED), stages, level), TEST)
    own = [name for name in built._layer_names if "_split" not in name]
    assert [one.name for _, one in view.layers] == own == [one.name for one in view.only.layer]
    assert {name: tuple(blob.shape) for name, blob in built.blobs.items() if "_split" not in name} == view.shapes.blobs
    params = {one.name: view.shapes.params[index] for index, one in view.layers if view.shapes.params[index]}
    assert {name: [tuple(blob.shape) for blob in blobs] for name, blobs in built.params.items()} == params
    # What is left has no rules: it is the same net in any state.
    assert not any(one.include or one.exclude for one in view.only.layer)


def test_everything_is_made_once_and_shared_where_only_the_inputs_are_others(monkeypatch):
    made = []
    survey = views_of_nets.survey_layers
    monkeypatch.setattr(views_of_nets, "survey_layers", lambda *given: made.append(1) or survey(*given))
    view = NetView(net(small()), TEST)
    assert view.shapes is view.fitting_shapes()
    assert view.misfits == [] and view.backward is view.backward
    assert view.flow is view.with_inputs({"data": (7, 4, 6, 6)}).flow
    assert len(made) == 1
    assert view.with_inputs({"data": (7, 4, 6, 6)}).shapes.blobs["fc3"] == (7, 3)
    assert len(made) == 2


def test_shapes_are_made_once_for_phases_that_no_rule_tells_apart(monkeypatch):
    made = []
    survey = views_of_nets.survey_layers
    monkeypatch.setattr(views_of_nets, "survey_layers", lambda *given: made.append(1) or survey(*given))
    view = NetView(net(small()), TEST)
    other = view.in_phase(TRAIN)
    assert (other.phase, other.shapes, len(made)) == (TRAIN, view.shapes, 1)
    assert other.flow is view.flow
    tested = NetView(in_state(net(STAGED), ["flat"]), TEST)
    trained = tested.in_phase(TRAIN)
    assert {one.name for _, one in tested.layers} - {one.name for _, one in trained.layers} == {"flat"}
    assert "flat" in tested.shapes.blobs and "flat" not in trained.shapes.blobs


def test_a_view_refuses_what_does_not_fit_only_where_it_is_asked_to():
    view = NetView(net(data() + fc("one", "data") + layer("two", "Eltwise", "data one")), TEST)
    assert [fault.layer for fault in view.misfits] == [2]
    with pytest.raises(GraphError, match="layer 'two'"):
        view.fitting_shapes()


def test_parameters_of_all_phases():
    message = net(data() + fc("a", "data", 2, "include { phase: TRAIN }") + fc("b", "data", 3))
    whole = parameter_shapes(views(message, (TRAIN, TEST)))
    assert whole == [[], [(2, 144), (2,)], [(3, 144), (3,)]]
    assert infer(message, TEST).params[2] == whole[2]


def test_layers_by_their_owners():
    view = NetView(net(data() + fc("odd_a", "data") + fc("odd_b_a", "data") + fc("head", "odd_a")), TEST)
    assert view.owners(["odd_", "odd_b_"]) == {0: None, 1: "odd_", 2: "odd_b_", 3: None}
