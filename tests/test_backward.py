"""Where the backward pass cannot go on, against real Caffe, which aborts there."""

import judged
import pytest
from nets import conv, data, fc, layer, net

from netbuild import proto
from netbuild.proto import NetState
from netbuild.schema import TRAIN

IMAGES, LABELS = data(), data("label", (2,))
LOSS = layer("loss", "EuclideanLoss", "x x", "loss")
SCORES, LABEL_SCORES = fc("s", "data"), fc("l", "data", 1).replace("std: 0.3", "std: 1e-9")
INDEX = layer("i", "InnerProduct", "data", more="inner_product_param { num_output: 1 }")
ENDS = {
    "Threshold": conv("c", "data") + layer("t", "Threshold", "c", "x") + LOSS,
    "ArgMax": conv("c", "data") + layer("t", "ArgMax", "c", "x") + LOSS,
    "SoftmaxWithLoss": SCORES + LABEL_SCORES + layer("t", "SoftmaxWithLoss", "s l"),
    "HingeLoss": SCORES + LABEL_SCORES + layer("t", "HingeLoss", "s l"),
    "MultinomialLogisticLoss": SCORES + LABEL_SCORES + layer("t", "MultinomialLogisticLoss", "s l"),
    "SigmoidCrossEntropyLoss": SCORES + layer("t", "SigmoidCrossEntropyLoss", "s s"),
    "InfogainLoss": SCORES + LABELS + data("d", (3, 2)) + fc("h", "d", 3) + layer("t", "InfogainLoss", "s label h"),
    "Accuracy": SCORES + LABELS + layer("t", "Accuracy", "s label", "t", "loss_weight: 1"),
    "Embed": INDEX + layer("t", "Embed", "i", "x", "embed_param { input_dim: 3 num_output: 2 }") + LOSS,
    "BatchReindex": INDEX
    + layer("f", "Reshape", "i", "f", "reshape_param { shape { dim: -1 } }")
    + layer("t", "BatchReindex", "data f", "x")
    + LOSS,
    "Filter": fc("i", "data", 1) + layer("t", "Filter", "data i", "x") + LOSS,
    "LSTM": INDEX
    + data("q", (2, 1, 3))
    + layer("t", "LSTM", "q i", "x", "recurrent_param { num_output: 2 weight_filler { type: 'uniform' } }")
    + LOSS,
    "RNN": INDEX
    + data("q", (2, 1, 3))
    + layer("t", "RNN", "q i", "x", "recurrent_param { num_output: 2 weight_filler { type: 'uniform' } }")
    + LOSS,
}


@pytest.fixture()
def verdict(caffe, tmp_path):
    def judge(text):
        path = tmp_path / "net.prototxt"
        path.write_text(text)
        return judged.judged(caffe, path, NetState(TRAIN))

    return judge


@pytest.mark.parametrize("kind", ENDS)
def test_a_layer_without_a_gradient_for_what_learns(verdict, kind):
    found = verdict(IMAGES + ENDS[kind])
    assert found.cell == judged.BOTH_REFUSE
    assert f"layer 't' ({kind}): has no gradient for its bottom" in found.words


@pytest.mark.parametrize("kind", ENDS)
def test_below_it_nothing_may_learn(verdict, kind):
    text = IMAGES + ENDS[kind]
    message = net(text)
    for one in message.layer:
        if one.type in ("Convolution", "InnerProduct"):
            one.param.add(lr_mult=0)
            one.param.add(lr_mult=0)
    assert verdict(proto.to_text(message)).cell == judged.BOTH_TAKE


def test_propagate_down_decides_until_force_backward_does(verdict):
    stopped = ENDS["Embed"].replace('top: "x"', 'top: "x" propagate_down: false', 1)
    assert verdict(IMAGES + stopped).cell == judged.BOTH_TAKE
    assert verdict("force_backward: true " + IMAGES + stopped).cell == judged.BOTH_REFUSE
    labels = SCORES + LABELS + layer("t", "SoftmaxWithLoss", "s label", "t", "%s")
    assert verdict("force_backward: true " + IMAGES + labels % "").cell == judged.BOTH_TAKE
    told = "propagate_down: true propagate_down: true"
    assert verdict(IMAGES + labels % told).cell == judged.BOTH_REFUSE
    # These two abort wherever the backward pass comes by.
    for kind in ("Threshold", "ArgMax"):
        refused = verdict(IMAGES + ENDS[kind].replace('top: "x"', 'top: "x" propagate_down: false', 1))
        assert refused.cell == judged.BOTH_REFUSE
        assert "propagate_down" not in refused.words


def test_behind_a_loss_that_caffe_forgets_nothing_ends(verdict):
    text = IMAGES + ENDS["SoftmaxWithLoss"]
    assert verdict(text).cell == judged.BOTH_REFUSE
    assert verdict(text + layer("r", "Silence", "t", "")).cell == judged.BOTH_TAKE
