"""Mean files: the one reader of what Caffe takes from them."""

from __future__ import annotations

import math
import os
import warnings
from typing import List, NamedTuple

from ..errors import NetbuildError
from ..files import PathLike, existing_file
from ..layers.lengths import counted
from ..schema import Message, schema
from ..what_is import BLOB, said

_AXES = 4
_LEGACY = ("num", "channels", "height", "width")


class Mean(NamedTuple):
    """The size of a mean image."""

    channels: int
    height: int
    width: int


def read_mean(path: PathLike) -> Mean:
    """Return the size of a mean file; NetbuildError for one that is not there, or that Caffe does not take."""
    import numpy as np
    from google.protobuf.message import DecodeError

    what = f"mean file {os.fspath(path)!r}"
    raw = existing_file(path, "mean file").read_bytes()
    blob = schema().BlobProto()
    try:
        with warnings.catch_warnings():
            # Where bytes are left over, a protobuf of those years only warns.
            warnings.simplefilter("error")
            blob.ParseFromString(raw)
    except (DecodeError, RuntimeWarning, SystemError):
        foreign = said(path, BLOB) or "is no BlobProto, as compute_image_mean writes it; is it another file?"
        raise NetbuildError(f"{what}: {foreign}") from None
    foreign = said(path, BLOB)
    if foreign:
        # Any message is one of fields that are not known.
        raise NetbuildError(f"{what}: {foreign}")
    lengths = _lengths(blob)
    values = blob.double_data or blob.data
    if len(lengths) > _AXES or min(lengths, default=0) < 1 or math.prod(lengths) != len(values):
        shape = " x ".join(map(str, lengths)) or "no length"
        raise NetbuildError(
            f"{what}: has {counted(len(values), 'value')} for a shape of {shape}; expected is a BlobProto with a value "
            "for each pixel, 1 x C x H x W"
        )
    if not np.isfinite(values).all():
        raise NetbuildError(f"{what}: has values that are no finite numbers; the net would see none either")
    return Mean(*[*lengths, 1, 1, 1][1:_AXES])


def _lengths(blob: Message) -> List[int]:
    if any(map(blob.HasField, _LEGACY)):
        return [getattr(blob, name) for name in _LEGACY]
    return list(blob.shape.dim)
