"""The forks of Caffe that are known here: what each adds to caffe.proto lies in a file of its own, in `forks/`.

The files say names, numbers, types and defaults as the fork's own caffe.proto has them, also those of upstream's
fields that the fork has otherwise. What several have in common is in a file that theirs import. Numbers mean different
things in different forks.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Tuple

from .definitions import Definitions, read
from .kept import kept
from .layer_types import FILLERS_OF, TYPES_OF

_HERE = Path(__file__).parent
_UPSTREAM = _HERE / "caffe.proto"


class Fork(NamedTuple):
    """A fork of Caffe."""

    name: str
    """What messages call it."""
    file: str
    """The stem of its file in `forks/`, which says where its source is."""


FORKS: Tuple[Fork, ...] = (
    Fork("SSD", "ssd"),
    Fork("RefineDet", "refinedet"),
    Fork("MobileNet-YOLO", "mobilenet_yolo"),
    Fork("NVIDIA 0.17", "nvidia_0_17"),
    Fork("NVIDIA 0.15", "nvidia_0_15"),
    Fork("Intel", "intel"),
    Fork("TSN", "tsn"),
    Fork("PSPNet", "pspnet"),
    Fork("DeepLab", "deeplab"),
    Fork("SegNet", "segnet"),
    Fork("FlowNet2", "flownet2"),
    Fork("SphereFace", "sphereface"),
    Fork("caffe-face", "caffe_face"),
    Fork("kendryte-caffe", "kendryte"),
    Fork("BVLC/caffe with pull request 3057", "pull_3057"),
)
"""Where two forks give a number to different fields, the net in memory has the first one's; text goes by names."""


def _texts() -> List[Path]:
    """Return the files with the definitions of all Caffes that are known here, those that others import included."""
    return [_UPSTREAM, *sorted((_HERE / "forks").glob("*.proto"))]


@lru_cache(maxsize=None)
def sources() -> bytes:
    """Return all that definitions are made of: the texts of the known Caffes, and the program that reads them."""
    programs = [_HERE / "definitions.py", Path(__file__)]
    return b"\0".join(file.read_bytes() for file in [*_texts(), *programs])


def _text_of(fork: Fork) -> Path:
    return _HERE / "forks" / f"{fork.file}.proto"


@lru_cache(maxsize=None)
def upstream() -> Definitions:
    """Return the definitions of upstream Caffe 1.0."""
    return read(_UPSTREAM)


@lru_cache(maxsize=None)
def of_fork(fork: Fork) -> Definitions:
    """Return what a fork adds to upstream's definitions, and what it has otherwise."""
    return read(_text_of(fork))


@lru_cache(maxsize=None)
def _owners() -> Dict[str, str]:
    """Return the forks, as numbers, that have each message, field, enum and value which upstream lacks."""
    # Asked for every net: to read all texts for it would take half the time that a small command takes.
    lines = kept("forks", sources(), _owners_as_lines).decode("utf-8").splitlines()
    return {name: forks for name, _, forks in (line.partition(" ") for line in lines)}


def _owners_as_lines() -> bytes:
    """Return a line for each name: 'PoolingParameter.ceil_mode 0 3'."""
    theirs = upstream()
    known = {*_names(theirs.messages), *_names(theirs.enums)}
    owners: Dict[str, List[int]] = defaultdict(list)
    for number, fork in enumerate(FORKS):
        added = of_fork(fork)
        for name in dict.fromkeys([*_names(added.messages), *_names(added.enums)]):
            if name not in known:
                owners[name].append(number)
    return "\n".join(" ".join([name, *map(str, numbers)]) for name, numbers in owners.items()).encode("utf-8")


def _names(kinds: Mapping[str, Iterable[str]]) -> Iterator[str]:
    for kind, names in kinds.items():
        yield kind
        yield from (f"{kind}.{name}" for name in names)


def forks_of(kind: str, name: str = "") -> Tuple[Fork, ...]:
    """Return the forks that have a field of a message, or a value of an enum; none for what upstream has, or nobody.

    Args:
        kind: The message or enum, such as 'PoolingParameter' or 'EltwiseParameter.EltwiseOp'.
        name: The field or value; '' for the message or enum itself.
    """
    numbers = _owners().get(f"{kind}.{name}" if name else kind, "")
    return tuple(FORKS[int(number)] for number in numbers.split())


@lru_cache(maxsize=None)
def forks_with(layer_type: str) -> Tuple[Fork, ...]:
    """Return the forks that have a layer type; none for upstream's, and for those that nobody has."""
    return tuple(fork for fork in FORKS if layer_type in TYPES_OF.get(fork.name, ()))


@lru_cache(maxsize=None)
def forks_with_filler(filler_type: str) -> Tuple[Fork, ...]:
    """Return the forks that have a type of filler which upstream lacks."""
    return tuple(fork for fork in FORKS if filler_type in FILLERS_OF.get(fork.name, ()))
