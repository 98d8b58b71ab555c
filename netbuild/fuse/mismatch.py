"""Where layers of the target and of a weight file compute something else, although their shapes agree.

Shapes do not tell a transposed matrix from one that is not; definitions do.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Collection, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from ..proto import written_again
from ..schema import Message, is_repeated
from ..weights.model import Model
from .decision import Copy
from .definitions import stored
from .problem import DIFFERS, Advice, Problem, require_none

_SLIDING = {"stride": 1, "pad": 0, "dilation": 1}
"""Parameters of a sliding window that have one number for all axes or one for each, and their defaults."""
_SEEN_IN_SHAPES = ("num_output", "bias_term", "kernel_size", "kernel_h", "kernel_w", "shape", "input_dim")
_NEUTRAL = ("engine", "debug_info", "use_global_stats", "moving_average_fraction", "force_nd_im2col")
"""Fields that leave what stored values compute as it is. (A frozen BatchNorm is on its stored statistics.)"""
_FORMS = {name: (f"{name}_h", f"{name}_w") for name in _SLIDING}
"""The fields that give a sliding window's stride or pad for each of two axes."""
_LEFT_OUT = {*_NEUTRAL, *_SEEN_IN_SHAPES, *(form for forms in _FORMS.values() for form in forms)}


class Difference(NamedTuple):
    """A parameter that a layer of the target and one of a file do not have in common."""

    parameter: str
    expected: str
    found: str


def compare_definitions(
    net: Message,
    copies: Sequence[Copy],
    models: Mapping[str, Sequence[Model]],
    *,
    accept: Collection[str],
    advice: Advice,
) -> Tuple[str, ...]:
    """Compare what the layers of the target and their sources say of themselves; return the differences accepted.

    `accept` names the parameters in which they may differ. Raises WeightsError for all other differences.
    """
    again = written_again(net, range(len(net.layer)))
    targets = {layer.name: layer for index, layer in enumerate(net.layer) if index not in again}
    problems: List[Problem] = []
    accepted: List[str] = []
    for copy, source in _with_definitions(copies, models):
        for one in definition_differences(targets[copy.target], source):
            if one.parameter in accept:
                accepted.append(f"{copy.target}: {one.parameter} {one.expected}, {one.found} in {copy.path}")
            elif not copy.reshaped or one.parameter == "transpose":
                # A layer that takes values of another shape may have another type; transposed they may not be.
                problems.append(_problem(copy, one))
    require_none(problems, advice)
    return tuple(accepted)


def _problem(copy: Copy, one: Difference) -> Problem:
    source = f"{copy.path}: {copy.source}"
    return Problem(DIFFERS, copy.target, f"{one.parameter} {one.expected}", source, one.found)


def _with_definitions(copies: Sequence[Copy], models: Mapping[str, Sequence[Model]]) -> Iterator[Tuple[Copy, Message]]:
    """Yield each copy with its source's definition, file by file."""
    for path, model in {model.path: model for listed in models.values() for model in listed}.items():
        own = [copy for copy in copies if copy.path == path]
        wanted = {copy.source for copy in own}
        held = stored(model, wanted).layers if wanted else ()
        # Another layer of the name may have no blobs, and is not what is copied.
        definitions = {layer.name: definition for layer, definition in held if layer.blobs}
        for copy in own:
            yield copy, definitions[copy.source]


def definition_differences(target: Message, source: Message) -> List[Difference]:
    """Return in which parameters two definitions of a layer differ, but for fillers and what leaves its outputs alike.

    Where the source says nothing of its type there is nothing to compare.
    """
    if not source.type:
        return []
    if target.type != source.type:
        types = Difference("type", target.type, source.type)
        turned = [str(layer.inner_product_param.transpose).lower() for layer in (target, source)]
        return [types, *([Difference("transpose", *turned)] if "true" in turned else [])]
    differences: List[Difference] = []
    for field in dict.fromkeys([*_parameters(target), *_parameters(source)]):
        sides = [getattr(layer, field) for layer in (target, source)]
        ours, theirs = (_values(side.__class__, side.SerializeToString()) for side in sides)
        differences += [
            Difference(name, _value_text(ours[name]), _value_text(theirs[name]))
            for name in ours
            if ours[name] != theirs[name]
        ]
    return differences


def _parameters(layer: Message) -> List[str]:
    """Return the names of the messages that hold the layer's own parameters, convolution_param and the like."""
    return [
        descriptor.name
        for descriptor, _ in layer.ListFields()
        if descriptor.name.endswith("_param")
        and descriptor.name not in ("transform_param", "loss_param")
        and not is_repeated(descriptor)
    ]


@lru_cache(maxsize=1024)
def _values(kind: Any, serialised: bytes) -> Dict[str, Any]:
    """Return the parameters of a message by name, defaults filled in, each form of a sliding window as one.

    A net has the same few again and again.
    """
    parameters = kind.FromString(serialised)
    names = [field.name for field in parameters.DESCRIPTOR.fields if _matters(field.name)]
    values = {name: _plain(getattr(parameters, name)) for name in names}
    return {**values, **{name: _per_axis(parameters, name) for name in _SLIDING if name in values}}


def _matters(name: str) -> bool:
    """Tell whether a parameter changes what stored values compute, and shows in no shape."""
    return name not in _LEFT_OUT and not name.endswith("filler")


def _plain(value: Any) -> Any:
    """Return a field's value, a repeated one as a list."""
    return list(value) if hasattr(value, "__len__") and not isinstance(value, (str, bytes)) else value


def _per_axis(parameters: Message, name: str) -> Any:
    """Return one number for all axes, or a list where they differ."""
    value = _plain(getattr(parameters, name))
    values = value if isinstance(value, list) else [value]
    forms = _FORMS[name]
    fields = parameters.DESCRIPTOR.fields_by_name
    if forms[0] in fields and any(map(parameters.HasField, forms)):
        values = [getattr(parameters, form) for form in forms]
    return values[0] if len(set(values)) == 1 else values or _SLIDING[name]


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value).strip()
