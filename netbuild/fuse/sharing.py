"""Layers that share their parameters (siamese nets): what one of them gets, all have."""

from __future__ import annotations

import dataclasses
from typing import Dict, Mapping

from ..errors import WeightsError
from ..schema import Message
from .decision import Copy
from .plan import Plan


def with_shared(plan: Plan, net: Message) -> Plan:
    """Return the plan with those layers counted as shared whose parameters all belong to layers that are copied.

    Raises WeightsError where layers that share a parameter would get it from different files.
    """
    owners = _owners(net, {copy.target: copy for copy in plan.copies})
    filled = {layer.name for layer in net.layer if layer.param and all(spec.name in owners for spec in layer.param)}
    shared = tuple(layer for layer in plan.left_to_fillers if layer in filled)
    left = tuple(layer for layer in plan.left_to_fillers if layer not in filled)
    return dataclasses.replace(plan, shared=shared, left_to_fillers=left)


def _owners(net: Message, copies: Mapping[str, Copy]) -> Dict[str, Copy]:
    """Return, for each named parameter, the first copy that fills it."""
    owners: Dict[str, Copy] = {}
    for layer in net.layer:
        if layer.name not in copies:
            continue
        for spec in layer.param:
            if spec.name:
                _require_one_file(spec.name, owners.setdefault(spec.name, copies[layer.name]), copies[layer.name])
    return owners


def _require_one_file(parameter: str, first: Copy, second: Copy) -> None:
    if first.path != second.path:
        raise WeightsError(
            f"{first.target!r} and {second.target!r} share the parameter {parameter!r}, but would get it from two "
            f"files, {first.path} and {second.path}; give both branches one"
        )
