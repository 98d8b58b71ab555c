"""Layers that normalise by means and variances: BatchNorm, as upstream and the forks have it, and the forks' BN.

Two layers of one name differ from fork to fork in their parameters. What a layer is, is told by the options that it
gives, each of which only some forks have; where they do not tell, the parameters are unknown.
"""

from __future__ import annotations

from typing import Iterator, List, Optional, Sequence, Tuple

from ..schema import TEST, Message
from .answers import STILL
from .lengths import Length, Shape, Shapes, UnfitError, canonical, count, legacy
from .row import Filled, Statistics, Use

_OF_FORKS = ("scale_filler", "bias_filler", "filler", "bias_term", "engine")
"""Options of a BatchNorm that two forks or more have, with other parameters in each."""


def batch_norm(layer: Message, bottoms: List[Shape]) -> Shapes:
    """BatchNorm: mean, variance and the factor of the moving average; then scale and bias, in the forks that have them.

    Of its options NVIDIA 0.17 has `scale_bias`, after which the five lie in this order (batch_norm_layer.cpp); NVIDIA
    0.15 always has five, scale and bias first; Intel has three with its own engine and three to five with MKL's
    (mkldnn_batch_norm_layer.cpp).
    """
    shape = bottoms[0]
    channels = None if shape is None else shape[canonical(shape, 1)]
    learned = _has_scale_and_bias(layer)
    if learned is None:
        return [shape], None
    return [shape], [(channels,), (channels,), (1,), *[(channels,)] * (2 * learned)]


def _has_scale_and_bias(layer: Message) -> Optional[bool]:
    """Tell whether a BatchNorm learns a scale and a bias itself; None where that depends on the fork."""
    p = layer.batch_norm_param
    if _gives(p, "scale_bias"):
        return bool(p.scale_bias) or _gives(p, "scale_filler", "bias_filler")
    if _gives(p, "use_weight_bias") and not p.use_weight_bias:
        return False
    # Intel's layers name their engine beside their options too.
    doubtful = _gives(p, "use_weight_bias", *_OF_FORKS) or _gives(layer, "engine")
    return None if doubtful else False


def _gives(message: Message, *names: str) -> bool:
    known = message.DESCRIPTOR.fields_by_name
    return any(name in known and message.HasField(name) for name in names)


def _is_upstreams(layer: Message) -> bool:
    """Tell whether a BatchNorm has no option that another Caffe may read otherwise."""
    return _has_scale_and_bias(layer) is False and not _gives(layer.batch_norm_param, "scale_bias")


def batch_norm_kept(use: Use) -> int:
    """BatchNorm: the variances, replicated, and what it has normalised; in place its gradient too."""
    return (3 if use.backward and use.in_place else 2) * count(use.bottoms[0])


def learns_at_its_own_rate(layer: Message) -> bool:
    """NVIDIA's BatchNorm sets the rates of its scale and bias to 1, whatever its entries say (LayerSetUp)."""
    return _has_scale_and_bias(layer) is True


def _batch_norm_blobs(layer: Message) -> Optional[Sequence[int]]:
    return None if _has_scale_and_bias(layer) is None else (0, 1, 2)


def _batch_norm_factor(layer: Message) -> Optional[int]:
    return None if _has_scale_and_bias(layer) is None else 2


def _batch_norm_stored(layer: Message, trains: bool) -> bool:
    """`use_global_stats`, where it is written, wins over the phase (BatchNormLayer::LayerSetUp), but not in NVIDIA's,
    which goes by the phase alone."""
    p = layer.batch_norm_param
    if trains and _gives(p, "update_global_stats") and p.update_global_stats:
        # PSPNet's: it works on the stored ones and moves them at the same time.
        return False
    if not p.HasField("use_global_stats"):
        return not trains
    if _is_upstreams(layer):
        return bool(p.use_global_stats)
    return bool(p.use_global_stats) and not trains


def _store_batch_norm(layer: Message) -> None:
    if _has_scale_and_bias(layer) is None:
        raise UnfitError(
            f"its options ({', '.join(_doubtful(layer))}) mean other parameters in NVIDIA's Caffe than in Intel's, so "
            "that it is not known how many there are to hold fixed; leave these options out, and put scale and bias "
            "into a Scale layer"
        )
    layer.batch_norm_param.use_global_stats = True
    if _gives(layer.batch_norm_param, "update_global_stats"):
        layer.batch_norm_param.ClearField("update_global_stats")
    if not _is_upstreams(layer):
        layer.phase = TEST


def _doubtful(layer: Message) -> List[str]:
    p = layer.batch_norm_param
    own = [name for name in ("use_weight_bias", *_OF_FORKS) if _gives(p, name)]
    return own + ["the layer's engine"] * _gives(layer, "engine")


def _release_batch_norm(layer: Message) -> None:
    layer.batch_norm_param.ClearField("use_global_stats")


