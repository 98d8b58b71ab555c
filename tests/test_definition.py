"""What `check` tells of a layer's own definition; real Caffe aborts on each of these nets."""

import faulthandler

import numpy as np
import pytest
from next_door import aside
from shape_nets import INPUT, LABEL, SCALAR, engine, layer, net, source

from netbuild.errors import CaffeError, GraphError
from netbuild.graph.check import problems, remarks, require_sound
from netbuild.schema import TEST, TRAIN

pytestmark = pytest.mark.usefixtures("slim")

FIVE = "inner_product_param { num_output: 5 }"
FOUR = "inner_product_param { num_output: 4 }"
TURNED = "inner_product_param { num_output: 5 transpose: true }"
VALUES = "data: 1 "
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
    *(
        (
            ROWS + layer("SoftmaxWithLoss", weights, "r label", "x y"),
            LOSS + "(SoftmaxWithLoss): Caffe aborts on a second top",
        )
        for weights in ("", "loss_weight: 1 loss_weight: 0", "loss_weight: 0 loss_weight: 0")
    ),
    (
        ROWS
        + source("h", 3, 3)
        + layer("InfogainLoss", "loss_weight: 1 loss_weight: 0", "r label h", "x y")
        + layer("Silence", "", "x", ""),
        "layer 'InfogainLoss' (InfogainLoss): its top 'x' has a loss_weight and is read by another layer",
    ),
    (SCALAR + layer("Filter", "", "data scalar"), "layer 'Filter' (Filter): bottoms with a first axis"),
    (SCALAR + layer("Filter", "", "scalar label"), "layer 'Filter' (Filter): bottoms with a first axis"),
    (
        ROWS + source("h", 3, 3) + layer("InfogainLoss", "", "r label h", "x y"),
        "layer 'InfogainLoss' (InfogainLoss): has 2 tops and no loss_weight",
    ),
    ("layer { name: 'x' bottom: 'data' top: 'x' }", "layer 'x': has no type"),
    ("layer { }", "layer 2: has no type"),
    (
        ROWS + layer("InnerProduct", f"{FIVE} blobs {{ shape {{ dim: 5 dim: 3 }} data: 1 }}", "r"),
        IP + "its blob 0 has 1 value for the shape (5, 3); Caffe aborts",
    ),
    (layer("ReLU", "blobs { shape { dim: 2 } }"), "layer 'ReLU' (ReLU): its blob 0 has no value for the shape (2)"),
    (
        layer("Convolution", "convolution_param { num_output: 2 kernel_size: 1 } blobs { data: 1 }"),
        "layer 'Convolution' (Convolution): its own blobs have 1 values, and its parameters are (2, 6, 1, 1) (2); leave",
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


def filled(filler, kind="Convolution", options="kernel_size: 3", field="weight_filler"):
    param = "convolution_param" if "volution" in kind else f"{kind.lower()}_param"
    numbers = "num_output: 2 " * (param == "convolution_param")
    return layer(kind, f"{param} {{ {numbers}{options} {field} {{ {filler} }} }}")


FILLERS = [
    (filled("type: 'gabour'"), "weight_filler 'gabour': there is no such filler; known are bilinear, constant"),
    (filled("type: 'Xavier'"), "weight_filler 'Xavier': there is no such filler"),
    (filled("type: ''"), "weight_filler '': there is no such filler"),
    (filled("type: 'foo'", field="bias_filler"), "bias_filler 'foo'"),
    (filled("type: 'foo'", "Deconvolution"), "weight_filler 'foo'"),
    (layer("InnerProduct", FIVE.replace("}", "weight_filler { type: 'foo' } }")), "weight_filler 'foo'"),
    (layer("Embed", "embed_param { num_output: 2 input_dim: 3 bias_filler { type: 'foo' } }"), "bias_filler 'foo'"),
    (filled("type: 'foo'", "Scale", "", "filler"), "filler 'foo'"),
    (filled("type: 'foo'", "Scale", "bias_term: true", "bias_filler"), "bias_filler 'foo'"),
    (
        layer("Scale", "scale_param { axis: 0 bias_term: true bias_filler { type: 'foo' } }", "data data"),
        "bias_filler 'foo'",
    ),
    (filled("type: 'foo'", "Bias", "", "filler"), "filler 'foo'"),
    (filled("type: 'foo'", "PReLU", "", "filler"), "filler 'foo'"),
    (filled("type: 'xavier'", "PReLU", "channel_shared: true", "filler"), "the blob is a single number"),
    (filled("type: 'msra'", "Scale", "num_axes: 0", "filler"), "the blob is a single number"),
    (filled("type: 'positive_unitball'", "Scale", "num_axes: 0", "filler"), "the blob is a single number"),
    (filled("type: 'gaussian' sparse: 1", "Scale", "num_axes: 0", "filler"), "sparse needs a blob with axes"),
    (filled("type: 'uniform' sparse: 3"), "weight_filler 'uniform': sparse goes with gaussian only"),
    *((filled(f"type: '{kind}' sparse: 1"), "sparse goes with") for kind in ("bilinear", "constant", "msra", "xavier")),
    (filled("type: 'gaussian' sparse: 3"), "sparse 3 is more than the 2 outputs of the blob (2, 6, 3, 3)"),
    (filled("type: 'gaussian' sparse: -2"), "sparse -2 must be at least 0"),
    (filled("type: 'gaussian' std: 0"), "std 0 must be above 0; for equal values take constant"),
    (filled("type: 'gaussian' std: -1"), "std -1 must be above 0"),
    (filled("type: 'gaussian' std: nan"), "std nan must be above 0"),
    (filled("type: 'uniform' min: 2 max: 1"), "min 2 is more than max 1"),
    (filled("type: 'bilinear'", options="kernel_h: 3 kernel_w: 2"), "only square windows can be filled with it"),
    (filled("type: 'bilinear'", options="kernel_size: 3 axis: 2"), "the blob is (2, 9, 3)"),
    (layer("InnerProduct", FIVE.replace("}", "weight_filler { type: 'bilinear' } }")), "the blob is (5, 594)"),
    (layer("DummyData", "dummy_data_param { shape { dim: 2 } data_filler { type: 'foo' } }", ""), "data_filler 'foo'"),
    *(
        (
            source("s", 4, 3, 5)
            + source("t", 4, 3)
            + layer(kind, f"recurrent_param {{ num_output: 2 {field} {{ type: 'foo' }} }}", "s t"),
            f"{field} 'foo'",
        )
        for kind in ("LSTM", "RNN")
        for field in ("weight_filler", "bias_filler")
    ),
]
VOLUME = source("v", 2, 3, 2, 2, 2)
RUNNING = "Caffe aborts when it runs"
WHEN_IT_RUNS = [
    # Filled when they run, with which Caffe aborts then.
    *(
        (
            layer("DummyData", f"dummy_data_param {{ shape {{ dim: 2 }} data_filler {{ {filler} }} }}", ""),
            "aborts on its",
        )
        for filler in ("type: 'gaussian' std: 0", "type: 'bilinear'")
    ),
    (VOLUME + layer("HingeLoss", "", "v label"), RUNNING),
    (VOLUME + layer("EuclideanLoss", "", "v v"), RUNNING),
    (VOLUME + layer("MultinomialLogisticLoss", "", "v label"), RUNNING),
    (SCALAR + layer("BatchReindex", "", "scalar label"), RUNNING),
    (layer("LRN", "lrn_param { local_size: 2147483647 }"), "what it works in when it runs would have the shape "),
    (layer("Dropout", "dropout_param { dropout_ratio: 1.5 }"), RUNNING),
    (layer("Dropout", "dropout_param { dropout_ratio: -0.1 }"), RUNNING),
    (layer("Dropout", "dropout_param { dropout_ratio: nan }"), RUNNING),
    (layer("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 }"), "on the CPU Caffe aborts"),
    (layer("SPP", "spp_param { pool: STOCHASTIC pyramid_height: 1 }"), "on the CPU Caffe aborts"),
]
HUGE = 2**31
IMPOSSIBLE = [
    (source("d", *[1] * 33), "a blob of 33 axes would be made; Caffe takes at most 32"),
    (source("d", 1, -1), "its top 'd' would have the shape (1, -1); Caffe aborts on lengths below 1"),
    (source("d", 0, 3) + layer("ReLU", "", "d"), "its top 'd' would have the shape (0, 3)"),
    (source("d", 2, 0) + layer("BatchNorm", "", "d"), "its top 'd' would have the shape (2, 0)"),
    (source("d", 65536, 32768), "2147483648 values; Caffe takes at most 2147483647"),
    (source("d", 1000, 3, 1000, 1000), "3000000000 values"),
    (source("d", 2**32), "4294967296 values"),
    (layer("Tile", "tile_param { tiles: 2147483647 }"), "would have the shape (2, 12884901882, 9, 11)"),
    (layer("InnerProduct", f"inner_product_param {{ num_output: {HUGE} }}"), "num_output is more than 2147483647"),
    (
        layer("Convolution", "convolution_param { num_output: 2 kernel_size: 3 stride: 4294967295 }"),
        "stride is more than",
    ),
    (layer("Convolution", "convolution_param { num_output: 2 kernel_size: 3 pad: 100000 }"), "values; Caffe takes"),
    (layer("Embed", "embed_param { num_output: 65536 input_dim: 65536 }"), "its parameter blob 0 would have the shape"),
    (layer("DummyData", "dummy_data_param { shape { dim: 65536 dim: 65536 } }", ""), "4294967296 values"),
    (layer("DummyData", "dummy_data_param { num: 4294967295 channels: 1 height: 1 width: 1 }", ""), "num is more than"),
    (
        layer("MemoryData", "memory_data_param { batch_size: 65536 channels: 65536 height: 1 width: 1 }", "", "x y"),
        "4294967296 values",
    ),
    (layer("Parameter", "parameter_param { shape { dim: 65536 dim: 65536 } }", ""), "4294967296 values"),
    (layer("Parameter", "parameter_param { shape { dim: 0 } }", ""), "lengths below 1"),
]
LOST = [
    (
        layer("InnerProduct", FIVE + " loss_weight: 1", name="ip") + layer("ReLU", "", "x", "x"),
        "layer 'ReLU' (ReLU) works in place on 'x', which layer 'ip' makes a loss of by its loss_weight: Caffe aborts; "
        "give it a top of its own",
    ),
    (
        layer("Flatten", "loss_weight: 1") + layer("ReLU", "", "x", "x"),
        "layer 'ReLU' (ReLU) works in place on 'x', which layer 'Flatten' makes a loss of by its loss_weight",
    ),
    (
        layer("Split", "loss_weight: 1 loss_weight: 0", tops="x y") + layer("Dropout", "", "x", "x"),
        "layer 'Dropout' (Dropout) works in place on 'x', which layer 'Split' makes a loss of by its loss_weight",
    ),
]
SOUND = [
    filled("type: 'bilinear'"),
    filled("type: 'bilinear'", "Deconvolution", "kernel_size: 4 group: 2"),
    filled("type: 'bilinear'", "Scale", "axis: 0 num_axes: -1", "filler").replace('"data"', '"square"'),
    filled("type: 'foo'", options="kernel_size: 3 bias_term: false", field="bias_filler"),
    filled("type: 'xavier'", field="bias_filler"),
    filled("type: 'gaussian' sparse: 2"),
    filled("type: 'gaussian' sparse: 0"),
    filled("type: 'uniform' min: 1 max: 1"),
    filled("type: 'foo'", "Scale", "", "bias_filler"),
    layer("Scale", "scale_param { axis: 0 filler { type: 'foo' } }", "data data"),
    layer("Bias", "bias_param { axis: 0 filler { type: 'foo' } }", "data data"),
    layer("Im2col", "convolution_param { kernel_size: 3 weight_filler { type: 'foo' } }"),
    layer("Parameter", "parameter_param { shape {" + " dim: 1" * 32 + " } }", ""),
    layer("InnerProduct", FIVE + " loss_weight: 0") + layer("ReLU", "", "x", "x"),
    layer("InnerProduct", FIVE + " loss_weight: 1") + layer("ReLU", "", "x", "y"),
    layer("EuclideanLoss", "", "data data") + layer("ReLU", "", "x", "x"),
    layer("Pooling", "pooling_param { kernel_size: 3 kernel_h: 2 }"),
    layer("BatchNorm", "param { lr_mult: 0 } param { lr_mult: 0 }"),
    layer("BatchNorm", "param { lr_mult: 1 } param { lr_mult: 1 } param { lr_mult: 1 }"),
    layer("InnerProduct", FIVE + " param {} propagate_down: false loss_weight: 1"),
    ROWS + layer("SoftmaxWithLoss", "loss_weight: 1", "r label", ""),
    ROWS
    + layer(
        "InnerProduct",
        f"{FIVE} blobs {{ shape {{ dim: 15 }} {VALUES * 15} }} blobs {{ num: 1 channels: 1 "
        f"height: 1 width: 5 {VALUES * 5} }}",
        "r",
    ),
    layer("ReLU", "blobs { data: 1 }"),
    ROWS + source("h", 3, 3) + layer("InfogainLoss", "loss_weight: 1 loss_weight: 0", "r label h", "x y"),
    shared(FIVE + ' param { name: "w" }', FIVE + ' param { name: "w" }'),
    shared(FIVE + ' param { name: "w" }', TURNED + ' param { name: "w" share_mode: PERMISSIVE }'),
]


@pytest.mark.parametrize(("layers", "part"), [*FILLERS, *IMPOSSIBLE, *LOST], ids=lambda text: text[-50:])
def test_what_caffe_aborts_on_when_it_makes_the_blobs_is_told(caffe, layers, part):
    text = INPUT + LABEL + layers
    assert isinstance(engine(caffe, text), str), "Caffe takes it"
    found = problems(net(text))
    assert len(found) == 1
    assert part in found[0], found


@pytest.mark.parametrize(("layers", "part"), WHEN_IT_RUNS, ids=lambda text: text[-50:])
def test_what_caffe_aborts_on_when_it_runs_is_told(caffe, tmp_path, layers, part):
    text = INPUT + LABEL + layers
    (tmp_path / "net").write_text(text)

    def run():
        faulthandler.disable()
        loaded = caffe.Net(str(tmp_path / "net"), TRAIN)
        yield "it is built"
        loaded.forward()

    events = aside(caffe, run)
    assert next(events) == "it is built"
    with pytest.raises(CaffeError):
        list(events)
    found = [*problems(net(text), in_phases=[TRAIN]), *remarks(net(text))]
    assert len(found) == 1
    assert part in found[0]


@pytest.mark.parametrize(
    ("layers", "part"),
    [
        (
            filled("type: 'gabor'"),
            "layer 'Convolution' (Convolution): its weight_filler 'gabor' is of the Caffe of Intel;",
        ),
        (
            layer("Scale", "scale_param { filler { type: 'gabor' } }"),
            "layer 'Scale' (Scale): its filler 'gabor' is of ",
        ),
    ],
    ids=lambda text: text[-50:],
)
def test_a_filler_of_a_fork_is_told_of_its_layer(caffe, layers, part):
    text = INPUT + LABEL + source("square", 2, 3, 4, 4) + layers
    assert "Unknown filler name: gabor" in engine(caffe, text)
    assert problems(net(text)) == []
    (remark,) = remarks(net(text))
    assert remark.startswith(part)


@pytest.mark.parametrize(("ratio", "phase"), [(0, TRAIN), (0.99, TRAIN), (1, TRAIN), (1.5, TEST), (-1, TEST)])
def test_a_dropout_that_draws_needs_a_chance(caffe, tmp_path, ratio, phase):
    text = INPUT + layer("Dropout", f"dropout_param {{ dropout_ratio: {ratio} }}")
    (tmp_path / "net").write_text(text)
    loaded = caffe.Net(str(tmp_path / "net"), phase)
    loaded.forward()
    found = problems(net(text), in_phases=[phase])
    assert np.isfinite(loaded.blobs["x"].data).all() == (found == []), found


SIZES = """
layer { name: "data" type: "Input" top: "data" include { phase: TRAIN } input_param { shape { dim: 2 dim: %d } } }
layer { name: "data" type: "Input" top: "data" include { phase: TEST } input_param { shape { dim: 2 dim: %d } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 } }
layer { name: "other" type: "InnerProduct" bottom: "data" top: "o" include { phase: TRAIN }
  inner_product_param { num_output: 4 } }
layer { name: "other" type: "InnerProduct" bottom: "data" top: "o" include { phase: TEST }
  inner_product_param { num_output: 4 bias_term: %s } }
"""


@pytest.mark.parametrize(
    ("sizes", "wrong"),
    [
        ((3, 3, "true"), []),
        (
            (3, 5, "true"),
            ["layer 'fc': its parameters have the shapes (4, 3) (4) in TRAIN and (4, 5) (4) in TEST; Caffe "],
        ),
        (
            (3, 3, "false"),
            ["layer 'other': its parameters have the shapes (4, 3) (4) in TRAIN and (4, 3) in TEST; Caffe "],
        ),
    ],
)
def test_phases_whose_parameters_a_solver_cannot_share(caffe, in_tmp, sizes, wrong):
    (in_tmp / "net").write_text(SIZES % sizes)
    (in_tmp / "solver").write_text(
        'net: "net" test_iter: 1 test_interval: 1 lr_policy: "fixed" base_lr: 0.1 max_iter: 1'
    )

    def solve():
        faulthandler.disable()
        caffe.get_solver("solver").solve()
        yield "done"

    try:
        assert list(aside(caffe, solve)) == ["done"]
        assert not wrong
    except CaffeError:
        assert wrong
    found = problems(net(SIZES % sizes))
    assert [sentence[: len(wrong[0])] for sentence in found if "'fc'" in sentence or sizes[1] == sizes[0]] == wrong
    assert problems(net(SIZES % sizes), in_phases=[TEST]) == []


@pytest.mark.parametrize(("layers", "sentence"), WRONG, ids=lambda text: text[-50:])
def test_what_caffe_aborts_on_is_told_in_one_sentence(caffe, layers, sentence):
    text = INPUT + LABEL + layers
    assert isinstance(engine(caffe, text), str), "Caffe takes it"
    found = problems(net(text))
    assert len(found) == 1
    assert found[0].startswith(sentence), found


@pytest.mark.parametrize("layers", SOUND, ids=lambda text: text[-50:])
def test_what_caffe_takes_is_no_problem(caffe, layers):
    text = INPUT + LABEL + source("square", 2, 3, 4, 4) + layers
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
