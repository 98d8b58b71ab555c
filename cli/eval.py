"""netbuild eval."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import click

from netbuild.errors import NetbuildError
from netbuild.evaluation.figures import most_confused
from netbuild.evaluation.results import PICTURE, draw_confusion, require_free, write_tables
from netbuild.evaluation.score import Evaluation, score_nets
from netbuild.evaluation.scorer import Preparation, Scorer

from .console import note, say, wrote
from .options import (
    aligned,
    branch_option,
    counted,
    gpu_option,
    json_option,
    keyed,
    labels_option,
    lengths,
    mean_option,
    progress,
    require_weights,
    scale_option,
    unknown_prefix,
    weights_option,
)

_LISTED = 20
"""Up to so many classes are listed in full; of more, the worst."""
_WORST = 10
_PREPARING = ("mean", "scale", "mean_file", "crop", "resize")


def _side(text: str) -> int:
    (side,) = lengths(text)
    return side


def _size(text: str) -> Tuple[int, int]:
    height, width = lengths(text)
    return height, width


@click.command("eval")
@click.argument("net", metavar="NET.prototxt")
@click.argument("caffemodel", metavar="WEIGHTS")
@click.option("--source", metavar="LIST", required=True, help="List of images: a line PATH LABEL for each.")
@branch_option("A branch to compare with: its own prototxt. Once for each branch.", "PREFIX=NET")
@weights_option("The trained weights of a branch; once for each branch.")
@labels_option("The list's label for each output of a branch, or of NET: odd=1,3,5,7,9.  [default: 0,1,2,...]")
@click.option(
    "--scores",
    metavar="[PREFIX=]BLOB",
    multiple=True,
    callback=keyed(str),
    help="The blob of the scores, where the net has several classifiers.",
)
@mean_option("as the net's data layer tells")
@scale_option("as the net's data layer tells")
@click.option(
    "--mean-file",
    metavar="[PREFIX=]FILE",
    multiple=True,
    callback=keyed(str),
    help="Mean image in place of mean values.",
)
@click.option(
    "--crop",
    metavar="[PREFIX=]SIDE",
    multiple=True,
    callback=keyed(_side),
    help="Side of a square from the middle of each image.",
)
@click.option(
    "--resize",
    metavar="[PREFIX=]H,W",
    multiple=True,
    callback=keyed(_size),
    help="Resize images, before the crop.  [default: as the net takes them]",
)
@click.option("--root-folder", help="Put in front of each path of LIST.  [default: as NET's data layer tells]")
@gpu_option
@click.option("-o", "--output", metavar="DIR", help="Write confusion.csv, .png, per_class.csv and predictions.csv.")
@click.option("--force", is_flag=True, help="Overwrite an earlier evaluation in DIR.")
@json_option
def command(
    net: str,
    caffemodel: str,
    source: str,
    branches: Dict[str, str],
    weights: Dict[str, str],
    root_folder: Optional[str],
    gpu: Optional[int],
    output: Optional[str],
    force: bool,
    as_json: bool,
    **told: Any,
) -> None:
    """Tell how often NET is right on the images of LIST: top-1, top-5, per class, confusion matrix.

    With --branch and --weights the branches alone and their ensembles (mean and product of the probabilities, majority
    vote) stand in the same table, on all images and on those whose label they know. A train_val prototxt tells how
    images are prepared; for a deploy prototxt give --mean, --scale and the like.
    """
    require_weights(branches, weights)
    _require_known(told, branches)
    if output and not force:
        require_free(output)
    usual = {name: told[name][""] for name in _PREPARING if "" in told[name]}
    scorers = {p: _scorer(p, branches[p], weights[p], told, usual) for p in branches}
    with _Progress(1 + len(branches)) as shown:
        evaluation = score_nets(
            _scorer("", net, caffemodel, told, {}),
            source,
            scorers,
            preparation=Preparation(**usual) if usual else None,
            root_folder=root_folder,
            gpu=gpu,
            on_progress=shown.show,
        )
    # Written first, for whoever reads what is printed may go away.
    written = _write(evaluation, output) if output else []
    if as_json:
        click.echo(json.dumps({**_as_dict(evaluation), "written": list(map(str, written))}, indent=2))
        return
    for line in _report(evaluation):
        say(line)
    for path in written:
        wrote(path)


def _require_known(told: Mapping[str, Mapping[str, Any]], branches: Mapping[str, str]) -> None:
    for option, values in told.items():
        unknown = [prefix for prefix in values if prefix and prefix not in branches]
        if unknown:
            raise unknown_prefix(option, unknown[0], branches)


def _scorer(prefix: str, net: str, weights: str, told: Mapping[str, Any], usual: Mapping[str, Any]) -> Scorer:
    own = {name: told[name][prefix] for name in _PREPARING if prefix and prefix in told[name]}
    preparation = Preparation(**{**usual, **own}) if own else None
    return Scorer(net, weights, told["labels"].get(prefix), told["scores"].get(prefix), preparation)


class _Progress:
    """A progress bar on stderr over the images of all nets, with the name of the one that runs."""

    def __init__(self, nets: int) -> None:
        self._nets, self._at = nets, 0
        self._bar = progress(1, "")

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.__exit__(*error)

    def show(self, name: str, done: int, images: int) -> None:
        """Show how many of a net's images are done."""
        self._bar.label, self._bar.length = name, self._nets * images
        if not self._bar.entered:
            # Not before the first net runs: notes come until then.
            self._bar.__enter__()
        self._bar.update(done - self._at)
        self._at = 0 if done == images else done


