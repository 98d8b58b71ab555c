"""What is wrong with how a layer is to read its data, on which Caffe aborts before or as soon as it reads any."""

from __future__ import annotations

from typing import Iterator

from ..schema import Message
from .lengths import Length, counted, differ
from .row import Reads
from .table import of

_TRANSFORMING = (Reads.LIST, Reads.DATABASE, Reads.WINDOWS, Reads.PROGRAM)


def reading_faults(layer: Message, channels: Length) -> Iterator[str]:
    """Yield what is wrong with a data layer's options; `channels` are those of its images, None where not known."""
    reads = of(layer).role.reads
    if reads in _TRANSFORMING:
        yield from _means(layer.transform_param, channels)
    if reads is Reads.WINDOWS:
        yield from _windows(layer)
    if reads is Reads.HDF5:
        yield from _hdf5(layer)


def _means(transform: Message, channels: Length) -> Iterator[str]:
    """A mean is told once, and for all channels (DataTransformer)."""
    values = len(transform.mean_value)
    if transform.HasField("mean_file") and not transform.mean_file:
        yield "mean_file is empty, and Caffe aborts; leave it out"
    elif transform.HasField("mean_file") and values:
        yield "mean_file and mean_value are both given, and Caffe aborts; choose one"
    elif values > 1 and differ(values, channels):
        images = counted(channels or 0, "channel")
        yield f"has {values} mean_value for {images}, and Caffe aborts when it runs; give one, or one for each channel"


def _windows(layer: Message) -> Iterator[str]:
    """Where these are wrong WindowData writes beside its batch, or asks OpenCV for images without size."""
    p, crop = layer.window_data_param, layer.transform_param.crop_size
    if not 0 <= p.fg_fraction <= 1:
        yield f"fg_fraction {p.fg_fraction:g} must be from 0 to 1"
    if 0 < crop <= 2 * p.context_pad:
        yield f"context_pad {p.context_pad} on both sides leaves nothing of the crop_size {crop}"


def _hdf5(layer: Message) -> Iterator[str]:
    if layer.HasField("transform_param"):
        yield (
            "Caffe aborts on its transform_param, for HDF5Data gives values as they are stored; leave it out, and "
            "scale them before they are written"
        )
    if not layer.hdf5_data_param.batch_size:
        yield "batch_size must be given, and at least 1"
