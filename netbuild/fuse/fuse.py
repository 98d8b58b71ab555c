"""Copy the trained blobs of several branches into one caffemodel for a fused net, on the level of files."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Collection, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple, Union

from .. import names, proto
from ..engine.caffe import TEST, Message
from ..errors import GraphError, WeightsError, some
from ..files import PathLike, listed_paths, replacing_together, require_output
from ..graph.check import require_sound
from ..graph.filled import unfilled
from ..layers import parameter_shapes
from ..weights.caffemodel import NET_NAME
from ..weights.copier import ByteProgress
from ..weights.digest import Digests
from ..weights.entry import Entry
from ..weights.index import index
from ..weights.model import Model
from ..weights.values import read_floats
from ..weights.wire import WireFile, encode_bytes
from ..weights.write import is_hdf5, require_writable, write_into
from .definitions import definition_differences, stored_layers
from .entries import entries
from .head import Classifier, head_values
from .plan import AS_THEY_ARE, Copy, CopyOptions, Declared, Plan, make_plan
from .problem import Problem, require_none
from .provenance import Origin, require_one_set
from .sidecar import sidecar

Weights = Mapping[str, Union[PathLike, Sequence[PathLike]]]
"""For each prefix the weight file of its branch, or several, of which the last that has a layer counts."""


@dataclass(frozen=True)
class Planned:
    """What is to be copied, and what the file is to hold."""

    plan: Plan
    net: Message
    entries: Tuple[Entry, ...]
    head: Optional[str] = None
    """The layer that begins as its branches' classifiers, where that was asked for."""
    untrained: Tuple[str, ...] = ()
    """BatchNorm layers whose moving-average factor is 0 in their file."""
    accepted: Tuple[str, ...] = ()
    """Where layers differ from what their files say of them, and were to."""
    classifiers: Tuple[Classifier, ...] = ()
    """What the head begins as, in the order of the seams."""


@dataclass(frozen=True)
class Fused:
    """What was copied."""

    planned: Planned
    files: Mapping[str, Optional[int]]
    """What was written, with its size in bytes (None for a dry run); of a split fusion one file for each branch."""

    @property
    def plan(self) -> Plan:
        """What was copied where."""
        return self.planned.plan


def plan_weights(target: proto.Net, weights: Weights, choices: CopyOptions = AS_THEY_ARE) -> Planned:
    """Plan a caffemodel of the target net with the blobs of each prefix's weight files; nothing is written.

    `target` is a prototxt (train_val or deploy). No data is opened and Caffe's engine is not loaded. Names, counts,
    shapes and what the files say of their layers are compared: WeightsError lists what does not fit. It names frozen
    layers that would get no weights too, unless `CopyOptions.partial` lets them.
    """
    net = proto.net_of(target)
    require_sound(net, proto.name_of_net(target))
    declared = declare(net)
    models = {prefix: [index(path) for path in paths] for prefix, paths in _listed(weights).items()}
    plan = _shared_once(make_plan(declared, models, choices), net)
    name, prefixes = head_on_concat(net, choices.head) if choices.head else ("", [])
    _require_filled(net, [name, *(copy.target for copy in plan.copies)], choices)
    accepted, untrained = _compared(net, models, plan, choices.accept), _untrained(net, plan)
    if not choices.head:
        return Planned(plan, net, tuple(entries(plan, declared)), None, untrained, accepted)
    shapes = next(layer.shapes for layer in declared if layer.name == name)
    known = [shape for shape in shapes or () if shape is not None]
    starts = {prefix: choices.head[prefix] for prefix in prefixes}
    values, used = head_values(starts, models, plan.unused, known)
    left = tuple(layer for layer in plan.left_to_fillers if layer != name)
    taken = {prefix: classifier.layer for prefix, classifier in used.items()}
    unused = {prefix: tuple(one for one in rest if one != taken.get(prefix)) for prefix, rest in plan.unused.items()}
    plan = dataclasses.replace(plan, left_to_fillers=left, unused=unused)
    found = tuple(entries(plan, declared, {name: values}))
    return Planned(plan, net, found, name, untrained, accepted, tuple(used.values()))


