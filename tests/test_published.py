"""The builders beside LeNet and the deep ResNets against the published nets, which are written down here by rule."""

import os

import numpy as np
import pytest
from shape_nets import require_as_caffe

from netbuild import DataSource, Fusion, Join, build, emit_files, find_builder
from netbuild.emit.files import deploy
from netbuild.errors import GraphError
from netbuild.layers import infer
from netbuild.schema import TEST, TRAIN

FC = "fc6 relu6 drop6 fc7 relu7 drop7 fc8 prob"


def vgg(*stages):
    for stage, count in enumerate(stages, start=1):
        for index in range(1, count + 1):
            yield from (f"conv{stage}_{index}", f"relu{stage}_{index}")
        yield f"pool{stage}"
    yield from FC.split()


def inception(name):
    for conv in ["1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool", "pool_proj"]:
        yield f"inception_{name}/{conv}"
        if conv != "pool":
            yield f"inception_{name}/relu_{conv}"
    yield f"inception_{name}/output"


def googlenet():
    yield from [
        "conv1/7x7_s2",
        "conv1/relu_7x7",
        "pool1/3x3_s2",
        "pool1/norm1",
        "conv2/3x3_reduce",
        "conv2/relu_3x3_reduce",
    ]
    yield from ["conv2/3x3", "conv2/relu_3x3", "conv2/norm2", "pool2/3x3_s2"]
    for module in ["3a", "3b", "pool3/3x3_s2", "4a", "4b", "4c", "4d", "4e", "pool4/3x3_s2", "5a", "5b"]:
        yield from inception(module) if len(module) == 2 else [module]
    yield from ["pool5/7x7_s1", "pool5/drop_7x7_s1", "loss3/classifier", "prob"]


def squeezenet(*pools):
    yield from ["conv1", "relu_conv1", "pool1"]
    for module in range(2, 10):
        for conv in ["squeeze1x1", "expand1x1", "expand3x3"]:
            yield from (f"fire{module}/{conv}", f"fire{module}/relu_{conv}")
        yield f"fire{module}/concat"
        if module in pools:
            yield f"pool{module}"
    yield from ["drop9", "conv10", "relu_conv10", "pool10", "prob"]


def mobilenet_v1():
    yield from ["conv1", "conv1/bn", "conv1/scale", "relu1"]
    for block in ["2_1", "2_2", "3_1", "3_2", "4_1", "4_2", "5_1", "5_2", "5_3", "5_4", "5_5", "5_6", "6"]:
        for part in (f"{block}/dw", f"{block}/sep"):
            yield from (f"conv{part}", f"conv{part}/bn", f"conv{part}/scale", f"relu{part}")
    yield from ["pool6", "fc7", "prob"]


def mobilenet_v2():
    yield from ["conv1", "conv1/bn", "conv1/scale", "relu1"]
    for block in [
        "2_1",
        "2_2",
        "3_1+",
        "3_2",
        "4_1+",
        "4_2+",
        "4_3",
        "4_4+",
        "4_5+",
        "4_6+",
        "4_7",
        "5_1+",
        "5_2+",
        "5_3",
        "6_1+",
        "6_2+",
        "6_3",
    ]:
        name = block.rstrip("+")
        for part in (f"{name}/expand", f"{name}/dwise", f"{name}/linear"):
            yield from (f"conv{part}", f"conv{part}/bn", f"conv{part}/scale")
            if not part.endswith("linear"):
                yield f"relu{part}"
        if block.endswith("+"):
            yield f"block_{name}"
    yield from ["conv6_4", "conv6_4/bn", "conv6_4/scale", "relu6_4", "pool6", "fc7", "prob"]


def resnet(*stages):
    yield from ["conv1", "bn_conv1", "scale_conv1", "conv1_relu", "pool1"]
    for stage, count in enumerate(stages, start=2):
        for letter in "abcdef"[:count]:
            block = f"{stage}{letter}"
            for part in ["branch1"] * (letter == "a") + ["branch2a", "branch2b"]:
                yield from (f"res{block}_{part}", f"bn{block}_{part}", f"scale{block}_{part}")
                if part == "branch2a":
                    yield f"res{block}_branch2a_relu"
            yield from (f"res{block}", f"res{block}_relu")
    yield from ["pool5", "fc1000", "prob"]


