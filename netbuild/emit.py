"""One fused net as files: train_val.prototxt (or one file per phase), deploy.prototxt and solver.prototxt."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from google.protobuf import text_format

from . import proto
from ._caffe import TEST, TRAIN, Message, schema
from .data.layers import DataSource, data_layers
from .data.lists import count_images
from .errors import GraphError
from .files import PathLike, output_folder
from .fusion import DATA, LABEL, Fusion, build
from .graph.check import require_savable, require_sound
from .shapes import infer

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

_TRAINING_ONLY = ("weight_filler", "bias_filler", "filler")


def train_val(fusion: Fusion, source: DataSource) -> Message:
    """Return the net for training and testing, its data layers included, checked for shapes in both phases."""
    body = build(fusion).message
    net = type(body)(name=body.name, layer=[*data_layers(source), *body.layer])
    require_sound(net, "the train_val net")
    size = {DATA: (source.train_batch, *source.size()), LABEL: (source.train_batch,)}
    for phase in (TRAIN, TEST):
        infer(net, phase, inputs=size)
    return net


def deploy(fusion: Fusion, source: DataSource, batch: int = 1) -> Message:
    """Return the net for inference: an Input layer, no label, `prob` at the end, nothing that only training reads."""
    body = build(fusion, deploy=True).message
    net = type(body)(name=body.name)
    net.layer.add(name=DATA, type="Input", top=[DATA]).input_param.shape.add(dim=[batch, *source.size()])
    for layer in body.layer:
        net.layer.add().CopyFrom(layer)
        _strip_training(net.layer[-1])
    return net


def solver(net_paths: Mapping[str, str], snapshot_prefix: str, overrides: Mapping[str, str]) -> Message:
    """Return a solver: the recipe's values, `net_paths` ('net', or 'train_net' and 'test_net'), and `overrides`.

    An override is a field of SolverParameter and its value in prototxt, quotes left out: {"base_lr": "0.001"}.
    """
    message = schema().SolverParameter()
    fields: Dict[str, Any] = {**SOLVER, "snapshot_prefix": snapshot_prefix}
    for name, value in {**fields, **net_paths}.items():
        if name not in overrides:
            _set(message, name, str(value))
    for name, value in overrides.items():
        _set(message, name, value)
    return message


def default_input(fusion: Fusion) -> Any:
    """Return how the branches' sources prepared their images, None where none tells."""
    return build(fusion).input


def emit_files(
    fusion: Fusion,
    source: DataSource,
    folder: PathLike,
    *,
    split_phases: bool = False,
    deploy_batch: int = 1,
    solver_options: Optional[Mapping[str, str]] = None,
    dry_run: bool = False,
) -> List[Path]:
    """Write the prototxts of a fusion into `folder` and return their paths; nothing is written if one is wrong.

    The solver's test_iter is what covers the test list once; where the list is not there to be counted, it is the
    recipe's 500.
    """
    overrides = dict(solver_options or {})
    if "test_iter" not in overrides:
        count = list_length(source)
        overrides["test_iter"] = str(-(-count // source.test_batch) if count else SOLVER["test_iter"])
    target = Path(folder)
    net = train_val(fusion, source)
    messages: Dict[str, Message] = {}
    if split_phases:
        for name, phase in (("train", TRAIN), ("test", TEST)):
            messages[f"{name}.prototxt"] = proto.only_phase(net, phase)
        paths = {f"{name}_net": str(target / f"{name}.prototxt") for name in ("train", "test")}
    else:
        messages["train_val.prototxt"] = net
        paths = {"net": str(target / "train_val.prototxt")}
    messages["deploy.prototxt"] = deploy(fusion, source, deploy_batch)
    prefix = net.name.lower() + ("_fused" if len(fusion.branches) > 1 else "")
    messages["solver.prototxt"] = solver(paths, prefix, overrides)
    require_savable(messages["solver.prototxt"], net)
    if not dry_run:
        output_folder(target)
        for name, message in messages.items():
            proto.write(target / name, message)
    return [target / name for name in messages]


def list_length(source: DataSource) -> Optional[int]:
    """Return how many images the test list names, None where it is not a list that is there to be read."""
    path = Path(source.test_source)
    return count_images(path) if source.kind == "image" and path.is_file() else None


def _strip_training(layer: Message) -> None:
    named = [spec.name for spec in layer.param]
    layer.ClearField("param")
    if any(named):
        # Shared parameters are shared by name in every phase.
        for name in named:
            layer.param.add(name=name)
    for descriptor, value in layer.ListFields():
        if descriptor.name.endswith("_param") and descriptor.label != descriptor.LABEL_REPEATED:
            for field in _TRAINING_ONLY:
                if field in value.DESCRIPTOR.fields_by_name:
                    value.ClearField(field)


def _set(message: Message, name: str, value: str) -> None:
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        raise GraphError(f"solver: no field {name!r} in SolverParameter")
    if field.type == field.TYPE_STRING:
        value = '"{}"'.format(value.replace("\\", "\\\\").replace('"', '\\"'))
    elif field.type == field.TYPE_BOOL:
        value = value.lower()
    try:
        text_format.Merge(f"{name}: {value}", message)
    except text_format.ParseError as error:
        raise GraphError(f"solver: {name}: {value} is not a value of this field ({error})") from None
