"""Which blob feeds which branch: shared inputs, inputs of their own, the blobs of other branches."""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Collection, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

from .. import names
from ..branches.branch import Branch, Builder, Input
from ..branches.calling import called
from ..branches.source import taking
from ..branches.written import Blobs, Top
from ..errors import GraphError, NetbuildError, did_you_mean, require_factor, require_finite
from ..graph.freeze import BATCH_NORM
from ..graph.rename import names_in
from ..names import local, qualify
from ..schema import netspec
from ..schema.programs import net_written
from ..spelling import name_of
from . import preparation

DATA, LABEL = "data", "label"
"""The blobs that feed a net of one input; names given by the caller are not prefixed."""


@dataclass(frozen=True)
class BranchSpec:
    """One branch's part in a fusion: its builder, what it reads, and how it learns.

    Examples:
        >>> from netbuild import BranchSpec, Fusion, build, lenet
        >>> streams = {"rgb": BranchSpec(lenet, reads="images"), "flow": BranchSpec(lenet, reads="flow")}
        >>> sorted(build(Fusion(streams, classes=10)).inputs)
        ['flow', 'images']
    """

    builder: Builder
    """The function that writes it: one of netbuild's, your own, or of a file by `prototxt`."""
    frozen: bool = True
    """Whether training is to change none of its blobs."""
    lr: float = 1.0
    """Factor on the learning rates of a branch that is not frozen."""
    frozen_to: Optional[str] = None
    """The branch's own blob up to which it is frozen all the same."""
    batch_norm: Optional[str] = "global"
    """BatchNorm of a branch that is not frozen: on its stored statistics, on each `batch`'s own, or (None) as its
    source has it."""
    reads: Union[str, Mapping[str, str]] = DATA
    """What feeds it: an input of the net, another branch (its seam), or a blob of another branch (`front/conv5`). For
    several inputs a mapping from their own names. A blob that its net makes itself may be among these names: the
    branch then begins there (`{"conv5": "front/conv5"}`)."""
    shares: Optional[str] = None
    """The branch whose parameters it has in common, for siamese nets."""
    shape: Optional[Tuple[int, ...]] = None
    """What its net reads without N, (C, H, W), in place of what the source of the branch declares."""
    mean: Optional[Tuple[float, ...]] = None
    """What is subtracted from its images, one value or one for each channel (B, G, R), in place of what the source
    declares."""
    scale: Optional[float] = None
    """What they are multiplied by after that, in place of what the source declares."""

    def __post_init__(self) -> None:
        if not callable(self.builder):
            found = repr(self.builder) if isinstance(self.builder, str) else type(self.builder).__name__
            raise GraphError(f"a builder is a function, found {found}; find_branch makes one of a name or a prototxt")
        if self.batch_norm not in (None, *BATCH_NORM):
            raise GraphError(f"no BatchNorm statistics {self.batch_norm!r}; known are {' and '.join(BATCH_NORM)}")
        require_finite("a learning rate factor", [self.lr])
        require_finite("a mean", self.mean or ())
        if self.scale is not None:
            require_factor("the scale", self.scale)
        if self.lr <= 0:
            raise GraphError(f"a learning rate factor of {self.lr:g}: expected more than 0; a frozen branch has none")
        if self.frozen and (self.lr != 1 or self.frozen_to):
            raise GraphError("a frozen branch does not learn: lr and frozen_to are for one that is not")

    def wires(self) -> Dict[str, str]:
        """Return what feeds each of its inputs; '' stands for its first."""
        return {"": self.reads} if isinstance(self.reads, str) else dict(self.reads)

    def declared(self, found: Optional[Input]) -> Optional[Input]:
        """Return what is known of its input, from its source and from what was given in its place."""
        given = {"shape": self.shape, "mean": self.mean, "scale": self.scale}
        known: Dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if not known:
            return found
        if "mean" in known:
            known["mean_file"] = None
        if "mean" in known or "scale" in known:
            known["prepared"] = True
        return dataclasses.replace(found or Input(None, prepared=False), **known)


class Placed(NamedTuple):
    """A branch in the NetSpec, and the blobs that feed it."""

    branch: Branch
    reads: Mapping[str, Optional[Input]]
    """Each blob outside the branch that it reads, and what its source declares of that input."""
    own: Mapping[str, str]
    """What the branch's own net calls such a blob, where the wiring says it."""


def place(parts: Mapping[str, BranchSpec]) -> Tuple[Any, Dict[str, Placed]]:
    """Let the builders write their branches into a new NetSpec, each after those that feed it.

    Where branches share an input of the net but not its preparation, each prepares it for itself.
    """
    net = netspec().NetSpec()
    placed = _place(net, parts, {}, set())
    reads = open_reads(placed)
    uneven = preparation.uneven(reads)
    if not uneven:
        return net, placed
    preparation.require_declared(reads)
    taken = names_in(net_written(net))
    by_branch = {
        p: {blob: declared for blob, declared in blobs.items() if blob in uneven} for p, blobs in reads.items()
    }
    net = netspec().NetSpec()
    again = _place(net, parts, by_branch, taken)
    return net, {prefix: one._replace(reads=placed[prefix].reads) for prefix, one in again.items()}


