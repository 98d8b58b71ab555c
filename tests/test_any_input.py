"""Inputs of any number of axes, with a batch axis and without: real Caffe says that nothing is computed differently."""

from types import SimpleNamespace

import numpy as np
import pytest
from commands import invoke, run
from nets import conv, data, fc, layer, net

from netbuild.emit.labels import label_shapes
from netbuild.fuse.inputs import Weighted, shapes_to_feed
from netbuild.graph.feed import in_batches, without_batch
from netbuild.verify.blobs import fed_values


def inputs(**shapes):
    """The old form of a net's inputs: one axis, five or none."""
    dims = {name: " ".join(f"dim: {length}" for length in shape) for name, shape in shapes.items()}
    return "".join(f'input: "{name}" input_shape {{ {text} }}\n' for name, text in dims.items())


def reshape(name, bottom, *lengths):
    dims = " ".join(f"dim: {length}" for length in lengths)
    return layer(name, "Reshape", bottom, more=f"reshape_param {{ shape {{ {dims} }} }}")


LSTM = "recurrent_param { num_output: 6 weight_filler { type: 'uniform' min: -0.5 max: 0.5 } %s }"
SCALED = fc("ip", "sc", 4) + fc("fc", "ip", 2)
NETS = {
    "one axis beside images, fixed by Reshape": (
        inputs(data=(12, 3, 4, 4), clip_markers=(12,))
        + fc("fc6", "data", 8)
        + reshape("rd", "fc6", 4, 3, 8)
        + reshape("rc", "clip_markers", 4, 3)
        + layer("ip", "LSTM", "rd rc", more=LSTM % ""),
        12,
    ),
    "a factor for each image": (
        inputs(data=(2, 3, 4, 4), w=(2,)) + layer("sc", "Scale", "data w", "sc", "scale_param { axis: 0 }") + SCALED,
        1,
    ),
    "a factor for each channel, and a scalar": (
        inputs(data=(2, 3, 4, 4), w=(3,), s=())
        + layer("sw", "Scale", "data w", "sw", "scale_param { axis: 1 }")
        + layer("sc", "Scale", "sw s", "sc", "scale_param { axis: 0 }")
        + SCALED,
        1,
    ),
    "as many images as channels": (
        inputs(data=(3, 3, 4, 4), w=(3,)) + layer("sc", "Scale", "data w", "sc", "scale_param { axis: 1 }") + SCALED,
        3,
    ),
    "states of time steps": (
        inputs(cont=(5, 2), x=(5, 2, 7), h0=(1, 2, 6), c0=(1, 2, 6))
        + layer("ip", "LSTM", "x cont h0 c0", "ip hT cT", LSTM % "expose_hidden: true"),
        5,
    ),
    "five axes": (
        inputs(clip=(2, 3, 4, 6, 6))
        + layer("sc", "Convolution", "clip", more="convolution_param { num_output: 4 kernel_size: 3 }")
        + SCALED,
        1,
    ),
    "one axis alone": (inputs(data=(8,)) + reshape("sc", "data", 0, 1) + SCALED, 1),
    "boxes": (
        inputs(data=(2, 3, 6, 6), of=(5,)) + fc("f", "data", 4) + layer("ip", "BatchReindex", "f of", "ip"),
        1,
    ),
    "DummyData of two tops": (
        layer(
            "d",
            "DummyData",
            "",
            "data w",
            "dummy_data_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } shape { dim: 2 } data_filler { type: 'uniform' } }",
        )
        + layer("sc", "Scale", "data w", "sc", "scale_param { axis: 0 }")
        + SCALED,
        1,
    ),
}


