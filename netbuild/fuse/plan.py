"""The plan: which blob of the target net comes from which file, decided before a byte moves.

The target is the authority: the plan walks over what the fused net declares, not over what the files hold. Names and
shapes have to agree; whatever else is to count as agreeing is an explicit choice.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Callable, Collection, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from .. import names
from ..errors import did_you_mean, some
from ..weights.model import Blob, Layer, Model, Shape
from .fit import AnyShape, fits, mixed, reshaped, resolved, shapes_text
from .problem import Problem, require_none


class Declared(NamedTuple):
    """A layer of the target net: its name and the shapes of its parameter blobs (None: an unknown layer type)."""

    name: str
    shapes: Optional[Sequence[AnyShape]]
    definition: bytes = b""
    """The serialised LayerParameter, without blobs; what is written."""
    shared: bool = False
    """Whether all its parameters are those of a layer before it: then a file need not hold it, and HDF5 does not."""


class HeadStart(NamedTuple):
    """What a branch's own classifier stands for in the new head.

    Examples:
        The odd digits were the classes 0 to 4 of their branch, and so were the even ones:

        >>> from netbuild import CopyOptions, HeadStart, fuse_weights
        >>> head = {"odd": HeadStart((1, 3, 5, 7, 9)), "even": HeadStart((0, 2, 4, 6, 8))}
        >>> weights = {"odd": "odd.caffemodel", "even": "even.caffemodel"}
        >>> fuse_weights("fused/train_val.prototxt", weights, "init.caffemodel", CopyOptions(head=head)).planned.head
        'ip2'
    """

    classes: Tuple[int, ...]
    """The head's class of each of the classifier's outputs."""
    layer: Optional[str] = None
    """The classifier's name in the branch's file; by default the only layer there of a fitting shape that is not
    copied."""


class CopyOptions(NamedTuple):
    """What may be done beyond copying blobs of equal names and shapes. Layers have their full names in the target.

    Examples:
        The layer `conv1` of the branch is called `first` in its file:

        >>> from netbuild import CopyOptions
        >>> options = CopyOptions(maps={"odd/conv1": "first"}, partial=True)
    """

    maps: Mapping[str, str] = {}
    """For a layer the name that it has in its branch's file, where that is not its own."""
    partial: bool = False
    """Leave layers that are in none of their branch's files to their fillers."""
    reshape: Collection[str] = ()
    """Layers that take equally many values of another shape: a convolution for a fully connected layer, or back."""
    channels: Mapping[str, str] = {}
    """'mean' or 'sum' for a convolution between one input channel and several. From colour to grey, a kernel becomes
    the mean or sum of its channels'. From grey to colour, the layer then sees the mean or sum of the channels."""
    accept: Collection[str] = ()
    """Parameters in which a layer may differ from what its file says of it: dilation, say."""
    over_2gb: bool = False
    """Write a caffemodel even where it is larger than Caffe reads."""
    head: Mapping[str, HeadStart] = {}
    """Per prefix the classes that the branch's own classifier stands for in the new head, which begins as that."""


AS_THEY_ARE: CopyOptions = CopyOptions()
CHANNELS = ("mean", "sum")


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


@dataclass(frozen=True)
class Plan:
    """What goes where. All lists are in file order."""

    copies: Tuple[Copy, ...]
    unused: Mapping[str, Tuple[str, ...]]
    """Per prefix: layers of its files with blobs that the target does not want, such as the old classifier."""
    left_to_fillers: Tuple[str, ...]
    """Target layers with parameters that no file is named for, and layers of unknown type that no file has."""
    shared: Tuple[str, ...] = ()
    """Target layers all of whose parameters are those of layers that are copied (siamese nets)."""
    missing: Tuple[str, ...] = ()
    """Those left to their fillers although a file is named for their prefix (`CopyOptions.partial`)."""
    overridden: Tuple[Tuple[str, str], ...] = ()
    """Target layers that several files of their prefix have, each with a file that is passed over: the last counts."""

    def blob_count(self, prefix: Optional[str] = None) -> int:
        """Return how many blobs are copied bit by bit, of one branch or of all."""
        return sum(len(copy.blobs) - bool(copy.channels) for copy in self.copies if prefix in (None, copy.prefix))


