"""Images reach a branch in the fused net as its own data layers prepare them. Real Caffe reads the images in both."""

from pathlib import Path

import numpy as np
import pytest
from commands import invoke, run
from nets import conv, data, fc, layer
from next_door import aside
from PIL import Image

from netbuild import proto

CUT = "transform_param { %s } image_data_param { source: 'l.txt' batch_size: 4 %s }"


def images(transform="", options="", phase="TEST", kind="ImageData"):
    return layer("data", kind, "", "data label", f"include {{ phase: {phase} }} {CUT % (transform, options)}")


def both(train, test):
    """Data layers of two phases, each given as (transform_param, image_data_param)."""
    return images(*train, phase="TRAIN") + images(*test)


def body():
    """A seam that is all of an image, a classifier, its loss."""
    return fc("ip", "data", 4) + fc("fc", "ip", 2) + layer("loss", "SoftmaxWithLoss", "fc label")


CROPPED = (
    ("crop_size: 24 mirror: true mean_value: 100", "new_height: 32 new_width: 32"),
    (
        "crop_size: 24 mean_value: 100",
        "new_height: 32 new_width: 32",
    ),
)


@pytest.fixture(autouse=True)
def pictures(in_tmp):
    """A list of eight images of noise of 40 x 36 pixels."""
    rng = np.random.default_rng(0)
    for number in range(8):
        Image.fromarray(rng.integers(0, 256, (40, 36, 3)).astype(np.uint8)).save(f"{number}.png")
    Path("l.txt").write_text("".join(f"{number}.png {number % 2}\n" for number in range(8)))
    return in_tmp


def net(name, text):
    Path(name).write_text(text)
    return name


def emit(*arguments, lists=True, code=0, source="l.txt"):
    sources = ["--train-source", source, "--test-source", source, "--train-batch", 4, "--test-batch", 4]
    result = invoke("emit", "fusion", *arguments, *(sources if lists else []), "-o", "out", code=code)
    return result.output


def batches(caffe, path, blobs, count=1, phase=None, weights=()):
    """Some blobs of a net, batch after batch, as Caffe computes them in a fork: where it aborts, the test fails."""

    def forwarded():
        net = caffe.Net(str(path), *weights, caffe.TEST if phase is None else phase)
        for _ in range(count):
            net.forward()
            yield [net.blobs[blob].data.copy() for blob in blobs]

    return list(aside(caffe, forwarded))


def first_batch(caffe, path, blob, phase=None):
    return batches(caffe, path, [blob], phase=phase)[0][0]


def test_a_crop_a_resizing_and_mirroring_are_carried_over_to_each_phase(caffe):
    net("a.prototxt", both(*CROPPED) + body())
    assert "note" not in emit("--branch", "a=a.prototxt", "--branch", "b=a.prototxt", "--classes", 3)
    own, fused = (first_batch(caffe, path, "data") for path in ("a.prototxt", "out/train_val.prototxt"))
    assert own.shape == (4, 3, 24, 24)
    assert own.tobytes() == fused.tobytes()
    # Every image of TRAIN is a window of the resized one, some of them mirrored, at several places.
    net("whole.prototxt", images("mean_value: 100", "new_height: 32 new_width: 32"))
    wholes = [image for (batch,) in batches(caffe, "whole.prototxt", ["data"], 2) for image in batch]
    trained = batches(caffe, "out/train_val.prototxt", ["data"], 10, caffe.TRAIN)
    places = {window(image, wholes) for (batch,) in trained for image in batch}
    assert {mirrored for _, _, mirrored in places} == {True, False}
    assert len({place[:2] for place in places}) > 5


def window(image, wholes):
    """(top, left, mirrored): where the image was cut out of one of these; AssertionError where it is no part of any."""
    side = image.shape[-1]
    for whole in wholes:
        for top in range(whole.shape[1] - side + 1):
            for left in range(whole.shape[2] - side + 1):
                part = whole[:, top : top + side, left : left + side]
                for mirrored in (False, True):
                    if np.array_equal(part[:, :, ::-1] if mirrored else part, image):
                        return top, left, mirrored
    raise AssertionError("no part of any of the images")