@pytest.fixture(params=NETS)
def original(request, caffe, in_tmp):
    """A net beside its weights, which are all at random: (its blobs on random input, what it was fed, its least batch)."""
    text, batch = NETS[request.param]
    (in_tmp / "net.prototxt").write_text('name: "x"\n' + text)
    alone = caffe.Net("net.prototxt", caffe.TEST)
    random = np.random.RandomState(0)
    for blobs in alone.params.values():
        for blob in blobs:
            blob.data[...] = random.randn(*blob.data.shape)
    alone.save("net.caffemodel")
    fed = {name: np.asarray(random.rand(*alone.blobs[name].data.shape)) for name in alone.inputs}
    for name, values in fed.items():
        alone.blobs[name].data[...] = values
    alone.forward()
    made = ("data", "w") if "DummyData" in text else ()
    fed.update({name: alone.blobs[name].data.copy() for name in made})
    return alone.blobs["ip"].data.copy(), fed, batch


def computed(caffe, path, weights, fed, blob):
    """What a net computes of the blobs that the original was fed; `data` is what nothing else is called."""
    made = caffe.Net(str(path), str(weights), caffe.TEST)
    left = set(fed) - set(made.inputs)
    for name in made.inputs:
        values = fed[name] if name in fed else fed[left.pop()]
        made.blobs[name].reshape(*values.shape)
        made.blobs[name].data[...] = values
    assert not left
    made.forward()
    return made.blobs[blob].data.copy()


def test_the_deploy_net_computes_what_the_original_does(original, caffe):
    expected, fed, batch = original
    said = run("emit", "net.prototxt@ip", "--no-head", "--frozen", "--data", "input", "-o", "out")
    assert ("made for batches of" in said) == (batch > 1)
    assert "nothing wrong" in run("check", "out/deploy.prototxt")
    assert computed(caffe, "out/deploy.prototxt", "net.caffemodel", fed, "ip").tobytes() == expected.tobytes()


def test_a_fusion_of_two_is_proved_and_comes_out_again(original, caffe):
    expected, fed, _ = original
    branches = ["--branch", "a=net.prototxt@ip", "--branch", "b=net.prototxt@ip"]
    weights = ["--weights", "a=net.caffemodel", "--weights", "b=net.caffemodel"]
    run("emit", "fusion", *branches, "--no-head", "--data", "input", "-o", "out")
    run("fuse", "out/deploy.prototxt", *weights, "-o", "init.caffemodel")
    for prefix in "ab":
        found = computed(caffe, "out/deploy.prototxt", "init.caffemodel", fed, f"{prefix}/ip")
        assert found.tobytes() == expected.tobytes()
    assert run("verify", "out/deploy.prototxt", "init.caffemodel", *branches, *weights).count("bit-equal") == 2
    run("extract", "a", "out/deploy.prototxt", "init.caffemodel", "-o", "again")
    assert computed(caffe, "again/a.prototxt", "again/a.caffemodel", fed, "ip").tobytes() == expected.tobytes()


def test_batches_that_the_net_does_not_take_are_refused_with_those_that_it_takes(in_tmp):
    (in_tmp / "net.prototxt").write_text(NETS["as many images as channels"][0])
    options = ["emit", "net.prototxt@ip", "--classes", 3, "--data", "input", "-o", "out"]
    said = invoke(*options, code=1).output
    assert "sources declare batches of 3, which fit: --train-batch 3 --test-batch 3" in said
    assert "made for batches of 3" in run(*options, "--train-batch", 3, "--test-batch", 3)
    said = invoke(*options, "--train-batch", 3, "--test-batch", 3, "--deploy-batch", 2, code=1).output
    assert "which fit: --deploy-batch 3" in said


def test_time_steps_are_said(in_tmp):
    text, _ = NETS["states of time steps"]
    (in_tmp / "net.prototxt").write_text(text)
    options = ["emit", "net.prototxt@ip", "--classes", 3, "--head", "h=3", "--data", "input", "-o", "out"]
    assert "layer 'ip' takes the first axis for time, and the branches' sources declare 5" in run(*options)
    assert "for time" not in run(*options, "--train-batch", 5, "--test-batch", 5)


