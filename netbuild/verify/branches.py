"""Compare each original net with its branch in the fused net, blob by blob, bit by bit, in Caffe or in OpenCV.

The engine runs in a child process: Caffe's abort becomes an error here.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from .. import names, proto
from ..branches.given import prototxts, require_no_state, split_seam
from ..branches.source import alone
from ..branches.table import find_builder
from ..data.images import load_images
from ..engine.child import run
from ..engine.interpreter import chosen, this
from ..errors import CaffeError, GraphError, NetbuildError, NetbuildWarning, require_type, some
from ..extras import require
from ..files import PathLike, listed_paths
from ..fuse.inputs import Weighted, shapes_to_feed
from ..graph.check import require_sound
from ..graph.cut import cut, outlets
from ..graph.feed import fed, in_batches, input_shapes, sources, without_inputs
from ..graph.rename import named_apart
from ..graph.view import NetView
from ..layers import Shape
from ..layers.lengths import in_full
from ..proto.forms import path_of
from ..schema import TEST, Message
from ..spelling import option
from ..weights.index import index
from .beginnings import FusedBranch, beginnings
from .images import Fed, ImageComparison, compare_images

_CAFFE, _OPENCV = "caffe", "opencv"
_NO_IMAGES = ImageComparison(unknown="OpenCV has no data layers; Caffe compares it")


@dataclass(frozen=True)
class Comparison:
    """The outcome for one branch."""

    prefix: str
    seam: str
    """The seam's name in the fused net."""
    layers: int
    """How many layers were compared, up to the seam."""
    shape: Tuple[int, ...]
    """The seam's shape."""
    largest_difference: float
    """The largest absolute difference at the seam; infinite where the shapes differ or a value is not finite."""
    differences: Tuple[Tuple[str, float], ...]
    """The layers whose outputs differ in any bit, in the order they ran, each with its largest difference."""
    finite: bool
    """Whether the seam is free of NaN and infinity: equal ones prove nothing."""
    images: ImageComparison = field(default_factory=partial(ImageComparison, unknown="nobody looked"))
    """Whether both nets prepare the same image files alike."""
    begins: Tuple[str, ...] = ()
    """The original's blobs at which the branch begins in the fused net, where it does not begin at its inputs: what
    comes before them was not compared."""

    @property
    def first_difference(self) -> Optional[str]:
        """The first layer whose output differs, None where none does."""
        return self.differences[0][0] if self.differences else None

    @property
    def computes_equal(self) -> bool:
        """Whether every compared blob is bit-equal, and the seam finite."""
        return not self.differences and self.finite

    @property
    def equal(self) -> bool:
        """Whether that is so, and no image comes to the branch a grey level or more apart from how its original
        prepares it."""
        return self.computes_equal and (self.images.equal is not False or self.images.levels < 1)


@dataclass(frozen=True)
class Original:
    """A net as it was before the fusion, and the file of its weights.

    Examples:
        >>> from netbuild import Original
        >>> odd = Original("odd/deploy.prototxt@ip1", "odd.caffemodel")
    """

    net: proto.Net
    """A prototxt, the name of a builder or `package.module:function`, each of which `@SEAM` may follow; or a
    NetParameter or a NetSpec."""
    weights: PathLike
    """The file of its trained weights: .caffemodel or HDF5."""

    @property
    def name(self) -> str:
        """What messages call the net."""
        return proto.name_of_net(self.net)


