"""Layers as NetSpec functions, and what `frozen` means for each type that has parameters.

Every function takes pycaffe's NetSpec, the full name of the layer (prefix included) and its bottom Top, assigns the
new Top under that name and returns it. A Top that is not assigned gets an automatic name that no weight file knows.
"""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from ._caffe import caffe

Top = Any
"""A pycaffe Top: one output blob of a layer in a NetSpec."""


def param_specs(blobs: int, *, frozen: bool, lr_mult: Sequence[float] = ()) -> Dict[str, List[Dict[str, float]]]:
    """Return the `param` argument of a layer with so many parameter blobs.

    Frozen: one entry per blob with `lr_mult: 0` and `decay_mult: 0`, also where the published net has no entries:
    without one a blob learns at the default of 1. Trainable: the multipliers given, or no entries.
    """
    if frozen:
        return {"param": [{"lr_mult": 0, "decay_mult": 0} for _ in range(blobs)]}
    return {"param": [{"lr_mult": mult} for mult in lr_mult]} if lr_mult else {}


def conv(
    net: Any,
    name: str,
    bottom: Top,
    *,
    frozen: bool,
    bias: bool = True,
    lr_mult: Sequence[float] = (),
    **options: Any,
) -> Top:
    """Add a Convolution; `options` are fields of ConvolutionParameter (num_output, kernel_size, ...)."""
    if not bias:
        options["bias_term"] = False
    specs = param_specs(2 if bias else 1, frozen=frozen, lr_mult=lr_mult)
    net[name] = caffe().layers.Convolution(bottom, **options, **specs)
    return net[name]


def batch_norm_scale(net: Any, norm: str, scale: str, bottom: Top, *, frozen: bool) -> Top:
    """Add BatchNorm on its running statistics and the Scale that carries its affine part, both in place.

    Frozen, the BatchNorm gets three `param` entries: its blobs never learn, but without the entries Caffe runs
    backward through the whole branch down to the first BatchNorm (Net::Init reads the net's own definition).
    """
    layers = caffe().layers
    net[norm] = layers.BatchNorm(bottom, in_place=True, use_global_stats=True, **param_specs(3, frozen=frozen))
    net[scale] = layers.Scale(net[norm], in_place=True, bias_term=True, **param_specs(2, frozen=frozen))
    return net[scale]


def relu(net: Any, name: str, bottom: Top) -> Top:
    """Add a ReLU in place."""
    net[name] = caffe().layers.ReLU(bottom, in_place=True)
    return net[name]


def pool(net: Any, name: str, bottom: Top, kind: str, *, kernel_size: int, stride: int) -> Top:
    """Add a Pooling; `kind` is MAX or AVE."""
    kinds = caffe().params.Pooling
    net[name] = caffe().layers.Pooling(bottom, pool=getattr(kinds, kind), kernel_size=kernel_size, stride=stride)
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
) -> Top:
    """Add an InnerProduct with bias: weights of shape (num_output, K), filled by Xavier's rule."""
    net[name] = caffe().layers.InnerProduct(
        bottom,
        num_output=num_output,
        weight_filler={"type": "xavier"},
        bias_filler={"type": "constant"},
        **param_specs(2, frozen=frozen, lr_mult=lr_mult),
    )
    return net[name]
