"""What the options do that forks add to upstream's messages: whether shapes, parameters and freezing depend on them.

Each option of a fork is in one of two lists, or in none. `READ` has those that the rows go by. `HARMLESS` has those of
which the fork's source says that shapes, parameters and what training does to a layer stay the same, with the reason.
Of an option in neither list, and of one that no Caffe known here has, nobody has looked at what it does: a layer that
gives one has shapes that are not known.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import Dict, FrozenSet, Iterator, List, Optional, Sequence, Tuple

from ..proto.unknown import name_of
from ..schema import CARRIED, Message, values_of
from ..schema.definitions import kind_of
from ..schema.forks import forks_of
from .sources import CHANGED_AT_RANDOM
from .table import TYPES, UNKNOWN, of

READ: Dict[str, Tuple[str, ...]] = {
    "BatchNormParameter": (
        *("scale_bias", "scale_filler", "bias_filler", "filler", "bias_term", "use_weight_bias", "engine"),
        "update_global_stats",
    ),
    "ConvolutionParameter": ("dilation_h", "dilation_w", "hole", "hole_h", "hole_w"),
    "DataParameter": ("shuffle",),
    "DropoutParameter": ("sample_weights_test",),
    "ImageDataParameter": ("label_type",),
    "LayerParameter": ("engine", "detectnet_augmentation_param"),
    "PoolingParameter": ("ceil_mode",),
    "TransformationParameter": (
        *("crop_h", "crop_w", "crop_height", "crop_width", "resize_param", "stride"),
        *("upper_size", "upper_height", "upper_width", "fix_crop", "more_fix_crop"),
        *CHANGED_AT_RANDOM,
    ),
}
"""The forks' options that the rows go by, by message."""

_SPEED = "how fast it is computed, not what"
_NUMBERS = "other numbers of the same shape"
_LOADING = "how fast and from where data comes, not which"
_PRECISION = "the precision of values, and so their bytes, not their number"
_LOSS = "the value of the loss"

HARMLESS: Dict[str, Dict[str, str]] = {
    "BatchNormParameter": {
        "relu": "a ReLU at once with it",
        "stats_batch_size": "how many items of a batch have statistics in common",
    },
    "ConvolutionParameter": {
        "conv_algorithm": _SPEED,
        "conv_algos_override": _SPEED,
        "cudnn_convolution_algo_seeker": _SPEED,
        "negative_slope": "of the ReLU at once with it",
        "relu": "a ReLU at once with it",
    },
    "ConcatParameter": {"engine": _SPEED},
    "DataParameter": {
        **dict.fromkeys(("cache", "parser_threads", "precache", "threads", "disk_reader_threads"), _LOADING),
        "verbose": "what is logged",
    },
    "DropoutParameter": {
        "engine": _SPEED,
        "random_seed": "which values are dropped; it drops them all the same",
        "scale_train": "in which phase values are scaled for those that are dropped",
    },
    "ELUParameter": {"lambda": _NUMBERS},
    "EltwiseParameter": {"engine": _SPEED},
    "FillerParameter": {"diag_val": _NUMBERS, "scale": _NUMBERS},
    "ImageDataParameter": {
        **dict.fromkeys(("cache", "dataset_share_per_node", "precache", "threads"), _LOADING),
        "ignore_label": "what stands where there is no label",
    },
    "InnerProductParameter": {
        "engine": _SPEED,
        "negative_slope": "of the ReLU at once with it",
        "relu": "a ReLU at once with it",
    },
    "LayerParameter": {
        **dict.fromkeys(("forward_type", "backward_type", "forward_math", "backward_math"), _PRECISION),
        "cudnn_math_override": _SPEED,
        "debug": "what is logged",
        "mn_activation_param": "how several machines share the work",
        "mn_grad_compress_param": "how gradients travel between machines",
        "multinode": "how several machines share the work",
        "quantization_param": _PRECISION,
        "reshape_every_iter": "when shapes are looked at again, not which they are",
    },
    "LossParameter": dict.fromkeys(
        ("class_weighting", "label_smoothing", "pre_fixed_normalizer", "weight_by_label_freqs"), _LOSS
    ),
    "PoolingParameter": {
        "avg_include_pad": _NUMBERS,
        "torch_pooling": "nothing in the fork's source reads it",
    },
    "ReLUParameter": {"fuse": _SPEED},
    "ReductionParameter": {"k": "how many of the largest values a TOPK adds up"},
    "TransformationParameter": {
        "allow_upscale": "whether a resize at random, after which no size is known, may enlarge",
        **dict.fromkeys(("bgr2rgb", "cvt_bgr2rgb"), "the order of an image's colours"),
        **dict.fromkeys(("debug_params", "display"), "what is shown"),
        **dict.fromkeys(("interpolation_algo_down", "interpolation_algo_up", "flow", "is_flow"), _NUMBERS),
        "random_seed": "which values are drawn; they are drawn all the same",
        "use_gpu_transform": _SPEED,
    },
}
"""The forks' options that change neither shapes nor parameters nor what training does to a layer, and why."""