def verify_branches(
    target: proto.Net,
    weights: PathLike,
    originals: Mapping[str, Original],
    *,
    shapes: Optional[Mapping[str, Sequence[int]]] = None,
    images: Union[PathLike, Sequence[PathLike]] = (),
    seed: int = 0,
    engine: str = "caffe",
) -> List[Comparison]:
    """Compare each branch alone with the branch in the fused net, in real Caffe: all blobs that they have in common.

    Caffe runs in a child process, in TEST phase; Input layers stand in for the data layers. Where both nets have data
    layers that read images, what these make of the same files is compared too. A branch that begins behind the inputs
    of its original (`Comparison.begins`) is compared from there on: the original gets what the branch reads.

    OpenCV can do it where there is no Caffe. As it runs both sides, they are to be bit-equal too: that proves wiring
    and weights. It says nothing of Caffe's numbers, nor of how images are prepared: it has no data layers.

    Args:
        target: The fused net: a path, a NetParameter or a NetSpec.
        weights: Its weight file, .caffemodel or HDF5.
        originals: For each prefix the net as it was. Its seam is the blob after the `@`, or else the blob of the branch
            that other layers of the fused net read.
        shapes: For an input whose shape no net tells, the shape (N, C, H, W); by default a square is sought that fits
            the weights.
        images: Image files to run, prepared as the nets' data layers say; by default the input is random, from -1 to 1.
        seed: What the random input comes from.
        engine: What runs the nets: `caffe` or `opencv`.

    Returns:
        For each branch whether its blobs are bit-equal (`equal`), and where they first differ.

    Raises:
        GraphError: A net is not sound, or a branch has no counterpart in the fused net.
        WeightsError: A weight file cannot be read.
        CaffeError: Caffe gave up; its last words are in the text. Or OpenCV does not run the nets.

    Examples:
        >>> from netbuild import Original, verify_branches
        >>> originals = {
        ...     "odd": Original("odd/train_val.prototxt", "odd.caffemodel"),
        ...     "even": Original("even/train_val.prototxt", "even.caffemodel"),
        ... }
        >>> found = verify_branches("fused/train_val.prototxt", "fused/init.caffemodel", originals)
        >>> [(one.prefix, one.seam, one.equal) for one in found]
        [('odd', 'odd/ip1', True), ('even', 'even/ip1', True)]
    """
    for prefix, original in originals.items():
        require_type(original, Original, f"branch {prefix!r}")
    _require_engine(engine)
    files = listed_paths(images, "images")
    fused = Weighted(proto.name_of_net(target), _load(target), index(weights))
    tested = NetView.of_all_layers(NetView(fused.net, TEST).only)
    cuts = [_up_to_seam(tested, prefix, original, list(originals)) for prefix, original in originals.items()]
    parts = [_alone(tested, one) for one in cuts]
    job = _job(fused, parts, shapes or {}, files, seed=seed)
    if engine == _OPENCV:
        # A package beside netbuild itself, wherever Caffe may be.
        found = run("netbuild.verify.opencv:compare", interpreter=this(), job=job)
        return [replace(one, images=_NO_IMAGES) for one in found]
    comparisons = list(run("netbuild.verify.child:compare", job=job))
    read = {part.prefix: Fed(one.net, part.readers) for one, part in zip(cuts, parts)}
    prepared = compare_images(tested, read, files)
    return [replace(one, images=prepared[one.prefix]) for one in comparisons]


def _require_engine(engine: str) -> None:
    """Raise NetbuildError for an engine that is not here, before any work begins."""
    if engine == _OPENCV:
        require("OpenCV as the engine needs", "cv2")
        return
    if engine != _CAFFE:
        raise NetbuildError(f"engine: expected {_CAFFE!r} or {_OPENCV!r}, found {engine!r}")
    try:
        chosen()
    except CaffeError as error:
        raise CaffeError(f"{error}. Without Caffe, {option('engine', _OPENCV)} proves a fusion") from None


def _job(
    fused: Weighted, parts: Sequence[Alone], shapes: Mapping[str, Sequence[int]], images: Sequence[str], *, seed: int
) -> Job:
    """Return all that is to be compared, the inputs of the fused net opened."""
    hints = {blob: shape for part in reversed(parts) for blob, shape in part.hints.items()}
    known = shapes_to_feed(fused, hints, shapes)
    if images:
        known = in_batches(known, len(images))
    text = proto.to_text(fed(fused.net, TEST, known, fused.name))
    inputs = load_images(images, known, fused.net) if images else {}
    return Job(fused.name, text, fused.model.path, parts, inputs, seed)


class Alone(NamedTuple):
    """An original net up to its seam, as the child process takes it."""

    prefix: str
    seam: str
    """The seam's name in the fused net."""
    name: str
    text: str
    """Its prototxt, inputs left open."""
    weights: str
    readers: Dict[str, Tuple[str, int]]
    """Each of its inputs, with the layer of the fused net that reads the like, and as which bottom."""
    hints: Dict[str, Tuple[int, ...]]
    """The shapes that it tells of blobs which feed its branch in the fused net."""
    begins: Tuple[str, ...]
    """Its own blobs at which the branch begins; nothing before them is compared."""
    left_out: Tuple[str, ...]
    """Layers that `text` has not, and its weight file may have."""


class Job(NamedTuple):
    """A fused net and its originals, as the child process compares them."""

    name: str
    """What messages call the fused net."""
    fused: str
    """The fused net's prototxt, its data layers replaced by inputs."""
    weights: str
    originals: Sequence[Alone]
    inputs: Mapping[str, Any]
    """Images by input, (N, C, H, W); what is missing is made at random."""
    seed: int


class _Cut(NamedTuple):
    """An original in TEST up to its seam, its data layers included."""

    prefix: str
    original: Original
    net: Message
    seam: str
    """The seam's name in the fused net."""
    left_out: Tuple[str, ...]
    """The original's other layers."""
    begins: Mapping[str, Shape]
    """The blobs at which it begins beside inputs, which nothing in `net` makes, with their shapes."""


