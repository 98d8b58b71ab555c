"""Scores against images that are fed to pycaffe by hand, the table against scikit-learn, and what is refused."""

import json
import os
import shutil
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import commands
import numpy as np
import pytest
from nets import fc, layer, net
from PIL import Image
from sklearn import metrics

from netbuild import DataSource, Fusion, Join, Preparation, Scorer, emit_files, lenet, proto, score_nets
from netbuild.branches.lenet import MNIST
from netbuild.data.images import encoded
from netbuild.errors import CaffeError, GraphError, NetbuildError, NetbuildWarning, WeightsError
from netbuild.evaluation import figures
from netbuild.graph.view import NetView
from netbuild.soundness.images import read_images
from netbuild.spelling import flags

ODD, EVEN = (1, 3, 5, 7, 9), (0, 2, 4, 6, 8)
SPLITS = {"train": "train", "test": "val"}
WEIGHED = fc("w", "f", 5) + layer("p", "Softmax", "w") + layer("m", "Eltwise", "p f") + fc("fc", "m")
PREPARED = Preparation(mean=(128,), scale=1 / 256)


@pytest.fixture(scope="module")
def models(tmp_path_factory, caffe, small_lists):
    """LeNets filled by Caffe: `all` for ten classes, `odd` and `even` for five; train_val, deploy and weights of each."""
    folder = tmp_path_factory.mktemp("models")
    for name, classes in (("all", 10), ("odd", 5), ("even", 5)):
        lists = {f"{kind}_source": str(small_lists.path(f"{split}_{name}")) for kind, split in SPLITS.items()}
        emit_files(Fusion({"": lenet}, classes, frozen=False), DataSource(MNIST, **lists), folder / name)
        loaded = caffe.Net(os.fspath(folder / name / "train_val.prototxt"), caffe.TEST)
        # The classifier's filler makes scores that hardly differ between images.
        loaded.params["ip2"][0].data[...] = np.random.default_rng(len(name)).normal(0, 1, (classes, 500))
        loaded.save(os.fspath(folder / f"{name}.caffemodel"))
    return folder


def scorer(models, name, file="train_val", **more):
    return Scorer(models / name / f"{file}.prototxt", models / f"{name}.caffemodel", **more)


def branches(models, **more):
    return {"odd": scorer(models, "odd", labels=ODD, **more), "even": scorer(models, "even", labels=EVEN, **more)}


def by_hand(caffe, models, name, paths):
    """The probabilities of each image, fed to the deploy net alone."""
    loaded = caffe.Net(
        os.fspath(models / name / "deploy.prototxt"), os.fspath(models / f"{name}.caffemodel"), caffe.TEST
    )
    rows = []
    for path in paths:
        with Image.open(path) as image:
            loaded.blobs["data"].data[0, 0] = (np.asarray(image, np.float32) - 128) / 256
        rows.append(loaded.forward()["prob"][0].copy())
    return np.array(rows)


@pytest.fixture()
def prime_list(tmp_path, small_lists):
    """37 images, a number that no batch divides, and a blank line."""
    lines = small_lists.path("val_all").read_text().splitlines(keepends=True)[:37]
    (tmp_path / "prime.txt").write_text("".join([*lines, "\n"]))
    return tmp_path / "prime.txt"


@pytest.mark.parametrize("batch", [20, 7, 37, 100])
def test_each_image_counts_once_with_the_scores_of_pycaffe(caffe, models, prime_list, tmp_path, batch):
    message = proto.read_net(models / "all" / "train_val.prototxt")
    message.layer[1].image_data_param.batch_size = batch
    message.layer[1].image_data_param.shuffle = True
    message.layer[1].transform_param.mirror = True
    proto.write(tmp_path / "net.prototxt", message)
    done = []
    found = score_nets(
        Scorer(tmp_path / "net.prototxt", models / "all.caffemodel"),
        prime_list,
        on_progress=lambda *progress: done.append(progress[1:]),
    )
    assert found.listing.paths == [line.rsplit(" ", 1)[0] for line in prime_list.read_text().splitlines() if line]
    expected = by_hand(caffe, models, "all", found.listing.paths)
    assert expected.std() > 0.01
    assert found.answers[0].probabilities == pytest.approx(expected, abs=1e-5)
    assert found.answers[0].probabilities.dtype == np.float32
    assert done[0] == (0, 37)
    assert done[-1] == (37, 37)
    labels = [int(line.rsplit(" ", 1)[1]) for line in prime_list.read_text().splitlines() if line]
    assert found.top1 == pytest.approx((expected.argmax(axis=1) == labels).mean())


