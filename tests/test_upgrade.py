"""Old formats against Caffe's own upgrade: what Caffe saves of a net that it read is that net in the current format."""

import os

import pytest
from nets import net

from netbuild import proto
from netbuild.errors import GraphError, NetbuildWarning
from netbuild.schema import TEST, TRAIN, schema

INPUT = 'input: "data" input_dim: 2 input_dim: 4 input_dim: 8 input_dim: 8\n'
LABEL = 'input: "data" input: "label" input_dim: 2 input_dim: 4 input_dim: 8 input_dim: 8 input_dim: 2 input_dim: 1 input_dim: 1 input_dim: 1\n'  # fmt: skip


def v0(name, kind, bottoms, tops, more=""):
    blobs = "".join(f' bottom: "{b}"' for b in bottoms.split()) + "".join(f' top: "{b}"' for b in tops.split())
    return f'layers {{ layer {{ name: "{name}" type: "{kind}" {more} }} {blobs} }}\n'


def v1(name, kind, bottoms, tops, more=""):
    blobs = "".join(f' bottom: "{b}"' for b in bottoms.split()) + "".join(f' top: "{b}"' for b in tops.split())
    return f'layers {{ name: "{name}" type: {kind} {blobs} {more} }}\n'


def caffes_own(caffe, folder, text, phase):
    """The layers of the net as Caffe saves them: without its Splits, the values, and the phase it sets."""
    path = folder / "old.prototxt"
    path.write_text(text)
    caffe.Net(os.fspath(path), phase).save(os.fspath(folder / "saved.caffemodel"))
    saved = schema().NetParameter()
    saved.ParseFromString((folder / "saved.caffemodel").read_bytes())
    origin, layers = {}, []
    for layer in saved.layer:
        if layer.type == "Split" and layer.name.endswith("_split"):
            origin.update(dict.fromkeys(layer.top, layer.bottom[0]))
            continue
        layer.bottom[:] = [origin.get(blob, blob) for blob in layer.bottom]
        layer.ClearField("phase")
        layer.ClearField("blobs")
        layers.append(layer)
    return path, layers


def require_as_caffe(caffe, folder, text, phase):
    path, expected = caffes_own(caffe, folder, text, phase)
    found = proto.of_phase(proto.read_net(path), phase)
    assert [layer.name for _, layer in found] == [layer.name for layer in expected]
    for (_, ours), theirs in zip(found, expected):
        ours.ClearField("blobs")
        if theirs.type.endswith("Loss") and not ours.loss_weight and list(theirs.loss_weight) == [1]:
            # Not of the upgrade: a loss layer writes its default into its own definition (loss_layer.cpp).
            theirs.ClearField("loss_weight")
        assert ours == theirs


