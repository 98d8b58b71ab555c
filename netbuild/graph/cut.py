"""Cut a net at a blob, and find the blobs where it can be cut.

All functions here take the view of a net; a message stands for the view of all its layers. A blob stands for its value
after the last layer that works in place on it: to cut LeNet at `ip1` is to keep `relu1`.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Union

from .. import names
from ..errors import GraphError, did_you_mean
from ..layers.roles import (
    ends_in_answer,
    is_answer,
    is_loss,
    is_measure,
    is_sink,
    makes_scores,
    passes_scores,
    takes_values,
)
from ..proto import with_layers
from ..schema import Message
from .dominators import Dominators
from .view import NetView


class Classifier(NamedTuple):
    """The layer that turns features into scores."""

    layer: str
    seam: str
    """The blob it reads."""
    scores: str
    """The blob that the loss or the softmax reads, or the classifier's own top where there is none."""


def cut(net: Union[Message, NetView], blobs: Sequence[str], opened: Sequence[str] = ()) -> Message:
    """Return the net of the layers that the blobs depend on, in file order; everything else goes.

    `opened` are blobs that will come from outside: the layers that make them go too, and what only these depend on.
    Raises GraphError that names all blobs the net does not make, and for what cannot be opened.
    """
    view = _view(net)
    made = view.flow.writer
    missing = [blob for blob in (*blobs, *opened) if blob not in made]
    if missing:
        last = next(reversed(list(made)), "none")
        hint = did_you_mean(missing[0], made, f"its last blob is {last!r}")
        raise GraphError(f"no blob {' and no '.join(map(repr, missing))} in the net; {hint}")
    kept = dependencies(view, blobs, opened)
    if opened:
        _require_open(view, kept, blobs, opened)
    # The layers of `only` are those of the view, in its order.
    layers = [layer for (index, _), layer in zip(view.layers, view.only.layer) if index in kept]
    return with_layers(view.net, layers)


def outlets(net: Union[Message, NetView], prefix: str, others: Sequence[str] = ()) -> List[str]:
    """Return the blobs of a branch that layers outside it read; where none does, its last blob.

    `others` are prefixes of other branches, whose layers may begin as this one's do.
    """
    read_outside: Dict[str, None] = {}
    own: Dict[str, bool] = {}
    for _, layer in _view(net).layers:
        is_own = names.owner((*others, prefix), layer.name) == prefix
        if not is_own:
            read_outside.update((blob, None) for blob in layer.bottom if own.get(blob))
        own.update((top, is_own) for top in layer.top)
    return list(read_outside) or [blob for blob, is_own in own.items() if is_own][-1:]


def dependencies(net: Union[Message, NetView], blobs: Sequence[str], opened: Sequence[str] = ()) -> Set[int]:
    """Return the indices of the layers that make the blobs, directly or not, those of inputs and data included.

    What makes the blobs of `opened` is not among them, nor what only these layers depend on.
    """
    flow = _view(net).flow
    beyond = {flow.writer[blob] for blob in opened if blob in flow.writer}
    return flow.behind((flow.writer[blob] for blob in blobs if blob in flow.writer), beyond)


def _require_open(view: NetView, kept: Set[int], blobs: Sequence[str], opened: Sequence[str]) -> None:
    """Raise GraphError where the kept layers need more of what makes the opened blobs, or nothing of one of them."""
    makers = {view.flow.writer[blob]: blob for blob in opened}
    asked = ", ".join(map(repr, blobs))
    # A blob as one layer has made it: the version after all layers that work in place on it is the one that is opened.
    read = {version for version, readers in view.flow.readers.items() if kept.intersection(readers)}
    for blob, maker in read.union((blob, view.flow.writer[blob]) for blob in blobs):
        if maker in makers and blob not in opened:
            raise GraphError(
                f"layer {view.by_index[maker].name!r} makes {makers[maker]!r}, which is to come from elsewhere, and "
                f"{blob!r}, which {asked} depends on too: let {blob!r} come from elsewhere as well"
            )
    for blob in opened:
        if blob in blobs:
            raise GraphError(f"{blob!r} is to come from elsewhere, and the net to end there: nothing lies between")
        if (blob, view.flow.writer[blob]) not in read:
            others = " and ".join(repr(one) for one in opened if one != blob)
            where = f" other than through {others}" if others else ""
            raise GraphError(f"{blob!r} is to come from elsewhere, but {asked} does not depend on it{where}")


