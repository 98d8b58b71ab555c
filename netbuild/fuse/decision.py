"""What is decided about one layer of the target: where its blobs come from, and whether they fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .. import names
from ..spelling import name_of
from ..weights.model import Blob, Layer, Shape
from .declared import Declared
from .fit import (
    AnyShape,
    equal_count_shape,
    exact_shape,
    fits,
    mixed_shape,
    shapes_text,
    why_not_mixed,
    why_not_reshaped,
)
from .options import CopyOptions
from .problem import MISSING, Problem


@dataclass(frozen=True)
class Copy:
    """One target layer whose blobs come from one layer of one file."""

    target: str
    prefix: str
    path: str
    source: str
    blobs: Tuple[Blob, ...]
    shapes: Tuple[Shape, ...]
    """The shapes as the target declares them."""
    channels: Optional[str] = None
    """'mean' or 'sum' where the first blob's input channels are mixed."""

    @property
    def reshaped(self) -> bool:
        """Whether a blob gets a shape that its own is not, padded or not."""
        return not self.channels and not all(map(fits, self.blobs, self.shapes))


class Source(NamedTuple):
    """Where the blobs of a target layer are to come from."""

    prefix: str
    path: str
    name: str
    """What the file calls the layer."""
    layers: Sequence[Layer]
    """The file's layers of this name: one is wanted."""
    passed_over: Sequence[str]
    """Files of the branch that have the layer too, but are not the last."""

    @property
    def where(self) -> str:
        """The file and its layer, for a message."""
        return f"{self.path}: {self.name}"


class Decision(NamedTuple):
    """What is decided about one layer of the target."""

    layer: Declared
    source: Optional[Source]
    """None where no file is named for the layer's prefix."""
    copy: Optional[Copy] = None
    problem: Optional[Problem] = None

    @property
    def is_missing(self) -> bool:
        """Whether none of the branch's files has the layer."""
        return self.problem is not None and self.problem.kind == MISSING


class File(NamedTuple):
    """A file of a branch and its layers by name."""

    path: str
    layers: Mapping[str, Sequence[Layer]]


Files = Mapping[str, Sequence[File]]
"""The files of each prefix, in their order."""


def source_of(layer: str, files: Files, maps: Mapping[str, str]) -> Optional[Source]:
    """Return where a target layer is to come from, None where no file is named for its prefix."""
    prefix = names.owner(files, layer)
    if prefix is None:
        return None
    source = maps.get(layer) or _name_in_files(prefix, layer, files[prefix])
    holders = [file for file in files[prefix] if source in file.layers]
    last = holders[-1] if holders else files[prefix][-1]
    return Source(prefix, last.path, source, last.layers.get(source, ()), [file.path for file in holders[:-1]])


def _name_in_files(prefix: str, layer: str, files: Sequence[File]) -> str:
    """Return what the files of a branch call its layer: what the branch alone does, or its full name in a fused net."""
    local = names.local(prefix, layer) or ""
    held = {name for file in files for name in (local, layer) if name in file.layers}
    return layer if layer in held and local not in held else local


def decide(layer: Declared, source: Optional[Source], choices: CopyOptions) -> Decision:
    """Decide whether a layer is copied, is left alone (neither copy nor problem), or is a problem."""
    if source is None or (not source.layers and (layer.shared or not layer.shapes)):
        return Decision(layer, source)
    expected = shapes_text(layer.shapes or [])
    if not source.layers:
        return Decision(layer, source, problem=_row(MISSING, layer, expected, source, "no such layer"))
    if len(source.layers) > 1:
        several = f"{len(source.layers)} of this name"
        return Decision(layer, source, problem=_row("ambiguous", layer, "one layer", source, several))
    blobs = source.layers[0].blobs
    shapes, channels = _shapes(layer, blobs, choices)
    if shapes is None:
        stored = shapes_text([blob.shape for blob in blobs])
        found = "; ".join([stored, *_why_not(layer, blobs, choices)])
        return Decision(layer, source, problem=_row("mismatch", layer, expected, source, found))
    copy = Copy(layer.name, source.prefix, source.path, source.name, blobs, tuple(shapes), channels)
    return Decision(layer, source, copy)


def _row(kind: str, layer: Declared, expected: str, source: Source, found: str) -> Problem:
    return Problem(kind, layer.name, expected, source.where, found)


def _shapes(
    layer: Declared, blobs: Sequence[Blob], choices: CopyOptions
) -> Tuple[Optional[List[Shape]], Optional[str]]:
    """Return the shapes that the blobs get, None where they do not fit, and how their channels are mixed, if so."""
    if layer.shapes is None:
        return [blob.shape for blob in blobs], None
    shapes = _all(exact_shape, blobs, layer.shapes)
    if shapes is None and layer.name in choices.reshape:
        shapes = _all(equal_count_shape, blobs, layer.shapes)
    if shapes is None and layer.name in choices.channels:
        how = choices.channels[layer.name]
        return _with_other_channels(blobs, layer.shapes, how), how
    return shapes, None


def _why_not(layer: Declared, blobs: Sequence[Blob], choices: CopyOptions) -> Iterator[str]:
    """Yield why each option that is given for a layer does not make its blobs fit."""
    if layer.shapes is not None and layer.name in choices.reshape:
        yield f"{name_of('reshape')}: {why_not_reshaped(blobs, layer.shapes)}"
    if layer.shapes is not None and layer.name in choices.channels:
        yield f"{name_of('channels')}: {why_not_mixed(blobs, layer.shapes, choices.channels[layer.name])}"


def _with_other_channels(blobs: Sequence[Blob], declared: Sequence[AnyShape], how: str) -> Optional[List[Shape]]:
    """Return the shapes of a convolution's blobs where all but the kernels' input channels fits."""
    first = mixed_shape(blobs[0], declared[0], how) if blobs and declared else None
    rest = _all(exact_shape, blobs[1:], declared[1:])
    return None if first is None or rest is None else [first, *rest]


def _all(
    resolve: Callable[[Blob, AnyShape], Optional[Shape]], blobs: Sequence[Blob], shapes: Sequence[AnyShape]
) -> Optional[List[Shape]]:
    """Return the shape that each blob gets, None where they are not as many, or one of them gets none."""
    if len(blobs) != len(shapes):
        return None
    resolved = [resolve(blob, shape) for blob, shape in zip(blobs, shapes)]
    return None if None in resolved else [shape for shape in resolved if shape is not None]
