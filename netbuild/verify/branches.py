"""Compare each original net with its branch in the fused net, blob by blob, bit by bit.

Caffe runs in a child process: its abort becomes an error here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .. import names, proto
from ..branches.source import alone, prototxts, split_seam
from ..branches.table import find_builder
from ..data.images import load_images
from ..engine.caffe import TEST, Message
from ..engine.child import run
from ..errors import GraphError
from ..files import PathLike
from ..fuse.inputs import Weighted, shapes_to_feed
from ..graph.check import require_sound
from ..graph.cut import cut, outlets
from ..graph.feed import fed, input_shapes, without_inputs
from ..layers.roles import is_input
from ..weights.index import index
from .images import Fed, ImageComparison, compare_images


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
        """Whether that is so, and no image reaches the branch prepared otherwise than by its original, by a grey
        level or more."""
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
    images: Sequence[PathLike] = (),
    seed: int = 0,
) -> List[Comparison]:
    """Compare each branch alone with the branch in the fused net, in real Caffe: all blobs that they have in common.

    Caffe runs in a child process, in TEST phase; Input layers stand in for the data layers. Where both nets have data
    layers that read images, what these make of the same files is compared too.

    Args:
        target: The fused net: a path, a NetParameter or a NetSpec.
        weights: Its weight file, .caffemodel or HDF5.
        originals: For each prefix the net as it was. Its seam is the blob after the `@`, or else the blob of the branch
            that other layers of the fused net read.
        shapes: For an input whose shape no net tells, the shape (N, C, H, W); by default a square is sought that fits
            the weights.
        images: Image files to run, prepared as the nets' data layers say; by default the input is random, from -1 to 1.
        seed: What the random input comes from.

    Returns:
        For each branch whether its blobs are bit-equal (`equal`), and where they first differ.

    Raises:
        GraphError: A net is not sound, or a branch has no counterpart in the fused net.
        WeightsError: A weight file cannot be read.
        CaffeError: Caffe gave up; its last words are in the text.

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
    fused = Weighted(proto.name_of_net(target), _load(target), index(weights))
    nets = {prefix: _up_to_seam(fused.net, prefix, one, list(originals)) for prefix, one in originals.items()}
    parts = [_alone(fused.net, prefix, originals[prefix], *one) for prefix, one in nets.items()]
    hints = {blob: shape for one in reversed(parts) for blob, shape in one.hints.items()}
    known = shapes_to_feed(fused, hints, shapes or {})
    if images:
        known = {blob: (len(images), *shape[1:]) for blob, shape in known.items()}
    job: Dict[str, Any] = {
        "fused": (proto.to_text(fed(fused.net, TEST, known, fused.name)), fused.model.path),
        "originals": parts,
        "inputs": load_images(images, known, fused.net) if images else {},
        "seed": seed,
    }
    found = list(run("netbuild.verify.child:compare", **job))
    tested = proto.only_phase(fused.net, TEST)
    read = {one.prefix: Fed(nets[one.prefix][0], one.readers) for one in parts}
    prepared = compare_images(tested, read, images)
    return [replace(one, images=prepared[one.prefix]) for one in found]


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


def _up_to_seam(fused: Message, prefix: str, original: Original, prefixes: Sequence[str]) -> Tuple[Message, str]:
    """Return an original in TEST up to its seam, its data layers included, and the seam's name in the fused net."""
    index(original.weights)
    whole = _original_net(original)
    seam = _seam(fused, prefix, original.name, prefixes)
    try:
        return cut(proto.only_phase(whole, TEST), [names.local(prefix, seam) or seam]), seam
    except GraphError as error:
        raise GraphError(f"branch {prefix!r}: {original.name}: {error}") from None


def _alone(fused: Message, prefix: str, original: Original, net: Message, seam: str) -> Alone:
    layers = {layer.name: layer for _, layer in proto.of_phase(fused, TEST)}
    readers: Dict[str, Tuple[str, int]] = {}
    hints: Dict[str, Tuple[int, ...]] = {}
    told = input_shapes(net, TEST)
    made = {top for layer in net.layer if is_input(layer) for top in layer.top}
    for layer in net.layer:
        for position, blob in enumerate(layer.bottom):
            if blob not in made or blob in readers:
                continue
            name = names.qualify(prefix, layer.name)
            if name not in layers or len(layers[name].bottom) <= position:
                raise GraphError(
                    f"branch {prefix!r}: the layer {layer.name!r}, which reads the input {blob!r} of {original.name}, "
                    "has no counterpart in the fused net"
                )
            readers[blob] = (name, position)
            if blob in told:
                hints[layers[name].bottom[position]] = told[blob]
    text = proto.to_text(without_inputs(net))
    return Alone(prefix, seam, original.name, text, str(original.weights), readers, hints)


def _load(net: proto.Net) -> Message:
    message = proto.net_of(net)
    require_sound(message, proto.name_of_net(net))
    return message


def _original_net(original: Original) -> Message:
    if not isinstance(original.net, (str, os.PathLike)):
        return _load(original.net)
    name, _ = split_seam(original.name)
    files = prototxts(name)
    if files:
        return _load(files[0])
    net, branch = alone(find_builder(name))
    if branch.input is None or branch.input.shape is None:
        raise GraphError("the builder does not tell the shape of its input; give a prototxt instead")
    return net


def _seam(fused: Message, prefix: str, net: str, prefixes: Sequence[str]) -> str:
    """Return the full name of a branch's seam in the fused net."""
    _, given = split_seam(net)
    if given:
        seam = names.qualify(prefix, given)
        if not any(seam in layer.top for _, layer in proto.of_phase(fused, TEST)):
            raise GraphError(f"branch {prefix!r}: the fused net has no blob {seam!r}; name another seam after the @")
        return seam
    found = outlets(proto.only_phase(fused, TEST), prefix, prefixes)
    if not found:
        raise GraphError(f"branch {prefix!r}: the fused net has no layer whose name begins with {names.stem(prefix)!r}")
    if len(found) > 1:
        listed = ", ".join(names.local(prefix, blob) or blob for blob in found)
        raise GraphError(f"branch {prefix!r}: other layers read several of its blobs ({listed}); name one: NET@BLOB")
    return found[0]
