"""Any existing net as a branch: read its prototxt, cut it at a seam, rename, freeze, write it into a NetSpec."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Union

from .. import names, proto
from ..errors import GraphError, NetbuildWarning, did_you_mean, some
from ..files import PathLike
from ..graph.check import require_sound
from ..graph.cut import Classifier, classifiers, cut, cut_points
from ..graph.feed import without_inputs
from ..graph.freeze import frozen as frozen_net
from ..graph.rename import named_apart, names_in, renamed
from ..graph.view import NetView, Views, views
from ..layers import any_batch_text
from ..layers.table import options
from ..names import qualify
from ..schema import TEST, TRAIN, Message, netspec
from ..spelling import either
from .branch import Branch, Builder, Input, OwnHead
from .declared import declared_by, in_training_too, of_both_files, sources_of
from .written import Top, add_layers, blob_of

_TRAINING_ONLY = ("param", "include", "exclude", "phase", "propagate_down", "loss_weight")
_SHOWN = 12
_NOT_OF_FORKS = ("name", "layer", "force_backward", "debug_info", "state")
"""Upstream's fields of a net: its layers, and how it is to be run."""


def prototxt(path: Union[PathLike, Sequence[PathLike]], seam: Optional[str] = None) -> Builder:
    """Return a builder of the net in a file: any train_val or deploy net, in any of Caffe's formats.

    The branch holds what its seam depends on, with the layers that work in place on the seam. Data layers, heads and
    auxiliary losses stay out. Of a net with two phases the branch is that of TEST.

    Args:
        path: The prototxt. Or several, one for each phase, that of TRAIN first: they must agree up to the seam.
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
    paths = [path] if isinstance(path, (str, Path)) or not isinstance(path, Sequence) else list(path)
    sources = [_read(one, seam) for one in paths]
    first, last = sources[0], sources[-1]
    for other in sources[1:]:
        difference = _difference(first.features, other.features)
        if difference:
            raise GraphError(f"{other.path}: is not the same net as {first.path} up to its seam: {difference}")
    tested = {blob: of_both_files(one, last.inputs.get(blob)) for blob, one in first.inputs.items()}
    return partial(_write, first._replace(inputs=tested))


class _Source(NamedTuple):
    """One file, cut."""

    path: str
    view: NetView
    """The net in the phase that the branch is taken from."""
    seam: str
    classifier: Optional[Classifier]
    """None where the seam was given: what comes after it is not the branch's."""
    features: Message
    """What the seam depends on, the layers of inputs left out."""
    inputs: Mapping[str, Input]
    """The blobs that feed it, in the order in which they are read."""
    in_training: Message
    """The same of the net of TRAIN phase, where there is one: it may drop out what TEST does not."""
    train_difference: str
    """Where that net departs from it in what it computes, '' where it does not."""

    @property
    def net(self) -> Message:
        """All layers of that phase."""
        return self.view.only


def _read(path: PathLike, seam: Optional[str]) -> _Source:
    whole = proto.read_net(path)
    _tell_left_out(whole, str(path))
    of_phases = require_sound(whole, str(path))
    named = _named_apart(whole, of_phases, str(path))
    if named is not whole:
        whole, of_phases = named, views(named)
    view = of_phases.get(TEST) or of_phases[TRAIN]
    classifier = None if seam else _only_classifier(view, str(path))
    name = seam or (classifier.seam if classifier else "")
    try:
        features, inputs = _features(view, name)
    except GraphError as error:
        raise GraphError(f"{path}: {error}; netbuild check {path} --seams lists where it can be cut") from None
    in_training, difference = features, ""
    if view.phase == TEST and TRAIN in of_phases:
        trains = sources_of(of_phases[TRAIN].only)
        inputs = {blob: in_training_too(one, trains.get(blob), str(path)) for blob, one in inputs.items()}
        try:
            in_training, _ = _features(of_phases[TRAIN], name)
            difference = _difference(features, in_training)
        except GraphError as error:
            difference = str(error)
    return _Source(str(path), view, name, classifier, features, inputs, in_training, difference)


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
    if len(found) == 1:
        return found[0]
    count = "no classifier"
    if found:
        count = f"{len(found)} classifiers ({', '.join(f'{one.layer} on {one.seam}' for one in found)})"
    listed = "\n  ".join(seams(view)[-_SHOWN:])
    raise GraphError(
        f"{path}: where is the branch to end? The net has {count}; name the seam, as in {Path(path).name}@BLOB. "
        f"It can be cut at (the last {_SHOWN}; netbuild check NET --seams lists all):\n  {listed}"
    )


