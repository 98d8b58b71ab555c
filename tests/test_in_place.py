"""Layers told to work in place, each against its twin with a top of its own in real Caffe: values and gradients."""

import faulthandler

import numpy as np
import pytest
from next_door import aside
from shape_nets import NOT_IN_EVERY_CAFFE, layer, net, source

from netbuild.errors import CaffeError, NetbuildWarning
from netbuild.graph.check import problems, remarks
from netbuild.layers.arity import arity
from netbuild.layers.in_place import ABORTS, ELSE, GRADIENT
from netbuild.layers.table import TYPES
from netbuild.schema import TEST, TRAIN, schema
from netbuild.train.prepare import require_trainable

pytestmark = pytest.mark.usefixtures("slim")

IMAGE, ROWS, PAIR, ITEMS = (2, 6, 4, 5), (2, 5), (2, 6, 4, 5), (2,)
TIME, MARKS, STATE = (4, 3, 5), (4, 3), (1, 3, 5)
PLAIN = ("label", "marks", "index")
"""Names of bottoms that are whole numbers, for which no gradient is asked."""
FORWARD_ONLY = ("Accuracy", "ArgMax", "Threshold")


def conv(options):
    return f"convolution_param {{ num_output: 6 {options} }}"


LSTM, EXPOSED = "recurrent_param { num_output: 5 }", "recurrent_param { num_output: 5 expose_hidden: true }"
SAME = [
    *("AbsVal", "BNLL", "BatchNorm", "Bias", "Dropout", "ELU", "Exp", "Flatten", "LRN", "MVN", "PReLU"),
    *("Permute", "Power", "ReLU", "Scale", "Sigmoid", "Softmax", "Split", "Swish", "TanH", "Threshold"),
    *("ArgMax", "Concat", "Slice", "Reverse"),
]
OPTIONS = [
    ("BatchNorm", "batch_norm_param { use_global_stats: true }"),
    ("BatchNorm", "batch_norm_param { use_global_stats: false }"),
    ("Clip", "clip_param { min: -0.5 max: 0.5 }"),
    ("Convolution", conv("kernel_size: 1")),
    ("Convolution", conv("kernel_size: 3 pad: 1")),
    ("Convolution", conv("kernel_size: 3")),
    ("Deconvolution", conv("kernel_size: 1")),
    ("Deconvolution", conv("kernel_h: 3 kernel_w: 3 pad: 1")),
    ("ELU", "elu_param { alpha: 0.5 }"),
    ("ELU", "elu_param { alpha: -0.5 }"),
    ("Exp", "exp_param { base: 2 scale: 3 shift: 0.1 }"),
    ("Im2col", conv("kernel_size: 3")),
    ("InnerProduct", "inner_product_param { num_output: 3 }"),
    ("InnerProduct", "inner_product_param { num_output: 5 axis: -1 }"),
    ("LRN", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }"),
    ("Log", "log_param { shift: 20 }"),
    ("MVN", "mvn_param { normalize_variance: false }"),
    ("MVN", "mvn_param { across_channels: true }"),
    ("PReLU", "prelu_param { channel_shared: true }"),
    ("Permute", "permute_param { order: 0 order: 1 }"),
    ("Permute", "permute_param { order: 0 order: 2 }"),
    ("Pooling", "pooling_param { kernel_size: 2 stride: 2 }"),
    ("Pooling", "pooling_param { kernel_size: 3 stride: 1 pad: 1 pool: AVE }"),
    ("Power", "power_param { power: 2 }"),
    ("Power", "power_param { power: 3 scale: 0.5 }"),
    ("Power", "power_param { scale: 3 shift: 2 }"),
    ("Power", "power_param { power: 0 }"),
    ("Power", "power_param { scale: 0 shift: 2 }"),
    ("ReLU", "relu_param { negative_slope: 0.2 }"),
    ("ReLU", "relu_param { negative_slope: -0.2 }"),
    ("Reduction", "reduction_param { axis: 1 }"),
    ("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }"),
    ("Reshape", "reshape_param { shape { dim: 0 dim: 0 dim: 0 dim: 0 } }"),
    ("SPP", "spp_param { pyramid_height: 1 }"),
    ("SPP", "spp_param { pyramid_height: 2 }"),
    ("Scale", "scale_param { bias_term: true }"),
    ("Softmax", "softmax_param { axis: -1 }"),
    ("Tile", "tile_param { tiles: 2 }"),
]
SEVERAL = [
    # type, options, its bottoms' names and shapes, tops, the positions that are in place
    ("Accuracy", "", {"x": ROWS, "label": ITEMS}, 1, [0]),
    ("BatchReindex", "", {"x": IMAGE, "index": ITEMS}, 1, [0]),
    ("Bias", "", {"x": IMAGE, "y": (6,)}, 1, [0]),
    ("Concat", "", {"x": IMAGE, "y": IMAGE}, 1, [0]),
    ("ContrastiveLoss", "", {"x": ROWS, "y": ROWS, "label": ITEMS}, 1, [0]),
    ("Convolution", conv("kernel_size: 3 pad: 1"), {"x": IMAGE, "y": IMAGE}, 2, [1]),
    ("Crop", "", {"x": IMAGE, "y": IMAGE}, 1, [0]),
    ("Crop", "", {"x": IMAGE, "y": (2, 6, 4, 4)}, 1, [0]),
    ("Eltwise", "", {"x": IMAGE, "y": IMAGE}, 1, [0]),
    ("Eltwise", "", {"x": IMAGE, "y": IMAGE, "z": IMAGE}, 1, [0]),
    ("Eltwise", "eltwise_param { operation: MAX }", {"x": IMAGE, "y": IMAGE}, 1, [0]),
    ("Eltwise", "eltwise_param { operation: PROD }", {"x": IMAGE, "y": IMAGE}, 1, [0]),
    ("Embed", "embed_param { input_dim: 9 num_output: 4 }", {"label": (5,)}, 1, [0]),
    ("EuclideanLoss", "", {"x": ROWS, "y": ROWS}, 1, [0]),
    ("Filter", "", {"x": (3, 4), "label": (3,)}, 1, [0]),
    ("Filter", "", {"x": (3, 4), "y": (3, 2), "label": (3,)}, 2, [1]),
    ("HingeLoss", "", {"x": ROWS, "label": ITEMS}, 1, [0]),
    ("InfogainLoss", "", {"x": ROWS, "label": ITEMS, "index": (5, 5)}, 1, [0]),
    ("LSTM", LSTM, {"x": TIME, "marks": MARKS}, 1, [0]),
    ("LSTM", EXPOSED, {"x": TIME, "marks": MARKS, "h": STATE, "c": STATE}, 3, [2]),
    ("LSTMUnit", "", {"x": STATE, "y": (1, 3, 20), "marks": (1, 3)}, 2, [0]),
    ("MultinomialLogisticLoss", "", {"x": ROWS, "label": ITEMS}, 1, [0]),
    ("RNN", LSTM, {"x": TIME, "marks": MARKS}, 1, [0]),
    ("RNN", LSTM, {"x": (4, 3, 7), "marks": MARKS}, 1, [0]),
    ("Scale", "", {"x": IMAGE, "y": (6,)}, 1, [0]),
    ("Scale", "scale_param { axis: 0 bias_term: true }", {"x": IMAGE, "y": IMAGE}, 1, [0]),
    ("SigmoidCrossEntropyLoss", "", {"x": ROWS, "y": ROWS}, 1, [0]),
    ("Slice", "", {"x": IMAGE}, 2, [0]),
    ("SoftmaxWithLoss", "", {"x": ROWS, "label": ITEMS}, 1, [0]),
    ("Split", "", {"x": IMAGE}, 2, [0]),
]
CASES = [
    *((kind, "", {"x": IMAGE}, 1, [0]) for kind in SAME),
    *((kind, options, {"x": IMAGE}, 1, [0]) for kind, options in OPTIONS),
    *SEVERAL,
]