class _Place(NamedTuple):
    """Where the blobs of a target layer are to come from."""

    prefix: str
    path: str
    source: str
    """What the file calls the layer."""
    found: Sequence[Layer]
    """The file's layers of this name: one is wanted."""
    passed_over: Sequence[str]
    """Files of the branch that have the layer too, but are not the last."""


def make_plan(
    target: Sequence[Declared], models: Mapping[str, Sequence[Model]], choices: CopyOptions = AS_THEY_ARE
) -> Plan:
    """Plan the copying of each prefix's models into the target; of several that have a layer, the last counts.

    Raises WeightsError with a table of everything missing, mismatching or ambiguous.
    """
    sources = {prefix: [(model.path, model.by_name()) for model in found] for prefix, found in models.items()}
    places = [_place(layer.name, sources, choices.maps) for layer in target]
    outcomes = [_match(layer, place, choices) for layer, place in zip(target, places)]
    missing = tuple(one.target for one in outcomes if isinstance(one, Problem) and one.what == "missing")
    require_none(
        [
            *_unheard(target, places, choices),
            *_doubled(target, places),
            *(one for one in outcomes if isinstance(one, Problem) and not (choices.partial and one.what == "missing")),
            *_unclaimed(target, places, models),
            *(_fruitless(places, outcomes, models) if choices.partial else ()),
        ]
    )
    wanted = {(place.prefix, place.source) for place in places if place is not None}
    unused = {
        prefix: [layer.name for model in found for layer in model.layers if (prefix, layer.name) not in wanted]
        for prefix, found in models.items()
    }
    return Plan(
        tuple(one for one in outcomes if isinstance(one, Copy)),
        {prefix: tuple(dict.fromkeys(rest)) for prefix, rest in unused.items()},
        tuple(layer.name for layer, one in zip(target, outcomes) if not isinstance(one, Copy) and layer.shapes != []),
        missing=missing,
        overridden=tuple(
            (layer.name, path) for layer, place in zip(target, places) if place for path in place.passed_over
        ),
    )


def _place(
    layer: str, sources: Mapping[str, Sequence[Tuple[str, Mapping[str, Sequence[Layer]]]]], maps: Mapping[str, str]
) -> Optional[_Place]:
    """Return where a target layer is to come from, None where no file is named for its prefix.

    The file calls it as the branch alone does, or, being that of a fused net, by its full name.
    """
    prefix = names.owner(sources, layer)
    if prefix is None:
        return None
    local = names.local(prefix, layer) or ""
    files = sources[prefix]
    is_fused = not any(local in layers for _, layers in files) and any(layer in layers for _, layers in files)
    source = maps.get(layer, layer if is_fused else local)
    holders = [(path, layers[source]) for path, layers in files if source in layers]
    path, found = holders[-1] if holders else (files[-1][0], ())
    return _Place(prefix, path, source, found, [path for path, _ in holders[:-1]])


def _doubled(target: Sequence[Declared], places: Sequence[Optional[_Place]]) -> Iterator[Problem]:
    """Yield the names that several target layers with parameters have."""
    held = [layer.name for layer, place in zip(target, places) if place is not None and layer.shapes != []]
    for name, count in Counter(held).items():
        if count > 1:
            yield Problem("ambiguous", name, "one layer of this name", "the target", "several")


