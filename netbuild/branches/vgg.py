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
    """Add a VGG net up to `fc7` after its ReLU and Dropout: (N, 3, 224, 224) -> (N, 4096).

    `net` is a pycaffe NetSpec, `bottom` a Top of it, `depth` 16 or 19. The authors published no net for training;
    a trainable one is filled by Xavier's rule, which the paper recommends in a note, and learns as BVLC's nets do.
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


vgg16 = partial(vgg, depth=16)
vgg19 = partial(vgg, depth=19)
