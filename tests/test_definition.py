"""What `check` tells of a layer's own definition; real Caffe aborts on each of these nets."""

import pytest
from shape_nets import INPUT, LABEL, engine, layer, net, source

from netbuild._caffe import TEST, TRAIN
from netbuild.errors import GraphError
from netbuild.graph.check import problems, require_sound

pytestmark = pytest.mark.usefixtures("slim")

FIVE = "inner_product_param { num_output: 5 }"
FOUR = "inner_product_param { num_output: 4 }"
TURNED = "inner_product_param { num_output: 5 transpose: true }"
ROWS = source("r", 2, 3)
NORM, IP, LOSS = "layer 'BatchNorm' (BatchNorm): ", "layer 'InnerProduct' (InnerProduct): ", "layer 'SoftmaxWithLoss' "
NOT_LEARNED = NORM + "its statistics are not learned: give three param entries with lr_mult 0, or none"


def shared(first, second):
    return layer("InnerProduct", first, tops="x", name="one") + layer("InnerProduct", second, tops="y", name="two")


WRONG = [
    (layer("ReLU", "include { phase: TEST } exclude { phase: TRAIN }"), "layer 'ReLU' (ReLU): has include and exclude"),
    (layer("ReLU", "include { phase: TRAIN } exclude { phase: TEST }"), "layer 'ReLU' (ReLU): has include and exclude"),
    (layer("InnerProduct", FIVE + " param {} param {} param {}"), IP + "has 3 params for 2 parameter blobs"),
    (layer("ReLU", "param {}"), "layer 'ReLU' (ReLU): has 1 param for no parameter blob; remove"),
    # Of a layer that does not fit, the parameters are not counted: one cause, one sentence.
    (layer("InnerProduct", "param {} param {}"), IP + "num_output must be given, and at least 1"),
    (layer("BatchNorm", "param {}"), NOT_LEARNED),
    (layer("BatchNorm", "param { lr_mult: 0 } param { lr_mult: 1 }"), NOT_LEARNED),
    (layer("BatchNorm", "param {} " * 4), NORM + "has 4 params for 3 parameter blobs"),
    (
        layer("InnerProduct", FIVE + " propagate_down: true propagate_down: false"),
        IP + "has 2 propagate_downs for 1 bottom; give one for each bottom, or none",
    ),
    (
        layer("Concat", "propagate_down: true", "data data"),
        "layer 'Concat' (Concat): has 1 propagate_down for 2 bottoms",
    ),
    (
        layer("InnerProduct", FIVE + " loss_weight: 1 loss_weight: 0"),
        IP + "has 2 loss_weights for 1 top; give one for each top, or none",
    ),
    (layer("Silence", "loss_weight: 1", tops=""), "layer 'Silence' (Silence): has 1 loss_weight for no top"),
    (
        ROWS + layer("SoftmaxWithLoss", "loss_weight: 1 loss_weight: 0", "r label", ""),
        LOSS + "(SoftmaxWithLoss): has 2 loss_weights for 1 top",
    ),
    (ROWS + layer("SoftmaxWithLoss", "", "r label", "x y"), LOSS + "(SoftmaxWithLoss): has 2 tops and no loss_weight"),
    (
        ROWS + source("h", 3, 3) + layer("InfogainLoss", "", "r label h", "x y"),
        "layer 'InfogainLoss' (InfogainLoss): has 2 tops and no loss_weight",
    ),
    (layer("Eltwise"), "layer 'Eltwise' (Eltwise): has 1 bottom; expected at least 2"),
    (
        layer("Pooling", "pooling_param { pool: AVE kernel_size: 2 }", tops="x y"),
        "layer 'Pooling' (Pooling): has 2 tops",
    ),
    (
        layer("Concat", "concat_param { axis: 1 concat_dim: 1 }", "data data"),
        "layer 'Concat' (Concat): axis and concat",
    ),
    (layer("Slice", "slice_param { axis: 1 slice_dim: 1 }", tops="x y"), "layer 'Slice' (Slice): axis and slice_dim"),
    (layer("Eltwise", "", "data label"), "layer 'Eltwise' (Eltwise): all bottoms must have the same shape"),
    (
        shared(FIVE + ' param { name: "w" }', FOUR + ' param { name: "w" }'),
        "shared parameter 'w': layer 'one' has it with the shape (5, 594), layer 'two' with (4, 594); give one",
    ),
    (
        shared(FIVE + ' param { name: "w" share_mode: PERMISSIVE }', TURNED + ' param { name: "w" }'),
        "shared parameter 'w': layer 'one' has it with the shape (5, 594), layer 'two' with (594, 5)",
    ),
    (
        shared(FIVE + ' param { name: "w" }', FOUR + ' param { name: "w" share_mode: PERMISSIVE }'),
        "shared parameter 'w': layer 'one' has it with the shape (5, 594), layer 'two' with (4, 594)",
    ),
    (
        layer("InnerProduct", FIVE + ' param { name: "w" } param { name: "w" }'),
        "shared parameter 'w': layer 'InnerProduct' has it with the shape (5, 594), layer 'InnerProduct' with (5)",
    ),
]
SOUND = [
    layer("BatchNorm", "param { lr_mult: 0 } param { lr_mult: 0 }"),
    layer("BatchNorm", "param { lr_mult: 1 } param { lr_mult: 1 } param { lr_mult: 1 }"),
    layer("InnerProduct", FIVE + " param {} propagate_down: false loss_weight: 1"),
    ROWS + layer("SoftmaxWithLoss", "loss_weight: 1", "r label", ""),
    ROWS + source("h", 3, 3) + layer("InfogainLoss", "loss_weight: 1 loss_weight: 0", "r label h", "x y"),
    shared(FIVE + ' param { name: "w" }', FIVE + ' param { name: "w" }'),
    shared(FIVE + ' param { name: "w" }', TURNED + ' param { name: "w" share_mode: PERMISSIVE }'),
]


