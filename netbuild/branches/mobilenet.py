"""MobileNet v1 and v2 with the names of the published Caffe nets, so that their weights load by name.

A. Howard et al.: MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications (2017).
M. Sandler et al.: MobileNetV2: Inverted Residuals and Linear Bottlenecks (2018). Names and parameters follow
github.com/shicai/MobileNet-Caffe, the nets with weights that most people use. They depart from the papers in ReLU in
place of ReLU6; v2 also in a 1x1 convolution before the depthwise one in its first block, and in where 28 x 28 becomes
14 x 14: at conv4_7, not already at conv4_3.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from .. import blocks
from ..names import qualify
from ..schema import netspec
from .branch import Branch, Input

IMAGENET = Input(shape=(3, 224, 224), mean=(103.94, 116.78, 123.68), scale=0.017, resize=True)
"""BGR, (x - mean) * 0.017."""


class _Separable(NamedTuple):
    """A block of v1: a 3x3 convolution of each channel by itself, then a 1x1 convolution."""

    name: str
    channels: int
    stride: int
    num_output: int


_V1 = (
    _Separable("2_1", 32, 1, 64),
    _Separable("2_2", 64, 2, 128),
    _Separable("3_1", 128, 1, 128),
    _Separable("3_2", 128, 2, 256),
    _Separable("4_1", 256, 1, 256),
    _Separable("4_2", 256, 2, 512),
    *(_Separable(f"5_{index}", 512, 1, 512) for index in range(1, 6)),
    _Separable("5_6", 512, 2, 1024),
    _Separable("6", 1024, 1, 1024),
)


class _Inverted(NamedTuple):
    """A block of v2: 1x1 to `channels`, 3x3 of each channel by itself, 1x1 to `num_output` without ReLU."""

    name: str
    channels: int
    stride: int
    num_output: int
    add: bool
    """Whether the block's bottom is added to what it computes."""


_V2 = (
    _Inverted("2_1", 32, 1, 16, False),
    _Inverted("2_2", 96, 2, 24, False),
    _Inverted("3_1", 144, 1, 24, True),
    _Inverted("3_2", 144, 2, 32, False),
    _Inverted("4_1", 192, 1, 32, True),
    _Inverted("4_2", 192, 1, 32, True),
    _Inverted("4_3", 192, 1, 64, False),
    _Inverted("4_4", 384, 1, 64, True),
    _Inverted("4_5", 384, 1, 64, True),
    _Inverted("4_6", 384, 1, 64, True),
    _Inverted("4_7", 384, 2, 96, False),
    _Inverted("5_1", 576, 1, 96, True),
    _Inverted("5_2", 576, 1, 96, True),
    _Inverted("5_3", 576, 2, 160, False),
    _Inverted("6_1", 960, 1, 160, True),
    _Inverted("6_2", 960, 1, 160, True),
    _Inverted("6_3", 960, 1, 320, False),
)


def mobilenet_v1(net: Any, bottom: blocks.Top, prefix: str = "", *, frozen: bool = False) -> Branch:
    """Add MobileNet v1 up to its last pooling.

    Names and parameters are those of the published deploy net (shicai/MobileNet-Caffe). BatchNorm works on its stored
    statistics there, and so it does here, frozen or not: a branch that learns is one to fine-tune from trained weights.

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        bottom: The Top of the images in it, (N, 3, 224, 224), BGR.
        prefix: Stands in front of every name, as `qualify` puts it there.
        frozen: Whether training is to change no blob of the branch.

    Returns:
        The branch, which ends at `pool6`: (N, 1024, 1, 1).

    Examples:
        >>> from netbuild import Fusion, build, mobilenet_v1
        >>> build(Fusion({"a": mobilenet_v1, "b": mobilenet_v1}, classes=10)).seams
        {'a': 'a/pool6', 'b': 'b/pool6'}
    """
    unit = _Unit(net, prefix, frozen, norm_in_place=True)
    top = unit.conv("conv1", "relu1", bottom, 32, pad=1, kernel_size=3, stride=2)
    for name, channels, stride, num_output in _V1:
        top = unit.depthwise(f"conv{name}/dw", f"relu{name}/dw", top, channels, stride)
        top = unit.conv(f"conv{name}/sep", f"relu{name}/sep", top, num_output, kernel_size=1)
    return _finished(unit, top, 1024, "MOBILENET")


