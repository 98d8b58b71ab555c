"""A net that is to be evaluated: which blob holds its scores, and how the images of a list come to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .. import proto
from ..branches.branch import Input
from ..data.means import read_mean
from ..emit.layers import data_layers
from ..emit.source import DataSource
from ..engine.child import run
from ..errors import GraphError, NetbuildError, WeightsError, some
from ..files import PathLike
from ..fuse.declared import declare
from ..fuse.fit import blob_text, fits, shapes_text
from ..graph.check import require_sound
from ..graph.cut import classifiers, cut
from ..graph.view import NetView
from ..layers.roles import gives_probabilities, is_answer, is_input, is_open_input, reads_list, takes_labels
from ..names import branch_alone
from ..schema import TEST, Message
from ..spelling import either, name_of, option
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


class NetJob(NamedTuple):
    """A net as the child process runs it."""

    text: str
    """Its prototxt."""
    weights: str
    blob: str
    """What is wanted of it."""


class Prepared(NamedTuple):
    """A net as Caffe is to run it, its list still open."""

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

    def job(self) -> NetJob:
        """Return the net as the child process runs it."""
        return NetJob(proto.to_text(self.message), str(self.scorer.weights), self.blob)

    def outputs(self) -> int:
        """Return how many scores each image gets; Caffe is asked where the definition does not tell."""
        shape = self._shape_of_scores()
        batch = self.data.image_data_param.batch_size
        per_image = shape[1:2] if shape[:1] == (batch,) and set(shape[2:]) <= {1} else ()
        if not per_image or per_image[0] < 2:
            raise GraphError(
                f"{self.scorer.name}: the blob {self.blob!r} ({blob_text(shape)}, for {batch} images) does not hold "
                f"one score for each of several classes; name the one that does with {option('scores', 'BLOB')}"
            )
        return per_image[0]

    def _shape_of_scores(self) -> Tuple[int, ...]:
        inferred = NetView.of_all_layers(self.message).fitting_shapes().blobs[self.blob]
        if inferred is not None and None not in inferred:
            return tuple(length for length in inferred if length is not None)
        return tuple(next(run("netbuild.evaluation.child:shape", job=self.job())))


def prepare(scorer: Scorer, usual: Optional[Preparation] = None) -> Prepared:
    """Check a net and its weights, and return it as it is to run; no image is opened.

    `usual` is the preparation for a net that neither tells its own nor is given one.
    """
    name = scorer.name
    whole = proto.net_of(scorer.net)
    net = NetView.of_all_layers(require_sound(whole, name, in_phases=[TEST])[TEST].only)
    blob = scorer.scores or _scores(net, name)
    try:
        kept = NetView.of_all_layers(cut(net, [blob]))
    except GraphError as error:
        raise GraphError(f"{name}: {name_of('scores')}: {error}") from None
    _require_weights(kept.net, scorer)
    tells = any(map(reads_list, kept.net.layer))
    message = _fed_by_images(kept, scorer, usual)
    return Prepared(scorer, message, blob, _puts_out_probabilities(kept, kept.flow.writer[blob]), tells)


def _require_weights(net: Message, scorer: Scorer) -> None:
    """Raise WeightsError where a layer would keep what its filler makes, or Caffe would abort."""
    held = index(scorer.weights).by_name()
    for layer in declare(net):
        if not layer.shapes or (layer.shared and layer.name not in held):
            continue
        blobs = held[layer.name][0].blobs if layer.name in held else ()
        if len(blobs) != len(layer.shapes) or not all(map(fits, blobs, layer.shapes)):
            stored = shapes_text([blob.shape for blob in blobs]) if blobs else "no such layer"
            alone = branch_alone(list(held), [layer.name for layer in net.layer])
            raise WeightsError(
                f"weights {str(scorer.weights)!r}: are not those of {scorer.name}: for its layer {layer.name!r} "
                f"({shapes_text(layer.shapes)}) they have {stored}{'; ' if alone else ''}{alone}"
            )


def _scores(view: NetView, name: str) -> str:
    """Return the blob of a net's scores."""
    candidates = list(_judged(view)) or list(_answers(view)) or [one.scores for one in classifiers(view)]
    blobs = list(dict.fromkeys(candidates))
    if len(blobs) != 1:
        count = f"{len(blobs)} classifiers, with the scores {some(blobs)}" if blobs else "no classifier"
        raise GraphError(f"{name}: has {count}; name the blob of the scores with {option('scores', 'BLOB')}")
    return blobs[0]


def _judged(view: NetView) -> Iterator[str]:
    for _, layer in view.layers:
        if takes_labels(layer):
            yield _before_softmax(view, layer.bottom[0])


