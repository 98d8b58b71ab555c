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
    """Add LeNet, of grey images of 28 x 28 pixels, up to its first full connection.

    Names and parameters are those of Caffe's MNIST example (examples/mnist/lenet_train_test.prototxt).

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        bottom: The Top of the images in it, (N, 1, 28, 28), grey.
        prefix: Stands in front of every name, as `qualify` puts it there.
        frozen: Whether training is to change no blob of the branch.

    Returns:
        The branch, which ends at `ip1`: (N, 500), after its ReLU.

    Examples:
        >>> from netbuild import lenet, netspec
        >>> net = netspec().NetSpec()
        >>> net.data = netspec().layers.Input(shape={"dim": [1, 1, 28, 28]})
        >>> branch = lenet(net, net.data, "odd", frozen=True)
        >>> branch.seam, branch.channels
        ('ip1', 500)
        >>> list(net.tops)
        ['data', 'odd/conv1', 'odd/pool1', 'odd/conv2', 'odd/pool2', 'odd/ip1', 'odd/relu1']
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
