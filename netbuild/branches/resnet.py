"""ResNet-18, -34, -50, -101 and -152 with the names of the published Caffe nets, so that their weights load by name.

K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition (2015). Names and parameters of the three
deep ones follow the authors' deploy nets, github.com/KaimingHe/deep-residual-networks.

The authors published no ResNet-18 or -34 for Caffe. ResNet-18 follows the net with weights that most people use,
github.com/HolmesShuan/ResNet-18-Caffemodel-on-ImageNet, which keeps the authors' names and departs from the paper in
a projection in res2a too. ResNet-34 is the same net with the paper's 3, 4, 6, 3 blocks: no Caffe net of it with
weights is in common use (the weights to be found are converted from PyTorch and bear the converter's names), and
generators of such nets, github.com/antingshen/resnet-protofiles among them, use these names.
"""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from .. import blocks
from ..errors import GraphError
from ..names import qualify
from .branch import Branch, Input

IMAGENET = Input(shape=(3, 224, 224), mean=(103.939, 116.779, 123.68), resize=True)
"""BGR, 0..255. The authors' nets subtract a mean image; these are the usual means of its channels."""

BLOCKS: Dict[int, Tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""Depth -> number of residual blocks in the stages 2 to 5."""
_BASIC = (18, 34)
"""Depths whose blocks are two 3x3 convolutions; the others' are bottlenecks."""


def resnet(net: Any, bottom: blocks.Top, prefix: str = "", *, depth: int = 50, frozen: bool = False) -> Branch:
    """Add a ResNet up to its last pooling.

    Names and parameters are those of the authors' nets of the depths 50, 101 and 152, in which BatchNorm works on its
    stored statistics, frozen or not: a branch that learns is one to fine-tune from trained weights. For the depths 18
    and 34, see `resnet18` and `resnet34`.

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        bottom: The Top of the images in it, (N, 3, 224, 224), BGR.
        prefix: Stands in front of every name, as `qualify` puts it there.
        depth: The number of layers with weights: 18, 34, 50, 101 or 152.
        frozen: Whether training is to change no blob of the branch.

    Returns:
        The branch, which ends at `pool5`: (N, 2048, 1, 1), or (N, 512, 1, 1) at depths 18 and 34.

    Raises:
        GraphError: The depth is another one.

    Examples:
        >>> from functools import partial
        >>> from netbuild import Fusion, build, resnet
        >>> build(Fusion({"": partial(resnet, depth=34)}, classes=1000, frozen=True)).message.name
        'ResNet-34'
    """
    if depth not in BLOCKS:
        raise GraphError(f"resnet: no depth {depth}; known depths are {', '.join(map(str, BLOCKS))}")
    unit = _Unit(net, prefix, frozen, basic=depth in _BASIC)
    # Only the conv1 of ResNet-50 was published with a bias.
    conv1 = unit.conv("conv1", bottom, 64, kernel_size=7, pad=3, stride=2, bias=depth == 50)
    conv1 = unit.norm("_conv1", conv1)
    conv1 = blocks.relu(net, qualify(prefix, "conv1_relu"), conv1)
    top = blocks.pool(net, qualify(prefix, "pool1"), conv1, "MAX", kernel_size=3, stride=2)
    for stage, count in enumerate(BLOCKS[depth], start=2):
        for index, letter in enumerate(_letters(stage, count, depth)):
            first_stride = 2 if index == 0 and stage > 2 else 1
            top = unit.residual(f"{stage}{letter}", top, 2 ** (stage + 4), stride=first_stride, project=index == 0)
    channels = 512 if depth in _BASIC else 2048
    top = blocks.pool(net, qualify(prefix, "pool5"), top, "AVE", kernel_size=7, stride=1)
    return Branch(prefix, "pool5", top, channels, net_name=f"ResNet-{depth}", input=IMAGENET)


def resnet18(net: Any, bottom: blocks.Top, prefix: str = "", *, frozen: bool = False) -> Branch:
    """Add ResNet-18 up to its last pooling.

    The authors published no Caffe net of this depth: names and parameters are those of the one that most people use
    (HolmesShuan/ResNet-18-Caffemodel-on-ImageNet). In a frozen branch BatchNorm works on its stored statistics. In one
    that learns, training works on the statistics of each batch, which the wheel of Caffe computes wrong: train it with
    another Caffe.

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        bottom: The Top of the images in it, (N, 3, 224, 224), BGR.
        prefix: Stands in front of every name, as `qualify` puts it there.
        frozen: Whether training is to change no blob of the branch.

    Returns:
        The branch, which ends at `pool5`: (N, 512, 1, 1).

    Examples:
        >>> from netbuild import Fusion, build, resnet18
        >>> build(Fusion({"a": resnet18, "b": resnet18}, classes=10)).seams
        {'a': 'a/pool5', 'b': 'b/pool5'}
    """
    return resnet(net, bottom, prefix, depth=18, frozen=frozen)


def resnet34(net: Any, bottom: blocks.Top, prefix: str = "", *, frozen: bool = False) -> Branch:
    """Add ResNet-34 up to its last pooling.

    The authors published no Caffe net of this depth: this is the net of `resnet18` with the number of blocks of the
    paper. In a frozen branch BatchNorm works on its stored statistics. In one that learns, training works on the
    statistics of each batch, which the wheel of Caffe computes wrong: train it with another Caffe.

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        bottom: The Top of the images in it, (N, 3, 224, 224), BGR.
        prefix: Stands in front of every name, as `qualify` puts it there.
        frozen: Whether training is to change no blob of the branch.

    Returns:
        The branch, which ends at `pool5`: (N, 512, 1, 1).

    Examples:
        >>> from netbuild import Fusion, build, resnet34
        >>> build(Fusion({"a": resnet34, "b": resnet34}, classes=10)).seams
        {'a': 'a/pool5', 'b': 'b/pool5'}
    """
    return resnet(net, bottom, prefix, depth=34, frozen=frozen)


def resnet50(net: Any, bottom: blocks.Top, prefix: str = "", *, frozen: bool = False) -> Branch:
    """Add ResNet-50 up to its last pooling.

    Names and parameters are those of the authors' ResNet-50-deploy.prototxt (KaimingHe/deep-residual-networks).
    BatchNorm works on its stored statistics, as in the published net, frozen or not: a branch that learns is one to
    fine-tune from trained weights.

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        bottom: The Top of the images in it, (N, 3, 224, 224), BGR.
        prefix: Stands in front of every name, as `qualify` puts it there.
        frozen: Whether training is to change no blob of the branch.

    Returns:
        The branch, which ends at `pool5`: (N, 2048, 1, 1).

    Examples:
        >>> from netbuild import Fusion, build, resnet50
        >>> build(Fusion({"a": resnet50, "b": resnet50}, classes=10)).seams
        {'a': 'a/pool5', 'b': 'b/pool5'}
    """
    return resnet(net, bottom, prefix, depth=50, frozen=frozen)


def resnet101(net: Any, bottom: blocks.Top, prefix: str = "", *, frozen: bool = False) -> Branch:
    """Add ResNet-101 up to its last pooling.

    Names and parameters are those of the authors' ResNet-101-deploy.prototxt (KaimingHe/deep-residual-networks).
    BatchNorm works on its stored statistics, as in the published net, frozen or not: a branch that learns is one to
    fine-tune from trained weights.

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        bottom: The Top of the images in it, (N, 3, 224, 224), BGR.
        prefix: Stands in front of every name, as `qualify` puts it there.
        frozen: Whether training is to change no blob of the branch.

    Returns:
        The branch, which ends at `pool5`: (N, 2048, 1, 1).

    Examples:
        >>> from netbuild import Fusion, build, resnet101
        >>> build(Fusion({"a": resnet101, "b": resnet101}, classes=10)).seams
        {'a': 'a/pool5', 'b': 'b/pool5'}
    """
    return resnet(net, bottom, prefix, depth=101, frozen=frozen)


def resnet152(net: Any, bottom: blocks.Top, prefix: str = "", *, frozen: bool = False) -> Branch:
    """Add ResNet-152 up to its last pooling.

    Names and parameters are those of the authors' ResNet-152-deploy.prototxt (KaimingHe/deep-residual-networks).
    BatchNorm works on its stored statistics, as in the published net, frozen or not: a branch that learns is one to
    fine-tune from trained weights.

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        bottom: The Top of the images in it, (N, 3, 224, 224), BGR.
        prefix: Stands in front of every name, as `qualify` puts it there.
        frozen: Whether training is to change no blob of the branch.

    Returns:
        The branch, which ends at `pool5`: (N, 2048, 1, 1).

    Examples:
        >>> from netbuild import Fusion, build, resnet152
        >>> build(Fusion({"a": resnet152, "b": resnet152}, classes=10)).seams
        {'a': 'a/pool5', 'b': 'b/pool5'}
    """
    return resnet(net, bottom, prefix, depth=152, frozen=frozen)


def _letters(stage: int, count: int, depth: int) -> List[str]:
    """Return the names of a stage's blocks: a, b, c, ... but a, b1, b2, ... in the long stages of the deep nets."""
    if depth > 50 and stage in (3, 4):
        return ["a", *(f"b{index}" for index in range(1, count))]
    return [chr(ord("a") + index) for index in range(count)]


class _Unit:
    """The parts of a residual block, which all share net, prefix and frozen."""

    def __init__(self, net: Any, prefix: str, frozen: bool, *, basic: bool) -> None:
        self.net, self.prefix, self.frozen, self.basic = net, prefix, frozen, basic

    def conv(self, name: str, bottom: Any, num_output: int, *, bias: bool = False, **geometry: Any) -> Any:
        geometry.update(blocks.fillers(blocks.MSRA, frozen=self.frozen), num_output=num_output)
        return blocks.conv(self.net, qualify(self.prefix, name), bottom, frozen=self.frozen, bias=bias, **geometry)

    def norm(self, suffix: str, bottom: Any) -> Any:
        norm, scale = qualify(self.prefix, f"bn{suffix}"), qualify(self.prefix, f"scale{suffix}")
        options: Dict[str, Any] = {"global_stats": False, "moving_average_fraction": 0.9} if self.basic else {}
        return blocks.batch_norm_scale(self.net, norm, scale, bottom, frozen=self.frozen, **options)

    def branch(self, name: str, bottom: Any, num_output: int, *, relu: bool, **geometry: Any) -> Any:
        top = self.norm(name, self.conv(f"res{name}", bottom, num_output, **geometry))
        return blocks.relu(self.net, qualify(self.prefix, f"res{name}_relu"), top) if relu else top

    def residual(self, name: str, bottom: Any, width: int, *, stride: int, project: bool) -> Any:
        """Add a residual block: basic or bottleneck, beside the bottom or its projection."""
        short = bottom
        if project:
            outputs = width if self.basic else 4 * width
            short = self.branch(f"{name}_branch1", bottom, outputs, relu=False, stride=stride, kernel_size=1, pad=0)
        convolved = self._basic if self.basic else self._bottleneck
        top = convolved(name, bottom, width, stride)
        full_name = qualify(self.prefix, f"res{name}")
        top = blocks.add(self.net, full_name, [short, top])
        return blocks.relu(self.net, f"{full_name}_relu", top)

    def _basic(self, name: str, bottom: Any, width: int, stride: int) -> Any:
        """Add two 3x3 convolutions."""
        place = {"kernel_size": 3, "pad": 1}
        top = self.branch(f"{name}_branch2a", bottom, width, relu=True, stride=stride, **place)
        return self.branch(f"{name}_branch2b", top, width, relu=False, stride=1, **place)

    def _bottleneck(self, name: str, bottom: Any, width: int, stride: int) -> Any:
        """Add 1x1, 3x3 and 1x1 (four times as wide) convolutions."""
        point = {"kernel_size": 1, "pad": 0}
        top = self.branch(f"{name}_branch2a", bottom, width, relu=True, stride=stride, **point)
        top = self.branch(f"{name}_branch2b", top, width, relu=True, stride=1, kernel_size=3, pad=1)
        return self.branch(f"{name}_branch2c", top, 4 * width, relu=False, stride=1, **point)