ALEXNET = "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2 conv3 relu3 conv4 relu4 conv5 relu5 pool5 " + FC
CAFFENET = "conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2 conv3 relu3 conv4 relu4 conv5 relu5 pool5 " + FC
NETS = {
    # name: learnt parameters, image, seam, the seam's shape without N, layers
    "alexnet": (60_965_224, 227, "fc7", (4096,), ALEXNET.split()),
    "caffenet": (60_965_224, 227, "fc7", (4096,), CAFFENET.split()),
    "vgg16": (138_357_544, 224, "fc7", (4096,), vgg(2, 2, 3, 3, 3)),
    "vgg19": (143_667_240, 224, "fc7", (4096,), vgg(2, 2, 4, 4, 4)),
    "googlenet": (6_998_552, 224, "pool5/7x7_s1", (1024, 1, 1), googlenet()),
    "squeezenet1_0": (1_248_424, 227, "fire9/concat", (512, 13, 13), squeezenet(4, 8)),
    "squeezenet1_1": (1_235_496, 227, "fire9/concat", (512, 14, 14), squeezenet(3, 5)),
    "mobilenet_v1": (4_231_976, 224, "pool6", (1024, 1, 1), mobilenet_v1()),
    # The paper's net has 3,504,872; the published Caffe net has 32 * 32 weights and a Scale of 32 more in conv2_1.
    "mobilenet_v2": (3_504_872 + 32 * 32 + 2 * 32, 224, "pool6", (1280, 1, 1), mobilenet_v2()),
    # The papers' nets have no projection, 64 * 64 weights and a Scale of 64, in res2a.
    "resnet18": (11_689_512 + 64 * 64 + 2 * 64, 224, "pool5", (512, 1, 1), resnet(2, 2, 2, 2)),
    "resnet34": (21_797_672 + 64 * 64 + 2 * 64, 224, "pool5", (512, 1, 1), resnet(3, 4, 6, 3)),
}
NETS = {name: (*row[:4], list(row[4])) for name, row in NETS.items()}
LARGE = ("alexnet", "caffenet", "vgg16", "vgg19")


def alone(name, classes=1000):
    return Fusion({"": find_builder(name)}, classes, frozen=False)


def source(name):
    return DataSource(build(alone(name)).inputs["data"], kind="input", train_batch=1, test_batch=1)


def deployed(name):
    return deploy(alone(name), source(name))


def by_name(message):
    return {layer.name: layer for layer in message.layer}


@pytest.mark.parametrize("name", NETS)
def test_layers_parameters_and_seam_are_the_published(name):
    learnt, side, seam, shape, names = NETS[name]
    net = deployed(name)
    assert [layer.name for layer in net.layer] == ["data", *names]
    assert list(net.layer[0].input_param.shape[0].dim) == [1, 3, side, side]
    found = infer(net, TEST)
    counts = [
        sum(int(np.prod(blob)) for blob in blobs)
        for index, blobs in found.params.items()
        if net.layer[index].type != "BatchNorm"
    ]
    assert sum(counts) == learnt
    branch = build(alone(name)).branches[0]
    assert (branch.seam, branch.channels) == (seam, shape[0])
    assert found.blobs[seam] == (1, *shape)
    assert found.blobs["prob"][:2] == (1, 1000)


SIZES = {
    "alexnet": {"conv1": 55, "pool1": 27, "pool2": 13, "pool5": 6},
    "caffenet": {"conv1": 55, "norm1": 27, "norm2": 13, "pool5": 6},
    "vgg16": {"pool1": 112, "pool3": 28, "conv5_3": 14, "pool5": 7},
    "googlenet": {"conv1/7x7_s2": 112, "pool2/3x3_s2": 28, "inception_4a/pool": 14, "inception_5b/output": 7},
    "squeezenet1_0": {"conv1": 111, "pool1": 55, "pool4": 27, "pool8": 13, "conv10": 15},
    "squeezenet1_1": {"conv1": 113, "pool1": 56, "pool3": 28, "pool5": 14, "conv10": 14},
    "mobilenet_v1": {"conv2_1/sep": 112, "conv3_1/dw": 56, "conv4_1/dw": 28, "conv5_5/sep": 14, "conv6/sep": 7},
    "mobilenet_v2": {"conv2_1/linear": 112, "block_3_1": 56, "block_4_6": 28, "block_5_2": 14, "conv6_4/bn": 7},
    "resnet34": {"conv1": 112, "pool1": 56, "res3d": 28, "res4f": 14, "res5c": 7},
}


@pytest.mark.parametrize(
    ("name", "blob", "side"), [(n, b, side) for n, row in SIZES.items() for b, side in row.items()]
)
def test_images_shrink_where_they_should(name, blob, side):
    assert infer(deployed(name), TEST).blobs[blob][2:] == (side, side)


