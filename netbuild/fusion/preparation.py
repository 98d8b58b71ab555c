"""Mean and scale inside a branch, where branches share an input but were trained on differently prepared images."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Set, Tuple

from ..branches.branch import Input
from ..branches.written import Top
from ..errors import GraphError
from ..names import qualify
from ..schema import netspec
from ..spelling import branch_option

Reads = Mapping[str, Mapping[str, Any]]
"""Of each branch, by prefix: the input blobs of the net that it reads, and what is declared of them (Input or None)."""


def uneven(reads: Reads) -> Set[str]:
    """Return the inputs whose readers were trained with different means or scales."""
    every = readers(reads)
    declared = {blob: [one for one in known.values() if one.prepared] for blob, known in every.items()}
    return {blob for blob, known in declared.items() if len(set(map(_preparation, known))) > 1}


def readers(reads: Reads) -> Dict[str, Dict[str, Input]]:
    """Return, of each input, what those of its readers declare that declare anything."""
    found: Dict[str, Dict[str, Input]] = {}
    for prefix, blobs in reads.items():
        for blob, declared in blobs.items():
            known = found.setdefault(blob, {})
            if declared is not None:
                known[prefix] = declared
    return found


def require_declared(reads: Reads) -> None:
    """Raise GraphError where a branch would have to carry a preparation that is not known, or that no layer can do."""
    raw = uneven(reads)
    for prefix, blobs in reads.items():
        for blob, declared in blobs.items():
            if blob in raw and (declared is None or not declared.prepared):
                raise GraphError(
                    f"the branches that read the input {blob!r} were trained with different means or scales, and the "
                    f"net of {prefix!r} does not tell its own; give {branch_option(prefix, 'mean', 'VALUE')} and "
                    f"{branch_option(prefix, 'scale', 'VALUE')}"
                )
            if blob in raw:
                _require_fitting_mean(prefix, declared)
            if blob in raw and declared.mean_file:
                raise GraphError(
                    f"branch {prefix!r} subtracts the mean file {declared.mean_file!r}, others that read {blob!r} do "
                    "not, and no layer can do that for one branch; give mean values: "
                    f"{branch_option(prefix, 'mean', 'B', 'G', 'R')}"
                )


def _require_fitting_mean(prefix: str, declared: Input) -> None:
    channels, count = declared.seen[0], len(declared.mean)
    if channels is not None and count not in (0, 1, channels):
        raise GraphError(
            f"branch {prefix!r}: {count} mean values for {channels} channel{'s' * (channels > 1)}; give one, or each's"
        )


def prepared(net: Any, prefix: str, blob: str, bottom: Top, declared: Input) -> Top:
    """Add (x - mean) * scale at the head of a branch, as layers without parameters, in the order of Caffe's own data
    layers: on raw pixels the result has the same bits."""
    layers = netspec().layers
    top = bottom
    if len(set(declared.mean)) == 1:
        top = _assigned(net, prefix, f"{blob}_mean", layers.Power(top, shift=-declared.mean[0]))
    elif declared.mean:
        channels = layers.Slice(top, name=qualify(prefix, f"{blob}_slice"), axis=1, ntop=len(declared.mean))
        for index, channel in enumerate(channels):
            net[qualify(prefix, f"{blob}_{index}")] = channel
        less: List[Top] = [
            _assigned(net, prefix, f"{blob}_mean{index}", layers.Power(channel, shift=-mean))
            for index, (channel, mean) in enumerate(zip(channels, declared.mean))
        ]
        top = _assigned(net, prefix, f"{blob}_mean", layers.Concat(*less, axis=1))
    if declared.scale != 1:
        top = _assigned(net, prefix, f"{blob}_scale", layers.Power(top, scale=declared.scale))
    return top


def _assigned(net: Any, prefix: str, name: str, top: Top) -> Top:
    net[qualify(prefix, name)] = top
    return top


def _preparation(declared: Input) -> Tuple[Any, ...]:
    return declared.mean, declared.scale, declared.mean_file
