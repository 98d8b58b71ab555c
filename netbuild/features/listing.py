"""The images that a net's data layers read: how many, which ones, and whether they are still the same."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Dict, List, NamedTuple

from .._caffe import Message
from ..errors import NetbuildError
from ..files import existing_file
from ..proto import copied


class Listing(NamedTuple):
    """The list file of an ImageData layer."""

    path: str
    lines: List[bytes]
    root: str
    """What stands before each path (root_folder)."""

    def images(self) -> List[bytes]:
        """Return the paths of the images; Caffe takes what stands before a line's last space."""
        return [os.fsencode(self.root) + line.rpartition(b" ")[0] for line in self.lines]

    def part(self, first: int, count: int) -> bytes:
        """Return the list of so many images from the `first` on; it begins anew at its end, as the layer does."""
        chosen = (self.lines[number % len(self.lines)] for number in range(first, first + count))
        return b"".join(line + b"\n" for line in chosen)


def listings(data: Message) -> Dict[str, Listing]:
    """Return the list of each ImageData layer, by layer name; they are of one length."""
    found: Dict[str, Listing] = {}
    for layer in data.layer:
        options = layer.image_data_param
        path = existing_file(options.source, f"layer {layer.name!r}: list")
        lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
        found[layer.name] = Listing(options.source, lines, options.root_folder)
    lengths = {listing.path: len(listing.lines) for listing in found.values()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{path} {length}" for path, length in lengths.items())
        raise NetbuildError(f"the lists of a net with several data layers must be equally long; found {told}")
    return found


def data_key(found: Dict[str, Listing]) -> Dict[str, Dict[str, str]]:
    """Return what changes when the data does: SHA-256 of each list, and of the sizes and times of its images."""
    return {
        name: {"list": _sha256(b"\n".join(listing.lines)), "images": _sha256(_state(listing))}
        for name, listing in found.items()
    }


def _state(listing: Listing) -> bytes:
    states = []
    for path in listing.images():
        try:
            status = os.stat(path)  # noqa: PTH116 - for millions of images a Path each takes four times as long
        except OSError as error:
            raise NetbuildError(
                f"list {listing.path!r}: image {os.fsdecode(path)!r} cannot be read ({error.strerror}); paths in "
                f"it hold for the current folder, {str(Path.cwd())!r}"
            ) from None
        states.append(f"{status.st_size} {status.st_mtime_ns}")
    return "\n".join(states).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def reading(data: Message, lists: Dict[str, str]) -> Message:
    """Return the data layers with other list files, by layer name."""
    result = copied(data)
    for layer in result.layer:
        layer.image_data_param.source = lists[layer.name]
    return result
