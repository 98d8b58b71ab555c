"""The shape of an input that no branch declares, where a file that is there tells it: a mean image, HDF5 data sets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ..branches.branch import Input
from ..errors import NetbuildError
from ..graph.stored import data_sets
from .source import AS_DECLARED, AS_IT_IS, DataSource


def looked_up(blob: str, declared: Input, source: DataSource) -> Input:
    """Return what is declared of an input with what its source's files tell of its shape, those that are there."""
    if declared.shape is not None or source.input is not AS_DECLARED:
        return declared
    if source.kind == "hdf5":
        stored = data_sets(source.test_source).get(blob) or data_sets(source.train_source).get(blob)
        return dataclasses.replace(declared, shape=stored[1:]) if stored else declared
    return _as_the_mean(declared, source)


def _as_the_mean(declared: Input, source: DataSource) -> Input:
    """Return the input with the channels of its mean image; with its size too, where images are not cut afterwards."""
    path = declared.mean_file if source.kind in AS_IT_IS else source.mean_file or declared.mean_file
    if not path or not Path(path).is_file():
        return declared
    # Few nets have one, and a small command is quick.
    from ..data.means import read_mean

    try:
        mean = read_mean(path)
    except NetbuildError:
        # Who looks into data before training says what is wrong with it (soundness).
        return declared
    _, height, width = declared.seen
    sides = (height, width) if height and width else mean[1:]
    if source.crop or source.resize:
        return dataclasses.replace(declared, channels=declared.channels or mean.channels)
    return dataclasses.replace(declared, shape=(declared.channels or mean.channels, *sides))