def test_phases_that_cut_differently_stay_different(caffe):
    train = "crop_size: 20 mirror: true", "new_height: 30 new_width: 26"
    pooled = conv("c", "data") + layer("ip", "Pooling", "c", more="pooling_param { pool: AVE global_pooling: true }")
    end = fc("fc", "ip", 2) + layer("loss", "SoftmaxWithLoss", "fc label")
    net("a.prototxt", both(train, ("", "new_height: 24 new_width: 28")) + pooled + end)
    emit("--branch", "a=a.prototxt", "--classes", 3)
    assert first_batch(caffe, "out/train_val.prototxt", "data").tobytes() == first_batch(caffe, "a.prototxt", "data").tobytes()  # fmt: skip
    assert first_batch(caffe, "out/train_val.prototxt", "data", caffe.TRAIN).shape == (4, 3, 20, 20)
    trained = proto.read_net("out/train_val.prototxt").layer[0]
    assert (trained.image_data_param.new_height, trained.image_data_param.new_width) == (30, 26)
    # A file for each phase says the same.
    net("train.prototxt", images(*train).replace("include { phase: TEST }", "") + pooled + end)
    net(
        "test.prototxt",
        images("", "new_height: 24 new_width: 28").replace("include { phase: TEST }", "") + pooled + end,
    )
    before = Path("out/train_val.prototxt").read_text()
    emit("--branch", "a=train.prototxt,test.prototxt", "--classes", 3)
    assert Path("out/train_val.prototxt").read_text() == before


def test_an_old_data_layer_too(caffe):
    old = """layers { name: "data" type: IMAGE_DATA top: "data" top: "label" image_data_param { source: "l.txt"
      batch_size: 4 new_height: 32 new_width: 30 crop_size: 24 mirror: true scale: 0.5 } }
    layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip" inner_product_param { num_output: 4 } }
    layers { name: "fc" type: INNER_PRODUCT bottom: "ip" top: "fc" inner_product_param { num_output: 2 } }"""
    net("old.prototxt", old)
    emit("--branch", "a=old.prototxt", "--classes", 3)
    test = first_batch(caffe, "out/train_val.prototxt", "data")
    # By hand without the mirroring, which acts by chance in TEST too where one layer is for both phases.
    net("still.prototxt", old.replace("mirror: true", ""))
    assert test.tobytes() == first_batch(caffe, "still.prototxt", "data").tobytes()
    assert proto.read_net("out/train_val.prototxt").layer[0].transform_param.mirror


def saved(caffe, name):
    list(aside(caffe, lambda: [caffe.Net(name, caffe.TEST).save(name.replace("prototxt", "caffemodel"))]))
    return name.replace("prototxt", "caffemodel")


def fused(caffe, **branches):
    weights = {prefix: saved(caffe, name) for prefix, name in branches.items()}
    pairs = [f"{prefix}={file}" for prefix, file in weights.items()]
    given = [word for pair in pairs for word in ("--weights", pair)]
    run("fuse", "out/train_val.prototxt", *given, "-o", "init.caffemodel")
    return given


def test_seams_are_bit_equal_on_images(caffe):
    """Two branches with another mean and scale each, on the same images, from the file to the seam."""
    net("a.prototxt", both(*CROPPED) + body())
    other = "crop_size: 24 mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.017", "new_height: 32 new_width: 32"
    net("b.prototxt", both(other, other) + body())
    output = emit("--branch", "a=a.prototxt", "--branch", "b=b.prototxt", "--classes", 3)
    assert "only 'a' was trained on mirrored images; none is mirrored without --mirror" in output
    fused(caffe, a="a.prototxt", b="b.prototxt")
    (seams,) = batches(caffe, "out/train_val.prototxt", ["a/ip", "b/ip"], weights=["init.caffemodel"])
    for prefix, seam in zip("ab", seams):
        ((alone,),) = batches(caffe, f"{prefix}.prototxt", ["ip"], weights=[f"{prefix}.caffemodel"])
        assert np.any(alone)
        assert alone.tobytes() == seam.tobytes()


