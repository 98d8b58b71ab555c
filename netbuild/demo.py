"""The whole recipe with the public functions only: data, two branches, fusion, proof, head, scores."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from .branches.lenet import MNIST, lenet
from .data.digits import load_digits
from .data.lists import Written, write_images
from .data.mnist import load_mnist
from .demo_folder import emptied
from .emit.files import emit_files
from .emit.source import DataSource
from .errors import NetbuildError
from .evaluation.score import score_nets
from .evaluation.scorer import Scorer
from .files import PathLike
from .fuse.fuse import fuse_weights
from .fusion import Fusion
from .show.findings import gather_report
from .show.report import write_report
from .train.log import draw_curves
from .train.run import Trained, train_solver
from .verify.branches import Original, verify_branches
from .verify.engines import compare_engines
from .weights.index import index

BRANCHES = {"odd": (1, 3, 5, 7, 9), "even": (0, 2, 4, 6, 8)}
"""The digits that each branch tells apart."""
ITERATIONS = {"digits": (600, 500), "mnist": (2000, 1000)}
"""For each branch and for the head: the bundled digits are few, and soon learnt."""
TESTS = 5
"""How often a training is tested on its way."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Score:
    """Accuracy of a net on the images of its own task."""

    net: str
    task: str
    validation: float
    test: float


@dataclass(frozen=True)
class Demonstration:
    """What the demo found and wrote."""

    scores: List[Score]
    files: List[Path]
    report: Path
    """The page that tells all of it."""


def run_demo(
    folder: PathLike,
    *,
    data: str = "digits",
    weights: Optional[Mapping[str, PathLike]] = None,
    branch_iterations: Optional[int] = None,
    head_iterations: Optional[int] = None,
    force: bool = False,
    on_step: Say = lambda _line: None,
) -> Demonstration:
    """Fuse a LeNet of the odd digits with one of the even digits, and train a head for all ten.

    Args:
        folder: Where everything goes: a new or empty folder.
        data: 'digits' for those of scikit-learn, which need no network, or a folder or file with MNIST.
        weights: By prefix, odd and even, weight files of branches that are trained already.
        branch_iterations: How long each branch is trained; by default 600 iterations on digits, 2,000 on MNIST.
        head_iterations: How long the head is trained; by default 500 iterations on digits, 1,000 on MNIST.
        force: Empty the folder first, if a demo made it.
        on_step: Called with a line for each step.

    Returns:
        The `scores` of all three nets, the `files`, and the page that tells all of it (`report`).

    Raises:
        NetbuildError: The folder is not empty, or there is no MNIST at `data`.

    Examples:
        >>> from netbuild import run_demo
        >>> done = run_demo("demo-out", branch_iterations=5, head_iterations=5)
        >>> [score.net for score in done.scores], done.report.name
        (['odd', 'even', 'fused'], 'report.html')
    """
    trained = {prefix: Path(path) for prefix, path in (weights or {}).items()}
    unknown = sorted(set(trained) - set(BRANCHES))
    if unknown:
        raise NetbuildError(f"weights for {unknown[0]!r}: the demo's branches are {' and '.join(BRANCHES)}")
    for path in trained.values():
        index(path)
    splits = load_digits() if data == "digits" else load_mnist(data)
    root = emptied(Path(folder), force, [*trained.values(), Path(data)])
    usual = ITERATIONS["digits" if data == "digits" else "mnist"]
    branch_iterations, head_iterations = branch_iterations or usual[0], head_iterations or usual[1]
    on_step(f"data: {data}")
    lists = write_images(splits, root / "data")
    for prefix in BRANCHES:
        _emit_branch(root / prefix, prefix, lists, branch_iterations)
        if prefix not in trained:
            on_step(f"training the branch {prefix} alone: {branch_iterations} iterations")
            result = _finished(train_solver(root / prefix / "solver.prototxt", root / prefix))
            draw_curves(result.log, root / prefix / "curves.png", title=f"branch {prefix}")
            trained[prefix] = result.caffemodel
    fused, init = root / "fused", root / "fused" / "init.caffemodel"
    written = _emit_fusion(fused, lists, head_iterations)
    on_step("fusing the weights of both branches into one file")
    report = fuse_weights(written["train_val"], trained, init)
    on_step(f"{report.plan.blob_count()} blobs bit-equal to their sources")
    originals = {p: Original(str(root / p / "train_val.prototxt"), str(trained[p])) for p in BRANCHES}
    comparisons = verify_branches(written["train_val"], init, originals)
    for found in comparisons:
        if not found.equal:
            where = f"from layer {found.first_difference!r} on" if found.differences else "in how images are prepared"
            raise NetbuildError(f"branch {found.prefix}: the fused net differs {where}")
        on_step(f"verified in Caffe: {found.seam} is bit-equal to what {found.prefix} computes alone")
    on_step(f"training the head: {head_iterations} iterations, the branches frozen")
    head = _finished(train_solver(written["solver"], fused, weights=[init]))
    draw_curves(head.log, fused / "curves.png", title="head of the fused net")
    on_step(_second_engine(written["deploy"], head.caffemodel))
    on_step("evaluating")
    nets: Dict[str, Tuple[Path, Path]] = {prefix: (root / prefix, trained[prefix]) for prefix in BRANCHES}
    nets["fused"] = (fused, head.caffemodel)
    scores = [_score(name, net / "train_val.prototxt", model, lists) for name, (net, model) in nets.items()]
    alone = {p: Scorer(root / p / "train_val.prototxt", trained[p], labels) for p, labels in BRANCHES.items()}
    evaluation = score_nets(Scorer(written["train_val"], head.caffemodel), lists.path("test_all"), alone)
    page = root / "report.html"
    write_report(gather_report(root), page, comparisons=comparisons, evaluation=evaluation)
    files = [*written.values(), init, head.caffemodel, head.log, fused / "curves.png"]
    return Demonstration(scores, files, page)


