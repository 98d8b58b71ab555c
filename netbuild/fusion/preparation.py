"""Mean and scale inside a branch, where branches share an input but were trained on differently prepared images."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Mapping, Set, Tuple

from .._caffe import caffe
from ..branches.branch import Input
from ..branches.written import Top
from ..errors import GraphError
from ..names import qualify

Reads = Mapping[str, Mapping[str, Any]]
"""Of each branch, by prefix: the input blobs of the net that it reads, and what is told of them (an Input or None)."""


def uneven(reads: Reads) -> Set[str]:
    """Return the inputs whose readers were trained with different means or scales."""
    return {blob for blob, told in _by_blob(reads).items() if len(set(map(_preparation, told.values()))) > 1}


def merged(reads: Reads) -> Dict[str, Input]:
    """Return what a data layer has to give to each input of the net; a mean and scale that all readers share included.

    Raises GraphError where the readers of one input need different sizes.
    """
    raw = uneven(reads)
    result: Dict[str, Input] = {}
    for blob, told in _by_blob(reads, every=True).items():
        shapes = {prefix: one.shape for prefix, one in told.items() if one.shape is not None}
        if len(set(shapes.values())) > 1:
            listed = ", ".join(f"{prefix}: {shape}" for prefix, shape in shapes.items())
            raise GraphError(
                f"the branches read the input {blob!r} in different sizes ({listed}): give one an input of its own "
                "(--input PREFIX=NAME), or one --shape to all"
            )
        first = next((one for one in told.values() if one.prepared), next(iter(told.values()), Input(None)))
        shape = next(iter(shapes.values()), None)
        result[blob] = dataclasses.replace(first, shape=shape)
        if blob in raw:
            result[blob] = dataclasses.replace(result[blob], mean=(), scale=1.0, mean_file=None)
    return result


def require_told(reads: Reads) -> None:
    """Raise GraphError where a branch would have to carry a preparation that is not known, or that no layer can do."""
    raw = uneven(reads)
    for prefix, blobs in reads.items():
        for blob, told in blobs.items():
            if blob in raw and (told is None or not told.prepared):
                raise GraphError(
                    f"the branches that read the input {blob!r} were trained with different means or scales, and the "
                    f"net of {prefix!r} does not tell its own; give --mean {prefix}=VALUE and --scale {prefix}=VALUE"
                )
            if blob in raw and told.mean_file:
                raise GraphError(
                    f"branch {prefix!r} subtracts the mean file {told.mean_file!r}, others that read {blob!r} do not, "
                    f"and no layer can do that for one branch; give mean values: --mean {prefix}=B,G,R"
                )


def prepared(net: Any, prefix: str, blob: str, bottom: Top, told: Input) -> Top:
    """Add (x - mean) * scale at the head of a branch, as layers without parameters, in the order of Caffe's own data
    layers: on raw pixels the result has the same bits."""
    layers = caffe().layers
    top = bottom
    if len(set(told.mean)) == 1:
        top = _assigned(net, prefix, f"{blob}_mean", layers.Power(top, shift=-told.mean[0]))
    elif told.mean:
        channels = layers.Slice(top, name=qualify(prefix, f"{blob}_slice"), axis=1, ntop=len(told.mean))
        for index, channel in enumerate(channels):
            net[qualify(prefix, f"{blob}_{index}")] = channel
        less: List[Top] = [
            _assigned(net, prefix, f"{blob}_mean{index}", layers.Power(channel, shift=-mean))
            for index, (channel, mean) in enumerate(zip(channels, told.mean))
        ]
        top = _assigned(net, prefix, f"{blob}_mean", layers.Concat(*less, axis=1))
    if told.scale != 1:
        top = _assigned(net, prefix, f"{blob}_scale", layers.Power(top, scale=told.scale))
    return top


def _assigned(net: Any, prefix: str, name: str, top: Top) -> Top:
    net[qualify(prefix, name)] = top
    return top


def _preparation(told: Input) -> Tuple[Any, ...]:
    return told.mean, told.scale, told.mean_file


def _by_blob(reads: Reads, *, every: bool = False) -> Dict[str, Dict[str, Input]]:
    """Return the readers of each input with what they tell: those that tell mean and scale, or `every` one."""
    found: Dict[str, Dict[str, Input]] = {}
    for prefix, blobs in reads.items():
        for blob, told in blobs.items():
            readers = found.setdefault(blob, {})
            if told is not None and (told.prepared or every):
                readers[prefix] = told
    return found
