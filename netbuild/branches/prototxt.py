"""Any existing net as a branch: read its prototxt, cut it at a seam, rename, freeze, write it into a NetSpec."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from .. import names, proto
from ..errors import GraphError, NetbuildWarning, did_you_mean, some
from ..files import PathLike
from ..graph.check import problems_of, require_sound
from ..graph.cut import Classifier, classifiers, cut, cut_points
from ..graph.feed import without_inputs
from ..graph.freeze import frozen as frozen_net
from ..graph.rename import named_apart, names_in, renamed
from ..graph.stored import stored_shapes
from ..graph.view import NetView, Views, views
from ..layers import any_batch_text
from ..layers.table import options
from ..layers.training import normalises, on_stored_statistics
from ..names import qualify
from ..schema import TEST, TRAIN, Message, netspec
from ..spelling import either
from .branch import Branch, Builder, Input, OwnHead
from .declared import declared_by, features_of, in_training_too, of_both_files, sources_of, with_batch_axis
from .written import Top, add_layers, blob_of

_TRAINING_ONLY = ("param", "include", "exclude", "phase", "propagate_down", "loss_weight")
_SHOWN = 12
_NOT_OF_FORKS = ("name", "layer", "force_backward", "debug_info", "state")
"""Upstream's fields of a net: its layers, and how it is to be run."""


File = Union[PathLike, proto.Staged]
"""The path of a prototxt; or with the stages and the level by which its layers are chosen."""


def prototxt(path: Union[File, Sequence[File]], seam: Optional[str] = None) -> Builder:
    """Return a builder of the net in a file: any train_val or deploy net, in any of Caffe's formats.

    The branch holds what its seam depends on, with the layers that work in place on the seam. Data layers, heads and
    auxiliary losses stay out. Of a net with two phases the branch is that of TEST.

    It may begin later than at its inputs: feed a blob that the net makes itself, as in
    `BranchSpec(prototxt("net.prototxt"), reads={"pool1": "front/pool1"})`.

    Args:
        path: The prototxt. Or several, one for each phase, that of TRAIN first: they must agree up to the seam. A
            `Staged` names stages and level as well; of the layers that they choose the branch has no rules any more.
        seam: The blob at which the branch ends; by default the input of the net's classifier, where it has exactly one.

    Returns:
        A builder, for `Fusion` or to be called with a NetSpec.

    Raises:
        GraphError: The net is not sound, or has no such seam.

    Examples:
        >>> from netbuild import Fusion, build, prototxt
        >>> fusion = Fusion({"odd": prototxt("odd/deploy.prototxt"), "even": prototxt("even/deploy.prototxt", "pool2")})
        >>> fusion.specs["even"].frozen
        True
        >>> build(Fusion({"even": prototxt("even/deploy.prototxt", "pool2")})).seams
        {'even': 'even/pool2'}
    """
    paths: List[File] = [path] if isinstance(path, (str, Path)) or not isinstance(path, Sequence) else list(path)
    files = [_read(one, seam) for one in paths]
    return partial(_write, files, _source(files))


class _File(NamedTuple):
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


class _Source(NamedTuple):
    """A file, cut."""

    file: _File
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


def _read(file: File, seam: Optional[str]) -> _File:
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
    return _File(path, view, trained, TRAIN in of_phases, name, classifier)


def _sound_in_training(net: Message) -> Optional[NetView]:
    """Return the view of TRAIN of a net that is made for TEST, None where it has no sound net of that phase."""
    view = NetView(net, TRAIN)
    return view if TRAIN in proto.phases(net) and not problems_of(net, {TRAIN: view}) else None


def _source(files: Sequence[_File], opened: Sequence[str] = ()) -> _Source:
    """Return what the branch holds, of one file or of several that agree: from the opened blobs on, up to the seam."""
    sources = [_cut(file, opened) for file in files]
    first, last = sources[0], sources[-1]
    for other in sources[1:]:
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


def _cut(file: _File, opened: Sequence[str]) -> _Source:
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
    return _Source(file, opened, features, inputs, in_training, difference)


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


