"""netbuild eval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence

import click

from netbuild.errors import NetbuildError

from .console import can_draw, note, say, say_json, wrote
from .options import (
    branch_option,
    branch_state_options,
    caffe_option,
    gpu_option,
    in_state,
    json_option,
    labels_option,
    mean_option,
    require_weights,
    scale_option,
    state_of,
    unknown_prefix,
    weights_option,
)
from .progress import progress
from .values import keyed, side, size
from .words import aligned, counted

if TYPE_CHECKING:
    from netbuild.evaluation.score import Evaluation
    from netbuild.evaluation.scorer import Preparation, Scorer

_LISTED = 20
"""A net of at most so many classes has them all listed; of more classes the worst are."""
_WORST = 10
_PREPARING = ("mean", "scale", "mean_file", "crop", "resize")


@click.command("eval")
@click.argument("net", metavar="NET.prototxt")
@click.argument("caffemodel", metavar="WEIGHTS")
@click.option("--source", metavar="LIST", required=True, help="List of images: a line PATH LABEL for each image.")
@branch_option("A branch to compare with: its own prototxt; repeat for several.", "PREFIX=NET")
@weights_option("The trained weights of a branch; one for each --branch.")
@labels_option("The label in LIST of each output of a branch, or of NET: odd=1,3,5,7,9.  [default: 0,1,2,...]")
@click.option(
    "--scores",
    metavar="[PREFIX=]BLOB",
    multiple=True,
    callback=keyed(str),
    help="The blob of the scores, needed where a net has several classifiers.",
)
@mean_option("from the net's data layer")
@scale_option("from the net's data layer")
@click.option(
    "--mean-file",
    metavar="[PREFIX=]FILE",
    multiple=True,
    callback=keyed(str),
    help="Mean image (binaryproto) to subtract instead of mean values.",
)
@click.option(
    "--crop",
    metavar="[PREFIX=]SIDE",
    multiple=True,
    callback=keyed(side),
    help="Cut a square of this side from the middle of each image.",
)
@click.option(
    "--resize",
    metavar="[PREFIX=]H,W",
    multiple=True,
    callback=keyed(size),
    help="Resize images before the crop.  [default: to the net's input]",
)
@click.option("--root-folder", metavar="DIR", help="Folder of the paths in LIST.  [default: from NET's data layer]")
@branch_state_options("NET")
@gpu_option
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    help="Write confusion.csv, .png, per_class.csv and predictions.csv here.",
)
@click.option("--force", is_flag=True, help="Overwrite an earlier evaluation in DIR.")
@json_option
@caffe_option
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
    **by_prefix: Any,
) -> None:
    """Report how often NET is right on the images of LIST: top-1, top-5, per class, confusion matrix.

    With --branch and --weights the table also has each branch alone and the ensembles of the branches (mean and product
    of the probabilities, majority vote), on all images and on the images whose label the branch knows. A train_val
    prototxt says how images are prepared; for a deploy prototxt give --mean, --scale and the like.
    """
    from netbuild.evaluation.results import require_free
    from netbuild.evaluation.score import score_nets

    require_weights(branches, weights)
    _require_known(by_prefix, branches)
    if output and not force:
        require_free(output)
    picture = bool(output) and can_draw("pictures")
    with _Progress(1 + len(branches)) as shown:
        evaluation = score_nets(
            _scorer("", net, caffemodel, by_prefix),
            source,
            {prefix: _scorer(prefix, branches[prefix], weights[prefix], by_prefix) for prefix in branches},
            preparation=_preparation([""], by_prefix),
            root_folder=root_folder,
            gpu=gpu,
            on_progress=shown.show,
        )
    # Written first, for whoever reads what is printed may go away.
    written = _write(evaluation, output, picture) if output else []
    if as_json:
        say_json({**_as_dict(evaluation), "written": list(map(str, written))})
        return
    for line in _report(evaluation):
        say(line)
    for path in written:
        wrote(path)


def _require_known(by_prefix: Mapping[str, Mapping[str, Any]], branches: Mapping[str, str]) -> None:
    for option, values in by_prefix.items():
        unknown = [prefix for prefix in values if prefix and prefix not in branches]
        if unknown:
            raise unknown_prefix(option, unknown[0], branches)


def _scorer(prefix: str, net: str, weights: str, by_prefix: Mapping[str, Mapping[str, Any]]) -> Scorer:
    from netbuild.evaluation.scorer import Scorer

    has_its_own = prefix and any(prefix in by_prefix[name] for name in _PREPARING)
    preparation = _preparation(["", prefix], by_prefix) if has_its_own else None
    in_its_state = in_state(net, **state_of(prefix, by_prefix))
    return Scorer(in_its_state, weights, by_prefix["labels"].get(prefix), by_prefix["scores"].get(prefix), preparation)


def _preparation(keys: Sequence[str], by_prefix: Mapping[str, Mapping[str, Any]]) -> Optional[Preparation]:
    """Return how the options under these keys prepare images; a later key wins. None where none is given."""
    from netbuild.evaluation.scorer import Preparation

    options = {name: by_prefix[name][key] for key in keys for name in _PREPARING if key in by_prefix[name]}
    return Preparation(**options) if options else None


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


def _write(evaluation: Evaluation, folder: str, draw: bool) -> List[Path]:
    from netbuild.evaluation.results import PICTURE, draw_confusion, write_tables

    written = write_tables(evaluation, folder)
    if not draw:
        return written
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
    from netbuild.evaluation.figures import most_confused

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
