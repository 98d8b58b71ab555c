"""The plan: which blob of the target net comes from which file, decided before a byte moves.

The target is the authority: the plan walks over what the fused net declares, not over what the files hold. Names and
shapes have to agree; whatever else is to count as agreeing is an explicit choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Callable, Collection, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple, Union

from .. import names
from ..errors import WeightsError
from .fit import AnyShape, fits, mixed, reshaped, resolved, shapes_text
from .model import Blob, Layer, Model, Shape


class Declared(NamedTuple):
    """A layer of the target net: its name and the shapes of its parameter blobs (None: an unknown layer type)."""

    name: str
    shapes: Optional[Sequence[AnyShape]]
    definition: bytes = b""
    """The serialised LayerParameter, without blobs; what is written."""


class Start(NamedTuple):
    """What a branch's own classifier stands for in the new head."""

    classes: Tuple[int, ...]
    """The head's class of each of the classifier's outputs."""
    layer: Optional[str] = None
    """The classifier's name in the branch's file; by default the only layer there of a fitting shape that is not
    copied."""


class Choices(NamedTuple):
    """What a plan may do beyond copying blobs of equal names and shapes; layers are the target's, by full names."""

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
    head: Mapping[str, Start] = {}
    """Per prefix the classes that the branch's own classifier stands for in the new head, which begins as that."""


AS_THEY_ARE = Choices()
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
    """Those left to their fillers although a file is named for their prefix (`Choices.partial`)."""
    overridden: Tuple[Tuple[str, str], ...] = ()
    """Target layers that several files of their prefix have, each with a file that is passed over: the last counts."""

    def blob_count(self, prefix: Optional[str] = None) -> int:
        """Return how many blobs are copied bit by bit, of one branch or of all."""
        return sum(len(copy.blobs) - bool(copy.channels) for copy in self.copies if prefix in (None, copy.prefix))


_REMEDIES = {
    "missing": "Where a file calls a layer otherwise: --map PREFIX:LAYER=NAME; to leave it to its filler: --partial.",
    "differs": "Where a parameter is meant to differ from what the file says: --accept PARAMETER.",
}


class Problem(NamedTuple):
    """A row of the table that a refused plan prints."""

    what: str
    target: str
    expected: str
    source: str
    found: str


def make_plan(
    target: Sequence[Declared], models: Mapping[str, Sequence[Model]], choices: Choices = AS_THEY_ARE
) -> Plan:
    """Plan the copying of each prefix's models into the target; of several that have a layer, the last counts.

    Raises WeightsError with a table of everything missing, mismatching or ambiguous.
    """
    problems = [*_unheard(target, models, choices)]
    copies: List[Copy] = []
    left: List[str] = []
    missing: List[str] = []
    overridden: List[Tuple[str, str]] = []
    wanted: Dict[str, Set[str]] = {prefix: set() for prefix in models}
    seen: Set[str] = set()
    sources = {prefix: [(model.path, model.by_name()) for model in found] for prefix, found in models.items()}
    for layer in target:
        outcome: Union[Copy, Problem, None] = None
        prefix = _owner(layer.name, models)
        if prefix is not None:
            source = _source(layer.name, prefix, [layers for _, layers in sources[prefix]], choices.maps)
            wanted[prefix].add(source)
            if layer.name in seen and layer.shapes != []:
                problems.append(Problem("ambiguous", layer.name, "one layer of this name", "the target", "several"))
            holders = [(path, layers[source]) for path, layers in sources[prefix] if source in layers]
            overridden += [(layer.name, path) for path, _ in holders[:-1]]
            path, found = holders[-1] if holders else (models[prefix][-1].path, [])
            outcome = _match(layer, prefix, path, source, found, choices)
            if isinstance(outcome, Problem) and outcome.what == "missing" and choices.partial:
                missing.append(layer.name)
                outcome = None
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
            "no layer",
            f"{names.stem(prefix)}*",
            "a branch of this prefix",
            models[prefix][-1].path,
            fronts or "no prefix",
        )
        for prefix, found_names in wanted.items()
        if not found_names
    ]
    require_none(problems)
    unused = {
        prefix: tuple(
            dict.fromkeys(layer.name for model in found for layer in model.layers if layer.name not in wanted[prefix])
        )
        for prefix, found in models.items()
    }
    return Plan(tuple(copies), unused, tuple(left), missing=tuple(missing), overridden=tuple(overridden))


