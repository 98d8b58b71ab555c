"""Data layers as NetSpec functions: one definition for both phases and for every kind of source."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence

from ..errors import GraphError
from ..fusion.wiring import DATA
from ..schema import TEST, TRAIN, Message, netspec
from ..schema.programs import net_written
from ..spelling import either
from .labels import PerImage
from .source import AS_IT_IS, DataSource


def data_layers(sources: Mapping[str, DataSource], labels: PerImage) -> List[Message]:
    """Return the layers that feed a net in TRAIN and in TEST, as they stand together in a train_val net.

    `sources` gives each input of the net its data, `labels` each label blob its shape for one image. Of the kinds hdf5
    and input one layer gives all of them by name. A list or a database has one label for each image: that of the first
    source goes to the first label blob; each further label blob needs a source of its own under its name, whose images
    nothing reads.
    """
    kinds = {source.kind for source in sources.values()}
    if len(kinds) > 1:
        raise GraphError(f"all inputs need data of one kind, found {' and '.join(sorted(kinds))}")
    if kinds <= set(AS_IT_IS):
        _require_one_file(sources)
        # One layer gives all inputs and labels.
        return [_together(sources, labels, phase) for phase in (TRAIN, TEST)]
    _require_lists(sources, labels)
    return [layer for phase in (TRAIN, TEST) for layer in _of_lists(sources, labels, phase)]


def _of_lists(sources: Mapping[str, DataSource], labels: PerImage, phase: int) -> List[Message]:
    """Return a layer for each input, and for each label beyond the first, which the first input brings along."""
    inputs = [blob for blob in sources if blob not in labels]
    first_label, *more_labels = labels
    layers: List[Message] = []
    for blob in inputs:
        label = first_label if blob == inputs[0] else ""
        name = blob if len(inputs) > 1 else sources[blob].input.layer
        layers += _listed(sources[blob], phase, name, [blob, label])
    for label in more_labels:
        layers += _listed(sources[label], phase, label, ["", label])
    return layers


def _require_one_file(sources: Mapping[str, DataSource]) -> None:
    """Raise GraphError where sources differ that one layer is to read."""
    for phase, name in ((TRAIN, "TRAIN"), (TEST, "TEST")):
        read = {f"{one.path(phase)} in batches of {one.batch(phase)}": blob for blob, one in sources.items()}
        if len(read) > 1:
            listed = " and ".join(f"{text} for {blob!r}" for text, blob in read.items())
            raise GraphError(
                f"one layer of kind {next(iter(sources.values())).kind} gives all inputs and labels in {name}, found "
                f"{listed}; give one list and one batch for all"
            )


def _own_lists(blob: str) -> str:
    """Return how a blob is given lists of its own."""
    return either(
        f"by --train-source {blob}=FILE and --test-source {blob}=FILE",
        f"as {{{blob!r}: DataSource(train_source=FILE, test_source=FILE)}}",
    )


def _require_lists(sources: Mapping[str, DataSource], labels: PerImage) -> None:
    for blob, shape in labels.items():
        if shape:
            count = " x ".join(map(str, shape))
            raise GraphError(
                f"{blob!r} has {count} numbers for each image, and a list or a database only one; use data of kind "
                "hdf5, with a data set for each blob"
            )
    for blob in [*labels][1:]:
        if blob not in sources:
            raise GraphError(
                f"a list or a database has one label for each image, and {blob!r} is another; give it a list of its "
                f"own with the same images in the same order, {_own_lists(blob)}, or "
                "use data of kind hdf5"
            )
    if len(sources) > 1 and any(source.shuffle for source in sources.values()):
        raise GraphError("each of several sources would be shuffled in another order; shuffle the lists themselves")


def _together(sources: Mapping[str, DataSource], labels: PerImage, phase: int) -> Message:
    """Return the one layer that gives all inputs and labels."""
    inputs = {blob: source for blob, source in sources.items() if blob not in labels}
    first = next(iter(inputs.values()))
    batch = first.batch(phase)
    blobs = [*inputs, *labels]
    common: Dict[str, Any] = {
        "name": first.input.layer if len(inputs) == 1 else DATA,
        "ntop": len(blobs),
        "include": {"phase": phase},
    }
    if first.kind == "hdf5":
        tops = netspec().layers.HDF5Data(source=first.path(phase), batch_size=batch, **common)
    else:
        shapes = [list(source.in_full(phase)) for source in inputs.values()]
        shapes += [[batch, *shape] for shape in labels.values()]
        # A scalar has no lengths, and NetSpec takes no empty list for one.
        tops = netspec().layers.Input(shape=[{"dim": shape} if shape else {} for shape in shapes], **common)
    return _messages(dict(zip(blobs, tops if len(blobs) > 1 else [tops])))[0]


def _listed(source: DataSource, phase: int, name: str, tops: Sequence[str]) -> List[Message]:
    """Return the layer of one list or database; `tops` are its image and its label, '' for one that nothing reads."""
    layers = netspec().layers
    common: Dict[str, Any] = {"name": name, "include": {"phase": phase}, "source": source.path(phase)}
    common["batch_size"] = source.batch(phase)
    transform = source.transform(phase)
    if transform:
        common["transform_param"] = transform
    if source.kind == "image":
        made = layers.ImageData(ntop=2, **source.image_options(phase), **common)
    else:
        backend = getattr(netspec().params.Data, source.kind.upper())
        # A database layer may do without labels, ImageData may not.
        made = layers.Data(ntop=2 if tops[1] else 1, backend=backend, **common)
        made = made if tops[1] else [made]
    net: Dict[str, Any] = {}
    for kind, blob, top in zip(("image", "label"), tops, made):
        net[blob or f"{name}_{kind}"] = top
        if not blob:
            net[f"{name}_silence"] = layers.Silence(top, ntop=0, include={"phase": phase})
    return _messages(net)


def _messages(tops: Mapping[str, Any]) -> List[Message]:
    net = netspec().NetSpec()
    for name, top in tops.items():
        net[name] = top
    return list(net_written(net).layer)
