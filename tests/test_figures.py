"""The figures of an evaluation, its ensembles and files, against scikit-learn and by hand."""

import csv

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics

from netbuild.data.lists import ListedImages
from netbuild.errors import NetbuildError
from netbuild.evaluation import figures
from netbuild.evaluation.ensembles import Member, mean, product, vote
from netbuild.evaluation.results import draw_confusion, require_free, write_tables
from netbuild.evaluation.score import Answers, Evaluation


def random_scores(seed, images=400, classes=10):
    rng = np.random.default_rng(seed)
    return figures.softmax(rng.normal(0, 2, (images, classes)).astype(np.float32)), rng.integers(0, classes, images)


def evaluation(probabilities, labels):
    paths = [f"{number}.png" for number in range(len(labels))]
    known = tuple(range(probabilities.shape[1]))
    return Evaluation(ListedImages(paths, labels), (Answers("net", "net", known, probabilities),))


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_scikit_learn(seed):
    probabilities, labels = random_scores(seed)
    everything = range(10)
    for k in (1, 2, 5):
        ours = figures.in_top(probabilities, labels, k).mean()
        assert ours == pytest.approx(metrics.top_k_accuracy_score(labels, probabilities, k=k, labels=everything))
    found = evaluation(probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    assert (found.confusion() == metrics.confusion_matrix(labels, predicted, labels=everything)).all()
    classes = found.per_class()
    assert [one.recall for one in classes] == pytest.approx(metrics.recall_score(labels, predicted, average=None))
    assert [one.precision for one in classes] == pytest.approx(metrics.precision_score(labels, predicted, average=None))
    assert found.top1 == found.rows[0].top1 == pytest.approx(metrics.accuracy_score(labels, predicted))


def test_figures_by_hand():
    scores = np.array([[0.5, 0.5, 0], [0.2, 0.2, 0.6], [1, 0, 0]], np.float32)
    labels = np.array([1, 1, 2])
    assert figures.in_top(scores, labels, 1).tolist() == [False, False, False]
    assert figures.in_top(scores, labels, 2).tolist() == [True, False, False]
    # A score of 0 is no answer: the third is not right even among all three.
    assert figures.in_top(scores, labels, 3).tolist() == [True, True, False]
    matrix = figures.confusion(labels, scores.argmax(axis=1), 3)
    assert matrix.tolist() == [[0, 0, 0], [1, 0, 1], [1, 0, 0]]
    assert figures.per_class(matrix) == [(0, 0, 0.0, None), (1, 2, None, 0.0), (2, 1, 0.0, 0.0)]
    assert figures.most_confused(matrix, 2) == [(1, 0, 1), (1, 2, 1)]
    assert figures.most_confused(np.eye(3, dtype=int), 2) == []
    assert figures.softmax(np.log(np.array([[1, 3]], np.float32))) == pytest.approx(np.array([[0.25, 0.75]]))


def test_ensembles_by_hand():
    one = Member(np.array([[0.9, 0.1, 0], [0.4, 0.6, 0]], np.float32), (0, 1))
    two = Member(np.array([[0, 0.8, 0.2], [0, 0.1, 0.9]], np.float32), (1, 2))
    assert mean([one, two]) == pytest.approx(np.array([[0.45, 0.45, 0.1], [0.2, 0.35, 0.45]]))
    raw = np.array([[0.9, np.sqrt(0.1 * 0.8), 0.2], [0.4, np.sqrt(0.6 * 0.1), 0.9]])
    assert product([one, two]) == pytest.approx(raw / raw.sum(axis=1, keepdims=True))
    # One vote for each of two labels; the means decide.
    assert vote([one, two]) == pytest.approx(np.array([[1.45, 1.45, 0.1], [0.2, 1.35, 1.45]]) / 3)
    # However close they are.
    close = [
        Member(np.array([[0, 1 - 2**-24]], np.float32), (1,)),
        Member(np.array([[1 - 2**-23, 0]], np.float32), (0,)),
    ]
    assert vote(close).argmax(axis=1).tolist() == [1]
    three = Member(np.array([[0, 1, 0], [0, 1, 0]], np.float32), (0, 1, 2))
    assert vote([one, two, three]).argmax(axis=1).tolist() == [1, 1]


@pytest.mark.parametrize("seed", range(2))
def test_ensembles_of_nets_that_know_all_labels(seed):
    parts = [random_scores(seed + number)[0] for number in range(3)]
    members = [Member(one, range(10)) for one in parts]
    assert mean(members) == pytest.approx(np.mean(parts, axis=0), abs=1e-6)
    assert (product(members).argmax(axis=1) == np.mean(np.log(parts), axis=0).argmax(axis=1)).all()
    votes = np.array([np.bincount([one[image].argmax() for one in parts], minlength=10) for image in range(400)])
    voted = vote(members)
    assert (votes[np.arange(400), voted.argmax(axis=1)] == votes.max(axis=1)).all()
    for combined in (mean(members), product(members), voted):
        assert combined.sum(axis=1) == pytest.approx(np.ones(400), abs=1e-5)


def test_files(tmp_path):
    probabilities, labels = random_scores(0)
    found = evaluation(probabilities, labels)
    found.listing.paths[0] = 'a,"b" \udcff.png'
    found.listing.labels[labels == 9] = 8
    predicted = probabilities.argmax(axis=1)
    require_free(tmp_path / "out")
    assert [path.name for path in write_tables(found, tmp_path / "out")] == [
        "confusion.csv",
        "per_class.csv",
        "predictions.csv",
    ]

    def rows(name):
        with (tmp_path / "out" / name).open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return list(csv.reader(file))

    confusion = rows("confusion.csv")
    assert confusion[0] == ["label", *map(str, range(10))]
    expected = metrics.confusion_matrix(found.listing.labels, predicted, labels=range(10))
    assert [[int(cell) for cell in row[1:]] for row in confusion[1:]] == expected.tolist()
    classes = rows("per_class.csv")
    assert classes[0] == ["label", "images", "precision", "recall"]
    assert classes[10] == ["9", "0", "0.0", ""]
    assert float(classes[4][3]) == expected[3, 3] / expected[3].sum()
    images = rows("predictions.csv")
    assert images[1][0] == 'a,"b" \udcff.png'
    assert [int(row[2]) for row in images[1:]] == predicted.tolist()
    assert [float(row[3]) for row in images[1:]] == pytest.approx(probabilities.max(axis=1).tolist())
    with pytest.raises(
        NetbuildError, match="holds an earlier evaluation .confusion.csv.; name another, or .* force=True$"
    ):
        require_free(tmp_path / "out")
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize("classes", [10, 40])
def test_the_picture(tmp_path, classes):
    draw_confusion(evaluation(*random_scores(0, classes=classes)), tmp_path / "confusion.png")
    with Image.open(tmp_path / "confusion.png") as image:
        assert min(image.size) > 500
        assert len(set(image.convert("RGB").getdata())) > 50


def test_the_command_lists_the_worst_of_many_classes():
    from netbuild_cli.eval import _report

    probabilities, labels = random_scores(0, images=4000, classes=30)
    found = evaluation(probabilities, labels)
    lines = _report(found)
    assert "net, per class: the 10 of lowest recall" in lines
    worst = figures.most_confused(found.confusion(), 10)
    matrix = metrics.confusion_matrix(labels, probabilities.argmax(axis=1))
    np.fill_diagonal(matrix, 0)
    assert worst[0].images == matrix.max()
    assert lines[-10] == f"{worst[0].images} images of {worst[0].label} taken for {worst[0].predicted}"
    assert len(lines) == 2 + 1 + 12 + 1 + 11
