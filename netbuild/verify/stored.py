"""A net's weights in the form that OpenCV reads: a caffemodel with floats for each layer, under the layer's own name.

Caffe shares parameters of one name, copies the layers of a file one after the other, and reads doubles and HDF5 too. A
file that needs any of this is written anew, with what Caffe would make of it.
"""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest
from pathlib import Path
from typing import Dict, List, Mapping, Sequence

from ..errors import WeightsError
from ..fuse.fit import exact_shape, shapes_text
from ..graph.view import NetView
from ..layers import Shape
from ..schema import Message
from ..weights.entry import CopiedBlob, Entry, NewBlob, OutputBlob
from ..weights.index import index, kind_of
from ..weights.model import Blob, Model
from ..weights.values import read_floats
from ..weights.wire import WireFile
from ..weights.write import write_model


def weights_for(view: NetView, weights: str, name: str, folder: Path) -> str:
    """Return the path of a caffemodel for OpenCV: the file itself, or one made of it in the folder.

    Raises WeightsError, which calls the net by this name, where a layer finds no blobs, or such as do not fit.
    """
    model = index(weights)
    blobs = _blobs(view, model, name)
    if kind_of(weights) == "caffemodel" and not _needs_caffe(view, model, blobs):
        return weights
    path = folder / "weights.caffemodel"
    layers = {layer.name: layer for _, layer in view.layers}
    write_model([Entry(one, layers[one].SerializeToString(), _written(model, of)) for one, of in blobs.items()], path)
    return str(path)


def require_weights(view: NetView, weights: str, name: str) -> None:
    """Raise WeightsError where a layer of the net finds no blobs in the file, or such as do not fit."""
    _blobs(view, index(weights), name)


def _blobs(view: NetView, model: Model, name: str) -> Dict[str, List[Blob]]:
    """Return the blobs that Caffe would give each layer, with the shapes that the net declares."""
    # Of two entries for one layer, and of two for one parameter, the last is what Caffe ends with.
    own = {layer.name: list(layer.blobs) for layer in model.layers}
    shared = _shared(view, model)
    found: Dict[str, List[Blob]] = {}
    for number, shapes in view.shapes.params.items():
        layer = view.by_index[number]
        if shapes is None:
            # Nobody here knows the type; OpenCV may.
            found.update({layer.name: own[layer.name]} if layer.name in own else {})
        elif shapes:
            named = [shared.get(spec.name) for spec in layer.param]
            blobs = [of_name or of_layer for of_layer, of_name in zip_longest(own.get(layer.name, ()), named)]
            found[layer.name] = _fitted(layer, shapes, list(filter(None, blobs)), f"weights {model.path!r}", name)
    return found


def _shared(view: NetView, model: Model) -> Dict[str, Blob]:
    """Return the blobs of parameters that have a name."""
    layers = {layer.name: layer for _, layer in view.layers}
    return {
        spec.name: blob
        for stored in model.layers
        if stored.name in layers
        for spec, blob in zip(layers[stored.name].param, stored.blobs)
        if spec.name
    }


def _fitted(layer: Message, shapes: Sequence[Shape], blobs: Sequence[Blob], file: str, name: str) -> List[Blob]:
    if not blobs:
        raise WeightsError(f"{file}: holds no blobs for the layer {layer.name!r} of {name}")
    fitted = [exact_shape(blob, shape) for blob, shape in zip(blobs, shapes)]
    if len(blobs) != len(shapes) or None in fitted:
        raise WeightsError(
            f"{file}: does not fit the layer {layer.name!r} of {name}: expected {shapes_text(shapes)}, found "
            f"{shapes_text([blob.shape for blob in blobs])}"
        )
    return [blob._replace(shape=shape) for blob, shape in zip(blobs, fitted) if shape is not None]


def _needs_caffe(view: NetView, model: Model, blobs: Mapping[str, Sequence[Blob]]) -> bool:
    """Tell whether the file itself gives OpenCV something else than Caffe."""
    entries = Counter(layer.name for layer in model.layers)
    users = Counter(spec.name for _, layer in view.layers for spec in layer.param if spec.name)
    return (
        any(entries[name] > 1 for name in blobs)
        or any(count > 1 for count in users.values())
        or any(blob.item_size != 4 for of in blobs.values() for blob in of)
    )


def _written(model: Model, blobs: Sequence[Blob]) -> List[OutputBlob]:
    """Return the blobs as they are to be written, doubles as floats."""
    with WireFile(model.path) as file:
        return [
            CopiedBlob(blob.shape, model.path, blob)
            if blob.item_size == 4
            else NewBlob(blob.shape, read_floats(file, blob))
            for blob in blobs
        ]
