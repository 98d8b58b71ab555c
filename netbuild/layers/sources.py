"""Layers without bottoms: what their options tell of the blobs that they feed."""

from __future__ import annotations

from typing import Iterator, List, Sequence, Tuple, TypeVar

from ..schema import Message
from ..schema.forks import forks_of
from .lengths import Length, Rule, Shape, Shapes, UnfitError, count, counted, require_positive
from .row import Filled, Training, Use

Stated = TypeVar("Stated")


def _one_or_each(name: str, values: int, tops: int) -> None:
    if values not in (1, tops):
        raise UnfitError(f"has {counted(values, name)} for {counted(tops, 'top')}; give one, or one for each top")


def _for_each(stated: List[Stated], tops: int) -> List[Stated]:
    """Return what is said once for all tops as many times as there are tops."""
    return stated * tops if len(stated) == 1 else stated


def input_layer(layer: Message, _bottoms: List[Shape]) -> Shapes:
    """Input: one shape for all tops, or one each; without any, the caller feeds what it likes."""
    shapes: List[Shape] = [tuple(shape.dim) for shape in layer.input_param.shape]
    if not shapes:
        return [None] * len(layer.top), []
    _one_or_each("shape", len(shapes), len(layer.top))
    return _for_each(shapes, len(layer.top)), []


def images(param: str) -> Rule:
    """Return the rule of Data or ImageData: the colour and a crop or resize tell part of (N, C, H, W)."""

    def rule(layer: Message, _bottoms: List[Shape]) -> Shapes:
        options = getattr(layer, param)
        batch: Length = options.batch_size or None
        channels: Length = None
        if param == "image_data_param":
            require_positive("batch_size", [options.batch_size])
            channels = 3 if options.is_color else 1
        height, width = _resized(getattr(options, "new_height", 0), getattr(options, "new_width", 0))
        return [(batch, channels, *cut_size(layer.transform_param, height, width)), (batch,)], []

    return rule


def _resized(height: int, width: int) -> Tuple[Length, Length]:
    """Return the size that images are resized to; None for both where they are not."""
    if (not height) != (not width):
        raise UnfitError("new_height and new_width must be given together")
    return height or None, width or None


def cut_size(transform: Message, height: Length = None, width: Length = None) -> Tuple[Length, Length]:
    """Return the size of an image of this height and width after the data layer's transform_param.

    `crop_size` wins; without it the forks go by `crop_h` and `crop_w` (SSD and what came of it: data_transformer.cpp)
    or `crop_height` and `crop_width` (PSPNet), and SSD's resize images to the size of `resize_param` before. Intel's
    and NVIDIA's resize them at random before the crop, and without one each image has a size of its own.
    """
    if transform.crop_size:
        return transform.crop_size, transform.crop_size
    if _is_among(transform, RESIZED_AT_RANDOM):
        height = width = None
    if transform.resize_param:
        height, width = _resized_by(transform.resize_param)
    return (
        transform.crop_h or transform.crop_height or height,
        transform.crop_w or transform.crop_width or width,
    )


def crops(transform: Message) -> bool:
    """Tell whether a data layer cuts a part out of each image: in TRAIN where chance says, in TEST the middle."""
    return any(transform.HasField(name) and getattr(transform, name) for name in _CROPS)


_CROPS = ("crop_size", "crop_h", "crop_w", "crop_height", "crop_width")


def _resized_by(resizes: Sequence[Message]) -> Tuple[Length, Length]:
    """Return the size that SSD's resize gives (InferNewSize); where the smaller side counts, the image tells it."""
    (first, *others) = resizes
    if others or first.resize_mode == first.FIT_SMALL_SIZE:
        return None, None
    return first.height or None, first.width or None


def batches_ahead(use: Use) -> int:
    """Data, ImageData, WindowData: the batches that are filled ahead, besides the one that is handed on as it is."""
    return (int(use.layer.data_param.prefetch) - 1) * sum(map(count, use.tops))


def changes_images(param: str) -> Training:
    """Return what a data layer draws: in any phase the order and beginning that its options say, and mirrors; in
    TRAIN also the place of a crop."""

    def draws_in_test(layer: Message) -> bool:
        options = getattr(layer, param)
        ordered = getattr(options, "shuffle", False) or getattr(options, "rand_skip", 0)
        return bool(ordered or changes_at_random(layer.transform_param))

    def draws(layer: Message) -> bool:
        return crops(layer.transform_param) or draws_in_test(layer)

    return Training(draws=draws, draws_in_test=draws_in_test, statistics=None, remembers=False, own_code=False)


