"""What a builder returns: a branch of a net, cut at its seam."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, NamedTuple, Optional, Tuple

from ..errors import require_factor, require_finite
from ..schema import TRAIN


class Cut(NamedTuple):
    """How much of an image a net sees in one phase."""

    resize: Optional[Tuple[int, int]] = None
    """(height, width) that images are resized to; None where they come in the size in which they are stored."""
    crop: Optional[int] = None
    """Side of the square that is then cut out: at random in TRAIN, from the middle in TEST."""
    mirror: bool = False
    """Whether images are mirrored at random."""


Disputed = Tuple[Tuple[str, str], ...]


@dataclass(frozen=True)
class Input:
    """How the images were prepared that a net was trained on: what the data layer must do again.

    Examples:
        >>> from netbuild import Input
        >>> imagenet = Input(shape=(3, 224, 224), mean=(104, 117, 123), resize=True)
        >>> imagenet.seen
        (3, 224, 224)
    """

    shape: Optional[Tuple[int, ...]]
    """What the net sees, without N; of images (C, H, W), C being 1 for grey, 3 for BGR. None where the source does not
    declare it."""
    mean: Tuple[float, ...] = ()
    """Subtracted from each pixel of value 0..255: one value, or one per channel in the order B, G, R."""
    scale: float = 1.0
    """Multiplied after the mean is subtracted."""
    resize: bool = False
    """Whether images of other sizes are resized to `shape` as they are read, where no `Cut` says otherwise."""
    layer: str = "data"
    """Name of the data layer in the published net."""
    mean_file: Optional[str] = None
    """A mean image (binaryproto) in place of mean values."""
    prepared: bool = True
    """Whether mean and scale are known: a deploy net declares only the shape."""
    channels: Optional[int] = None
    """1 for grey, 3 for BGR, where the source declares it; None with a `shape`, which says it too."""
    test: Optional[Cut] = None
    """How images are cut in TEST; None where the source does not declare it."""
    train: Optional[Cut] = None
    """The same in TRAIN."""
    decoded: Optional[bool] = None
    """Whether the encoded images of a database are made BGR (True) or grey (False); None: as they are stored."""
    from_database: bool = False
    """Whether images came from a database: resized before they were stored, if at all, to an undeclared size."""
    root_folder: str = ""
    """What stood before each path of the source's list."""
    declared: Optional[Tuple[int, ...]] = field(default=None, compare=False)
    """The shape in full, N included, where the source declares it: some nets are made for one N alone."""
    batched: bool = field(default=True, compare=False)
    """Whether its first axis is N. A blob without it, such as a scalar, stays of the shape `declared`."""
    disputed: Disputed = ()
    """'resize' and 'crop' where the branches that read this input were trained with different ones, and who with what:
    one data layer cannot give both."""

    def __post_init__(self) -> None:
        require_finite(f"input of the data layer {self.layer!r}: a mean", self.mean)
        require_factor(f"input of the data layer {self.layer!r}: the scale", self.scale)

    def cut(self, phase: int) -> Optional[Cut]:
        """Return how images are cut in a phase; None where the source does not declare it."""
        return self.train if phase == TRAIN else self.test

    @property
    def seen(self) -> Tuple[Optional[int], Optional[int], Optional[int]]:
        """Channels, height and width that the net sees in TEST, each None where nothing declares it.

        Only of images: (None, None, None) for a shape of another number of axes.
        """
        channels: Optional[int] = None
        height: Optional[int] = None
        width: Optional[int] = None
        if self.shape is None:
            channels = self.channels
        elif len(self.shape) == 3:
            channels, height, width = self.shape
        else:
            return None, None, None
        if self.test is not None and self.test.crop:
            height = width = self.test.crop
        return channels, height, width

    def in_full(self, batch: int) -> Optional[Tuple[int, ...]]:
        """Return the shape with N, for batches of this size; None where nothing declares it."""
        if not self.batched:
            return self.declared
        return None if self.shape is None else (batch, *self.shape)


OwnHead = Callable[[Any, int], Any]
"""`head(net, classes) -> scores`: adds a classifier to a NetSpec and returns the Top of its scores, (N, classes)."""
Auxiliary = Callable[[Any, int, Any], None]
"""`auxiliary(net, classes, label)`: adds auxiliary classifiers with their losses."""


@dataclass(frozen=True)
class Branch:
    """A feature extractor inside a NetSpec: what a builder returns.

    Examples:
        >>> from netbuild import Branch, blocks, netspec, qualify
        >>> def tiny(net, bottom, prefix="", *, frozen=False):
        ...     top = blocks.fc(net, qualify(prefix, "fc1"), bottom, 16, frozen=frozen)
        ...     return Branch(prefix, seam="fc1", top=top, channels=16)
        >>> net = netspec().NetSpec()
        >>> net.data = netspec().layers.Input(shape={"dim": [1, 1, 12, 12]})
        >>> tiny(net, net.data, "a").channels
        16
    """

    prefix: str
    """Its name inside the fused net, as the law of names takes it."""
    seam: str
    """The branch's own name (without prefix) of the blob where it is cut."""
    top: Any
    """The seam's Top in the NetSpec."""
    channels: Optional[int]
    """Length of the seam's axis 1: (N, channels) or (N, channels, H, W). None where the source does not declare it."""
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
    """How its first input was prepared; None where the source does not declare it."""
    reads: Mapping[str, Optional[Input]] = field(default_factory=dict)
    """Of a branch with several inputs: each blob outside it that it reads, and how that was prepared."""


Builder = Callable[..., Branch]
"""`builder(net, bottom, prefix="", *, frozen=False) -> Branch`."""