def test_branches_and_ensembles_stand_beside_the_fused_net(caffe, models, prime_list):
    found = score_nets(scorer(models, "all"), prime_list, branches(models))
    labels, paths = found.listing.labels, found.listing.paths
    assert [(row.name, row.kind, row.own, row.images) for row in found.rows[1:]] == [
        ("odd", "branch", True, 18),
        ("odd", "branch", False, 37),
        ("even", "branch", True, 19),
        ("even", "branch", False, 37),
        ("mean", "ensemble", False, 37),
        ("product", "ensemble", False, 37),
        ("vote", "ensemble", False, 37),
    ]
    wide = np.zeros((2, 37, 10))
    for number, (name, own) in enumerate((("odd", ODD), ("even", EVEN))):
        wide[number][:, own] = by_hand(caffe, models, name, paths)
        mine = np.isin(labels, own)
        right = wide[number].argmax(axis=1) == labels
        rows = [row for row in found.rows if row.name == name]
        assert [row.top1 for row in rows] == pytest.approx([right[mine].mean(), right.mean()])
        assert [row.top5 for row in rows] == [None, None]
    recalls = [one.recall for one in found.per_class(found.answers[1])]
    expected = metrics.recall_score(labels, wide[0].argmax(axis=1), average=None, labels=range(10))
    assert recalls == [pytest.approx(share) if label in ODD else None for label, share in enumerate(expected)]
    answers = {one.name: one.probabilities for one in found.answers}
    assert answers["mean"] == pytest.approx(wide.mean(axis=0), abs=1e-5)
    # Of nets that know different labels all three ensembles take the more certain answer.
    for name in ("mean", "product", "vote"):
        assert (answers[name].argmax(axis=1) == wide.max(axis=0).argmax(axis=1)).all()
    top5 = metrics.top_k_accuracy_score(labels, wide.mean(axis=0), k=5, labels=range(10))
    assert found.rows[5].top5 == pytest.approx(top5)


def test_a_deploy_net_needs_to_be_told_how_images_are_prepared(models, prime_list):
    told = score_nets(scorer(models, "all"), prime_list)
    given = score_nets(scorer(models, "all", "deploy", preparation=PREPARED), prime_list)
    assert given.answers[0].probabilities == pytest.approx(told.answers[0].probabilities, abs=1e-5)
    # The usual preparation is for those that tell none.
    mixed = score_nets(scorer(models, "all"), prime_list, {"b": scorer(models, "all", "deploy")}, preparation=PREPARED)
    assert mixed.answers[1].probabilities == pytest.approx(told.answers[0].probabilities, abs=1e-5)
    with pytest.raises(
        GraphError, match="deploy.prototxt: does not tell how its images are prepared; give preparation=Preparation"
    ):
        score_nets(scorer(models, "all", "deploy"), prime_list)
    with pytest.raises(
        GraphError, match="its data layer 'mnist' tells how images are prepared; leave out its preparation"
    ):
        score_nets(scorer(models, "all", preparation=PREPARED), prime_list)
    with pytest.raises(NetbuildError, match="the data layers of the nets tell how images are prepared"):
        score_nets(scorer(models, "all"), prime_list, preparation=PREPARED)
    with pytest.raises(GraphError, match="images come as 1 x 20 x 20 and its input 'data' takes 1 x 28 x 28"):
        score_nets(scorer(models, "all", "deploy", preparation=Preparation(mean=(), crop=20)), prime_list)
    with pytest.raises(NetbuildError, match="exclude each other"):
        Preparation(mean=(1,), mean_file="mean.binaryproto")
    with pytest.raises(NetbuildError, match="mean file 'nowhere': no such file"):
        score_nets(scorer(models, "all", "deploy", preparation=Preparation(mean_file="nowhere")), prime_list)


@pytest.mark.usefixtures("pycaffe")
def test_a_mean_file_that_does_not_fit_is_refused(caffe, models, prime_list, tmp_path):
    """Caffe subtracts the mean of another size from no image: it gives up."""
    path = tmp_path / "mean.binaryproto"
    given = scorer(models, "all", "deploy", preparation=Preparation(mean_file=str(path)))
    for side, refused in (
        (28, None),
        (10, r"is 1 x 10 x 10 \(channels, height, width\), and its images are resized to"),
    ):
        path.write_bytes(caffe.io.array_to_blobproto(np.zeros((1, 1, side, side))).SerializeToString())
        with pytest.raises(NetbuildError, match=refused) if refused else nullcontext():
            assert score_nets(given, prime_list).answers
    path.write_bytes(b"junk")
    with pytest.raises(NetbuildError, match="mean.binaryproto': is no BlobProto"):
        score_nets(given, prime_list)


