"""What a branch takes of a net's files: from its inputs, or blobs further on, up to its seam, in one phase or both."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from .. import proto
from ..errors import GraphError, NetbuildWarning, did_you_mean, some
from ..files import PathLike
from ..graph.check import problems_of, require_sound
from ..graph.cut import Classifier, classifiers, cut, cut_points
from ..graph.rename import named_apart
from ..graph.stored import stored_shapes
from ..graph.view import NetView, Views, views
from ..layers import any_batch_text
from ..layers.training import normalises
from ..schema import TEST, TRAIN, Message
from .branch import Input
from .declared import declared_by, features_of, in_training_too, of_both_files, sources_of, with_batch_axis

_TRAINING_ONLY = ("param", "include", "exclude", "phase", "propagate_down", "loss_weight")
_SHOWN = 12
_NOT_OF_FORKS = ("name", "layer", "force_backward", "debug_info", "state")
"""Upstream's fields of a net: its layers, and how it is to be run."""

File = Union[PathLike, proto.Staged]
"""The path of a prototxt; or with the stages and the level by which its layers are chosen."""


class NetFile(NamedTuple):
    """One file, and where its branch ends."""

    path: str
    view: NetView
    """The net in the phase that the branch is taken from."""
    trained: Optional[NetView]
    """The net of TRAIN phase, where the branch is that of TEST and there are both."""
    is_for_training: bool
    """Whether that is what the net is made for; if not, it counts as far as it is the same net."""
    seam: str
    classifier: Optional[Classifier]
    """None where the seam was given: what comes after it is not the branch's."""

    @property
    def net(self) -> Message:
        """All layers of that phase."""
        return self.view.only


class Part(NamedTuple):
    """A file, cut."""

    file: NetFile
    opened: Sequence[str]
    """The blobs at which it begins, beside inputs."""
    features: Message
    """What the seam depends on, the layers of inputs left out."""
    inputs: Mapping[str, Input]
    """The blobs that feed it: its inputs in the order in which they are read, then what is opened."""
    in_training: Message
    """The same as it is to learn: of the net of TRAIN phase, where there is one, for it may drop out what TEST does
    not; with both forms of a layer that is written once for each phase."""
    train_difference: str
    """Where that net departs from it in what it computes, '' where it does not."""


def read_file(file: File, seam: Optional[str]) -> NetFile:
    """Read a net that must be sound; without a seam it ends before its classifier, of which there must be one."""
    whole, path = proto.net_of(file), proto.name_of_net(file)
    _tell_left_out(whole, path)
    of_phases = require_sound(whole, path)
    named = _named_apart(whole, of_phases, path)
    if named is not whole:
        whole, of_phases = named, views(named)
    view = of_phases.get(TEST) or of_phases[TRAIN]
    classifier = None if seam else _only_classifier(view, path)
    name = seam or (classifier.seam if classifier else "")
    trained = (of_phases.get(TRAIN) or _sound_in_training(whole)) if view.phase == TEST else None
    return NetFile(path, view, trained, TRAIN in of_phases, name, classifier)


def _sound_in_training(net: Message) -> Optional[NetView]:
    """Return the view of TRAIN of a net that is made for TEST, None where it has no sound net of that phase."""
    view = NetView(net, TRAIN)
    return view if TRAIN in proto.phases(net) and not problems_of(net, {TRAIN: view}) else None


def part_of(files: Sequence[NetFile], opened: Sequence[str] = ()) -> Part:
    """Return what the branch holds, of one file or of several that agree: from the opened blobs on, up to the seam."""
    parts = [_cut(file, opened) for file in files]
    first, last = parts[0], parts[-1]
    for other in parts[1:]:
        difference = _difference(first.features, other.features, _computes_stored)
        if difference:
            raise GraphError(
                f"{other.file.path}: is not the same net as {first.file.path} up to its seam: {difference}"
            )
    return first._replace(
        features=last.features,
        in_training=_written_together(first.in_training, last.features) if last is not first else first.in_training,
        inputs={blob: of_both_files(one, last.inputs.get(blob)) for blob, one in first.inputs.items()},
    )


def begun_at(opened: Sequence[str], files: Sequence[NetFile], whole: Part) -> Part:
    """Return the net from the opened blobs on; the whole net where there are none."""
    if not opened:
        return whole
    made = whole.file.view.flow.writer
    unknown = sorted(blob for blob in opened if blob not in made)
    if unknown:
        hint = did_you_mean(unknown[0], made, f"it reads {', '.join(whole.inputs)}")
        raise GraphError(f"{whole.file.path}: has no input {unknown[0]!r}, nor another blob of this name; {hint}")
    part = part_of(files, opened)
    left = [blob for blob in part.inputs if blob not in opened]
    if left:
        warnings.warn(
            f"{whole.file.path}: what comes after {' and '.join(map(repr, opened))} still reads the net's input "
            f"{' and '.join(map(repr, left))}; netbuild check {whole.file.path} --seams lists the blobs behind which "
            "nothing does",
            NetbuildWarning,
            stacklevel=2,
        )
    return part