def _write(
    files: Sequence[_File],
    whole: _Source,
    net: Any,
    bottom: Optional[Top],
    prefix: str = "",
    *,
    frozen: bool = False,
    inputs: Mapping[str, Top] = {},
) -> Branch:
    """Write the branch: `inputs` feed its inputs by their names in the file, `bottom` its first one.

    A blob among `inputs` that the net makes itself is one at which the branch begins. An input that nothing is given
    for becomes an input of the whole net, by its own name.
    """
    source = _begun_at([blob for blob in inputs if blob not in whole.inputs], files, whole)
    if not frozen:
        _require_trainable(source)
    else:
        _tell_by_batch(source)
    fed = _fed(source, net, bottom, prefix, inputs)
    outside = {blob: blob_of(net, top) for blob, top in fed.items()}
    _require_alike(source, outside)
    change = partial(names.qualify, prefix)
    features = frozen_net(source.features) if frozen else source.in_training
    outer = {outside[blob]: top for blob, top in fed.items()}
    tops = add_layers(net, renamed(features, change, outside).layer, outer)
    file = source.file
    return Branch(
        prefix,
        file.seam,
        tops[qualify(prefix, file.seam)],
        channels=_channels(file),
        classifier=_classifier_pattern(file),
        head=_head(source, prefix, tops) if file.classifier else None,
        classes=options(_classifier(file)).num_output if file.classifier else None,
        net_name=file.net.name,
        input=next(iter(source.inputs.values())),
        reads={outside[blob]: declared for blob, declared in source.inputs.items()},
    )


def _tell_by_batch(source: _Source) -> None:
    """Warn of layers that normalise by each batch where the net is tested: frozen they compute something else."""
    found = [layer for layer in source.features.layer if on_stored_statistics(layer, TEST) is False]
    if found:
        warnings.warn(
            f"{source.file.path}: by its definition {some([f'{one.name!r} ({one.type})' for one in found])} normalises "
            "by each batch in TEST too; frozen, it works on the statistics in its weights, so that the branch does not "
            "compute what its net does alone",
            NetbuildWarning,
            stacklevel=2,
        )


def _begun_at(opened: Sequence[str], files: Sequence[_File], whole: _Source) -> _Source:
    """Return the net from the opened blobs on; the whole net where there are none."""
    if not opened:
        return whole
    made = whole.file.view.flow.writer
    unknown = sorted(blob for blob in opened if blob not in made)
    if unknown:
        hint = did_you_mean(unknown[0], made, f"it reads {', '.join(whole.inputs)}")
        raise GraphError(f"{whole.file.path}: has no input {unknown[0]!r}, nor another blob of this name; {hint}")
    source = _source(files, opened)
    left = [blob for blob in source.inputs if blob not in opened]
    if left:
        warnings.warn(
            f"{whole.file.path}: what comes after {' and '.join(map(repr, opened))} still reads the net's input "
            f"{' and '.join(map(repr, left))}; netbuild check {whole.file.path} --seams lists the blobs behind which "
            "nothing does",
            NetbuildWarning,
            stacklevel=2,
        )
    return source


def _require_trainable(source: _Source) -> None:
    if source.train_difference:
        raise GraphError(
            f"{source.file.path}: its nets of TRAIN and TEST differ before the seam ({source.train_difference}), so "
            "that it can be used only frozen"
        )


def _channels(file: _File) -> Optional[int]:
    """Return the length of the seam's axis 1, where it is known."""
    seam = file.view.shapes.blobs.get(file.seam)
    return seam[1] if seam is not None and len(seam) > 1 else None


def _fed(source: _Source, net: Any, bottom: Optional[Top], prefix: str, inputs: Mapping[str, Top]) -> Dict[str, Top]:
    """Return what feeds each of the blobs that the net begins at, by its name in the file."""
    given = dict(inputs)
    unread = [blob for blob in inputs if blob not in source.inputs]
    if bottom is not None:
        first = next(iter(source.inputs))
        if first in source.opened:
            unread.append("")
        if not prefix and bottom.fn.type_name == "Input":
            _keep_apart(source, net, bottom)
        given = {first: bottom, **inputs}
    if unread:
        what = repr(unread[0]) if unread[0] else "input"
        raise GraphError(
            f"{source.file.path}: something is to feed its {what}, which nothing reads where the net begins at "
            f"{' and '.join(map(repr, source.opened))}"
        )
    _require_free_names(source, prefix, {blob: blob_of(net, top) for blob, top in given.items()})
    return {blob: given[blob] if blob in given else _open_input(source, net, blob) for blob in source.inputs}


