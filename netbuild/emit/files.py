"""One fused net as files: train_val.prototxt (or one file per phase), deploy.prototxt and solver.prototxt."""

from __future__ import annotations

import dataclasses
import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from google.protobuf import text_format

from .. import names, proto
from ..branches.branch import Input
from ..errors import GraphError, NetbuildError, NetbuildWarning, did_you_mean, some
from ..files import PathLike, output_folder, write_all
from ..fusion import Built, Fusion, build, require_fitting
from ..graph.check import require_savable, require_sound, warn
from ..graph.feed import with_inputs
from ..graph.freeze import count_as_no_loss, drop_rates
from ..graph.view import NetView, Views
from ..schema import TEST, TRAIN, Message, schema
from ..solving import NET_FIELDS, idle_policy, require_sensible
from ..soundness.check import require_fit_lists
from ..spelling import name_of, option
from .accord import require_taken
from .batches import deployed, trained
from .doubts import notes
from .labels import PerImage, label_shapes
from .layers import data_layers
from .lookup import looked_up
from .source import AS_DECLARED, AS_IT_IS, DataSource
from .stamp import is_as_written, stamped

SOLVER: Mapping[str, Any] = {
    "test_iter": 500,
    "test_initialization": False,
    "test_interval": 1000,
    "base_lr": 0.01,
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "lr_policy": "step",
    "gamma": 0.707,
    "stepsize": 1000,
    "display": 200,
    "max_iter": 30000,
    "snapshot": 30000,
    "solver_mode": "CPU",
}
"""The fusion recipe's solver, but for the mode: no GPU is needed."""

_SOLVER_FILE = "solver.prototxt"
_PHASES = {"train": TRAIN, "test": TEST}

Sources = Union[DataSource, Mapping[str, DataSource]]
"""The data of the net's only input, or of each input by name."""
Choice = Callable[[Built], Sources]
"""Chooses the data when the net is built, by the inputs that it has then."""


def train_val(fusion: Fusion, source: Sources) -> Message:
    """Return the net for training and testing, its data layers included, checked for shapes in both phases."""
    built = build(fusion)
    of_phases = trained(partial(_train_val, fusion, built), _by_input(fusion, built, source))
    _say(built, source)
    return of_phases[TRAIN].net


def _train_val(fusion: Fusion, built: Built, sources: Mapping[str, DataSource]) -> Views:
    """Return the net for training and testing as its views, checked."""
    net = type(built.message)(name=built.message.name)
    inputs = {blob: source.in_full(TEST) for blob, source in sources.items() if blob not in built.labels}
    labels = label_shapes(built, inputs)
    net.layer.extend([*data_layers(sources, labels), *built.message.layer])
    taken = {layer.name for layer in built.message.layer}
    for layer in net.layer[: -len(built.message.layer)]:
        layer.name = names.free(layer.name, taken)
    of_phases = require_sound(net, "the train_val net")
    warn(net, "the train_val net", of_phases)
    for phase in (TRAIN, TEST):
        sized = _sized(of_phases[phase], _input_shapes(labels, sources, phase))
        require_fitting(built, fusion.join, sized)
        sized.fitting_shapes()
    return of_phases


def _sized(view: NetView, shapes: Mapping[str, Tuple[int, ...]]) -> NetView:
    """Return the view where the inputs have these shapes; the same where its data layers declare them already."""
    known = all(view.shapes.blobs.get(blob) == shape for blob, shape in shapes.items())
    return view if known else view.with_inputs(shapes)


def _input_shapes(labels: PerImage, sources: Mapping[str, DataSource], phase: int) -> Dict[str, Tuple[int, ...]]:
    """Return the shapes of the images, (N, C, H, W), and of the labels as the sources give them in a phase."""
    batch = next(iter(sources.values())).batch(phase)
    shapes: Dict[str, Tuple[int, ...]] = {blob: (batch, *shape) for blob, shape in labels.items()}
    for blob, source in sources.items():
        if blob not in labels:
            shapes[blob] = source.in_full(phase)
    return shapes


def deploy(fusion: Fusion, source: Sources, batch: Optional[int] = None) -> Message:
    """Return the net for inference: Input layers, no label, `prob` at the end, nothing that only training reads.

    `batch` is its N: by default 1, or what the branches' sources declare where the net takes no other.
    """
    built = build(fusion, deploy=True)
    sources = _by_input(fusion, built, source)
    return deployed(partial(_deploy, fusion, built, sources), sources, batch)


def _deploy(fusion: Fusion, built: Built, sources: Mapping[str, DataSource], batch: int) -> Message:
    tested = proto.only_phase(built.message, TEST)
    bare = type(tested)(name=tested.name, layer=map(_without_training, tested.layer))
    sizes = {blob: dataclasses.replace(one, test_batch=batch).in_full(TEST) for blob, one in sources.items()}
    net = with_inputs(bare, sizes)
    view = NetView(net, TEST)
    require_fitting(built, fusion.join, view)
    view.fitting_shapes()
    return net


