"""What training does to a layer, as real Caffe does it, against what netbuild says of it.

Each case is run: by a solver for a few steps, and in passes forward and backward in the phase of the case. What is
seen there is the expectation. The wheel of PyPI computes BatchNorm on batch statistics wrong and never updates them:
there such a case is compared in all else.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from nets import layer, net

from netbuild.engine import child
from netbuild.errors import CaffeError, GraphError
from netbuild.graph.freeze import frozen
from netbuild.graph.view import NetView
from netbuild.schema import TEST, TRAIN

SHAPE, EPSILON, STEPS = (4, 3, 4, 4), 1e-5, 3
FILLED = "weight_filler { type: 'gaussian' std: 0.3 }"
RATE, ZERO = "param { lr_mult: %g }", "param { lr_mult: 0 decay_mult: 0 }"
CONV = f'type: "Convolution" convolution_param {{ num_output: 3 kernel_size: 1 {FILLED} }} '
NORM, STORED = 'type: "BatchNorm" ', "batch_norm_param { use_global_stats: true } "
BATCH, OWN_TEST, OWN_TRAIN = "batch_norm_param { use_global_stats: false } ", "phase: TEST ", "phase: TRAIN "
DUMMY = 'type: "DummyData" dummy_data_param { shape { dim: 4 dim: 3 } data_filler { %s } } '
IMAGES = 'type: "ImageData" top: "classes" image_data_param { source: "list.txt" batch_size: 4 is_color: false %s } '
RECURRENT = f"bottom: 'data' bottom: 'cont' recurrent_param {{ num_output: 2 {FILLED} }} "

CASES = {
    "ReLU": 'type: "ReLU"',
    "convolution": CONV,
    "convolution, frozen": CONV + 2 * ZERO,
    "convolution, frozen, decay left on": CONV + 2 * (RATE % 0),
    "convolution, one entry of two": CONV + ZERO,
    "convolution, bias learns": CONV + ZERO + RATE % 2,
    "convolution, frozen, its own phase TEST": CONV + 2 * ZERO + OWN_TEST,
    "convolution, learns in its own phase TEST": CONV + OWN_TEST,
    "BatchNorm": NORM,
    "BatchNorm, three zeros": NORM + 3 * ZERO,
    "BatchNorm, stored, no entries": NORM + STORED,
    "BatchNorm, stored, three zeros": NORM + STORED + 3 * ZERO,
    "BatchNorm, batch": NORM + BATCH,
    "BatchNorm, its own phase TEST": NORM + OWN_TEST,
    "BatchNorm, its own phase TRAIN": NORM + OWN_TRAIN,
    "BatchNorm, its own phase TEST, batch": NORM + OWN_TEST + BATCH + 3 * ZERO,
    "BatchNorm, its own phase TRAIN, stored": NORM + OWN_TRAIN + STORED + 3 * ZERO,
    "Scale": 'type: "Scale" scale_param { bias_term: true filler { value: 0.5 } }',
    "PReLU, frozen": f'type: "PReLU" {ZERO}',
    "Dropout": 'type: "Dropout"',
    "Dropout, its own phase TEST": 'type: "Dropout" phase: TEST',
    "Dropout, its own phase TRAIN": 'type: "Dropout" phase: TRAIN',
    "max pooling, its own phase TRAIN": 'type: "Pooling" pooling_param { pool: MAX kernel_size: 2 } phase: TRAIN',
    "DummyData, nothing said": 'type: "DummyData" dummy_data_param { shape { dim: 4 dim: 3 } }',
    "DummyData, constant": DUMMY % "type: 'constant' value: 2",
    "DummyData, gaussian": DUMMY % "type: 'gaussian' std: 1",
    "DummyData, uniform": DUMMY % "type: 'uniform' max: 1",
    "DummyData, gaussian, its own phase TEST": DUMMY % "type: 'gaussian' std: 1" + OWN_TEST,
    "DummyData, bilinear": DUMMY.replace("dim: 3", "dim: 1 dim: 4 dim: 4") % "type: 'bilinear'",
    "Input": 'type: "Input" input_param { shape { dim: 4 dim: 3 } }',
    "LSTM": 'type: "LSTM" ' + RECURRENT,
    "RNN, frozen": 'type: "RNN" ' + RECURRENT + 5 * ZERO,
    "images": IMAGES % "",
    "images, cropped": IMAGES % "" + "transform_param { crop_size: 5 }",
    "images, cropped, their own phase TEST": IMAGES % "" + "transform_param { crop_size: 5 } phase: TEST",
    "images, cropped, their own phase TRAIN": IMAGES % "" + "transform_param { crop_size: 5 } phase: TRAIN",
    "images, mirrored": IMAGES % "" + "transform_param { mirror: true } phase: TEST",
    "images, shuffled": IMAGES % "shuffle: true",
    "a shared rate": CONV + "param { name: 'w' } param { name: 'b' }",
    "shared statistics": NORM + STORED + "param { name: 'm' } param { name: 'v' } param { name: 'f' }",
}
"""A layer `x` without its name; it reads the blob `data` where it says nothing else and is no source."""
BESIDE = {
    "a shared rate": CONV + "param { name: 'w' lr_mult: 0 } param { name: 'b' lr_mult: 0 }",
    "shared statistics": NORM + BATCH + "param { name: 'm' } param { name: 'v' } param { name: 'f' }",
}
"""A layer that stands before `x` and shares its parameters."""
SOURCES = ("DummyData", "ImageData", "Input")
COLUMNS = ("learns", "drifts", "draws", "remembers", "on_stored_statistics", "wants_backward", "repeats")
PHASES = {"TRAIN": TRAIN, "TEST": TEST}


def text_of(name):
    """Return a net with the layer `x` of a case, whose output a layer that learns reads, under a loss."""
    body = CASES[name]
    source = any(f'"{kind}"' in body for kind in SOURCES)
    reads = "" if source or "bottom:" in body else 'bottom: "data"'
    beside = f'layer {{ name: "o" bottom: "data" top: "o" {BESIDE[name]} }}' if name in BESIDE else ""
    return "\n".join(
        [
            given("data", SHAPE),
            given("label", SHAPE[:1]),
            given("cont", SHAPE[:2]),
            beside,
            f'layer {{ name: "x" {reads} top: "x" {body} }}',
            layer("ip", "InnerProduct", "x", more=f"inner_product_param {{ num_output: 3 {FILLED} }}"),
            layer("loss", "SoftmaxWithLoss", "ip label"),
            layer("rest", "Silence", "cont data o" if beside else "cont data", ""),
        ]
    )


def given(name, shape):
    dims = " ".join(f"dim: {length}" for length in shape)
    return layer(name, "Input", more=f"input_param {{ shape {{ {dims} }} }}")


@pytest.fixture()
def folder(in_tmp, small_lists):
    """A folder with a list of four images, one batch."""
    lines = small_lists.path("train_all").read_text().splitlines()[:4]
    (in_tmp / "list.txt").write_text("\n".join(lines) + "\n")
    (in_tmp / "solver.prototxt").write_text(
        'train_net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.1 '
        'snapshot_prefix: "s" snapshot_after_train: false random_seed: 1'
    )
    return in_tmp


@pytest.fixture(scope="module")
def batch_norm_is_right(caffe, tmp_path_factory):
    """Whether the Caffe at hand normalises by each batch, by numpy alone."""
    path = tmp_path_factory.mktemp("bn") / "net.prototxt"
    path.write_text(text_of("BatchNorm"))
    loaded = with_values(caffe.Net(os.fspath(path), caffe.TRAIN))
    loaded.forward()
    x = loaded.blobs["data"].data
    expected = (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True)
    return bool(np.allclose(loaded.blobs["x"].data, expected, atol=1e-3))


def with_values(loaded):
    """Give a net its inputs, and the statistics of BatchNorm, which Caffe begins at 0."""
    random = np.random.RandomState(0)
    loaded.blobs["data"].data[...] = random.normal(1, 2, SHAPE)
    loaded.blobs["label"].data[...] = [0, 1, 2, 1]
    loaded.blobs["cont"].data[...] = 1
    for blob, values in zip(statistics(loaded), (random.normal(size=3), random.uniform(0.5, 1.5, 3), 2)):
        blob.data[...] = values
    return loaded


def statistics(loaded):
    blobs = loaded.params.get("x", [])
    return blobs if [blob.data.shape for blob in blobs] == [(3,), (3,), (1,)] else []


def opened(caffe, phase, seed=1):
    caffe.set_random_seed(seed)
    return with_values(caffe.Net("net.prototxt", phase))


def bits(loaded):
    return [blob.data.tobytes() for blob in loaded.params.get("x", [])]


def output(loaded, items=slice(None)):
    loaded.forward()
    return loaded.blobs["x"].data[items].tobytes()


def moved(loaded, act):
    """Tell for each parameter blob of `x` whether the act changes it."""
    before = bits(loaded)
    act()
    return [one != other for one, other in zip(before, bits(loaded))]


def measured(caffe, phase):
    """Return what Caffe does to the layer `x` of net.prototxt in a phase, by the names of our answers."""
    solver = caffe.get_solver("solver.prototxt")
    with_values(solver.net)
    stepped = moved(solver.net, lambda: solver.step(STEPS))
    passing = opened(caffe, TRAIN)
    passed = moved(passing, passing.forward)
    here = opened(caffe, phase)
    drifts = any(moved(here, here.forward))
    draws, remembers = is_drawn(caffe, phase), is_remembered(caffe, phase)
    stored = is_on_stored_statistics(opened(caffe, phase))
    return {
        "learns": any(step and not drift for step, drift in zip(stepped, passed)),
        "drifts": drifts,
        "draws": draws,
        "remembers": remembers,
        "on_stored_statistics": stored,
        "wants_backward": gradient_comes(opened(caffe, phase)),
        "repeats": not (draws or remembers or minds_its_neighbours(caffe, phase)),
    }


def is_drawn(caffe, phase):
    """Tell whether another seed gives another output, of the same parameters."""
    one, other = opened(caffe, phase, 1), opened(caffe, phase, 2)
    for blob, same in zip(other.params.get("x", []), one.params.get("x", [])):
        blob.data[...] = same.data
    return output(one) != output(other)


def is_remembered(caffe, phase):
    """Tell whether a second pass over the same input gives something else, where both begin with the same seed."""
    loaded = opened(caffe, phase)
    if not loaded.bottom_names["x"]:
        return False
    outputs = []
    for _ in range(2):
        caffe.set_random_seed(3)
        outputs.append(output(loaded))
    return outputs[0] != outputs[1]


def minds_its_neighbours(caffe, phase):
    """Tell whether the first item's output changes with the other items of the batch."""
    loaded = opened(caffe, phase)
    outputs = []
    for factor in (1, 3):
        loaded.blobs["data"].data[1:] *= factor
        caffe.set_random_seed(3)
        outputs.append(output(loaded, 0))
    return outputs[0] != outputs[1]


