"""Image files for two nets to read, so that what their data layers make of them can be compared."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from .. import proto
from ..branches.declared import resize_of
from ..data.listing import first_paths
from ..data.means import read_mean
from ..errors import NetbuildError
from ..layers.lengths import counted
from ..layers.roles import reads, reads_list
from ..layers.row import Reads
from ..schema import Message

_FROM_LIST, _MADE = 4, 2
"""So many images are taken of a list, or made where there is none."""
_SIDE = 40
"""Of images that are made and nobody resizes or crops."""


def choices(sources: Sequence[Message], images: List[str], folder: Path) -> Iterator[Tuple[str, List[str]]]:
    """Yield what to call the images that these data layers are to read, and their paths; the first are tried first.

    The images given; else those of a list that is there, the last layer's first; then such as are made in the folder.
    """
    if images:
        yield f"{counted(len(images), 'image')} given", images
        return
    for layer in reversed(sources):
        listed = _listed(layer)
        if listed:
            yield f"{counted(len(listed), 'image')} of {layer.image_data_param.source}", listed
            break
    yield f"{counted(_MADE, 'image')} made for it", _made(sources, folder)


def _listed(layer: Message) -> List[str]:
    """Return the first images of a layer's list that are there."""
    options = layer.image_data_param
    if not reads_list(layer) or not Path(options.source).is_file():
        return []
    try:
        paths = first_paths(options.source, _FROM_LIST, options.root_folder)
    except (OSError, NetbuildError):
        return []
    return [str(path.absolute()) for path in paths if path.is_file()]


def _made(sources: Sequence[Message], folder: Path) -> List[str]:
    import numpy as np

    height, width = _size(sources)
    random = np.random.default_rng(0)
    paths = [folder / f"{number}.png" for number in range(_MADE)]
    for path in paths:
        path.write_bytes(_png(random.integers(0, 256, (height, width, 3), np.uint8)))
    return list(map(os.fspath, paths))


def _png(pixels: Any) -> bytes:
    """Return uint8 (H, W, 3) as a PNG, the format that every build of Caffe reads; rows have the filter 'none'."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def _size(sources: Sequence[Message]) -> Tuple[int, int]:
    """Return (height, width) of images that suit these data layers."""
    fixed = _fixed_size(sources)
    if fixed is not None:
        return fixed
    side = max(layer.transform_param.crop_size for layer in sources) or _SIDE
    # Not square, and larger than any crop: what is resized or cropped otherwise comes out otherwise.
    return side + 5, side + 8


def _fixed_size(sources: Sequence[Message]) -> Optional[Tuple[int, int]]:
    """Return the one size that a layer can take which does not resize: that of its mean file, or to which another
    layer resizes. None where any will do."""
    unsized = [layer for layer in sources if not resize_of(layer)]
    sizes = [*map(_mean_size, unsized), *(map(resize_of, sources) if unsized else ())]
    return next((size for size in sizes if size), None)


def _mean_size(layer: Message) -> Optional[Tuple[int, int]]:
    """Return (height, width) of a layer's mean file; None where it has none, or one that Caffe will not take."""
    path = layer.transform_param.mean_file
    try:
        return read_mean(path)[1:] if path else None
    except NetbuildError:
        return None


def reading(layer: Message, sources: Sequence[Message], listing: Path) -> Message:
    """Return a data layer reading the images of a list one by one, each as it is."""
    changed = _from_database(layer, sources) if reads(layer) is Reads.DATABASE else proto.copied(layer)
    changed.transform_param.ClearField("mirror")
    options = changed.image_data_param
    options.source, options.batch_size = str(listing), 1
    for field in ("root_folder", "shuffle", "rand_skip"):
        options.ClearField(field)
    if len(changed.top) == 1:
        changed.top.append(f"{changed.top[0]}_label")
    return changed


def _from_database(layer: Message, sources: Sequence[Message]) -> Message:
    """Return a layer of type ImageData in place of one that reads a database.

    Nobody knows the size and colour of the database's images: they come as another of these layers takes them."""
    changed = proto.copied(layer)
    changed.ClearField("data_param")
    changed.type = "ImageData"
    changed.image_data_param.is_color = not layer.transform_param.force_gray
    other = next(filter(reads_list, sources), None)
    if other is not None:
        for field in ("is_color", "new_height", "new_width"):
            setattr(changed.image_data_param, field, getattr(other.image_data_param, field))
    return changed
