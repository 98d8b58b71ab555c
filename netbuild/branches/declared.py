"""What a net's own data layers declare of the preparation of its images: the only place that reads it out of them."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Dict, List, Mapping, Optional, Tuple

from ..errors import NetbuildWarning
from ..graph.feed import sources, without_batch
from ..graph.view import Views
from ..layers import Shape
from ..layers.lengths import in_full
from ..layers.roles import cuts_images, reads, reads_list
from ..layers.row import Reads
from ..layers.sources import changes_images_as_a_fork_does
from ..schema import TEST, TRAIN, Message
from .branch import Cut, Input

_GREY, _COLOUR = 1, 3
_IMAGE_AXES = 4


def sources_of(net: Message) -> Dict[str, Message]:
    """Return the layer that brings in each input blob of a net of one phase."""
    return {top: layer for layer in sources(net.layer) for top in layer.top}


def declared_by(layer: Message, shape: Shape) -> Input:
    """Return what a layer declares of the input that it brings in; `shape` is the blob's, as far as it is known."""
    known = None if shape is None else in_full(shape[1:])
    transform = layer.transform_param
    cut = _warped(layer) if reads(layer) is Reads.WINDOWS else cut_of(layer)
    return Input(
        shape=known,
        mean=tuple(transform.mean_value),
        scale=_scale(layer),
        resize=known is not None and len(known) == _IMAGE_AXES - 1,
        layer=layer.name,
        mean_file=transform.mean_file or None,
        prepared=_declares(layer),
        channels=None if known else _channels(layer),
        declared=in_full(shape),
        # By chance in TEST too, where one layer stands for both phases; netbuild's own tests give the same each time.
        test=cut and cut._replace(mirror=False),
        train=cut,
        decoded=_decoded(layer),
        from_database=reads(layer) is Reads.DATABASE,
        root_folder=layer.image_data_param.root_folder,
    )


def features_of(shape: Shape) -> Input:
    """Return what is known of a blob that a net makes itself, and that is now to come from elsewhere: no images."""
    known = in_full(shape[1:]) if shape else None
    return Input(shape=known, channels=shape[1] if shape and len(shape) > 1 and not known else None)


def with_batch_axis(inputs: Mapping[str, Input]) -> Dict[str, Input]:
    """Return what is declared of the inputs of one net, with those told apart whose first axis is not N."""
    shapes = {blob: one.declared for blob, one in inputs.items() if one.declared is not None}
    without = without_batch(shapes)
    return {blob: dataclasses.replace(one, batched=blob not in without) for blob, one in inputs.items()}


def _scale(layer: Message) -> float:
    # Caffe's WindowData goes by a field of its own, and by no other.
    of_windows = reads(layer) is Reads.WINDOWS
    return float(layer.window_data_param.scale if of_windows else layer.transform_param.scale)


def _declares(layer: Message) -> bool:
    """Tell whether a layer says what is done to its images' values; what a program puts into memory it has prepared,
    unless the layer says more. What a fork's options do to them, upstream's data layers cannot do again."""
    if changes_images_as_a_fork_does(layer.transform_param):
        return False
    if reads(layer) is Reads.PROGRAM:
        return bool(
            layer.transform_param.mean_value or layer.transform_param.mean_file or layer.transform_param.scale != 1
        )
    return reads(layer) not in (Reads.NOTHING, Reads.HDF5)


def _warped(layer: Message) -> Cut:
    """Return how WindowData cuts: each window is resized to the square of its crop."""
    side = layer.transform_param.crop_size
    return Cut((side, side), None, layer.transform_param.mirror)


def cut_of(layer: Message) -> Optional[Cut]:
    """Return how a layer cuts its images, None for one that reads none."""
    if not cuts_images(layer):
        return None
    options, transform = layer.image_data_param, layer.transform_param
    resize = (options.new_height, options.new_width) if options.new_height and options.new_width else None
    return Cut(resize, transform.crop_size or None, transform.mirror)