@pytest.mark.parametrize(("layers", "sentence"), WRONG, ids=lambda text: text[-50:])
def test_what_caffe_aborts_on_is_told_in_one_sentence(caffe, layers, sentence):
    text = INPUT + LABEL + layers
    assert isinstance(engine(caffe, text), str), "Caffe takes it"
    found = problems(net(text))
    assert len(found) == 1
    assert found[0].startswith(sentence), found


@pytest.mark.parametrize("layers", SOUND, ids=lambda text: text[-50:])
def test_what_caffe_takes_is_no_problem(caffe, layers):
    text = INPUT + LABEL + layers
    assert not isinstance(engine(caffe, text), str)
    assert problems(net(text)) == []


def test_parameters_of_unknown_layers_are_not_counted():
    unknown = layer("Mystery", "param {} param {}", tops="m") + layer("Python", "param {}", "m", "p")
    follows = layer("InnerProduct", FIVE + ' param { name: "w" }', "p", "x", "one")
    assert problems(
        net(INPUT + unknown + follows + layer("InnerProduct", FIVE + ' param { name: "w" }', name="two"))
    ) == ["layer 'two': top 'x' is already made by another layer; rename it"]


def test_an_open_input_gives_no_noise():
    open_ = layer("Input", "", "", "d") + layer("ImageData", "", "", "e label")
    chain = (
        layer("Convolution", "convolution_param { num_output: 4 kernel_size: 3 }", "d", "c")
        + layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 }", "c", "p")
        + layer("InnerProduct", FIVE + ' param { name: "w" }', "p", "i")
        + layer("InnerProduct", FIVE + ' param { name: "w" }', "e", "j", "two")
        + layer("Eltwise", "", "i j", "s")
        + layer("SoftmaxWithLoss", "", "s label", "loss")
    )
    assert problems(net(open_ + chain)) == []
    misspelt = problems(net(open_ + chain.replace('bottom: "d"', 'bottom: "dd"')))
    assert len(misspelt) == 1
    assert "unknown bottom 'dd'" in misspelt[0]


def test_one_layer_wrong_in_both_phases_is_told_once():
    def batch(phase, size):
        return layer("Input", f"input_param {{ shape {{ dim: {size} dim: 3 }} }} include {{ phase: {phase} }}", "", "d")

    net_ = net(batch("TRAIN", 64) + batch("TEST", 100) + layer("LRN", "", "d") + layer("Softmax", "", "d", "y"))
    assert problems(net_) == [
        "layer 'LRN' (LRN): a bottom of 4 axes (N, C, H, W) is needed; its bottoms are d (100, 3)"
    ]
    assert problems(net_, in_phases=[TRAIN])[0].endswith("d (64, 3)")


def test_everything_wrong_comes_at_once():
    text = (
        INPUT
        + layer("InnerProduct", "", "data", "x")
        + layer("ReLU", "param {}", "xx", "y")
        + layer("Eltwise", "", "y")
    )
    with pytest.raises(GraphError) as error:
        require_sound(net(text), "net.prototxt", in_phases=[TEST])
    told = str(error.value).splitlines()[1:]
    assert [line.split(":")[0].strip() for line in told] == [
        "layer 'ReLU'",
        "layer 'Eltwise'",
        "layer 'ReLU' (ReLU)",
        "layer 'InnerProduct' (InnerProduct)",
        "layer 'Eltwise' (Eltwise)",
    ]