def test_images_are_resized_and_cropped_as_told(caffe, models, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "big.png")
    (tmp_path / "list.txt").write_text("big.png 3\n")
    told = Preparation(mean=(128,), scale=1 / 256, crop=28)
    root = f"{tmp_path}/"
    found = score_nets(scorer(models, "all", "deploy", preparation=told), tmp_path / "list.txt", root_folder=root)
    Image.fromarray(pixels[2:30, 2:30]).save(tmp_path / "middle.png")
    expected = by_hand(caffe, models, "all", [tmp_path / "middle.png"])
    assert found.answers[0].probabilities == pytest.approx(expected, abs=1e-5)


def test_an_ensemble_net_gives_probabilities_already(caffe, models, tmp_path, small_lists, prime_list):
    from netbuild import fuse_weights

    lists = {"train_source": "x", "test_source": str(small_lists.path("val_all"))}
    emit_files(
        Fusion({"a": lenet, "b": lenet}, 10, join=Join("mean"), ensemble=True),
        DataSource(MNIST, **lists),
        tmp_path / "net",
    )
    parts = {"a": models / "all.caffemodel", "b": models / "all.caffemodel"}
    fuse_weights(tmp_path / "net" / "test.prototxt", parts, tmp_path / "net.caffemodel")
    for name, preparation in (("test", None), ("deploy", PREPARED)):
        one = Scorer(tmp_path / "net" / f"{name}.prototxt", tmp_path / "net.caffemodel", preparation=preparation)
        found = score_nets(one, prime_list)
        expected = by_hand(caffe, models, "all", found.listing.paths)
        assert found.answers[0].probabilities == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("last", "scores"),
    [
        (fc("fc", "f"), "fc"),
        (fc("fc", "f") + layer("prob", "Softmax", "fc"), "fc"),
        (fc("fc", "f") + layer("prob", "Softmax", "fc", "fc"), "fc"),
        (fc("fc", "f") + layer("prob", "Softmax", "fc") + layer("best", "ArgMax", "prob"), "fc"),
        (fc("fc", "f") + layer("loss", "SoftmaxWithLoss", "fc label") + layer("a", "Accuracy", "fc label"), "fc"),
        (fc("fc", "f") + layer("p", "Softmax", "fc") + layer("a", "Accuracy", "p label"), "fc"),
        # A softmax that only weighs features is no classifier.
        (WEIGHED + layer("prob", "Softmax", "fc"), "fc"),
        (WEIGHED + layer("loss", "SoftmaxWithLoss", "fc label"), "fc"),
    ],
)
def test_where_the_scores_are(last, scores):
    from netbuild.evaluation.scorer import _scores

    text = layer("data", "Input", "", "f label", "input_param { shape { dim: 2 dim: 5 } shape { dim: 2 } }")
    assert _scores(NetView.of_all_layers(net(text + last)), "x") == scores


def test_nets_without_a_classifier_or_with_several_are_refused(models, prime_list, tmp_path):
    text = (models / "all" / "train_val.prototxt").read_text()
    two = text + fc("other", "ip1", 4) + layer("other_loss", "SoftmaxWithLoss", "other label")
    (tmp_path / "two.prototxt").write_text(two)
    several = Scorer(tmp_path / "two.prototxt", models / "all.caffemodel")
    with pytest.raises(GraphError, match="has 2 classifiers, with the scores ip2, other; name .* scores=.BLOB.$"):
        score_nets(several, prime_list)
    named = Scorer(several.net, several.weights, scores="ip2")
    assert score_nets(named, prime_list).top1 == score_nets(scorer(models, "all"), prime_list).top1
    with pytest.raises(GraphError, match="scores: no blob 'ip3' in the net; did you mean"):
        score_nets(Scorer(several.net, several.weights, scores="ip3"), prime_list)
    with pytest.raises(GraphError, match="the blob 'conv1' .20 x 20 x 24 x 24, for 20 images. does not hold one score"):
        score_nets(Scorer(several.net, several.weights, scores="conv1"), prime_list)
    with pytest.raises(WeightsError, match="for its layer 'other' .4 x 500, 4. they have no such layer"):
        score_nets(Scorer(several.net, several.weights, scores="other"), prime_list)
    message = proto.read_net(models / "all" / "train_val.prototxt")
    kept = [one for one in message.layer if one.name not in ("ip1", "relu1", "ip2", "loss", "accuracy")]
    proto.write(tmp_path / "none.prototxt", type(message)(layer=kept))
    with pytest.raises(GraphError, match="has no classifier"):
        score_nets(Scorer(tmp_path / "none.prototxt", models / "all.caffemodel"), prime_list)