def test_grey_images_and_a_root_folder(caffe):
    Path("deep").mkdir()
    for file in Path().glob("*.png"):
        file.rename(Path("deep") / file)
    net(
        "a.prototxt", both(("", ""), ("", "")).replace("l.txt'", "l.txt' is_color: false root_folder: 'deep/'") + body()
    )
    # Grey, and of a size that nothing tells.
    output = emit("--branch", "a=a.prototxt", "--shape", "1,40,36", "--classes", 3)
    assert "'deep/' is put in front of the lists' paths (root_folder of a: deep/); --root-folder FOLDER says" in output
    batch = first_batch(caffe, "out/train_val.prototxt", "data")
    assert batch.shape == (4, 1, 40, 36)
    assert batch.tobytes() == first_batch(caffe, "a.prototxt", "data").tobytes()
    output = emit("--branch", "a=a.prototxt", "--branch", "b=lenet", "--shape", "b=3,40,36", "--classes", 3, code=1)
    assert "the branches read the input 'data' in different sizes (a: (1, ?, ?), b: (3, 40, 36))" in output


@pytest.mark.usefixtures("pycaffe")
def test_a_database_keeps_the_crop_and_wants_images_of_the_size_before_it(caffe):
    net("a.prototxt", both(*CROPPED) + body())
    output = emit("--branch", "a=a.prototxt", "--classes", 3, "--data", "lmdb", source="no_db_yet")
    assert "were trained on images resized to 32 x 32 before the crop: store them so" in output
    train, test = proto.read_net("out/train_val.prototxt").layer[:2]
    assert (train.type, train.transform_param.crop_size, train.transform_param.mirror) == ("Data", 24, True)
    assert (test.type, test.transform_param.crop_size, test.transform_param.mirror) == ("Data", 24, False)
    lmdb = pytest.importorskip("lmdb")
    write_lmdb(lmdb, caffe)
    run("emit", "fusion", "--branch", "a=a.prototxt", "--classes", 3, "--data", "lmdb", "--train-source", "db", "--test-source", "db", "--test-batch", 4, "-o", "out")  # fmt: skip
    assert first_batch(caffe, "out/train_val.prototxt", "data").tobytes() == first_batch(caffe, "a.prototxt", "data").tobytes()  # fmt: skip
    # And back: a branch that read a database, on a list.
    net(
        "b.prototxt",
        Path("out/train_val.prototxt").read_text().replace("a/", ""),
    )
    output = emit("--branch", "b=b.prototxt", "--shape", "3,32,32", "--classes", 3)
    assert "nothing tells to what size they had been resized" in output
    emit("--branch", "b=b.prototxt", "--shape", "3,32,32", "--resize", "32,32", "--classes", 3)
    assert first_batch(caffe, "out/train_val.prototxt", "data").tobytes() == first_batch(caffe, "a.prototxt", "data").tobytes()  # fmt: skip


def write_lmdb(lmdb, caffe):
    """The list's images as a database, resized to 32 x 32 by Caffe itself."""
    net("whole.prototxt", images("", "new_height: 32 new_width: 32"))
    wholes = [image for (batch,) in batches(caffe, "whole.prototxt", ["data"], 2) for image in batch]
    with lmdb.open("db", map_size=1 << 24) as base, base.begin(write=True) as writing:
        for number, pixels in enumerate(wholes):
            datum = caffe.io.array_to_datum(pixels.astype(np.uint8), number % 2)
            writing.put(b"%08d" % number, datum.SerializeToString())


