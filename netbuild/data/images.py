"""Image files to and from arrays, through Pillow."""

from __future__ import annotations

import io
from functools import partial
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from ..branches.branch import Cut
from ..branches.declared import cut_of
from ..errors import NetbuildError
from ..extras import optional
from ..files import PathLike, existing_file
from ..graph.feed import data_layers
from ..schema import TEST, Message
from ..what_is import IMAGE, said

FORMATS = ("png", "jpg")
"""What images are written as."""


def pillow() -> Any:
    """Return PIL.Image; raise one sentence where Pillow is missing."""
    return optional("PIL.Image", "images need")


def encoded(pixels: Any, image_format: str) -> bytes:
    """Return grey pixels (H, W) of type uint8 as an image file of one of the formats."""
    # Little is lost at 95; the default of 75 leaves visible rings around strokes.
    options: Mapping[str, Any] = {"format": "JPEG", "quality": 95} if image_format == "jpg" else {"format": "PNG"}
    made = io.BytesIO()
    pillow().fromarray(pixels).save(made, **options)
    return made.getvalue()


def load_images(paths: Sequence[PathLike], shapes: Mapping[str, Sequence[int]], net: Message) -> Dict[str, Any]:
    """Return the images for the net's image input as float32 (N, C, H, W): grey or BGR, resized, cropped in the middle,
    mean and scale as in the net's first data layer; without one only resized to what the net takes."""
    blob = next((name for name, shape in shapes.items() if len(shape) == 4), None)
    if blob is None:
        raise NetbuildError("images were given, but no input of the net has the shape (N, C, H, W)")
    import numpy as np

    _, channels, height, width = shapes[blob]
    layer = next(iter(data_layers(net, TEST)), None)
    cut = (cut_of(layer) if layer is not None else None) or Cut()
    size = cut.resize if cut.crop else (height, width)
    read = partial(_load, grey=channels == 1, size=size)
    pixels = np.stack([_middle(read(path), height, width, str(path)) for path in paths]).astype(np.float32)
    return {blob: pixels if layer is None else _transformed(pixels, layer)}


def _transformed(pixels: Any, layer: Message) -> Any:
    """Return images (N, C, H, W) less the mean values of a data layer, and scaled as it does."""
    import numpy as np

    if layer.transform_param.mean_file:
        raise NetbuildError("images were given, but the net's data layer subtracts a mean file, which is not read here")
    mean = np.array(list(layer.transform_param.mean_value) or [0], np.float32).reshape(1, -1, 1, 1)
    return (pixels - mean) * np.float32(layer.transform_param.scale)


def _load(path: PathLike, *, grey: bool, size: Optional[Tuple[int, int]]) -> Any:
    """Return an image as (C, H, W), resized to `size` (height, width) where it is not None."""
    import numpy as np

    try:
        with pillow().open(existing_file(path, "image")) as image:
            plain = image.convert("L" if grey else "RGB")
            pixels = np.asarray(plain if size is None else plain.resize(size[::-1]))
    except (OSError, SyntaxError, ValueError, pillow().DecompressionBombError) as error:
        raise NetbuildError(f"image {str(path)!r}: {said(path, IMAGE) or f'cannot be read ({error})'}") from None
    return pixels[None] if grey else pixels[:, :, ::-1].transpose(2, 0, 1)


def _middle(pixels: Any, height: int, width: int, path: str) -> Any:
    """Return the middle of an image (C, H, W), as Caffe's crop in TEST takes it."""
    there = pixels.shape[1:]
    if there[0] < height or there[1] < width:
        raise NetbuildError(f"image {path!r}: is {there[0]} x {there[1]}, and {height} x {width} are to be cropped")
    top, left = (there[0] - height) // 2, (there[1] - width) // 2
    return pixels[:, top : top + height, left : left + width]