def test_caffe_is_asked_for_shapes_that_the_definition_does_not_tell(
    pycaffe, models, prime_list, tmp_path, monkeypatch
):
    (tmp_path / "twice.py").write_text(
        "import caffe\n"
        "class Twice(caffe.Layer):\n"
        "    def setup(self, bottom, top): pass\n"
        "    def reshape(self, bottom, top): top[0].reshape(*bottom[0].data.shape)\n"
        "    def forward(self, bottom, top): top[0].data[...] = 2 * bottom[0].data\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    message = proto.read_net(models / "all" / "train_val.prototxt")
    position = [one.name for one in message.layer].index("ip2")
    after = net(layer("twice", "Python", "ip2", more="python_param { module: 'twice' layer: 'Twice' }")).layer
    for one in message.layer[position + 1 :]:
        one.bottom[0] = "twice"
    layers = [*message.layer[: position + 1], *after, *message.layer[position + 1 :]]
    proto.write(tmp_path / "net.prototxt", type(message)(layer=layers))
    found = score_nets(Scorer(tmp_path / "net.prototxt", models / "all.caffemodel"), prime_list).answers[0]
    own = score_nets(scorer(models, "all"), prime_list).answers[0]
    assert found.probabilities == pytest.approx(figures.softmax(2 * np.log(own.probabilities)), abs=1e-5)


def test_other_sources_of_data_are_refused(models, prime_list, tmp_path):
    text = (models / "all" / "deploy.prototxt").read_text()
    (tmp_path / "none.prototxt").write_text(
        text.replace('"Input"', '"DummyData"').replace("input_param", "dummy_data_param")
    )
    weights = models / "all.caffemodel"
    with pytest.raises(GraphError, match="its scores come from no input; one list feeds exactly one"):
        score_nets(Scorer(tmp_path / "none.prototxt", weights, preparation=PREPARED), prime_list)
    message = proto.read_net(models / "all" / "train_val.prototxt")
    for one in message.layer[:2]:
        one.type = "Data"
        one.ClearField("image_data_param")
        one.data_param.source = "lmdb"
        one.data_param.batch_size = 2
    proto.write(tmp_path / "lmdb.prototxt", message)
    with pytest.raises(GraphError, match="its data layer 'mnist' is of type Data, and a list of images"):
        score_nets(Scorer(tmp_path / "lmdb.prototxt", weights), prime_list)


def test_labels_that_do_not_fit_are_refused(models, prime_list, small_lists, tmp_path):
    odd_list = small_lists.path("val_odd")
    with pytest.raises(NetbuildError, match="the label 5 of .* is beyond those of .*train_val.prototxt .0 to 4.; say"):
        score_nets(scorer(models, "odd"), prime_list)
    with pytest.raises(NetbuildError, match=r"labels=\[1, 3\]: 2 labels, and .* has 5 outputs"):
        score_nets(scorer(models, "odd", labels=(1, 3)), odd_list)
    with pytest.raises(
        NetbuildError, match=r"labels=\[1, 3, 5, 7, 7\] of branch .odd.: each output needs a label of its own"
    ):
        score_nets(scorer(models, "all"), prime_list, {"odd": scorer(models, "odd", labels=(1, 3, 5, 7, 7))})
    with pytest.raises(NetbuildError, match="branch 'odd': an output stands for label 11, which is beyond"):
        score_nets(scorer(models, "all"), prime_list, {"odd": scorer(models, "odd", labels=(1, 3, 5, 7, 11))})
    with pytest.warns(NetbuildWarning, match="branch odd: its 5 outputs are taken for the labels 0 to 4 of 10"):
        score_nets(scorer(models, "all"), prime_list, {"odd": scorer(models, "odd")})
    own, everything = score_nets(scorer(models, "odd", labels=ODD), prime_list).rows
    assert (own.images, everything.images) == (18, 37)
    assert own.top1 * 18 == pytest.approx(everything.top1 * 37)


def test_lists_that_do_not_fit_are_refused(models, tmp_path, small_lists):
    good = small_lists.path("val_all").read_text().splitlines()[0]
    for text, message in (
        (f"{good}\na.png 1\nb.png 2\n", "2 of 3 images are not there; the first is 'a.png' in line 2 .looked from"),
        (f"{good}\na.png\n", "line 2 is 'a.png'; expected PATH LABEL"),
        (f"{good}\na.png -1\n", "line 2 is 'a.png -1'; expected PATH LABEL"),
        ("\n", "names no image"),
        ("", "the file is empty"),
    ):
        (tmp_path / "list.txt").write_text(text)
        with pytest.raises(NetbuildError, match=message):
            score_nets(scorer(models, "all"), tmp_path / "list.txt")
    with pytest.raises(NetbuildError, match="list 'nowhere.txt': no such file"):
        score_nets(scorer(models, "all"), "nowhere.txt")


@pytest.mark.parametrize(
    ("asked", "flag", "argument"),
    [
        (
            {"labels": (1, 3, 5, 7, 7)},
            "--labels odd=1,3,5,7,7: each",
            r"labels=\[1, 3, 5, 7, 7\] of branch 'odd': each",
        ),
        ({"scores": "nowhere"}, "odd/train_val.prototxt: --scores: no blob", "odd/train_val.prototxt: scores: no blob"),
        (
            {"preparation": PREPARED},
            "leave out --mean, --scale and the like for it, or",
            "leave out its preparation, or",
        ),
        (
            {"file": "deploy"},
            r"give --mean \(or --mean none\) and --scale, as",
            r"give preparation=Preparation\(mean=..., scale=...\), as",
        ),
    ],
)
def test_errors_name_flags_on_the_command_line_and_arguments_in_python(models, prime_list, asked, flag, argument):
    branch = {"odd": scorer(models, "odd", **asked)}
    with pytest.raises(NetbuildError, match=argument):
        score_nets(scorer(models, "all"), prime_list, branch)
    with flags(), pytest.raises(NetbuildError, match=flag):
        score_nets(scorer(models, "all"), prime_list, branch)


def test_what_is_no_scorer_is_refused_in_words(models, prime_list):
    with pytest.raises(NetbuildError, match=r"^net: expected Scorer\(...\), found 'net.prototxt'"):
        score_nets("net.prototxt", prime_list)
    with pytest.raises(NetbuildError, match=r"^branch 'odd': expected Scorer\(...\), found \('a', 'b'\)"):
        score_nets(scorer(models, "all"), prime_list, {"odd": ("a", "b")})
    with pytest.raises(NetbuildError, match=r"^preparation: expected Preparation\(...\), found 128"):
        score_nets(scorer(models, "all"), prime_list, preparation=128)


def test_a_list_is_read_and_its_images_are_opened_once(models, prime_list, opened):
    paths = score_nets(scorer(models, "all"), prime_list, branches(models)).listing.paths
    assert {opened.count(Path(path).name) for path in paths} == {1}
    assert opened.count("prime.txt") == 1


def test_a_list_is_read_as_caffe_reads_it(in_tmp, models, small_lists):
    first = small_lists.path("val_all").read_text().split()[0]
    Path("a folder").mkdir()
    shutil.copy(first, "a folder/an image.png")
    Path("list.txt").write_bytes(b"an image.png 3\r\n")
    found = read_images("list.txt", "a folder/").listing()
    assert (found.paths, found.labels.tolist()) == (["a folder/an image.png"], [3])
    message = proto.read_net(models / "all" / "train_val.prototxt")
    message.layer[1].image_data_param.root_folder = "a folder/"
    proto.write("net.prototxt", message)
    assert score_nets(Scorer("net.prototxt", models / "all.caffemodel"), "list.txt").listing.paths == found.paths


def test_weights_that_do_not_fit_and_scores_that_are_not_finite_are_refused(models, prime_list, tmp_path, caffe):
    other = Scorer(models / "all" / "train_val.prototxt", models / "odd.caffemodel")
    with pytest.raises(WeightsError, match="for its layer 'ip2' .10 x 500, 10. they have 5 x 500, 5"):
        score_nets(other, prime_list)
    train_val = models / "all" / "train_val.prototxt"
    loaded = caffe.Net(os.fspath(train_val), os.fspath(models / "all.caffemodel"), caffe.TEST)
    loaded.params["ip2"][1].data[0] = np.nan
    loaded.save(os.fspath(tmp_path / "nan.caffemodel"))
    with pytest.raises(NetbuildError, match="its scores are not finite; look at .*nan.caffemodel"):
        score_nets(Scorer(train_val, tmp_path / "nan.caffemodel"), prime_list)


def test_images_that_caffe_would_stumble_over_are_named(models, tmp_path, small_lists):
    first = small_lists.path("val_all").read_text().split()[0]
    (tmp_path / "no.png").write_text("no image")
    (tmp_path / "small.png").write_bytes(encoded(np.zeros((20, 20), np.uint8), "png"))
    for name, reason in (
        ("no", "in line 3 looks like no image of a known format, and Caffe cannot read it"),
        ("small", "in line 3 is 20 x 20, and '.*' in line 1 28 x 28: images of one batch must be of one size"),
    ):
        (tmp_path / "list.txt").write_text(f"{first} 0\n\n{tmp_path}/{name}.png 0\n")
        with pytest.raises(NetbuildError, match=reason):
            score_nets(scorer(models, "all"), tmp_path / "list.txt")


def test_what_caffe_alone_can_find_is_told(models, tmp_path):
    (tmp_path / "small.png").write_bytes(encoded(np.zeros((20, 20), np.uint8), "png"))
    (tmp_path / "list.txt").write_text(f"{tmp_path}/small.png 0\n")
    with pytest.raises(CaffeError, match="'ip1' is 500 x 800 in the file and 500 x 200 .* images of another"):
        score_nets(scorer(models, "all"), tmp_path / "list.txt")


run = partial(commands.run, "eval")


def arguments(models, source):
    named = [f"odd={models}/odd/train_val.prototxt", f"even={models}/even/deploy.prototxt"]
    weights = [f"{name}={models}/{name}.caffemodel" for name in ("odd", "even")]
    return [
        *(models / "all" / "train_val.prototxt", models / "all.caffemodel", "--source", source),
        *(word for one in named for word in ("--branch", one)),
        *(word for one in weights for word in ("--weights", one)),
        *("--labels", "odd=1,3,5,7,9", "--labels", "even=0,2,4,6,8", "--mean", "128", "--scale", 1 / 256),
    ]


def test_the_command(models, prime_list, tmp_path):
    found = score_nets(scorer(models, "all"), prime_list, branches(models))
    output = run(*arguments(models, prime_list), "-o", tmp_path / "out")
    lines = [line.split() for line in output.splitlines()]
    row = next(row for row in found.rows if row.name == "even" and row.own)
    assert ["branch", "even", "19", "of", "its", "own", "labels", f"{row.top1:.4f}", "-"] in lines
    assert ["ensemble", "mean", "37", "all", f"{found.rows[5].top1:.4f}", f"{found.rows[5].top5:.4f}"] in lines
    three = found.confusion()[3].tolist()
    assert ["3", *(str(count) if count else "." for count in three)] in lines
    names = ("confusion.csv", "per_class.csv", "predictions.csv", "confusion.png")
    assert output.splitlines()[-4:] == [f"wrote {tmp_path / 'out' / name}" for name in names]
    heading = (tmp_path / "out" / "per_class.csv").read_text().splitlines()[0]
    assert heading.startswith("label,images,precision,recall,recall of branch odd,recall of branch even,recall of ens")
    before = (tmp_path / "out" / "confusion.csv").read_bytes()
    assert "holds an earlier evaluation" in run(*arguments(models, prime_list), "-o", tmp_path / "out", code=1)
    report = json.loads(run(*arguments(models, prime_list), "-o", tmp_path / "out", "--force", "--json"))
    assert (tmp_path / "out" / "confusion.csv").read_bytes() == before
    assert report["confusion"] == found.confusion().tolist()
    assert report["rows"][5]["top1"] == pytest.approx(found.rows[5].top1)
    assert [one["name"] for one in report["per_class"]][1:] == ["odd", "even", "mean", "product", "vote"]
    assert len(report["written"]) == 4


def test_what_the_command_refuses(models, prime_list):
    words = arguments(models, prime_list)
    assert "no branch has this prefix; the branches are odd, even" in run(*words, "--labels", "x=1,2", code=2)
    assert "missing: --weights x=FILE" in run(*words, "--branch", "x=y.prototxt", code=2)
    assert "expected [PREFIX=]L,L,..." in run(*words, "--labels", "1,b", code=2)
    assert "Missing option '--source'" in run(*words[:2], code=2)
    assert "tells how images are prepared" in run(*words, "--mean", "odd=1", code=1)
    assert "no such file" in run("x.prototxt", "x.caffemodel", "--source", prime_list, code=1)
    assert "Caffe gave up" in run(*words, "--gpu", 0, code=1)
