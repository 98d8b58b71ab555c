"""Run nets over the images of a list, and say how often they are right: alone, fused, and as ensembles."""

from __future__ import annotations

import tempfile
import warnings
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..data.lists import ListedImages
from ..engine.child import run
from ..errors import NetbuildError, NetbuildWarning, require_type
from ..files import PathLike
from ..soundness.images import InspectedImages, read_images, unfit_images
from ..soundness.means import mean_faults
from ..spelling import either, name_of
from .ensembles import ENSEMBLES, Member
from .figures import ClassFigures, confusion, in_top, per_class, share, softmax
from .scorer import Preparation, Prepared, Scorer, prepare

TOP = 5
ScoreProgress = Callable[[str, int, int], None]
"""Called with the name of the net that runs, the images done and all images."""


class Row(NamedTuple):
    """How often a net, or an ensemble, is right."""

    name: str
    kind: str
    """'net', 'branch' or 'ensemble'."""
    images: int
    own: bool
    """Whether these are only the images whose label it knows; otherwise all of the list."""
    top1: Optional[float]
    """None where there are no images."""
    top5: Optional[float]
    """None too where it knows no more than five labels: it could not fail."""


@dataclass(frozen=True)
class Answers:
    """What a net, or an ensemble, answers to each image."""

    name: str
    """The net's file, the branch's prefix or the ensemble's name."""
    kind: str
    """'net', 'branch' or 'ensemble'."""
    known: Tuple[int, ...]
    """The labels that its answers can be."""
    probabilities: Any
    """(N, C), float32 of a net; 0 for labels that it does not know."""

    @property
    def predicted(self) -> Any:
        """The most probable label of each image, (N,)."""
        return self.probabilities.argmax(axis=1)


@dataclass(frozen=True)
class Evaluation:
    """What nets, and their ensembles, answer to the images of a list."""

    listing: ListedImages
    answers: Tuple[Answers, ...]
    """The net's first, then those of its branches and their ensembles."""

    @property
    def classes(self) -> int:
        """The number of labels C: one more than the highest that the net knows."""
        return int(self.answers[0].probabilities.shape[1])

    @property
    def rows(self) -> List[Row]:
        """The table. Who does not know all labels of the list comes twice, first on the images whose label it knows."""
        rows = []
        for one in self.answers:
            own = np.isin(self.listing.labels, one.known)
            rows += [self._row(one, own)] if not own.all() else []
            rows.append(self._row(one, None))
        return rows

    def _row(self, one: Answers, chosen: Any) -> Row:
        mask = slice(None) if chosen is None else chosen
        labels, probabilities = self.listing.labels[mask], one.probabilities[mask]
        right = [int(in_top(probabilities, labels, k).sum()) for k in (1, TOP)]
        top5 = share(right[1], len(labels)) if len(one.known) > TOP else None
        return Row(one.name, one.kind, len(labels), chosen is not None, share(right[0], len(labels)), top5)

    @property
    def top1(self) -> float:
        """The share of all images on which the net is right."""
        return float((self.answers[0].predicted == self.listing.labels).mean())

    def confusion(self, one: Optional[Answers] = None) -> Any:
        """Return the confusion matrix of the net, or of other answers: int64 (C, C), true labels are rows."""
        return confusion(self.listing.labels, (one or self.answers[0]).predicted, self.classes)

    def per_class(self, one: Optional[Answers] = None) -> List[ClassFigures]:
        """Return the figures of each class of the net, or of other answers: no recall for labels unknown to them."""
        known = (one or self.answers[0]).known
        figures = per_class(self.confusion(one))
        return [each if each.label in known else each._replace(recall=None) for each in figures]


