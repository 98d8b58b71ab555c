"""The one reader of list files: their lines as Caffe's ImageData divides them, and what it would misread.

Caffe takes what stands before a line's last blank for the path, and what follows for the label, through `atoi`: there
'cat' is 0, and 1.5 is 1. It passes over nothing: a blank line is an image without a name.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..files import PathLike, existing_file
from ..what_is import LIST, said

_LABEL = re.compile(rb"\s*([+-]?\d+)\s*\Z")
_NUMBER = re.compile(rb"\s*([+-]?\d+)")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LIMIT = 2**31
_SHOWN = 80
_LONGEST = 1 << 16
"""Bytes of a line: what has none within these is no list."""


class Entry(NamedTuple):
    """A line that names an image."""

    line: int
    """From 1."""
    path: bytes
    """As Caffe opens it, the root folder in front."""
    label: int
    """0 where there is none, as Caffe takes it."""


class Misread(NamedTuple):
    """A line that Caffe would not take as it is meant."""

    line: int
    kind: str
    reason: str


@dataclass(frozen=True)
class ImageList:
    """A list file."""

    path: str
    lines: List[bytes]
    root: str = ""
    """Put in front of each path as it is: root_folder."""

    def __len__(self) -> int:
        return len(self.lines)

    def entries(self) -> Iterator[Entry]:
        """Yield what Caffe makes of each line."""
        root = os.fsencode(self.root)
        for number, line in enumerate(self.lines, 1):
            path, _, label = _divided(line)
            match = _NUMBER.match(label)
            yield Entry(number, root + path, int(match[1]) if match else 0)

    def misread(self, *, labelled: bool = True) -> Iterator[Misread]:
        """Yield the lines that Caffe would misread; `labelled` tells whether anything reads the labels."""
        for number, line in enumerate(self.lines, 1):
            fault = _fault(line, first=number == 1, labelled=labelled)
            if fault:
                yield Misread(number, *fault)

    def part(self, first: int, count: int) -> bytes:
        """Return the list of so many images from the `first` on; it begins anew at its end, as the layer does."""
        chosen = (self.lines[number % len(self)] for number in range(first, first + count))
        return b"".join(line + b"\n" for line in chosen)

    def without_blank_lines(self) -> ImageList:
        """Return the list without its blank lines, for callers that give Caffe a list of their own."""
        return replace(self, lines=[line for line in self.lines if line.strip()])

    def shown(self, line: int) -> str:
        """Return a line as it can be shown, quoted."""
        text = os.fsdecode(self.lines[line - 1])
        return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")

    def sentences(self, misread: Iterable[Misread]) -> List[str]:
        """Return one sentence for each kind of line that Caffe would misread, or one for a file that is no list."""
        kinds: Dict[str, List[Misread]] = {}
        for one in misread:
            kinds.setdefault(one.kind, []).append(one)
        foreign = said(self.path, LIST) if kinds else ""
        if foreign:
            return [f"list {self.path!r}: {foreign}"]
        return [
            f"list {self.path!r}: line {lines[0].line} is {self.shown(lines[0].line)}; expected PATH LABEL: "
            f"{lines[0].reason}{such(len(lines), len(self), 'lines')}"
            for lines in kinds.values()
        ]

    def absent(self, missing: Sequence[Entry]) -> str:
        """Return the sentence about images that are not there."""
        path = os.fsdecode(missing[0].path)
        return (
            f"list {self.path!r}: {len(missing)} of {len(self)} images are not there; the first is {path!r} in line "
            f"{missing[0].line} (looked from {str(Path.cwd())!r}){self._hint(path)}"
        )

    def _hint(self, path: str) -> str:
        """Return what may be meant by a path that leads nowhere."""
        name = path[len(self.root) :]
        if self.root and Path(self.root, name).exists():
            return f"; Caffe puts root_folder in front as it is: end it in '/', {self.root + '/'!r}"
        if Path(self.root + name.strip()).exists():
            return "; take the blanks around the path away: one stands between it and the label"
        return ""


def count_images(path: PathLike) -> int:
    """Return how many images a list file names."""
    return len(read_lines(path).without_blank_lines())


def read_lines(path: PathLike, root: str = "", what: str = "list") -> ImageList:
    """Read a list file, line by line as Caffe does; NetbuildError for one that is empty, a folder, or not readable."""
    lines = existing_file(path, what).read_bytes().split(b"\n")
    return ImageList(os.fspath(path), lines[:-1] if not lines[-1] else lines, root)


def first_paths(path: PathLike, count: int, root: str = "") -> List[Path]:
    """Return the paths of the first images on a list, of which the rest is not read."""
    with existing_file(path, "list").open("rb") as file:
        lines = [file.readline(_LONGEST).rstrip(b"\n") for _ in range(count)]
    return [Path(root + os.fsdecode(_divided(line)[0])) for line in lines]


def unequal_lengths(lists: Sequence[ImageList]) -> Optional[str]:
    """Return in words how long lists are, None where they are equally long."""
    if len({len(one) for one in lists}) < 2:
        return None
    return ", ".join(f"{one.path!r} has {len(one):,} lines" for one in lists)


def such(count: int, total: int, noun: str) -> str:
    """Return ' (3 of 40 lines are such)', nothing where there is only one."""
    return f" ({count:,} of {total:,} {noun} are such)" if count > 1 else ""


def _divided(line: bytes) -> Tuple[bytes, bytes, bytes]:
    """Return path, blank and label; without a blank Caffe takes the whole line for both."""
    path, blank, label = line.rpartition(b" ")
    return (path, blank, label) if blank else (line, b"", line)


def _fault(line: bytes, *, first: bool, labelled: bool) -> Optional[Tuple[str, str]]:
    """Return what kind of fault a line has, and why it is one; None for a line that Caffe takes as it is meant."""
    if not line.strip():
        return "blank", "it is blank, which Caffe takes for an image without a name; take it out"
    if b"\0" in line:
        return "NUL", "it holds NUL bytes; is it UTF-16? Save the list as UTF-8"
    if first and line.startswith(_BYTE_ORDER_MARK):
        return "mark", "it begins with a byte order mark, which Caffe takes for the path's; save the list without one"
    _, blank, label = _divided(line)
    if not labelled:
        return None
    if blank:
        return _label_fault(line, label)
    return _other_mark(line) or (
        "none",
        "it has no label, and Caffe takes 0 for one; put a blank and the label behind the path",
    )


def _other_mark(line: bytes) -> Optional[Tuple[str, str]]:
    """Return what is wrong with a line that is divided by something other than a blank."""
    for mark, name in ((b"\t", "tab"), (b",", "comma"), (b";", "semicolon")):
        path, _, label = line.rpartition(mark)
        if path.strip() and _LABEL.match(label):
            return name, f"Caffe divides a line at its last blank, and here is a {name}; put one blank in its place"
    return None


def _label_fault(line: bytes, label: bytes) -> Optional[Tuple[str, str]]:
    match = _LABEL.match(label)
    if match:
        beyond = not -_LIMIT <= int(match[1]) < _LIMIT
        return ("large", f"the label {os.fsdecode(match[1])} does not fit in 32 bits") if beyond else None
    if not label.strip() and line.strip() != line.rstrip(b"\r"):
        return "end", "it ends in a blank, behind which Caffe looks for the label; take that blank away"
    taken = _NUMBER.match(label)
    other = None if taken else _other_mark(label)
    return other or (
        "label",
        f"the label {os.fsdecode(label)!r} is no whole number, and Caffe takes {int(taken[1]) if taken else 0} for it; "
        "give each class a number from 0 on",
    )
