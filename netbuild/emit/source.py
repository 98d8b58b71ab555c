"""What the data layers of a net read, and how they prepare it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, Optional, Sequence, Tuple

from ..branches.branch import Cut, Disputed, Input
from ..errors import GraphError
from ..layers.lengths import counted
from ..schema import TEST, TRAIN
from ..spelling import branch_option, either, name_of

AS_DECLARED: Input = Input(None)
"""The input of a source that is to prepare images as the branches declare."""
KINDS = ("image", "lmdb", "leveldb", "hdf5", "input")
"""Where data comes from: a list of image files, a database, a list of HDF5 files, or the caller's memory."""
AS_IT_IS = ("hdf5", "input")
"""Kinds whose values reach the net unchanged: whoever gives them has prepared them."""

_TRAIN_LIST, _TEST_LIST = "train.txt", "val.txt"
_DONE = {"resize": "resized", "crop": "cropped"}


@dataclass(frozen=True)
class DataSource:
    """The data of one input of a net, in both phases.

    Examples:
        >>> from netbuild import DataSource
        >>> source = DataSource(train_source="digits/train_all.txt", test_source="digits/val_all.txt", train_batch=64)
        >>> source.kind, source.train_batch, source.test_batch
        ('image', 64, 20)
    """

    input: Input = AS_DECLARED
    """How images are prepared; by default as the branches that read them declare."""
    kind: str = "image"
    """Where data comes from: 'image' (a list of files), 'lmdb', 'leveldb', 'hdf5' (a list of files), or 'input' (your
    program)."""
    train_source: str = _TRAIN_LIST
    """The list or database of TRAIN. A line of a list of images is `PATH LABEL`."""
    test_source: str = _TEST_LIST
    """The list or database of TEST."""
    train_batch: int = 50
    """The batch size N in TRAIN."""
    test_batch: int = 20
    """The batch size N in TEST."""
    crop: Optional[int] = None
    """Side of a square crop: at random in TRAIN, from the middle in TEST; 0 for none. This and what follows is by
    default as the input declares."""
    resize: Optional[Tuple[int, int]] = None
    """(height, width) that images are resized to before they are cropped; ImageData only."""
    mirror: Optional[bool] = None
    """Mirror images at random in TRAIN."""
    shuffle: bool = False
    """Shuffle the list each epoch in TRAIN; ImageData only, by default not."""
    root_folder: Optional[str] = None
    """Put in front of each path of the list; ImageData only."""
    color: Optional[bool] = None
    """BGR images (True) or grey ones."""
    mean_file: Optional[str] = None
    """A mean image (binaryproto) in place of mean values."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise GraphError(f"no data kind {self.kind!r}; known are {', '.join(KINDS)}")
        self._require_applicable()
        if min(self.train_batch, self.test_batch) < 1:
            raise GraphError("a batch needs at least 1 image")
        self._require_sizes()
        if self.input is AS_DECLARED:
            return
        if self.kind not in AS_IT_IS and len(self.shape) != 3:
            raise GraphError(
                f"images of a list or a database have a shape C,H,W, and the net reads "
                f"({', '.join(['N', *map(str, self.shape)])}); take data of kind hdf5 or input"
            )
        self._require_channels()
        if self.kind not in AS_IT_IS:
            self.require_decided(self.input.disputed)
            self._require_croppable()

    def _require_applicable(self) -> None:
        """Refuse options that have no effect on this kind of data."""
        if self.kind in AS_IT_IS:
            self._require_as_it_is()
        if self.kind != "image" and (self.resize or self.shuffle or self.root_folder):
            raise GraphError(f"resize, shuffle and root folder are for images in a list, not for data of {self.kind!r}")

    def _require_as_it_is(self) -> None:
        if self.crop or self.mirror or self.mean_file:
            raise GraphError(
                f"data of kind {self.kind!r} is taken as it is: crop and mirror do not apply, nor a mean file"
            )
        if self.kind == "input" and (self.train_source, self.test_source) != (_TRAIN_LIST, _TEST_LIST):
            raise GraphError(
                "data of kind 'input' is what your program puts into the net: train and test source do not apply"
            )

    def _require_sizes(self) -> None:
        lengths = [*([self.crop] if self.crop else []), *(self.resize or ())]
        wrong = [length for length in lengths if not isinstance(length, int) or length < 1]
        if wrong or (self.resize is not None and len(self.resize) != 2):
            raise GraphError(
                f"a crop of {self.crop} and a resize of {self.resize}: expected whole numbers from 1 on, a crop's side "
                "(0: none) and a resize's height and width"
            )

    def _require_channels(self) -> None:
        channels = next(iter(self.shape), 1)
        if self.kind == "image" and channels not in (1, 3):
            raise GraphError(
                f"images of a list have 3 channels, or 1 as grey ones, and the net reads {channels}; take data of kind "
                "lmdb, leveldb or hdf5"
            )
        if not self.mean_file and len(self.input.mean) not in (0, 1, channels):
            found = f"{len(self.input.mean)} mean values for {counted(channels, 'channel')}"
            raise GraphError(f"{found}; give one, or each's")

    def require_decided(self, disputed: Disputed) -> None:
        """Raise GraphError for a cut in which the branches differ (`Input.disputed`) and that is not decided here."""
        decisive = {"image": ("resize", "crop"), "lmdb": ("crop",), "leveldb": ("crop",)}.get(self.kind, ())
        asked = {name: values for name, values in disputed if name in decisive and getattr(self, name) is None}
        if asked:
            done = " and ".join(f"{_DONE[name]} differently ({values})" for name, values in asked.items())
            raise GraphError(
                f"the branches were trained on images {done}, and one data layer does it in one way; give one branch "
                f"an input of its own ({branch_option('PREFIX', either('input', 'reads'), 'NAME')}), which may read "
                f"the same list, or say {' and '.join(map(name_of, asked))} for all"
            )

    def _require_croppable(self) -> None:
        for phase in (TRAIN, TEST):
            resize, crop, _ = self.cut(phase)
            declared = self.input.cut(phase)
            # Of the shape that a net sees, a crop is made smaller; nobody declares then how large the images were.
            limit = resize or (None if declared is not None and declared.crop else self.shape[1:])
            if crop and limit and crop > min(limit):
                raise GraphError(
                    f"a crop of {crop} is larger than the image, {'resized to ' if resize else ''}"
                    f"{limit[0]} x {limit[1]}; change {name_of('crop')} or {name_of('resize' if resize else 'shape')}"
                )

    @property
    def shape(self) -> Tuple[int, ...]:
        """The input's shape without N; raises GraphError where neither the branches nor the caller declare it."""
        colours = {None: None, True: 3, False: 1}[self.color]
        if self.input.shape is not None:
            is_image = len(self.input.shape) == 3
            return (colours, *self.input.shape[1:]) if colours and is_image else self.input.shape
        channels, *sides = self.input.seen
        known = (colours or channels, *self._sides(sides))
        if None in known:
            letters = ",".join(letter if length is None else str(length) for letter, length in zip("CHW", known))
            shape = either(f"--shape {letters}", f"BranchSpec(shape=({letters.replace(',', ', ')}))")
            raise GraphError(f"the shape of the input is not known from the branches' nets; give it: {shape}")
        return tuple(length for length in known if length is not None)

    def _sides(self, declared: Sequence[Optional[int]]) -> Sequence[Optional[int]]:
        """Return height and width as declared, or else as the caller crops or resizes images."""
        if None not in declared or self.kind in AS_IT_IS:
            return declared
        return (self.crop, self.crop) if self.crop else self.resize or declared

    @property
    def all_mean_file(self) -> Optional[str]:
        """The mean file, given here or declared by the input."""
        return self.mean_file or self.input.mean_file

    def of_input(self, declared: Input) -> DataSource:
        """Return the source as it is for an input of which the branches declare this."""
        return replace(self, input=declared) if self.input is AS_DECLARED else self

    def cut(self, phase: int) -> Cut:
        """Return how much of an image the net sees in a phase: as said here, else as its source declares."""
        declared = self.input.cut(phase) or Cut()
        crop = (declared.crop if self.crop is None else self.crop) or None
        mirror = declared.mirror if self.mirror is None else self.mirror
        return Cut(self._resized(declared, crop), crop, phase == TRAIN and mirror)

    def _resized(self, declared: Cut, crop: Optional[int]) -> Optional[Tuple[int, int]]:
        """Return (height, width) that images are resized to before the crop, None where they are not."""
        if self.kind != "image" or self.resize is not None:
            return self.resize
        if declared.resize or crop or not self.input.resize:
            return declared.resize
        height, width = self.shape[1:]
        return height, width

    def size(self, phase: int = TEST) -> Tuple[int, ...]:
        """Return the shape as the net sees it in a phase, after cropping: of images (C, H, W)."""
        if self.kind in AS_IT_IS:
            return self.shape
        resize, crop, _ = self.cut(phase)
        return (self.shape[0], *((crop, crop) if crop else resize or self.shape[1:]))

    def in_full(self, phase: int) -> Tuple[int, ...]:
        """Return the shape of the blob in a phase: with N, of images (N, C, H, W)."""
        if not self.input.batched and self.input.declared is not None:
            return self.input.declared
        return (self.batch(phase), *self.size(phase))

    def batch(self, phase: int) -> int:
        """Return the batch size of a phase."""
        return self.train_batch if phase == TRAIN else self.test_batch

    def path(self, phase: int) -> str:
        """Return the list or database of a phase."""
        return self.train_source if phase == TRAIN else self.test_source

    def image_options(self, phase: int) -> Dict[str, Any]:
        """Return the fields of an ImageDataParameter beside source and batch size."""
        options: Dict[str, Any] = {}
        if self.shape[0] == 1:
            options["is_color"] = False
        resize = self.cut(phase).resize
        if resize:
            options["new_height"], options["new_width"] = resize
        if self.shuffle and phase == TRAIN:
            options["shuffle"] = True
        root = self.input.root_folder if self.root_folder is None else self.root_folder
        if root:
            options["root_folder"] = root
        return options

    def transform(self, phase: int) -> Dict[str, Any]:
        """Return the fields of a TransformationParameter."""
        fields: Dict[str, Any] = {}
        if self.all_mean_file:
            fields["mean_file"] = self.all_mean_file
        elif self.input.mean:
            fields["mean_value"] = list(self.input.mean)
        if self.input.scale != 1:
            fields["scale"] = self.input.scale
        _, crop, mirror = self.cut(phase)
        if crop:
            fields["crop_size"] = crop
        if mirror:
            fields["mirror"] = True
        if self.kind != "image" and (self.color is not None or self.input.decoded is not None):
            fields["force_color" if self.shape[0] > 1 else "force_gray"] = True
        return fields
