"""scikit-learn's bundled handwritten digits: real data that needs no network.

E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits (UCI, 1998); 1,797 images of 8 x 8 pixels, 0..16.
"""

from __future__ import annotations

from typing import Any, Dict

import numpy as np

from ..extras import optional, require
from .images import pillow
from .lists import Digits

SIDE = 28
"""The images are enlarged to the size of MNIST's, so that the same nets read them."""
SHARES = {"train": 1297, "val": 250, "test": 250}


def load_digits(seed: int = 0) -> Dict[str, Digits]:
    """Return the digits as 28 x 28 images, shuffled by `seed`, split into 1,297 / 250 / 250."""
    require("the bundled digits need", "sklearn", "PIL")
    bundled = optional("sklearn.datasets", "the bundled digits need").load_digits()
    order = np.random.default_rng(seed).permutation(len(bundled.target))
    pixels = np.stack([_enlarged(image) for image in bundled.images])[order]
    labels = bundled.target[order]
    splits: Dict[str, Digits] = {}
    start = 0
    for name, count in SHARES.items():
        splits[name] = Digits(pixels[start : start + count], labels[start : start + count])
        start += count
    return splits


def _enlarged(image: Any) -> Any:
    image_class = pillow()
    grey = image_class.fromarray(np.clip(image * 16, 0, 255).astype(np.uint8))
    return np.asarray(grey.resize((SIDE, SIDE), image_class.BICUBIC))