def is_on_stored_statistics(loaded):
    if not len(statistics(loaded)):
        return None
    loaded.forward()
    mean, variance, factor = (blob.data.reshape(-1, 1, 1) for blob in statistics(loaded))
    expected = (loaded.blobs["data"].data - mean / factor) / np.sqrt(variance / factor + EPSILON)
    return bool(np.allclose(loaded.blobs["x"].data, expected, atol=1e-4))


def gradient_comes(loaded):
    loaded.forward()
    loaded.backward()
    return bool(np.any(loaded.blobs["x"].diff))


def answers(phase):
    view = NetView(net(Path("net.prototxt").read_text()), phase)
    assert view.misfits == []
    (found,) = (view.training[index] for index, one in view.layers if one.name == "x")
    return found


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", CASES)
def test_what_training_does_to_a_layer(caffe, folder, batch_norm_is_right, name, phase):
    (folder / "net.prototxt").write_text(text_of(name))
    expected, found = measured(caffe, PHASES[phase]), answers(PHASES[phase])
    columns = set(COLUMNS)
    if not batch_norm_is_right and "BatchNorm" in CASES[name]:
        # On a batch's statistics this Caffe computes something else, and never updates the stored ones.
        by_batch = expected["on_stored_statistics"] is False or name in BESIDE
        columns -= {"drifts", "remembers", "repeats"} if by_batch else set()
    assert {one: getattr(found, one) for one in columns} == {one: expected[one] for one in columns}


