"""An evaluation as files: CSV tables, and the confusion matrix as a picture."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Iterable, List, Sequence

import numpy as np

from ..errors import NetbuildError
from ..files import PathLike, output_folder, write_all
from ..pictures import new_figure, save_png
from ..spelling import option
from .figures import ClassFigures
from .score import Evaluation

TABLES = ("confusion.csv", "per_class.csv", "predictions.csv")
PICTURE = "confusion.png"
_NUMBERED = 20
"""Up to so many classes the picture has the counts in its cells."""


def require_free(folder: PathLike) -> None:
    """Raise NetbuildError where the files of an earlier evaluation would be overwritten."""
    there = [name for name in (*TABLES, PICTURE) if (Path(folder) / name).exists()]
    if there:
        raise NetbuildError(
            f"output folder {str(folder)!r}: holds an earlier evaluation ({there[0]}); name another, or overwrite it "
            f"with {option('force', True)}"
        )


def write_tables(evaluation: Evaluation, folder: PathLike) -> List[Path]:
    """Write the net's confusion.csv, per_class.csv and predictions.csv into a folder; return their paths.

    `per_class.csv` has the recall of each branch and ensemble beside the net's.
    """
    target = output_folder(folder)
    matrix = evaluation.confusion()
    others = evaluation.answers[1:]
    recalls = [[figures.recall for figures in evaluation.per_class(one)] for one in others]
    classes = zip(evaluation.per_class(), *recalls)
    tables: Sequence[Iterable[Sequence[Any]]] = (
        [["label", *range(len(matrix))], *([label, *row] for label, row in enumerate(matrix.tolist()))],
        [
            [*ClassFigures._fields, *(f"recall of {one.kind} {one.name}" for one in others)],
            *([*figures, *beside] for figures, *beside in classes),
        ],
        [["path", "label", "predicted", "score"], *_predictions(evaluation)],
    )
    paths = [target / name for name in TABLES]
    write_all(dict(zip(paths, map(_csv, tables))))
    return paths


def _predictions(evaluation: Evaluation) -> Iterable[Sequence[Any]]:
    answers = evaluation.answers[0]
    predicted = answers.predicted
    best = answers.probabilities[np.arange(len(predicted)), predicted]
    return zip(evaluation.listing.paths, evaluation.listing.labels.tolist(), predicted.tolist(), best.tolist())


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    # Paths are bytes: one that is no UTF-8 is written as it was read.
    return text.getvalue().encode("utf-8", "surrogateescape")


def draw_confusion(evaluation: Evaluation, path: PathLike) -> None:
    """Draw the net's confusion matrix as PNG: each row as shares of the images of its label."""
    matrix = evaluation.confusion()
    classes = len(matrix)
    side = min(12.0, 3 + 0.5 * classes)
    figure = new_figure("pictures", (side + 1, side))
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="label", title=f"top-1 {evaluation.top1:.4f} of {matrix.sum():,} images")
    if classes <= _NUMBERED:
        axes.set(xticks=range(classes), yticks=range(classes))
        for (label, predicted), count in np.ndenumerate(matrix):
            if count:
                color = "white" if shares[label, predicted] > 0.5 else "black"
                axes.text(predicted, label, str(count), ha="center", va="center", color=color, fontsize=8)
    figure.colorbar(image, ax=axes, label="share of the label's images", shrink=0.8)
    save_png(figure, path)
