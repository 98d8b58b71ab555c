"""The images of a list as files: whether each is there, whether Caffe reads it, whether its size fits."""

from __future__ import annotations

import os
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..branches.branch import Cut
from ..branches.declared import cut_of
from ..data.listing import Entry, ImageList, read_lines, such
from ..errors import CaffeError, NetbuildError
from ..files import PathLike
from ..schema import Message
from .headers import Header, read_header

if TYPE_CHECKING:
    from ..data.lists import ListedImages

_SAMPLE = 50
"""Caffe is asked to read so many images of a format: each costs it a fork."""


class InspectedImage(NamedTuple):
    """An image whose first bytes were read."""

    entry: Entry
    header: Header


class InspectedImages:
    """The images of a list, sorted by what became of them; each file is opened once."""

    def __init__(self, listed: ImageList, entries: Sequence[Entry]) -> None:
        self.listed, self.entries = listed, entries
        self.images: List[InspectedImage] = []
        """Those whose first bytes were read."""
        self.missing: List[Entry] = []
        self.unreadable: Dict[str, List[Entry]] = defaultdict(list)
        """By the system's reason."""
        self._headers: Dict[Header, Header] = {}
        for entry in entries:
            self._inspect(entry)

    def _inspect(self, entry: Entry) -> None:
        try:
            header = read_header(entry.path)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            # ValueError: a NUL in the root folder.
            self.missing.append(entry)
        except OSError as error:
            self.unreadable[error.strerror or str(error)].append(entry)
        else:
            # Each kind is kept once: of a million images most have the same.
            self.images.append(InspectedImage(entry, self._headers.setdefault(header, header)))

    def sized(self) -> Iterator[InspectedImage]:
        """Yield the images whose size is known for certain: one that Exif may turn is none of them."""
        return (image for image in self.images if image.header.size and not image.header.turned)

    def listing(self) -> ListedImages:
        """Return the paths and labels of all images."""
        import numpy as np

        from ..data.lists import ListedImages

        labels = np.array([entry.label for entry in self.entries], np.int64)
        return ListedImages([os.fsdecode(entry.path) for entry in self.entries], labels)

    def named(self, entry: Entry) -> str:
        """Return how to speak of an image."""
        return f"list {self.listed.path!r}: image {os.fsdecode(entry.path)!r} in line {entry.line}"

    def unlike(self, one: InspectedImage, other: InspectedImage, why: str) -> str:
        """Return the sentence about two images of which one has another size than it can have after the other."""
        return (
            f"{self.named(one.entry)} is {size_text(one.header.size)}, and {os.fsdecode(other.entry.path)!r} in line "
            f"{other.entry.line} {size_text(other.header.size)}: {why}; give the data layer new_height and new_width, "
            "or a crop_size"
        )

    def such(self, count: int) -> str:
        """Return how many images are like one that was named."""
        return such(count, len(self.listed), "images")

    @cached_property
    def undecoded(self) -> List[str]:
        """A sentence for each format of images that Caffe cannot read; it is asked once."""
        return list(_undecoded(self))


def read_images(path: PathLike, root_folder: str = "") -> InspectedImages:
    """Read a list file of lines `PATH LABEL` and the first bytes of its images; the root folder is put in front of
    each path as Caffe does it.

    Blank lines are left out. Raises NetbuildError for a line that is none, and where images are not there.
    """
    listed = read_lines(path, root_folder)
    blank = {number for number, line in enumerate(listed.lines, 1) if not line.strip()}
    misread = [one for one in listed.misread() if one.line not in blank]
    if misread:
        raise NetbuildError(listed.sentences(misread)[0])
    entries = [entry for entry in listed.entries() if entry.line not in blank]
    _require_classes(listed, entries)
    images = InspectedImages(listed, entries)
    if images.missing:
        raise NetbuildError(listed.absent(images.missing))
    if not entries:
        raise NetbuildError(f"list {str(path)!r}: names no image")
    return images


def _require_classes(listed: ImageList, entries: Sequence[Entry]) -> None:
    for entry in entries:
        if entry.label < 0:
            raise NetbuildError(
                f"list {listed.path!r}: line {entry.line} is {listed.shown(entry.line)}; expected PATH LABEL: the "
                "label stands for a class, and those count from 0"
            )


def unfit_images(images: InspectedImages, layer: Message) -> Iterator[str]:
    """Yield what is wrong with images that are there: one sentence for each kind."""
    for reason, entries in images.unreadable.items():
        yield f"{images.named(entries[0])} cannot be read ({reason}){images.such(len(entries))}"
    yield from images.undecoded
    cut = cut_of(layer) or Cut()
    if not cut.resize:
        yield from _small(images, cut.crop) if cut.crop else _unequal(images, layer)


def _undecoded(images: InspectedImages) -> Iterator[str]:
    """Yield the formats of images that Caffe cannot read: it tries the first ones of each that is in doubt."""
    doubtful = _doubtful(images)
    unread = _unread([os.fsdecode(entry.path) for entries in doubtful.values() for entry in entries[:_SAMPLE]])
    for name, entries in doubtful.items():
        wrong = [entry for entry in entries[:_SAMPLE] if os.fsdecode(entry.path) in unread]
        if wrong:
            such = images.such(len(entries) if len(wrong) == _SAMPLE else len(wrong))
            yield f"{images.named(wrong[0])} looks like {name}, and Caffe cannot read it{such}; replace it"


def _doubtful(images: InspectedImages) -> Dict[str, List[Entry]]:
    """Return the images that a Caffe may not be able to read, by format."""
    doubtful: Dict[str, List[Entry]] = defaultdict(list)
    for entry, header in images.images:
        if header.doubtful:
            doubtful[header.format].append(entry)
    return doubtful


def _unread(paths: Sequence[str]) -> Set[str]:
    if not paths:
        return set()
    # Here, since most images need no Caffe: it takes as long to load as the rest of a small command.
    from ..engine.child import run
    from ..engine.interpreter import is_named

    try:
        return set(run("netbuild.soundness.child:unread", paths=paths))
    except CaffeError:
        # Without a Caffe nobody knows what it would read; one that was named has to be there.
        if is_named():
            raise
        return set()


def _small(images: InspectedImages, crop: int) -> Iterator[str]:
    small = [one for one in images.images if one.header.size and min(one.header.size) < crop]
    if small:
        yield (
            f"{images.named(small[0].entry)} is {size_text(small[0].header.size)}, smaller than the crop of "
            f"{crop} x {crop}{images.such(len(small))}; take a smaller crop, or resize all images before (new_height, "
            "new_width)"
        )


def _unequal(images: InspectedImages, layer: Message) -> Iterator[str]:
    """Yield the first image of another size than its batch: without crop and resize Caffe takes one size a batch."""
    options = layer.image_data_param
    batch = options.batch_size
    # Where the batches of each pass are the same, sizes must be equal only within each of them.
    repeats = not (options.shuffle or options.rand_skip or len(images.listed) % batch)
    first: Dict[int, InspectedImage] = {}
    for image in images.sized() if batch > 1 else ():
        other = first.setdefault((image.entry.line - 1) // batch if repeats else 0, image)
        if other.header.size != image.header.size:
            yield images.unlike(image, other, "images of one batch must be of one size")
            return


def size_text(size: Optional[Tuple[int, int]]) -> str:
    """Return '28 x 28'."""
    return "{} x {}".format(*(size or "??"))
