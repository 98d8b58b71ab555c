"""The forks' layers without bottoms: annotated images, images with label images, videos."""

from __future__ import annotations

from typing import List, Optional, Tuple

from ..schema import Message
from .detection import annotated
from .lengths import Length, Rule, Shape, Shapes, UnfitError, require_positive
from .row import Training
from .sources import changes_at_random, crops, cut_size


def annotated_data(layer: Message, _bottoms: List[Shape]) -> Shapes:
    """AnnotatedData of SSD: images, and their boxes where the options say that there are boxes."""
    batch: Length = layer.data_param.batch_size or None
    images: Shape = (batch, None, *cut_size(layer.transform_param))
    return [images, annotated(layer.annotated_data_param), None][: len(layer.top)], []


_TSNS = (
    *("batch_size", "crop_size", "encoded", "grayscale", "mean_file", "mirror", "modality", "name_pattern"),
    *("new_height", "new_length", "new_width", "num_segments", "rand_skip", "scale", "shuffle", "source"),
)
_SSDS = ("device_id", "skip_frames", "video_file", "video_type")


def video_data(layer: Message, _bottoms: List[Shape]) -> Shapes:
    """VideoData: TSN's reads a list of videos and takes segments of them, SSD's a camera or one file."""
    p = layer.video_data_param
    tsns, ssds = (any(map(p.HasField, names)) for names in (_TSNS, _SSDS))
    if tsns == ssds:
        return [None] * len(layer.top), []
    if ssds:
        batch: Length = layer.data_param.batch_size or None
        frames: List[Shape] = [(batch, None, *cut_size(layer.transform_param)), (batch,)]
        return frames[: len(layer.top)], []
    require_positive("batch_size", [p.batch_size])
    size = cut_size(layer.transform_param, p.new_height or None, p.new_width or None)
    segments: List[Shape] = [(p.batch_size, None, *size), (p.batch_size, 1, 1, 1)]
    return segments[: len(layer.top)], []


def images_with_label_images(param: str) -> Rule:
    """Return the rule of ImageSegData (DeepLab, PSPNet) or DenseImageData (SegNet): images, and a label for each place.

    ImageSegData gives the size of each image as a third top.
    """

    def rule(layer: Message, _bottoms: List[Shape]) -> Shapes:
        options = getattr(layer, param)
        require_positive("batch_size", [options.batch_size])
        batch = options.batch_size
        size = _own_cut(options, cut_size(layer.transform_param, options.new_height or None, options.new_width or None))
        labels: Shape = (batch, 1, *size)
        if param == "image_data_param" and options.label_type != options.PIXEL:
            labels = None
        tops: List[Shape] = [(batch, 3 if options.is_color else 1, *size), labels, (batch, 1, 1, 2)]
        return tops[: len(layer.top)], []

    return rule


def _own_cut(options: Message, size: Tuple[Length, Length]) -> Tuple[Length, Length]:
    """Return the size after DenseImageData's own crop."""
    if "crop_height" not in options.DESCRIPTOR.fields_by_name:
        return size
    if (not options.crop_height) != (not options.crop_width):
        raise UnfitError("crop_height and crop_width must be given together")
    return (options.crop_height or size[0], options.crop_width or size[1])


def seg_data(layer: Message, _bottoms: List[Shape]) -> Shapes:
    """SegData of TSN: one image and its label image, of a size that the image tells."""
    tops: List[Shape] = [(1, None, None, None), (1, None, None, None)]
    return tops[: len(layer.top)], []


def mat_read(layer: Message, _bottoms: List[Shape]) -> Shapes:
    """MatRead of DeepLab: arrays out of .mat files."""
    require_positive("batch_size", [layer.mat_read_param.batch_size])
    return [(layer.mat_read_param.batch_size, None, None, None)] * len(layer.top), []


def changes_footage(param: Optional[str]) -> Training:
    """Return what the forks' data layers draw: order and beginning, changes of images, in TRAIN the place of a crop."""

    def draws_in_test(layer: Message) -> bool:
        own = [] if param is None else [getattr(layer, param)]
        asked = [name for options in (*own, layer.data_param) for name in _DRAWN if getattr(options, name, False)]
        return bool(asked) or changes_at_random(layer.transform_param)

    def draws(layer: Message) -> bool:
        own_crop = param is not None and getattr(getattr(layer, param), "crop_height", False)
        return bool(own_crop) or crops(layer.transform_param) or draws_in_test(layer)

    return Training(draws=draws, draws_in_test=draws_in_test, statistics=None, remembers=False, own_code=False)


_DRAWN = ("shuffle", "rand_skip", "mirror", "batch_sampler")
