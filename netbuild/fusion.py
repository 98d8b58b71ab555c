"""Branches, a join and a head as one net: the fused net as a program.

`join` is the word for graphs, as `fuse` is for weight files.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from . import blocks
from ._caffe import TEST, Message, caffe
from .branches.branch import Branch, Builder, Input
from .errors import GraphError, NetbuildError
from .graph.check import require_sound
from .graph.frozen import require_frozen
from .names import qualify, stem

DATA, LABEL = "data", "label"
"""The blobs that feed the net; names given by the caller are not prefixed."""


@dataclass(frozen=True)
class Fusion:
    """What is to be one net: branches by prefix, and a new classifier on top.

    One builder under the empty prefix, not frozen, is that net alone with its classifier.
    """

    branches: Mapping[str, Builder]
    classes: int
    frozen: bool = True
    blob: Optional[str] = None
    """Name of the joined blob; by default the seam's, with `_fused`."""
    head: Optional[str] = None
    """Name of the new classifier; by default as the branches' own classifier is called."""


class Built(NamedTuple):
    """A fusion written into a NetSpec."""

    net: Any
    branches: List[Branch]

    @property
    def seams(self) -> Dict[str, str]:
        """Each branch's prefix and the full name of its seam."""
        return {branch.prefix: qualify(branch.prefix, branch.seam) for branch in self.branches}

    @property
    def net_name(self) -> str:
        """The net name that all branches share, or 'Fusion'."""
        found = {branch.net_name for branch in self.branches}
        return found.pop() if len(found) == 1 and "" not in found else "Fusion"

    @property
    def message(self) -> Message:
        """The net as a NetParameter whose inputs are left open: no layer makes `data` and `label` yet."""
        net = self.net.to_proto()
        kept = [layer for layer in net.layer if layer.bottom or list(layer.top) not in ([DATA], [LABEL])]
        return type(net)(name=self.net_name, layer=kept)

    @property
    def input(self) -> Optional[Input]:
        """How the branches' sources prepared their images, None where none tells.

        Raises GraphError where they differ: they cannot share one data layer.
        """
        told = {branch.prefix: branch.input for branch in self.branches if branch.input is not None}
        if len(set(told.values())) > 1:
            listed = "; ".join(f"{prefix}: {value}" for prefix, value in told.items())
            raise GraphError(f"the branches were trained on different inputs and cannot share a data layer ({listed})")
        return next(iter(told.values()), None)


def build(fusion: Fusion, *, deploy: bool = False) -> Built:
    """Write branches, join and head into a new NetSpec, with accuracy (in TEST) and loss, or with `prob` to deploy.

    The net reads the blobs `data` and `label`, which `Built.message` leaves open for `emit` to feed. Raises
    GraphError for two branches of one prefix and for everything that `graph.check` finds.
    """
    _require_distinct(list(fusion.branches))
    if fusion.classes < 1:
        raise GraphError(f"{fusion.classes} classes: a classifier needs at least 1")
    layers = caffe().layers
    net = caffe().NetSpec()
    net[DATA], net[LABEL] = layers.Input(), layers.Input()
    branches = [add_branch(net, prefix, builder, frozen=fusion.frozen) for prefix, builder in fusion.branches.items()]
    top = branches[0].top if len(branches) == 1 else join(net, branches, fusion.blob)
    own = branches[0] if len(branches) == 1 and fusion.head is None else None
    if own is not None and own.head is not None:
        scores = own.head(net, fusion.classes)
    else:
        name = fusion.head or branches[0].classifier.format(classes=fusion.classes)
        scores = blocks.fc(net, name, top, fusion.classes)
    if deploy:
        net.prob = layers.Softmax(scores)
    else:
        net.accuracy = layers.Accuracy(scores, net[LABEL], include={"phase": TEST})
        net.loss = layers.SoftmaxWithLoss(scores, net[LABEL])
        if own is not None and own.auxiliary is not None:
            own.auxiliary(net, fusion.classes, net[LABEL])
    built = Built(net, branches)
    message = _message(net)
    require_sound(message, "the net as built", built.seams)
    _require_assigned(message, net)
    for branch in branches if fusion.frozen else ():
        require_frozen(message, branch.prefix)
    return built


def add_branch(net: Any, prefix: str, builder: Builder, *, frozen: bool) -> Branch:
    """Let a builder write its branch into a NetSpec that has `data`; raise GraphError where it fails."""
    try:
        branch = builder(net, net[DATA], prefix, frozen=frozen)
    except NetbuildError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise GraphError(
            f"branch {prefix!r}: its builder failed: {type(error).__name__}: {error} ({place.filename}:{place.lineno})"
        ) from error
    if not isinstance(branch, Branch):
        raise GraphError(f"branch {prefix!r}: its builder returned {type(branch).__name__}, not a netbuild.Branch")
    return branch


def join(net: Any, branches: Sequence[Branch], blob: Optional[str] = None) -> blocks.Top:
    """Concatenate the seams along their channels, in the order given: C = the sum of the branches' channels."""
    seams = {branch.seam for branch in branches}
    blob = blob or (f"{seams.pop()}_fused" if len(seams) == 1 else "fused")
    net[blob] = caffe().layers.Concat(*(branch.top for branch in branches), axis=1, name="concat")
    return net[blob]


def _message(net: Any) -> Message:
    try:
        return net.to_proto()
    except Exception as error:
        # NetSpec looks at a layer's arguments only now.
        raise GraphError(f"a builder gave a layer an argument that it does not take: {error}") from error


def _require_assigned(message: Message, net: Any) -> None:
    """Refuse blobs with automatic names anywhere: NetSpec renames the first of two Tops of one name in silence."""
    for layer in message.layer:
        for blob in layer.top:
            if blob not in net.tops:
                raise GraphError(
                    f"layer {layer.name!r} ({layer.type}): its top has the automatic name {blob!r}: the Top was not "
                    "assigned, or its name was given to another (by --head or --blob, say); choose different names"
                )


def _require_distinct(prefixes: Sequence[str]) -> None:
    if not prefixes:
        raise GraphError("no branch given; name at least one, as in --branch odd=lenet")
    if "" in prefixes and len(prefixes) > 1:
        raise GraphError(
            "the empty prefix is for a net alone: in a fusion it would claim the head too; name each branch"
        )
    stems = [stem(prefix) for prefix in prefixes]
    doubled = sorted({prefix for prefix, front in zip(prefixes, stems) if stems.count(front) > 1})
    if doubled:
        listed = " and ".join(map(repr, doubled))
        raise GraphError(f"two branches have the prefix {listed}: their layers would get the same names")
