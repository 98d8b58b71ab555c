"""The images that a net's data layers read: how many, which ones, and whether they are still the same."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Dict

from ..data.listing import ImageList, read_lines, unequal_lengths
from ..errors import NetbuildError
from ..proto import copied
from ..schema import Message


def listings(data: Message) -> Dict[str, ImageList]:
    """Return the list of each ImageData layer, by layer name; they are of one length."""
    found: Dict[str, ImageList] = {}
    for layer in data.layer:
        options = layer.image_data_param
        whole = read_lines(options.source, options.root_folder, f"layer {layer.name!r}: list")
        found[layer.name] = whole.without_blank_lines()
    told = unequal_lengths([*found.values()])
    if told:
        raise NetbuildError(f"the lists of a net with several data layers must be equally long: {told}")
    return found


def data_key(found: Dict[str, ImageList]) -> Dict[str, Dict[str, str]]:
    """Return what changes when the data does: SHA-256 of each list, and of the sizes and times of its images."""
    return {
        name: {"list": _sha256(b"\n".join(listing.lines)), "images": _sha256(_state(listing))}
        for name, listing in found.items()
    }


def _state(listing: ImageList) -> bytes:
    states = []
    for entry in listing.entries():
        try:
            status = os.stat(entry.path)  # noqa: PTH116 - for millions of images a Path each takes four times as long
        except OSError as error:
            raise NetbuildError(
                f"list {listing.path!r}: image {os.fsdecode(entry.path)!r} cannot be read ({error.strerror}); paths in "
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
