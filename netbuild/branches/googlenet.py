"""GoogLeNet with the names of the published Caffe net, so that its weights load by name.

C. Szegedy et al.: Going Deeper with Convolutions (2014). Names and parameters follow models/bvlc_googlenet of
github.com/BVLC/caffe, which departs from the paper in its Xavier fillers, its learning rates and in training without
the paper's changes of images' size and aspect ratio.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, NamedTuple

from .. import blocks
from ..names import qualify
from ..schema import TEST, netspec
from .branch import Branch, Input

IMAGENET = Input(shape=(3, 224, 224), mean=(104, 117, 123), resize=True)
"""BGR, 0..255."""


class Inception(NamedTuple):
    """Channels of the convolutions in an Inception module; its output has those of the four paths' last ones."""

    one: int
    three_reduce: int
    three: int
    five_reduce: int
    five: int
    pool: int


INCEPTIONS: Dict[str, Inception] = {
    "3a": Inception(64, 96, 128, 16, 32, 32),
    "3b": Inception(128, 128, 192, 32, 96, 64),
    "4a": Inception(192, 96, 208, 16, 48, 64),
    "4b": Inception(160, 112, 224, 24, 64, 64),
    "4c": Inception(128, 128, 256, 24, 64, 64),
    "4d": Inception(112, 144, 288, 32, 64, 64),
    "4e": Inception(256, 160, 320, 32, 128, 128),
    "5a": Inception(256, 160, 320, 32, 128, 128),
    "5b": Inception(384, 192, 384, 48, 128, 128),
}
_POOLS = {"3b": "pool3/3x3_s2", "4e": "pool4/3x3_s2"}
"""Module -> the pooling that follows it."""
_AUXILIARY = {"loss1": "4a", "loss2": "4d"}
"""Auxiliary classifier -> the module that it classifies on."""


def googlenet(net: Any, bottom: blocks.Top, prefix: str = "", *, frozen: bool = False) -> Branch:
    """Add GoogLeNet up to its last pooling.

    Names and parameters are those of BVLC's bvlc_googlenet. The Dropout after the seam belongs to the head. So do the
    two auxiliary classifiers, which only a branch that learns has.

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        bottom: The Top of the images in it, (N, 3, 224, 224), BGR.
        prefix: Stands in front of every name, as `qualify` puts it there.
        frozen: Whether training is to change no blob of the branch.

    Returns:
        The branch, which ends at `pool5/7x7_s1`: (N, 1024, 1, 1).

    Examples:
        >>> from netbuild import Fusion, build, googlenet
        >>> build(Fusion({"a": googlenet, "b": googlenet}, classes=10)).seams
        {'a': 'a/pool5/7x7_s1', 'b': 'b/pool5/7x7_s1'}
    """
    unit = _Unit(net, prefix, frozen)
    top = unit.conv("conv1", "7x7_s2", "7x7", bottom, 64, pad=3, kernel_size=7, stride=2)
    top = unit.pool("pool1/3x3_s2", top)
    top = blocks.lrn(net, qualify(prefix, "pool1/norm1"), top)
    top = unit.conv("conv2", "3x3_reduce", "3x3_reduce", top, 64, kernel_size=1)
    top = unit.conv("conv2", "3x3", "3x3", top, 192, pad=1, kernel_size=3)
    top = blocks.lrn(net, qualify(prefix, "conv2/norm2"), top)
    top = unit.pool("pool2/3x3_s2", top)
    outputs = {}
    for name, channels in INCEPTIONS.items():
        top = outputs[name] = unit.inception(f"inception_{name}", top, channels)
        if name in _POOLS:
            top = unit.pool(_POOLS[name], top)
    top = blocks.pool(net, qualify(prefix, "pool5/7x7_s1"), top, "AVE", kernel_size=7, stride=1)
    return Branch(
        prefix,
        "pool5/7x7_s1",
        top,
        1024,
        classifier="loss3/classifier",
        head=partial(_head, prefix, top),
        auxiliary=None if frozen else partial(_auxiliary, outputs),
        net_name="GoogleNet",
        input=IMAGENET,
    )


