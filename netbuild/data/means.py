"""Mean files: the one reader of what Caffe takes from them, and whether they fit the images of a layer.

Caffe subtracts the mean before it crops, so that it is of the size of whole images (C, H, W), resized where they are.
"""

from __future__ import annotations

import math
import os
import warnings
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional

from ..branches.told import cut_of, resize_of, told_by
from ..engine.caffe import Message, schema
from ..errors import NetbuildError
from ..files import PathLike, existing_file, is_there
from ..layers.lengths import counted
from .contents import Found, size_text
from .fault import Fault, Weight

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
        raise NetbuildError(f"{what}: is no BlobProto, as compute_image_mean writes it; is it another file?") from None
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


def mean_faults(layer: Message, found: Optional[Found]) -> Iterator[Fault]:
    """Yield what is wrong with a layer's mean file; `found` are the images of its list, where that is there.

    Raises NetbuildError for a file that Caffe does not take.
    """
    path = layer.transform_param.mean_file
    if not path:
        return
    if not is_there(path, "mean file"):
        yield Fault(
            f"the mean file {path!r} is not there; layer {layer.name!r} reads it, and Caffe looks for it from the "
            f"folder in which it runs ({Path.cwd()})",
            Weight.ELSEWHERE,
        )
        return
    mean = read_mean(path)
    sentence = _of_options(layer, mean) or (_of_images(found, mean) if found and not resize_of(layer) else None)
    if sentence:
        size = f"{mean.channels} x {mean.height} x {mean.width}"
        yield Fault(
            f"layer {layer.name!r}: its mean file {path!r} is {size} (channels, height, width), and {sentence}; Caffe "
            "subtracts it before the crop: take the mean of such images, or a mean_value for each channel"
        )


def _of_options(layer: Message, mean: Mean) -> Optional[str]:
    """Return what the layer's own fields tell of its images that the mean is not."""
    channels, cut = told_by(layer, None).channels, cut_of(layer)
    if channels is not None and channels != mean.channels:
        return f"its images have {counted(channels, 'channel')}"
    if cut and cut.resize and cut.resize != mean[1:]:
        return "its images are resized to {} x {}".format(*cut.resize)
    if cut and cut.crop and cut.crop > min(mean[1:]):
        return f"its images are cropped to {cut.crop} x {cut.crop}"
    return None


def _of_images(found: Found, mean: Mean) -> Optional[str]:
    """Return which image is of another size than the mean."""
    unlike = [one for one in found.images if one.header.size not in (None, mean[1:]) and not one.header.turned]
    if not unlike:
        return None
    return f"{found.named(unlike[0].entry)} is {size_text(unlike[0].header.size)}{found.such(len(unlike))}"