def open_reads(placed: Mapping[str, Placed]) -> Dict[str, Dict[str, Optional[Input]]]:
    """Return, of each branch, the inputs of the net among what it reads."""
    return {
        prefix: {blob: declared for blob, declared in one.reads.items() if owner(placed, blob) is None}
        for prefix, one in placed.items()
    }


def _place(
    net: Any, parts: Mapping[str, BranchSpec], preparations: preparation.Reads, taken: Collection[str]
) -> Dict[str, Placed]:
    """Write the branches; `taken` are the names that they will have, of which their preparations keep clear."""
    placed: Dict[str, Placed] = {}
    for prefix in parts:
        _require_known(prefix, parts)
    for prefix in parts:
        last_owner(parts, prefix)
    blobs, fronts = Blobs(net), {name.rpartition("_")[0] for name in taken}
    waiting = dict(parts)
    while waiting:
        ready = [prefix for prefix in waiting if not set(feeders(parts, prefix)) & set(waiting)]
        if not ready:
            raise GraphError(f"the branches {' and '.join(map(repr, sorted(waiting)))} feed each other in a circle")
        for prefix in ready:
            declared = {blob: (_clear(prefix, blob, fronts), one) for blob, one in preparations.get(prefix, {}).items()}
            placed[prefix] = _placed(blobs, prefix, waiting.pop(prefix), placed, declared)
    return {prefix: placed[prefix] for prefix in parts}


def _clear(prefix: str, blob: str, fronts: Collection[str]) -> str:
    """Return what a preparation's layers are called after: their names begin with it, and no others of the branch.

    `fronts` are what the names that are taken begin with.
    """
    return local(prefix, names.free(qualify(prefix, blob), fronts)) or blob


def feeders(parts: Mapping[str, BranchSpec], prefix: str) -> List[str]:
    """Return the branches whose blobs feed the branch `prefix`."""
    others = [other for other in parts if other != prefix]
    owners = (blob if blob in others else owner(others, blob) for blob in parts[prefix].wires().values())
    return [found for found in owners if found is not None]


def owner(prefixes: Iterable[str], blob: str) -> Optional[str]:
    """Return the branch whose blob it is, None for an input of the net."""
    return names.owner(filter(None, prefixes), blob)


def _require_known(prefix: str, parts: Mapping[str, BranchSpec]) -> None:
    shares = parts[prefix].shares
    if shares is not None and (shares == prefix or shares not in parts):
        others = [other for other in parts if other != prefix]
        hint = did_you_mean(shares, others, f"the others are {', '.join(others) or 'none'}")
        raise GraphError(
            f"branch {prefix!r} is to share the parameters of {shares!r}, which is no other branch; {hint}"
        )


def last_owner(parts: Mapping[str, BranchSpec], prefix: str) -> str:
    """Return the branch that owns the parameters which a branch shares, directly or through others.

    Raises GraphError where none does: they share each other's in a circle.
    """
    passed = [prefix]
    while True:
        shares = parts[passed[-1]].shares
        if shares is None:
            return passed[-1]
        if shares in passed:
            circle = " and ".join(map(repr, sorted(passed[passed.index(shares) :])))
            raise GraphError(
                f"the branches {circle} share each other's parameters in a circle, and none of them has its own; "
                f"leave out {name_of('shares', flag='share')} of the one that is to have them"
            )
        passed.append(shares)


def _placed(
    blobs: Blobs,
    prefix: str,
    part: BranchSpec,
    placed: Mapping[str, Placed],
    preparations: Mapping[str, Tuple[str, Input]],
) -> Placed:
    """Write one branch; `preparations` are those that it carries itself, with what their layers are called after."""
    net, there = blobs.net, blobs.tops()
    outside = {own: _source_blob(net, prefix, blob, placed, there) for own, blob in part.wires().items()}
    tops: Dict[str, Top] = {}
    for own, blob in outside.items():
        top = there[blob]
        if blob in preparations:
            name, declared = preparations[blob]
            top = preparation.prepared(net, prefix, name, top, declared)
        tops[own] = top
    bottom = tops.pop("", None)
    branch = called(taking(part.builder, tops), net, bottom, prefix, frozen=part.frozen, inputs=tops)
    first, *others = branch.reads or outside.values()
    reads = {first: part.declared(branch.input), **{blob: branch.reads[blob] for blob in others}}
    return Placed(branch, reads, {blob: own for own, blob in outside.items() if own})


def _source_blob(net: Any, prefix: str, blob: str, placed: Mapping[str, Placed], there: Dict[str, Top]) -> str:
    """Return the full name of the blob that a wire names; an input of the net is added where it is not `there` yet."""
    if blob in placed:
        return qualify(blob, placed[blob].branch.seam)
    if blob not in there:
        if any(one and names.local(one, blob) is not None for one in (*placed, prefix)):
            blobs = [name for name in there if owner(placed, name)]
            hint = did_you_mean(blob, blobs, "name one of its blobs, or the branch itself for its seam")
            raise GraphError(f"branch {prefix!r} is to read {blob!r}, which is no blob of that branch; {hint}")
        net[blob] = there[blob] = netspec().layers.Input()
    return blob


@contextmanager
def errors_of(prefix: str) -> Iterator[None]:
    """Put the branch in front of the errors that are raised in this block; a net alone has no prefix to name."""
    try:
        yield
    except NetbuildError as error:
        raise type(error)(f"branch {prefix!r}: {error}" if prefix else str(error)) from None
