"""The images of a list as files: whether each is there, whether Caffe reads it, whether its size fits."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..branches.branch import Cut
from ..branches.told import cut_of
from ..engine.caffe import Message
from ..engine.child import run
from ..errors import CaffeError
from .headers import Header, look
from .listing import Entry, ImageList, such

_ASKED = 50
"""Of so many images of a format Caffe is asked whether it reads them: each costs it a fork."""


class Image(NamedTuple):
    """An image whose first bytes were read."""

    entry: Entry
    header: Header


@dataclass
class Found:
    """The images of a list, sorted by what became of them."""

    listed: ImageList
    images: List[Image] = field(default_factory=list)
    missing: List[Entry] = field(default_factory=list)
    unreadable: Dict[str, List[Entry]] = field(default_factory=lambda: defaultdict(list))
    """By the system's reason."""
    headers: Dict[Header, Header] = field(default_factory=dict)
    """Each kind once: of a million images most have the same."""

    def add(self, entry: Entry) -> None:
        """Look at one image more."""
        try:
            header = look(entry.path)
            self.images.append(Image(entry, self.headers.setdefault(header, header)))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            # ValueError: a NUL in the root folder.
            self.missing.append(entry)
        except OSError as error:
            self.unreadable[error.strerror or str(error)].append(entry)

    def named(self, entry: Entry) -> str:
        """Return how to speak of an image."""
        return f"list {self.listed.path!r}: image {os.fsdecode(entry.path)!r} in line {entry.line}"

    def unlike(self, one: Image, other: Image, why: str) -> str:
        """Return the sentence about two images of which one has another size than it can have after the other."""
        return (
            f"{self.named(one.entry)} is {size_text(one.header.size)}, and {os.fsdecode(other.entry.path)!r} in line "
            f"{other.entry.line} {size_text(other.header.size)}: {why}; give the data layer new_height and new_width, "
            "or a crop_size"
        )

    def such(self, count: int) -> str:
        """Return how many others there are."""
        return such(count, len(self.listed), "images")


def look_at(listed: ImageList, entries: Sequence[Entry]) -> Found:
    """Read the first bytes of each image."""
    found = Found(listed)
    for entry in entries:
        found.add(entry)
    return found


def unfit(found: Found, layer: Message) -> Iterator[str]:
    """Yield what is wrong with images that are there: one sentence for each kind."""
    for reason, entries in found.unreadable.items():
        yield f"{found.named(entries[0])} cannot be read ({reason}){found.such(len(entries))}"
    yield from _undecoded(found)
    cut = cut_of(layer) or Cut()
    if not cut.resize:
        yield from _small(found, cut.crop) if cut.crop else _unequal(found, layer)


def _undecoded(found: Found) -> Iterator[str]:
    """Yield the formats of images that Caffe cannot read: it is asked about the first ones of each that is in doubt."""
    doubtful: Dict[str, List[Entry]] = defaultdict(list)
    for entry, header in found.images:
        if header.doubtful:
            doubtful[header.format].append(entry)
    unread = _unread([os.fsdecode(entry.path) for entries in doubtful.values() for entry in entries[:_ASKED]])
    for name, entries in doubtful.items():
        wrong = [entry for entry in entries[:_ASKED] if os.fsdecode(entry.path) in unread]
        if wrong:
            count = len(entries) if len(wrong) == _ASKED else len(wrong)
            yield f"{found.named(wrong[0])} looks like {name}, and Caffe cannot read it{found.such(count)}; replace it"


def _unread(paths: Sequence[str]) -> Set[str]:
    try:
        return set(run("netbuild.data.decode:unread", paths=paths)) if paths else set()
    except CaffeError:
        # Without a Caffe nobody knows what it would read.
        return set()


def _small(found: Found, crop: int) -> Iterator[str]:
    small = [one for one in found.images if one.header.size and min(one.header.size) < crop]
    if small:
        yield (
            f"{found.named(small[0].entry)} is {size_text(small[0].header.size)}, smaller than the crop of "
            f"{crop} x {crop}{found.such(len(small))}; take a smaller crop, or resize all images before (new_height, "
            "new_width)"
        )


def _unequal(found: Found, layer: Message) -> Iterator[str]:
    """Yield the first image of another size than its batch: without crop and resize Caffe takes one size a batch."""
    options = layer.image_data_param
    batch = options.batch_size
    # Where the batches of each pass are the same, only within each of them sizes must be equal.
    same = not (options.shuffle or options.rand_skip or len(found.listed) % batch)
    first: Dict[int, Image] = {}
    for image in found.images if batch > 1 else ():
        if image.header.size is None or image.header.turned:
            continue
        other = first.setdefault((image.entry.line - 1) // batch if same else 0, image)
        if other.header.size != image.header.size:
            yield found.unlike(image, other, "images of one batch must be of one size")
            return


def size_text(size: Optional[Tuple[int, int]]) -> str:
    """Return '28 x 28'."""
    return "{} x {}".format(*(size or "??"))