V0_NET = (
    'name: "Old"\n'
    + LABEL
    + v0("pad1", "padding", "data", "padded", "pad: 2")
    + v0("conv1", "conv", "padded", "conv1", 'num_output: 6 kernelsize: 5 stride: 2 group: 2 biasterm: true weight_filler { type: "gaussian" std: 0.1 } bias_filler { type: "constant" value: 1 } blobs_lr: 1. blobs_lr: 2. weight_decay: 1. weight_decay: 0.')
    + v0("relu1", "relu", "conv1", "conv1")
    + v0("pool1", "pool", "conv1", "pool1", "pool: AVE kernelsize: 2 stride: 2")
    + v0("norm1", "lrn", "pool1", "norm1", "local_size: 3 alpha: 0.5 beta: 0.25 k: 2")
    + v0("bnll", "bnll", "norm1", "b") + v0("tanh", "tanh", "b", "t") + v0("sig", "sigmoid", "norm1", "s")
    + v0("cat", "concat", "t s", "cat", "concat_dim: 1")
    + v0("drop", "dropout", "cat", "cat", "dropout_ratio: 0.25")
    + v0("flat", "flatten", "cat", "flat")
    + v0("ip", "innerproduct", "flat", "ip", 'num_output: 3 biasterm: false weight_filler { type: "xavier" }')
    + v0("soft", "softmax", "ip", "soft")
    + v0("acc", "accuracy", "ip label", "acc") + v0("loss", "softmax_loss", "ip label", "loss")
    + v0("mll", "multinomial_logistic_loss", "soft label", "mll")
    + v0("euc", "euclidean_loss", "t s", "euc") + v0("split", "split", "ip", "one two")
)  # fmt: skip
CONV = "convolution_param { num_output: 4 kernel_size: 3 pad: 1 }"
V1_NET = (
    'name: "Newer"\n'
    + LABEL
    + v1("c1", "CONVOLUTION", "data", "c1", f'{CONV} blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0 param: "w" param: "b"')
    + v1("c2", "CONVOLUTION", "data", "c2", f'{CONV} param: "w" param: "b" blob_share_mode: PERMISSIVE')
    + v1("dc", "DECONVOLUTION", "c1", "dc", CONV) + v1("e", "ELTWISE", "c1 c2 dc", "e", "eltwise_param { operation: MAX }")
    + v1("r", "RELU", "e", "e", "relu_param { negative_slope: 0.5 }") + v1("t", "TANH", "e", "t") + v1("b", "BNLL", "t", "b")
    + v1("av", "ABSVAL", "b", "av") + v1("pw", "POWER", "av", "pw", "power_param { power: 2 scale: 0.5 shift: 1 }")
    + v1("ex", "EXP", "pw", "ex", "exp_param { base: 2 }") + v1("si", "SIGMOID", "ex", "si") + v1("th", "THRESHOLD", "si", "th")
    + v1("mv", "MVN", "si", "mv", "mvn_param { normalize_variance: false }")
    + v1("ln", "LRN", "mv", "ln", "lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL }")
    + v1("sl", "SLICE", "ln", "x y", "slice_param { slice_dim: 1 slice_point: 1 }") + v1("cc", "CONCAT", "y x", "cc")
    + v1("po", "POOLING", "cc", "po", "pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    + v1("do", "DROPOUT", "po", "po", "dropout_param { dropout_ratio: 0.75 }") + v1("fl", "FLATTEN", "po", "fl")
    + v1("im", "IM2COL", "po", "im", CONV.replace("num_output: 4", ""))
    + v1("ip", "INNER_PRODUCT", "fl", "ip", "inner_product_param { num_output: 3 }") + v1("sp", "SPLIT", "ip", "one two")
    + v1("so", "SOFTMAX", "one", "so") + v1("am", "ARGMAX", "so", "am", "argmax_param { top_k: 2 }")
    + v1("sx", "SOFTMAX_LOSS", "two label", "sx", "loss_weight: 0.5 loss_param { ignore_label: 7 }")
    + v1("ac", "ACCURACY", "two label", "ac", "accuracy_param { top_k: 2 } include { phase: TEST }")
    + v1("hi", "HINGE_LOSS", "two label", "hi", "hinge_loss_param { norm: L2 } exclude { phase: TEST }")
    + v1("ml", "MULTINOMIAL_LOGISTIC_LOSS", "so label", "ml") + v1("eu", "EUCLIDEAN_LOSS", "t b", "eu")
    + v1("cx", "SIGMOID_CROSS_ENTROPY_LOSS", "t b", "cx")
    + v1("cl", "CONTRASTIVE_LOSS", "one two label", "cl", "contrastive_loss_param { margin: 2 }")
    + v1("dd", "DUMMY_DATA", "", "dd", "dummy_data_param { num: 2 channels: 1 height: 1 width: 1 data_filler { value: 3 } }")
    + v1("md", "MEMORY_DATA", "", "m1 m2", "memory_data_param { batch_size: 2 channels: 1 height: 3 width: 3 }")
    + v1("sn", "SILENCE", "th im dd m1 m2 am", "")
)  # fmt: skip
SHAPES = 'input: "a" input: "b" input_shape { dim: 2 dim: 3 } input_shape { dim: 2 dim: 3 dim: 1 }\n'
CURRENT = (
    'name: "Current" '
    + INPUT
    + 'layer { name: "bn" type: "BatchNorm" bottom: "data" top: "data" param { name: "m" lr_mult: 3 } param { } param { } }'
    + 'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 2 } }'
)


@pytest.mark.parametrize("phase", [TEST, TRAIN])
@pytest.mark.parametrize(
    "text",
    [
        *(V0_NET, V1_NET, CURRENT),
        # Inputs without shapes are those of an old weight file, and dropped.
        'input: "data" layer { name: "d" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }'
        + 'layer { name: "s" type: "Silence" bottom: "data" }',
        SHAPES + v1("f", "FLATTEN", "b", "f") + v1("e", "EUCLIDEAN_LOSS", "a f", "e"),
        SHAPES + 'layer { name: "s" type: "Silence" bottom: "a" bottom: "b" }',
        # A V1 layer beside V0 ones, padding before a pooling, and one padding for two readers.
        INPUT + v0("p", "padding", "data", "p", "pad: 1") + v0("m", "pool", "p", "m", "pool: MAX kernelsize: 3")
        + v0("c", "conv", "p", "c", "num_output: 4 kernelsize: 3") + v0("e", "euclidean_loss", "m c", "e"),
        # A blob that bears the name of a padding layer's later on.
        INPUT + v0("p", "padding", "data", "p", "pad: 1") + v0("c", "conv", "p", "c", "num_output: 4 kernelsize: 3")
        + v0("r", "tanh", "c", "p") + v0("d", "conv", "p", "d", "num_output: 2 kernelsize: 3"),
    ],
    ids=["V0", "V1", "current", "no shapes", "shapes V1", "shapes", "padding", "padding again"],
)  # fmt: skip
def test_the_upgrade_is_caffes_own(caffe, tmp_path, text, phase):
    require_as_caffe(caffe, tmp_path, text, phase)


def upgraded(tmp_path, text):
    (tmp_path / "n.prototxt").write_text(text)
    return proto.read_net(tmp_path / "n.prototxt")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            v0("d", "data", "", "data label", 'source: "db" batchsize: 5 scale: 0.5 meanfile: "m" cropsize: 7 mirror: true rand_skip: 3'),
            'type: "Data" data_param { source: "db" batch_size: 5 rand_skip: 3 } '
            'transform_param { scale: 0.5 mean_file: "m" crop_size: 7 mirror: true }',
        ),
        (
            v0("d", "images", "", "data label", 'source: "l" batchsize: 5 new_height: 8 new_width: 9 shuffle_images: true rand_skip: 2'),
            'type: "ImageData" image_data_param { source: "l" batch_size: 5 new_height: 8 new_width: 9 shuffle: true rand_skip: 2 }',
        ),
        (v0("d", "hdf5_data", "", "data label", 'source: "l" batchsize: 5'), 'type: "HDF5Data" hdf5_data_param { source: "l" batch_size: 5 }'),
        (
            v0("d", "window_data", "", "data label", 'source: "w" batchsize: 5 det_fg_threshold: 0.75 det_bg_threshold: 0.25 det_fg_fraction: 0.5 det_context_pad: 3 det_crop_mode: "square"'),
            'type: "WindowData" window_data_param { source: "w" batch_size: 5 fg_threshold: 0.75 bg_threshold: 0.25 fg_fraction: 0.5 context_pad: 3 crop_mode: "square" }',
        ),
        (
            v1("d", "DATA", "", "data label", 'data_param { source: "db" batch_size: 5 backend: LMDB scale: 0.5 mean_file: "m" crop_size: 7 mirror: true }'),
            'type: "Data" data_param { source: "db" batch_size: 5 backend: LMDB } transform_param { scale: 0.5 mean_file: "m" crop_size: 7 mirror: true }',
        ),
        (
            v1("d", "IMAGE_DATA", "", "data label", 'image_data_param { source: "l" scale: 0.5 } transform_param { mean_value: 3 } include { phase: TRAIN }'),
            'type: "ImageData" image_data_param { source: "l" } transform_param { mean_value: 3 scale: 0.5 } include { phase: TRAIN }',
        ),
    ],
)  # fmt: skip
def test_data_layers_by_hand(tmp_path, text, expected):
    """Caffe would open their files; what it makes of them was read in upgrade_proto.cpp."""
    (found,) = upgraded(tmp_path, text).layer
    (written,) = net(f'layer {{ name: "d" top: "data" top: "label" {expected} }}').layer
    assert found == written