@pytest.mark.parametrize("name", [name for name in CASES if not any(f'"{kind}"' in CASES[name] for kind in SOURCES)])
def test_a_frozen_layer_does_none_of_it_by_caffes_own_account(caffe, folder, name):
    """Recurrent layers go on from the batch before all the same: nothing in Caffe takes that from them."""
    message = net(text_of(name))
    index = [one.name for one in message.layer].index("x")
    (folder / "net.prototxt").write_text(str(frozen(message, {index - 1, index} if name in BESIDE else {index})))
    recurrent = '"LSTM"' in CASES[name] or '"RNN"' in CASES[name]
    for phase in PHASES.values():
        expected, found = measured(caffe, phase), answers(phase)
        assert {one: getattr(found, one) for one in COLUMNS} == {one: expected[one] for one in COLUMNS}
        assert [one for one in ("learns", "drifts", "draws", "wants_backward") if expected[one]] == []
        assert expected["on_stored_statistics"] in (None, True)
        assert found.frozen is expected["repeats"] is not recurrent


@pytest.mark.parametrize("name", ["DummyData, gaussian", "DummyData, uniform"])
def test_what_fills_its_tops_at_random_cannot_be_frozen(name):
    with pytest.raises(GraphError, match="layer 'x' .DummyData.: fills its tops at random before each pass, so that"):
        frozen(net(text_of(name)))