def test_what_the_user_says_wins():
    net("a.prototxt", both(*CROPPED) + body())
    emit("--branch", "a=a.prototxt", "--classes", 3, "--crop", "none", "--no-mirror", "--resize", "24,24")
    assert Path("out/train_val.prototxt").read_text().count("new_height: 24") == 2
    assert "crop_size" not in Path("out/train_val.prototxt").read_text()
    assert "mirror" not in Path("out/train_val.prototxt").read_text()
    emit("--branch", "a=a.prototxt", "--classes", 3, "--crop", "20", "--mean", "none")
    assert Path("out/train_val.prototxt").read_text().count("crop_size: 20") == 2
    assert "mean_value" not in Path("out/train_val.prototxt").read_text()
    assert "expected SIDE|none" in emit("--branch", "a=a.prototxt", "--classes", 3, "--crop", "0", code=2)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (
            ("crop_size: 24", "new_height: 28 new_width: 32"),
            "on images resized differently (a: 32 x 32, b: 28 x 32), and one",
        ),
        (
            ("", "new_height: 24 new_width: 24"),
            "on images resized differently (a: 32 x 32, b: 24 x 24) and cropped differently (a: 24 x 24, b: none), and one",
        ),
    ],
)
def test_what_no_layer_can_do_for_one_branch_is_refused_with_the_remedy(caffe, other, sentence):
    net("a.prototxt", both(*CROPPED) + body())
    net("b.prototxt", both(other, other) + body())
    two = ["--branch", "a=a.prototxt", "--branch", "b=b.prototxt", "--classes", 3]
    output = emit(*two, code=1)
    assert sentence in output
    assert not Path("out").exists()
    assert "(--input PREFIX=NAME), which may read the same list, or say --resize" in output
    emit(*two, "--resize", "40,36", "--crop", 24)
    # The remedy that the sentence names: each branch gets what its own data layer gives.
    own = [f"--{phase}-source {blob}=l.txt" for phase in ("train", "test") for blob in ("data", "more")]
    words = [word for one in own for word in one.split()]
    emit(*two, "--input", "b=more", *words, "--train-batch", 4, "--test-batch", 4, lists=False)
    for name, blob in (("a", "data"), ("b", "more")):
        expected = first_batch(caffe, f"{name}.prototxt", "data")
        assert first_batch(caffe, "out/train_val.prototxt", blob).tobytes() == expected.tobytes()


