"""LeNet as in Caffe's MNIST example, in the variant of the fusion recipe.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition (1998). Caffe's
net (examples/mnist/lenet_train_test.prototxt) departs from it: max pooling, ReLU, fully connected 500.
"""

from __future__ import annotations

from typing import Any, Dict

from .. import blocks
from ..names import qualify
from .branch import Branch, Input

MNIST = Input(shape=(1, 28, 28), mean=(128,), scale=1 / 256, layer="mnist")
"""Grey images of 28 x 28 pixels, (x - 128) / 256."""


def lenet(net: Any, bottom: blocks.Top, prefix: str = "", *, frozen: bool = False) -> Branch:
    """Add LeNet up to `ip1` after its ReLU: (N, 1, 28, 28) -> (N, 500).

    `net` is a pycaffe NetSpec, `bottom` a Top of it. Frozen, no blob of the branch changes in training.
    """
    # The recipe writes the fillers of frozen layers too.
    filled = blocks.fillers(blocks.XAVIER, 0, frozen=False)
    common: Dict[str, Any] = {"frozen": frozen, "lr_mult": (1, 2), "kernel_size": 5, "stride": 1, **filled}
    conv1 = blocks.conv(net, qualify(prefix, "conv1"), bottom, num_output=20, **common)
    pool1 = blocks.pool(net, qualify(prefix, "pool1"), conv1, "MAX", kernel_size=2, stride=2)
    conv2 = blocks.conv(net, qualify(prefix, "conv2"), pool1, num_output=50, **common)
    pool2 = blocks.pool(net, qualify(prefix, "pool2"), conv2, "MAX", kernel_size=2, stride=2)
    ip1 = blocks.fc(net, qualify(prefix, "ip1"), pool2, 500, frozen=frozen, **filled)
    top = blocks.relu(net, qualify(prefix, "relu1"), ip1)
    return Branch(prefix, "ip1", top, 500, classifier="ip2", net_name="LeNet", input=MNIST)
