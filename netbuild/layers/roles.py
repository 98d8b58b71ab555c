"""What a layer is to a net: source of data, loss, judge of labels, answer."""

from __future__ import annotations

from typing import Optional

from ..schema import Message
from .arity import arity
from .lengths import Known, Length
from .row import Kind, Reads, Scores
from .table import UNKNOWN, of, of_type

_NOT_FED = (Kind.FILLED, Kind.LEARNED)
"""Layers without bottoms that need neither a caller nor a file."""


def is_unknown(layer: Message) -> bool:
    """Tell whether the layer's type is not known here."""
    return of(layer) is UNKNOWN


def is_input(layer: Message) -> bool:
    """Tell whether the layer brings in what a caller or a file gives: data, or an Input."""
    return _is_source(layer) and of(layer).role.kind not in _NOT_FED


def reads_data(layer: Message) -> bool:
    """Tell whether the layer brings in data, from files or a program; so does a type not known that reads nothing."""
    return is_input(layer) and of(layer).role.kind is not Kind.INPUT


def is_open_input(layer: Message) -> bool:
    """Tell whether the layer takes what the caller gives."""
    return of(layer).role.kind is Kind.INPUT


def is_filled(layer: Message) -> bool:
    """Tell whether the layer fills its tops itself, with no data."""
    return of(layer).role.kind is Kind.FILLED


def has_learned_top(layer: Message) -> bool:
    """Tell whether the layer's top is a parameter."""
    return of(layer).role.kind is Kind.LEARNED


def _is_source(layer: Message) -> bool:
    return bool(layer.top) and not layer.bottom


def reads(layer: Message) -> Reads:
    """Return where the layer has its values from, and what it does to them."""
    return of(layer).role.reads


def reads_list(layer: Message) -> bool:
    """Tell whether the layer reads a list of images."""
    return reads(layer) is Reads.LIST


def cuts_images(layer: Message) -> bool:
    """Tell whether the layer reads images and cuts them to one size."""
    return reads(layer) in (Reads.LIST, Reads.DATABASE)


def is_loss(layer: Message) -> bool:
    """Tell whether training makes the layer's top smaller."""
    return any(layer.loss_weight) if layer.loss_weight else is_loss_layer(layer)


def is_loss_layer(layer: Message) -> bool:
    """Tell whether the layer is one of Caffe's losses, whose top counts 1 unless it says otherwise (LossLayer).

    Forks call theirs as Caffe does: a type not known is a loss where its name says so.
    """
    row = of(layer)
    return bool(layer.type.endswith("Loss")) if row is UNKNOWN else row.role.kind is Kind.LOSS


def has_more_than_a_loss(layer: Message) -> bool:
    """Tell whether the layer is a loss that may have a second top."""
    wanted = arity(layer)
    return is_loss_layer(layer) and wanted is not None and wanted.tops[1] > 1


def is_measure(layer: Message) -> bool:
    """Tell whether the layer says how good a net is: a loss, or an accuracy."""
    return is_loss_layer(layer) or is_accuracy(layer)


def is_accuracy(layer: Message) -> bool:
    """Tell whether the layer says how good scores are, and has no gradient."""
    return of(layer).role.kind is Kind.MEASURE


def is_answer(layer: Message) -> bool:
    """Tell whether the layer makes an answer of scores, wherever it stands."""
    return of(layer).role.kind is Kind.ANSWER


def gives_probabilities(layer: Message) -> bool:
    """Tell whether the layer makes an answer that still has a number for each class."""
    return is_answer(layer) and passes_scores(layer)


def ends_in_answer(layer: Message) -> bool:
    """Tell whether the layer makes an answer of scores where it ends a net."""
    return of(layer).role.kind in (Kind.ANSWER, Kind.LAST_ANSWER)


def takes_values(layer: Message, position: int) -> bool:
    """Tell whether the layer takes more than its shape from the bottom of this position."""
    return position not in of(layer).role.measures


def is_sink(layer: Message) -> bool:
    """Tell whether the layer makes nothing of what it reads."""
    return of(layer).role.kind is Kind.SINK


def makes_scores(layer: Message, *, judged: bool) -> bool:
    """Tell whether the layer can be a classifier; `judged`: something reads its scores as such."""
    scores = of(layer).role.scores
    return scores is Scores.MAKES or (judged and scores is Scores.MAKES_WHERE_JUDGED)


def passes_scores(layer: Message) -> bool:
    """Tell whether the layer may stand between a classifier and what judges its scores."""
    return of(layer).role.scores is Scores.PASSES


def takes_labels(layer: Message) -> bool:
    """Tell whether the layer takes its second bottom's values for classes."""
    return of(layer).role.labels is not None


def classes(layer: Message, scores: Known) -> Length:
    """Return how many classes scores of this shape are for; None for a layer that takes no labels."""
    labels = of(layer).role.labels
    return None if labels is None else labels.classes(layer, scores)


def ignore_option(name: str) -> str:
    """Return which options of a layer type have an ignore_label, '' where it heeds none."""
    labels = of_type(name).role.labels
    return "" if labels is None else labels.ignore


def ignored_label(layer: Message) -> Optional[int]:
    """Return the label that the layer passes over, None where there is none."""
    options = getattr(layer, ignore_option(layer.type), None)
    return int(options.ignore_label) if options is not None and options.HasField("ignore_label") else None
