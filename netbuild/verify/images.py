"""How the images of a branch come to it: through the original net's data layer, and through the fused net's.

The blobs that `verify` compares are fed with the same values. Whether both nets make these of the same image files is
looked at here: both data layers, and what prepares images at the head of the branch, run in Caffe on the same files.
"""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .. import proto
from .._caffe import TEST, Message, schema
from .._child import run
from ..branches.told import READ_IMAGES, sources_of
from ..errors import CaffeError, NetbuildError
from ..files import PathLike, existing_file
from ..graph.feed import is_input
from ..graph.flow import Flow
from ..shapes import infer

_FROM_LIST, _MADE = 4, 2
"""So many images are taken of a list, or made where there is none."""
_SIDE = 40
"""Of images that are made and nobody resizes or crops."""


@dataclass(frozen=True)
class ImageComparison:
    """What came of one image file in both nets."""

    images: str = ""
    """Which ones were read."""
    difference: float = 0.0
    """The largest absolute difference of a value that the branch reads; infinite where the shapes differ."""
    unknown: str = ""
    """Why nothing was compared; '' where something was."""

    @property
    def equal(self) -> Optional[bool]:
        """Whether each image reached the branch bit-equal; None where none was compared."""
        return None if self.unknown else not self.difference


class Pair(NamedTuple):
    """One input of a branch: the original's data layer, and the layers that make the like of it in the fused net."""

    own: Message
    blob: str
    layers: Sequence[Message]
    fused_blob: str

    @property
    def sources(self) -> List[Message]:
        """The data layers of both."""
        return [self.own, *[layer for layer in self.layers if is_input(layer)]]


def compare_images(
    fused: Message,
    original: Message,
    readers: Mapping[str, Tuple[str, int]],
    images: Sequence[PathLike] = (),
) -> ImageComparison:
    """Let both nets prepare the images given, or those that a list names which is there, or such as are made for it.

    The nets are of TEST phase; `readers` gives each of the original's inputs the layer of the fused net that reads the
    like, and as which bottom. No error is raised for what cannot be compared: it is said.
    """
    pairs = [_pair(fused, original, blob, reader) for blob, reader in readers.items()]
    unknown = next((one for one in pairs if isinstance(one, str)), "")
    known = [pair for pair in pairs if isinstance(pair, Pair)]
    if unknown or not known:
        return ImageComparison(unknown=unknown or "it reads no input")
    with tempfile.TemporaryDirectory() as folder:
        found = [_compared(pair, [str(existing_file(one, "image")) for one in images], folder) for pair in known]
    return max(found, key=lambda one: (bool(one.unknown), one.difference))


def _pair(fused: Message, original: Message, blob: str, reader: Tuple[str, int]) -> object:
    """Return what is to be compared of one input, or why it cannot be."""
    own = sources_of(original)[blob]
    if own.type not in READ_IMAGES:
        return f"the original's {blob!r} comes from a layer of type {own.type}, which tells nothing of images"
    number = next(number for number, layer in enumerate(fused.layer) if layer.name == reader[0])
    flow = Flow(list(enumerate(fused.layer)))
    before = sorted(flow.behind([flow.sources[number][reader[1]]]))
    part = type(fused)(layer=[fused.layer[index] for index in before])
    if any(shapes or shapes is None for shapes in infer(part, TEST).params.values()):
        return "it reads what another branch computes"
    missing = next((layer for layer in part.layer if is_input(layer) and layer.type not in READ_IMAGES), None)
    if missing is not None:
        return f"the fused net's {missing.top[0]!r} comes from a layer of type {missing.type}, which reads no images"
    return _without_missing_means(Pair(own, blob, list(part.layer), str(fused.layer[number].bottom[reader[1]])))


def _without_missing_means(pair: Pair) -> object:
    files = [layer.transform_param.mean_file for layer in pair.sources]
    missing = next((file for file in files if file and not Path(file).is_file()), None)
    return pair if missing is None else f"the mean file {missing!r} is not there (looked from {str(Path.cwd())!r})"


def _compared(pair: Pair, given: List[str], folder: str) -> ImageComparison:
    unknown = ""
    for images, paths in _choices(pair, given, folder):
        listing = Path(folder) / "images.txt"
        listing.write_text("".join(f"{path} 0\n" for path in paths), "utf-8", "surrogateescape")
        texts = [
            (_text([_reading(pair.own, pair, listing)]), pair.blob),
            (_text([_reading(one, pair, listing) if is_input(one) else one for one in pair.layers]), pair.fused_blob),
        ]
        try:
            job: Dict[str, Any] = {"own": texts[0], "fused": texts[1], "count": len(paths)}
            return ImageComparison(images, next(run("netbuild.verify.engine:prepared", **job)))
        except CaffeError as error:
            # An image of a list may be damaged, or of a size that a mean file does not fit: others may do.
            unknown = f"on {images}: {error}"
    return ImageComparison(unknown=unknown)