def seams(view: NetView) -> List[str]:
    """Return a line for each blob where a net can be cut: its name and shape."""
    blobs = view.fitting_shapes().blobs
    return [f"{blob} {any_batch_text(blobs.get(blob))}" for blob in cut_points(view)]


def _features(view: NetView, seam: str) -> Any:
    kept = cut(view, [seam])
    made = sources_of(kept)
    known = view.shapes.blobs
    sources = list(made.values())
    features = type(kept)(name=kept.name, layer=[layer for layer in kept.layer if layer not in sources])
    read = dict.fromkeys(blob for layer in features.layer for blob in layer.bottom if blob in made)
    if not features.layer:
        raise GraphError(f"the seam {seam!r} is an input of the net: there is nothing before it")
    if not read:
        raise GraphError(f"the seam {seam!r} depends on no input of the net")
    return features, {blob: declared_by(made[blob], known.get(blob)) for blob in read}


def _difference(one: Message, two: Message) -> str:
    """Return where two feature nets depart from each other in what they compute, '' where they do not."""
    pairs = [[_computes(layer) for layer in net.layer if layer.type != "Dropout"] for net in (one, two)]
    for first, second in zip(*pairs):
        if first != second:
            return f"layer {first.name!r} ({first.type}) against {second.name!r} ({second.type})"
    counts = [len(layers) for layers in pairs]
    return "" if counts[0] == counts[1] else f"{counts[0]} layers against {counts[1]}"


def _computes(layer: Message) -> Message:
    """Return the layer without what only training or filling reads."""
    bare = proto.without_fillers(layer)
    for field in _TRAINING_ONLY:
        bare.ClearField(field)
    return bare


def _write(
    source: _Source,
    net: Any,
    bottom: Optional[Top],
    prefix: str = "",
    *,
    frozen: bool = False,
    inputs: Mapping[str, Top] = {},
) -> Branch:
    """Write the branch: `inputs` feed its inputs by their names in the file, `bottom` its first one.

    An input that nothing is given for becomes an input of the whole net, by its own name.
    """
    if not frozen:
        _require_trainable(source)
    fed = _fed(source, net, bottom, prefix, inputs)
    outside = {blob: blob_of(net, top) for blob, top in fed.items()}
    change = partial(names.qualify, prefix)
    features = frozen_net(source.features) if frozen else source.in_training
    outer = {outside[blob]: top for blob, top in fed.items()}
    tops = add_layers(net, renamed(features, change, outside).layer, outer)
    return Branch(
        prefix,
        source.seam,
        tops[qualify(prefix, source.seam)],
        channels=_channels(source),
        classifier=_classifier_pattern(source),
        head=_head(source, prefix, tops) if source.classifier else None,
        classes=options(_classifier(source)).num_output if source.classifier else None,
        net_name=source.net.name,
        input=next(iter(source.inputs.values())),
        reads={outside[blob]: declared for blob, declared in source.inputs.items()},
    )


def _require_trainable(source: _Source) -> None:
    if source.train_difference:
        raise GraphError(
            f"{source.path}: its nets of TRAIN and TEST differ before the seam ({source.train_difference}), so that it "
            "can be used only frozen"
        )


def _channels(source: _Source) -> Optional[int]:
    """Return the length of the seam's axis 1, where it is known."""
    seam = source.view.shapes.blobs.get(source.seam)
    return seam[1] if seam is not None and len(seam) > 1 else None