def fed(shapes):
    """Inputs, and after each a layer that learns where a gradient is asked for: its own tells that of its top."""
    text = ""
    for name, shape in shapes.items():
        text += source(f"in_{name}", *shape)
        learnt = ("Power", "") if name in PLAIN else ("Scale", "scale_param { axis: 0 num_axes: -1 }")
        text += layer(*learnt, f"in_{name}", name, f"feed_{name}")
    return text


def ended(blob, name="o", *, loss=True):
    """The blob under a name that twins have in common, and a loss of all its values."""
    judged_ = layer(
        "Reduction", "reduction_param { operation: SUMSQ } loss_weight: 1", name, f"{name}_loss", f"{name}r"
    )
    return layer("Power", "", blob, name, name) + judged_ * loss


def twins(kind, options, shapes, tops, positions):
    made, loss = [], kind not in FORWARD_ONLY and not kind.endswith("Loss")
    for inside in (True, False):
        bottoms = list(shapes)
        named = [bottoms[at] if inside and at in positions else f"own{at}" for at in range(tops)]
        made.append(fed(shapes) + layer(kind, options, " ".join(bottoms), " ".join(named), "it"))
        made[-1] += "".join(ended(blob, f"o{at}", loss=loss) for at, blob in enumerate(named))
    return made


