"""Whether the images that a caller's source gives are such as a net's branches take."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Tuple

from ..branches.branch import Input
from ..errors import GraphError
from ..fusion import Built, Fusion
from ..fusion.agreement import in_batches
from ..fusion.wiring import owner
from ..graph.feed import with_inputs
from ..graph.view import NetView
from ..layers import Shape, any_batch_text
from ..proto import only_phase
from ..schema import TEST
from ..spelling import either
from .source import DataSource

Size = Tuple[int, ...]


def require_taken(fusion: Fusion, built: Built, sources: Mapping[str, DataSource]) -> None:
    """Raise GraphError where images do not fit the weights of a frozen branch, or would be prepared twice.

    `sources` gives each input of the net its data. A size that the caller decided by an option of the source, or by
    a BranchSpec's `shape`, is none of this.
    """
    for blob, declared in built.inputs.items():
        source = sources[blob]
        if blob in built.uneven and (source.input.mean or source.input.scale != 1 or source.all_mean_file):
            raise GraphError(
                f"the branches that read {blob!r} subtract means and multiply by scales of their own, and those of "
                "the source would come on top; leave them out there, or give them to the branches "
                f"({either('--mean, --scale', 'BranchSpec(mean=, scale=)')})"
            )
        if source.input.test is None and source.input.train is None:
            # A cut that the branches dispute is not decided by an input that declares none.
            source.require_decided(declared.disputed)
        found, expected = source.size(), expected_size(declared, source)
        if found != expected:
            _require_same_weights(fusion, built, blob, found, expected)


def expected_size(declared: Input, source: DataSource) -> Size:
    """Return the shape that the branches see in TEST by what they declare, and the source's where they do not."""
    found = source.size()
    if declared.shape is not None and len(declared.shape) != 3:
        return declared.shape
    if len(found) != 3:
        return found
    channels, *sides = declared.seen
    known = [channels if source.color is None else None, *(sides if _is_as_declared(source) else (None, None))]
    return tuple(own if length is None else length for length, own in zip(known, found))


def _is_as_declared(source: DataSource) -> bool:
    return source.crop is None and source.resize is None


def _require_same_weights(fusion: Fusion, built: Built, blob: str, found: Size, expected: Size) -> None:
    one, other = (_weights(fusion, built, blob, size) for size in (found, expected))
    for layer, shapes in other.items():
        if shapes != one.get(layer) and shapes is not None:
            sizes = [any_batch_text((None, *size)) for size in (found, expected)]
            raise GraphError(
                f"the source gives {blob!r} images of shape {sizes[0]}, and the branches that read it were trained on "
                f"{sizes[1]}: the weights of the frozen layer {layer!r} would not fit. Leave out the source's input to "
                "do as the branches tell, or give the BranchSpec the shape that it was trained on"
            )


def _weights(fusion: Fusion, built: Built, blob: str, size: Size) -> Dict[str, Optional[List[Shape]]]:
    """Return the shapes of the parameters of each frozen layer where one input is of this size."""
    batches = {**in_batches(built.inputs, 1), blob: (1, *size)}
    view = NetView.of_all_layers(with_inputs(only_phase(built.message, TEST), batches))
    frozen = {prefix for prefix, part in fusion.specs.items() if part.frozen}
    layers = {view.by_index[index].name: shapes for index, shapes in view.shapes.params.items()}
    return {name: shapes for name, shapes in layers.items() if (owner(built.placed, name) or "") in frozen}
