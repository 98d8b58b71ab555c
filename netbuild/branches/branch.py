"""What a builder returns: a branch of a net, cut at its seam."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional, Tuple


@dataclass(frozen=True)
class Input:
    """How the images were prepared that a net was trained on: what the data layer must do again."""

    shape: Optional[Tuple[int, ...]]
    """Without N; of images (C, H, W), C being 1 for grey, 3 for BGR. None where the source does not tell it."""
    mean: Tuple[float, ...] = ()
    """Subtracted from each pixel of value 0..255: one value, or one per channel in the order B, G, R."""
    scale: float = 1.0
    """Multiplied after the mean is subtracted."""
    resize: bool = False
    """Whether images of other sizes are resized to `shape` as they are read."""
    layer: str = "data"
    """Name of the data layer in the published net."""
    mean_file: Optional[str] = None
    """A mean image (binaryproto) in place of mean values."""
    prepared: bool = True
    """Whether mean and scale are known: a deploy net tells only the shape."""


OwnHead = Callable[[Any, int], Any]
"""`head(net, classes) -> scores`: adds a classifier to a NetSpec and returns the Top of its scores, (N, classes)."""
Auxiliary = Callable[[Any, int, Any], None]
"""`auxiliary(net, classes, label)`: adds auxiliary classifiers with their losses."""


@dataclass(frozen=True)
class Branch:
    """A feature extractor inside a NetSpec."""

    prefix: str
    """Its name inside the fused net, as the law of names takes it."""
    seam: str
    """The branch's own name (without prefix) of the blob where it is cut."""
    top: Any
    """The seam's Top in the NetSpec."""
    channels: Optional[int]
    """Length of the seam's axis 1: (N, channels) or (N, channels, H, W). None where the source does not tell it."""
    classifier: Optional[str] = "fc{classes}"
    """Name of the layer that classified on the seam; `{classes}` stands for their number. None for a branch that was
    cut at a blob of the user's choice."""
    head: Optional[OwnHead] = None
    """Writes the source's own classifier onto the seam, under the branch's prefix; None where that is one InnerProduct
    called `classifier`, filled by Xavier's rule."""
    classes: Optional[int] = None
    """Number of classes of that classifier, where the source has one with a fixed number."""
    auxiliary: Optional[Auxiliary] = None
    """Writes the losses that the published net has beside its last one, for training it alone."""
    net_name: str = ""
    """The published net's `name`."""
    input: Optional[Input] = None
    """How its first input was prepared; None where the source does not tell."""
    reads: Mapping[str, Optional[Input]] = field(default_factory=dict)
    """Of a branch with several inputs: each blob outside it that it reads, and how that was prepared."""


Builder = Callable[..., Branch]
"""`builder(net, bottom, prefix="", *, frozen=False) -> Branch`."""