def test_values_within_a_definition_are_kept(tmp_path):
    text = INPUT + v1("f", "INNER_PRODUCT", "data", "f", "inner_product_param { num_output: 1 bias_term: false } blobs { num: 1 channels: 1 height: 1 width: 256 }")  # fmt: skip
    assert upgraded(tmp_path, text).layer[1].blobs[0].width == 256


def test_a_field_that_means_nothing_is_left_out_with_a_note(tmp_path):
    with pytest.warns(NetbuildWarning, match="n.prototxt: layer 'r' .relu.: its field 'num_output' means nothing"):
        found = upgraded(tmp_path, INPUT + v0("r", "relu", "data", "r", "num_output: 3"))
    assert found.layer[1].type == "ReLU"


def test_a_forks_field_without_a_place_in_the_current_format_is_carried(tmp_path):
    """DeepLab's Caffe has `strict_dim` in its old layers only."""
    with pytest.warns(NetbuildWarning, match="field 'strict_dim' of its old layers has no place") as told:
        found = upgraded(
            tmp_path, INPUT + "".join(v1(name, "RELU", "data", name, "strict_dim: false") for name in "rs")
        )
    assert len(told) == 1
    assert [layer.type for layer in found.layer] == ["Input", "ReLU", "ReLU"]
    assert proto.to_text(found).count("\n  strict_dim: false\n") == 2


