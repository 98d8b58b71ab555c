import warnings

import numpy as np
import pytest

from netbuild import Branch, Fusion, build, find_branch, find_builder, lenet, resnet
from netbuild.branches.resnet import resnet50, resnet101, resnet152
from netbuild.errors import GraphError


def built(caffe, builder, prefix="", **options):
    net = caffe.NetSpec()
    net.data = caffe.layers.Input(shape={"dim": [1, 3, 224, 224]})
    branch = builder(net, net.data, prefix, **options)
    return net.to_proto(), branch


def test_lenet_returns_its_seam_after_the_relu(caffe):
    message, branch = built(caffe, lenet, "odd")
    assert (branch.seam, branch.channels, branch.classifier) == ("ip1", 500, "ip2")
    assert [layer.name for layer in message.layer][-2:] == ["odd/ip1", "odd/relu1"]
    assert list(message.layer[-1].top) == ["odd/ip1"]


def stages(depth):
    """The blocks of the published nets, written down by hand."""
    short = {2: "a b c", 3: "a b c d", 4: "a b c d e f", 5: "a b c"}
    deep = {
        101: {**short, 3: "a b1 b2 b3", 4: " ".join(["a", *(f"b{i}" for i in range(1, 23))])},
        152: {
            **short,
            3: "a b1 b2 b3 b4 b5 b6 b7",
            4: " ".join(["a", *(f"b{i}" for i in range(1, 36))]),
        },
    }
    return [f"{stage}{block}" for stage, blocks in deep.get(depth, short).items() for block in blocks.split()]


@pytest.mark.parametrize(
    ("builder", "depth", "parameters"),
    [(resnet50, 50, 25_557_032), (resnet101, 101, 44_549_160), (resnet152, 152, 60_192_808)],
)
def test_resnets_have_the_published_names_and_parameter_counts(builder, depth, parameters):
    deploy = build(Fusion({"": builder}, 1000, frozen=False), deploy=True).message
    expected = ["conv1", "bn_conv1", "scale_conv1", "conv1_relu", "pool1"]
    for block in stages(depth):
        for part in ("branch1",) if block.endswith("a") else ():
            expected += [f"res{block}_{part}", f"bn{block}_{part}", f"scale{block}_{part}"]
        for part in ("branch2a", "branch2b", "branch2c"):
            expected += [f"res{block}_{part}", f"bn{block}_{part}", f"scale{block}_{part}"]
            expected += [f"res{block}_{part}_relu"] if part != "branch2c" else []
        expected += [f"res{block}", f"res{block}_relu"]
    assert [layer.name for layer in deploy.layer] == [*expected, "pool5", "fc1000", "prob"]
    assert deploy.name == f"ResNet-{depth}"
    # Learnt parameters as published (the running statistics left out); ResNet-50's conv1 has 64 biases more.
    from netbuild.layers import infer

    deploy.layer.add(name="data", type="Input", top=["data"]).input_param.shape.add(dim=[1, 3, 224, 224])
    deploy.layer.insert(0, deploy.layer.pop())
    shapes = infer(deploy, 1).params
    count = sum(
        int(np.prod(shape))
        for index, layer in enumerate(deploy.layer)
        for shape in (shapes[index] if layer.type != "BatchNorm" else ())
    )
    assert count == parameters + (64 if depth == 50 else 0)


def test_the_parameters_of_a_resnet_block(caffe):
    message, branch = built(caffe, resnet, depth=101)
    layers = {layer.name: layer for layer in message.layer}
    assert (branch.seam, branch.channels) == ("pool5", 2048)
    conv = layers["res3a_branch2a"].convolution_param
    assert (conv.num_output, list(conv.kernel_size), list(conv.pad), list(conv.stride), conv.bias_term) == (
        *(128, [1], [0], [2]),
        False,
    )
    assert list(layers["res4b22"].bottom) == ["res4b21", "res4b22_branch2c"]
    assert list(layers["res2a"].bottom) == ["res2a_branch1", "res2a_branch2c"]
    assert list(layers["bn2a_branch2a"].top) == ["res2a_branch2a"]
    assert layers["bn2a_branch2a"].batch_norm_param.use_global_stats
    assert layers["scale2a_branch2a"].scale_param.bias_term
    assert not layers["conv1"].convolution_param.bias_term
    pool = layers["pool5"].pooling_param
    assert (pool.kernel_size, pool.stride, pool.pool) == (7, 1, 1)


@pytest.mark.parametrize("builder", [lenet, resnet50])
def test_frozen_means_one_entry_of_zeros_for_each_blob(caffe, builder):
    """Fails if `param` entries are not added where the published net has none."""
    message, _ = built(caffe, builder, "a", frozen=True)
    counts = {"Convolution": 2, "InnerProduct": 2, "BatchNorm": 3, "Scale": 2}
    for layer in message.layer:
        blobs = counts.get(layer.type, 0) - (layer.type == "Convolution" and not layer.convolution_param.bias_term)
        assert [(spec.lr_mult, spec.decay_mult) for spec in layer.param] == [(0, 0)] * blobs, layer.name


def test_trainable_layers_learn_as_published(caffe):
    message, _ = built(caffe, lenet)
    assert [[spec.lr_mult for spec in layer.param] for layer in message.layer if layer.param] == [[1, 2]] * 3
    message, _ = built(caffe, resnet50)
    assert not any(layer.param for layer in message.layer)


def test_unknown_depths_and_builders_are_told(caffe):
    with pytest.raises(GraphError, match="no depth 20; known depths are 18, 34, 50, 101, 152"):
        built(caffe, resnet, depth=20)
    with pytest.raises(GraphError, match="no builder called 'lenett': did you mean 'lenet'"):
        find_builder("lenett")
    with pytest.raises(GraphError, match="known are alexnet, caffenet, .*, vgg16, vgg19"):
        find_builder("zzz")
    with pytest.raises(GraphError, match="cannot import 'nowhere'"):
        find_builder("nowhere:net")
    with pytest.raises(GraphError, match="the module 'math' has no function 'net'"):
        find_builder("math:net")


def own_builder(net, bottom, prefix="", *, frozen=False):
    from netbuild import blocks
    from netbuild.names import qualify

    top = blocks.fc(net, qualify(prefix, "fc1"), bottom, 12, frozen=frozen)
    return Branch(prefix, "fc1", top, 12)


def test_a_users_own_builder_needs_no_registration():
    assert find_builder("test_branches:own_builder").__name__ == "own_builder"
    fused = build(Fusion({"a": own_builder, "b": own_builder}, 3)).message
    assert [layer.name for layer in fused.layer] == ["a/fc1", "b/fc1", "concat", "fc3", "accuracy", "loss"]
    assert fused.name == "Fusion"


def test_what_is_noted_of_a_layer_names_the_branch(tmp_path):
    """Both branches have a layer of this name, and each note is told."""
    (tmp_path / "n.prototxt").write_text(
        'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }\n'
        'layer { name: "c" type: "Frobnicate" bottom: "d" top: "c" }\n'
        'layer { name: "f" type: "Flatten" bottom: "c" top: "f" }\n'
    )
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        build(Fusion(dict.fromkeys(("odd", "even"), find_branch(f"{tmp_path / 'n.prototxt'}@f")), classes=2))
    told = [str(one.message) for one in noted]
    for prefix in ("odd", "even"):
        assert any(one.startswith(f"branch {prefix!r}: layer 'c': the type 'Frobnicate'") for one in told), told
