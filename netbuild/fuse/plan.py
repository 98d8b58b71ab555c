"""The plan: which blob of the target net comes from which file, decided before a byte moves.

The target is the authority: the plan walks over what the fused net declares, not over what the files hold. Names and
shapes have to agree; whatever else is to count as agreeing is an explicit choice.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Collection, Iterator, List, Mapping, Optional, Sequence, Tuple

from .. import names
from ..errors import did_you_mean, some
from ..spelling import name_of
from ..weights.model import Model
from .decision import Copy, Decision, File, Files, decide, source_of
from .declared import Declared
from .options import AS_THEY_ARE, CopyOptions
from .problem import NO_PREFIX, Problem, require_none


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

    def with_made(self, layer: str, of: Collection[Tuple[str, str]]) -> Plan:
        """Return the plan for a layer that is made `of` others, (prefix, name), instead of being copied or filled."""
        unused = {
            prefix: tuple(name for name in layers if (prefix, name) not in of) for prefix, layers in self.unused.items()
        }
        left = tuple(name for name in self.left_to_fillers if name != layer)
        return dataclasses.replace(self, left_to_fillers=left, unused=unused)

    def blob_count(self, prefix: Optional[str] = None) -> int:
        """Return how many blobs are copied bit by bit, of one branch or of all."""
        return sum(len(copy.blobs) - bool(copy.channels) for copy in self.copies if prefix in (None, copy.prefix))


def make_plan(
    target: Sequence[Declared],
    models: Mapping[str, Sequence[Model]],
    choices: CopyOptions = AS_THEY_ARE,
    *,
    advice: Mapping[str, str] = {},
) -> Plan:
    """Plan the copying of each prefix's models into the layers of the target, in the order of the target.

    For each layer is decided, one after the other: which prefix owns its name (none: no file is meant for it); which of
    the prefix's files has it, and what the file calls it (of several files the last counts); whether the blobs of that
    layer fit, as they are or as `choices` lets them. Whatever is wrong with a layer, a choice or a whole prefix is
    gathered; then WeightsError lists all of it in a table, with the caller's `advice` on each kind of problem.
    """
    files = _files_of(models)
    decisions = [decide(layer, source_of(layer.name, files, choices.maps), choices) for layer in target]
    require_none(_problems(decisions, models, choices), advice)
    return Plan(
        copies=tuple(one.copy for one in decisions if one.copy is not None),
        unused=_unused(decisions, models),
        left_to_fillers=tuple(one.layer.name for one in decisions if one.copy is None and one.layer.has_parameters),
        missing=tuple(one.layer.name for one in decisions if one.is_missing),
        overridden=_overridden(decisions),
    )


def _files_of(models: Mapping[str, Sequence[Model]]) -> Files:
    return {prefix: [File(model.path, model.by_name()) for model in listed] for prefix, listed in models.items()}


def _problems(
    decisions: Sequence[Decision], models: Mapping[str, Sequence[Model]], choices: CopyOptions
) -> List[Problem]:
    """Return all that is wrong: with the choices, with single layers, with whole prefixes."""
    doubled = list(_doubled(decisions))
    ambiguous = {problem.target for problem in doubled}
    of_layers = [
        one.problem for one in decisions if one.problem is not None and not (choices.partial and one.is_missing)
    ]
    return [
        *_unknown_choices(decisions, choices),
        *doubled,
        *(problem for problem in of_layers if problem.target not in ambiguous),
        *_without_layers(decisions, models),
        *(_without_copies(decisions, models) if choices.partial else ()),
    ]


def _reached(decisions: Sequence[Decision]) -> List[str]:
    """Return the layers with parameters for whose prefixes files are named."""
    return [one.layer.name for one in decisions if one.source is not None and one.layer.has_parameters]


def _unknown_choices(decisions: Sequence[Decision], choices: CopyOptions) -> Iterator[Problem]:
    """Yield the choices that name no layer which a file is named for."""
    known = _reached(decisions)
    named = {name_of("maps", flag="map"): choices.maps, name_of("reshape"): choices.reshape}
    named[name_of("channels")] = choices.channels
    for option_name, layers in named.items():
        for name in sorted(set(layers) - set(known)):
            near = did_you_mean(name, known, "no such layer")
            yield Problem(option_name, name, "a layer with weights", "the target", near)


def _doubled(decisions: Sequence[Decision]) -> Iterator[Problem]:
    """Yield the names that several target layers have, one of them with parameters: Caffe would take neither file."""
    count = Counter(one.layer.name for one in decisions if one.source is not None)
    for name in dict.fromkeys(_reached(decisions)):
        if count[name] > 1:
            yield Problem("ambiguous", name, "one layer of this name", "the target", "several")


def _without_layers(decisions: Sequence[Decision], models: Mapping[str, Sequence[Model]]) -> Iterator[Problem]:
    """Yield the prefixes that no layer of the target bears."""
    fronts = sorted({one.layer.name.partition("/")[0] + "/" for one in decisions if "/" in one.layer.name})
    borne = {one.source.prefix for one in decisions if one.source is not None}
    for prefix in sorted(set(models) - borne):
        known = did_you_mean(names.stem(prefix), fronts, ", ".join(fronts) or "no prefix")
        kind = "no layer" if fronts else NO_PREFIX
        yield Problem(kind, f"{names.stem(prefix)}*", "a branch of this prefix", models[prefix][-1].path, known)


def _without_copies(decisions: Sequence[Decision], models: Mapping[str, Sequence[Model]]) -> Iterator[Problem]:
    """Yield the prefixes of which everything would be left to fillers: nobody means that by a part."""
    missed = {one.source.prefix: one.source for one in decisions if one.source is not None and one.is_missing}
    copied = {one.copy.prefix for one in decisions if one.copy is not None}
    for prefix in sorted(set(missed) - copied):
        held = some([layer.name for layer in models[prefix][-1].layers]) or "no layer"
        yield Problem("nothing", f"{names.stem(prefix)}*", "a layer to copy", missed[prefix].path, held)


def _unused(decisions: Sequence[Decision], models: Mapping[str, Sequence[Model]]) -> Mapping[str, Tuple[str, ...]]:
    """Return, for each prefix, the layers of its files that no layer of the target is to come from."""
    wanted = {(one.source.prefix, one.source.name) for one in decisions if one.source is not None}
    held = {prefix: [layer.name for model in listed for layer in model.layers] for prefix, listed in models.items()}
    return {
        prefix: tuple(name for name in dict.fromkeys(layers) if (prefix, name) not in wanted)
        for prefix, layers in held.items()
    }


def _overridden(decisions: Sequence[Decision]) -> Tuple[Tuple[str, str], ...]:
    pairs = [(one.layer.name, one.source.passed_over) for one in decisions if one.source is not None]
    return tuple((name, path) for name, paths in pairs for path in paths)
