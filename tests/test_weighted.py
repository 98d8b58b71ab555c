"""What Caffe trains on where another layer reads a loss: gradients of real Caffe."""

import numpy as np
import pytest
from nets import net
from shape_nets import LABEL, layer, source

from netbuild.graph.check import problems, remarks
from netbuild.schema import TRAIN

pytestmark = pytest.mark.usefixtures("slim")

FILLED = "inner_product_param { num_output: 4 weight_filler { type: 'constant' value: 0.3 } }"
BEFORE = source("d", 2, 3) + LABEL + layer("InnerProduct", FILLED, "d", "ip", "ip")
LOSS = "SoftmaxWithLoss"
SUM = layer("Eltwise", "", "one two", "sum")
COUNTED = layer("Eltwise", "loss_weight: 1", "one two", "sum")
HALVES = layer("Slice", "loss_weight: 1 loss_weight: 1", "ip", "a b")


def losses(options=""):
    return layer(LOSS, options, "ip label", "one", "one") + layer(LOSS, options, "ip label", "two", "two")


@pytest.mark.parametrize(
    ("layers", "share", "named"),
    [
        (losses(), 2, []),
        (losses() + SUM, 0, ["one", "two"]),
        (losses("loss_weight: 1") + SUM, 2, []),
        (losses() + COUNTED, 2, []),
        (losses() + layer("Silence", "", "two", ""), 1, ["two"]),
        (losses() + layer("Power", "loss_weight: 1", "two", "p") + layer("AbsVal", "", "two", "q"), 2, []),
    ],
)
def test_a_loss_that_is_read_counts_only_where_it_says_so(caffe, tmp_path, layers, share, named):
    whole = _gradient(caffe, tmp_path, losses()) / 2
    assert np.allclose(_gradient(caffe, tmp_path, layers), share * whole)
    message = net(BEFORE + layers)
    assert problems(message) == []
    wanted = [f"layer '{name}' (SoftmaxWithLoss): another layer reads its top '{name}', and without" for name in named]
    assert [sentence[: len(one)] for sentence, one in zip(remarks(message), wanted)] == wanted
    assert len(remarks(message)) == len(wanted)


def test_of_two_tops_that_count_one_that_is_read_takes_the_weights_with_it(caffe, tmp_path):
    read = HALVES + layer("Silence", "", "a", "")
    assert np.allclose(_gradient(caffe, tmp_path, HALVES)[2:], 1.0)
    assert np.allclose(_gradient(caffe, tmp_path, read)[:2], 1.0)
    assert np.allclose(_gradient(caffe, tmp_path, read)[2:], 0.0)
    assert remarks(net(BEFORE + HALVES)) == []
    (remark,) = remarks(net(BEFORE + read))
    assert remark.startswith(
        "layer 'Slice' (Slice): another top of it is read and has a loss_weight, and Caffe forgets "
    )
    assert "that of 'b'" in remark


def _gradient(caffe, folder, layers):
    """Return the gradient of the weights by real Caffe, for inputs of ones and labels of 0; a row for each output."""
    (folder / "net").write_text(BEFORE + layers)
    loaded = caffe.Net(str(folder / "net"), TRAIN)
    loaded.blobs["d"].data[...] = 0.5
    loaded.forward()
    loaded.backward()
    return loaded.params["ip"][0].diff.copy()
