"""The datasets of an HDF5 file, found without leaving the file.

HDF5 has four kinds of links. Hard ones, the usual, are the object itself, which may have several names: Caffe reads
it under each, and so is it found here. Soft ones hold a path within the file, and are followed. External ones hold the
name of another file, where offsets mean something else, and links of a user's own kind may lead anywhere: both are
refused, wherever a path meets one, and what they name is never opened.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Tuple

from ..errors import WeightsError

_MAX_OBJECTS, _MAX_DEPTH, _MAX_HOPS = 1 << 17, 64, 16
"""Groups and datasets of a file, a name's parts, soft links behind each other (as many as HDF5 follows)."""


class Tree:
    """An open HDF5 file, seen through links that stay in it; WeightsError names the link that does not."""

    def __init__(self, h5py: Any, stored: Any, path: Path) -> None:
        self._h5py, self._stored, self._what = h5py, stored, f"weights {str(path)!r}"

    def group(self, name: str) -> Any:
        """Return a group of the file's root, None where it has none of this name."""
        if not self._stored.id.links.exists(name.encode()):
            return None
        found = self._child(self._stored, name)
        return found if isinstance(found, self._h5py.Group) else None

    def datasets(self, group: Any) -> Iterator[Tuple[str, Any]]:
        """Yield the datasets below a group with their paths in it, groups and datasets in the order of their names."""
        todo = [_Place("", group, ())]
        seen = 0
        while todo:
            place = todo.pop()
            if isinstance(place.item, self._h5py.Dataset):
                yield place.path, place.item
            elif isinstance(place.item, self._h5py.Group):
                inside = self._inside(place)
                seen += len(inside)
                if seen > _MAX_OBJECTS:
                    raise WeightsError(f"{self._what}: holds more than {_MAX_OBJECTS} groups and blobs")
                todo += reversed(inside)

    def _inside(self, place: _Place) -> List[_Place]:
        above = (*place.above, place.item.id)
        if place.item.id in place.above:
            raise WeightsError(f"{self._what}: the group {place.path!r} holds itself, and so has no end")
        if len(above) > _MAX_DEPTH:
            raise WeightsError(f"{self._what}: the name {place.path!r} has more than {_MAX_DEPTH} parts")
        front = f"{place.path}/" if place.path else ""
        names = list(place.item.keys())
        unread = [name for name in names if not isinstance(name, str)]
        if unread:
            raise WeightsError(f"{self._what}: the name {unread[0]!r} is not UTF-8")
        return [_Place(front + name, self._child(place.item, name), above) for name in sorted(names)]

    def _child(self, group: Any, name: str, hops: int = 0) -> Any:
        """Return what a link of a group leads to."""
        kinds, raw = self._h5py.h5l, name.encode()
        kind = group.id.links.get_info(raw).type
        if kind == kinds.TYPE_HARD:
            return group[name]
        where = f"{self._what}: {group.name.rstrip('/')}/{name}"
        if kind == kinds.TYPE_EXTERNAL:
            file, _ = group.id.links.get_val(raw)
            raise WeightsError(
                f"{where} is a link into another file ({os.fsdecode(file)!r}), and only this one is read; give that "
                "one, or copy all into one file first: h5copy -f ext"
            )
        if kind != kinds.TYPE_SOFT:
            raise WeightsError(f"{where} is a link of a kind that HDF5 itself does not have; put the blobs there")
        to = group.id.links.get_val(raw)
        if hops == _MAX_HOPS:
            raise WeightsError(f"{where} is a link to a link, more than {_MAX_HOPS} times: a circle?")
        return self._followed(group, to, hops + 1, f"{where} is a link to {os.fsdecode(to)!r}")

    def _followed(self, group: Any, path: bytes, hops: int, where: str) -> Any:
        """Return what stands at the path of a soft link."""
        found = self._stored if path.startswith(b"/") else group
        for raw in path.split(b"/"):
            if raw in (b"", b"."):
                continue
            if not isinstance(found, self._h5py.Group) or not found.id.links.exists(raw):
                raise WeightsError(f"{where}, which is not in the file")
            found = self._child(found, raw.decode(), hops)
        return found


class _Place(NamedTuple):
    """What stands at a path, and the groups that it was reached through."""

    path: str
    item: Any
    above: Tuple[Any, ...]