def _say(built: Built, source: Sources) -> None:
    """Give a NetbuildWarning for what is to be said of the data: what no branch declares, what is done differently."""
    given = _given(built, source)
    for blob, declared in _declared(built, given).items():
        for sentence in notes(blob, built.doubts[blob], declared, given[blob]):
            warnings.warn(sentence, NetbuildWarning, stacklevel=3)


def _by_input(fusion: Fusion, built: Built, source: Sources) -> Dict[str, DataSource]:
    """Return the source of each input and further label, with what the branches declare of its images."""
    given = _given(built, source)
    declared = _declared(built, given)
    first = next(iter(declared.values()))
    _require_known(built, declared, given)
    sources = {blob: _of_input(blob, one, declared.get(blob, first)) for blob, one in given.items()}
    require_taken(fusion, built, sources)
    return sources


def _declared(built: Built, given: Mapping[str, DataSource]) -> Dict[str, Input]:
    """Return what the branches declare of each input, with what files that are there tell beyond it."""
    return {blob: looked_up(blob, declared, given[blob]) for blob, declared in built.inputs.items()}


def _require_known(built: Built, declared: Mapping[str, Input], given: Mapping[str, DataSource]) -> None:
    """Raise GraphError for an input of unknown shape that no option gives one to."""
    firsts = {next(iter(one.reads), "") for one in built.placed.values()}
    for blob, one in declared.items():
        is_known = one.shape is not None or given[blob].input is not AS_DECLARED
        if not is_known and blob not in firsts:
            raise GraphError(
                f"input {blob!r}: its shape is not known from the branches' nets, and {name_of('shape')} is for the "
                "first input of a branch; in a copy of the net, write an Input layer with the shape in the place of "
                "the layer that makes it"
            )


def _of_input(blob: str, source: DataSource, declared: Input) -> DataSource:
    try:
        whole = source.of_input(declared)
        # Nothing can be written without it.
        whole.size()
        return whole
    except GraphError as error:
        raise GraphError(f"input {blob!r}: {error}") from None


def _given(built: Built, source: Sources) -> Dict[str, DataSource]:
    """Return the source of each input and further label, in the order in which the branches read them."""
    inputs = built.inputs
    if isinstance(source, DataSource):
        return _for_all(inputs, source)
    missing, unknown = sorted(set(inputs) - set(source)), sorted(set(source) - set(inputs) - set(built.labels))
    if missing or (unknown and built.labels):
        raise GraphError(f"the net reads {', '.join([*inputs, *built.labels])}; the data is for {', '.join(source)}")
    return {blob: source[blob] for blob in [*inputs, *built.labels] if blob in source}


def _for_all(inputs: Mapping[str, Input], source: DataSource) -> Dict[str, DataSource]:
    """Return one source as that of each input."""
    if len(inputs) > 1 and source.kind not in AS_IT_IS:
        raise GraphError(f"the net has the inputs {' and '.join(inputs)}; give each a source of its own")
    if len(inputs) == 1 or source.input is AS_DECLARED:
        return dict.fromkeys(inputs, source)
    return {blob: dataclasses.replace(source, input=declared) for blob, declared in inputs.items()}


def solver(net_paths: Mapping[str, str], snapshot_prefix: str, overrides: Mapping[str, str]) -> Message:
    """Return a solver: the recipe's values, `net_paths` ('net', or 'train_net' and 'test_net'), and `overrides`.

    An override is a field of SolverParameter and its value in prototxt, quotes left out: {"base_lr": "0.001"}.
    """
    message = schema().SolverParameter()
    fields: Dict[str, Any] = {**SOLVER, "snapshot_prefix": snapshot_prefix}
    for name, value in {**fields, **net_paths}.items():
        if name not in overrides:
            set_field(message, name, str(value))
    for name, value in overrides.items():
        set_field(message, name, value)
    require_sensible(message)
    return message