def _unheard(target: Sequence[Declared], models: Mapping[str, Sequence[Model]], choices: Choices) -> List[Problem]:
    """Return the choices that name no layer which a file is named for."""
    known = [layer.name for layer in target if layer.shapes != [] and _owner(layer.name, models) is not None]
    problems: List[Problem] = []
    for option, named in (("map", choices.maps), ("reshape", choices.reshape), ("channels", choices.channels)):
        for name in named:
            if name not in known:
                near = ", ".join(get_close_matches(name, known, 2)) or "no such layer"
                problems.append(Problem(f"--{option}", name, "a layer with weights", "the target", near))
    return problems


def _source(layer: str, prefix: str, files: Sequence[Collection[str]], maps: Mapping[str, str]) -> str:
    """Return what the branch's files call the layer: as the branch alone does, or as a fused net they are of does."""
    local = names.local(prefix, layer) or ""
    is_fused = not any(local in file for file in files) and any(layer in file for file in files)
    return maps.get(layer, layer if is_fused else local)


def _owner(layer: str, prefixes: Collection[str]) -> Optional[str]:
    """Return the prefix whose branch the layer belongs to: of nested ones (a, a/odd) the longest."""
    claims = [prefix for prefix in prefixes if names.local(prefix, layer) is not None]
    return max(claims, key=lambda prefix: len(names.stem(prefix)), default=None)


def _match(
    layer: Declared, prefix: str, path: str, source: str, found: Sequence[Layer], choices: Choices
) -> Union[Copy, Problem, None]:
    """Return the copy for one target layer, what is wrong with it, or None where there is nothing to copy."""
    if not found:
        if not layer.shapes:
            return None
        return Problem("missing", layer.name, shapes_text(layer.shapes), f"{path}: {source}", "no such layer")
    if len(found) > 1:
        return Problem("ambiguous", layer.name, "one layer", f"{path}: {source}", f"{len(found)} of this name")
    blobs = found[0].blobs
    channels = None
    if layer.shapes is None:
        shapes: Optional[List[Shape]] = [blob.shape for blob in blobs]
    else:
        shapes = _all(resolved, blobs, layer.shapes)
        if shapes is None and layer.name in choices.reshape:
            shapes = _all(reshaped, blobs, layer.shapes)
        if shapes is None and layer.name in choices.channels and blobs:
            channels = choices.channels[layer.name]
            first = mixed(blobs[0], layer.shapes[0])
            rest = _all(resolved, blobs[1:], layer.shapes[1:])
            shapes = None if first is None or rest is None else [first, *rest]
    if shapes is None:
        text = shapes_text([blob.shape for blob in blobs])
        return Problem("mismatch", layer.name, shapes_text(layer.shapes or []), f"{path}: {source}", text)
    return Copy(layer.name, prefix, path, source, blobs, tuple(shapes), channels)


def _all(
    resolve: Callable[[Blob, AnyShape], Optional[Shape]], blobs: Sequence[Blob], shapes: Sequence[AnyShape]
) -> Optional[List[Shape]]:
    """Return the shape that each blob gets, None where they are not as many, or one of them gets none."""
    if len(blobs) != len(shapes):
        return None
    found = [resolve(blob, shape) for blob, shape in zip(blobs, shapes)]
    return [shape for shape in found if shape is not None] if None not in found else None


def require_none(problems: Sequence[Problem]) -> None:
    """Raise WeightsError with a table of the problems, if there are any."""
    if not problems:
        return
    heading = Problem("PROBLEM", "TARGET LAYER", "EXPECTED", "SOURCE", "FOUND")
    rows = [heading, *problems]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heading))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise WeightsError(
        f"the weights do not fit the target ({count}); nothing was written:\n"
        + "\n".join(lines)
        + "".join(
            f"\n{remedy}" for what, remedy in _REMEDIES.items() if any(problem.what == what for problem in problems)
        )
        + "\nCheck that each --weights PREFIX=FILE names the file of that branch and the target its prefixes."
    )