def _choices(pair: Pair, given: List[str], folder: str) -> Iterator[Tuple[str, List[str]]]:
    """Yield what to call the images, and their paths; what comes first is tried first."""
    if given:
        yield f"{len(given)} images given", given
        return
    for layer in reversed(pair.sources):
        listed = _listed(layer)
        if listed:
            yield f"{len(listed)} images of {layer.image_data_param.source}", listed
            break
    yield f"{_MADE} images made for it", _made(pair, folder)


def _listed(layer: Message) -> List[str]:
    """Return the first images of a layer's list that are there."""
    options = layer.image_data_param
    if layer.type != "ImageData" or not Path(options.source).is_file():
        return []
    with Path(options.source).open(encoding="utf-8", errors="surrogateescape") as lines:
        paths = [options.root_folder + line.rstrip().rpartition(" ")[0] for line in islice(lines, _FROM_LIST)]
    return [str(Path(path).absolute()) for path in paths if Path(path).is_file()]


def _made(pair: Pair, folder: str) -> List[str]:
    import numpy as np

    height, width = _size(pair)
    random = np.random.default_rng(0)
    paths = [Path(folder) / f"{number}.png" for number in range(_MADE)]
    for path in paths:
        path.write_bytes(_png(random.integers(0, 256, (height, width, 3), np.uint8)))
    return list(map(os.fspath, paths))


def _png(pixels: Any) -> bytes:
    """Return uint8 (H, W, 3) as a PNG, the format that every build of Caffe reads: each row after its filter, none."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def _size(pair: Pair) -> Tuple[int, int]:
    """Return (height, width) of images that suit both data layers.

    A layer that does not resize was made for images of its size: that of a mean file, or to which the other resizes.
    """
    resized, means = [_resize(layer) for layer in pair.sources], [_mean_size(layer) for layer in pair.sources]
    fixed = [mean for mean, size in zip(means, resized) if mean and not size]
    if not all(resized):
        fixed += [size for size in resized if size]
    side = max(layer.transform_param.crop_size for layer in pair.sources) or _SIDE
    # Not square, and larger than any crop: what is resized or cropped otherwise comes out otherwise.
    return fixed[0] if fixed else (side + 5, side + 8)


def _resize(layer: Message) -> Optional[Tuple[int, int]]:
    options = layer.image_data_param
    return (options.new_height, options.new_width) if options.new_height and options.new_width else None


def _mean_size(layer: Message) -> Optional[Tuple[int, int]]:
    if not layer.transform_param.mean_file:
        return None
    mean = _mean(layer.transform_param.mean_file)
    lengths = list(mean.shape.dim) or [mean.height, mean.width]
    return (lengths[-2], lengths[-1]) if len(lengths) > 1 else None


def _mean(path: str) -> Message:
    from google.protobuf.message import DecodeError

    try:
        return schema().BlobProto.FromString(existing_file(path, "mean file").read_bytes())
    except DecodeError:
        raise NetbuildError(f"mean file {path!r}: is no mean image (binaryproto)") from None


def _reading(layer: Message, pair: Pair, listing: Path) -> Message:
    """Return a data layer reading the images of a list one by one, each as it is; a database's images come as the other
    net's do, in the size to which that resizes them."""
    changed = proto.copied(layer)
    changed.transform_param.ClearField("mirror")
    options = changed.image_data_param
    if layer.type != "ImageData":
        other = next((one for one in pair.sources if one.type == "ImageData"), None)
        changed.ClearField("data_param")
        changed.type = "ImageData"
        options.is_color = other.image_data_param.is_color if other is not None else not _is_grey(layer)
        size = _resize(other) if other is not None else None
        if size:
            options.new_height, options.new_width = size
    options.source, options.batch_size = str(listing), 1
    for field in ("root_folder", "shuffle", "rand_skip"):
        options.ClearField(field)
    if len(changed.top) == 1:
        changed.top.append(f"{changed.top[0]}_label")
    return changed


def _is_grey(layer: Message) -> bool:
    return bool(layer.transform_param.force_gray)


def _text(layers: Sequence[Message]) -> str:
    return proto.to_text(schema().NetParameter(layer=layers))