RESIZED_AT_RANDOM = (
    *("random_resize_param", "random_aspect_ratio_param"),
    *("img_rand_resize_lower", "img_rand_resize_upper", "rand_resize_ratio_lower", "rand_resize_ratio_upper"),
    *("vertical_stretch_lower", "vertical_stretch_upper", "horizontal_stretch_lower", "horizontal_stretch_upper"),
)
"""The options of transform_param by which Intel's and NVIDIA's Caffe resize images at random, before any crop."""
CHANGED_AT_RANDOM = (
    *RESIZED_AT_RANDOM,
    *("distort_param", "expand_param", "noise_param", "emit_constraint"),
    *("multi_scale", "scale_ratios", "max_distort", "scale_factors"),
    *("contrast_brightness_adjustment", "smooth_filtering", "apply_probability", "max_smooth"),
    *("min_contrast", "max_contrast", "max_brightness_shift", "max_color_shift"),
)
"""The options of transform_param by which forks change images at random: those above, SSD's, TSN's, PSPNet's and
MobileNet-YOLO's."""


def changes_at_random(transform: Message) -> bool:
    """Tell whether a data layer changes its images at random in any phase, the place of a crop left aside."""
    return bool(transform.mirror) or _is_among(transform, CHANGED_AT_RANDOM)


def _is_among(transform: Message, names: Sequence[str]) -> bool:
    return any(field.name in names for field, _ in transform.ListFields())


def changes_images_as_a_fork_does(transform: Message) -> bool:
    """Tell whether options that only forks have say what becomes of a data layer's images."""
    given = [field.name for field, _ in transform.ListFields()]
    return any(forks_of("TransformationParameter", name) and name not in _NOT_OF_IMAGES for name in given)


_NOT_OF_IMAGES = ("debug_params", "display", "random_seed", "use_gpu_transform")


def shuffles(layer: Message) -> bool:
    """HDF5Data: in any phase, where its option says so."""
    return bool(layer.hdf5_data_param.shuffle)


def window_data(layer: Message, _bottoms: List[Shape]) -> Shapes:
    """WindowData: windows of three channels, all warped to the size of transform_param's crop."""
    crop: int = layer.transform_param.crop_size
    batch: int = layer.window_data_param.batch_size
    require_positive("crop_size", [crop])
    require_positive("batch_size", [batch])
    return [(batch, 3, crop, crop), (batch,)], []


def memory_data(layer: Message, _bottoms: List[Shape]) -> Shapes:
    """MemoryData: all of (N, C, H, W) stands in the definition."""
    p = layer.memory_data_param
    for name in ("batch_size", "channels", "height", "width"):
        require_positive(name, [getattr(p, name)])
    return [(p.batch_size, p.channels, p.height, p.width), (p.batch_size,)], []


def hdf5_data(layer: Message, _bottoms: List[Shape]) -> Shapes:
    """HDF5Data: even the number of axes stands in the files."""
    return [None] * len(layer.top), []


def dummy_data(layer: Message, _bottoms: List[Shape]) -> Shapes:
    """DummyData: `shape`, or the older num, channels, height and width, each once or once for each top."""
    p, tops = layer.dummy_data_param, len(layer.top)
    if len(p.data_filler) not in (0, 1, tops):
        raise UnfitError(
            f"has {counted(len(p.data_filler), 'data_filler')} for {tops} tops; give one, or one for each top"
        )
    names = ("num", "channels", "height", "width")
    if not any(len(getattr(p, name)) for name in names):
        _one_or_each("shape", len(p.shape), tops)
        return _for_each([tuple(shape.dim) for shape in p.shape], tops), []
    if p.shape:
        raise UnfitError("shape and the older num, channels, height and width are both given; choose one")
    for name in names:
        _one_or_each(name, len(getattr(p, name)), tops)
    return list(zip(*(_for_each(list(getattr(p, name)), tops) for name in names))), []


def dummy_data_fillers(layer: Message, _params: List[Shape], tops: List[Shape]) -> Iterator[Filled]:
    """DummyData: one filler for all tops, or one each."""
    fillers = _for_each(list(layer.dummy_data_param.data_filler), len(tops))
    return (Filled("data_filler", filler, shape) for filler, shape in zip(fillers, tops))


def is_filled_once(layer: Message, _tops: List[Shape]) -> bool:
    """A DummyData of constants is filled once."""
    return all(filler.type == "constant" for filler in layer.dummy_data_param.data_filler)


def is_filled_at_random(layer: Message) -> bool:
    """A DummyData is filled anew in each pass, unless with constants; only bilinear is the same each time."""
    return any(filler.type not in ("constant", "bilinear") for filler in layer.dummy_data_param.data_filler)


def parameter(layer: Message, _bottoms: List[Shape]) -> Shapes:
    """Parameter: a learned blob of the shape in its options."""
    shape = tuple(layer.parameter_param.shape.dim)
    return [shape], [shape]


def unknown(layer: Message, _bottoms: List[Shape]) -> Shapes:
    """Python, whose tops and parameters are the user's own code's matter, and types that have no row."""
    return [None] * len(layer.top), None