def test_what_no_source_tells_is_said():
    net("deploy.prototxt", data(shape=(1, 3, 24, 24)) + fc("ip", "data", 4) + fc("fc", "ip", 2))
    net("a.prototxt", both(*CROPPED) + body())
    deploy = ["--branch", "d=deploy.prototxt", "--branch", "e=deploy.prototxt", "--classes", 3]
    output = emit(*deploy)
    assert "note: input 'data': the source of 'd' and of 'e' does not tell how images were prepared; they are taken as raw pixels 0..255" in output  # fmt: skip
    assert "Say --mean d=VALUE and --scale d=FACTOR as in its training, or --mean d=none for raw pixels" in output
    assert "note" not in emit(*deploy, "--mean", "none")
    assert "note" not in emit(*deploy, "--mean", "d=none", "--scale", "e=0.5")
    output = emit("--branch", "a=a.prototxt", "--branch", "d=deploy.prototxt", "--classes", 3)
    assert "the source of 'd' does not tell how images were prepared; they are prepared as for 'a' (less 100)" in output
    # Values that the caller prepares are alike for all who tell nothing.
    assert "does not tell" not in emit(*deploy, "--data", "input", lists=False)
    output = emit("--branch", "a=a.prototxt", "--classes", 3, "--data", "input", lists=False)
    assert "give 'data' images that are resized to 32 x 32, cropped to 24 x 24; less 100" in output
    output = run("check", "deploy.prototxt")
    assert "input 'data': nothing here tells how its images are prepared" in output
    assert "nothing here" not in run("check", "a.prototxt")


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (["--branch", "a=flow.prototxt"], "images of a list have 3 channels, or 1 as grey ones, and the net reads 20", 1),
        (["--branch", "a=lenet", "--branch", "b=lenet", "--input", "b=more"], "each needs a list of its own: give --train-source data=FILE --train-source more=FILE", 2),
        (["--branch", "a=lenet", "--branch", "b=lenet", "--join", "sum", "--axis", "2"], "a sum join has no axis", 1),
        (["--branch", "a=lenet", "--crop", "200"], "a crop of 200 is larger than the image, 28 x 28", 1),
        (["--branch", "a=lenet", "--branch", "b=lenet", "--mean", "a=1,2,3"], "branch 'a': 3 mean values for 1 channel; give one", 1),
        (["--branch", "a=lenet", "--branch", "b=lenet", "--mean", "a=1", "--mean-file", "m"], "--mean and --mean-file exclude", 2),
        (["--branch", "a=lenet", "--branch", "b=lenet", "--scale", "a=1", "--mean-file", "m"], "would be subtracted as well", 2),
    ],
)  # fmt: skip
def test_data_that_does_not_fit_is_refused(arguments, sentence, code):
    net("flow.prototxt", data(shape=(1, 20, 24, 24)) + fc("ip", "data", 4) + fc("fc", "ip", 2))
    assert sentence in emit(*arguments, "--classes", 3, code=code)
    assert not Path("out").exists()


def test_a_flow_input_from_a_database(caffe):
    net("flow.prototxt", data(shape=(1, 20, 24, 24)) + fc("ip", "data", 4) + fc("fc", "ip", 2))
    emit("--branch", "a=flow.prototxt", "--mean", "none", "--classes", 3, "--data", "lmdb", source="no_db_yet")
    assert proto.read_net("out/train_val.prototxt").layer[0].type == "Data"


def verified(*branches, given, code=0, more=()):
    words = [word for branch in branches for word in ("--branch", branch)]
    return run("verify", "out/train_val.prototxt", "init.caffemodel", *words, *given, *more, code=code)


def test_verify_looks_at_the_images_too(caffe):
    net("a.prototxt", both(*CROPPED) + body())
    other = "crop_size: 24 mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.017", "new_height: 32 new_width: 32"
    net("b.prototxt", both(other, other) + body())
    emit("--branch", "a=a.prototxt", "--branch", "b=b.prototxt", "--classes", 3)
    given = fused(caffe, a="a.prototxt", b="b.prototxt")
    output = verified("a=a.prototxt", "b=b.prototxt", given=given)
    for prefix in "ab":
        assert f"{prefix}: images prepared as by {prefix}.prototxt, bit-equal (4 images of l.txt)" in output
    assert "(1 image given)" in verified("a=a.prototxt", "b=b.prototxt", given=given, more=["--image", "3.png"])
    # A damaged image, then no list at all: images are made.
    Path("0.png").write_bytes(b"no image")
    assert "bit-equal (2 images made for it)" in verified("a=a.prototxt", "b=b.prototxt", given=given)
    Path("l.txt").unlink()
    assert "bit-equal (2 images made for it)" in verified("a=a.prototxt", "b=b.prototxt", given=given)