def score_nets(
    net: Scorer,
    source: PathLike,
    branches: Optional[Mapping[str, Scorer]] = None,
    *,
    preparation: Optional[Preparation] = None,
    root_folder: Optional[str] = None,
    gpu: Optional[int] = None,
    on_progress: ScoreProgress = lambda _name, _done, _all: None,
) -> Evaluation:
    """Run a net over a list of images, and branches alone to compare it with: each image once, in TEST phase.

    Of two branches and more there are ensembles as well: mean and product of their probabilities, and majority vote.

    Args:
        net: The net with its weights.
        source: The list: lines `PATH LABEL`.
        branches: By name further nets with their weights, which may know only some of the labels.
        preparation: How images are prepared for the nets that do not tell.
        root_folder: What stands before each path of the list; by default as in the net's own data layer.
        gpu: The number of the GPU that computes; by default the CPU.
        on_progress: Called with the name of the net that runs, the images done, and all images.

    Returns:
        `rows` with top-1 and top-5, `confusion()` and `per_class()`, and all `answers`.

    Raises:
        NetbuildError: A label or an image of the list does not fit, or nothing tells how images are prepared.
        GraphError: The net has several scores, and none is named.
        WeightsError: The weights are not those of the net.

    Examples:
        >>> from netbuild import Scorer, score_nets
        >>> odd = Scorer("odd/train_val.prototxt", "odd.caffemodel")
        >>> found = score_nets(odd, "digits/test_odd.txt")
        >>> [(row.kind, row.images) for row in found.rows], found.confusion().shape
        ([('net', 20)], (5, 5))
    """
    scorers = {"": net, **(branches or {})}
    prepared = _prepared(scorers, preparation)
    root = prepared[""].data.image_data_param.root_folder if root_folder is None else root_folder
    images = read_images(source, root)
    listing = images.listing()
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "list.txt"
        full.write_text("".join(f"{path} 0\n" for path in listing.paths), "utf-8", "surrogateescape")
        ready = {name: one.reading(str(full), len(listing.paths)) for name, one in prepared.items()}
        _require_fit(images, ready)
        known = {name: _labels(name, one) for name, one in ready.items()}
        _require_known(known, net, listing, str(source))
        _warn_of_fewer(known, scorers)
        shown = _Shown(len(listing.paths), on_progress)
        answers = [_answers(name, one, known, shown, gpu) for name, one in ready.items()]
    return Evaluation(listing, (*answers, *_ensembles(answers[1:])))


def _prepared(scorers: Mapping[str, Scorer], preparation: Optional[Preparation]) -> Dict[str, Prepared]:
    """Return each net as it is to run; raise NetbuildError where one cannot, and where none needs the preparation."""
    for name, scorer in scorers.items():
        require_type(scorer, Scorer, f"branch {name!r}" if name else "net")
    if preparation is not None:
        require_type(preparation, Preparation, "preparation")
    prepared = {name: prepare(scorer, preparation) for name, scorer in scorers.items()}
    if preparation is not None and all(one.tells for one in prepared.values()):
        raise NetbuildError(
            "the data layers of the nets tell how images are prepared; leave out "
            + either("--mean, --scale and so on", "preparation")
        )
    return prepared


def _require_fit(images: InspectedImages, ready: Mapping[str, Prepared]) -> None:
    """Raise NetbuildError for the first image that a net's data layer would stumble over, or a mean of another size."""
    for one in ready.values():
        faults = [*unfit_images(images, one.data), *(fault.sentence for fault in mean_faults(one.data, images))]
        if faults:
            raise NetbuildError(faults[0])


def _warn_of_fewer(known: Mapping[str, Sequence[int]], scorers: Mapping[str, Scorer]) -> None:
    """Warn of branches with fewer outputs than the net where nobody says which labels they stand for."""
    classes = len(known[""])
    for name, labels in known.items():
        if scorers[name].labels is None and len(labels) < classes:
            sentence = (
                f"branch {name}: its {len(labels)} outputs are taken for the labels 0 to {len(labels) - 1} of "
                f"{classes}; where they stand for others, say so with {_labels_option(name)}"
            )
            warnings.warn(sentence, NetbuildWarning, stacklevel=3)


