"""Labels against what the layers that judge by them ask: found before Caffe reads beside its scores."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, Optional, Sequence, Tuple

from ..graph.judges import Asked

_LIMIT = 2**31


def beyond(labels: Any, asked: Sequence[Asked], where: str, at: Callable[[int], str]) -> Iterator[str]:
    """Yield a sentence for each range that labels, numbers (N,), leave.

    `where` names what holds them, `at` the place of one of them.
    """
    import numpy as np

    for one in _by_range(asked):
        known = (labels >= 0) & (labels < one.classes) & (labels == np.floor(labels))
        wrong = np.flatnonzero(~known & (labels != one.ignored))
        if len(wrong):
            count = f", {len(wrong):,} of {len(labels):,} are such" if len(wrong) > 1 else ""
            ignored = "" if one.ignored is None else f" (and {one.ignored}, which it ignores)"
            yield (
                f"{where}: {at(int(wrong[0]))} has the label {labels[wrong[0]]:.10g}{count}; layer {one.layer!r} "
                f"({one.type}) takes labels from 0 to {one.classes - 1}{ignored}: {_remedy(labels, wrong, one)}"
            )


def _by_range(asked: Sequence[Asked]) -> Sequence[Asked]:
    """Return one layer for each range that is asked for, a loss before an accuracy."""
    found: Dict[Tuple[int, Optional[int]], Asked] = {}
    for one in sorted(asked, key=lambda one: not one.type.endswith("Loss")):
        found.setdefault((one.classes, one.ignored), one)
    return list(found.values())


def _remedy(labels: Any, wrong: Any, asked: Asked) -> str:
    lowest, highest = (int(bound) if _is_whole(bound) else None for bound in (labels.min(), labels.max()))
    if (lowest, highest) == (1, asked.classes):
        return "count the classes from 0, not from 1"
    first = labels[wrong[0]]
    # One that only counts on is a class that the net lacks.
    stands_apart = (labels[wrong] == first).all() and first != asked.classes and len(wrong) < len(labels)
    if stands_apart and asked.option and asked.ignored is None and _is_int32(first):
        value = f"{first:.0f}"
        return f"correct it, or say {asked.option} {{ ignore_label: {value} }} there if {value} stands for no class"
    counted_on = lowest is not None and lowest >= 0 and all(map(_is_whole, labels[wrong]))
    if counted_on and highest is not None and _is_int32(highest):
        return f"correct the labels, or give the net the {highest + 1} classes that they count up to"
    return "correct the labels"


def _is_whole(value: Any) -> bool:
    """Tell whether a label is a whole number, which NaN and the infinite are not."""
    return float(value).is_integer()


def _is_int32(value: Any) -> bool:
    """Tell whether a field of the net can hold a label."""
    return _is_whole(value) and bool(-_LIMIT <= value < _LIMIT)