def _require_alike(source: _Source, outside: Mapping[str, str]) -> None:
    """Raise GraphError where one blob is to feed two that the net has in different shapes."""
    fed: Dict[str, str] = {}
    for blob, outer in outside.items():
        other = fed.setdefault(outer, blob)
        shapes = [source.inputs[one].shape for one in (other, blob)]
        if None not in shapes and shapes[0] != shapes[1]:
            known = [any_batch_text((None, *shape)) for shape in shapes if shape is not None]
            raise GraphError(
                f"{source.file.path}: {outer!r} is to feed {other!r}, which is {known[0]} in its own net, and "
                f"{blob!r}, which is {known[1]}"
            )


def _require_free_names(source: _Source, prefix: str, outside: Mapping[str, str]) -> None:
    """Raise GraphError where an input that nothing is given for has the name of a blob that feeds another.

    `outside` are the names of what is given for each of the other inputs.
    """
    fed_by = {outer: blob for blob, outer in outside.items()}
    for blob in source.inputs:
        if blob in fed_by and blob not in outside:
            other = fed_by[blob]
            raise GraphError(
                f"{source.file.path}: nothing is given for its input {blob!r}, and {blob!r} feeds another, {other!r}: "
                "feed one of them by another name, as in "
                f"{either(f'--input {prefix}={other}:NAME', f'BranchSpec(reads={{{other!r}: NAME}})')}"
            )


def _keep_apart(source: _Source, net: Any, bottom: Top) -> None:
    """Let the Input that feeds a net alone be called as the net calls it, where its name is one of the net's own."""
    outer, (blob, *others) = blob_of(net, bottom), source.inputs
    own = names_in(_without_inputs(source, source.file.net))
    if outer != blob and outer in own.union(others):
        warnings.warn(
            f"{source.file.path}: {outer!r} is a name of its own, so that its input keeps the name {blob!r}",
            NetbuildWarning,
            stacklevel=2,
        )
        net[blob] = net.tops.pop(outer)
    bottom.fn.params.update(_input_name(source, blob))


def _without_inputs(source: _Source, net: Message) -> Message:
    feeding = {declared.layer for blob, declared in source.inputs.items() if blob not in source.opened}
    return type(net)(layer=[layer for layer in without_inputs(net).layer if layer.name not in feeding])


def _input_name(source: _Source, blob: str) -> Dict[str, str]:
    """Return what to call an Input layer by where another layer is called as its blob is."""
    others = {layer.name for layer in _without_inputs(source, source.file.net).layer}
    return {"name": source.inputs[blob].layer} if blob in others else {}


def _open_input(source: _Source, net: Any, blob: str) -> Top:
    if blob not in net.tops:
        net[blob] = netspec().layers.Input(**_input_name(source, blob))
    return net.tops[blob]


def _classifier_pattern(file: _File) -> Optional[str]:
    """Return the classifier's name with its number of classes left open: fc1000 becomes fc{classes}."""
    if file.classifier is None:
        return None
    layer = _classifier(file)
    name, count = str(layer.name), str(options(layer).num_output)
    name = name.replace("{", "{{").replace("}", "}}")
    return name[: -len(count)] + "{classes}" if name.endswith(count) else name


def _classifier(file: _File) -> Message:
    assert file.classifier is not None
    return next(layer for layer in file.net.layer if layer.name == file.classifier.layer)


def _head(source: _Source, prefix: str, tops: Mapping[str, Top]) -> OwnHead:
    """Return what writes the net's own classifier onto the seam, for as many classes as are wanted."""
    assert source.file.classifier is not None
    classifier = source.file.classifier
    features = {layer.name for layer in source.features.layer}
    kept = cut(source.file.view, [classifier.scores], source.opened)
    after = type(kept)(layer=[one for one in _without_inputs(source, kept).layer if one.name not in features])

    made = {blob for layer in (*source.features.layer, *after.layer) for blob in layer.top}
    missing = next(
        ((one, blob) for one in after.layer for blob in one.bottom if blob not in {*made, *source.inputs}), None
    )

    def head(net: Any, classes: int) -> Top:
        if missing:
            layer, blob = missing
            raise GraphError(
                f"{source.file.path}: its own classifier cannot be written again: layer {layer.name!r} ({layer.type}) "
                f"reads {blob!r}, which the branch does not have; for a classifier of another kind name the seam, "
                f"as in {Path(source.file.path).name}@{source.file.seam}"
            )
        written = renamed(after, partial(names.qualify, prefix))
        for layer in written.layer:
            if layer.name == qualify(prefix, classifier.layer):
                changed = options(layer)
                changed.num_output = classes
                if not changed.HasField("weight_filler"):
                    changed.weight_filler.type = "xavier"
        return add_layers(net, written.layer, tops)[qualify(prefix, classifier.scores)]

    return head
