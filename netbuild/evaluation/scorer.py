"""A net that is to be evaluated: which blob holds its scores, and how the images of a list come to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .. import proto
from ..branches.branch import Input
from ..data.means import read_mean
from ..emit.layers import data_layers
from ..emit.source import DataSource
from ..engine.caffe import TEST, Message
from ..engine.child import run
from ..errors import GraphError, NetbuildError, WeightsError, some
from ..files import PathLike
from ..fuse.declared import declare
from ..fuse.fit import blob_text, fits, shapes_text
from ..graph.check import require_sound
from ..graph.cut import classifiers, cut
from ..graph.flow import Flow
from ..layers import infer
from ..layers.roles import gives_probabilities, is_answer, is_input, is_open_input, reads_list, takes_labels
from ..weights.index import index


@dataclass(frozen=True)
class Preparation:
    """How images become the input of a net without a data layer.

    Examples:
        >>> from netbuild import Preparation, Scorer, score_nets
        >>> grey = Preparation(mean=(128,), scale=1 / 256)
        >>> odd = Scorer("odd/deploy.prototxt", "odd.caffemodel", preparation=grey)
        >>> score_nets(odd, "digits/test_odd.txt").rows[0].images
        20
    """

    mean: Optional[Tuple[float, ...]] = None
    """Subtracted from each value 0..255: one value, or one per channel (B, G, R); () for none."""
    scale: Optional[float] = None
    """Multiplied after that; None for 1."""
    mean_file: Optional[str] = None
    """A mean image (binaryproto) in place of mean values."""
    crop: Optional[int] = None
    """Side of a square taken from the middle."""
    resize: Optional[Tuple[int, int]] = None
    """(height, width) before cropping; by default, without a crop, what the net takes."""

    def __post_init__(self) -> None:
        if self.mean and self.mean_file:
            raise NetbuildError("mean values and a mean file exclude each other; give one of them")


@dataclass(frozen=True)
class Scorer:
    """A net with its weights, and what its outputs stand for.

    Examples:
        >>> from netbuild import Scorer
        >>> odd = Scorer("odd/train_val.prototxt", "odd.caffemodel", labels=[1, 3, 5, 7, 9])
    """

    net: proto.Net
    """A train_val net, whose TEST phase tells how images are prepared, or a deploy net: a path, a NetParameter or a
    NetSpec."""
    weights: PathLike
    """Its weight file, .caffemodel or HDF5."""
    labels: Optional[Sequence[int]] = None
    """The list's label of each output; by default output k stands for label k."""
    scores: Optional[str] = None
    """The blob of the scores; by default the one that loss and accuracy read, or from which the answer is made."""
    preparation: Optional[Preparation] = None
    """For a net that does not tell how its images are prepared."""

    @property
    def name(self) -> str:
        """What messages and tables call the net."""
        return proto.name_of_net(self.net)


class Prepared(NamedTuple):
    """A net as Caffe is to run it, but for the list."""

    scorer: Scorer
    message: Message
    """The layers of the TEST phase up to the scores, an ImageData layer first."""
    blob: str
    are_probabilities: bool
    """Whether the scores come from a Softmax already."""
    tells: bool
    """Whether the net itself tells how images are prepared."""

    @property
    def data(self) -> Message:
        """The ImageData layer."""
        return next(layer for layer in self.message.layer if reads_list(layer))

    def reading(self, listing: str, images: int) -> Prepared:
        """Return the net reading each image of a list of full paths, as it is and in order."""
        changed = self._replace(message=proto.copied(self.message))
        options = changed.data.image_data_param
        options.source = listing
        options.batch_size = min(options.batch_size, images)
        for field in ("root_folder", "shuffle", "rand_skip"):
            options.ClearField(field)
        changed.data.transform_param.ClearField("mirror")
        return changed

    def job(self) -> Any:
        """Return what names the net in the child process."""
        return {"net": proto.to_text(self.message), "weights": str(self.scorer.weights), "blob": self.blob}

    def outputs(self) -> int:
        """Return how many scores each image gets; Caffe is asked where the definition does not tell."""
        told = infer(self.message, TEST).blobs[self.blob]
        shape = tuple(length for length in told or () if length is not None)
        if told is None or len(shape) < len(told):
            shape = next(run("netbuild.evaluation.child:shape", **self.job()))
        batch = self.data.image_data_param.batch_size
        if len(shape) < 2 or shape[0] != batch or shape[1] < 2 or any(length != 1 for length in shape[2:]):
            raise GraphError(
                f"{self.scorer.name}: the blob {self.blob!r} ({blob_text(shape)}, for {batch} images) does not hold "
                "one score for each of several classes; name the one that does with --scores BLOB"
            )
        return shape[1]


def prepare(scorer: Scorer, usual: Optional[Preparation] = None) -> Prepared:
    """Check a net and its weights, and return it as it is to run; no image is opened.

    `usual` is the preparation for a net that neither tells its own nor is given one.
    """
    name = scorer.name
    whole = proto.net_of(scorer.net)
    require_sound(whole, name, in_phases=[TEST])
    net = proto.only_phase(whole, TEST)
    blob = scorer.scores or _scores(net, name)
    try:
        kept = cut(net, [blob])
    except GraphError as error:
        raise GraphError(f"{name}: --scores: {error}") from None
    _require_weights(kept, scorer)
    flow = Flow(list(enumerate(kept.layer)))
    tells = any(map(reads_list, kept.layer))
    message = _fed_by_images(kept, scorer, usual)
    return Prepared(scorer, message, blob, _from_softmax(kept, flow, flow.writer[blob]), tells)