def _fed(source: _Source, net: Any, bottom: Optional[Top], prefix: str, inputs: Mapping[str, Top]) -> Dict[str, Top]:
    """Return what feeds each of the net's inputs, by its name in the file."""
    unknown = sorted(set(inputs) - set(source.inputs))
    if unknown:
        hint = did_you_mean(unknown[0], source.inputs, f"it reads {', '.join(source.inputs)}")
        raise GraphError(f"{source.path}: has no input {unknown[0]!r}; {hint}")
    given = dict(inputs)
    if bottom is not None:
        if not prefix and bottom.fn.type_name == "Input":
            _keep_apart(source, net, bottom)
        given = {next(iter(source.inputs)): bottom, **inputs}
    _require_free_names(source, prefix, {blob: blob_of(net, top) for blob, top in given.items()})
    return {blob: given[blob] if blob in given else _open_input(source, net, blob) for blob in source.inputs}


def _require_free_names(source: _Source, prefix: str, outside: Mapping[str, str]) -> None:
    """Raise GraphError where an input that nothing is given for has the name of a blob that feeds another.

    `outside` are the names of what is given for each of the other inputs.
    """
    fed_by = {outer: blob for blob, outer in outside.items()}
    for blob in source.inputs:
        if blob in fed_by and blob not in outside:
            other = fed_by[blob]
            raise GraphError(
                f"{source.path}: nothing is given for its input {blob!r}, and {blob!r} feeds another, {other!r}: feed "
                "one of them by another name, as in "
                f"{either(f'--input {prefix}={other}:NAME', f'BranchSpec(reads={{{other!r}: NAME}})')}"
            )


def _keep_apart(source: _Source, net: Any, bottom: Top) -> None:
    """Let the Input that feeds a net alone be called as the net calls it, where its name is one of the net's own."""
    outer, (blob, *others) = blob_of(net, bottom), source.inputs
    own = names_in(_without_inputs(source, source.net))
    if outer != blob and outer in own.union(others):
        warnings.warn(
            f"{source.path}: {outer!r} is a name of its own, so that its input keeps the name {blob!r}",
            NetbuildWarning,
            stacklevel=2,
        )
        net[blob] = net.tops.pop(outer)
    bottom.fn.params.update(_input_name(source, blob))


def _without_inputs(source: _Source, net: Message) -> Message:
    feeding = {declared.layer for declared in source.inputs.values()}
    return type(net)(layer=[layer for layer in without_inputs(net).layer if layer.name not in feeding])


def _input_name(source: _Source, blob: str) -> Dict[str, str]:
    """Return what to call an Input layer by where another layer is called as its blob is."""
    others = {layer.name for layer in _without_inputs(source, source.net).layer}
    return {"name": source.inputs[blob].layer} if blob in others else {}


def _open_input(source: _Source, net: Any, blob: str) -> Top:
    if blob not in net.tops:
        net[blob] = netspec().layers.Input(**_input_name(source, blob))
    return net.tops[blob]


def _classifier_pattern(source: _Source) -> Optional[str]:
    """Return the classifier's name with its number of classes left open: fc1000 becomes fc{classes}."""
    if source.classifier is None:
        return None
    layer = _classifier(source)
    name, count = str(layer.name), str(options(layer).num_output)
    name = name.replace("{", "{{").replace("}", "}}")
    return name[: -len(count)] + "{classes}" if name.endswith(count) else name


def _classifier(source: _Source) -> Message:
    assert source.classifier is not None
    return next(layer for layer in source.net.layer if layer.name == source.classifier.layer)


def _head(source: _Source, prefix: str, tops: Mapping[str, Top]) -> OwnHead:
    """Return what writes the net's own classifier onto the seam, for as many classes as are wanted."""
    assert source.classifier is not None
    classifier = source.classifier
    features = {layer.name for layer in source.features.layer}
    kept = cut(source.view, [classifier.scores])
    after = type(kept)(layer=[one for one in _without_inputs(source, kept).layer if one.name not in features])

    def head(net: Any, classes: int) -> Top:
        written = renamed(after, partial(names.qualify, prefix))
        for layer in written.layer:
            if layer.name == qualify(prefix, classifier.layer):
                changed = options(layer)
                changed.num_output = classes
                if not changed.HasField("weight_filler"):
                    changed.weight_filler.type = "xavier"
        return add_layers(net, written.layer, tops)[qualify(prefix, classifier.scores)]

    return head