def fuse_weights(
    target: proto.Net,
    weights: Weights,
    output: PathLike,
    options: CopyOptions = AS_THEY_ARE,
    *,
    split: bool = False,
    dry_run: bool = False,
    on_progress: Optional[ByteProgress] = None,
) -> Fused:
    """Copy the trained blobs of several branches into one weight file for a fused net.

    A plan comes first: names, numbers, shapes and what the files say of their layers are compared, and nothing is
    written where something does not fit. Each value is compared with its source before the output takes its name. No
    data is opened, and Caffe's engine is not loaded. Beside the output, `OUTPUT.json` says where everything in it comes
    from.

    Args:
        target: The fused net, train_val or deploy: a path, a NetParameter or a NetSpec.
        weights: For each prefix the weight file of its branch, .caffemodel or HDF5. Or several, of which the last that
            has a layer counts.
        output: The file to write; `.h5` makes it HDF5.
        options: What may be done beyond copying blobs of equal names and shapes.
        split: Write a file for each branch: `init.odd.caffemodel` for the prefix odd and the output init.caffemodel.
        dry_run: Plan, and write nothing.
        on_progress: Called with the bytes written so far and in all.

    Returns:
        What was copied: `plan` says what where, `files` what was written.

    Raises:
        WeightsError: A blob is missing, ambiguous or of another shape, or a frozen layer would get no weights. All of
            these are listed.
        GraphError: The net is not sound.

    Examples:
        >>> from netbuild import fuse_weights
        >>> weights = {"odd": "odd.caffemodel", "even": "even.caffemodel"}
        >>> fused = fuse_weights("fused/train_val.prototxt", weights, "init.caffemodel")
        >>> fused.plan.blob_count("odd"), fused.plan.unused["odd"], fused.plan.left_to_fillers
        (6, ('ip2',), ('ip2',))
    """
    paths = _listed(weights)
    target_path = target if isinstance(target, (str, os.PathLike)) else None
    sources = [path for found in paths.values() for path in found]
    with Digests([] if dry_run else sources) as digests:
        planned = plan_weights(target, paths, options)
        require_one_set(sources)
        parts = _parts(planned, os.fspath(output)) if split else {os.fspath(output): planned.entries}
        outputs = [*parts, *map(sidecar, parts)]
        for output_path in outputs:
            require_output(output_path, [*([target_path] if target_path else []), *sources])
        fields = encode_bytes(NET_NAME, planned.net.name.encode()) if planned.net.name else b""
        for path, found in parts.items():
            require_writable(found, path, net=fields, over_2gb=options.over_2gb)
        if dry_run:
            return Fused(planned, dict.fromkeys(parts))
        # All are written before any takes its name: they are to be of one run.
        with replacing_together(outputs) as files:
            sizes = {
                path: write_into(file, found, hdf5=is_hdf5(path), net=fields, progress=on_progress)
                for (path, found), file in zip(parts.items(), files)
            }
            of_set = _digests(parts, files) if len(parts) > 1 else {}
            origin = Origin(target_path, planned.net, digests, sizes, of_set, planned.head, planned.classifiers)
            for (path, found), file in zip(parts.items(), files[len(parts) :]):
                file.write(_sidecar_text(planned, origin, path, {entry.name for entry in found}).encode())
    return Fused(planned, dict(sizes))


def _sidecar_text(planned: Planned, origin: Origin, path: str, held: Collection[str]) -> str:
    copies = [copy for copy in planned.plan.copies if copy.target in held]
    return origin.record(path, copies, with_head=planned.head in held)


def _digests(paths: Iterable[str], files: Iterable[IO[bytes]]) -> Dict[str, str]:
    """Return the SHA-256 of files that do not have their names yet, by these."""
    temporaries = {Path(path).name: str(file.name) for path, file in zip(paths, files)}
    with Digests(list(temporaries.values())) as digests:
        return {name: digests.of(temporary).sha256 for name, temporary in temporaries.items()}


def _listed(weights: Weights) -> Dict[str, List[str]]:
    return {prefix: listed_paths(given) for prefix, given in weights.items()}


def _parts(planned: Planned, output: str) -> Dict[str, Tuple[Entry, ...]]:
    """Return the files of a split fusion: the layers with blobs, by branch; a head that is made is one of its own."""
    owners = {copy.target: copy.prefix for copy in planned.plan.copies}
    path = Path(output)
    parts: Dict[str, List[Entry]] = {}
    for entry in planned.entries:
        if entry.blobs:
            owner = owners.get(entry.name, entry.name).strip("/").replace("/", "_")
            name = f"{path.stem}.{owner}{path.suffix}" if owner else path.name
            parts.setdefault(str(path.with_name(name)), []).append(entry)
    return {name: tuple(found) for name, found in parts.items()}


def _require_filled(net: Message, filled: Sequence[str], choices: CopyOptions) -> None:
    """Raise WeightsError where frozen layers would get no weights, unless that is what `partial` is for."""
    left = [] if choices.partial else unfilled(net, filled)
    if not left:
        return
    fronts = dict.fromkeys(name.partition("/")[0] for name in left if "/" in name)
    wanted = " ".join(f"--weights {front}=FILE" for front in fronts or ["PREFIX"])
    raise WeightsError(
        f"{len(left)} frozen layers would get no weights, and no training gives them any: {some(left)}; add {wanted}, "
        "or leave them to their fillers with --partial"
    )