STOCHASTIC = 'type: "Pooling" bottom: "data" top: "x" pooling_param { pool: STOCHASTIC kernel_size: 2 } '


@pytest.mark.parametrize(
    ("text", "phase", "draws"),
    [
        (STOCHASTIC, "TRAIN", True),
        (STOCHASTIC, "TEST", False),
        (STOCHASTIC + OWN_TEST, "TRAIN", False),
        (STOCHASTIC + OWN_TRAIN, "TEST", True),
    ],
)
def test_stochastic_pooling_which_only_a_gpu_computes(in_tmp, text, phase, draws):
    """Read in pooling_layer.cu (Forward_gpu: `this->phase_ == TRAIN`); on the CPU Caffe gives up, whatever the phase."""
    (in_tmp / "net.prototxt").write_text(given("data", SHAPE) + f'layer {{ name: "x" {text} }}')
    assert answers(PHASES[phase]).draws is draws
    with pytest.raises(CaffeError, match="Not Implemented Yet"):
        list(child.run("jobs:forward", net="net.prototxt", phase=PHASES[phase]))


CODE = """
import caffe, numpy

class Same(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(2)
    def reshape(self, bottom, top):
        top[0].reshape(4, 3)
    def forward(self, bottom, top):
        top[0].data[...] = 1
    def backward(self, top, propagate_down, bottom):
        pass

class Restless(Same):
    def forward(self, bottom, top):
        top[0].data[...] = numpy.random.rand(4, 3)
        self.blobs[0].data[...] += 1
"""


@pytest.mark.parametrize("code", ["Same", "Restless"])
def test_of_a_users_own_code_nothing_is_known(pycaffe, folder, monkeypatch, code):
    """Two layers of one definition, but for the name of their code, of which one draws and changes its parameters."""
    (folder / "own_layers.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setitem(CASES, "own", f'type: "Python" python_param {{ module: "own_layers" layer: "{code}" }}')
    (folder / "net.prototxt").write_text(text_of("own"))
    loaded = opened(pycaffe, TRAIN)
    restless = code == "Restless"
    assert (output(loaded) != output(loaded)) is restless
    assert any(moved(loaded, loaded.forward)) is restless
    found = answers(TRAIN)
    assert (found.learns, found.draws, found.remembers, found.parameters) == (None, None, None, None)
    assert not found.frozen
    assert not found.repeats


@pytest.mark.usefixtures("pycaffe")
def test_what_a_program_puts_into_memory_data_is_not_known(caffe, folder):
    """The same net, twice over the same arrays and then over others."""
    memory = "memory_data_param { batch_size: 4 channels: 3 height: 4 width: 4 }"
    text = layer("x", "MemoryData", tops="x classes", more=memory) + layer("ip", "Silence", "x classes", "")
    (folder / "net.prototxt").write_text(text)
    loaded = caffe.Net("net.prototxt", caffe.TEST)
    outputs = []
    for factor in (1, 1, 2):
        loaded.set_input_arrays(np.full(SHAPE, factor, np.float32), np.zeros(4, np.float32))
        outputs.append(output(loaded))
    assert outputs[0] == outputs[1] != outputs[2]
    found = answers(TEST)
    assert found.draws is None
    assert not found.repeats


def test_of_types_that_are_not_known_only_entries_are_read():
    texts = {"": None, "param { lr_mult: 1 }": True, "param { lr_mult: 0 }": False}
    for entries, learns in texts.items():
        found = NetView(net(layer("x", "Mystery", "data", more=entries)), TRAIN).training[0]
        assert (found.learns, found.draws, found.frozen) == (learns, None, False)
