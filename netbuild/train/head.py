"""Train a head on kept features: whether that can be, the solver for it, and whole caffemodels afterwards."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Collection, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from .. import proto
from ..engine.caffe import TEST, TRAIN, Message, schema
from ..errors import NetbuildError, some
from ..features.make import HERE, Execution, Kept
from ..features.part import PhaseFeatures, part_of, untrained
from ..files import PathLike
from ..fuse.options import CopyOptions
from ..fuse.planned import plan_weights
from ..graph.filled import has_frozen_part
from ..layers import parameter_shapes
from ..solving import type_of
from ..weights.caffemodel import NET_NAME
from ..weights.index import index, read_state
from ..weights.wire import encode_bytes
from ..weights.write import write_model
from .prepare import train_net
from .reach import learned_net, state_of

AUTO, OFF = "auto", "off"
_TWICE = ("AdaDelta", "Adam")
"""Solvers that remember two blobs for each parameter."""


@dataclass(frozen=True)
class Features:
    """Whether a head is trained on kept features, and how.

    Examples:
        >>> from netbuild import Features
        >>> whole_net = Features("off")
        >>> kept_for_many_runs = Features(folder="features", shuffle=True)
    """

    where: PathLike = AUTO
    """'auto': where that is the same and pays; 'off': never; or the folder of features that are there, or are to be."""
    folder: Optional[PathLike] = None
    """Where 'auto' keeps them for several runs, so that it always pays; by default the folder `features` of the run."""
    execution: Execution = HERE
    """Who computes those that are missing."""
    shuffle: bool = False
    """Read the features in another order in each pass: the files, and the images within each."""
    head_only: bool = False
    """Leave the frozen layers out of the snapshots; `fuse` completes them."""


WHERE_IT_PAYS: Features = Features()


@dataclass(frozen=True)
class HeadRun:
    """A solver's nets, divided."""

    net: str
    """The path of the net that is trained."""
    parts: Mapping[str, PhaseFeatures]
    weights: Tuple[PathLike, ...]
    """Files with the weights of the frozen layers."""


class Rest(NamedTuple):
    """What a snapshot of the head alone lacks."""

    net: str
    """The path of the whole net."""
    weights: Tuple[str, ...]
    """Files with the weights of its frozen layers."""


def head_run(
    solver: Message, weights: Sequence[PathLike], resume: Optional[PathLike], features: Features
) -> Tuple[Optional[HeadRun], Optional[str]]:
    """Return the solver's nets divided, or None where the whole net is to be trained, and what is to be said of that.

    Raises NetbuildError where features were asked for and cannot be used, and for a solverstate that does not fit.
    """
    run, reason = None, None
    if features.where != OFF:
        try:
            run = _divided(solver, weights, resume)
            reason = _in_vain(run, solver) if (features.where, features.folder, resume) == (AUTO, None, None) else None
        except NetbuildError as error:
            if features.where != AUTO:
                raise NetbuildError(f"features cannot be used: {error}") from error
            reason = str(error)
    net = proto.read_net(train_net(solver))
    if run is not None and reason is None:
        if resume is not None:
            _require_all_layers(run.parts["train"].split.head, learned_net(resume), resume)
        return run, "only the head is trained, on features that are computed once (--features off: the whole net)"
    _require_whole_state(solver, net, resume)
    note = f"the whole net is trained, not its head on features: {reason}"
    return None, note if reason and has_frozen_part(net) else None


def point_at_heads(solver: Message, kept: Mapping[str, Kept], *, shuffle: bool) -> None:
    """Let the solver train and test, instead of its nets, those that read the features."""
    for field in ("net", "train_net", "test_net"):
        solver.ClearField(field)
    for name, one in kept.items():
        (solver.train_net_param if name == "train" else solver.test_net_param.add()).CopyFrom(one.head)
    solver.train_net_param.layer[0].hdf5_data_param.shuffle = shuffle


def complete(alone: Path, whole: Path, rest: Rest) -> None:
    """Write a snapshot of the whole net from one of the head alone."""
    planned = plan_weights(rest.net, {"": [*rest.weights, alone]}, CopyOptions(partial=True))
    fields = encode_bytes(NET_NAME, planned.net.name.encode()) if planned.net.name else b""
    write_model(planned.entries, whole, net=fields)


