"""VGG-16 and VGG-19 with the names of the published Caffe nets, so that their weights load by name.

K. Simonyan, A. Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition (2014), configurations
D and E. Names and parameters follow the authors' VGG_ILSVRC_16_layers_deploy.prototxt and
VGG_ILSVRC_19_layers_deploy.prototxt (gist.github.com/ksimonyan, Caffe's format of before 2015).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, Tuple

from .. import blocks
from ..errors import GraphError
from ..names import qualify
from .branch import Branch, Input

IMAGENET = Input(shape=(3, 224, 224), mean=(103.939, 116.779, 123.68), resize=True)
"""BGR, 0..255, less the means that the authors give with their nets."""

STAGES: Dict[int, Tuple[int, int, int, int, int]] = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Layers with weights -> number of 3x3 convolutions in the stages 1 to 5."""

_WIDTHS = (64, 128, 256, 512, 512)


def vgg(net: Any, bottom: blocks.Top, prefix: str = "", *, depth: int = 16, frozen: bool = False) -> Branch:
    """Add a VGG net up to its second full connection.

    Names and parameters are those of the authors' VGG_ILSVRC_16_layers and VGG_ILSVRC_19_layers. They published no net
    for training: a branch that learns is filled by Xavier's rule, which the paper recommends in a note, and learns at
    the rates of BVLC's nets.

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        bottom: The Top of the images in it, (N, 3, 224, 224), BGR.
        prefix: Stands in front of every name, as `qualify` puts it there.
        depth: The number of layers with weights: 16 or 19.
        frozen: Whether training is to change no blob of the branch.

    Returns:
        The branch, which ends at `fc7`: (N, 4096), after its ReLU and Dropout.

    Raises:
        GraphError: The depth is another one.

    Examples:
        >>> from functools import partial
        >>> from netbuild import Fusion, build, vgg
        >>> build(Fusion({"": partial(vgg, depth=19)}, classes=1000)).message.name
        'VGG_ILSVRC_19_layers'
    """
    if depth not in STAGES:
        raise GraphError(f"vgg: no depth {depth}; known depths are {', '.join(map(str, STAGES))}")
    options = {**blocks.LEARNING, **blocks.fillers(blocks.XAVIER, 0, frozen=frozen)}
    conv: Any = partial(blocks.conv_relu, net, frozen=frozen, pad=1, kernel_size=3, **options)
    top = bottom
    for stage, (count, width) in enumerate(zip(STAGES[depth], _WIDTHS), start=1):
        for index in range(1, count + 1):
            number = f"{stage}_{index}"
            top = conv(qualify(prefix, f"conv{number}"), qualify(prefix, f"relu{number}"), top, num_output=width)
        top = blocks.pool(net, qualify(prefix, f"pool{stage}"), top, "MAX", kernel_size=2, stride=2)
    for stage in (6, 7):
        top = blocks.fc(net, qualify(prefix, f"fc{stage}"), top, 4096, frozen=frozen, **options)
        top = blocks.relu(net, qualify(prefix, f"relu{stage}"), top)
        top = blocks.dropout(net, qualify(prefix, f"drop{stage}"), top, 0.5, frozen=frozen)
    net_name = f"VGG_ILSVRC_{depth}_layers"
    return Branch(prefix, "fc7", top, 4096, classifier="fc8", net_name=net_name, input=IMAGENET)


def vgg16(net: Any, bottom: blocks.Top, prefix: str = "", *, frozen: bool = False) -> Branch:
    """Add VGG-16 up to its second full connection.

    Names and parameters are those of the authors' VGG_ILSVRC_16_layers. They published no net for training: a branch
    that learns is filled by Xavier's rule, which the paper recommends in a note, and learns at the rates of BVLC's
    nets.

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        bottom: The Top of the images in it, (N, 3, 224, 224), BGR.
        prefix: Stands in front of every name, as `qualify` puts it there.
        frozen: Whether training is to change no blob of the branch.

    Returns:
        The branch, which ends at `fc7`: (N, 4096), after its ReLU and Dropout.

    Examples:
        >>> from netbuild import Fusion, build, vgg16
        >>> build(Fusion({"a": vgg16, "b": vgg16}, classes=10)).seams
        {'a': 'a/fc7', 'b': 'b/fc7'}
    """
    return vgg(net, bottom, prefix, depth=16, frozen=frozen)


def vgg19(net: Any, bottom: blocks.Top, prefix: str = "", *, frozen: bool = False) -> Branch:
    """Add VGG-19 up to its second full connection.

    Names and parameters are those of the authors' VGG_ILSVRC_19_layers. They published no net for training: a branch
    that learns is filled by Xavier's rule, which the paper recommends in a note, and learns at the rates of BVLC's
    nets.

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        bottom: The Top of the images in it, (N, 3, 224, 224), BGR.
        prefix: Stands in front of every name, as `qualify` puts it there.
        frozen: Whether training is to change no blob of the branch.

    Returns:
        The branch, which ends at `fc7`: (N, 4096), after its ReLU and Dropout.

    Examples:
        >>> from netbuild import Fusion, build, vgg19
        >>> build(Fusion({"a": vgg19, "b": vgg19}, classes=10)).seams
        {'a': 'a/fc7', 'b': 'b/fc7'}
    """
    return vgg(net, bottom, prefix, depth=19, frozen=frozen)
