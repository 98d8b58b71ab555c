"""AlexNet and CaffeNet with the names of the published Caffe nets, so that their weights load by name.

A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet Classification with Deep Convolutional Neural Networks (2012). Names
and parameters follow models/bvlc_alexnet and models/bvlc_reference_caffenet of github.com/BVLC/caffe. Their AlexNet
departs from the paper in biases that start at 0.1 in place of 1, and in training without the relighting of images.
CaffeNet departs from AlexNet: it pools before it normalises, and its biases start at 1.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, NamedTuple, Tuple

from .. import blocks
from ..names import qualify
from .branch import Branch, Input

IMAGENET = Input(shape=(3, 227, 227), mean=(104, 117, 123), resize=True)
"""BGR, 0..255. The published nets subtract a mean image; these are the means of its channels."""


class _Conv(NamedTuple):
    num_output: int
    raised: bool
    """Whether the biases start above 0, so that the ReLU after them has something to pass on."""
    geometry: Dict[str, int]


_CONVS = (
    _Conv(96, False, {"kernel_size": 11, "stride": 4}),
    _Conv(256, True, {"pad": 2, "kernel_size": 5, "group": 2}),
    _Conv(384, False, {"pad": 1, "kernel_size": 3}),
    _Conv(384, True, {"pad": 1, "kernel_size": 3, "group": 2}),
    _Conv(256, True, {"pad": 1, "kernel_size": 3, "group": 2}),
)


class _Variant(NamedTuple):
    net_name: str
    after: Dict[int, Tuple[str, ...]]
    """Number of a convolution -> what follows its ReLU."""
    bias: float
    """Where raised biases start."""


_ALEXNET = _Variant("AlexNet", {1: ("norm", "pool"), 2: ("norm", "pool"), 5: ("pool",)}, 0.1)
_CAFFENET = _Variant("CaffeNet", {1: ("pool", "norm"), 2: ("pool", "norm"), 5: ("pool",)}, 1)


def alexnet(net: Any, bottom: blocks.Top, prefix: str = "", *, frozen: bool = False) -> Branch:
    """Add AlexNet up to its second full connection.

    Names and parameters are those of BVLC's bvlc_alexnet. In a frozen branch Dropout passes its input on.

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        bottom: The Top of the images in it, (N, 3, 227, 227), BGR.
        prefix: Stands in front of every name, as `qualify` puts it there.
        frozen: Whether training is to change no blob of the branch.

    Returns:
        The branch, which ends at `fc7`: (N, 4096), after its ReLU and Dropout.

    Examples:
        >>> from netbuild import Fusion, build, alexnet
        >>> build(Fusion({"a": alexnet, "b": alexnet}, classes=10)).seams
        {'a': 'a/fc7', 'b': 'b/fc7'}
    """
    return _build(net, bottom, prefix, frozen, _ALEXNET)


def caffenet(net: Any, bottom: blocks.Top, prefix: str = "", *, frozen: bool = False) -> Branch:
    """Add CaffeNet up to its second full connection.

    Names and parameters are those of BVLC's bvlc_reference_caffenet: AlexNet with pooling before normalization.

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        bottom: The Top of the images in it, (N, 3, 227, 227), BGR.
        prefix: Stands in front of every name, as `qualify` puts it there.
        frozen: Whether training is to change no blob of the branch.

    Returns:
        The branch, which ends at `fc7`: (N, 4096), after its ReLU and Dropout.

    Examples:
        >>> from netbuild import Fusion, build, caffenet
        >>> build(Fusion({"a": caffenet, "b": caffenet}, classes=10)).seams
        {'a': 'a/fc7', 'b': 'b/fc7'}
    """
    return _build(net, bottom, prefix, frozen, _CAFFENET)


def _build(net: Any, bottom: blocks.Top, prefix: str, frozen: bool, variant: _Variant) -> Branch:
    top = bottom
    for number, row in enumerate(_CONVS, start=1):
        filled = blocks.fillers(_gaussian(0.01), variant.bias if row.raised else 0, frozen=frozen)
        options = {"num_output": row.num_output, **row.geometry, **blocks.LEARNING, **filled}
        name, relu = qualify(prefix, f"conv{number}"), qualify(prefix, f"relu{number}")
        top = blocks.conv_relu(net, name, relu, top, frozen=frozen, **options)
        for kind in variant.after.get(number, ()):
            name = qualify(prefix, f"{kind}{number}")
            if kind == "norm":
                top = blocks.lrn(net, name, top)
            else:
                top = blocks.pool(net, name, top, "MAX", kernel_size=3, stride=2)
    for number in (6, 7):
        filled = blocks.fillers(_gaussian(0.005), variant.bias, frozen=frozen)
        top = blocks.fc(net, qualify(prefix, f"fc{number}"), top, 4096, frozen=frozen, **blocks.LEARNING, **filled)
        top = blocks.relu(net, qualify(prefix, f"relu{number}"), top)
        top = blocks.dropout(net, qualify(prefix, f"drop{number}"), top, 0.5, frozen=frozen)
    head = partial(_head, prefix, top)
    return Branch(prefix, "fc7", top, 4096, classifier="fc8", head=head, net_name=variant.net_name, input=IMAGENET)


def _head(prefix: str, top: blocks.Top, net: Any, classes: int) -> blocks.Top:
    filled = blocks.fillers(_gaussian(0.01), 0, frozen=False)
    return blocks.fc(net, qualify(prefix, "fc8"), top, classes, **blocks.LEARNING, **filled)


def _gaussian(std: float) -> Dict[str, Any]:
    return {"type": "gaussian", "std": std}
