"""Cut a net at a blob, and find the blobs where it can be cut.

All functions here take a net of one phase (`proto.only_phase`). A blob stands for its value after the last layer that
works in place on it: to cut LeNet at `ip1` is to keep `relu1`.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, NamedTuple, Sequence, Set

from .. import names
from ..engine.caffe import Message
from ..errors import GraphError, did_you_mean
from ..layers.roles import ends_in_answer, is_answer, is_measure, makes_scores, passes_scores
from .flow import Flow


class Classifier(NamedTuple):
    """The layer that turns features into scores."""

    layer: str
    seam: str
    """The blob it reads."""
    scores: str
    """The blob that the loss or the softmax reads, or the classifier's own top where there is none."""


def cut(net: Message, blobs: Sequence[str]) -> Message:
    """Return the net of the layers that the blobs depend on, in file order; everything else goes.

    Raises GraphError that names all blobs the net does not make.
    """
    flow = _flow(net)
    missing = [blob for blob in blobs if blob not in flow.writer]
    if missing:
        last = next(reversed(list(flow.writer)), "none")
        hint = did_you_mean(missing[0], flow.writer, f"its last blob is {last!r}")
        raise GraphError(f"no blob {' and no '.join(map(repr, missing))} in the net; {hint}")
    kept = dependencies(net, blobs)
    return type(net)(name=net.name, layer=[layer for index, layer in enumerate(net.layer) if index in kept])


def outlets(net: Message, prefix: str, others: Sequence[str] = ()) -> List[str]:
    """Return the blobs of a branch that layers outside it read; where none does, its last blob.

    `others` are prefixes of other branches, whose layers may begin as this one's do.
    """
    found: List[str] = []
    inside: Dict[str, bool] = {}
    for layer in net.layer:
        is_own = names.owner((*others, prefix), layer.name) == prefix
        if not is_own:
            found += [blob for blob in layer.bottom if inside.get(blob) and blob not in found]
        inside.update((top, is_own) for top in layer.top)
    return found or [blob for blob, is_own in inside.items() if is_own][-1:]


def dependencies(net: Message, blobs: Sequence[str]) -> Set[int]:
    """Return the indices of the layers that make the blobs, directly or not, those of inputs and data included."""
    flow = _flow(net)
    return flow.behind(flow.writer[blob] for blob in blobs if blob in flow.writer)


def classifiers(net: Message) -> List[Classifier]:
    """Return the layers whose scores a loss, a softmax or an accuracy reads, or which end the net."""
    flow = _flow(net)
    read = {writer for _, writer in flow.readers}
    found: Dict[str, Classifier] = {}
    for index, layer in enumerate(net.layer):
        judged = is_answer(layer) or is_measure(layer)
        if judged and flow.sources[index]:
            start = flow.sources[index][0]
        elif index not in read and (passes_scores(layer) or makes_scores(layer, judged=False)):
            start = index
        else:
            continue
        above = _first_with_parameters(net, flow, start)
        if makes_scores(above, judged=judged or ends_in_answer(layer)):
            scores = net.layer[start].top[0] if judged else above.top[0]
            found.setdefault(above.name, Classifier(above.name, above.bottom[0], scores))
    return list(found.values())


def _first_with_parameters(net: Message, flow: Flow, index: int) -> Message:
    while passes_scores(net.layer[index]) and len(flow.sources[index]) == 1:
        index = flow.sources[index][0]
    return net.layer[index]


def cut_points(net: Message) -> List[str]:
    """Return the blobs that everything on the way from the inputs to a classifier (or to an end) goes through."""
    flow = _flow(net)
    through: Dict[int, Set[int]] = {}
    for index in range(len(net.layer)):
        sources = flow.sources[index]
        common = set.intersection(*(through[source] for source in sources)) if sources else set()
        through[index] = common | {index} if sources else set()
    kept = {index for end in _ends(net, flow) for index in through[end]}
    # Of a layer with several tops that are read, none has everything go through it.
    read = {index: [top for top in net.layer[index].top if (top, index) in flow.readers] for index in kept}
    ways = [read[index] or list(net.layer[index].top) for index in sorted(kept)]
    return list(dict.fromkeys(tops[0] for tops in ways if len(tops) == 1))


def _ends(net: Message, flow: Flow) -> Iterator[int]:
    found = classifiers(net)
    if found:
        yield from (flow.writer[classifier.scores] for classifier in found)
        return
    read = {writer for _, writer in flow.readers}
    yield from (index for index in range(len(net.layer)) if index not in read)


def _flow(net: Message) -> Flow:
    return Flow(list(enumerate(net.layer)))