def _answers(view: NetView) -> Iterator[str]:
    """Yield where a deploy net's answers come from: what its last Softmax reads, or the mean of several of them."""
    read = {writer for _, writer in view.flow.readers}
    for number, layer in view.layers:
        if number in read or not layer.bottom:
            continue
        if is_answer(layer):
            yield _before_softmax(view, layer.top[0] if gives_probabilities(layer) else layer.bottom[0])
        elif _puts_out_probabilities(view, number):
            yield layer.top[0]


def _before_softmax(view: NetView, blob: str) -> str:
    layer = view.by_index[view.flow.writer[blob]]
    # In place, the scores themselves are gone.
    return str(layer.bottom[0]) if gives_probabilities(layer) and layer.bottom[0] != blob else blob


def _puts_out_probabilities(view: NetView, number: int) -> bool:
    """Tell whether a layer gives probabilities, or mixes only such."""
    layer, sources = view.by_index[number], view.flow.sources[number]
    mixes = layer.type == "Eltwise" and bool(sources)
    return gives_probabilities(layer) or (mixes and all(_puts_out_probabilities(view, source) for source in sources))


def _fed_by_images(view: NetView, scorer: Scorer, usual: Optional[Preparation]) -> Message:
    """Return the net with an ImageData layer in place of an Input, or with its own."""
    own, blob = _only_input(view, scorer)
    if reads_list(own):
        _require_no_other(own, scorer)
        return view.net
    if not is_open_input(own):
        raise GraphError(
            f"{scorer.name}: its data layer {own.name!r} is of type {own.type}, and a list of images can take the "
            f"place of ImageData only; give the deploy prototxt with {either('--mean and --scale', 'a Preparation')}"
        )
    layers = _image_layers(view, blob, scorer, _require_values(scorer.preparation or usual, scorer))
    others = [layer for layer in view.net.layer if layer is not own]
    return proto.with_layers(view.net, [*layers, *others])


def _only_input(view: NetView, scorer: Scorer) -> Tuple[Message, str]:
    """Return the layer and the blob that the scores come from; raise GraphError where there are several."""
    sources = [layer for _, layer in view.layers if is_input(layer)]
    read = {blob for _, layer in view.layers for blob in layer.bottom}
    used = [top for layer in sources for top in layer.top if top in read]
    if len(used) != 1:
        listed = f"{len(used)} inputs ({some(used)})" if used else "no input"
        raise GraphError(f"{scorer.name}: its scores come from {listed}; one list feeds exactly one")
    return sources[0], used[0]


def _require_no_other(own: Message, scorer: Scorer) -> None:
    """Raise NetbuildError where a preparation is given beside that of the net's own data layer."""
    if scorer.preparation is not None:
        raise GraphError(
            f"{scorer.name}: its data layer {own.name!r} tells how images are prepared; leave out "
            f"{either('--mean, --scale and the like for it', 'its preparation')}, or give a deploy prototxt"
        )
    if own.transform_param.mean_file:
        read_mean(own.transform_param.mean_file)


def _require_values(preparation: Optional[Preparation], scorer: Scorer) -> Preparation:
    """Return a preparation that says what is done to the values of images; raise GraphError where none does."""
    if preparation is not None:
        values = (preparation.mean, preparation.scale, preparation.mean_file)
        if any(value is not None for value in values):
            return preparation
    raise GraphError(
        f"{scorer.name}: does not tell how its images are prepared; give "
        + either("--mean (or --mean none) and --scale", "preparation=Preparation(mean=..., scale=...)")
        + ", as they were in its training, or a train_val prototxt"
    )


def _image_layers(view: NetView, blob: str, scorer: Scorer, preparation: Preparation) -> List[Message]:
    lengths = _image_lengths(view, blob, scorer)
    if preparation.mean_file:
        read_mean(preparation.mean_file)
    scale = 1.0 if preparation.scale is None else preparation.scale
    prepared = Input(lengths, preparation.mean or (), scale, True, mean_file=preparation.mean_file)
    source = DataSource(prepared, crop=preparation.crop, resize=preparation.resize)
    if source.size() != lengths:
        raise GraphError(
            f"{scorer.name}: images come as {blob_text(source.size())} and its input {blob!r} takes "
            f"{blob_text(lengths)}; change {name_of('crop')} or {name_of('resize')}"
        )
    return [layer for layer in data_layers({blob: source}, {f"{blob}_label": ()}) if proto.in_phase(layer, TEST)]


def _image_lengths(view: NetView, blob: str, scorer: Scorer) -> Tuple[int, ...]:
    """Return (C, H, W) of an input; raise GraphError for one that does not take images."""
    shape = view.fitting_shapes().blobs.get(blob)
    lengths = tuple(length for length in (shape or ())[1:] if length is not None)
    if len(lengths) != 3:
        raise GraphError(f"{scorer.name}: its input {blob!r} is {blob_text(shape)}; images need N x C x H x W")
    return lengths