def _up_to_seam(fused: NetView, prefix: str, original: Original, prefixes: Sequence[str]) -> _Cut:
    index(original.weights)
    whole = _original_net(original)
    seam = _seam(fused, prefix, original.name, prefixes)
    view, own = NetView.of_all_layers(NetView(whole, TEST).only), names.local(prefix, seam) or seam
    try:
        begins = beginnings(FusedBranch(fused, prefix, prefixes), view, own)
        net = cut(view, [own], begins)
        _tell_of_fillers(prefix, original, NetView.of_all_layers(net))
    except GraphError as error:
        raise GraphError(f"branch {prefix!r}: {original.name}: {error}") from None
    kept = {layer.name for layer in net.layer}
    left_out = tuple(layer.name for layer in view.only.layer if layer.name not in kept)
    return _Cut(prefix, original, net, seam, left_out, {blob: view.shapes.blobs.get(blob) for blob in begins})


def _tell_of_fillers(prefix: str, original: Original, view: NetView) -> None:
    """Warn of layers that the original's own file gives no weights: what is compared of them says nothing."""
    held = index(original.weights).by_name()
    lacking = [
        layer.name
        for number, layer in view.layers
        if view.shapes.params.get(number) and layer.name not in held and not (layer.blobs or _is_shared(layer))
    ]
    if lacking:
        whose = f"branch {prefix!r}: " if prefix else ""
        warnings.warn(
            f"{whose}weights {os.fspath(original.weights)!r} hold nothing for {some(lacking)} of {original.name}: "
            "there the values of fillers are compared",
            NetbuildWarning,
            stacklevel=2,
        )


def _is_shared(layer: Message) -> bool:
    return any(spec.name for spec in layer.param)


def _alone(fused: NetView, one: _Cut) -> Alone:
    """Return an original as the child process takes it, with the fused net's counterparts of its inputs."""
    readers = _readers(fused, one)
    layers = {layer.name: layer for _, layer in fused.layers}
    known = {**input_shapes(one.net, TEST), **{blob: in_full(shape) for blob, shape in one.begins.items()}}
    pairs = {layers[name].bottom[position]: known.get(blob) for blob, (name, position) in readers.items()}
    hints = {blob: shape for blob, shape in pairs.items() if shape is not None}
    text = proto.to_text(without_inputs(one.net))
    weights = str(one.original.weights)
    return Alone(
        one.prefix, one.seam, one.original.name, text, weights, readers, hints, tuple(one.begins), one.left_out
    )


def _readers(fused: NetView, one: _Cut) -> Dict[str, Tuple[str, int]]:
    """Return for each input of an original the fused net's counterpart of its first reader, and as which bottom."""
    bottoms = {layer.name: len(layer.bottom) for _, layer in fused.layers}
    inputs = {*one.begins, *(top for layer in sources(one.net.layer) for top in layer.top)}
    readers: Dict[str, Tuple[str, int]] = {}
    for layer in one.net.layer:
        name = names.qualify(one.prefix, layer.name)
        for position, blob in enumerate(layer.bottom):
            if blob not in inputs or blob in readers:
                continue
            if bottoms.get(name, 0) <= position:
                raise GraphError(
                    f"branch {one.prefix!r}: the layer {layer.name!r}, which reads the input {blob!r} of "
                    f"{one.original.name}, has no counterpart in the fused net"
                )
            readers[blob] = (name, position)
    return readers


def _load(net: proto.Net) -> Message:
    message = proto.net_of(net)
    return named_apart(message, require_sound(message, proto.name_of_net(net)))


def _original_net(original: Original) -> Message:
    if path_of(original.net) is None:
        return _load(original.net)
    name, _ = split_seam(original.name)
    files, net = prototxts(name), original.net
    if files:
        return _load(net.of(files[0]) if isinstance(net, proto.Staged) else files[0])
    if isinstance(net, proto.Staged):
        require_no_state(name, net.stages, net.level)
    message, branch = alone(find_builder(name))
    if branch.input is None or branch.input.shape is None:
        raise GraphError("the builder does not tell the shape of its input; give a prototxt instead")
    return message


def _seam(fused: NetView, prefix: str, net: str, prefixes: Sequence[str]) -> str:
    """Return the full name of a branch's seam in the fused net."""
    _, chosen = split_seam(net)
    if chosen:
        seam = names.qualify(prefix, chosen)
        if seam not in fused.flow.writer:
            raise GraphError(f"branch {prefix!r}: the fused net has no blob {seam!r}; name another seam after the @")
        return seam
    blobs = outlets(fused, prefix, prefixes)
    if not blobs:
        raise GraphError(f"branch {prefix!r}: the fused net has no layer whose name begins with {names.stem(prefix)!r}")
    if len(blobs) > 1:
        listed = ", ".join(names.local(prefix, blob) or blob for blob in blobs)
        raise GraphError(f"branch {prefix!r}: other layers read several of its blobs ({listed}); name one: NET@BLOB")
    return blobs[0]
