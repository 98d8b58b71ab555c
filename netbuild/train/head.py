"""Train a head on kept features: whether that can be, the solver for it, and whole caffemodels afterwards."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Collection, List, Mapping, Optional, Tuple

from .. import proto
from ..errors import NetbuildError, some
from ..features.make import HERE, Execution, Kept
from ..features.part import PhaseFeatures, part_of, untrained
from ..files import PathLike
from ..fuse.options import CopyOptions
from ..fuse.planned import plan_weights
from ..graph.check import require_sound
from ..graph.filled import has_frozen_part
from ..graph.view import NetView
from ..schema import TEST, TRAIN, Message, schema
from ..solving import NET_FIELDS, type_of
from ..spelling import either, name_of, option
from ..weights.caffemodel import NET_NAME
from ..weights.index import index, read_state
from ..weights.wire import encode_bytes
from ..weights.write import write_model
from .job import Beginning, Rest
from .prepare import CheckedSolver
from .solverstate import learned_net, state_of

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


def head_run(
    solver: CheckedSolver, beginning: Beginning, features: Features
) -> Tuple[Optional[HeadRun], Optional[str]]:
    """Return the solver's nets divided, or None where the whole net is to be trained, and a note on that.

    Raises NetbuildError where features were asked for and cannot be used, and for a solverstate that does not fit.
    """
    run, reason = _usable(solver, beginning, features)
    resume = beginning.resume
    if run is not None:
        if resume is not None:
            _require_all_layers(NetView(run.parts["train"].split.head, TRAIN), learned_net(resume), resume)
        return run, f"only the head is trained, on features that are computed once ({_spelled(OFF)}: the whole net)"
    if resume is not None:
        _require_whole_state(solver, resume)
    note = f"the whole net is trained, not its head on features: {reason}"
    return None, note if reason and has_frozen_part(solver.trained, solver.of_phases) else None


def _usable(solver: CheckedSolver, beginning: Beginning, features: Features) -> Tuple[Optional[HeadRun], Optional[str]]:
    """Return the nets divided; or None, and why features are not used where they might have been."""
    if features.where == OFF:
        return None, None
    try:
        run = _divided(solver, beginning)
    except NetbuildError as error:
        if features.where != AUTO:
            raise NetbuildError(f"features cannot be used: {error}") from error
        return None, str(error)
    must_pay = features.where == AUTO and features.folder is None and beginning.resume is None
    reason = _in_vain(run, solver.message) if must_pay else None
    return (run, None) if reason is None else (None, reason)


def _spelled(where: str) -> str:
    """Return how to ask for features: `--features off`, or the argument of `train_solver`."""
    return either(option("features", where), f"features=Features({where!r})")


def pointed_at_heads(solver: Message, kept: Mapping[str, Kept], *, shuffle: bool) -> Message:
    """Return the solver training and testing, instead of its nets, those that read the features."""
    result = proto.copied(solver)
    for field in NET_FIELDS:
        result.ClearField(field)
    for name, one in kept.items():
        (result.train_net_param if name == "train" else result.test_net_param.add()).CopyFrom(one.head)
    result.train_net_param.layer[0].hdf5_data_param.shuffle = shuffle
    return result


def complete(alone: Path, whole: Path, rest: Rest) -> None:
    """Write a snapshot of the whole net from one of the head alone."""
    net = proto.in_state(proto.read_net(rest.net), rest.stages, rest.level)
    planned = plan_weights(net, {"": [*rest.weights, alone]}, CopyOptions(partial=True))
    fields = encode_bytes(NET_NAME, planned.net.name.encode()) if planned.net.name else b""
    write_model(planned.entries, whole, net=fields)


def _divided(solver: CheckedSolver, beginning: Beginning) -> HeadRun:
    """Divide the nets of a solver; raise NetbuildError with the reason where its head cannot be trained alone."""
    _require_dividable(solver)
    # What completes its snapshots reads this net in all its phases.
    require_sound(solver.trained, solver.nets[0].name)
    parts = {"train": part_of("train", solver.trained, TRAIN)}
    for number, one in enumerate(solver.tested):
        name = f"test_{number}" if number else "test"
        parts[name] = part_of(name, one.view.net, TEST)
    weights: List[PathLike] = [*beginning.weights]
    if beginning.resume is not None:
        weights.append(_learned_head(solver, parts["train"], beginning.resume))
    elif untrained([*parts.values()], weights):
        raise NetbuildError("frozen layers get no trained weights")
    return HeadRun(solver.nets[0].built.path, parts, tuple(weights))


def _require_dividable(solver: CheckedSolver) -> None:
    if solver.message.snapshot_format == schema().SolverParameter.HDF5:
        raise NetbuildError("the solver saves HDF5")
    if any(one.built.message is not None for one in solver.nets):
        raise NetbuildError("the solver holds its nets itself")
    if any(one.view.phase != one.built.phase for one in solver.nets):
        raise NetbuildError("a state gives one of the solver's nets the other phase")


def _in_vain(run: HeadRun, solver: Message) -> Optional[str]:
    """Return why computing the features would take as long as the training of the whole net, None where it pays."""
    part = run.parts["train"]
    if solver.max_iter * solver.iter_size * part.split.batch > part.images:
        return None
    return f"{solver.max_iter} iterations are not more than one pass over its {part.images} images"


def _learned_head(solver: CheckedSolver, train: PhaseFeatures, resume: PathLike) -> str:
    """Return the caffemodel that goes with a solverstate of the head; NetbuildError for one of the whole net."""
    state = read_state(resume)
    expected = _remembered(solver, {layer.name for layer in train.split.head.layer})
    if state is None or state.histories != expected:
        raise NetbuildError(f"{os.fspath(resume)!r} is the state of a whole net")
    learned = learned_net(resume)
    assert learned is not None  # of a state that can be read
    return learned


def _require_whole_state(solver: CheckedSolver, resume: PathLike) -> None:
    state = state_of(resume)
    _require_all_layers(solver.view, learned_net(resume), resume)
    expected = _remembered(solver, {layer.name for _, layer in solver.view.layers})
    if state is not None and state.histories != expected:
        raise NetbuildError(
            f"resume {os.fspath(resume)!r}: remembers {state.histories} blobs, and the whole net has {expected}: "
            f"is it of another net, or of a head trained on features? Those go on with {_spelled(AUTO)}"
        )


def _require_all_layers(view: NetView, learned: Optional[str], resume: PathLike) -> None:
    """Raise NetbuildError where layers would begin at their fillers, for Caffe passes over them in silence.

    Layers that are not in every phase and stage are not looked at.
    """
    if learned is None:
        return
    stored = {layer.name for layer in index(learned).layers}
    params = view.fitting_shapes().params
    missing = [
        layer.name
        for number, layer in view.layers
        if params[number] and not (layer.name in stored or layer.blobs or layer.include or layer.exclude)
    ]
    if missing:
        raise NetbuildError(
            f"resume {os.fspath(resume)!r}: its caffemodel {learned!r} has no values for {some(missing)}, so that this "
            "net would not go on from where it stood; resume with the net as it was, or begin anew with "
            f"{name_of('weights')}"
        )


def _remembered(solver: CheckedSolver, layers: Collection[str]) -> int:
    """Return how many blobs a solver remembers that trains these layers; a parameter that is shared counts once."""
    params = solver.view.fitting_shapes().params
    names: List[str] = []
    for number, layer in solver.view.layers:
        if layer.name in layers:
            count = len(params[number] or ())
            names += ([spec.name for spec in layer.param] + [""] * count)[:count]
    shared = set(names) - {""}
    return (names.count("") + len(shared)) * (2 if type_of(solver.message) in _TWICE else 1)
