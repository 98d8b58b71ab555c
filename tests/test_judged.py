"""Real Caffe judges what check says: nets made at random, and what the judge itself must see."""

from random import Random

import judged
import pytest
from generated import KINDS, made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nets import data, layer, net, small
from standing_in import stood_in

from netbuild import proto
from netbuild.graph.view import NetView
from netbuild.layers.table import TYPES
from netbuild.proto import NetState
from netbuild.schema import TEST, TRAIN

pytestmark = pytest.mark.usefixtures("slim")


@pytest.fixture()
def verdict(caffe, tmp_path):
    """Returns a function that judges a net's text in a phase."""

    def judge(text, phase=TEST, **state):
        path = tmp_path / "net.prototxt"
        path.write_text(text, encoding="utf-8")
        return judged.judged(caffe, path, NetState(phase, **state))

    return judge


@settings(max_examples=150, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(random=st.randoms())
def test_check_and_caffe_agree_on_nets_made_at_random(caffe, tmp_path_factory, random):
    message, state = made(random)
    path = tmp_path_factory.getbasetemp() / "generated.prototxt"
    path.write_text(proto.to_text(message), encoding="utf-8")
    found = judged.judged(caffe, path, state)
    assert not found.is_fault, f"{found}\n{state}\n{proto.to_text(message)}"


def test_nets_made_at_random_are_of_all_kinds():
    found, states, axes, odd = set(), set(), set(), 0
    for seed in range(400):
        message, state = made(Random(seed))
        found |= {layer.type for layer in message.layer}
        states.add((state.phase, state.level, len(state.stages)))
        axes |= {len(shape) for shape in NetView(message, TEST).shapes.blobs.values() if shape is not None}
        odd += any(layer.top and layer.bottom and layer.top[0] == layer.bottom[0] for layer in message.layer)
    assert found >= {*KINDS, "Input", "DummyData", "Parameter"}
    assert {*TYPES} - found == {*judged.NEEDS_FILES, *judged.OWN_CODE, "MemoryData"}
    assert len(states) > 12
    assert axes >= {0, 1, 2, 3, 4, 5}
    assert odd > 50


def test_what_both_take_and_what_both_refuse(verdict):
    assert verdict(small()).cell == judged.BOTH_TAKE
    refused = verdict(data() + layer("c", "Convolution", "data"))
    assert refused.cell == judged.BOTH_REFUSE
    assert "'c'" in refused.words


def test_a_disagreement_is_seen(verdict, monkeypatch):
    broken = data() + layer("c", "Convolution", "data", more="convolution_param { num_output: 2 kernel_size: 99 }")
    monkeypatch.setattr(judged, "problems_of", lambda *_: [])
    taken = verdict(broken)
    assert (taken.cell, taken.is_fault) == (judged.TAKEN, True)
    assert "Check failed" in taken.words
    monkeypatch.setattr(judged, "problems_of", lambda *_: ["layer 'x' is odd"])
    assert verdict(small()) == (judged.REFUSED, "layer 'x' is odd", "")
    monkeypatch.setattr(judged, "problems_of", lambda *_: ["layer 'x' has no name"])
    assert not verdict(small()).is_fault
    monkeypatch.setattr(judged, "problems_of", lambda *_: 1 // 0)
    assert verdict(small()).cell == judged.CRASH


def test_shapes_that_differ_are_seen(verdict, monkeypatch):
    class Wrong(NetView):
        @property
        def shapes(self):
            right = super().shapes
            return right._replace(blobs={**right.blobs, "fc1": (2, 99)})

    monkeypatch.setattr(judged, "NetView", Wrong)
    found = verdict(small())
    assert (found.cell, found.words) == (judged.MISREAD, "blob 'fc1' is (2, 99), in Caffe (2, 5)")


def test_what_caffe_aborts_on_when_it_runs_is_seen(verdict, monkeypatch):
    text = data() + layer("c", "InnerProduct", "data", more="inner_product_param { num_output: 2 }")
    text += layer("t", "Threshold", "c") + layer("l", "EuclideanLoss", "t t")
    assert verdict(text, TRAIN).cell == judged.BOTH_REFUSE
    monkeypatch.setattr(judged, "problems_of", lambda *_: [])
    found = verdict(text, TRAIN)
    assert (found.cell, found.words.startswith("when it runs: ")) == (judged.TAKEN, True)


def test_states_reach_caffe(verdict):
    text = data() + layer("r", "ReLU", "nowhere", "y", "include { stage: 'a' min_level: 2 }")
    assert verdict(text).cell == judged.BOTH_TAKE
    assert verdict(text, stages=frozenset("a"), level=1).cell == judged.BOTH_TAKE
    assert verdict(text, stages=frozenset("a"), level=2).cell == judged.BOTH_REFUSE


@pytest.mark.parametrize("kind", judged.NEEDS_FILES)
def test_files_are_not_asked_for(verdict, kind):
    options = "transform_param { crop_size: 24 } window_data_param { batch_size: 2 }"
    made_of = layer("d", kind, *(("data label", "") if kind == "HDF5Output" else ("", "x y")), more=options)
    text = data() + data("label", (2,)) + made_of
    assert verdict(text).cell == judged.NOT_ASKED
    alone = stood_in(net(text), NetState(TRAIN))
    assert verdict(proto.to_text(alone)).cell == judged.BOTH_TAKE


def test_the_smallest_net_is_found():
    message = net(small())
    smallest = judged.smaller(message, lambda one: any(layer.type == "Scale" for layer in one.layer))
    assert [(layer.type, len(layer.ListFields())) for layer in smallest.layer] == [("Scale", 4)]
