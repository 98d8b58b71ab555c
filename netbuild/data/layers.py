"""Data layers as NetSpec functions: one definition for both phases and for every kind of source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from .._caffe import TEST, TRAIN, Message, caffe
from ..branches.branch import Input
from ..errors import GraphError
from ..fusion import DATA, LABEL

KINDS = ("image", "lmdb", "leveldb", "hdf5", "input")
"""Where data comes from: a list of image files, a database, a list of HDF5 files, or the caller's memory."""
_TOPS = (DATA, LABEL)


@dataclass(frozen=True)
class DataSource:
    """What the data layers of a net read, and how they prepare it."""

    input: Input
    kind: str = "image"
    train_source: str = "train.txt"
    test_source: str = "val.txt"
    train_batch: int = 50
    test_batch: int = 20
    mean_file: Optional[str] = None
    """A mean image (binaryproto) in place of mean values."""
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
        transforms = self.mean_file or self.crop or self.mirror
        if self.kind in ("hdf5", "input") and transforms:
            raise GraphError(f"data of kind {self.kind!r} is taken as it is: mean file, crop and mirror do not apply")
        if self.kind != "image" and (self.resize or self.shuffle or self.root_folder):
            raise GraphError(f"resize, shuffle and root folder are for images in a list, not for data of {self.kind!r}")
        if len(self.input.mean) not in (0, 1, self.input.shape[0]):
            raise GraphError(
                f"{len(self.input.mean)} mean values for {self.input.shape[0]} channels; give one, or each's"
            )
        if self.crop and self.resize and self.crop > min(self.resize):
            raise GraphError(f"a crop of {self.crop} is larger than the image, resized to {self.resize}")
        if min(self.train_batch, self.test_batch) < 1:
            raise GraphError("a batch needs at least 1 image")

    def size(self) -> Tuple[int, int, int]:
        """Return (C, H, W) as the net sees it, after cropping."""
        channels, height, width = self.input.shape
        if self.crop:
            return channels, self.crop, self.crop
        return (channels, *self.resize) if self.resize else (channels, height, width)


def data_layer(source: DataSource, phase: int) -> Message:
    """Return the data layer of one phase, with the tops `data` (N, C, H, W) and `label` (N,)."""
    layers = caffe().layers
    common: Dict[str, Any] = {"name": source.input.layer, "ntop": len(_TOPS), "include": {"phase": phase}}
    path = source.train_source if phase == TRAIN else source.test_source
    batch = source.train_batch if phase == TRAIN else source.test_batch
    if source.kind == "input":
        tops = layers.Input(shape=[{"dim": [batch, *source.size()]}, {"dim": [batch]}], **common)
    elif source.kind == "hdf5":
        tops = layers.HDF5Data(source=path, batch_size=batch, **common)
    elif source.kind == "image":
        transform = _transform(source, phase)
        tops = layers.ImageData(source=path, batch_size=batch, **_image_options(source, phase), **transform, **common)
    else:
        backend = getattr(caffe().params.Data, source.kind.upper())
        tops = layers.Data(source=path, batch_size=batch, backend=backend, **_transform(source, phase), **common)
    net = caffe().NetSpec()
    for name, top in zip(_TOPS, tops):
        net[name] = top
    return net.to_proto().layer[0]


def data_layers(source: DataSource) -> List[Message]:
    """Return the data layers of TRAIN and TEST, of one name, as they stand together in a train_val net."""
    return [data_layer(source, phase) for phase in (TRAIN, TEST)]


def _image_options(source: DataSource, phase: int) -> Dict[str, Any]:
    options: Dict[str, Any] = {}
    if source.input.shape[0] == 1:
        options["is_color"] = False
    resize = source.resize or (source.input.shape[1:] if source.input.resize and not source.crop else None)
    if resize:
        options["new_height"], options["new_width"] = resize
    if source.shuffle and phase == TRAIN:
        options["shuffle"] = True
    if source.root_folder:
        options["root_folder"] = source.root_folder
    return options


def _transform(source: DataSource, phase: int) -> Dict[str, Any]:
    fields: Dict[str, Any] = {}
    if source.mean_file:
        fields["mean_file"] = source.mean_file
    elif source.input.mean:
        fields["mean_value"] = list(source.input.mean)
    if source.input.scale != 1:
        fields["scale"] = source.input.scale
    if source.crop:
        fields["crop_size"] = source.crop
    if source.mirror and phase == TRAIN:
        fields["mirror"] = True
    return {"transform_param": fields} if fields else {}
