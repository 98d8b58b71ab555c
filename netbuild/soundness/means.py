"""Mean files against the images of a layer.

Caffe subtracts the mean before it crops, so that it is of the size of whole images (C, H, W), resized where they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, Optional

from ..branches.declared import cut_of, declared_by, resize_of
from ..data.means import Mean, read_mean
from ..files import is_there
from ..layers.lengths import counted
from ..schema import Message
from .data_fault import DataFault, Severity
from .images import InspectedImages, size_text


def mean_faults(layer: Message, images: Optional[InspectedImages]) -> Iterator[DataFault]:
    """Yield what is wrong with a layer's mean file; `images` are those of its list, where that is there.

    Raises NetbuildError for a file that Caffe does not take.
    """
    path = layer.transform_param.mean_file
    if not path:
        return
    if not is_there(path, "mean file"):
        yield DataFault(
            f"the mean file {path!r} is not there; layer {layer.name!r} reads it, and Caffe looks for it from the "
            f"folder in which it runs ({Path.cwd()})",
            Severity.ELSEWHERE,
        )
        return
    mean = read_mean(path)
    sentence = _of_options(layer, mean) or (_of_images(images, mean) if images and not resize_of(layer) else None)
    if sentence:
        size = f"{mean.channels} x {mean.height} x {mean.width}"
        yield DataFault(
            f"layer {layer.name!r}: its mean file {path!r} is {size} (channels, height, width), and {sentence}; Caffe "
            "subtracts it before the crop: take the mean of such images, or a mean_value for each channel"
        )


def _of_options(layer: Message, mean: Mean) -> Optional[str]:
    """Return how the layer's own fields contradict the mean."""
    channels, cut = declared_by(layer, None).channels, cut_of(layer)
    if channels is not None and channels != mean.channels:
        return f"its images have {counted(channels, 'channel')}"
    if cut and cut.resize and cut.resize != mean[1:]:
        return "its images are resized to {} x {}".format(*cut.resize)
    if cut and cut.crop and cut.crop > min(mean[1:]):
        return f"its images are cropped to {cut.crop} x {cut.crop}"
    return None


def _of_images(images: InspectedImages, mean: Mean) -> Optional[str]:
    """Return which image has another size than the mean."""
    unlike = [one for one in images.sized() if one.header.size != mean[1:]]
    if not unlike:
        return None
    return f"{images.named(unlike[0].entry)} is {size_text(unlike[0].header.size)}{images.such(len(unlike))}"
