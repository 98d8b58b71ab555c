"""The scores of a net over a list of images, each image counted once."""

from __future__ import annotations

from typing import Dict, Optional

from .. import proto
from .._caffe import TEST
from .._child import run
from ..data.lists import count_images
from ..errors import GraphError
from ..files import PathLike, existing_file
from ..graph.check import require_sound
from ..graph.feed import data_layers
from .prepare import require_kind

_LARGEST_BATCH = 100


def evaluate(
    net: PathLike, weights: PathLike, source: Optional[PathLike] = None, *, gpu: Optional[int] = None
) -> Dict[str, float]:
    """Return the mean of each scalar output (accuracy, loss) of a net in TEST phase over its list of images.

    `source` is a list file to read in place of the net's own. The batch size becomes the largest divisor of the
    list's length up to 100, so that every image counts, and counts once.
    """
    require_kind(weights, "caffemodel", "weights", "resume")
    message = proto.read_net(net)
    require_sound(message, str(net))
    images = [layer for layer in data_layers(message, TEST) if layer.type == "ImageData"]
    if len(images) != 1:
        raise GraphError(f"{net}: {len(images)} ImageData layers in TEST phase; evaluation needs exactly one")
    options = images[0].image_data_param
    if source is not None:
        options.source = str(source)
    count = count_images(existing_file(options.source, "list"))
    options.batch_size = max(size for size in range(1, min(count, _LARGEST_BATCH) + 1) if count % size == 0)
    job = {
        "net": proto.to_text(message),
        "weights": str(existing_file(weights, "weights")),
        "batches": count // options.batch_size,
        "gpu": gpu,
    }
    scores: Dict[str, float] = next(run("netbuild.train.engine:evaluate", **job))
    return scores