def mobilenet_v2(net: Any, bottom: blocks.Top, prefix: str = "", *, frozen: bool = False) -> Branch:
    """Add MobileNet v2 up to its last pooling.

    Names and parameters are those of the published deploy net (shicai/MobileNet-Caffe). BatchNorm works on its stored
    statistics there, and so it does here, frozen or not: a branch that learns is one to fine-tune from trained weights.

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        bottom: The Top of the images in it, (N, 3, 224, 224), BGR.
        prefix: Stands in front of every name, as `qualify` puts it there.
        frozen: Whether training is to change no blob of the branch.

    Returns:
        The branch, which ends at `pool6`: (N, 1280, 1, 1).

    Examples:
        >>> from netbuild import Fusion, build, mobilenet_v2
        >>> build(Fusion({"a": mobilenet_v2, "b": mobilenet_v2}, classes=10)).seams
        {'a': 'a/pool6', 'b': 'b/pool6'}
    """
    unit = _Unit(net, prefix, frozen, norm_in_place=False)
    top = unit.conv("conv1", "relu1", bottom, 32, pad=1, kernel_size=3, stride=2)
    for row in _V2:
        name = row.name
        inner = unit.conv(f"conv{name}/expand", f"relu{name}/expand", top, row.channels, kernel_size=1)
        inner = unit.depthwise(f"conv{name}/dwise", f"relu{name}/dwise", inner, row.channels, row.stride)
        inner = unit.conv(f"conv{name}/linear", "", inner, row.num_output, kernel_size=1)
        top = blocks.add(net, qualify(prefix, f"block_{name}"), [top, inner]) if row.add else inner
    top = unit.conv("conv6_4", "relu6_4", top, 1280, kernel_size=1)
    return _finished(unit, top, 1280, "MOBILENET_V2")


class _Unit:
    """Convolutions with BatchNorm and Scale, which all share net, prefix and frozen."""

    def __init__(self, net: Any, prefix: str, frozen: bool, *, norm_in_place: bool) -> None:
        self.net, self.prefix, self.frozen, self.norm_in_place = net, prefix, frozen, norm_in_place

    def conv(self, name: str, relu: str, bottom: Any, num_output: int, **options: Any) -> Any:
        """Add a convolution without bias, BatchNorm, Scale and, unless its name is empty, ReLU."""
        full_name = qualify(self.prefix, name)
        options.update(blocks.fillers(blocks.MSRA, frozen=self.frozen), num_output=num_output)
        learning: Any = {"frozen": self.frozen, "lr_mult": (1,), "decay_mult": (1,)}
        top = blocks.conv(self.net, full_name, bottom, bias=False, **learning, **options)
        top = blocks.batch_norm_scale(
            self.net,
            f"{full_name}/bn",
            f"{full_name}/scale",
            top,
            frozen=self.frozen,
            in_place=self.norm_in_place,
            scale_decay=(0, 0),
            eps=1e-5,
        )
        return blocks.relu(self.net, qualify(self.prefix, relu), top) if relu else top

    def depthwise(self, name: str, relu: str, bottom: Any, channels: int, stride: int) -> Any:
        """Add a 3x3 convolution of each channel by itself."""
        # As published: cuDNN runs out of memory on so many groups.
        engine = netspec().params.Convolution.CAFFE
        return self.conv(
            name, relu, bottom, channels, pad=1, kernel_size=3, group=channels, stride=stride, engine=engine
        )


def _finished(unit: _Unit, top: blocks.Top, channels: int, net_name: str) -> Branch:
    top = blocks.pool(unit.net, qualify(unit.prefix, "pool6"), top, "AVE", global_pooling=True)
    head = partial(_head, unit.prefix, top)
    return Branch(unit.prefix, "pool6", top, channels, classifier="fc7", head=head, net_name=net_name, input=IMAGENET)


def _head(prefix: str, top: blocks.Top, net: Any, classes: int) -> blocks.Top:
    """Add the published classifier: a 1x1 convolution, whose scores are (N, classes, 1, 1)."""
    filled = blocks.fillers(blocks.MSRA, 0, frozen=False)
    options = {"num_output": classes, "kernel_size": 1, **blocks.LEARNING, **filled}
    return blocks.conv(net, qualify(prefix, "fc7"), top, frozen=False, **options)
