"""Whether the lines of several lists that one net reads at a time belong together.

Caffe reads each list on its own, and begins each anew at its own end.
"""

from __future__ import annotations

import os
from itertools import zip_longest
from typing import Iterator, NamedTuple, Optional, Sequence

from ..data.listing import Entry, ImageList, unequal_lengths
from ..schema import Message
from .data_fault import DataFault, Severity


class Stream(NamedTuple):
    """A layer that reads a list, and which of its tops are read."""

    layer: Message
    listed: ImageList
    seen: bool
    """Whether anything reads its images."""
    labels: bool
    """Whether anything reads its labels."""

    @property
    def name(self) -> str:
        """Return how to speak of it."""
        return f"list {self.listed.path!r} (layer {self.layer.name!r})"

    @property
    def unsteady(self) -> str:
        """Return the field by which each layer goes through its list in an order of its own, '' for none."""
        options = self.layer.image_data_param
        if options.shuffle:
            return "shuffle"
        # Of one there is only one remainder, 0.
        return "rand_skip" if options.rand_skip > 1 else ""


def together_faults(streams: Sequence[Stream]) -> Iterator[DataFault]:
    """Yield where the lists of one phase do not go together.

    A list of which only the labels are read labels the images of another: both must name the same images, line by
    line. Of two whose images are read nobody knows whether they are pairs.
    """
    images = sorted((one for one in streams if one.seen), key=lambda one: not one.labels)
    if not images:
        return
    for one in streams:
        wrong = _mislabels_all(one, images) if one.labels and not one.seen else None
        if wrong:
            yield DataFault(wrong)
    for one in images[1:]:
        doubt = _unpaired(images[0], one)
        if doubt:
            yield DataFault(doubt, Severity.DOUBT)


def _mislabels_all(labels: Stream, images: Sequence[Stream]) -> Optional[str]:
    """Return why labels are those of no list of images; None where they are those of one."""
    sentences = [_mislabelled(labels, one) for one in images]
    return None if None in sentences else sentences[0]


def _mislabelled(labels: Stream, images: Stream) -> Optional[str]:
    """Return why labels are not those of these images; None where they are."""
    begin = f"{labels.name} gives labels to the images of {images.name}"
    field = labels.unsteady or images.unsteady
    if field:
        return (
            f"{begin}, and by {field} each layer goes through its list in an order of its own: every label would be "
            f"another image's; take {field} away, and shuffle the lists themselves alike"
        )
    pairs = zip_longest(images.listed.entries(), labels.listed.entries())
    for line, (expected, found) in enumerate(pairs, 1):
        if not _same(expected, found):
            return (
                f"{begin}, and they differ in line {line}: expected {_shown(expected)}, found {_shown(found)}; both "
                f"lists must name the same images in the same order ({len(images.listed):,} lines and "
                f"{len(labels.listed):,})"
            )
    return None


def _same(first: Optional[Entry], second: Optional[Entry]) -> bool:
    if first is None or second is None:
        return False
    return first.path == second.path or os.path.normpath(first.path) == os.path.normpath(second.path)


def _shown(entry: Optional[Entry]) -> str:
    return "the list's end" if entry is None else repr(os.fsdecode(entry.path))


def _unpaired(first: Stream, second: Stream) -> Optional[str]:
    begin = f"{first.name} and {second.name} are read side by side"
    unequal = unequal_lengths([first.listed, second.listed])
    if unequal:
        return (
            f"{begin}, and each begins anew at its own end: {unequal}; where their images belong in pairs, name as "
            "many in both, in the same order"
        )
    field = first.unsteady or second.unsteady
    if field:
        return (
            f"{begin}, and by {field} each in an order of its own; where their images belong in pairs, take {field} "
            "away, and shuffle the lists themselves alike"
        )
    return None