def _divided(solver: Message, weights: Sequence[PathLike], resume: Optional[PathLike]) -> HeadRun:
    """Divide the nets of a solver; raise NetbuildError with the reason where its head cannot be trained alone."""
    if solver.snapshot_format == schema().SolverParameter.HDF5:
        raise NetbuildError("the solver saves HDF5")
    if any(state.stage or state.level for state in (solver.train_state, *solver.test_state)):
        raise NetbuildError("the solver chooses layers by stage or level")
    path = train_net(solver)
    net = proto.read_net(path)
    parts = {"train": part_of("train", net, TRAIN)}
    tests = [net] if solver.HasField("net") and solver.test_iter else []
    tests += [proto.read_net(other) for other in solver.test_net]
    if len(tests) != len(solver.test_iter):
        raise NetbuildError(f"the solver has {len(solver.test_iter)} test_iter for {len(tests)} test nets")
    for number, test in enumerate(tests):
        name = f"test_{number}" if number else "test"
        parts[name] = part_of(name, test, TEST)
    if resume is not None:
        weights = [*weights, _state_of_head(solver, net, parts["train"], resume)]
    elif untrained([*parts.values()], weights):
        raise NetbuildError("frozen layers get no trained weights")
    return HeadRun(path, parts, tuple(weights))


def _in_vain(run: HeadRun, solver: Message) -> Optional[str]:
    """Return why computing the features would take as long as the training of the whole net, None where it pays."""
    part = run.parts["train"]
    if solver.max_iter * solver.iter_size * part.split.batch > part.images:
        return None
    return f"{solver.max_iter} iterations are not more than one pass over its {part.images} images"


def _state_of_head(solver: Message, net: Message, train: PhaseFeatures, resume: PathLike) -> str:
    """Return the caffemodel that goes with a solverstate of the head; NetbuildError for one of the whole net."""
    state = read_state(resume)
    expected = _remembered(solver, net, {layer.name for layer in train.split.head.layer})
    if state is None or state.histories != expected:
        raise NetbuildError(f"{os.fspath(resume)!r} is the state of a whole net")
    found = learned_net(resume)
    assert found is not None  # of a state that can be read
    return found


def _require_whole_state(solver: Message, net: Message, resume: Optional[PathLike]) -> None:
    state = state_of(resume) if resume is not None else None
    if resume is not None:
        _require_all_layers(net, learned_net(resume), resume)
    expected = _remembered(solver, net, {layer.name for layer in net.layer})
    if state is not None and state.histories != expected:
        raise NetbuildError(
            f"resume {os.fspath(resume or '')!r}: remembers {state.histories} blobs, and the whole net has {expected}: "
            "is it of another net, or of a head trained on features? Those go on with --features auto"
        )


def _require_all_layers(net: Message, learned: Optional[str], resume: PathLike) -> None:
    """Raise NetbuildError where layers would begin at their fillers, for Caffe passes over them in silence.

    Layers that are not in every phase and stage are not looked at.
    """
    if learned is None:
        return
    stored = {layer.name for layer in index(learned).layers}
    missing = [
        layer.name
        for layer, shapes in zip(net.layer, parameter_shapes(net))
        if shapes and not (layer.name in stored or layer.blobs or layer.include or layer.exclude)
    ]
    if missing:
        raise NetbuildError(
            f"resume {os.fspath(resume)!r}: its caffemodel {learned!r} has no values for {some(missing)}, so that this "
            "net would not go on from where it stood; resume with the net as it was, or begin anew with --weights"
        )


def _remembered(solver: Message, net: Message, layers: Collection[str]) -> int:
    """Return how many blobs a solver remembers that trains these layers; a parameter that is shared counts once."""
    count = 0
    shared: Set[str] = set()
    for layer, shapes in zip(net.layer, parameter_shapes(net)):
        if layer.name in layers:
            names = [spec.name for spec in layer.param] + [""] * len(shapes or ())
            for name in names[: len(shapes or ())]:
                count += name not in shared
                shared.update([name] if name else [])
    return count * (2 if type_of(solver) in _TWICE else 1)