def _write(evaluation: Evaluation, folder: str) -> List[Path]:
    written = write_tables(evaluation, folder)
    picture = Path(folder) / PICTURE
    try:
        draw_confusion(evaluation, picture)
    except NetbuildError as error:
        note(error)
        return written
    return [*written, picture]


def _as_dict(evaluation: Evaluation) -> Dict[str, Any]:
    return {
        "images": len(evaluation.listing.paths),
        "rows": [row._asdict() for row in evaluation.rows],
        "per_class": [
            {"name": one.name, "kind": one.kind, "classes": [each._asdict() for each in evaluation.per_class(one)]}
            for one in evaluation.answers
        ],
        "confusion": evaluation.confusion().tolist(),
    }


def _report(evaluation: Evaluation) -> List[str]:
    return [*_table(evaluation), "", *_classes(evaluation), "", *_confusion(evaluation)]


def _table(evaluation: Evaluation) -> List[str]:
    rows = [["NET", "IMAGES", "", "TOP-1", "TOP-5"]]
    for row in evaluation.rows:
        name = row.name if row.kind == "net" else f"{row.kind} {row.name}"
        scope = "of its own labels" if row.own else "all"
        rows.append([name, f"{row.images:,}", scope, _share(row.top1), _share(row.top5)])
    return aligned(rows, ("NET", ""))


def _classes(evaluation: Evaluation) -> List[str]:
    """Return the figures of each class, the recall of the others beside the net's."""
    net, *others = evaluation.answers
    recalls = [[figures.recall for figures in evaluation.per_class(one)] for one in others]
    lines = list(zip(evaluation.per_class(), *recalls))
    title = f"{net.name}, per class"
    if len(lines) > _LISTED:
        lines = sorted(lines, key=lambda line: 2.0 if line[0].recall is None else line[0].recall)[:_WORST]
        title += f": the {len(lines)} of lowest recall"
    rows = [["LABEL", "IMAGES", "PRECISION", "RECALL", *(one.name for one in others)]]
    for own, *beside in lines:
        rows.append([str(own.label), f"{own.images:,}", *map(_share, (own.precision, own.recall, *beside))])
    return [title + (", with the recall of the others" if others else ""), *aligned(rows, ())]


def _confusion(evaluation: Evaluation) -> List[str]:
    matrix = evaluation.confusion()
    name = evaluation.answers[0].name
    if len(matrix) > _LISTED:
        pairs = most_confused(matrix, _WORST)
        lines = [f"{counted(one.images, 'image')} of {one.label} taken for {one.predicted}" for one in pairs]
        return [f"{name}, most confused", *(lines or ["none"])]
    rows = [["", *map(str, range(len(matrix)))]]
    rows += [[str(label), *(str(count or ".") for count in row)] for label, row in enumerate(matrix.tolist())]
    return [f"{name}, confusion matrix: a row for each label, a column for each answer", *aligned(rows, ())]


def _share(value: Optional[float]) -> str:
    return "-" if value is None else f"{value:.4f}"