def test_types_of_forks_old_layers(tmp_path):
    """RELU6 and DENSE_CRF are MobileNet-YOLO's and DeepLab's, which register ReLU6 and DenseCRF."""
    found = upgraded(tmp_path, INPUT + v1("a", "RELU6", "data", "a") + v1("b", "DENSE_CRF", "a", "b"))
    assert [layer.type for layer in found.layer[1:]] == ["ReLU6", "DenseCRF"]
    with pytest.warns(NetbuildWarning) as told:
        (_, one, other) = upgraded(
            tmp_path, INPUT + v1("a", "ODD_POOL", "data", "a") + v1("b", "ODD_POOL", "a", "b")
        ).layer
    assert [str(warning.message).partition(": ")[2] for warning in told] == [
        "no Caffe that is known here has the type ODD_POOL of old layers; its current name is taken to be 'OddPool', as "
        "other types are called: compare it with the Caffe that has it"
    ]
    assert (one.type, other.type) == ("OddPool", "OddPool")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (INPUT + v0("x", "mystery", "data", "x"), "layer 'x': 'mystery' is no layer type of that format"),
        (INPUT + v1("r", "RELU", "data", "r") + 'layer { name: "s" }', "Caffe reads only one of them"),
        (
            INPUT + v0("p", "padding", "data", "p", "pad: 1") + v0("r", "relu", "p", "r"),
            "layer 'r' .relu.: reads the padding layer 'p', which only a conv or pool",
        ),
        (INPUT + v0("p", "padding", "data data", "p"), "padding layer 'p': needs one bottom and one top"),
        ('input: "data" input: "more" input_shape { dim: 1 }', "2 inputs but 1 input shapes"),
        ('input: "data" input_dim: 1 input_dim: 3', "1 inputs but 2 input_dim; give four for each"),
        ('input: "data" input: "more" ' + "input_dim: 1 " * 6, "2 inputs but 6 input_dim"),
        ('input: "data" input: "more" ' + "input_dim: 1 " * 4, "2 inputs but 1 input shapes"),
        ('input: "data" layer { name: "r" type: "ReLU" bottom: "data" top: "r" }', "1 inputs but 0 input shapes"),
    ],
)
def test_what_cannot_be_upgraded_is_told(tmp_path, text, sentence):
    with pytest.raises(GraphError, match=sentence):
        upgraded(tmp_path, text)


@pytest.mark.parametrize(
    "shapes", ["input_dim: 2 " * 8, "input_dim: 2 " * 5, "input_shape { dim: 2 } input_shape { dim: 3 }"]
)
def test_shapes_without_inputs_go(tmp_path, caffe, shapes):
    text = 'input: "data" ' + shapes + 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }'
    (tmp_path / "old").write_text(text)
    (first, _) = upgraded(tmp_path, text).layer
    assert list(first.input_param.shape[0].dim) == list(caffe.Net(str(tmp_path / "old"), TEST).blobs["data"].shape)
    assert len(first.input_param.shape) == 1
