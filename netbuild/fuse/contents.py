"""What a weight file holds: its blobs, their values in figures, and what looks wrong in them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Dict, Iterator, List, Sequence, Tuple

from ..errors import some
from ..files import PathLike
from ..layers.fillers import has_weight_filler
from ..layers.table import of_type
from ..spelling import option
from ..weights.caffemodel import stored_type
from ..weights.figures import BlobFigures, blob_figures
from ..weights.formats import Format, format_named
from ..weights.index import index, kind_of
from ..weights.model import Blob, Layer, Model
from ..weights.wire import WireFile

_V1_TYPES = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"}
"""Those of V1LayerParameter's types that have blobs, by number: no schema is needed to read them."""


@dataclass(frozen=True)
class WeightReport:
    """All blobs of a file in its order, and a sentence for each thing that is wrong or old."""

    path: str
    format: str
    """'caffemodel' or 'hdf5'."""
    bytes: int
    layers: int
    """Layers with blobs."""
    blobs: Tuple[BlobFigures, ...]
    remarks: Tuple[str, ...]

    @property
    def values(self) -> int:
        """Values of all blobs."""
        return sum(blob.values for blob in self.blobs)


def weight_report(path: PathLike) -> WeightReport:
    """Report on a weight file: its layers, figures of their values, and what looks wrong in them.

    The file is read through once, in constant memory. No Caffe is needed.

    Args:
        path: A caffemodel of any age, or an HDF5 file.

    Returns:
        `blobs` with their figures, and `remarks`, a sentence for each thing that is wrong or old.

    Raises:
        WeightsError: The file cannot be read.

    Examples:
        >>> from netbuild import weight_report
        >>> report = weight_report("odd.caffemodel")
        >>> [(blob.layer, blob.shape) for blob in report.blobs][:2], report.remarks
        ([('conv1', (20, 1, 5, 5)), ('conv1', (20,))], ())
    """
    model = index(path)
    by_layer: List[List[BlobFigures]] = []
    with WireFile(path) as file:
        for layer in model.layers:
            kind = _type_of(file, layer)
            by_layer.append(
                [
                    blob_figures(file, blob, layer=layer.name, kind=kind, number=number)
                    for number, blob in enumerate(layer.blobs)
                ]
            )
        size = file.size
    row = format_named(kind_of(path))
    blobs = tuple(blob for own in by_layer for blob in own)
    remarks = (
        *_not_finite(blobs),
        *_factors_of_zero(by_layer),
        *_all_alike(blobs),
        *_doubled_names(model),
        *_old_form(model),
        *_doubles(model),
        *_too_large(model, size, row),
    )
    return WeightReport(model.path, row.name, size, len(model.layers), blobs, remarks)


def _type_of(file: WireFile, layer: Layer) -> str:
    kind = stored_type(file, layer)
    return _V1_TYPES.get(kind, "") if isinstance(kind, int) else kind


def _not_finite(blobs: Sequence[BlobFigures]) -> Iterator[str]:
    broken = [blob for blob in blobs if not blob.is_finite]
    if broken:
        nan, infinite = sum(blob.nan for blob in broken), sum(blob.infinite for blob in broken)
        yield (
            f"not finite: {nan:,} values are NaN and {infinite:,} infinite in {_layers(broken)}: the training diverged "
            "or the file is damaged, and a net with them computes nothing; take an earlier snapshot or another copy"
        )


def _factors_of_zero(by_layer: Sequence[Sequence[BlobFigures]]) -> Iterator[str]:
    """Yield which layers are BatchNorms, or look like one, whose moving-average factor is 0."""
    zero = [own for own in by_layer if _has_factor_of_zero(own)]
    surely = [own[2] for own in zero if of_type(own[2].type).training.statistics is not None]
    perhaps = [own[2] for own in zero if not own[2].type and _looks_like_statistics(own)]
    if surely:
        yield (
            f"BatchNorm with factor 0: {_layers(surely)}: never trained or never loaded; Caffe takes mean and variance "
            "for 0, and the output is 300 times too large"
        )
    if perhaps:
        yield (
            f"blobs like a BatchNorm's, with factor 0: {_layers(perhaps)}: the file tells no type; if this is a "
            "BatchNorm, it was never trained or never loaded"
        )


def _has_factor_of_zero(blobs: Sequence[BlobFigures]) -> bool:
    return len(blobs) == 3 and blobs[2].values == 1 and blobs[2].min == blobs[2].max == 0


def _looks_like_statistics(blobs: Sequence[BlobFigures]) -> bool:
    """Tell whether the first two blobs are a mean and a variance, both of shape (C,)."""
    return blobs[0].shape == blobs[1].shape == (blobs[0].values,)


def _all_alike(blobs: Sequence[BlobFigures]) -> Iterator[str]:
    flat = [blob for blob in blobs if _is_flat_kernel(blob)]
    if flat:
        yield (
            f"weights that are all alike: {_layers(flat)}: never trained, or made without a weight_filler (Caffe then "
            "fills them with 0)"
        )


def _is_flat_kernel(blob: BlobFigures) -> bool:
    """Tell whether the weights of a layer that learns are one value; its biases, of one axis, may well be.

    A layer without a type, as in HDF5, may be one that learns.
    """
    if (blob.type and not has_weight_filler(blob.type)) or blob.number or sum(length > 1 for length in blob.shape) < 2:
        return False
    return blob.is_finite and blob.min is not None and blob.min == blob.max


def _doubled_names(model: Model) -> Iterator[str]:
    doubled = [name for name, count in Counter(layer.name for layer in model.layers).items() if count > 1]
    if doubled:
        yield f"several layers of one name: {some(doubled)}: Caffe loads each into the first such layer of a net"
    if not model.layers:
        yield "no layer has blobs: a net without its weights"


def _layers(blobs: Sequence[BlobFigures]) -> str:
    names: Dict[str, None] = dict.fromkeys(blob.layer for blob in blobs)
    return some(list(names))


def _stored_blobs(model: Model) -> List[Blob]:
    return [blob for layer in model.layers for blob in layer.blobs]


def _old_form(model: Model) -> Iterator[str]:
    blobs = _stored_blobs(model)
    signs = {
        "layers of before 2015": any(layer.definition.v1 for layer in model.layers),
        "shapes of four numbers": any(blob.legacy for blob in blobs),
        "values that are not packed": any(span.gap for blob in blobs for span in blob.spans),
    }
    signs_found = [sign for sign, is_there in signs.items() if is_there]
    if signs_found:
        yield f"an old format ({', '.join(signs_found)}): 'netbuild convert' brings the file up to date"


def _doubles(model: Model) -> Iterator[str]:
    layers = [layer.name for layer in model.layers if any(blob.item_size == 8 for blob in layer.blobs)]
    if layers:
        yield f"doubles: {some(layers)}: Caffe rounds them to floats as it loads them, unless it computes with doubles"


def _too_large(model: Model, size: int, row: Format) -> Iterator[str]:
    if row.limit is None or size <= row.limit.largest:
        return
    fused = any("/" in layer.name for layer in model.layers)
    split = f"'netbuild fuse {option('split', True)}' writes a file for each branch"
    remedy = split if fused else "'netbuild convert' makes HDF5 of it"
    yield f"Caffe reads at most {row.limit.largest:,} bytes of a {row.name}: {remedy}"
