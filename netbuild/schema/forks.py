"""The forks of Caffe that are known here: what each adds to caffe.proto lies in a file of its own, in `forks/`.

The files say names, numbers, types and defaults as the fork's own caffe.proto has them, also those of upstream's
fields that the fork has otherwise. Numbers mean different things in different forks.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

from .definitions import Definitions, read
from .layer_types import TYPES_OF

_HERE = Path(__file__).parent


class Fork(NamedTuple):
    """A fork of Caffe."""

    name: str
    """What messages call it."""
    home: str
    """Where its source is, on GitHub."""
    file: str
    """The stem of its file in `forks/`."""


FORKS: Tuple[Fork, ...] = (
    Fork("SSD", "weiliu89/caffe, branch ssd", "ssd"),
    Fork("RefineDet", "sfzhang15/RefineDet", "refinedet"),
    Fork("MobileNet-YOLO", "eric612/MobileNet-YOLO", "mobilenet_yolo"),
    Fork("NVIDIA 0.17", "NVIDIA/caffe, branch caffe-0.17", "nvidia_0_17"),
    Fork("NVIDIA 0.15", "NVIDIA/caffe, branch caffe-0.15", "nvidia_0_15"),
    Fork("Intel", "intel/caffe", "intel"),
    Fork("TSN", "yjxiong/caffe", "tsn"),
    Fork("PSPNet", "hszhao/PSPNet", "pspnet"),
    Fork("DeepLab", "TheLegendAli/DeepLab-Context", "deeplab"),
    Fork("SegNet", "alexgkendall/caffe-segnet", "segnet"),
    Fork("FlowNet2", "lmb-freiburg/flownet2", "flownet2"),
    Fork("SphereFace", "wy1iu/sphereface", "sphereface"),
    Fork("caffe-face", "ydwen/caffe-face", "caffe_face"),
    Fork("kendryte-caffe", "the wheel of this name on PyPI", "kendryte"),
    Fork("BVLC/caffe with pull request 3057", "BVLC/caffe, pull request 3057", "pull_3057"),
)
"""Where two forks give a number to different fields, the net in memory has the first one's; text goes by names."""


@lru_cache(maxsize=None)
def upstream() -> Definitions:
    """Return the definitions of upstream Caffe 1.0."""
    return read(_HERE / "caffe.proto")


@lru_cache(maxsize=None)
def of_fork(fork: Fork) -> Definitions:
    """Return what a fork adds to upstream's definitions, and what it has otherwise."""
    return read(_HERE / "forks" / f"{fork.file}.proto")


@lru_cache(maxsize=None)
def _owners() -> Dict[Tuple[str, str], List[Fork]]:
    """Return the forks that have each field and each value of an enum which upstream lacks."""
    owners: Dict[Tuple[str, str], List[Fork]] = {}
    for fork in FORKS:
        added = of_fork(fork)
        for kinds, known in ((added.messages, upstream().messages), (added.enums, upstream().enums)):
            for kind, names in kinds.items():
                for name in names:
                    if name not in known.get(kind, ()):
                        owners.setdefault((kind, name), []).append(fork)
    return owners


def forks_of(kind: str, name: str) -> Tuple[Fork, ...]:
    """Return the forks that have a field of a message, or a value of an enum; none for what upstream has, or nobody.

    Args:
        kind: The message or enum, such as 'PoolingParameter' or 'EltwiseParameter.EltwiseOp'.
        name: The field or value.
    """
    return tuple(_owners().get((kind, name), ()))


def forks_with(layer_type: str) -> Tuple[Fork, ...]:
    """Return the forks that have a layer type; none for upstream's, and for those that nobody has."""
    return tuple(fork for fork in FORKS if layer_type in TYPES_OF.get(fork.name, ()))
