"""A net in Caffe against the same net in another engine, OpenCV's, which shares no code with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from .. import proto
from ..data.images import load_images
from ..engine.child import run
from ..engine.interpreter import this
from ..errors import WeightsError
from ..extras import require
from ..files import PathLike, listed_paths
from ..fuse.inputs import Weighted, shapes_to_feed
from ..graph.branches import prefixes
from ..graph.check import require_sound
from ..graph.cut import cut, outlets
from ..graph.feed import fed, in_batches
from ..graph.rename import named_apart
from ..graph.view import NetView
from ..layers.roles import is_measure
from ..schema import TEST
from ..weights.index import index, kind_of
from .blobs import fed_values
from .stored import require_weights

TOLERANCE = 1e-4
"""How far a blob may be apart, as a share of its largest value. Engines that add in another order differ by about
1e-6 of it after a hundred layers; a layer that means something else, by far more than this."""


@dataclass(frozen=True)
class Agreement:
    """One blob, as both engines compute it."""

    blob: str
    shape: Tuple[int, ...]
    """In Caffe."""
    largest_difference: float
    """The largest absolute difference; infinite where the shapes differ or a value is not finite."""
    largest_value: float
    """The largest absolute value in Caffe."""
    tolerance: float

    @property
    def equal(self) -> bool:
        """Whether the engines agree within the tolerance."""
        return self.largest_difference <= self.tolerance * self.largest_value


def compare_engines(
    net: proto.Net,
    weights: PathLike,
    *,
    shapes: Optional[Mapping[str, Sequence[int]]] = None,
    images: Union[PathLike, Sequence[PathLike]] = (),
    seed: int = 0,
    tolerance: float = TOLERANCE,
) -> List[Agreement]:
    """Run a net in Caffe and in OpenCV, which shares no code with it, and compare what they compute.

    Compared are the seams of the net's branches and all that it puts out; where a loss or an accuracy ends it, the
    scores that these read.

    Args:
        net: A deploy net, or a train_val net, of which the TEST phase is run: a path, a NetParameter or a NetSpec.
        weights: Its caffemodel.
        shapes: For an input whose shape the net does not tell, the shape (N, C, H, W); by default a square is sought
            that fits the weights.
        images: Image files to run, prepared as the net's data layer says; by default the input is random, from -1 to 1.
        seed: What the random input comes from.
        tolerance: How far a value may be apart, as a share of the largest value of its blob.

    Returns:
        For each blob that was compared whether the engines agree (`equal`), and the largest difference.

    Raises:
        CaffeError: OpenCV is missing, or does not know a layer type of the net.
        WeightsError: The file is no caffemodel.

    Examples:
        >>> from netbuild import compare_engines
        >>> [(one.blob, one.equal) for one in compare_engines("odd/deploy.prototxt", "odd.caffemodel")]
        [('prob', True)]
    """
    if kind_of(weights) != "caffemodel":
        raise WeightsError(f"weights {str(weights)!r}: OpenCV reads a .caffemodel; netbuild convert makes one of it")
    # Before Caffe computes all of it.
    require("the second engine needs", "cv2")
    files = listed_paths(images, "images")
    message, name = proto.net_of(net), proto.name_of_net(net)
    # OpenCV looks for layers by name; to Caffe some need none.
    whole = named_apart(message, require_sound(message, name))
    weighted = Weighted(name, whole, index(weights))
    known = shapes_to_feed(weighted, {}, shapes or {})
    if files:
        known = in_batches(known, len(files))
    inputs: Dict[str, Any] = load_images(files, known, whole) if files else {}
    alone = fed(whole, TEST, known, name)
    view = NetView(alone, TEST)
    blobs = list(dict.fromkeys([*_seams(view), *_answers(view)]))
    # What the engines get is one text: weights go to layers by name in both.
    part = NetView.of_all_layers(NetView(cut(view, blobs), TEST).only)
    require_weights(part, weighted.model.path, name)
    job: Dict[str, Any] = {
        "text": proto.to_text(part.net),
        "weights": weighted.model.path,
        "feed": fed_values(part.net, inputs, seed),
    }
    caffe = dict(run("netbuild.verify.child:outputs", **job, blobs=blobs))
    layers = {blob: part.by_index[part.flow.writer[blob]].name for blob in blobs}
    # OpenCV is a package beside netbuild itself, wherever Caffe may be.
    opencv = dict(run("netbuild.verify.opencv:outputs", interpreter=this(), **job, layers=layers))
    return [_agreement(blob, caffe[blob], opencv[blob], tolerance) for blob in blobs]


def _seams(view: NetView) -> Iterator[str]:
    for prefix in prefixes(view.net):
        yield from outlets(view, prefix)


def _answers(view: NetView) -> Iterator[str]:
    """Yield the blobs that no layer reads; of a layer that judges scores by a label, these scores."""
    flow = view.flow
    for number, layer in view.layers:
        if is_measure(layer):
            yield layer.bottom[0]
        elif layer.bottom:
            yield from (top for top in layer.top if flow.writer[top] == number and (top, number) not in flow.readers)


def _agreement(blob: str, caffe: Any, opencv: Any, tolerance: float) -> Agreement:
    same = caffe.size == opencv.size
    largest = float(np.max(np.abs(caffe - opencv.reshape(caffe.shape)))) if same else float("inf")
    value = float(np.max(np.abs(caffe)))
    return Agreement(blob, caffe.shape, largest if np.isfinite(largest) else float("inf"), value, tolerance)