def _compared(
    net: Message, models: Mapping[str, Sequence[Model]], plan: Plan, accept: Collection[str]
) -> Tuple[str, ...]:
    """Compare what the layers of the target and their sources say of themselves; return the differences accepted.

    Raises WeightsError for the others.
    """
    targets = {layer.name: layer for layer in net.layer}
    known = {model.path: model for found in models.values() for model in found}
    problems: List[Problem] = []
    accepted: List[str] = []
    for path, model in known.items():
        copies = [copy for copy in plan.copies if copy.path == path]
        stored = {layer.name: definition for layer, definition in stored_layers(model, {c.source for c in copies})}
        for copy in copies:
            for parameter, expected, found in definition_differences(targets[copy.target], stored[copy.source]):
                if parameter in accept:
                    accepted.append(f"{copy.target}: {parameter} {expected}, {found} in {path}")
                elif not copy.reshaped or parameter == "transpose":
                    # What is asked to be taken for another shape may come of another type; transposed it may not be.
                    row = Problem("differs", copy.target, f"{parameter} {expected}", f"{path}: {copy.source}", found)
                    problems.append(row)
    require_none(problems)
    return tuple(accepted)


def _untrained(net: Message, plan: Plan) -> Tuple[str, ...]:
    """Return the BatchNorm layers that get a factor of 0: never trained, or never loaded."""
    kinds = {layer.name: layer.type for layer in net.layer}
    found: List[str] = []
    for path in dict.fromkeys(copy.path for copy in plan.copies):
        with WireFile(path) as file:
            own = [copy for copy in plan.copies if copy.path == path and kinds[copy.target] == "BatchNorm"]
            found += [copy.target for copy in own if not any(read_floats(file, copy.blobs[2]))]
    return tuple(found)


def _shared_once(plan: Plan, net: Message) -> Plan:
    """Return the plan without calling those layers left over whose parameters another layer owns and gets.

    Raises WeightsError where layers that share their parameters (siamese) would get them from different files.
    """
    origins: Dict[str, Copy] = {}
    copies = {copy.target: copy for copy in plan.copies}
    for layer in net.layer:
        copy = copies.get(layer.name)
        for name in (spec.name for spec in layer.param if spec.name and copy is not None):
            assert copy is not None
            first = origins.setdefault(name, copy)
            if first.path != copy.path:
                raise WeightsError(
                    f"{first.target!r} and {copy.target!r} share the parameter {name!r}, but would get it from two "
                    f"files, {first.path} and {copy.path}; give both branches one"
                )
    filled = {layer.name for layer in net.layer if layer.param and all(spec.name in origins for spec in layer.param)}
    shared = tuple(layer for layer in plan.left_to_fillers if layer in filled)
    left = tuple(layer for layer in plan.left_to_fillers if layer not in filled)
    return dataclasses.replace(plan, shared=shared, left_to_fillers=left)


def head_on_concat(net: Message, prefixes: Collection[str]) -> Tuple[str, List[str]]:
    """Return the InnerProduct that reads a concat of blobs of these branches, and the branches in the concat's order.

    Raises GraphError where the net has none, or one whose weights do not lie as the branches' own do.
    """
    layers = [layer for _, layer in proto.of_phase(net, TEST)]
    flat = {layer.top[0]: layer.bottom[0] for layer in layers if layer.type == "Flatten"}
    for concat in (layer for layer in layers if layer.type == "Concat"):
        order = [names.owner(prefixes, flat.get(blob, blob)) for blob in concat.bottom]
        for layer in layers:
            if layer.type != "InnerProduct" or list(layer.bottom) != list(concat.top) or set(order) != set(prefixes):
                continue
            if len(order) > len(prefixes) or layer.inner_product_param.transpose or concat.concat_param.axis != 1:
                raise GraphError(
                    f"the head {layer.name!r} cannot begin as its branches' classifiers: its weights are "
                    "transposed, or a branch comes twice, or the concat is not along axis 1"
                )
            return layer.name, [prefix for prefix in order if prefix is not None]
    listed = " and ".join(map(repr, prefixes))
    raise GraphError(f"the net has no InnerProduct on a concat of exactly the branches {listed}, to begin as theirs")


def declare(net: Message) -> List[Declared]:
    """Return what the net declares of each of its layers, for a plan."""
    declared: List[Declared] = []
    known: Set[str] = set()
    for layer, shapes in zip(net.layer, parameter_shapes(net)):
        own = {spec.name for spec in layer.param}
        shared = bool(own) and own <= known and len(layer.param) >= len(shapes or ())
        declared.append(Declared(layer.name, shapes, _definition(layer), shared))
        known |= own - {""}
    return declared


def _definition(layer: Message) -> bytes:
    """Return the serialised layer, without the values that a definition may carry itself."""
    if not layer.blobs:
        return bytes(layer.SerializeToString())
    bare = proto.copied(layer)
    bare.ClearField("blobs")
    return bytes(bare.SerializeToString())
