"""Image files to and from arrays, through Pillow."""

from __future__ import annotations

import io
from typing import Any, Dict, Mapping, Sequence, Tuple

from .._caffe import TEST, Message
from ..errors import NetbuildError
from ..files import PathLike, existing_file
from ..graph.feed import data_layers

FORMATS = ("png", "jpg")
"""What images are written as."""


def pillow() -> Any:
    """Return PIL.Image; raise one sentence where Pillow is missing."""
    try:
        from PIL import Image
    except ImportError:
        raise NetbuildError("images need Pillow: pip install 'netbuild[demo]'") from None
    return Image


def encoded(pixels: Any, image_format: str) -> bytes:
    """Return grey pixels (H, W) of type uint8 as an image file of one of the formats."""
    # Little is lost at 95; the default of 75 leaves visible rings around strokes.
    options: Mapping[str, Any] = {"format": "JPEG", "quality": 95} if image_format == "jpg" else {"format": "PNG"}
    made = io.BytesIO()
    pillow().fromarray(pixels).save(made, **options)
    return made.getvalue()


def load_images(paths: Sequence[PathLike], shapes: Mapping[str, Sequence[int]], net: Message) -> Dict[str, Any]:
    """Return the images for the net's image input as float32 (N, C, H, W): grey or BGR, resized, mean and scale as in
    the net's first data layer."""
    blob = next((name for name, shape in shapes.items() if len(shape) == 4), None)
    if blob is None:
        raise NetbuildError("images were given, but no input of the net has the shape (N, C, H, W)")
    import numpy as np

    _, channels, height, width = shapes[blob]
    pixels = np.stack([_load(path, (channels, height, width)) for path in paths]).astype(np.float32)
    transforms = [layer.transform_param for layer in data_layers(net, TEST)]
    if transforms:
        if transforms[0].mean_file:
            raise NetbuildError(
                "images were given, but the net's data layer subtracts a mean file, which is not read here"
            )
        mean = np.array(list(transforms[0].mean_value) or [0], np.float32).reshape(1, -1, 1, 1)
        pixels = (pixels - mean) * np.float32(transforms[0].scale)
    return {blob: pixels}


def _load(path: PathLike, shape: Tuple[int, int, int]) -> Any:
    import numpy as np

    channels, height, width = shape
    image_class = pillow()
    try:
        with image_class.open(existing_file(path, "image")) as image:
            pixels = np.asarray(image.convert("L" if channels == 1 else "RGB").resize((width, height)))
    except (OSError, SyntaxError, ValueError, image_class.DecompressionBombError) as error:
        raise NetbuildError(f"image {str(path)!r}: cannot be read ({error})") from None
    return pixels[None] if channels == 1 else pixels[:, :, ::-1].transpose(2, 0, 1)
