"""What Caffe would refuse, or take and misread: found in the definition, before Caffe sees it.

Caffe answers an unknown bottom, a doubled top or shapes that do not fit with an abort, and says nothing at all about
a layer name that stands twice (weights go to the first) or an in-place layer that changes the input of another branch.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from itertools import combinations
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set, Tuple, Union

from .. import names
from ..engine.caffe import TEST, TRAIN, Message, schema
from ..errors import GraphError, NetbuildWarning
from ..layers import Fault, Inferred, Layers, survey
from ..layers.roles import is_loss
from ..proto import of_phase, phase_name, phases
from .definition import definition_faults, doubled_names, nameless, phase_faults, rule_faults, sharing_faults
from .flow import Flow, in_place
from .overwriting import Overwriting
from .view import NetView


def problems(net: Message, seams: Mapping[str, str] = {}, *, in_phases: Optional[Sequence[int]] = None) -> List[str]:
    """Return everything wrong with a net, one sentence each, in file order per kind.

    `seams` maps each branch's prefix to its seam (the blob's full name in the net); with it, the branches are
    checked for what would tie them together or lose their weights. `in_phases` are the phases the net will run in;
    by default those that something feeds.
    """
    found: Dict[Union[int, str], Tuple[str, Dict[str, None]]] = {}
    looked_at = phases(net) if in_phases is None else in_phases
    surveyed = {phase: survey(net, phase) for phase in looked_at}
    for phase, (inferred, misfits) in surveyed.items():
        for key, sentence in _of_phase(of_phase(net, phase), inferred, misfits, seams):
            found.setdefault(key, (sentence, {}))[1][phase_name(phase)] = None
    told = [
        text if len(told_in) == len(looked_at) else f"{text} (phase {min(told_in)})" for text, told_in in found.values()
    ]
    if {TRAIN, TEST} <= set(looked_at):
        told += phase_faults(net, surveyed[TRAIN][0].params, surveyed[TEST][0].params)
    return [*rule_faults(net), *told]


def _of_phase(
    layers: Layers, inferred: Inferred, misfits: Sequence[Fault], seams: Mapping[str, str]
) -> Iterator[Tuple[Union[int, str], str]]:
    """Yield the problems of one phase, each with a key by which the other phase's is known to be the same one."""
    flow = Flow(layers)
    for sentence in (
        *nameless(layers),
        *doubled_names(layers),
        *flow.faults,
        *Overwriting(layers, inferred).faults,
        *definition_faults(layers, inferred),
        *_sharers(layers, seams),
        *sharing_faults(layers, inferred.params),
        *(
            fault
            for prefix, seam in seams.items()
            for fault in _branch_faults(layers, flow, prefix, seam, _of_others(layers, prefix, seams))
        ),
    ):
        yield sentence, sentence
    for misfit in misfits:
        # The same layer's sentence may differ between the phases in no more than the batch size.
        yield misfit.layer, misfit.sentence


def remarks(net: Message) -> List[str]:
    """Return what Caffe takes, and trains on another gradient than the net's: layers in place over what one reads.

    Only where the backward pass comes by: a frozen branch, or a net to deploy, is as good as any.
    """
    if TRAIN not in phases(net) and not (phases(net) == (TEST,) and any(map(is_loss, net.layer))):
        return []
    view = NetView(net, TRAIN)
    return list(dict.fromkeys(Overwriting(view.layers, view.shapes).wrong_gradients(view.backward)))


def warn(net: Message, what: str) -> None:
    """Give a NetbuildWarning for each of the net's `remarks`."""
    for remark in remarks(net):
        warnings.warn(f"{what}: {remark}", NetbuildWarning, stacklevel=2)


def require_sound(
    net: Message, what: str, seams: Mapping[str, str] = {}, *, in_phases: Optional[Sequence[int]] = None
) -> None:
    """Raise GraphError with all problems of the net; `what` names it (a file, or 'the fused net')."""
    found = problems(net, seams, in_phases=in_phases)
    if found:
        raise GraphError(f"{what}: {found[0]}" if len(found) == 1 else "\n  ".join([f"{what}:", *found]))


def require_savable(solver: Message, net: Message) -> None:
    """Raise GraphError where the first snapshot would abort Caffe: HDF5 cannot hold names with a slash."""
    slashed = [layer.name for layer in net.layer if "/" in layer.name]
    if slashed and solver.snapshot_format == schema().SolverParameter.HDF5:
        raise GraphError(
            f"solver: snapshot_format is HDF5, but {len(slashed)} layers have '/' in their names (first "
            f"{slashed[0]!r}) and Caffe would abort at its first snapshot; set snapshot_format to BINARYPROTO, or "
            "use prefixes that end in '_'"
        )


def _of_others(layers: Layers, prefix: str, prefixes: Iterable[str]) -> Set[int]:
    """Return the layers that bear the prefix of another branch: one may feed this one."""
    others = [other for other in prefixes if other and other != prefix]
    return {index for index, layer in layers if any(names.local(other, layer.name) is not None for other in others)}


def _branch_faults(layers: Layers, flow: Flow, prefix: str, seam: str, others: Set[int]) -> Iterator[str]:
    by_index = dict(layers)
    if seam not in flow.writer:
        yield f"branch {prefix!r}: its seam {seam!r} is no blob of the net"
    members = sorted(flow.above(seam, others))
    for index in members:
        layer = by_index[index]
        automatic = layer.name.startswith(layer.type) and layer.name[len(layer.type) :].isdigit()
        if names.local(prefix, layer.name) is None or (automatic and not prefix):
            reason = (
                "has an automatic name (not assigned, or its name given twice)" if automatic else "lacks the prefix"
            )
            target = names.qualify(prefix, "NAME")
            yield f"layer {layer.name!r} of branch {prefix!r} {reason}; assign its Top: net[{target!r}] = ..."
        yield from _spoiled_input(layer, index, members, flow, by_index, prefix)


def _spoiled_input(
    layer: Message, index: int, members: Sequence[int], flow: Flow, by_index: Mapping[int, Message], prefix: str
) -> Iterator[str]:
    for blob, source in zip(layer.bottom, flow.sources[index]):
        if not in_place(layer, blob) or source in members:
            continue
        strangers = [
            by_index[reader].name
            for (name, _), readers in flow.readers.items()
            for reader in readers
            if name == blob and reader not in members
        ]
        if strangers:
            yield (
                f"layer {layer.name!r} of branch {prefix!r} works in place on the shared input {blob!r}, which layer "
                f"{strangers[0]!r} reads too: give it a top of its own"
            )


def _sharers(layers: Layers, seams: Mapping[str, str]) -> Iterator[str]:
    sharing: Dict[str, List[Tuple[Message, Message]]] = defaultdict(list)
    for _, layer in layers:
        for spec in layer.param:
            if spec.name:
                sharing[spec.name].append((layer, spec))
    for name, users in sharing.items():
        homes = {
            layer.name: next((p for p in seams if names.local(p, layer.name) is not None), None) for layer, _ in users
        }
        branches = sorted({prefix for prefix in homes.values() if prefix is not None})
        if len(branches) > 1:
            yield (
                f"shared parameter {name!r} ties the branches {' and '.join(map(repr, branches))} together (layers "
                f"{', '.join(map(repr, homes))}): put each branch's prefix in front of it"
            )
        for (one, first), (two, second) in combinations(users, 2):
            for field in ("lr_mult", "decay_mult"):
                both = first.HasField(field) and second.HasField(field)
                if both and getattr(first, field) != getattr(second, field):
                    yield f"shared parameter {name!r}: layers {one.name!r} and {two.name!r} disagree on {field}"