class _Unit:
    """The parts of the net, which all share net, prefix and frozen."""

    def __init__(self, net: Any, prefix: str, frozen: bool) -> None:
        self.net, self.prefix = net, prefix
        self.options = {"frozen": frozen, **blocks.LEARNING, **blocks.fillers(blocks.XAVIER, 0.2, frozen=frozen)}

    def conv(self, stage: str, name: str, relu: str, bottom: Any, num_output: int, **geometry: Any) -> Any:
        name, relu = qualify(self.prefix, f"{stage}/{name}"), qualify(self.prefix, f"{stage}/relu_{relu}")
        return blocks.conv_relu(self.net, name, relu, bottom, num_output=num_output, **geometry, **self.options)

    def pool(self, name: str, bottom: Any, **geometry: int) -> Any:
        geometry = {"kernel_size": 3, "stride": 2, **geometry}
        return blocks.pool(self.net, qualify(self.prefix, name), bottom, "MAX", **geometry)

    def inception(self, stage: str, bottom: Any, channels: Inception) -> Any:
        """Add the four paths of an Inception module and their concatenation."""

        def conv(name: str, top: Any, num_output: int, kernel_size: int = 1, pad: int = 0) -> Any:
            return self.conv(stage, name, name, top, num_output, kernel_size=kernel_size, pad=pad)

        one = conv("1x1", bottom, channels.one)
        three = conv("3x3_reduce", bottom, channels.three_reduce)
        three = conv("3x3", three, channels.three, kernel_size=3, pad=1)
        five = conv("5x5_reduce", bottom, channels.five_reduce)
        five = conv("5x5", five, channels.five, kernel_size=5, pad=2)
        pooled = self.pool(f"{stage}/pool", bottom, stride=1, pad=1)
        pooled = conv("pool_proj", pooled, channels.pool)
        return blocks.concat(self.net, qualify(self.prefix, f"{stage}/output"), [one, three, five, pooled])


def _head(prefix: str, top: blocks.Top, net: Any, classes: int) -> blocks.Top:
    top = blocks.dropout(net, qualify(prefix, "pool5/drop_7x7_s1"), top, 0.4, frozen=False)
    return blocks.fc(net, qualify(prefix, "loss3/classifier"), top, classes, **blocks.LEARNING)


def _auxiliary(outputs: Dict[str, blocks.Top], net: Any, classes: int, label: blocks.Top) -> None:
    """Add the published net's two auxiliary classifiers, each with a loss of weight 0.3 and two accuracies in TEST."""
    layers = netspec().layers
    filled = blocks.fillers(blocks.XAVIER, 0.2, frozen=False)
    for name, module in _AUXILIARY.items():
        top = blocks.pool(net, f"{name}/ave_pool", outputs[module], "AVE", kernel_size=5, stride=3)
        conv = {"num_output": 128, "kernel_size": 1, **blocks.LEARNING, **filled}
        top = blocks.conv_relu(net, f"{name}/conv", f"{name}/relu_conv", top, frozen=False, **conv)
        top = blocks.fc(net, f"{name}/fc", top, 1024, **blocks.LEARNING, **filled)
        top = blocks.relu(net, f"{name}/relu_fc", top)
        top = blocks.dropout(net, f"{name}/drop_fc", top, 0.7, frozen=False)
        scores = blocks.fc(net, f"{name}/classifier", top, classes, **blocks.LEARNING)
        net[f"{name}/{name}"] = layers.SoftmaxWithLoss(scores, label, name=f"{name}/loss", loss_weight=0.3)
        net[f"{name}/top-1"] = layers.Accuracy(scores, label, include={"phase": TEST})
        # Caffe refuses a top_k that is larger than the number of classes.
        if classes >= 5:
            net[f"{name}/top-5"] = layers.Accuracy(scores, label, top_k=5, include={"phase": TEST})