def computed(caffe, text, phase, path, fill=None):
    """Losses, outputs and parameters' gradients of two passes on different values; CaffeError where Caffe dies."""
    path.write_text(text)

    def work():
        # An abort is an answer here, and needs no traceback.
        faulthandler.disable()
        built = caffe.Net(str(path), phase)
        found = {}
        for turn in (1, 2):
            draw = np.random.RandomState(turn)
            for name in built.inputs:
                data = built.blobs[name].data
                whole = np.arange(data.size)[::-1].reshape(data.shape) % 2
                data[...] = whole if name[3:] in PLAIN else draw.normal(0.3, 1.5, data.shape)
            for name, blobs in built.params.items():
                for blob in blobs:
                    blob.diff[...] = 0
                    if turn == 1 and name != "kept":
                        blob.data[...] = draw.uniform(0.5, 1.5, blob.data.shape)
            caffe.set_random_seed(5)
            found.update({(turn, name): value.copy() for name, value in built.forward().items()})
            if phase == TRAIN:
                built.backward()
            for name, blobs in built.params.items():
                found.update({(turn, name, at): blob.diff.copy() for at, blob in enumerate(blobs)})
        yield found

    return next(aside(caffe, work))


def _differ(one, two):
    return one.shape != two.shape or not np.allclose(one, two, rtol=1e-4, atol=1e-5, equal_nan=True)


def outcome(caffe, inside, beside, path, phases=(TRAIN, TEST)):
    """What Caffe does with the first net that it does not do with its twin."""
    for phase in phases:
        right = computed(caffe, beside, phase, path)
        try:
            found = computed(caffe, inside, phase, path)
        except CaffeError:
            return ABORTS
        off = [key for key, value in right.items() if _differ(value, found[key])]
        if off:
            return GRADIENT if all(len(key) == 3 for key in off) else ELSE
    return None


def skip_without(caffe, kind):
    if kind in NOT_IN_EVERY_CAFFE and kind not in caffe.layer_type_list():
        pytest.skip(f"this Caffe has no {kind}")


@pytest.mark.parametrize(("kind", "options", "shapes", "tops", "positions"), CASES, ids=lambda value: str(value)[:40])
def test_each_layer_type_in_place_as_in_caffe(caffe, tmp_path, kind, options, shapes, tops, positions):
    skip_without(caffe, kind)
    inside, beside = twins(kind, options, shapes, tops, positions)
    phases = (TEST,) if kind in FORWARD_ONLY else (TRAIN, TEST)
    found = outcome(caffe, inside, beside, tmp_path / "net", phases)
    assert problems(net(beside)) == []
    wrong, notes = problems(net(inside)), remarks(net(inside))
    told = [deed for deed in (ABORTS, ELSE) if wrong and deed in wrong[0]] or [GRADIENT] * bool(notes) or [None]
    # What writes beside its memory may end in any way, that of Tile in luck.
    lucky = [None] if kind == "Tile" else []
    assert found in ([ELSE, ABORTS, GRADIENT, *lucky] if told == [ELSE] else told), (wrong, notes)
    if wrong:
        assert f"layer 'it' ({kind}) works in place on {list(shapes)[positions[0]]!r}: Caffe" in wrong[0]
        assert wrong[0].endswith("; give it a top of its own")


def test_every_layer_type_is_judged():
    kinds = {kind for kind in TYPES if kind != "Python"}
    counts = {kind: arity(net(layer(kind)).layer[0]) for kind in kinds}
    judged_ = {kind for kind, count in counts.items() if count.bottoms[1] and count.tops[1]}
    assert {row[0] for row in CASES} == judged_


