"""What to say of the data of a net before it is written: what no source tells, what only the user can do."""

from __future__ import annotations

import dataclasses
from typing import List, Mapping

from .._caffe import TEST
from ..branches.told import described
from .source import AS_IT_IS, DataSource


def notes(blob: str, doubts: Mapping[str, str], source: DataSource) -> List[str]:
    """Return what to say of one input and its data; `doubts` is what its branches leave open (`Built.doubts`).

    What the caller has decided is not said.
    """
    if source.kind in AS_IT_IS:
        return _to_prepare(blob, doubts, source)
    open_ones = [sentence for option, sentence in doubts.items() if not _decided(option, source)]
    said = [f"input {blob!r}: {sentence}" for sentence in open_ones]
    return [*said, *(_sizes(blob, source) if source.kind == "image" else _to_store(blob, source))]


def _decided(option: str, source: DataSource) -> bool:
    if option in ("resize", "root_folder") and source.kind != "image":
        return True
    return option != "mean" and getattr(source, option) is not None


def _to_prepare(blob: str, doubts: Mapping[str, str], source: DataSource) -> List[str]:
    """Return how the caller has to prepare what the net takes as it is; nothing where all take any values alike."""
    told = source.input
    wanted = dataclasses.replace(told, train=None, test=told.test if told.test and any(told.test) else None)
    if wanted == dataclasses.replace(wanted, mean=(), scale=1.0, mean_file=None, test=None):
        return []
    say = f"data of kind {source.kind} is taken as it is; give {blob!r} images that are {described(wanted)}"
    return [say, *(f"input {blob!r}: {doubts['mean']}" for _ in range("mean" in doubts))]


def _sizes(blob: str, source: DataSource) -> List[str]:
    """Return what to say of images cropped from files, where they were cropped from a database's."""
    cut = source.cut(TEST)
    if not (source.input.from_database and cut.crop and not cut.resize):
        return []
    return [
        f"input {blob!r}: its images came from a database, and nothing tells to what size they had been resized; now "
        f"they are cropped from files of whatever size. Say --resize H,W (often 256,256)"
    ]


def _to_store(blob: str, source: DataSource) -> List[str]:
    """Return in which size a database has to hold images that were resized for the branches."""
    crop = source.cut(TEST).crop
    size = source.input.test.resize if source.input.test else None
    if size is None and source.input.resize and not crop:
        size = (source.shape[1], source.shape[2])
    wanted = dict(source.input.disputed).get("resize") or (size and "{} x {}".format(*size))
    if not wanted:
        return []
    return [
        f"a database's images are taken in the size in which they are stored, and the branches that read {blob!r} were "
        f"trained on images resized to {wanted}{' before the crop' if crop else ''}: store them so"
    ]