def emit_files(
    fusion: Fusion,
    source: Union[Sources, Choice],
    folder: PathLike,
    *,
    split_phases: bool = False,
    deploy_batch: Optional[int] = None,
    solver_options: Optional[Mapping[str, str]] = None,
    dry_run: bool = False,
    force: bool = False,
) -> List[Path]:
    """Write the prototxts of a fusion: nothing is written if one of them is wrong.

    A net with nothing to train gets no solver: an ensemble is written as test and deploy net, a net without a head as
    deploy net alone. What no branch declares of the images, and what a source does differently than the
    branches declare, is a NetbuildWarning. A solver that was edited since is kept, with a NetbuildWarning.

    Args:
        fusion: What is to be one net.
        source: The data of the only input of the net, or by name of each of its inputs, and of each label beyond the
            first. Or a function that returns these for the built net.
        folder: Where to write; made if need be.
        split_phases: Write `train.prototxt` and `test.prototxt` in place of `train_val.prototxt`.
        deploy_batch: The batch size N of the deploy net; by default 1, or what the branches' sources declare where the
            net takes no other.
        solver_options: Fields of the solver and their values, as in prototxt: `{"base_lr": "0.001"}`. The others are
            those of the fusion recipe; `test_iter` is what covers the test list once.
        dry_run: Check everything and write nothing.
        force: Replace a solver even where it was edited.

    Returns:
        The paths of the files: `train_val.prototxt`, `deploy.prototxt` and `solver.prototxt`.

    Raises:
        GraphError: The net is not sound, the data does not fit it, or `solver_options` would have no effect.
        NetbuildError: A list has lines or images that Caffe would stumble over, or a file cannot be written.

    Examples:
        >>> from netbuild import DataSource, Fusion, emit_files, lenet
        >>> source = DataSource(train_source="digits/train_all.txt", test_source="digits/val_all.txt")
        >>> paths = emit_files(Fusion({"odd": lenet, "even": lenet}, classes=10), source, "net")
        >>> [path.name for path in paths]
        ['train_val.prototxt', 'deploy.prototxt', 'solver.prototxt']
    """
    wanted = _Request(fusion, Path(folder), split_phases, deploy_batch, solver_options or {}, force)
    _require_trained(wanted)
    built = build(fusion)
    sources = source(built) if callable(source) else source
    of_phases = _trained(fusion, built, _by_input(fusion, built, sources))
    messages = {**_by_phase(wanted, of_phases), "deploy.prototxt": deploy(fusion, sources, deploy_batch)}
    new = _solver(wanted, sources, of_phases[TRAIN].net) if fusion.all_heads else None
    if new is not None and not _keeps(wanted, new):
        messages[_SOLVER_FILE] = new
    _say(built, sources)
    _say_left(wanted, messages)
    if not dry_run:
        _write(messages, output_folder(folder))
    return [wanted.folder / name for name in messages]


class _Request(NamedTuple):
    """What `emit_files` is asked for."""

    fusion: Fusion
    folder: Path
    split_phases: bool
    deploy_batch: Optional[int]
    solver_options: Mapping[str, str]
    force: bool


def _trained(fusion: Fusion, built: Built, sources: Mapping[str, DataSource]) -> Views:
    """Return the views of the net with data and losses, of an ensemble only that of TEST; none of a net without a
    head."""
    if not (fusion.ensemble or fusion.all_heads):
        return {}
    of_phases = trained(partial(_train_val, fusion, built), sources)
    if fusion.ensemble:
        of_phases = {TEST: of_phases[TEST]}
    require_fit_lists(of_phases, "the test net" if fusion.ensemble else "the train_val net")
    return of_phases


def _by_phase(wanted: _Request, of_phases: Views) -> Dict[str, Message]:
    """Return a net by the names of its files."""
    if not of_phases:
        return {}
    if wanted.split_phases or wanted.fusion.ensemble:
        return {f"{name}.prototxt": of_phases[phase].only for name, phase in _PHASES.items() if phase in of_phases}
    return {"train_val.prototxt": of_phases[TRAIN].net}


def _write(messages: Mapping[str, Message], folder: Path) -> None:
    texts = {name: proto.file_text(message) for name, message in messages.items()}
    if _SOLVER_FILE in texts:
        texts[_SOLVER_FILE] = stamped(texts[_SOLVER_FILE])
    write_all({folder / name: text.encode() for name, text in texts.items()})


def _require_trained(wanted: _Request) -> None:
    """Refuse what is said of a training where nothing is trained."""
    idle = [*wanted.solver_options, *(["split_phases"] if wanted.split_phases else [])]
    if idle and not wanted.fusion.all_heads:
        raise GraphError(
            f"a net {'that is an ensemble' if wanted.fusion.ensemble else 'without a head'} has nothing to train, gets "
            f"no solver and no net of TRAIN phase: {' and '.join(idle)} would have no effect"
        )


def _say_left(wanted: _Request, messages: Mapping[str, Message]) -> None:
    """Name the files of an earlier net, which stay beside the new ones under names that these do not have."""
    if wanted.fusion.all_heads and not wanted.split_phases:
        return
    new = [*messages, *([_SOLVER_FILE] if wanted.fusion.all_heads else [])]
    old = [f"{name}.prototxt" for name in ("train_val", "train", "test", "solver")]
    left = [name for name in old if name not in new and (wanted.folder / name).is_file()]
    if left:
        warnings.warn(
            f"folder {str(wanted.folder)!r} also holds {some(left)} of another net, left as before; remove what "
            "is not wanted, or name another folder: who looks at the folder (netbuild report) would take it for this "
            "net's",
            NetbuildWarning,
            stacklevel=3,
        )


