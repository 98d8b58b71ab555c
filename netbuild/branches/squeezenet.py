"""SqueezeNet 1.0 and 1.1 with the names of the published Caffe nets, so that their weights load by name.

F. Iandola et al.: SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size (2016). Names
and parameters follow the authors' github.com/forresti/SqueezeNet, SqueezeNet_v1.0 and SqueezeNet_v1.1; 1.1 pools
earlier and has a smaller first convolution, which the paper does not describe.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, List, NamedTuple

from .. import blocks
from ..names import qualify
from .branch import Branch, Input

IMAGENET = Input(shape=(3, 227, 227), mean=(104, 117, 123), resize=True)
"""BGR, 0..255."""

_SQUEEZE = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}
"""Fire module -> channels of its 1x1 squeeze; each of its two expands has four times as many."""


class _Variant(NamedTuple):
    net_name: str
    conv1: Dict[str, int]
    pools: Dict[int, str]
    """Fire module -> the pooling that follows it."""
    head_pad: int


_V1_0 = _Variant(
    "SqueezeNet_v1.0", {"num_output": 96, "kernel_size": 7, "stride": 2}, {4: "pool4", 8: "pool8"}, head_pad=1
)
_V1_1 = _Variant(
    "SqueezeNet_v1.1", {"num_output": 64, "kernel_size": 3, "stride": 2}, {3: "pool3", 5: "pool5"}, head_pad=0
)


def squeezenet1_0(net: Any, bottom: blocks.Top, prefix: str = "", *, frozen: bool = False) -> Branch:
    """Add SqueezeNet 1.0 up to its last Fire module.

    Names and parameters are those of the authors' SqueezeNet_v1.0. In a frozen branch Dropout passes its input on. The
    net alone classifies by a 1x1 convolution and an average over the places; the head of a fusion, an InnerProduct,
    sees all places.

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        bottom: The Top of the images in it, (N, 3, 227, 227), BGR.
        prefix: Stands in front of every name, as `qualify` puts it there.
        frozen: Whether training is to change no blob of the branch.

    Returns:
        The branch, which ends at `fire9/concat`: (N, 512, 13, 13), after its Dropout.

    Examples:
        >>> from netbuild import Fusion, build, squeezenet1_0
        >>> build(Fusion({"a": squeezenet1_0, "b": squeezenet1_0}, classes=10)).seams
        {'a': 'a/fire9/concat', 'b': 'b/fire9/concat'}
    """
    return _build(net, bottom, prefix, frozen, _V1_0)


def squeezenet1_1(net: Any, bottom: blocks.Top, prefix: str = "", *, frozen: bool = False) -> Branch:
    """Add SqueezeNet 1.1 up to its last Fire module.

    Names and parameters are those of the authors' SqueezeNet_v1.1, which takes less than half the work of 1.0. For the
    classifier see `squeezenet1_0`.

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        bottom: The Top of the images in it, (N, 3, 227, 227), BGR.
        prefix: Stands in front of every name, as `qualify` puts it there.
        frozen: Whether training is to change no blob of the branch.

    Returns:
        The branch, which ends at `fire9/concat`: (N, 512, 14, 14), after its Dropout.

    Examples:
        >>> from netbuild import Fusion, build, squeezenet1_1
        >>> build(Fusion({"a": squeezenet1_1, "b": squeezenet1_1}, classes=10)).seams
        {'a': 'a/fire9/concat', 'b': 'b/fire9/concat'}
    """
    return _build(net, bottom, prefix, frozen, _V1_1)


def _build(net: Any, bottom: blocks.Top, prefix: str, frozen: bool, variant: _Variant) -> Branch:
    filled = blocks.fillers(blocks.XAVIER, frozen=frozen)
    conv: Any = partial(blocks.conv_relu, net, frozen=frozen, **filled)
    pool = partial(blocks.pool, net, kind="MAX", kernel_size=3, stride=2)
    top = conv(qualify(prefix, "conv1"), qualify(prefix, "relu_conv1"), bottom, **variant.conv1)
    top = pool(qualify(prefix, "pool1"), top)
    for module, width in _SQUEEZE.items():
        name = qualify(prefix, f"fire{module}")
        top = blocks.concat(net, f"{name}/concat", _fire(conv, name, top, width))
        if module in variant.pools:
            top = pool(qualify(prefix, variant.pools[module]), top)
    top = blocks.dropout(net, qualify(prefix, "drop9"), top, 0.5, frozen=frozen)
    return Branch(
        prefix,
        "fire9/concat",
        top,
        512,
        classifier="conv10",
        head=partial(_head, prefix, top, variant.head_pad),
        net_name=variant.net_name,
        input=IMAGENET,
    )


def _fire(conv: Any, name: str, bottom: blocks.Top, width: int) -> List[blocks.Top]:
    """Add a Fire module's 1x1 squeeze and return its 1x1 and 3x3 expands, side by side on it."""

    def part(kind: str, top: blocks.Top, **options: int) -> blocks.Top:
        return conv(f"{name}/{kind}", f"{name}/relu_{kind}", top, **options)

    squeezed = part("squeeze1x1", bottom, num_output=width, kernel_size=1)
    one = part("expand1x1", squeezed, num_output=4 * width, kernel_size=1)
    three = part("expand3x3", squeezed, num_output=4 * width, pad=1, kernel_size=3)
    return [one, three]


def _head(prefix: str, top: blocks.Top, pad: int, net: Any, classes: int) -> blocks.Top:
    filled = blocks.fillers({"type": "gaussian", "std": 0.01}, frozen=False)
    name, relu, pool = (qualify(prefix, local) for local in ("conv10", "relu_conv10", "pool10"))
    geometry = {"num_output": classes, "pad": pad, "kernel_size": 1}
    top = blocks.conv_relu(net, name, relu, top, frozen=False, **geometry, **filled)
    return blocks.pool(net, pool, top, "AVE", global_pooling=True)