def test_what_makes_the_published_nets_what_they_are():
    """Fields that neither names nor shapes show."""
    caffenet = by_name(deployed("caffenet"))
    assert [caffenet[f"conv{number}"].convolution_param.group for number in range(1, 6)] == [1, 2, 1, 2, 2]
    lrn = caffenet["norm2"].lrn_param
    assert (lrn.local_size, lrn.alpha, lrn.beta) == (5, pytest.approx(1e-4), 0.75)
    assert by_name(deployed("googlenet"))["pool5/drop_7x7_s1"].dropout_param.dropout_ratio == pytest.approx(0.4)
    first, second = by_name(deployed("mobilenet_v1")), by_name(deployed("mobilenet_v2"))
    assert (list(first["conv1/bn"].top), list(second["conv1/bn"].top)) == (["conv1"], ["conv1/bn"])
    for norm in (first["conv6/dw/bn"], second["conv6_3/linear/bn"]):
        assert norm.batch_norm_param.eps == pytest.approx(1e-5)
        assert norm.batch_norm_param.use_global_stats
    depthwise = first["conv5_6/dw"].convolution_param
    assert (depthwise.group, depthwise.engine) == (512, 1)
    assert list(second["block_4_5"].bottom) == ["block_4_4", "conv4_5/linear/bn"]
    norm = by_name(deployed("resnet18"))["bn5b_branch2b"].batch_norm_param
    assert not norm.HasField("use_global_stats")
    assert norm.moving_average_fraction == pytest.approx(0.9)
    assert list(by_name(deployed("resnet18"))["res3b"].bottom) == ["res3a", "res3b_branch2b"]


def learning(layer):
    return [(spec.lr_mult, spec.decay_mult) for spec in layer.param]


@pytest.mark.parametrize(("name", "raised"), [("alexnet", 0.1), ("caffenet", 1), ("googlenet", 0.2)])
def test_bvlcs_nets_learn_as_published(name, raised):
    layers = [layer for layer in build(alone(name)).message.layer if layer.type in ("Convolution", "InnerProduct")]
    biases = set()
    for layer in layers:
        assert learning(layer) == [(1, 1), (2, 0)], layer.name
        options = layer.convolution_param if layer.type == "Convolution" else layer.inner_product_param
        biases.add(round(options.bias_filler.value, 6))
        assert options.weight_filler.type == ("xavier" if name == "googlenet" else "gaussian")
    assert biases == {0, raised}
    last = layers[-1] if name == "googlenet" else by_name(build(alone(name)).message)["fc8"]
    assert last.inner_product_param.bias_filler.value == 0


def test_the_others_learn_as_published():
    squeezenet = by_name(build(alone("squeezenet1_1")).message)
    assert not any(layer.param for layer in squeezenet.values())
    assert squeezenet["conv10"].convolution_param.weight_filler.std == pytest.approx(0.01)
    mobilenet = by_name(build(alone("mobilenet_v2")).message)
    expected = {
        "conv2_2/dwise": [(1, 1)],
        "conv1/bn": [(0, 0)] * 3,
        "conv1/scale": [(1, 0)] * 2,
        "fc7": [(1, 1), (2, 0)],
    }
    assert {layer: learning(mobilenet[layer]) for layer in expected} == expected


def test_googlenet_alone_has_its_two_auxiliary_losses_where_they_train():
    net = by_name(build(alone("googlenet", 7)).message)
    for name, module in (("loss1", "4a"), ("loss2", "4d")):
        assert list(net[f"{name}/ave_pool"].bottom) == [f"inception_{module}/output"]
        loss = net[f"{name}/loss"]
        assert (list(loss.top), list(loss.loss_weight)) == ([f"{name}/{name}"], [pytest.approx(0.3)])
        assert net[f"{name}/classifier"].inner_product_param.num_output == 7
        assert [rule.phase for rule in net[f"{name}/top-5"].include] == [TEST]
    # Caffe aborts where top_k is larger than the number of classes.
    assert "loss1/top-5" not in by_name(build(alone("googlenet", 4)).message)
    deployed_net = build(alone("googlenet"), deploy=True).message
    frozen = build(Fusion({"a": find_builder("googlenet")}, 7)).message
    for message in (deployed_net, frozen):
        assert not [layer.name for layer in message.layer if layer.name.startswith(("loss1", "loss2"))]


