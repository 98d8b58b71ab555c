"""Layers as NetSpec functions, and what `frozen` means for each type that has parameters.

Every function takes pycaffe's NetSpec, the full name of the layer (prefix included) and its bottom Top, assigns the
new Top under that name and returns it. A Top that is not assigned gets an automatic name that no weight file knows.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

from .schema import TEST, netspec

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

    Frozen, each blob has an entry of zeros, also where the published net has no entries: without one a blob learns at
    the default of 1.

    Args:
        blobs: The number of the layer's parameter blobs: 2 for a convolution with a bias.
        frozen: Whether training is to change none of them.
        lr_mult: For a layer that learns the factor on the learning rate of each blob; none for no entries.
        decay_mult: The same of the weight decay.

    Returns:
        The argument, by its name.

    Examples:
        >>> from netbuild import blocks
        >>> blocks.param_specs(2, frozen=True)
        {'param': [{'lr_mult': 0, 'decay_mult': 0}, {'lr_mult': 0, 'decay_mult': 0}]}
        >>> blocks.param_specs(2, frozen=False, lr_mult=(1, 2))
        {'param': [{'lr_mult': 1}, {'lr_mult': 2}]}
    """
    if frozen:
        return {"param": [{"lr_mult": 0, "decay_mult": 0} for _ in range(blobs)]}
    specs = [{"lr_mult": mult} for mult in lr_mult]
    for spec, mult in zip(specs, decay_mult):
        spec["decay_mult"] = mult
    return {"param": specs} if specs else {}


