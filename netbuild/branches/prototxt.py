"""Any existing net as a branch: read its prototxt, cut it at a seam, rename, freeze, write it into a NetSpec."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from .. import names
from ..errors import GraphError, NetbuildWarning, some
from ..graph.cut import cut
from ..graph.feed import without_inputs
from ..graph.freeze import frozen as frozen_net
from ..graph.rename import names_in, renamed
from ..layers import any_batch_text
from ..layers.table import options
from ..layers.training import on_stored_statistics
from ..names import qualify
from ..schema import TEST, Message, netspec
from ..spelling import either
from .branch import Branch, Builder, OwnHead
from .part import File, NetFile, Part, begun_at, part_of, read_file
from .written import Top, add_layers, blob_of


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
    files = [read_file(one, seam) for one in paths]
    return partial(_write, files, part_of(files))


def _write(
    files: Sequence[NetFile],
    whole: Part,
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
    part = begun_at([blob for blob in inputs if blob not in whole.inputs], files, whole)
    if not frozen:
        _require_trainable(part)
    else:
        _tell_by_batch(part)
    fed = _fed(part, net, bottom, prefix, inputs)
    outside = {blob: blob_of(net, top) for blob, top in fed.items()}
    _require_alike(part, outside)
    change = partial(names.qualify, prefix)
    features = frozen_net(part.features) if frozen else part.in_training
    outer = {outside[blob]: top for blob, top in fed.items()}
    tops = add_layers(net, renamed(features, change, outside).layer, outer)
    file = part.file
    return Branch(
        prefix,
        file.seam,
        tops[qualify(prefix, file.seam)],
        channels=_channels(file),
        classifier=_classifier_pattern(file),
        head=_head(part, prefix, tops) if file.classifier else None,
        classes=options(_classifier(file)).num_output if file.classifier else None,
        net_name=file.net.name,
        input=next(iter(part.inputs.values())),
        reads={outside[blob]: declared for blob, declared in part.inputs.items()},
    )


def _tell_by_batch(part: Part) -> None:
    """Warn of layers that normalise by each batch where the net is tested: frozen they compute something else."""
    found = [layer for layer in part.features.layer if on_stored_statistics(layer, TEST) is False]
    if found:
        warnings.warn(
            f"{part.file.path}: by its definition {some([f'{one.name!r} ({one.type})' for one in found])} normalises "
            "by each batch in TEST too; frozen, it works on the statistics in its weights, so that the branch does not "
            "compute what its net does alone",
            NetbuildWarning,
            stacklevel=2,
        )


def _require_trainable(part: Part) -> None:
    if part.train_difference:
        raise GraphError(
            f"{part.file.path}: its nets of TRAIN and TEST differ before the seam ({part.train_difference}), so "
            "that it can be used only frozen"
        )


def _channels(file: NetFile) -> Optional[int]:
    """Return the length of the seam's axis 1, where it is known."""
    seam = file.view.shapes.blobs.get(file.seam)
    return seam[1] if seam is not None and len(seam) > 1 else None


def _fed(part: Part, net: Any, bottom: Optional[Top], prefix: str, inputs: Mapping[str, Top]) -> Dict[str, Top]:
    """Return what feeds each of the blobs that the net begins at, by its name in the file."""
    given = dict(inputs)
    unread = [blob for blob in inputs if blob not in part.inputs]
    if bottom is not None:
        first = next(iter(part.inputs))
        if first in part.opened:
            unread.append("")
        if not prefix and bottom.fn.type_name == "Input":
            _keep_apart(part, net, bottom)
        given = {first: bottom, **inputs}
    if unread:
        what = repr(unread[0]) if unread[0] else "input"
        raise GraphError(
            f"{part.file.path}: something is to feed its {what}, which nothing reads where the net begins at "
            f"{' and '.join(map(repr, part.opened))}"
        )
    _require_free_names(part, prefix, {blob: blob_of(net, top) for blob, top in given.items()})
    return {blob: given[blob] if blob in given else _open_input(part, net, blob) for blob in part.inputs}