def _second_engine(net: Path, weights: Path) -> str:
    """Return what OpenCV has to say of the fused net; where it is not there, that it was not asked."""
    if find_spec("cv2") is None:
        return "OpenCV is not here to run the fused net as well: pip install 'netbuild[opencv]'"
    found = compare_engines(net, weights)[-1]
    if not found.equal:
        raise NetbuildError(f"OpenCV's {found.blob} differs from Caffe's by {found.largest_difference:g}")
    return f"OpenCV computes the same: its {found.blob} differs from Caffe's by {found.largest_difference:.1g} at most"


def _finished(result: Trained) -> Trained:
    if result.interrupted:
        raise NetbuildError(f"interrupted at iteration {result.iteration}; the demo ends here")
    return result


def _emit_branch(folder: Path, prefix: str, lists: Written, iterations: int) -> None:
    source = _source(lists, prefix, train_batch=25)
    options = {**_schedule(iterations), "snapshot_prefix": f"lenet_{prefix}"}
    emit_files(Fusion({"": lenet}, 5, frozen=False), source, folder, solver_options=options)


def _emit_fusion(folder: Path, lists: Written, iterations: int) -> Dict[str, Path]:
    fusion = Fusion(dict.fromkeys(BRANCHES, lenet), 10)
    written = emit_files(fusion, _source(lists, "all"), folder, solver_options=_schedule(iterations))
    return {path.stem: path for path in written}


def _schedule(iterations: int) -> Dict[str, str]:
    return {"max_iter": str(iterations), "test_interval": str(max(1, iterations // TESTS))}


def _source(lists: Written, subset: str, train_batch: int = 50) -> DataSource:
    train, val = (str(lists.path(f"{split}_{subset}")) for split in ("train", "val"))
    return DataSource(MNIST, train_source=train, test_source=val, train_batch=train_batch)


def _score(name: str, net: Path, model: Path, lists: Written) -> Score:
    subset = name if name in BRANCHES else "all"
    validation, test = (
        score_nets(Scorer(net, model), lists.path(f"{split}_{subset}")).top1 for split in ("val", "test")
    )
    return Score(name, f"{subset} digits", validation, test)
