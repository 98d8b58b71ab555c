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

from functools import partial
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
    """Add a ResNet up to `pool5`: (N, 3, 224, 224) -> (N, 2048, 1, 1), of depth 18 or 34 (N, 512, 1, 1).

    `net` is a pycaffe NetSpec, `bottom` a Top of it, `depth` one of 18, 34, 50, 101, 152.

    Frozen, BatchNorm works on its running statistics. Trainable it does so from depth 50 on, as in the published
    nets: that is a ResNet to fine-tune from trained weights. At depths 18 and 34 it does not, as in the published
    net: training works on each batch's statistics (which the wheel of Caffe computes wrong: use another Caffe).
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


resnet18 = partial(resnet, depth=18)
resnet34 = partial(resnet, depth=34)
resnet50 = partial(resnet, depth=50)
resnet101 = partial(resnet, depth=101)
resnet152 = partial(resnet, depth=152)


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