def resize_of(layer: Message) -> Optional[Tuple[int, int]]:
    """Return (height, width) that a layer resizes its images to, None for one that does not."""
    cut = cut_of(layer)
    return None if cut is None else cut.resize


def images_of(of_phases: Views) -> Dict[str, Input]:
    """Return what a net, in TEST where it has that phase, declares of each input of images, (N, C, H, W)."""
    view = of_phases.get(TEST) or of_phases[TRAIN]
    trains = sources_of(of_phases[TRAIN].only) if TRAIN in of_phases else {}
    shapes = view.fitting_shapes().blobs
    found: Dict[str, Input] = {}
    for blob, layer in sources_of(view.only).items():
        shape = shapes.get(blob)
        if (cuts_images(layer) and blob == layer.top[0]) or (shape is not None and len(shape) == _IMAGE_AXES):
            found[blob] = in_training_too(declared_by(layer, shape), trains.get(blob), "the net")
    return found


def in_training_too(declared: Input, layer: Optional[Message], source: str) -> Input:
    """Return what a net declares of an input that another layer brings in for TRAIN; `source` names it in a note."""
    if layer is None:
        return declared
    other = declared_by(layer, None)
    if other.prepared and declared.prepared and _values(other) != _values(declared):
        warnings.warn(
            f"{source}: its data layers of TRAIN and TEST prepare images differently (TRAIN: {values_text(other)}; "
            f"TEST: {values_text(declared)}); what TEST does is taken for both",
            NetbuildWarning,
            stacklevel=2,
        )
    return dataclasses.replace(declared, train=other.train or declared.train)


def of_both_files(first: Input, last: Optional[Input]) -> Input:
    """Return what two files of one net declare of an input, that of TRAIN being the first."""
    if last is None:
        return first
    known = first if last.shape is None else last
    return dataclasses.replace(
        last, train=first.train or last.train, shape=known.shape, declared=known.declared, batched=known.batched
    )


def values_text(declared: Input) -> str:
    """Return in words what is done to the values 0..255 of an image."""
    done: List[str] = []
    if declared.mean_file:
        done.append(f"less the mean file {declared.mean_file!r}")
    elif any(declared.mean):
        done.append(f"less {', '.join(f'{value:g}' for value in declared.mean)}")
    if declared.scale != 1:
        done.append(f"times {declared.scale:g}")
    return ", ".join(done) or "raw pixels 0..255"


def cut_text(cut: Cut) -> str:
    """Return in words how much of an image is seen."""
    size = "resized to {} x {}".format(*cut.resize) if cut.resize else "in the size in which they are stored"
    return size + (f", cropped to {cut.crop} x {cut.crop}" if cut.crop else "") + (", mirrored" if cut.mirror else "")


def described(declared: Input) -> str:
    """Return in words how images are prepared: 'resized to 32 x 32, cropped to 24 x 24; less 100, times 0.5'."""
    if not declared.prepared:
        return "nothing here tells how they are prepared"
    cuts = [f"{cut_text(declared.test)}"] if declared.test else []
    if declared.train and declared.train != declared.test:
        cuts.append(f"in TRAIN {cut_text(declared.train)}")
    return "; ".join([*cuts, values_text(declared)])


def _values(declared: Input) -> object:
    return declared.mean, declared.scale, declared.mean_file


def _channels(layer: Message) -> Optional[int]:
    if reads_list(layer):
        return _COLOUR if layer.image_data_param.is_color else _GREY
    decoded = _decoded(layer)
    if decoded is not None:
        return _COLOUR if decoded else _GREY
    # Caffe takes one mean for all channels, or one for each.
    means = len(layer.transform_param.mean_value) if cuts_images(layer) else 0
    return means if means > 1 else None


def _decoded(layer: Message) -> Optional[bool]:
    transform = layer.transform_param
    return bool(transform.force_color) if transform.force_color or transform.force_gray else None