def classifiers(net: Union[Message, NetView]) -> List[Classifier]:
    """Return the layers whose scores a loss, a softmax or an accuracy reads, or which end the net."""
    view = _view(net)
    read = {writer for _, writer in view.flow.readers}
    above = _behind_passing(view)
    found: Dict[str, Classifier] = {}
    for index, layer in view.layers:
        one = None
        if is_answer(layer) or is_measure(layer):
            one = _judged_by(index, view, above)
        elif index not in read:
            one = _ending_in(index, view, above)
        if one is not None:
            found.setdefault(one.layer, one)
    return list(found.values())


def _judged_by(index: int, view: NetView, above: Mapping[int, int]) -> Optional[Classifier]:
    """Return the classifier whose scores the layer reads as such.

    A loss that holds two such blobs against each other, as of a siamese net, takes none of them for scores.
    """
    sources = view.flow.sources[index]
    if not sources or sum(makes_scores(view.by_index[above[one]], judged=True) for one in set(sources)) > 1:
        return None
    first = view.by_index[above[sources[0]]]
    is_scoring = makes_scores(first, judged=True)
    return Classifier(first.name, first.bottom[0], view.by_index[sources[0]].top[0]) if is_scoring else None


def _ending_in(index: int, view: NetView, above: Mapping[int, int]) -> Optional[Classifier]:
    """Return the classifier that the layer is, or whose scores it passes on to nobody."""
    layer, first = view.by_index[index], view.by_index[above[index]]
    can_end = passes_scores(layer) or makes_scores(layer, judged=False)
    if can_end and makes_scores(first, judged=ends_in_answer(layer)):
        return Classifier(first.name, first.bottom[0], first.top[0])
    return None


def _behind_passing(view: NetView) -> Dict[int, int]:
    """Return for each layer the first that does more than pass on what it reads: itself, or one further up."""
    first: Dict[int, int] = {}
    for index, layer in view.layers:
        sources = view.flow.sources[index]
        passes = passes_scores(layer) and len(sources) == 1
        first[index] = first[sources[0]] if passes else index
    return first


def cut_points(net: Union[Message, NetView]) -> List[str]:
    """Return the blobs that all values on the way from the inputs to an end go through.

    An end is what classifies, or else what the losses judge, or else the net's last blobs. What a layer takes only the
    shape of, as Crop does of its second bottom, is not on the way.
    """
    view = _view(net)
    flow = view.flow
    tree = Dominators()
    for index, layer in view.layers:
        tree.add(index, [one for place, one in enumerate(flow.sources[index]) if takes_values(layer, place)])
    found: Dict[str, None] = {}
    for index in tree.above(_ends(view)):
        tops = view.by_index[index].top
        # A layer of which several tops are read is no place to cut: not everything goes through any one of them.
        ways = [top for top in tops if (top, index) in flow.readers] or list(tops)
        # Nor is an input or a data layer: there is nothing before it.
        if flow.sources[index] and len(ways) == 1:
            found[ways[0]] = None
    return list(found)


def _ends(view: NetView) -> List[int]:
    flow, judges = view.flow, _judges(view)
    ends = [flow.writer[classifier.scores] for classifier in classifiers(view)]
    ends += [source for index in judges for source in flow.sources[index] if flow.sources[source]]
    # What a loss makes is no end, unless there is no other.
    found = [index for index in ends if index not in judges]
    if found:
        return found
    read = {writer for _, writer in flow.readers}
    last = [index for index, layer in view.layers if index not in read and not is_sink(layer)]
    return [index for index in last if index not in judges] or last


def _judges(view: NetView) -> Set[int]:
    """Return the losses and accuracies, and what is computed of theirs."""
    found: Set[int] = set()
    for index, layer in view.layers:
        if is_loss(layer) or is_measure(layer) or not found.isdisjoint(view.flow.sources[index]):
            found.add(index)
    return found


def _view(net: Union[Message, NetView]) -> NetView:
    return net if isinstance(net, NetView) else NetView.of_all_layers(net)