def test_branches_that_read_a_vector_in_two_lengths_are_refused(in_tmp):
    for name, length in (("one", 3), ("other", 4)):
        (in_tmp / f"{name}.prototxt").write_text(
            inputs(data=(2, length, 4, 4), w=(length,))
            + layer("sc", "Scale", "data w", "sc", "scale_param { axis: 1 }")
            + SCALED
        )
    branches = ["--branch", "a=one.prototxt@ip", "--branch", "b=other.prototxt@ip", "--input", "b=other"]
    said = invoke("emit", "fusion", *branches, "--no-head", "--data", "input", "-o", "out", code=1).output
    assert "the branches read the input 'w' in different sizes (a: (3), b: (4))" in said


def test_which_inputs_have_no_batch_axis():
    shapes = {"data": (2, 3, None, None), "w": (3,), "s": (), "label": (2,), "file": None, "any": (None, 4)}
    assert without_batch(shapes) == {"w", "s"}
    assert in_batches({"data": (2, 3), "w": (3,), "label": (2,)}, 7) == {"data": (7, 3), "w": (3,), "label": (7,)}
    assert in_batches({}, 7) == {}


def test_a_label_of_another_batch_in_the_hints_has_its_batch_axis_all_the_same():
    fused = net(layer("d", "ImageData", "", "data label", "image_data_param { batch_size: 20 source: 'l' }"))
    known = shapes_to_feed(Weighted("fused", fused, None), {"data": (10, 3, 8, 8)})
    assert known == {"data": (10, 3, 8, 8), "label": (10,)}


def test_random_inputs_differ_and_are_never_all_zeros():
    text = data("a", (2, 3)) + data("b", (2, 3)) + data("w", (4,))
    text += layer("s", "Input", more="input_param { shape { } }")
    values = fed_values(net(text), {}, 0)
    assert (values["a"] != values["b"]).all()
    assert values["w"].min() > 0 and values["w"].max() < 1 and values["s"].shape == () and 0 < values["s"] < 1


SEGMENTATION = inputs(data=(1, 3, 6, 6)) + layer(
    "c",
    "Convolution",
    "data",
    more="convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: 'xavier' } }",
)
OF_PLACES = layer("score", "Convolution", "c", more="convolution_param { num_output: 2 kernel_size: 1 }")


def test_a_map_of_scores_has_a_label_for_each_place(caffe, in_tmp):
    (in_tmp / "net.prototxt").write_text(SEGMENTATION + OF_PLACES + layer("prob", "Softmax", "score"))
    options = ["emit", "net.prototxt", "--classes", 5, "-o", "out"]
    run(*options, "--data", "input", "--train-batch", 3)
    for phase, batch in ((caffe.TRAIN, 3), (caffe.TEST, 20)):
        net = caffe.Net("out/train_val.prototxt", phase)
        assert net.blobs["label"].data.shape == (batch, 1, 4, 4)
        net.forward()
        assert net.blobs["score"].data.shape == (batch, 5, 4, 4)
    run(*options, "--data", "hdf5")
    said = invoke(*options, "--data", "lmdb", code=1).output
    assert "'label' has 1 x 4 x 4 numbers for each image, and a list or a database only one" in said


@pytest.mark.parametrize(
    ("judge", "count", "expected"),
    [
        ("SoftmaxWithLoss", 1, (1, 6, 6)),
        ("EuclideanLoss", 4, (4, 6, 6)),
        ("SigmoidCrossEntropyLoss", 4, (4, 6, 6)),
        ("HingeLoss", 1, ()),
    ],
)
def test_what_each_loss_takes_for_labels_of_a_map(caffe, in_tmp, judge, count, expected):
    scores, loss = conv("score", "data"), layer("loss", judge, "score label")
    built = SimpleNamespace(message=net(scores + loss), labels={"label": count})
    assert label_shapes(built, {"data": (2, 3, 6, 6)}) == {"label": expected}
    (in_tmp / "net.prototxt").write_text(data("data", (2, 3, 6, 6)) + data("label", (2, *expected)) + scores + loss)
    caffe.Net("net.prototxt", caffe.TRAIN).forward()
