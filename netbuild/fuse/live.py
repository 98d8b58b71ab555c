"""Copy trained blobs into nets that are already in memory, for people who hold a `caffe.Net` or a solver."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Union

import numpy as np

from ..files import PathLike
from ..weights.index import index
from ..weights.model import Blob, Model
from ..weights.values import read_bytes
from ..weights.wire import WireFile
from .declared import Declared
from .plan import make_plan

_ADVICE = {"": "Check that the file is that of the branch, and the prefix the one that it has in the net."}


class Copied(NamedTuple):
    """What `copy_branch` did: the layers filled, and source layers the net does not want."""

    layers: List[str]
    unused: List[str]


def copy_branch(net: Any, prefix: str, weights: Union[PathLike, Model]) -> Copied:
    """Copy the blobs of a weight file into a net that is in memory already.

    A layer `conv1` of the file fills `odd/conv1` for the prefix `odd`; the empty prefix fills layers of equal names.

    Args:
        net: A `caffe.Net`, or a pycaffe solver: its train net is filled, and through it the test nets, which share its
            blobs when they run.
        prefix: The prefix of the branch.
        weights: The weight file of the branch, .caffemodel or HDF5: its path, or its index (`weights.index`).

    Returns:
        The `layers` that were filled, and the `unused` ones of the file.

    Raises:
        WeightsError: A parameter of the branch is not in the file, or has another shape. All of these are listed, and
            no blob is changed.

    Examples:
        >>> import caffe
        >>> from netbuild import copy_branch
        >>> net = caffe.Net("fused/deploy.prototxt", caffe.TEST)
        >>> copy_branch(net, "odd", "odd.caffemodel").layers
        ['odd/conv1', 'odd/conv2', 'odd/ip1']
    """
    model = weights if isinstance(weights, Model) else index(weights)
    params = (net.net if hasattr(net, "test_nets") else net).params
    declared = [Declared(name, [tuple(blob.data.shape) for blob in blobs]) for name, blobs in params.items()]
    plan = make_plan(declared, {prefix: [model]}, advice=_ADVICE)
    with WireFile(model.path) as file:
        for copy in plan.copies:
            for target, blob in zip(params[copy.target], copy.blobs):
                target.data[...] = read_values(file, blob).reshape(target.data.shape)
    return Copied([copy.target for copy in plan.copies], list(plan.unused[prefix]))


def read_values(file: WireFile, blob: Blob) -> np.ndarray[Any, np.dtype[Any]]:
    """Return a blob's values as an array of its shape, float32 or float64 as in the file."""
    return np.frombuffer(read_bytes(file, blob), dtype=f"<f{blob.item_size}").reshape(blob.shape)