@pytest.mark.parametrize(
    ("changed", "listed"),
    [
        (["--crop", "none", "--resize", "24,24"], True),
        (["--crop", "none", "--resize", "24,24"], False),
        (["--resize", "33,32"], False),
        (["--mean", "98.5"], True),
        (["--scale", "0.5"], False),
    ],
)
def test_verify_fails_where_images_are_prepared_otherwise(caffe, changed, listed):
    net("a.prototxt", both(*CROPPED) + body())
    emit("--branch", "a=a.prototxt", "--classes", 3, *changed)
    given = fused(caffe, a="a.prototxt")
    if not listed:
        Path("l.txt").unlink()
    output = verified("a=a.prototxt", given=given, code=1)
    assert "a/ip (4 x 4) bit-equal to a.prototxt" in output
    assert "a: images PREPARED DIFFERENTLY than by a.prototxt" in output
    assert "does not give its branches the images as they got them alone" in output
    # On values alone it is the same net.
    net("deploy.prototxt", data(shape=(1, 3, 24, 24)) + fc("ip", "data", 4) + fc("fc", "ip", 2))
    output = verified("a=deploy.prototxt", given=given)
    assert (
        "how its images are prepared was not compared: the original's 'data' comes from a layer of type Input" in output
    )


def test_images_given_to_verify_are_cropped_in_the_middle(caffe):
    from netbuild.data.images import load_images

    net("a.prototxt", images("crop_size: 24 mean_value: 100 scale: 0.5") + body())
    expected = first_batch(caffe, "a.prototxt", "data")
    found = load_images([f"{n}.png" for n in range(4)], {"data": (4, 3, 24, 24)}, proto.read_net("a.prototxt"))
    np.testing.assert_array_equal(found["data"], expected)


@pytest.mark.usefixtures("pycaffe")
def test_a_mean_file(caffe):
    blob = caffe.io.array_to_blobproto(np.random.default_rng(1).uniform(0, 200, (1, 3, 32, 30)).astype(np.float32))
    Path("m.binaryproto").write_bytes(blob.SerializeToString())
    cut = "crop_size: 24 mean_file: 'm.binaryproto'", "new_height: 32 new_width: 30"
    net("a.prototxt", both(cut, cut) + body())
    emit("--branch", "a=a.prototxt", "--branch", "b=a.prototxt", "--classes", 3)
    assert first_batch(caffe, "out/train_val.prototxt", "data").tobytes() == first_batch(caffe, "a.prototxt", "data").tobytes()  # fmt: skip
    given = fused(caffe, a="a.prototxt", b="a.prototxt")
    Path("l.txt").unlink()
    assert "bit-equal (2 images made for it)" in verified("a=a.prototxt", "b=a.prototxt", given=given)
    Path("m.binaryproto").unlink()
    assert "the mean file 'm.binaryproto' is not there" in verified("a=a.prototxt", "b=a.prototxt", given=given)
    output = emit("--branch", "a=a.prototxt", "--branch", "b=a.prototxt", "--classes", 3, lists=False)
    assert "note: the mean file 'm.binaryproto' is not there" in output


def test_a_mean_and_its_rounding_are_said_and_no_more(caffe):
    net("a.prototxt", both(*CROPPED) + body())
    emit("--branch", "a=a.prototxt", "--classes", 3, "--mean", "99.75")
    output = verified("a=a.prototxt", given=fused(caffe, a="a.prototxt"))
    assert "a: images prepared nearly as by a.prototxt (4 images of l.txt): off by at most 0.25 of a grey level" in output  # fmt: skip


def test_verify_takes_a_database_as_the_list_takes_its_images(caffe):
    """In which size and colour a database stores its images, nothing tells."""
    net("a.prototxt", both(*CROPPED) + body())
    emit("--branch", "a=a.prototxt", "--classes", 3)
    given = fused(caffe, a="a.prototxt")
    stored = "data_param { source: 'db' batch_size: 4 backend: LMDB }"
    cut = "crop_size: 24 mean_value: %d"
    for mean, code in ((100, 0), (90, 1)):
        transform = f"include {{ phase: TEST }} transform_param {{ {cut % mean} }} {stored}"
        net("a.prototxt", layer("data", "Data", "", "data label", transform) + body())
        output = verified("a=a.prototxt", given=given, code=code, more=["--shape", "data=4,3,24,24"])
        assert ("images prepared as by a.prototxt, bit-equal" in output) is (code == 0)
