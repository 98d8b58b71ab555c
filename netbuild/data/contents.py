"""The images of a list as files: whether each is there, whether Caffe reads it, whether its size fits."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from .._caffe import Message
from .._child import run
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
    options, crop = layer.image_data_param, layer.transform_param.crop_size
    if options.new_height and options.new_width:
        return
    yield from _small(found, crop) if crop else _unequal(found, layer)


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
        height, width = small[0].header.size or (0, 0)
        yield (
            f"{found.named(small[0].entry)} is {height} x {width}, smaller than the crop of {crop} x {crop}"
            f"{found.such(len(small))}; take a smaller crop, or resize all images before (new_height, new_width)"
        )


def _unequal(found: Found, layer: Message) -> Iterator[str]:
    """Yield the first image of another size than its batch: without crop and resize Caffe takes one size a batch."""
    options = layer.image_data_param
    batch = options.batch_size
    # Where the batches of each pass are the same, only within each of them sizes must be equal.
    same = not (options.shuffle or options.rand_skip or len(found.listed) % batch)
    first: Dict[int, Tuple[Entry, Optional[Tuple[int, int]]]] = {}
    for entry, header in found.images if batch > 1 else ():
        if header.size is None or header.turned:
            continue
        other, size = first.setdefault((entry.line - 1) // batch if same else 0, (entry, header.size))
        if size is not None and size != header.size:
            yield (
                f"{found.named(entry)} is {_text(header.size)}, and {os.fsdecode(other.path)!r} in line {other.line} "
                f"{_text(size)}: images of one batch must be of one size; give the data layer new_height and "
                "new_width, or a crop_size"
            )
            return


def _text(size: Tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
