"""Compare each original net with its branch in the fused net, blob by blob, bit by bit.

Caffe runs in a child process: its abort becomes an error here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from .. import names, proto
from .._caffe import TEST, Message, caffe
from .._child import run
from ..branches.branch import Builder
from ..branches.table import find_builder
from ..data.images import load_images
from ..errors import GraphError
from ..files import PathLike
from ..fusion import DATA, add_branch
from ..graph.check import require_sound
from ..graph.feed import fed
from ..weights.caffemodel import index
from .inputs import Weighted, shapes_to_feed


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

    @property
    def first_difference(self) -> Optional[str]:
        """The first layer whose output differs, None where none does."""
        return self.differences[0][0] if self.differences else None

    @property
    def equal(self) -> bool:
        """Whether every compared blob is bit-equal, and the seam finite."""
        return not self.differences and self.finite


@dataclass(frozen=True)
class Original:
    """A net as it was before the fusion: where it stands, and the file of its weights."""

    net: str
    """A prototxt, the name of a builder, or package.module:function; `@SEAM` may follow."""
    weights: str


def verify_branches(
    target: PathLike,
    weights: PathLike,
    originals: Mapping[str, Original],
    *,
    shapes: Optional[Mapping[str, Sequence[int]]] = None,
    images: Sequence[PathLike] = (),
    seed: int = 0,
) -> List[Comparison]:
    """Run each original and the fused net in TEST phase on the same input and compare all they have in common.

    The input is random (uniform in -1..1, from `seed`), or the image files given, prepared as the nets' data layers
    say. Data layers are replaced by Input layers: no data file is opened. `shapes` gives (N, C, H, W) for inputs
    whose shape no net tells; without it a square is sought that fits the weights. The seam is the blob after `@` in
    the original's name, or else the blob of the branch that other layers of the fused net read.
    """
    fused = Weighted(str(target), _load(target), index(weights))
    alone = {
        prefix: Weighted(original.net, _original_net(original), index(original.weights))
        for prefix, original in originals.items()
    }
    nets = [fused, *alone.values()]
    known = shapes_to_feed(nets, shapes or {})
    if images:
        known = {blob: (len(images), *shape[1:]) for blob, shape in known.items()}
    job = {
        "fused": _runnable(fused, known),
        "originals": {prefix: _runnable(weighted, known) for prefix, weighted in alone.items()},
        "seams": {prefix: _seam(fused.net, prefix, original.net) for prefix, original in originals.items()},
        "inputs": load_images(images, known, [weighted.net for weighted in nets]) if images else {},
        "seed": seed,
    }
    return list(run("netbuild.verify.engine:compare", **job))


def _runnable(weighted: Weighted, known: Mapping[str, Sequence[int]]) -> Tuple[str, str]:
    """Return a net as Caffe's child process takes it: its text, fed from memory, and its weight file."""
    return proto.to_text(fed(weighted.net, TEST, known, weighted.name)), weighted.model.path


def _load(path: PathLike) -> Message:
    net = proto.read_net(path)
    require_sound(net, str(path))
    return net


def _split(net: str) -> Tuple[str, str]:
    """Split NET@SEAM; a file may have an @ in its path."""
    if Path(net).is_file() or "@" not in net:
        return net, ""
    name, _, seam = net.rpartition("@")
    return name, seam


def _original_net(original: Original) -> Message:
    name, _ = _split(original.net)
    if Path(name).suffix == ".prototxt" or Path(name).is_file():
        return _load(name)
    return _built_alone(find_builder(name))


def _built_alone(builder: Builder) -> Message:
    """Return a builder's net up to its seam, with an Input layer of its source's shape."""
    net = caffe().NetSpec()
    net[DATA] = caffe().layers.Input()
    branch = add_branch(net, "", builder, frozen=False)
    if branch.input is None:
        raise GraphError("the builder does not tell the shape of its input; give a prototxt instead")
    message = net.to_proto()
    message.layer[0].input_param.shape.add(dim=[1, *branch.input.shape])
    return message


def _seam(fused: Message, prefix: str, net: str) -> str:
    """Return the full name of a branch's seam in the fused net."""
    _, given = _split(net)
    if given:
        seam = names.qualify(prefix, given)
        if not any(seam in layer.top for _, layer in proto.of_phase(fused, TEST)):
            raise GraphError(f"branch {prefix!r}: the fused net has no blob {seam!r}; name another seam after the @")
        return seam
    found: List[str] = []
    made: Dict[str, bool] = {}
    for _, layer in proto.of_phase(fused, TEST):
        inside = names.local(prefix, layer.name) is not None
        if not inside:
            found += [blob for blob in layer.bottom if made.get(blob) and blob not in found]
        for top in layer.top:
            made[top] = inside
    if not any(made.values()):
        raise GraphError(f"branch {prefix!r}: the fused net has no layer whose name begins with {names.stem(prefix)!r}")
    if not found:
        # A branch whose end nothing reads is compared up to its last blob.
        found = [blob for blob, inside in made.items() if inside][-1:]
    if len(found) > 1:
        listed = ", ".join(names.local(prefix, blob) or blob for blob in found)
        raise GraphError(f"branch {prefix!r}: other layers read several of its blobs ({listed}); name one: NET@BLOB")
    return found[0]
