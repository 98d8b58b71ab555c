"""Which values of a solver's fields make sense to Caffe: types, learning rate policies, numbers."""

from __future__ import annotations

import math
from typing import Iterable, Mapping, Optional, Sequence

from ..errors import GraphError, did_you_mean
from ..schema import Message, is_repeated

TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
_DIVIDING = ("AdaGrad", "RMSProp", "AdaDelta", "Adam")
"""They divide by what they remember of a gradient, plus `delta`."""
_WITHOUT_MOMENTUM = ("AdaGrad", "RMSProp")
POLICIES: Mapping[str, Sequence[str]] = {
    "fixed": (),
    "step": ("stepsize", "gamma"),
    "exp": ("gamma",),
    "inv": (),
    "multistep": ("gamma",),
    "poly": (),
    "sigmoid": ("stepsize",),
}
"""Learning rate policies (sgd_solver.cpp), each with the fields without which Caffe stops, or the rate becomes 0."""
_IDLE_WITHOUT: Mapping[str, Sequence[str]] = {
    "inv": ("gamma", "power"),
    "multistep": ("stepvalue",),
    "poly": ("power",),
    "sigmoid": ("gamma",),
}
"""Fields without which a policy leaves the rate as it is."""
_REGULARIZATIONS = ("L2", "L1")
_LEAST: Mapping[str, int] = {
    **dict.fromkeys(("max_iter", "iter_size", "average_loss"), 1),
    **dict.fromkeys(("snapshot", "test_interval", "test_iter", "base_lr"), 0),
}
"""The least value of fields, where they are written. Caffe aborts below it, divides by zero, does nothing, climbs."""
_LEAST_OF_POLICY: Mapping[str, Mapping[str, int]] = {
    **{policy: {"gamma": 0} for policy in ("exp", "inv", "multistep")},
    **{policy: {"gamma": 0, "stepsize": 1} for policy in ("step", "sigmoid")},
}


def require_sensible(solver: Message) -> None:
    """Raise GraphError for a solver that Caffe would abort on, or run to no effect; nets are not looked at."""
    _require_numbers(solver)
    _require_iterations(solver)
    if solver.HasField("clip_gradients") and solver.clip_gradients == 0:
        raise GraphError("solver: clip_gradients is 0, which makes every gradient 0; leave it out to clip none")
    _require_type(solver)
    if solver.weight_decay:
        _require_known("regularization_type", solver.regularization_type, _REGULARIZATIONS)
    _require_rate(solver)


def idle_policy(solver: Message) -> Optional[str]:
    """Return a note on a solver whose policy never changes its learning rate, None for any other.

    Caffe takes 0 for a field that is not there: no error, and no effect.
    """
    missing = [name for name in _IDLE_WITHOUT.get(solver.lr_policy, ()) if not _has(solver, name)]
    if not missing:
        return None
    without = " and no ".join(missing)
    return f"the solver's lr_policy {solver.lr_policy!r} never changes the learning rate: it has no {without}"


def type_of(solver: Message) -> str:
    """Return a solver's type, also where it is in the old field."""
    if not solver.HasField("solver_type"):
        return str(solver.type)
    name = solver.DESCRIPTOR.fields_by_name["solver_type"].enum_type.values_by_number[solver.solver_type].name
    return {known.upper(): known for known in TYPES}.get(name, str(name))


def _require_numbers(solver: Message) -> None:
    for name, least in {**_LEAST, **_LEAST_OF_POLICY.get(solver.lr_policy, {})}.items():
        _require_at_least(solver, name, least)
    for field, value in solver.ListFields():
        if field.type == field.TYPE_FLOAT and not math.isfinite(value):
            raise GraphError(f"solver: {field.name} is {value}; a number is needed")


def _require_iterations(solver: Message) -> None:
    if not solver.max_iter:
        raise GraphError("solver: has no max_iter; how many iterations?")
    if (solver.test_iter or solver.test_net) and not solver.test_interval:
        raise GraphError("solver: has test nets, but no test_interval: after how many iterations is a test wanted?")


def _require_at_least(solver: Message, name: str, least: int) -> None:
    field = solver.DESCRIPTOR.fields_by_name[name]
    repeated = is_repeated(field)
    values = getattr(solver, name) if repeated else [getattr(solver, name)] * solver.HasField(name)
    for value in values:
        if value < least:
            raise GraphError(f"solver: {name} is {value:g}; {least} is the least that makes sense")


def _require_known(name: str, value: str, known: Iterable[str]) -> None:
    if value not in set(known):
        raise GraphError(f"solver: {name} {value!r} is none of Caffe's; {did_you_mean(value, known)}")


def _require_type(solver: Message) -> None:
    if solver.HasField("type") and solver.HasField("solver_type"):
        raise GraphError("solver: has both 'type' and the old 'solver_type', which Caffe refuses; leave out the second")
    kind = type_of(solver)
    _require_known("solver_type" if solver.HasField("solver_type") else "type", kind, TYPES)
    if kind in _WITHOUT_MOMENTUM and solver.momentum:
        raise GraphError(f"solver: momentum is {solver.momentum:g}, and Caffe's {kind} takes none; give it as 0")
    if kind == "RMSProp" and not 0 <= solver.rms_decay < 1:
        raise GraphError(f"solver: rms_decay is {solver.rms_decay:g}; Caffe takes 0 up to, not including, 1")
    if kind in _DIVIDING and not solver.delta > 0:
        raise GraphError(
            f"solver: delta is {solver.delta:g}, and with {kind} a gradient of 0 is divided by it; give a small number "
            f"above 0, or none for {solver.DESCRIPTOR.fields_by_name['delta'].default_value:g}"
        )


def _require_rate(solver: Message) -> None:
    if not solver.HasField("base_lr"):
        raise GraphError("solver: has no base_lr: Caffe takes 0 for it, and nothing would be learnt")
    policy = solver.lr_policy
    if not policy:
        raise GraphError(f"solver: has no lr_policy; Caffe has {', '.join(POLICIES)}")
    _require_known("lr_policy", policy, POLICIES)
    steps = {"step": [solver.stepsize], "multistep": solver.stepvalue}.get(policy)
    never = steps is not None and all(step >= solver.max_iter for step in steps)
    missing = [name for name in POLICIES[policy] if not _has(solver, name) and not (name == "gamma" and never)]
    if missing:
        raise GraphError(
            f"solver: lr_policy {policy!r} needs {' and '.join(missing)}: Caffe takes 0 for what is not there, and "
            "stops, or learns nothing more"
        )


def _has(solver: Message, name: str) -> bool:
    return any(field.name == name for field, _ in solver.ListFields())
