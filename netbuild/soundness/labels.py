"""Labels against the range that layers can take which judge by them, before Caffe reads beside its scores."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, Optional, Sequence, Tuple

from ..graph.judges import Demand
from ..layers.row import Kind
from ..layers.table import of_type

_LIMIT = 2**31


def beyond(labels: Any, judges: Sequence[Demand], where: str, at: Callable[[int], str]) -> Iterator[str]:
    """Yield a sentence for each range that some of the labels, numbers (N,), lie outside.

    `where` names what holds them, `at` the place of one of them.
    """
    import numpy as np

    for one in _by_range(judges):
        known = (labels >= 0) & (labels < one.classes) & (labels == np.floor(labels))
        wrong = np.flatnonzero(~known & (labels != one.ignored))
        if len(wrong):
            count = f", {len(wrong):,} of {len(labels):,} are such" if len(wrong) > 1 else ""
            ignored = "" if one.ignored is None else f" (and {one.ignored}, which it ignores)"
            yield (
                f"{where}: {at(int(wrong[0]))} has the label {labels[wrong[0]]:.10g}{count}; layer {one.layer!r} "
                f"({one.type}) takes labels from 0 to {one.classes - 1}{ignored}: {_remedy(labels, wrong, one)}"
            )


def _by_range(judges: Sequence[Demand]) -> Sequence[Demand]:
    """Return one layer for each range that is needed, a loss before an accuracy."""
    first: Dict[Tuple[int, Optional[int]], Demand] = {}
    for one in sorted(judges, key=lambda one: of_type(one.type).role.kind is not Kind.LOSS):
        first.setdefault((one.classes, one.ignored), one)
    return list(first.values())


def _remedy(labels: Any, wrong: Any, judge: Demand) -> str:
    if labels.min() == 1 and labels.max() == judge.classes:
        return "count the classes from 0, not from 1"
    if judge.option and judge.ignored is None and _mark_no_class(labels, wrong, judge):
        value = f"{labels[wrong[0]]:.0f}"
        return f"correct it, or say {judge.option} {{ ignore_label: {value} }} there if {value} stands for no class"
    if labels.min() >= 0 and all(map(_is_whole, labels[wrong])) and _is_int32(labels.max()):
        return f"correct the labels, or give the net the {int(labels.max()) + 1} classes that they count up to"
    return "correct the labels"


def _mark_no_class(labels: Any, wrong: Any, judge: Demand) -> bool:
    """Tell whether the wrong labels may stand for no class: all the same, beside right ones.

    One that only counts on is a class that the net lacks.
    """
    first = labels[wrong[0]]
    stands_apart = (labels[wrong] == first).all() and first != judge.classes and len(wrong) < len(labels)
    return bool(stands_apart) and _is_int32(first)


def _is_whole(value: Any) -> bool:
    """Tell whether a label is a whole number, which NaN and the infinite are not."""
    return float(value).is_integer()


def _is_int32(value: Any) -> bool:
    """Tell whether a field of the net can hold a label."""
    return _is_whole(value) and bool(-_LIMIT <= value < _LIMIT)
