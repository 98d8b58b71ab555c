"""What runs in the child process of a comparison with OpenCV or in OpenCV, the only module that imports it."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

import numpy as np

from .. import names, proto
from ..errors import CaffeError, GraphError, some
from ..extras import getting
from ..fuse.mismatch import definition_differences
from ..graph.cut import cut
from ..graph.feed import with_inputs
from ..graph.view import NetView
from ..layers.roles import is_input
from ..layers.training import draws
from ..schema import TEST, TRAIN, Message
from .blobs import Outputs, comparison, fed_values, own_feed, require_maker
from .branches import Alone, Comparison, Job
from .stored import weights_for

_UNKNOWN = "Can't create layer"
"""How OpenCV begins when it meets a layer type that it does not know."""


def outputs(text: str, weights: str, feed: Mapping[str, Any], layers: Mapping[str, str]) -> Iterator[Tuple[str, Any]]:
    """Yield each blob with its values; `layers` names the layer that makes it."""
    yield from zip(layers, _run(proto.parsed(text), weights, feed, list(layers.values()), "the net"))


def compare(job: Job) -> Iterator[Comparison]:
    """Yield the comparison of each branch."""
    whole = NetView(proto.parsed(job.fused), TEST).only
    # A head that has no weights yet would be in the way.
    part = NetView.of_all_layers(cut(whole, [original.seam for original in job.originals]))
    inputs = fed_values(part.net, job.inputs, job.seed)
    found = _layers(part, job.weights, inputs, job.name)
    for original in job.originals:
        own = own_feed(original, {reader: _read(part, inputs, found, reader) for reader in original.readers.values()})
        shapes = {blob: array.shape for blob, array in own.items()}
        alone = NetView.of_all_layers(with_inputs(proto.parsed(original.text), shapes, original.left_out))
        branch = _branch(part, found, original)
        require_maker(original, list(branch)[-1] if branch else "", [layer.name for _, layer in alone.layers])
        compared = comparison(original, _layers(alone, original.weights, own, original.name), branch)
        if compared.computes_equal:
            _require_alike(part, alone, original)
        yield compared


def _branch(fused: NetView, found: Outputs, original: Alone) -> Outputs:
    """Return what the layers of a branch put out, under their own names, its seam last."""
    flow = fused.flow
    layers = [fused.by_index[number].name for number in sorted(flow.behind([flow.writer[original.seam]]))]
    own = {name: names.local(original.prefix, name) for name in layers if name in found}
    return {local: found[name] for name, local in own.items() if local is not None}


def _require_alike(fused: NetView, alone: NetView, original: Alone) -> None:
    """Raise GraphError where a layer of the branch has other options than its like: OpenCV passes over some."""
    layers = {layer.name: layer for _, layer in fused.layers}
    for _, layer in alone.layers:
        twin = layers.get(names.qualify(original.prefix, layer.name))
        if twin is None or twin.type != layer.type or draws(layer, TRAIN) or draws(twin, TRAIN):
            continue  # what Dropout leaves out matters in training alone
        for one in definition_differences(twin, layer):
            raise GraphError(
                f"branch {original.prefix!r}: OpenCV computes the same, but Caffe may not: the layer {twin.name!r} has "
                f"{one.parameter} {one.expected}, and {layer.name!r} of {original.name} has {one.found}"
            )


def _read(fused: NetView, inputs: Mapping[str, Any], found: Outputs, reader: Tuple[str, int]) -> Any:
    """Return what a layer of the fused net reads, as which bottom; None where the layer is not among those that ran."""
    for number, layer in fused.layers:
        if layer.name == reader[0]:
            blob, source = layer.bottom[reader[1]], fused.by_index[fused.flow.sources[number][reader[1]]]
            return inputs[blob] if is_input(source) else found[source.name][list(source.top).index(blob)]
    return None


def _layers(view: NetView, weights: str, feed: Mapping[str, Any], name: str) -> Outputs:
    """Run a net, and return what each layer puts out; `name` is what messages call the net."""
    net, asked = _with_copies(view.net)
    with tempfile.TemporaryDirectory() as folder:
        path = weights_for(view, weights, name, Path(folder))
        values = iter(_run(net, path, feed, [one for of in asked.values() for one in of], name))
    return {layer: [next(values) for _ in of] for layer, of in asked.items()}


def _with_copies(net: Message) -> Tuple[Message, Dict[str, List[str]]]:
    """Return a net whose layers have one top each that is of interest, and for each layer of `net` those to ask for.

    OpenCV gives a layer's first top only; of the others a layer of its own makes a copy, before any works in place.
    """
    result, asked = proto.with_layers(net, ()), {}
    taken = {*(layer.name for layer in net.layer), *(top for layer in net.layer for top in layer.top)}
    for layer in net.layer:
        result.layer.add().CopyFrom(layer)
        if not is_input(layer):
            copies = [names.free(f"{top} copied", taken) for top in layer.top[1:]]
            for top, copy in zip(layer.top[1:], copies):
                result.layer.add(name=copy, type="Split", bottom=[top], top=[copy])
            asked[layer.name] = [layer.name, *copies]
            taken.update(copies)
    return result, asked


def _run(net: Message, weights: str, feed: Mapping[str, Any], layers: Sequence[str], name: str) -> Sequence[Any]:
    """Return the first top of each of these layers; CaffeError where OpenCV does not run the net."""
    cv2 = _opencv()
    try:
        loaded = _loaded(cv2, proto.to_text(net), weights)
        for blob, values in feed.items():
            loaded.setInput(values, blob)
        found: Sequence[Any] = loaded.forward(list(layers))
    except cv2.error as error:
        complaint = " ".join(str(error).split())
        if _UNKNOWN not in complaint:
            raise CaffeError(f"OpenCV cannot run {name}: {re.sub('^OpenCV.*?error: ', '', complaint)}") from None
        unknown = {kind for kind in {layer.type for layer in net.layer} if not _knows(cv2, kind)}
        named = some([f"{layer.name!r} ({layer.type})" for layer in net.layer if layer.type in unknown])
        raise CaffeError(f"OpenCV {cv2.__version__} does not read the layer types of {named}") from None
    return found


def _opencv() -> Any:
    """Return OpenCV, its log silenced; CaffeError where it is missing, or has no reader of Caffe's nets."""
    # Read when it is loaded; the function for it has another place in each release.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    try:
        import cv2
    except ImportError as error:
        raise CaffeError(f"OpenCV is not there ({error}): {getting('cv2')}") from None
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        raise CaffeError(f"OpenCV {cv2.__version__} no longer reads Caffe's nets: {getting('cv2')}")
    return cv2


def _loaded(cv2: Any, text: str, *weights: str) -> Any:
    """Return OpenCV's net. The text goes through a file: not every release takes a text without weights."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.prototxt"
        file.write_text(text, encoding="utf-8")
        net = cv2.dnn.readNetFromCaffe(str(file), *weights)
    # Builds with other back ends prefer these, and fused layers put nothing out that could be compared.
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
    net.enableFusion(False)
    return net


def _knows(cv2: Any, kind: str) -> bool:
    """Run a net of only such a layer, without options: OpenCV complains of them, or of a type that it does not know."""
    data = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 1 dim: 1 } } }'
    text = f'{data} layer {{ name: "one" type: "{kind}" bottom: "data" top: "one" }}'
    try:
        net = _loaded(cv2, text)
        net.setInput(np.zeros((1, 1, 1, 1), np.float32), "data")
        net.forward("one")
    except cv2.error as error:
        return _UNKNOWN not in str(error)
    return True