def _fruitless(
    places: Sequence[Optional[_Place]],
    outcomes: Sequence[Union[Copy, Problem, None]],
    models: Mapping[str, Sequence[Model]],
) -> Iterator[Problem]:
    """Yield the prefixes of which everything would be left to fillers: nobody means that by a part."""
    claimed = {place.prefix: place for place in places if place is not None}
    missed = {
        place.prefix
        for place, one in zip(places, outcomes)
        if place is not None and isinstance(one, Problem) and one.what == "missing"
    }
    copied = {one.prefix for one in outcomes if isinstance(one, Copy)}
    for prefix in sorted(missed - copied):
        held = some([layer.name for layer in models[prefix][-1].layers])
        yield Problem("nothing", f"{names.stem(prefix)}*", "a layer to copy", claimed[prefix].path, held or "no layer")


def _unclaimed(
    target: Sequence[Declared], places: Sequence[Optional[_Place]], models: Mapping[str, Sequence[Model]]
) -> Iterator[Problem]:
    """Yield the prefixes that no layer of the target bears."""
    fronts = sorted({layer.name.partition("/")[0] + "/" for layer in target if "/" in layer.name})
    for prefix in sorted(set(models) - {place.prefix for place in places if place is not None}):
        there = did_you_mean(names.stem(prefix), fronts, ", ".join(fronts) or "no prefix")
        yield Problem("no layer", f"{names.stem(prefix)}*", "a branch of this prefix", models[prefix][-1].path, there)


def _unheard(target: Sequence[Declared], places: Sequence[Optional[_Place]], choices: CopyOptions) -> Iterator[Problem]:
    """Yield the choices that name no layer which a file is named for."""
    known = [layer.name for layer, place in zip(target, places) if place is not None and layer.shapes != []]
    for option, named in (("map", choices.maps), ("reshape", choices.reshape), ("channels", choices.channels)):
        for name in sorted(set(named) - set(known)):
            near = did_you_mean(name, known, "no such layer")
            yield Problem(f"--{option}", name, "a layer with weights", "the target", near)


def _match(layer: Declared, place: Optional[_Place], choices: CopyOptions) -> Union[Copy, Problem, None]:
    """Return the copy for one target layer, what is wrong with it, or None where there is nothing to copy."""
    if place is None or (not place.found and (layer.shared or not layer.shapes)):
        return None
    where, expected = f"{place.path}: {place.source}", shapes_text(layer.shapes or [])
    if not place.found:
        return Problem("missing", layer.name, expected, where, "no such layer")
    if len(place.found) > 1:
        return Problem("ambiguous", layer.name, "one layer", where, f"{len(place.found)} of this name")
    blobs = place.found[0].blobs
    shapes, channels = _shapes(layer, blobs, choices)
    if shapes is None:
        return Problem("mismatch", layer.name, expected, where, shapes_text([blob.shape for blob in blobs]))
    return Copy(layer.name, place.prefix, place.path, place.source, blobs, tuple(shapes), channels)


def _shapes(
    layer: Declared, blobs: Sequence[Blob], choices: CopyOptions
) -> Tuple[Optional[List[Shape]], Optional[str]]:
    """Return the shapes that the blobs get, None where they do not fit, and how their channels are mixed, if so."""
    if layer.shapes is None:
        return [blob.shape for blob in blobs], None
    shapes = _all(resolved, blobs, layer.shapes)
    if shapes is None and layer.name in choices.reshape:
        shapes = _all(reshaped, blobs, layer.shapes)
    if shapes is not None or layer.name not in choices.channels or not blobs:
        return shapes, None
    first = mixed(blobs[0], layer.shapes[0]) if layer.shapes else None
    rest = _all(resolved, blobs[1:], layer.shapes[1:])
    return (None if first is None or rest is None else [first, *rest]), choices.channels[layer.name]


def _all(
    resolve: Callable[[Blob, AnyShape], Optional[Shape]], blobs: Sequence[Blob], shapes: Sequence[AnyShape]
) -> Optional[List[Shape]]:
    """Return the shape that each blob gets, None where they are not as many, or one of them gets none."""
    if len(blobs) != len(shapes):
        return None
    found = [resolve(blob, shape) for blob, shape in zip(blobs, shapes)]
    return [shape for shape in found if shape is not None] if None not in found else None