@pytest.mark.parametrize("name", NETS)
def test_two_frozen_branches_are_named_by_their_prefix_and_learn_nowhere(name):
    """`build` itself refuses a branch that is not frozen; here the learning rates are looked at once more."""
    builder = find_builder(name)
    message = build(Fusion({"a": builder, "b_": builder}, 10)).message
    head = [layer for layer in message.layer if not layer.name.startswith(("a/", "b_"))]
    assert [layer.type for layer in head] == ["Concat", "InnerProduct", "Accuracy", "SoftmaxWithLoss"]
    own = NETS[name][4]
    ending = {"googlenet": 3, "squeezenet1_0": 4, "squeezenet1_1": 4}.get(name, 2)
    for front in ("a/", "b_"):
        layers = [layer for layer in message.layer if layer.name.startswith(front)]
        assert [layer.name for layer in layers] == [front + local for local in own[:-ending]]
        for layer in layers:
            assert all(top.startswith(front) for top in layer.top)
            assert not any(spec.lr_mult or spec.decay_mult for spec in layer.param)
            assert layer.type != "Dropout" or layer.phase == TEST
            assert "filler" not in str(layer)


@pytest.mark.parametrize("name", ["googlenet", "squeezenet1_0", "mobilenet_v2", "alexnet", "vgg16"])
def test_an_ensemble_has_the_published_classifiers_under_the_prefixes(name):
    fusion = Fusion(dict.fromkeys("ab", find_builder(name)), 1000, ensemble=True, join=Join("mean"))
    message = build(fusion, deploy=True).message
    published = NETS[name][4]
    assert [layer.name for layer in message.layer] == [f"{p}/{local}" for p in "ab" for local in published] + ["mean"]
    assert list(message.layer[-1].top) == ["prob"]


@pytest.mark.parametrize("name", ["squeezenet1_0", "alexnet"])
def test_a_frozen_branch_alone_gets_a_head_outside_of_it(name):
    message = build(Fusion({"a": find_builder(name)}, 10)).message
    own = [layer.name for layer in message.layer if not layer.name.startswith("a/")]
    assert own == [NETS[name][4][-2] if name == "alexnet" else "conv10", "accuracy", "loss"]
    assert message.layer[-1].bottom[0] == own[0]


@pytest.mark.parametrize("name", [name for name in NETS if name not in LARGE])
def test_caffe_loads_the_net_in_both_phases(caffe, tmp_path, name):
    emit_files(alone(name, 6), source(name), tmp_path)
    require_as_caffe(caffe, tmp_path / "train_val.prototxt", TRAIN)
    require_as_caffe(caffe, tmp_path / "train_val.prototxt", TEST)


@pytest.mark.parametrize("name", ["alexnet", "caffenet", "vgg16"])
def test_caffe_loads_the_large_nets_frozen(caffe, tmp_path, name):
    """Frozen and once only: without fillers, memory that is never touched costs nothing."""
    emit_files(Fusion({"a": find_builder(name)}, 6), source(name), tmp_path)
    for phase in (TRAIN, TEST) if name != "vgg16" else (TRAIN,):
        require_as_caffe(caffe, tmp_path / "train_val.prototxt", phase)


def filled(net):
    """Give a net's branch weights that do not vanish, the same at each call."""
    rng = np.random.default_rng(5)
    kinds = dict(zip(net._layer_names, (layer.type for layer in net.layers)))
    for name, blobs in net.params.items():
        for index, blob in enumerate(blobs):
            shape = blob.data.shape
            if kinds[name] == "BatchNorm":
                blob.data[...] = [rng.normal(0, 0.1, shape), rng.uniform(0.5, 2, shape), 1.0][index]
            elif kinds[name] == "Scale":
                blob.data[...] = rng.uniform(0.3, 0.9, shape)
            else:
                blob.data[...] = rng.normal(0, (2 / max(1, int(np.prod(shape[1:])))) ** 0.5, shape)
    net.blobs["data"].data[...] = rng.normal(0, 1, net.blobs["data"].data.shape)
    return net


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v1", "resnet18", "googlenet"])
def test_a_frozen_branch_is_one_function_in_both_phases_and_no_gradient_enters(caffe, tmp_path, name):
    """Dropout and BatchNorm would differ; BatchNorm without entries would let the backward pass in."""
    emit_files(Fusion({"a": find_builder(name)}, 4), source(name), tmp_path)
    seam = f"a/{NETS[name][2]}"
    train, test = (filled(caffe.Net(os.fspath(tmp_path / "train_val.prototxt"), phase)) for phase in (TRAIN, TEST))
    for net in (train, test):
        net.forward()
    assert train.blobs[seam].data.std() > 0.001
    assert train.blobs[seam].data.tobytes() == test.blobs[seam].data.tobytes()
    train.backward()
    assert not any(np.any(blob.diff) for key, blobs in train.params.items() if key.startswith("a/") for blob in blobs)


def test_unknown_depths_are_told(caffe):
    from netbuild import vgg as builder

    net = caffe.NetSpec()
    with pytest.raises(GraphError, match="vgg: no depth 11; known depths are 16, 19"):
        builder(net, caffe.layers.Input(), depth=11)