READERS = [
    *((kind, "") for kind in ("AbsVal", "BNLL", "ELU", "Exp", "Sigmoid", "Swish", "TanH", "ReLU", "Dropout", "PReLU")),
    *((kind, "") for kind in ("BatchNorm", "MVN", "Softmax", "Power", "LRN", "Scale", "Bias", "Flatten")),
    ("Reduction", "reduction_param { axis: 1 operation: SUMSQ }"),
    ("LRN", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }"),
    ("Log", "log_param { shift: 20 }"),
    ("MVN", "mvn_param { normalize_variance: false }"),
    ("Power", "power_param { power: 2 }"),
    ("Power", "power_param { power: 3 }"),
    ("ReLU", "relu_param { negative_slope: 0.2 }"),
    ("Convolution", conv("kernel_size: 3 pad: 1")),
    ("Pooling", "pooling_param { kernel_size: 2 }"),
    ("InnerProduct", "inner_product_param { num_output: 5 }"),
    ("Eltwise", ""),
    ("Eltwise", "eltwise_param { operation: PROD }"),
    ("Eltwise", "eltwise_param { operation: PROD stable_prod_grad: false }"),
    ("Eltwise", "eltwise_param { operation: MAX }"),
]
WRITERS = {
    "Scale": "scale_param { axis: 0 num_axes: 0 bias_term: true }",
    "Dropout": "",
    "ReLU": "",
}
MAY_BE_IN_PLACE = ("BatchNorm", "Bias", "Dropout", "ELU", "Exp", "PReLU", "ReLU", "Scale", "Sigmoid", "Softmax", "TanH")


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(("kind", "options"), READERS, ids=str)
def test_what_overwrites_what_a_gradient_reads(caffe, tmp_path, kind, options, writer):
    bottoms = {"x": IMAGE, "y": IMAGE} if kind == "Eltwise" else {"x": IMAGE}
    for first in ("x", "t") if kind in MAY_BE_IN_PLACE else ("t",):
        reader = fed(bottoms) + layer(kind, options, " ".join(bottoms), first, "reader")
        nets = [reader + layer(writer, WRITERS[writer], first, top, "writer") for top in (first, "w")]
        inside, beside = (text + ended(top) for text, top in zip(nets, (first, "w")))
        found = outcome(caffe, inside, beside, tmp_path / "net")
        assert found in (None, GRADIENT)
        assert problems(net(inside)) == []
        told = remarks(net(inside))
        assert bool(told) == (found == GRADIENT), told
        if told:
            assert told[0].startswith(f"layer 'writer' works in place on {first!r}, and the gradient of layer 'reader'")
        assert remarks(net(beside)) == []


HANDING_ON = [
    ("Flatten", ""),
    ("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }"),
    ("Split", ""),
    ("Concat", ""),
    ("Slice", ""),
    ("Permute", "permute_param { order: 0 }"),
]
OWN_MEMORY = [("Tile", "tile_param { tiles: 1 }"), ("Dropout", ""), ("Pooling", "pooling_param { kernel_size: 1 }")]


@pytest.mark.parametrize(("kind", "options"), HANDING_ON + OWN_MEMORY, ids=str)
def test_one_memory_under_two_names(caffe, tmp_path, kind, options):
    """A layer in place behind a Flatten changes what others read of the Flatten's bottom: silently, in both phases."""
    skip_without(caffe, kind)
    read = layer("InnerProduct", "inner_product_param { num_output: 3 }", "x", "ip")
    texts = {}
    for order in ("before", "after"):
        for top in ("f", "g"):
            middle = layer(kind, options, "x", "f", "alias") + layer("ReLU", "", "f", top, "writer")
            middle = read + middle if order == "before" else middle + read
            texts[order, top] = fed({"x": IMAGE}) + middle + ended("ip", "p") + ended(top)
    shared = (kind, options) in HANDING_ON
    for order, deed in (("before", GRADIENT), ("after", ELSE)):
        inside, beside = texts[order, "f"], texts[order, "g"]
        assert outcome(caffe, inside, beside, tmp_path / "net") == (deed if shared else None)
        assert problems(net(beside)) == remarks(net(beside)) == []
        wrong, notes = problems(net(inside)), remarks(net(inside))
        assert bool(wrong) == (shared and deed == ELSE), wrong
        assert bool(notes) == shared, notes
    if shared:
        assert wrong == [
            "layer 'writer' works in place on 'f', the same memory as 'x', which layer 'InnerProduct' reads after it: "
            "give it a top of its own"
        ]


KEPT = [
    ("DummyData", "dummy_data_param { shape { dim: 3 } data_filler { value: 2 } }", True),
    ("DummyData", "dummy_data_param { shape { dim: 3 } data_filler { type: 'gaussian' std: 1 } }", False),
    ("Parameter", "parameter_param { shape { dim: 3 } }", True),
]