def _labels_option(name: str, labels: Optional[Sequence[int]] = None) -> str:
    """Return how to give the labels of a branch, or of the net; without labels, in general."""
    flag = f"--labels {name + '=' if name else ''}" + ("L,L,..." if labels is None else ",".join(map(str, labels)))
    of = f" of branch {name!r}" if name else ""
    return either(flag, "labels=[L, L, ...]" if labels is None else f"labels={list(labels)}{of}")


def _labels(name: str, prepared: Prepared) -> Tuple[int, ...]:
    """Return the label of each output of a net."""
    outputs, labels = prepared.outputs(), prepared.scorer.labels
    if labels is None:
        return tuple(range(outputs))
    option = _labels_option(name, labels)
    if len(labels) != outputs:
        raise NetbuildError(f"{option}: {len(labels)} labels, and {prepared.scorer.name} has {outputs} outputs")
    if len(set(labels)) < len(labels) or min(labels) < 0:
        raise NetbuildError(f"{option}: each output needs a label of its own, 0 or higher")
    return tuple(labels)


def _require_known(known: Mapping[str, Sequence[int]], net: Scorer, listing: ListedImages, source: str) -> None:
    """Raise NetbuildError for labels of the list, or of a branch, beyond those of the net."""
    highest = max(known[""])
    there = f"beyond those of {net.name} (0 to {highest})"
    for name, labels in known.items():
        if max(labels) > highest:
            raise NetbuildError(
                f"branch {name!r}: an output stands for label {max(labels)}, which is {there}; say with "
                f"{_labels_option(name)} which label of the list each of its outputs stands for"
            )
    wrong = np.flatnonzero(listing.labels > highest)
    if len(wrong):
        first = int(wrong[0])
        raise NetbuildError(
            f"list {source!r}: the label {listing.labels[first]} of {listing.paths[first]!r} is {there}; say with "
            f"{name_of('labels')} which label each output of the net stands for, or give another list"
        )


class _Shown(NamedTuple):
    """How many images each net answers to, and the callback for the progress."""

    images: int
    on_progress: ScoreProgress


def _answers(
    name: str, prepared: Prepared, known: Mapping[str, Tuple[int, ...]], shown: _Shown, gpu: Optional[int]
) -> Answers:
    """Run one net over the list."""
    title = name or prepared.scorer.name
    scores = _scores(title, prepared, shown, gpu)
    if not np.isfinite(scores).all():
        raise NetbuildError(f"{prepared.scorer.name}: its scores are not finite; look at {prepared.scorer.weights}")
    own = scores / scores.sum(axis=1, keepdims=True) if prepared.are_probabilities else softmax(scores)
    probabilities = np.zeros((shown.images, max(known[""]) + 1), np.float32)
    probabilities[:, known[name]] = own
    return Answers(title, "branch" if name else "net", known[name], probabilities)


def _scores(title: str, prepared: Prepared, shown: _Shown, gpu: Optional[int]) -> Any:
    """Return the scores (N, C) that a net gives to the images of the list."""
    chunks: List[Any] = []
    done = 0
    shown.on_progress(title, 0, shown.images)
    with closing(run("netbuild.evaluation.child:scores", job=prepared.job(), images=shown.images, gpu=gpu)) as rows:
        for chunk in rows:
            chunks.append(chunk.reshape(len(chunk), -1))
            done += len(chunk)
            shown.on_progress(title, done, shown.images)
    return np.concatenate(chunks)


def _ensembles(branches: Sequence[Answers]) -> List[Answers]:
    if len(branches) < 2:
        return []
    members = [Member(one.probabilities, one.known) for one in branches]
    known = tuple(sorted({label for one in branches for label in one.known}))
    made: Dict[str, Any] = {name: combine(members) for name, combine in ENSEMBLES.items()}
    return [Answers(name, "ensemble", known, probabilities) for name, probabilities in made.items()]