BATCH_NORM = STILL._replace(
    statistics=Statistics(
        _batch_norm_blobs,
        _batch_norm_factor,
        _batch_norm_stored,
        _store_batch_norm,
        "use_global_stats: true",
        _release_batch_norm,
    ),
    own_rates=learns_at_its_own_rate,
)

_SEGNETS = ("scale_filler", "shift_filler", "bn_mode")
_OTHERS = ("slope_filler", "bias_filler", "momentum", "eps", "frozen", "engine")


def _is_segnets(layer: Message) -> Optional[bool]:
    """Tell whether a BN is SegNet's, and not that of TSN and PSPNet; None where its options do not tell."""
    p = layer.bn_param
    segnets, others = _gives(p, *_SEGNETS), _gives(p, *_OTHERS)
    return None if segnets == others else segnets


def bn(layer: Message, bottoms: List[Shape]) -> Shapes:
    """BN: SegNet's has scale and shift, and gives mean and variance as further tops; that of TSN and PSPNet has slope,
    bias, mean and variance, (1, C) in the one and (1, C, 1, 1) in the other (bn_layer.cpp of each)."""
    shape, segnets = bottoms[0], _is_segnets(layer)
    channels = None if shape is None else legacy(shape)[1]
    one_each: Shape = (1, channels, 1, 1)
    if segnets is False and len(layer.top) > 1:
        raise UnfitError("has several tops; the BN of TSN and PSPNet, to which its options belong, has one")
    params: Optional[List[Shape]] = None
    if segnets is not None:
        params = [one_each] * 2 if segnets else [None] * 4
    first: Shape = legacy(shape) if segnets and shape is not None else shape
    return [first, one_each, one_each][: len(layer.top)], params


def sync_bn(_layer: Message, bottoms: List[Shape]) -> Shapes:
    """SyncBN of TSN (sync_bn_layer.cpp): slope, bias, mean and variance (1, C)."""
    shape = bottoms[0]
    channels: Length = None if shape is None else legacy(shape)[1]
    return [shape], [(1, channels)] * 4


def bn_kept(use: Use) -> int:
    """BN: what it has normalised, and room to spread statistics over the values."""
    return 2 * count(use.bottoms[0])


def bn_fillers(layer: Message, params: List[Shape], _tops: List[Shape]) -> Iterator[Filled]:
    """BN: its first two blobs are filled, under other names in each fork."""
    fields = ("scale_filler", "shift_filler") if _is_segnets(layer) else ("slope_filler", "bias_filler")
    return (Filled(field, getattr(layer.bn_param, field), shape) for field, shape in zip(fields, params))


def _bn_blobs(layer: Message) -> Optional[Sequence[int]]:
    segnets = _is_segnets(layer)
    return None if segnets is None else () if segnets else (2, 3)


def _no_factor(_layer: Message) -> Optional[int]:
    return None


def _bn_stored(layer: Message, trains: bool) -> Optional[bool]:
    """SegNet's goes by each batch in LEARN, whatever the phase, and does not normalise at all in INFERENCE."""
    p, segnets = layer.bn_param, _is_segnets(layer)
    if segnets:
        return None if p.bn_mode == p.INFERENCE else False
    if segnets is None:
        return False
    return bool(p.frozen) or not trains


def _store_bn(layer: Message) -> None:
    p, segnets = layer.bn_param, _is_segnets(layer)
    if segnets is None:
        raise UnfitError(
            "its options do not say whose BN it is, and so not how many parameters there are to hold fixed; give it "
            "bn_param { frozen: true } for that of TSN and PSPNet, { bn_mode: INFERENCE } for SegNet's"
        )
    if not segnets:
        p.frozen = True
    elif p.bn_mode != p.INFERENCE:
        raise UnfitError(
            "SegNet's BN stores no statistics, and in bn_mode LEARN normalises by each batch in every phase; let "
            "SegNet's compute_bn_statistics.py write weights with the statistics in them, and set bn_mode: INFERENCE"
        )


def _release_bn(layer: Message) -> None:
    if _is_segnets(layer) is False:
        layer.bn_param.ClearField("frozen")


BN = STILL._replace(
    statistics=Statistics(_bn_blobs, _no_factor, _bn_stored, _store_bn, "bn_param { frozen: true }", _release_bn)
)


def _mean_and_variance(_layer: Message) -> Tuple[int, ...]:
    return (2, 3)


def _by_phase(_layer: Message, trains: bool) -> bool:
    return not trains


def _store_by_phase(layer: Message) -> None:
    layer.phase = TEST


def _release_to_phase(layer: Message) -> None:
    layer.ClearField("phase")


SYNC_BN = STILL._replace(
    statistics=Statistics(_mean_and_variance, _no_factor, _by_phase, _store_by_phase, "phase: TEST", _release_to_phase)
)
