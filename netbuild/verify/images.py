"""How the images of a branch come to it: through the original net's data layer, and through the fused net's.

The blobs that `verify` compares are fed with the same values. Whether both nets make these of the same image files is
asked here: both data layers, and what prepares images at the head of the branch, run in Caffe on the same files.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from .. import proto
from ..branches.declared import sources_of
from ..engine.child import run
from ..errors import CaffeError
from ..files import PathLike, existing_file
from ..graph.view import NetView
from ..layers.roles import cuts_images, is_input
from ..schema import Message, schema
from .samples import choices, reading


@dataclass(frozen=True)
class ImageComparison:
    """One image file as both nets prepare it."""

    images: str = ""
    """Which ones were read."""
    difference: float = 0.0
    """The largest absolute difference of a value that the branch reads; infinite where the shapes differ."""
    level: float = 1.0
    """What becomes of one grey level of 0..255: the original's scale."""
    unknown: str = ""
    """Why nothing was compared; '' where something was."""

    @property
    def equal(self) -> Optional[bool]:
        """Whether each image reached the branch bit-equal; None where none was compared."""
        return None if self.unknown else not self.difference

    @property
    def levels(self) -> float:
        """The difference in grey levels of 0..255; below 1, as between a published mean and its rounding, the images
        are nearly the same."""
        return self.difference / self.level if self.level else float("inf")


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


class Fed(NamedTuple):
    """An original net in TEST, and for each of its inputs the layer of the fused net that reads the like, and as which
    bottom."""

    net: Message
    readers: Mapping[str, Tuple[str, int]]


def compare_images(
    fused: NetView, originals: Mapping[str, Fed], images: Sequence[PathLike] = ()
) -> Dict[str, ImageComparison]:
    """Let each original and the fused net in TEST prepare the same images; return what came of it by branch.

    The images are those given, or those that a list names which is there, or such as are made for it. What cannot be
    compared raises no error: the comparison says so.
    """
    files = [str(existing_file(one, "image")) for one in images]
    comparisons: Dict[str, List[ImageComparison]] = {prefix: [] for prefix in originals}
    waiting: List[_Waiting] = []
    with tempfile.TemporaryDirectory() as folder:
        for prefix, original in originals.items():
            for blob, reader in original.readers.items():
                pair = _pair(fused, original.net, blob, reader)
                if isinstance(pair, Pair):
                    place = Path(folder) / str(len(waiting))
                    place.mkdir()
                    waiting.append(_Waiting(comparisons[prefix], pair, choices(pair.sources, files, place), place))
                else:
                    comparisons[prefix].append(ImageComparison(unknown=pair))
        _run(waiting)
    return {prefix: _worst(ones) for prefix, ones in comparisons.items()}


def _worst(comparisons: Sequence[ImageComparison]) -> ImageComparison:
    """Return the comparison that speaks for a branch of several inputs."""
    nothing = ImageComparison(unknown="it reads no input")
    return max(comparisons, key=lambda one: (one.equal is False, bool(one.unknown), one.levels), default=nothing)


class _Waiting(NamedTuple):
    """A pair that is still to be compared."""

    comparisons: List[ImageComparison]
    pair: Pair
    choices: Iterator[Tuple[str, List[str]]]
    folder: Path


def _run(waiting: List[_Waiting]) -> None:
    """Compare all pairs in one process; where Caffe gives one up, the next images are tried in another.

    An image of a list may be damaged, or of a size that a mean file does not fit.
    """
    tried = [(one, *next(one.choices)) for one in waiting]
    while tried:
        jobs = [_job(one.pair, paths, one.folder) for one, _, paths in tried]
        try:
            for difference in run("netbuild.verify.child:prepared", jobs=jobs):
                one, images, _ = tried.pop(0)
                one.comparisons.append(ImageComparison(images, difference, abs(one.pair.own.transform_param.scale)))
        except CaffeError as error:
            one, images, _ = tried.pop(0)
            following = next(one.choices, None)
            if following is not None:
                tried.insert(0, (one, *following))
            else:
                one.comparisons.append(ImageComparison(unknown=f"on {images}: {error}"))


def _job(pair: Pair, paths: Sequence[str], folder: Path) -> Tuple[Tuple[str, str], Tuple[str, str], int]:
    """Return both nets, each as (prototxt text, blob), reading these images, and how many there are."""
    listing = folder / "images.txt"
    listing.write_text("".join(f"{path} 0\n" for path in paths), "utf-8", "surrogateescape")
    own = _text([reading(pair.own, pair.sources, listing)])
    fused = _text([reading(one, pair.sources, listing) if is_input(one) else one for one in pair.layers])
    return (own, pair.blob), (fused, pair.fused_blob), len(paths)


def _pair(fused: NetView, original: Message, blob: str, reader: Tuple[str, int]) -> Union[Pair, str]:
    """Return what is to be compared of one input, or why it cannot be."""
    own = sources_of(original).get(blob)
    if own is None:
        return f"the branch begins at the original's {blob!r}, where there are no images any more"
    if not cuts_images(own):
        return f"the original's {blob!r} comes from a layer of type {own.type}, which tells nothing of images"
    name, position = reader
    number = next(number for number, layer in fused.layers if layer.name == name)
    layers = [fused.by_index[index] for index in sorted(fused.flow.behind([fused.flow.sources[number][position]]))]
    if _computes(layers):
        return "it reads what another branch computes"
    missing = next((layer for layer in layers if is_input(layer) and not cuts_images(layer)), None)
    if missing is not None:
        return f"the fused net's {missing.top[0]!r} comes from a layer of type {missing.type}, which reads no images"
    return _without_missing_means(Pair(own, blob, layers, str(fused.by_index[number].bottom[position])))


def _computes(layers: Sequence[Message]) -> bool:
    """Tell whether any of the layers has parameters, or may have."""
    view = NetView.of_all_layers(schema().NetParameter(layer=layers))
    return any(shapes or shapes is None for shapes in view.fitting_shapes().params.values())


def _without_missing_means(pair: Pair) -> Union[Pair, str]:
    files = [layer.transform_param.mean_file for layer in pair.sources]
    missing = next((file for file in files if file and not Path(file).is_file()), None)
    return pair if missing is None else f"the mean file {missing!r} is not there (looked from {str(Path.cwd())!r})"


def _text(layers: Sequence[Message]) -> str:
    return proto.to_text(schema().NetParameter(layer=layers))
