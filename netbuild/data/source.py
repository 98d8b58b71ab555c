"""What the data layers of a net read, and how they prepare it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from .._caffe import TRAIN
from ..branches.branch import Input
from ..errors import GraphError

KINDS = ("image", "lmdb", "leveldb", "hdf5", "input")
"""Where data comes from: a list of image files, a database, a list of HDF5 files, or the caller's memory."""


@dataclass(frozen=True)
class DataSource:
    """The data of one input of a net, in both phases."""

    input: Input
    kind: str = "image"
    train_source: str = "train.txt"
    test_source: str = "val.txt"
    train_batch: int = 50
    test_batch: int = 20
    crop: Optional[int] = None
    """Side of a square crop: at random in TRAIN, from the middle in TEST."""
    resize: Optional[Tuple[int, int]] = None
    """(height, width) that images are resized to before they are cropped; ImageData only."""
    mirror: bool = False
    """Mirror images at random in TRAIN."""
    shuffle: bool = False
    """Shuffle the list each epoch in TRAIN; ImageData only."""
    root_folder: str = ""
    """Put in front of each path of the list; ImageData only."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise GraphError(f"no data kind {self.kind!r}; known are {', '.join(KINDS)}")
        if self.kind in ("hdf5", "input") and (self.crop or self.mirror):
            raise GraphError(f"data of kind {self.kind!r} is taken as it is: crop and mirror do not apply")
        if self.kind != "image" and (self.resize or self.shuffle or self.root_folder):
            raise GraphError(f"resize, shuffle and root folder are for images in a list, not for data of {self.kind!r}")
        if self.kind in ("image", "lmdb", "leveldb") and len(self.shape) != 3:
            raise GraphError(f"images have a shape C,H,W; found {','.join(map(str, self.shape))}")
        if len(self.input.mean) not in (0, 1, self.shape[0]):
            raise GraphError(f"{len(self.input.mean)} mean values for {self.shape[0]} channels; give one, or each's")
        if self.crop and self.resize and self.crop > min(self.resize):
            raise GraphError(f"a crop of {self.crop} is larger than the image, resized to {self.resize}")
        if min(self.train_batch, self.test_batch) < 1:
            raise GraphError("a batch needs at least 1 image")

    @property
    def shape(self) -> Tuple[int, ...]:
        """The input's shape without N; raises GraphError where neither the branches nor the caller told it."""
        if self.input.shape is None:
            raise GraphError("the shape of the input is not known from the branches' nets; give it: --shape C,H,W")
        return self.input.shape

    def size(self) -> Tuple[int, ...]:
        """Return the shape as the net sees it, after cropping: of images (C, H, W)."""
        if self.crop:
            return self.shape[0], self.crop, self.crop
        return (self.shape[0], *self.resize) if self.resize else self.shape

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
        resize = self.resize or (self.shape[1:] if self.input.resize and not self.crop else None)
        if resize:
            options["new_height"], options["new_width"] = resize
        if self.shuffle and phase == TRAIN:
            options["shuffle"] = True
        if self.root_folder:
            options["root_folder"] = self.root_folder
        return options

    def transform(self, phase: int) -> Dict[str, Any]:
        """Return the fields of a TransformationParameter."""
        fields: Dict[str, Any] = {}
        if self.input.mean_file:
            fields["mean_file"] = self.input.mean_file
        elif self.input.mean:
            fields["mean_value"] = list(self.input.mean)
        if self.input.scale != 1:
            fields["scale"] = self.input.scale
        if self.crop:
            fields["crop_size"] = self.crop
        if self.mirror and phase == TRAIN:
            fields["mirror"] = True
        return fields