def _require_weights(net: Message, scorer: Scorer) -> None:
    """Raise WeightsError where a layer would keep what its filler makes, or Caffe would abort."""
    held = index(scorer.weights).by_name()
    for layer in declare(net):
        if not layer.shapes or (layer.shared and layer.name not in held):
            continue
        blobs = held[layer.name][0].blobs if layer.name in held else ()
        if len(blobs) != len(layer.shapes) or not all(map(fits, blobs, layer.shapes)):
            found = shapes_text([blob.shape for blob in blobs]) if blobs else "no such layer"
            raise WeightsError(
                f"weights {str(scorer.weights)!r}: are not those of {scorer.name}: for its layer {layer.name!r} "
                f"({shapes_text(layer.shapes)}) they have {found}"
            )


def _scores(net: Message, name: str) -> str:
    """Return the blob of a net's scores."""
    flow = Flow(list(enumerate(net.layer)))
    found = list(_judged(net, flow)) or list(_answers(net, flow)) or [one.scores for one in classifiers(net)]
    blobs = list(dict.fromkeys(found))
    if len(blobs) != 1:
        count = f"{len(blobs)} classifiers, with the scores {some(blobs)}" if blobs else "no classifier"
        raise GraphError(f"{name}: has {count}; name the blob of the scores with --scores BLOB")
    return blobs[0]


def _judged(net: Message, flow: Flow) -> Iterator[str]:
    for layer in net.layer:
        if takes_labels(layer):
            yield _before_softmax(net, flow, layer.bottom[0])


def _answers(net: Message, flow: Flow) -> Iterator[str]:
    """Yield where a deploy net's answers come from: what its last Softmax reads, or the mean of several of them."""
    read = {writer for _, writer in flow.readers}
    for number, layer in enumerate(net.layer):
        if number in read or not layer.bottom:
            continue
        if is_answer(layer):
            yield _before_softmax(net, flow, layer.top[0] if gives_probabilities(layer) else layer.bottom[0])
        elif _from_softmax(net, flow, number):
            yield layer.top[0]


def _before_softmax(net: Message, flow: Flow, blob: str) -> str:
    layer = net.layer[flow.writer[blob]]
    # In place, the scores themselves are gone.
    return str(layer.bottom[0]) if gives_probabilities(layer) and layer.bottom[0] != blob else blob


def _from_softmax(net: Message, flow: Flow, number: int) -> bool:
    """Tell whether a layer gives probabilities, or mixes only such."""
    layer, sources = net.layer[number], flow.sources[number]
    mixes = layer.type == "Eltwise" and bool(sources)
    return gives_probabilities(layer) or (mixes and all(_from_softmax(net, flow, source) for source in sources))


def _fed_by_images(net: Message, scorer: Scorer, usual: Optional[Preparation]) -> Message:
    """Return the net with an ImageData layer in place of an Input, or with its own."""
    sources = [layer for layer in net.layer if is_input(layer)]
    read = {blob for layer in net.layer for blob in layer.bottom}
    used = [top for layer in sources for top in layer.top if top in read]
    if len(used) != 1:
        listed = f"{len(used)} inputs ({some(used)})" if used else "no input"
        raise GraphError(f"{scorer.name}: its scores come from {listed}; one list feeds exactly one")
    own = sources[0]
    if reads_list(own):
        _require_telling(own, scorer)
        return net
    if not is_open_input(own):
        raise GraphError(
            f"{scorer.name}: its data layer {own.name!r} is of type {own.type}, and a list of images can take the "
            "place of ImageData only; give the deploy prototxt with --mean and --scale"
        )
    layers = _image_layers(net, used[0], scorer, scorer.preparation or usual)
    return type(net)(name=net.name, layer=[*layers, *[layer for layer in net.layer if layer is not own]])


def _require_telling(own: Message, scorer: Scorer) -> None:
    if scorer.preparation is not None:
        raise GraphError(
            f"{scorer.name}: its data layer {own.name!r} tells how images are prepared; leave out --mean, --scale and "
            "the like for it, or give a deploy prototxt"
        )
    if own.transform_param.mean_file:
        read_mean(own.transform_param.mean_file)


def _image_layers(net: Message, blob: str, scorer: Scorer, told: Optional[Preparation]) -> List[Message]:
    if told is None or (told.mean is None and told.scale is None and told.mean_file is None):
        raise GraphError(
            f"{scorer.name}: does not tell how its images are prepared; give --mean (or --mean none) and --scale, as "
            "they were in its training, or a train_val prototxt"
        )
    shape = infer(net, TEST).blobs.get(blob)
    lengths = tuple(length for length in (shape or ())[1:] if length is not None)
    if len(lengths) != 3:
        raise GraphError(f"{scorer.name}: its input {blob!r} is {blob_text(shape)}; images need N x C x H x W")
    if told.mean_file:
        read_mean(told.mean_file)
    prepared = Input(
        lengths, told.mean or (), 1.0 if told.scale is None else told.scale, True, mean_file=told.mean_file
    )
    source = DataSource(prepared, crop=told.crop, resize=told.resize)
    if source.size() != lengths:
        raise GraphError(
            f"{scorer.name}: images come as {blob_text(source.size())} and its input {blob!r} takes "
            f"{blob_text(lengths)}; change --crop or --resize"
        )
    return [layer for layer in data_layers({blob: source}, {f"{blob}_label": 1}) if proto.in_phase(layer, TEST)]
