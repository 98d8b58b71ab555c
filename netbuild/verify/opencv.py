"""What runs in the child process of a comparison with OpenCV, the only module that imports it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any, Iterator, Mapping, Tuple

import numpy as np

from ..errors import CaffeError, some
from ..extras import getting

_UNKNOWN = "Can't create layer"
"""How OpenCV begins when it meets a layer type that it does not know."""


def outputs(
    text: str, weights: str, feed: Mapping[str, Any], layers: Mapping[str, str], types: Mapping[str, str]
) -> Iterator[Tuple[str, Any]]:
    """Yield each blob with its values; `layers` names the layer that makes it, `types` the type of every layer."""
    try:
        import cv2
    except ImportError as error:
        raise CaffeError(f"OpenCV is not there ({error}): {getting('cv2')}") from None
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        raise CaffeError(f"OpenCV {cv2.__version__} no longer reads Caffe's nets: {getting('cv2')}")
    # Newer releases have it in one place only, old ones in the other.
    set_log_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel  # type: ignore[attr-defined]
    set_log_level(0)
    try:
        values = _run(cv2, text, weights, feed, list(layers.values()))
    except cv2.error as error:
        complaint = " ".join(str(error).split())
        if _UNKNOWN not in complaint:
            raise CaffeError(f"OpenCV cannot run the net: {re.sub('^OpenCV.*?error: ', '', complaint)}") from None
        unknown = {kind for kind in set(types.values()) if not _knows(cv2, kind)}
        named = some([f"{name!r} ({kind})" for name, kind in types.items() if kind in unknown])
        raise CaffeError(f"OpenCV {cv2.__version__} does not read the layer types of {named}") from None
    yield from zip(layers, values)


def _run(cv2: Any, text: str, weights: str, feed: Mapping[str, Any], names: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.prototxt"
        file.write_text(text, encoding="utf-8")
        net = cv2.dnn.readNetFromCaffe(str(file), weights)
    # Fused layers put nothing out that could be compared.
    net.enableFusion(False)
    for blob, values in feed.items():
        net.setInput(values, blob)
    return net.forward(names)


def _knows(cv2: Any, kind: str) -> bool:
    """Run a net of only such a layer, without options: OpenCV complains of them, or of a type that it does not know."""
    data = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 1 dim: 1 } } }'
    text = f'{data} layer {{ name: "one" type: "{kind}" bottom: "data" top: "one" }}'
    try:
        net = cv2.dnn.readNetFromCaffe(text.encode(), b"")
        net.setInput(np.zeros((1, 1, 1, 1), np.float32), "data")
        net.forward("one")
    except cv2.error as error:
        return _UNKNOWN not in str(error)
    return True