def _cut(file: NetFile, opened: Sequence[str]) -> Part:
    try:
        features, inputs = _features(file.view, file.seam, opened)
    except GraphError as error:
        raise GraphError(
            f"{file.path}: {error}; netbuild check {file.path} --seams lists where it can be cut"
        ) from None
    in_training, difference = features, ""
    if file.trained is not None:
        trains = sources_of(file.trained.only)
        inputs = {blob: in_training_too(one, trains.get(blob), file.path) for blob, one in inputs.items()}
        try:
            trained, _ = _features(file.trained, file.seam, opened)
            # Of one file it is known that parameters have one shape in both.
            difference = _difference(features, trained, _place)
            in_training = _written_together(trained, features)
        except GraphError as error:
            difference = str(error)
        if difference and not file.is_for_training:
            in_training, difference = features, ""
    return Part(file, opened, features, inputs, in_training, difference)


def _named_apart(net: Message, of_phases: Views, path: str) -> Message:
    try:
        return named_apart(net, of_phases)
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from None


def _tell_left_out(net: Message, path: str) -> None:
    """Warn of what a fork's net says of itself beside its layers: a branch is layers, and has no place for it."""
    options = [name for name in proto.own_fields(net) if name not in _NOT_OF_FORKS]
    if options:
        warnings.warn(
            f"{path}: a branch is layers alone, so that what the net says of itself stays out: {some(options, 6)}; "
            "where it is wanted, write it at the head of the new net",
            NetbuildWarning,
            stacklevel=2,
        )


def _only_classifier(view: NetView, path: str) -> Classifier:
    found = classifiers(view)
    has_features = [one for one in found if view.flow.above(one.seam)]
    if len(found) == 1 and has_features:
        return found[0]
    count = "no classifier"
    if found:
        count = f"{len(found)} classifiers ({', '.join(f'{one.layer} on {one.seam}' for one in found)})"
    if len(found) == 1:
        count = f"one classifier, {found[0].layer}, and nothing between it and the input {found[0].seam}"
    listed = "\n  ".join(seams(view)[-_SHOWN:])
    raise GraphError(
        f"{path}: where is the branch to end? The net has {count}; name the seam, as in {Path(path).name}@BLOB. "
        f"It can be cut at (the last {_SHOWN}; netbuild check NET --seams lists all):\n  {listed}"
    )


def seams(view: NetView) -> List[str]:
    """Return a line for each blob where a net can be cut: its name and shape."""
    blobs = view.fitting_shapes().blobs
    return [f"{blob} {any_batch_text(blobs.get(blob))}" for blob in cut_points(view)]


def _features(view: NetView, seam: str, opened: Sequence[str]) -> Tuple[Message, Dict[str, Input]]:
    kept = cut(view, [seam], opened)
    made = sources_of(kept)
    sources = list(made.values())
    features = type(kept)(name=kept.name, layer=[layer for layer in kept.layer if layer not in sources])
    read = dict.fromkeys(blob for layer in features.layer for blob in layer.bottom if blob in made)
    if not features.layer:
        raise GraphError(f"the seam {seam!r} is an input of the net: there is nothing before it")
    if not read and not opened:
        raise GraphError(f"the seam {seam!r} depends on no input of the net")
    known = {**view.shapes.blobs, **{blob: shape for layer in sources for blob, shape in stored_shapes(layer).items()}}
    inputs = with_batch_axis({blob: declared_by(made[blob], known.get(blob)) for blob in read})
    return features, {**inputs, **{blob: features_of(known.get(blob)) for blob in opened}}


def _difference(one: Message, two: Message, alike: Callable[[Message], Any]) -> str:
    """Return where two feature nets are other nets, '' where they are not; `alike` gives what layers have in common."""
    pairs = [_lasting(net) for net in (one, two)]
    for first, second in zip(*pairs):
        if alike(first) != alike(second):
            return f"layer {first.name!r} ({first.type}) against {second.name!r} ({second.type})"
    counts = [len(layers) for layers in pairs]
    return "" if counts[0] == counts[1] else f"{counts[0]} layers against {counts[1]}"


def _lasting(net: Message) -> List[Message]:
    """Return the layers that are there whether a net learns or not."""
    return [layer for layer in net.layer if layer.type != "Dropout"]


def _place(layer: Message) -> Tuple[str, str, List[str], List[str]]:
    return layer.name, layer.type, list(layer.bottom), list(layer.top)


def _computes_stored(layer: Message) -> Any:
    """Return what a layer does with what it has stored: what normalises may do so by each batch while it learns."""
    return _place(layer) if normalises(layer) else _computes(layer)


def _written_together(trained: Message, tested: Message) -> Message:
    """Return the net of TRAIN, with the form that TEST has too of each layer that computes something else there."""
    both: List[Message] = []
    in_test = iter(_lasting(tested))
    for layer in trained.layer:
        other = layer if layer.type == "Dropout" else next(in_test, layer)
        forms = [layer] if _computes(layer) == _computes(other) else [_in(layer, TRAIN), _in(other, TEST)]
        both += forms
    return type(trained)(name=trained.name, layer=both)


def _in(layer: Message, phase: int) -> Message:
    """Return a layer that is in nets of this phase alone."""
    result = proto.copied(layer)
    result.include.add(phase=phase)
    return result


def _computes(layer: Message) -> Message:
    """Return the layer without what only training or filling reads."""
    bare = proto.without_fillers(layer)
    for field in _TRAINING_ONLY:
        bare.ClearField(field)
    return bare