def _require_alike(part: Part, outside: Mapping[str, str]) -> None:
    """Raise GraphError where one blob is to feed two that the net has in different shapes."""
    fed: Dict[str, str] = {}
    for blob, outer in outside.items():
        other = fed.setdefault(outer, blob)
        shapes = [part.inputs[one].shape for one in (other, blob)]
        if None not in shapes and shapes[0] != shapes[1]:
            known = [any_batch_text((None, *shape)) for shape in shapes if shape is not None]
            raise GraphError(
                f"{part.file.path}: {outer!r} is to feed {other!r}, which is {known[0]} in its own net, and "
                f"{blob!r}, which is {known[1]}"
            )


def _require_free_names(part: Part, prefix: str, outside: Mapping[str, str]) -> None:
    """Raise GraphError where an input that nothing is given for has the name of a blob that feeds another.

    `outside` are the names of what is given for each of the other inputs.
    """
    fed_by = {outer: blob for blob, outer in outside.items()}
    for blob in part.inputs:
        if blob in fed_by and blob not in outside:
            other = fed_by[blob]
            raise GraphError(
                f"{part.file.path}: nothing is given for its input {blob!r}, and {blob!r} feeds another, {other!r}: "
                "feed one of them by another name, as in "
                f"{either(f'--input {prefix}={other}:NAME', f'BranchSpec(reads={{{other!r}: NAME}})')}"
            )


def _keep_apart(part: Part, net: Any, bottom: Top) -> None:
    """Let the Input that feeds a net alone be called as the net calls it, where its name is one of the net's own."""
    outer, (blob, *others) = blob_of(net, bottom), part.inputs
    own = names_in(_without_inputs(part, part.file.net))
    if outer != blob and outer in own.union(others):
        warnings.warn(
            f"{part.file.path}: {outer!r} is a name of its own, so that its input keeps the name {blob!r}",
            NetbuildWarning,
            stacklevel=2,
        )
        net[blob] = net.tops.pop(outer)
    bottom.fn.params.update(_input_name(part, blob))


def _without_inputs(part: Part, net: Message) -> Message:
    feeding = {declared.layer for blob, declared in part.inputs.items() if blob not in part.opened}
    return type(net)(layer=[layer for layer in without_inputs(net).layer if layer.name not in feeding])


def _input_name(part: Part, blob: str) -> Dict[str, str]:
    """Return what to call an Input layer by where another layer is called as its blob is."""
    others = {layer.name for layer in _without_inputs(part, part.file.net).layer}
    return {"name": part.inputs[blob].layer} if blob in others else {}


def _open_input(part: Part, net: Any, blob: str) -> Top:
    if blob not in net.tops:
        net[blob] = netspec().layers.Input(**_input_name(part, blob))
    return net.tops[blob]


def _classifier_pattern(file: NetFile) -> Optional[str]:
    """Return the classifier's name with its number of classes left open: fc1000 becomes fc{classes}."""
    if file.classifier is None:
        return None
    layer = _classifier(file)
    name, count = str(layer.name), str(options(layer).num_output)
    name = name.replace("{", "{{").replace("}", "}}")
    return name[: -len(count)] + "{classes}" if name.endswith(count) else name


def _classifier(file: NetFile) -> Message:
    assert file.classifier is not None
    return next(layer for layer in file.net.layer if layer.name == file.classifier.layer)


def _head(part: Part, prefix: str, tops: Mapping[str, Top]) -> OwnHead:
    """Return what writes the net's own classifier onto the seam, for as many classes as are wanted."""
    assert part.file.classifier is not None
    classifier = part.file.classifier
    features = {layer.name for layer in part.features.layer}
    kept = cut(part.file.view, [classifier.scores], part.opened)
    after = type(kept)(layer=[one for one in _without_inputs(part, kept).layer if one.name not in features])

    made = {blob for layer in (*part.features.layer, *after.layer) for blob in layer.top}
    missing = next(
        ((one, blob) for one in after.layer for blob in one.bottom if blob not in {*made, *part.inputs}), None
    )

    def head(net: Any, classes: int) -> Top:
        if missing:
            layer, blob = missing
            raise GraphError(
                f"{part.file.path}: its own classifier cannot be written again: layer {layer.name!r} ({layer.type}) "
                f"reads {blob!r}, which the branch does not have; for a classifier of another kind name the seam, "
                f"as in {Path(part.file.path).name}@{part.file.seam}"
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
