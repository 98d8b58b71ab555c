"""The plan: which blob of the target net comes from which file, decided before a byte moves.

The target is the authority: the plan walks over what the fused net declares, not over what the files hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple, Union

from .. import names
from ..errors import WeightsError
from .model import Blob, Layer, Model, Shape

AnyShape = Optional[Tuple[Optional[int], ...]]
"""A shape in which None stands for a length that the net alone does not tell (an image's size, say), or for all."""


class Declared(NamedTuple):
    """A layer of the target net: its name and the shapes of its parameter blobs (None: an unknown layer type)."""

    name: str
    shapes: Optional[Sequence[AnyShape]]
    definition: bytes = b""
    """The serialised LayerParameter, without blobs; what `stream` writes."""


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


@dataclass(frozen=True)
class Plan:
    """What goes where. All lists are in file order."""

    copies: Tuple[Copy, ...]
    unused: Mapping[str, Tuple[str, ...]]
    """Per prefix: source layers with blobs that the target does not want, such as the old classifier."""
    left_to_fillers: Tuple[str, ...]
    """Target layers with parameters that no file is named for, and layers of unknown type that no file has."""
    shared: Tuple[str, ...] = ()
    """Target layers all of whose parameters are those of layers that are copied (siamese nets)."""

    def blob_count(self, prefix: Optional[str] = None) -> int:
        """Return how many blobs are copied, of one branch or of all."""
        return sum(len(copy.blobs) for copy in self.copies if prefix in (None, copy.prefix))


class Problem(NamedTuple):
    """A row of the table that a refused plan prints."""

    what: str
    target: str
    expected: str
    source: str
    found: str


def make_plan(target: Sequence[Declared], models: Mapping[str, Model]) -> Plan:
    """Plan the copying of each prefix's model into the target.

    Raises WeightsError with a table of everything missing, mismatching or ambiguous.
    """
    sources = {prefix: model.by_name() for prefix, model in models.items()}
    problems: List[Problem] = []
    copies: List[Copy] = []
    left: List[str] = []
    wanted: Dict[str, Set[str]] = {prefix: set() for prefix in models}
    seen: Set[str] = set()
    for layer in target:
        outcome: Union[Copy, Problem, None] = None
        prefix = _owner(layer.name, models)
        if prefix is not None:
            local = names.local(prefix, layer.name) or ""
            wanted[prefix].add(local)
            if layer.name in seen and layer.shapes != []:
                problems.append(Problem("ambiguous", layer.name, "one layer of this name", "the target", "several"))
            outcome = _match(layer, prefix, models[prefix].path, local, sources[prefix].get(local, []))
        seen.add(layer.name)
        if isinstance(outcome, Copy):
            copies.append(outcome)
        elif outcome is not None:
            problems.append(outcome)
        elif layer.shapes != []:
            left.append(layer.name)
    fronts = ", ".join(sorted({layer.name.partition("/")[0] + "/" for layer in target if "/" in layer.name}))
    problems += [
        Problem(
            "no layer", f"{names.stem(prefix)}*", "a branch of this prefix", models[prefix].path, fronts or "no prefix"
        )
        for prefix, locals_ in wanted.items()
        if not locals_
    ]
    if problems:
        raise WeightsError(_table(problems))
    unused = {
        prefix: tuple(layer.name for layer in model.layers if layer.name not in wanted[prefix])
        for prefix, model in models.items()
    }
    return Plan(tuple(copies), unused, tuple(left))


def fits(blob: Blob, shape: AnyShape) -> bool:
    """Tell whether Caffe would take the blob for this shape (Blob::ShapeEquals of BVLC Caffe).

    A blob in the old four-number form equals a shape of at most four axes padded with leading 1s.
    """
    if shape is None:
        return True
    if blob.legacy:
        if len(shape) > 4:
            return False
        shape = (1,) * (4 - len(shape)) + tuple(shape)
    return len(blob.shape) == len(shape) and all(
        expected is None or expected == found for expected, found in zip(shape, blob.shape)
    )


def _owner(layer: str, models: Mapping[str, Model]) -> Optional[str]:
    """Return the prefix whose branch the layer belongs to: of nested ones (a, a/odd) the longest."""
    claims = [prefix for prefix in models if names.local(prefix, layer) is not None]
    return max(claims, key=lambda prefix: len(names.stem(prefix)), default=None)


def _match(layer: Declared, prefix: str, path: str, local: str, sources: Sequence[Layer]) -> Union[Copy, Problem, None]:
    """Return the copy for one target layer, what is wrong with it, or None where there is nothing to copy."""
    if not sources:
        if not layer.shapes:
            return None
        return Problem("missing", layer.name, _shapes_text(layer.shapes), f"{path}: {local}", "no such layer")
    if len(sources) > 1:
        return Problem("ambiguous", layer.name, "one layer", f"{path}: {local}", f"{len(sources)} of this name")
    blobs = sources[0].blobs
    found = _shapes_text([blob.shape for blob in blobs])
    if layer.shapes is None:
        shapes = tuple(blob.shape for blob in blobs)
    elif len(blobs) != len(layer.shapes) or not all(map(fits, blobs, layer.shapes)):
        return Problem("mismatch", layer.name, _shapes_text(layer.shapes), f"{path}: {local}", found)
    else:
        shapes = tuple(_resolved(blob, shape) for blob, shape in zip(blobs, layer.shapes))
    return Copy(layer.name, prefix, path, local, blobs, shapes)


def _resolved(blob: Blob, shape: AnyShape) -> Shape:
    """Fill the unknown lengths of a declared shape from the blob that fits it."""
    if shape is None:
        return blob.shape
    tail = blob.shape[len(blob.shape) - len(shape) :]
    return tuple(found if expected is None else expected for expected, found in zip(shape, tail))


def shape_text(shape: AnyShape) -> str:
    """Return '500 x 800', with '?' for a length that is not known; 'scalar' for no axes."""
    if shape is None:
        return "?"
    return " x ".join("?" if length is None else str(length) for length in shape) or "scalar"


def _shapes_text(shapes: Sequence[AnyShape]) -> str:
    return ", ".join(map(shape_text, shapes)) or "no blobs"


def _table(problems: Sequence[Problem]) -> str:
    heading = Problem("PROBLEM", "TARGET LAYER", "EXPECTED", "SOURCE", "FOUND")
    rows = [heading, *problems]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heading))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return (
        f"the weights do not fit the target ({count}); nothing was written:\n"
        + "\n".join(lines)
        + "\nCheck that each --weights PREFIX=FILE names the file of that branch and the target its prefixes."
    )
