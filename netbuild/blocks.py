"""Layers as NetSpec functions, and what `frozen` means for each type that has parameters.

Every function takes pycaffe's NetSpec, the full name of the layer (prefix included) and its bottom Top, assigns the
new Top under that name and returns it. A Top that is not assigned gets an automatic name that no weight file knows.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

from .engine.caffe import TEST, caffe

Top = Any
"""A pycaffe Top: one output blob of a layer in a NetSpec."""

XAVIER: Mapping[str, Any] = {"type": "xavier"}
MSRA: Mapping[str, Any] = {"type": "msra"}
LEARNING: Mapping[str, Any] = {"lr_mult": (1, 2), "decay_mult": (1, 0)}
"""How weights and biases learn in BVLC's nets, and in most made after them: biases twice as fast, without decay."""


def param_specs(
    blobs: int, *, frozen: bool, lr_mult: Sequence[float] = (), decay_mult: Sequence[float] = ()
) -> Dict[str, List[Dict[str, float]]]:
    """Return the `param` argument of a layer with so many parameter blobs.

    Frozen: one entry per blob with `lr_mult: 0` and `decay_mult: 0`, also where the published net has no entries:
    without one a blob learns at the default of 1. Trainable: the multipliers given, or no entries.
    """
    if frozen:
        return {"param": [{"lr_mult": 0, "decay_mult": 0} for _ in range(blobs)]}
    specs = [{"lr_mult": mult} for mult in lr_mult]
    for spec, mult in zip(specs, decay_mult):
        spec["decay_mult"] = mult
    return {"param": specs} if specs else {}


def fillers(weight: Mapping[str, Any], bias: Optional[float] = None, *, frozen: bool) -> Dict[str, Any]:
    """Return the filler arguments of a layer: `weight` a FillerParameter, `bias` a constant.

    A frozen layer gets none: its blobs come from a file, and filling 100 million weights first only costs time.
    """
    if frozen:
        return {}
    options: Dict[str, Any] = {"weight_filler": dict(weight)}
    if bias is not None:
        options["bias_filler"] = {"type": "constant", "value": bias} if bias else {"type": "constant"}
    return options


def conv(
    net: Any,
    name: str,
    bottom: Top,
    *,
    frozen: bool,
    bias: bool = True,
    lr_mult: Sequence[float] = (),
    decay_mult: Sequence[float] = (),
    **options: Any,
) -> Top:
    """Add a Convolution; `options` are fields of ConvolutionParameter (num_output, kernel_size, ...)."""
    if not bias:
        options["bias_term"] = False
    specs = param_specs(2 if bias else 1, frozen=frozen, lr_mult=lr_mult, decay_mult=decay_mult)
    net[name] = caffe().layers.Convolution(bottom, **options, **specs)
    return net[name]


def conv_relu(net: Any, name: str, relu_name: str, bottom: Top, *, frozen: bool, **options: Any) -> Top:
    """Add a Convolution and a ReLU in place on it; `options` are those of `conv`."""
    return relu(net, relu_name, conv(net, name, bottom, frozen=frozen, **options))


def batch_norm_scale(
    net: Any,
    norm: str,
    scale: str,
    bottom: Top,
    *,
    frozen: bool,
    global_stats: bool = True,
    in_place: bool = True,
    scale_decay: Sequence[float] = (),
    **options: Any,
) -> Top:
    """Add BatchNorm and, in place on it, the Scale that carries its affine part.

    `global_stats` false leaves `use_global_stats` out, as nets trained from scratch do: TRAIN then works on the
    batch's statistics, TEST on the running ones. Frozen, it is always set. `in_place` is BatchNorm's: false gives
    it a blob of its own, `norm`. `scale_decay` holds the decay_mult of Scale's two blobs; with it, BatchNorm's three
    get entries of zeros too. `options` are further fields of BatchNormParameter (eps, ...).

    Frozen, the BatchNorm gets three `param` entries: its blobs never learn, but without the entries Caffe runs
    backward through the whole branch down to the first BatchNorm (Net::Init reads the net's own definition).
    """
    layers = caffe().layers
    if global_stats or frozen:
        options["use_global_stats"] = True
    specs = param_specs(3, frozen=frozen or len(scale_decay) > 0)
    net[norm] = layers.BatchNorm(bottom, in_place=in_place, **options, **specs)
    specs = param_specs(2, frozen=frozen, lr_mult=(1,) * len(scale_decay), decay_mult=scale_decay)
    net[scale] = layers.Scale(net[norm], in_place=True, bias_term=True, **specs)
    return net[scale]


def relu(net: Any, name: str, bottom: Top) -> Top:
    """Add a ReLU in place."""
    net[name] = caffe().layers.ReLU(bottom, in_place=True)
    return net[name]


def pool(net: Any, name: str, bottom: Top, kind: str, **geometry: Any) -> Top:
    """Add a Pooling; `kind` is MAX or AVE, `geometry` are fields of PoolingParameter (kernel_size, stride, ...)."""
    kinds = caffe().params.Pooling
    net[name] = caffe().layers.Pooling(bottom, pool=getattr(kinds, kind), **geometry)
    return net[name]


def lrn(net: Any, name: str, bottom: Top) -> Top:
    """Add an LRN across 5 channels with alpha 0.0001 and beta 0.75, the values of all published nets here."""
    net[name] = caffe().layers.LRN(bottom, local_size=5, alpha=0.0001, beta=0.75)
    return net[name]


def dropout(net: Any, name: str, bottom: Top, ratio: float, *, frozen: bool, in_place: bool = True) -> Top:
    """Add a Dropout; frozen, its own `phase: TEST` makes it the identity in a TRAIN net too."""
    phase = {"phase": TEST} if frozen else {}
    net[name] = caffe().layers.Dropout(bottom, in_place=in_place, dropout_ratio=ratio, **phase)
    return net[name]


def concat(net: Any, name: str, bottoms: Sequence[Top]) -> Top:
    """Add a Concat along the channels, in the order given."""
    net[name] = caffe().layers.Concat(*bottoms)
    return net[name]


def add(net: Any, name: str, bottoms: Sequence[Top]) -> Top:
    """Add an Eltwise that sums its bottoms."""
    net[name] = caffe().layers.Eltwise(*bottoms)
    return net[name]


def fc(
    net: Any,
    name: str,
    bottom: Top,
    num_output: int,
    *,
    frozen: bool = False,
    lr_mult: Sequence[float] = (1, 2),
    decay_mult: Sequence[float] = (),
    **options: Any,
) -> Top:
    """Add an InnerProduct with bias: weights of shape (num_output, K).

    `options` are fields of InnerProductParameter; without fillers among them, a trainable layer's weights are
    filled by Xavier's rule.
    """
    options = options or fillers(XAVIER, 0, frozen=frozen)
    specs = param_specs(2, frozen=frozen, lr_mult=lr_mult, decay_mult=decay_mult)
    net[name] = caffe().layers.InnerProduct(bottom, num_output=num_output, **options, **specs)
    return net[name]