def _keeps(wanted: _Request, new: Message) -> bool:
    """Tell whether the solver that stands in the folder is to be kept: it was edited, or is of another hand."""
    path = wanted.folder / _SOLVER_FILE
    if wanted.force or not path.is_file() or is_as_written(path):
        return False
    old = _read_edited(path)
    differing = [name for name in new.DESCRIPTOR.fields_by_name if getattr(new, name) != getattr(old, name)]
    _require_effect(path, old, new, [name for name in differing if name in wanted.solver_options])
    _say_kept(path, differing)
    return True


def _require_effect(path: Path, old: Message, new: Message, lost: Sequence[str]) -> None:
    """Raise GraphError where a solver that is kept would ignore the net, or the options of `lost`."""
    if lost or _net_names(old) != _net_names(new):
        raise GraphError(
            f"solver {str(path)!r}: was edited, or is not netbuild's, and would be kept, so that "
            f"{' and '.join(lost) or 'another net'} had no effect; edit it, name another folder, or let "
            f"{option('force', True)} replace it"
        )


def _read_edited(path: Path) -> Message:
    try:
        return proto.read_solver(path)
    except NetbuildError as error:
        raise GraphError(f"{error}; {option('force', True)} replaces it") from error


def _say_kept(path: Path, differing: Sequence[str]) -> None:
    others = [name for name in differing if name not in NET_FIELDS]
    if others:
        text = (
            f"kept {path}, which was edited, or is not netbuild's (other {', '.join(others)}); "
            f"{option('force', True)} replaces it"
        )
        warnings.warn(text, NetbuildWarning, stacklevel=4)


def _net_names(solver: Message) -> List[str]:
    values = [[getattr(solver, name)] if name != "test_net" else list(solver.test_net) for name in NET_FIELDS]
    return [Path(path).name for paths in values for path in paths]


def _solver(wanted: _Request, source: Sources, net: Message) -> Message:
    """Return the solver that trains the net."""
    options = dict(wanted.solver_options)
    if "test_iter" not in options:
        options["test_iter"] = _test_iter(source)
    fields = {f"{name}_net": name for name in _PHASES} if wanted.split_phases else {"net": "train_val"}
    paths = {field: str(wanted.folder / f"{name}.prototxt") for field, name in fields.items()}
    # A net's name is any text; this one becomes the beginning of file names.
    stem = re.sub(r"[^\w.-]+", "_", net.name.lower()) or "net"
    made = solver(paths, stem + ("_fused" if len(wanted.fusion.branches) > 1 else ""), options)
    require_savable(made, net)
    idle = idle_policy(made)
    if idle:
        warnings.warn(idle, NetbuildWarning, stacklevel=3)
    return made


def _test_iter(source: Sources) -> str:
    """Return how many batches of a test cover its list once, or the recipe's number where it is not counted."""
    first = source if isinstance(source, DataSource) else next(iter(source.values()))
    count = list_length(first)
    return str(-(-count // first.test_batch) if count else SOLVER["test_iter"])


def list_length(source: DataSource) -> Optional[int]:
    """Return how many images the test list names, None where it is not a list that is there to be read."""
    path = Path(source.test_source)
    if source.kind != "image" or not path.is_file():
        return None
    from ..data.listing import count_images

    return count_images(path)


def _without_training(layer: Message) -> Message:
    """Return the layer without fillers, learning rates and weight in a loss."""
    bare = proto.without_fillers(layer)
    count_as_no_loss(bare)
    drop_rates(bare)
    return bare


def set_field(message: Message, name: str, value: str) -> None:
    """Set a field of a solver to its value in prototxt, quotes left out; GraphError where it has no such one."""
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        hint = did_you_mean(name, message.DESCRIPTOR.fields_by_name, "its fields are those of caffe.proto")
        raise GraphError(f"solver: no field {name!r} in SolverParameter; {hint}")
    if field.type == field.TYPE_STRING:
        value = '"{}"'.format(value.replace("\\", "\\\\").replace('"', '\\"'))
    elif field.type == field.TYPE_BOOL:
        value = value.lower()
    try:
        text_format.Merge(f"{name}: {value}", message)
    except text_format.ParseError as error:
        if field.enum_type is not None:
            hint = did_you_mean(value, field.enum_type.values_by_name)
            raise GraphError(f"solver: {name}: {value} is not a value of this field; {hint}") from None
        raise GraphError(f"solver: {name}: {value} is not a value of this field ({error})") from None
