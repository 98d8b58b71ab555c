"""What Caffe would refuse, or take and misread: found in the definition, before Caffe sees it.

Caffe answers an unknown bottom, a doubled top or shapes that do not fit with an abort, and says nothing at all about
a layer name that stands twice (weights go to the first) or an in-place layer that changes the input of another branch.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple, Union

from ..errors import GraphError, NetbuildWarning
from ..layers.fillers import fork_fillers
from ..layers.roles import is_loss
from ..layers.training import is_for_gpu
from ..proto import Net, net_of, phase_name
from ..schema import TEST, TRAIN, Message, schema
from .apart import branch_faults, tied_parameters
from .definition import (
    definition_faults,
    doubled_names,
    drawing_faults,
    idle_names,
    nameless_blobs,
    phase_faults,
    rate_faults,
    rule_faults,
    sharing_faults,
    typeless,
)
from .overwriting import Overwriting
from .phases import made_for
from .view import NetView, Views, views
from .weighted import lost_weights, weight_faults

_Key = Union[int, str]
"""By which a problem of one phase is known to be that of the other: a layer's index, or the whole sentence."""


def problems(net: Net, seams: Mapping[str, str] = {}, *, in_phases: Optional[Sequence[int]] = None) -> List[str]:
    """Return everything that is wrong with a net, before Caffe aborts on it or misreads it.

    Args:
        net: A path, a NetParameter or a NetSpec.
        seams: For each branch's prefix its seam, the full name of a blob of the net. With it, what would tie branches
            together or lose their weights is wrong too.
        in_phases: The phases that the net will run in, 0 for TRAIN and 1 for TEST; by default those that something
            feeds.

    Returns:
        One sentence for each thing that is wrong, in file order for each kind; none for a sound net.

    Raises:
        GraphError: The net cannot be read.

    Examples:
        >>> from netbuild import netspec, problems
        >>> net = netspec().NetSpec()
        >>> net.data = netspec().layers.Input(shape={"dim": [1, 1, 12, 12]})
        >>> net.conv1 = netspec().layers.Convolution(net.data, num_output=8, kernel_size=15)
        >>> for sentence in problems(net):
        ...     print(sentence)
        layer 'conv1' (Convolution): ...
        >>> problems("fused/train_val.prototxt", {"odd": "odd/ip1", "even": "even/ip1"})
        []
    """
    message = net_of(net)
    return problems_of(message, views(message, in_phases), seams)


def problems_of(net: Message, of_phases: Views, seams: Mapping[str, str] = {}) -> List[str]:
    """Return what `problems` does, of a net of which there are views already."""
    sentences: Dict[_Key, str] = {}
    found_in: Dict[_Key, Set[str]] = defaultdict(set)
    for phase, view in of_phases.items():
        for key, sentence in _in_phase(view, seams):
            sentences.setdefault(key, sentence)
            found_in[key].add(phase_name(phase))
    found = [
        sentence if len(found_in[key]) == len(of_phases) else f"{sentence} (phase {min(found_in[key])})"
        for key, sentence in sentences.items()
    ]
    if TRAIN in of_phases and TEST in of_phases:
        found += phase_faults(net, of_phases[TRAIN].shapes.params, of_phases[TEST].shapes.params)
    return [*rule_faults(net), *found]


def _in_phase(view: NetView, seams: Mapping[str, str]) -> Iterator[Tuple[_Key, str]]:
    for sentence in (
        *typeless(view.layers),
        *nameless_blobs(view.layers),
        *doubled_names(view.layers, view.shapes.params),
        *view.flow.faults,
        *Overwriting(view.layers, view.shapes).faults,
        *definition_faults(view.layers, view.shapes),
        *drawing_faults(view.layers, view.phase),
        *weight_faults(view.layers, view.flow),
        *tied_parameters(view, seams),
        *rate_faults(view.layers),
        *sharing_faults(view.layers, view.shapes.params),
        *branch_faults(view, seams),
        *(view.dead_ends if view.phase == TRAIN else ()),
    ):
        yield sentence, sentence
    for misfit in view.misfits:
        # The same layer's sentence may differ between the phases in no more than the batch size.
        yield misfit.layer, misfit.sentence


def remarks(net: Message, of_phases: Optional[Views] = None) -> List[str]:
    """Return what Caffe takes, and one may not mean: names that say nothing, gradients that are not the net's.

    Also what aborts where it computes on the CPU, or in a Caffe that is no fork. `of_phases` are views of the net where
    there are some already.
    """
    of_phases = of_phases or views(net)
    names = (sentence for view in of_phases.values() for sentence in idle_names(view.layers, view.shapes.params))
    return list(dict.fromkeys([*names, *_elsewhere(of_phases), *_wrong_gradients(net, of_phases)]))


def _elsewhere(of_phases: Views) -> Iterator[str]:
    """Yield what another device takes, or another Caffe."""
    for view in of_phases.values():
        for index, layer in view.layers:
            where = f"layer {layer.name!r} ({layer.type})"
            if is_for_gpu(layer):
                yield f"{where}: STOCHASTIC is for the GPU: on the CPU Caffe aborts when it runs"
            for sentence in fork_fillers(layer, view.shapes.params.get(index), view.shapes.tops[index]):
                yield f"{where}: {sentence}"


def _wrong_gradients(net: Message, of_phases: Views) -> Iterator[str]:
    """Yield where the net is not trained by its own gradient, as far as the backward pass comes by.

    By layers in place over what another one reads, and by losses that Caffe forgets because another layer reads them.
    Of a net that is made for TEST alone also where its training would abort; of one that is made for TRAIN that is
    among the `problems`. A frozen branch, or a net to deploy, is as good as any.
    """
    found = made_for(net)
    if TRAIN not in found and not (found == (TEST,) and any(map(is_loss, net.layer))):
        return
    view = of_phases.get(TRAIN) or NetView(net, TRAIN)
    yield from Overwriting(view.layers, view.shapes).wrong_gradients(view.backward)
    yield from lost_weights(view.layers, view.flow, view.backward)
    if TRAIN not in found:
        yield from view.dead_ends


def warn(net: Message, what: str, of_phases: Optional[Views] = None) -> None:
    """Give a NetbuildWarning for each of the net's `remarks`."""
    for remark in remarks(net, of_phases):
        warnings.warn(f"{what}: {remark}", NetbuildWarning, stacklevel=2)


def require_sound(
    net: Message, what: str, seams: Mapping[str, str] = {}, *, in_phases: Optional[Sequence[int]] = None
) -> Views:
    """Raise GraphError with all problems of the net; `what` names it (a file, or 'the fused net').

    Returns the views of a sound net, for what is asked of it next.
    """
    of_phases = views(net, in_phases)
    require_sound_views(net, of_phases, what, seams)
    return of_phases


def require_sound_views(net: Message, of_phases: Views, what: str, seams: Mapping[str, str] = {}) -> None:
    """Do what `require_sound` does, for a net of which there are views already."""
    require_none(problems_of(net, of_phases, seams), what)


def require_none(found: Sequence[str], what: str) -> None:
    """Raise GraphError with all problems that were found, if any were; `what` names the net."""
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