@pytest.mark.parametrize(("kind", "options", "kept"), KEPT)
def test_memory_that_is_filled_once(caffe, tmp_path, kind, options, kept):
    made = layer(kind, options, "", "x", "kept")
    texts = [made + layer("Power", "power_param { scale: 2 shift: 1 }", "x", top) for top in ("x", "y")]
    texts = [text + ended(top, loss=False) for text, top in zip(texts, ("x", "y"))]
    assert outcome(caffe, *texts, tmp_path / "net", [TEST]) == (ELSE if kept else None)
    wrong = problems(net(texts[0]))
    assert bool(wrong) == kept
    assert (
        not kept
        or "keeps from one pass to the next: Caffe computes something else from the second on; give it" in wrong[0]
    )
    assert problems(net(texts[1])) == []


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_one_step_is_the_state_of_the_next_pass(caffe, tmp_path, kind):
    for steps in (1, 2):
        made = fed({"x": (steps, 3, 5), "marks": (steps, 3)}).replace('name: "feed_marks"', 'name: "feed_marks" %s')
        made %= "power_param { scale: 0 shift: 1 }"
        texts = [
            made + layer(kind, LSTM, "x marks", "h") + layer("Power", "power_param { scale: 3 }", "h", top)
            for top in "hy"
        ]
        kept = kind == "LSTM" and steps == 1
        inside, beside = (text + ended(top, loss=False) for text, top in zip(texts, "hy"))
        assert outcome(caffe, inside, beside, tmp_path / "net", [TEST]) == (ELSE if kept else None)
        assert bool(problems(net(inside))) == kept
        assert problems(net(beside)) == []


@pytest.mark.usefixtures("pycaffe")
def test_memory_data_is_overwritten_for_good(caffe, tmp_path):
    text = layer("MemoryData", "memory_data_param { batch_size: 2 channels: 1 height: 1 width: 1 }", "", "x label")
    text += layer("Power", "power_param { scale: 2 }", "x", "x") + layer("Silence", "", "label", "")
    (tmp_path / "net").write_text(text)
    built = caffe.Net(str(tmp_path / "net"), TEST)
    values = np.ones((2, 1, 1, 1), np.float32)
    built.set_input_arrays(values, np.zeros((2, 1, 1, 1), np.float32))
    assert [built.forward()["x"].ravel()[0] for _ in range(3)] == [2, 4, 8]
    assert "MemoryData) keeps from one pass" in problems(net(text))[0]


def test_a_blob_read_twice_by_what_overwrites_it(caffe, tmp_path):
    text = fed({"x": IMAGE}) + layer("Eltwise", "", "x x", "x")
    with pytest.raises(CaffeError, match="multiple sources"):
        computed(caffe, text, TEST, tmp_path / "net")
    assert "layer 'Eltwise' works in place on 'x', which it reads twice: give it a top of its own" in problems(
        net(text)
    )
    twice = fed({"x": IMAGE}) + layer("Slice", "", "x", "x x")
    with pytest.raises(CaffeError, match="multiple sources"):
        computed(caffe, twice, TEST, tmp_path / "net")
    assert "layer 'Slice': top 'x' is already made by another layer; rename it" in problems(net(twice))


def test_nothing_is_said_where_no_gradient_comes_by(caffe, tmp_path):
    """Frozen branches and deploy nets: what is wrong in training alone does not concern them."""
    learnt = fed({"x": IMAGE}) + layer("Sigmoid", "", "x", "s") + layer("Dropout", "", "s", "s")
    still = learnt.replace('top: "x" ', 'top: "x" param { lr_mult: 0 } ')
    assert remarks(net(learnt + ended("s")))
    assert remarks(net(learnt)) == []
    assert remarks(net(still + ended("s"))) == []


def test_what_trains_is_warned_of(tmp_path):
    chain = layer("Sigmoid", "", "x", "s") + layer("Dropout", "", "s", "s") + ended("s")
    (tmp_path / "net.prototxt").write_text(fed({"x": IMAGE}) + chain)
    solver = schema().SolverParameter(net=str(tmp_path / "net.prototxt"))
    with pytest.warns(NetbuildWarning, match="net.prototxt: layer 'Dropout' works in place on 's'.*another gradient"):
        require_trainable(solver)


def test_a_layer_that_lacks_its_bottom_has_no_remark():
    windows = "convolution_param { num_output: 5 kernel_size: 3 }"
    assert remarks(net(layer("Convolution", windows, "", "x", "c") + layer("EuclideanLoss", "", "x x", "y"))) == []
