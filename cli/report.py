"""netbuild report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Sequence, Tuple

import click

from netbuild.branches.given import split_seam
from netbuild.errors import NetbuildError
from netbuild.extras import require
from netbuild.files import require_output

from .console import say
from .options import (
    branch_option,
    branch_state_options,
    caffe_option,
    gpu_option,
    in_state,
    labels_option,
    prefixes_option,
    require_known_states,
    state_of,
    weights_option,
)

if TYPE_CHECKING:
    from netbuild.evaluation.score import Evaluation
    from netbuild.proto import Net
    from netbuild.show.findings import FusionReport
    from netbuild.verify.branches import Comparison, Original


@click.command("report")
@click.argument("folder", metavar="DIR")
@click.option("-o", "--output", metavar="FILE", required=True, help="Page to write, such as report.html.")
@branch_option("The net of a branch as it was alone; Caffe compares it with the branch in the fused net.")
@weights_option("The caffemodel of a --branch.  [default: the file that its weights were copied from]")
@click.option("--source", metavar="LIST", help="List of images with labels, on which the trained net is evaluated.")
@branch_state_options("that of DIR")
@labels_option("Evaluate this --branch alone too; the labels in LIST that its outputs stand for: odd=1,3,5,7,9.")
@prefixes_option("Prefix of a branch, if neither the names nor the files show it")
@gpu_option
@caffe_option
def command(
    folder: str,
    output: str,
    branches: Dict[str, str],
    weights: Dict[str, str],
    source: Optional[str],
    labels: Dict[str, Tuple[int, ...]],
    prefixes: Sequence[str],
    gpu: Optional[int],
    **states: Any,
) -> None:
    """Write one HTML page with everything known about the fusion in DIR.

    DIR is the folder that emit, fuse and train wrote to, or the folder of a demo. The page has a picture of the net,
    the summary, where the weights come from, the verification, the curves, the accuracies and the confusion matrix. It
    needs no other file and no network.
    """
    from netbuild.show.findings import gather_report
    from netbuild.show.report import write_report

    if Path(output).suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"-o {output}: a report is a page; name it report.html")
    if labels and not (source and set(labels) <= set(branches)):
        raise click.UsageError("--labels PREFIX=L,L,... goes with --source, and with --branch for the same prefix")
    require_output(output, [])
    require("reports need", "jinja2")
    require_known_states(states, branches)
    own = state_of("", states)
    found = gather_report(folder, prefixes, **own)
    net = in_state(found.net_file, **own)
    nets = {prefix: in_state(net, **state_of(prefix, states)) for prefix, net in branches.items()}
    originals = _originals(found, nets, weights) if branches else {}
    comparisons = _compared(found, net, originals) if originals else []
    evaluation = _evaluated(found, net, source, originals, labels, gpu) if source else None
    write_report(found, output, comparisons=comparisons, evaluation=evaluation)
    say(output)


def _init(found: FusionReport) -> Tuple[Path, Mapping[str, Any]]:
    from netbuild.show.findings import Missing

    if isinstance(found.weights, Missing):
        raise NetbuildError(found.weights.sentence)
    return found.weights


def _originals(found: FusionReport, branches: Mapping[str, Net], weights: Mapping[str, str]) -> Dict[str, Original]:
    from netbuild.verify.branches import Original

    init, sidecar = _init(found)
    return {
        prefix: Original(net, weights.get(prefix) or _source(init, sidecar, prefix)) for prefix, net in branches.items()
    }


def _compared(found: FusionReport, net: Net, originals: Mapping[str, Original]) -> Sequence[Comparison]:
    from netbuild.verify.branches import verify_branches

    return verify_branches(net, _init(found)[0], originals)


def _without_seam(net: Net) -> Net:
    from netbuild.proto import Staged

    if isinstance(net, Staged):
        return net.of(split_seam(str(net.net))[0])
    return split_seam(str(net))[0]


def _source(init: Path, sidecar: Mapping[str, Any], prefix: str) -> str:
    """Return the file that a branch's weights were copied from."""
    files = sidecar["branches"].get(prefix, {"files": []})["files"]
    if len(files) != 1:
        raise NetbuildError(
            f"branch {prefix!r}: {init} does not name one file that its weights come from; give --weights {prefix}=FILE"
        )
    return str(init.parent / files[0]["path"])


def _evaluated(
    found: FusionReport,
    net: Net,
    source: str,
    originals: Mapping[str, Original],
    labels: Mapping[str, Tuple[int, ...]],
    gpu: Optional[int],
) -> Evaluation:
    from netbuild.evaluation.score import score_nets
    from netbuild.evaluation.scorer import Scorer

    if found.trained is None:
        raise NetbuildError(f"folder {str(found.folder)!r}: holds no trained net (NAME_iter_N.caffemodel) to evaluate")
    alone = {
        prefix: Scorer(_without_seam(originals[prefix].net), originals[prefix].weights, own)
        for prefix, own in labels.items()
    }
    return score_nets(Scorer(net, found.trained), source, alone, gpu=gpu)
