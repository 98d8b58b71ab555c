"""netbuild report."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import click

from netbuild.branches.source import split_seam
from netbuild.errors import NetbuildError
from netbuild.evaluation.score import Evaluation, score_nets
from netbuild.evaluation.scorer import Scorer
from netbuild.files import require_output
from netbuild.show.findings import FusionReport, Missing, gather_report
from netbuild.show.report import write_report
from netbuild.verify.branches import Original, verify_branches

from .console import say
from .options import branch_option, gpu_option, labels_option, weights_option


@click.command("report")
@click.argument("folder", metavar="DIR")
@click.option("-o", "--output", metavar="FILE", required=True, help="The page to write: report.html.")
@branch_option("The net of a branch as it was: run it in Caffe against the branch in the fused net.")
@weights_option("The caffemodel of such a branch.  [default: the one that its weights were copied from]")
@click.option("--source", metavar="LIST", help="List of images with labels: evaluate the trained net on it.")
@labels_option("Evaluate this --branch alone too: the label of LIST for each of its outputs, odd=1,3,5,7,9.")
@click.option("--prefix", "prefixes", multiple=True, help="A branch, where nothing tells; repeat for several.")
@gpu_option
def command(
    folder: str,
    output: str,
    branches: Dict[str, str],
    weights: Dict[str, str],
    source: Optional[str],
    labels: Dict[str, Tuple[int, ...]],
    prefixes: Sequence[str],
    gpu: Optional[int],
) -> None:
    """Write one page that tells all there is to tell of the fusion in DIR.

    DIR is where emit, fuse and train wrote, or where a demo did. The page needs no other file and no network: picture,
    summary, the weights and where they come from, verification, curves, accuracies, confusion matrix.
    """
    if Path(output).suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"-o {output}: a report is a page; name it report.html")
    if labels and not (source and set(labels) <= set(branches)):
        raise click.UsageError("--labels PREFIX=L,L,... goes with --source, and with --branch for the same prefix")
    require_output(output, [])
    found = gather_report(folder, prefixes)
    originals = _originals(found, branches, weights) if branches else {}
    comparisons = verify_branches(found.net_file, _init(found)[0], originals) if originals else []
    evaluation = _evaluated(found, source, originals, labels, gpu) if source else None
    write_report(found, output, comparisons=comparisons, evaluation=evaluation)
    say(output)


def _init(found: FusionReport) -> Tuple[Path, Mapping[str, Any]]:
    if isinstance(found.weights, Missing):
        raise NetbuildError(found.weights.sentence)
    return found.weights


def _originals(found: FusionReport, branches: Mapping[str, str], given: Mapping[str, str]) -> Dict[str, Original]:
    init, told = _init(found)
    return {prefix: Original(net, given.get(prefix) or _source(init, told, prefix)) for prefix, net in branches.items()}


def _source(init: Path, told: Mapping[str, Any], prefix: str) -> str:
    """Return the file that a branch's weights were copied from."""
    files = told["branches"].get(prefix, {"files": []})["files"]
    if len(files) != 1:
        raise NetbuildError(
            f"branch {prefix!r}: {init} does not tell one file that its weights come from; give --weights {prefix}=FILE"
        )
    return str(init.parent / files[0]["path"])


def _evaluated(
    found: FusionReport,
    source: str,
    originals: Mapping[str, Original],
    labels: Mapping[str, Tuple[int, ...]],
    gpu: Optional[int],
) -> Evaluation:
    if found.trained is None:
        raise NetbuildError(f"folder {str(found.folder)!r}: holds no trained net (NAME_iter_N.caffemodel) to evaluate")
    alone = {
        prefix: Scorer(split_seam(originals[prefix].name)[0], originals[prefix].weights, own)
        for prefix, own in labels.items()
    }
    return score_nets(Scorer(found.net_file, found.trained), source, alone, gpu=gpu)