_READ_VALUES = {
    "EltwiseParameter.EltwiseOp": ("STOCHASTIC_SUM",),
    "LossParameter.NormalizationMode": ("PRE_FIXED", "NONE"),
    "ReductionParameter.ReductionOp": ("TOPK",),
}
"""The forks' values of upstream's enums that the rows go by, or that keep the shapes."""


def unclear(layer: Message) -> List[str]:
    """Return the options, such as 'pooling_param.kernel_size_3d', that a layer of a known type gives and of which it is
    not known what they do to its shapes."""
    return [] if of(layer) is UNKNOWN else sorted(set(_unclear(layer, "", of(layer).options)))


def _unclear(message: Message, path: str, own: str) -> Iterator[str]:
    looks = _looks(message.DESCRIPTOR)
    for field, value in message.ListFields():
        look = looks.get(field.name)
        if look is None:
            continue
        if look is _Look.CARRIED:
            yield from (path + name for name in _names_of(message, value) if name != own)
        elif look is _Look.UNCLEAR or (look is _Look.OPTIONS and field.name not in _all_options()):
            yield path + field.name
        else:
            within = _unclear_value if look is _Look.VALUE else _unclear_within
            for one in values_of(field, value):
                yield from within(field, one, path)


def _unclear_within(field: Message, message: Message, path: str) -> Iterator[str]:
    return _unclear(message, f"{path}{field.name}.", "")


class _Look(Enum):
    """What is to be looked at in a field that a message gives."""

    CARRIED = "the names of what no Caffe known here has"
    UNCLEAR = "nothing more: it is not known what the field does"
    OPTIONS = "whether they are those of a type, which another does not read, and then the fields within"
    WITHIN = "the fields of its message"
    VALUE = "the word that it gives"


@lru_cache(maxsize=None)
def _looks(descriptor: Message) -> Dict[str, _Look]:
    """Return the fields of a message that are to be looked at; of most there is nothing to ask."""
    looks = {field.name: _look(kind_of(descriptor), field) for field in descriptor.fields}
    return {name: look for name, look in looks.items() if look is not None}


def _look(kind: str, field: Message) -> Optional[_Look]:
    if field.name == CARRIED:
        return _Look.CARRIED
    if field.name == "blobs" or _is_harmless(kind, field.name):
        return None
    if not forks_of(kind) and forks_of(kind, field.name) and field.name not in READ.get(kind, ()):
        return _Look.OPTIONS if kind == "LayerParameter" and field.message_type is not None else _Look.UNCLEAR
    if field.message_type is not None:
        return _Look.WITHIN
    is_upstreams = field.enum_type is not None and not forks_of(kind_of(field.enum_type))
    return _Look.VALUE if is_upstreams else None


def _names_of(message: Message, texts: Sequence[str]) -> Iterator[str]:
    """Yield the names of the fields that a message carries and that are not known to be harmless."""
    kind = kind_of(message.DESCRIPTOR)
    return (name for name in map(name_of, texts) if not _is_harmless(kind, name))


def _is_harmless(kind: str, name: str) -> bool:
    return name in HARMLESS.get(kind, {})


@lru_cache(maxsize=None)
def _all_options() -> FrozenSet[str]:
    from .fork_table import FORK_TYPES

    return frozenset(row.options for row in (*TYPES.values(), *FORK_TYPES.values()))


def _unclear_value(field: Message, value: int, path: str) -> Iterator[str]:
    enum = field.enum_type
    kind = kind_of(enum)
    if enum.name == "Engine":
        return
    known = enum.values_by_number.get(value)
    if known is not None and forks_of(kind, known.name) and known.name not in _READ_VALUES.get(kind, ()):
        yield f"{path}{field.name}: {known.name}"