def fillers(weight: Mapping[str, Any], bias: Optional[float] = None, *, frozen: bool) -> Dict[str, Any]:
    """Return the filler arguments of a layer.

    A frozen layer gets none: its blobs come from a file, and filling 100 million weights first only costs time.

    Args:
        weight: The fields of a FillerParameter, for the weights: `blocks.XAVIER`, `blocks.MSRA`.
        bias: The constant that the bias begins as; by default the layer has no filler for it.
        frozen: Whether training is to change nothing in the layer.

    Returns:
        The arguments, by their names.

    Examples:
        >>> from netbuild import blocks
        >>> blocks.fillers(blocks.XAVIER, 0, frozen=False)
        {'weight_filler': {'type': 'xavier'}, 'bias_filler': {'type': 'constant'}}
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
    """Add a Convolution.

    Args:
        net: The pycaffe NetSpec that the layer is written into.
        name: The layer's full name, prefix included: `qualify(prefix, "conv1")`.
        bottom: The Top that it reads, (N, C, H, W).
        frozen: Whether training is to change none of its blobs.
        bias: Whether it has a bias.
        lr_mult: For a layer that learns the factor on the learning rate of each blob.
        decay_mult: The same of the weight decay.
        options: Fields of ConvolutionParameter: `num_output`, `kernel_size`, `stride`, `pad`, fillers.

    Returns:
        The layer's Top.

    Examples:
        >>> from netbuild import blocks, netspec
        >>> net = netspec().NetSpec()
        >>> net.data = netspec().layers.Input(shape={"dim": [1, 3, 8, 8]})
        >>> top = blocks.conv(net, "conv1", net.data, frozen=True, num_output=4, kernel_size=3)
        >>> len(net.to_proto().layer[1].param)
        2
    """
    if not bias:
        options["bias_term"] = False
    specs = param_specs(2 if bias else 1, frozen=frozen, lr_mult=lr_mult, decay_mult=decay_mult)
    net[name] = netspec().layers.Convolution(bottom, **options, **specs)
    return net[name]


def conv_relu(net: Any, name: str, relu_name: str, bottom: Top, *, frozen: bool, **options: Any) -> Top:
    """Add a Convolution, and a ReLU in place on it.

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        name: The convolution's full name, prefix included.
        relu_name: The ReLU's.
        bottom: The Top that the convolution reads, (N, C, H, W).
        frozen: Whether training is to change none of its blobs.
        options: What `conv` takes beyond that.

    Returns:
        The Top of the ReLU.

    Examples:
        >>> from netbuild import blocks, netspec
        >>> net = netspec().NetSpec()
        >>> net.data = netspec().layers.Input(shape={"dim": [1, 3, 8, 8]})
        >>> top = blocks.conv_relu(net, "conv1", "relu1", net.data, frozen=True, num_output=4, kernel_size=3)
        >>> [layer.type for layer in net.to_proto().layer]
        ['Input', 'Convolution', 'ReLU']
    """
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
    """Add a BatchNorm and, in place on it, the Scale that carries its affine part.

    Frozen, the BatchNorm gets three `param` entries. Its blobs never learn, but without the entries Caffe runs backward
    through the whole branch down to the first BatchNorm (Net::Init reads the net's own definition).

    Args:
        net: The pycaffe NetSpec that the layers are written into.
        norm: The BatchNorm's full name, prefix included.
        scale: The Scale's.
        bottom: The Top that the BatchNorm reads, (N, C, H, W).
        frozen: Whether training is to change nothing in both.
        global_stats: Whether a BatchNorm that is not frozen works on its stored statistics in TRAIN too. Without them,
            as in nets trained from scratch, TRAIN works on the statistics of the batch and TEST on the stored ones.
        in_place: Whether the BatchNorm works in place; otherwise it has a blob of its own, `norm`.
        scale_decay: The factors on the weight decay of Scale's two blobs. With them, BatchNorm's three get entries of
            zeros too.
        options: Further fields of BatchNormParameter: `eps`, `moving_average_fraction`.

    Returns:
        The Top of the Scale.

    Examples:
        >>> from netbuild import blocks, netspec
        >>> net = netspec().NetSpec()
        >>> net.data = netspec().layers.Input(shape={"dim": [1, 3, 8, 8]})
        >>> top = blocks.conv(net, "conv1", net.data, frozen=True, bias=False, num_output=4, kernel_size=3)
        >>> top = blocks.batch_norm_scale(net, "bn1", "scale1", top, frozen=True)
        >>> [layer.type for layer in net.to_proto().layer]
        ['Input', 'Convolution', 'BatchNorm', 'Scale']
    """
    layers = netspec().layers
    if global_stats or frozen:
        options["use_global_stats"] = True
    specs = param_specs(3, frozen=frozen or len(scale_decay) > 0)
    net[norm] = layers.BatchNorm(bottom, in_place=in_place, **options, **specs)
    specs = param_specs(2, frozen=frozen, lr_mult=(1,) * len(scale_decay), decay_mult=scale_decay)
    net[scale] = layers.Scale(net[norm], in_place=True, bias_term=True, **specs)
    return net[scale]


def relu(net: Any, name: str, bottom: Top) -> Top:
    """Add a ReLU in place.

    Args:
        net: The pycaffe NetSpec that the layer is written into.
        name: The layer's full name, prefix included: `qualify(prefix, "relu1")`.
        bottom: The Top that it works on.

    Returns:
        The layer's Top.

    Examples:
        >>> from netbuild import blocks, netspec
        >>> net = netspec().NetSpec()
        >>> net.data = netspec().layers.Input(shape={"dim": [1, 3, 8, 8]})
        >>> top = blocks.fc(net, "fc1", net.data, 16)
        >>> top = blocks.relu(net, "relu1", top)
    """
    net[name] = netspec().layers.ReLU(bottom, in_place=True)
    return net[name]


def pool(net: Any, name: str, bottom: Top, kind: str, **geometry: Any) -> Top:
    """Add a Pooling.

    Args:
        net: The pycaffe NetSpec that the layer is written into.
        name: The layer's full name, prefix included: `qualify(prefix, "pool1")`.
        bottom: The Top that it reads, (N, C, H, W).
        kind: 'MAX', 'AVE' or 'STOCHASTIC'.
        geometry: Fields of PoolingParameter: `kernel_size`, `stride`, `pad`, `global_pooling`.

    Returns:
        The layer's Top.

    Examples:
        >>> from netbuild import blocks, netspec
        >>> net = netspec().NetSpec()
        >>> net.data = netspec().layers.Input(shape={"dim": [1, 3, 8, 8]})
        >>> top = blocks.pool(net, "pool1", net.data, "MAX", kernel_size=2, stride=2)
    """
    kinds = netspec().params.Pooling
    net[name] = netspec().layers.Pooling(bottom, pool=getattr(kinds, kind), **geometry)
    return net[name]


def lrn(net: Any, name: str, bottom: Top) -> Top:
    """Add an LRN across 5 channels with alpha 0.0001 and beta 0.75, the values of all published nets here.

    Args:
        net: The pycaffe NetSpec that the layer is written into.
        name: The layer's full name, prefix included: `qualify(prefix, "norm1")`.
        bottom: The Top that it reads, (N, C, H, W).

    Returns:
        The layer's Top.

    Examples:
        >>> from netbuild import blocks, netspec
        >>> net = netspec().NetSpec()
        >>> net.data = netspec().layers.Input(shape={"dim": [1, 3, 8, 8]})
        >>> top = blocks.lrn(net, "norm1", net.data)
    """
    net[name] = netspec().layers.LRN(bottom, local_size=5, alpha=0.0001, beta=0.75)
    return net[name]


def dropout(net: Any, name: str, bottom: Top, ratio: float, *, frozen: bool, in_place: bool = True) -> Top:
    """Add a Dropout. Frozen, a `phase: TEST` of its own makes it pass its input on in a TRAIN net too.

    Args:
        net: The pycaffe NetSpec that the layer is written into.
        name: The layer's full name, prefix included: `qualify(prefix, "drop1")`.
        bottom: The Top that it reads.
        ratio: The share of values that each training step leaves out.
        frozen: Whether it is to leave out nothing.
        in_place: Whether it works in place; otherwise it has a blob of its own.

    Returns:
        The layer's Top.

    Examples:
        >>> from netbuild import blocks, netspec
        >>> net = netspec().NetSpec()
        >>> net.data = netspec().layers.Input(shape={"dim": [1, 3, 8, 8]})
        >>> top = blocks.dropout(net, "drop1", blocks.fc(net, "fc1", net.data, 16), 0.5, frozen=True)
        >>> net.to_proto().layer[2].phase  # TEST
        1
    """
    phase = {"phase": TEST} if frozen else {}
    net[name] = netspec().layers.Dropout(bottom, in_place=in_place, dropout_ratio=ratio, **phase)
    return net[name]


def concat(net: Any, name: str, bottoms: Sequence[Top]) -> Top:
    """Add a Concat along the channels.

    Args:
        net: The pycaffe NetSpec that the layer is written into.
        name: The layer's full name, prefix included: `qualify(prefix, "concat")`.
        bottoms: The Tops that it reads, in their order: (N, C1, H, W), (N, C2, H, W), ...

    Returns:
        The layer's Top, (N, C1 + C2 + ..., H, W).

    Examples:
        >>> from netbuild import blocks, netspec
        >>> net = netspec().NetSpec()
        >>> net.data = netspec().layers.Input(shape={"dim": [1, 3, 8, 8]})
        >>> top = blocks.concat(net, "twice", [net.data, net.data])
    """
    net[name] = netspec().layers.Concat(*bottoms)
    return net[name]


def add(net: Any, name: str, bottoms: Sequence[Top]) -> Top:
    """Add an Eltwise that sums its bottoms.

    Args:
        net: The pycaffe NetSpec that the layer is written into.
        name: The layer's full name, prefix included: `qualify(prefix, "res2a")`.
        bottoms: The Tops that it reads, of one shape.

    Returns:
        The layer's Top.

    Examples:
        >>> from netbuild import blocks, netspec
        >>> net = netspec().NetSpec()
        >>> net.data = netspec().layers.Input(shape={"dim": [1, 3, 8, 8]})
        >>> top = blocks.add(net, "doubled", [net.data, net.data])
    """
    net[name] = netspec().layers.Eltwise(*bottoms)
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
    """Add an InnerProduct with a bias: weights of the shape (num_output, K).

    Args:
        net: The pycaffe NetSpec that the layer is written into.
        name: The layer's full name, prefix included: `qualify(prefix, "fc1")`.
        bottom: The Top that it reads, (N, K) or (N, C, H, W).
        num_output: The number of its outputs.
        frozen: Whether training is to change none of its blobs.
        lr_mult: For a layer that learns the factors on the learning rates of weights and bias.
        decay_mult: The same of the weight decay.
        options: Fields of InnerProductParameter. Without fillers among them, the weights of a layer that learns are
            filled by Xavier's rule.

    Returns:
        The layer's Top, (N, num_output).

    Examples:
        >>> from netbuild import blocks, netspec
        >>> net = netspec().NetSpec()
        >>> net.data = netspec().layers.Input(shape={"dim": [1, 3, 8, 8]})
        >>> top = blocks.fc(net, "fc1", net.data, 16)
        >>> net.to_proto().layer[1].inner_product_param.num_output
        16
    """
    options = options or fillers(XAVIER, 0, frozen=frozen)
    specs = param_specs(2, frozen=frozen, lr_mult=lr_mult, decay_mult=decay_mult)
    net[name] = netspec().layers.InnerProduct(bottom, num_output=num_output, **options, **specs)
    return net[name]
