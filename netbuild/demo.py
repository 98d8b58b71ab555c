"""The whole recipe with the public functions only: data, two branches, fusion, proof, head, scores."""

from __future__ import annotations

from dataclasses import dataclass
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
from .extras import getting, have, require
from .files import PathLike
from .fuse.fuse import fuse_weights
from .fusion import Fusion
from .show.findings import gather_report
from .show.report import write_report
from .train.log import draw_curves
from .train.run import Trained, train_solver
from .verify.branches import Comparison, Original, verify_branches
from .verify.engines import compare_engines
from .weights.index import index

BRANCHES = {"odd": (1, 3, 5, 7, 9), "even": (0, 2, 4, 6, 8)}
"""The digits that each branch tells apart."""
ITERATIONS = {"digits": (600, 500), "mnist": (2000, 1000)}
"""For each branch and for the head: the bundled digits are few, and soon learnt."""
NEEDS = ("PIL", "h5py", "jinja2", "matplotlib")
"""The modules for images, features, the page and its curves; the bundled digits come with scikit-learn."""
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
    """What the demo measured and wrote."""

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
        NetbuildError: The folder is not empty, there is no MNIST at `data`, or a step needs a package that is missing.

    Examples:
        >>> from netbuild import run_demo
        >>> done = run_demo("demo-out", branch_iterations=5, head_iterations=5)
        >>> [score.net for score in done.scores], done.report.name
        (['odd', 'even', 'fused'], 'report.html')
    """
    trained = _checked(weights)
    require("the demo needs", *NEEDS, *(["sklearn"] if data == "digits" else []))
    splits = load_digits() if data == "digits" else load_mnist(data)
    root = emptied(Path(folder), force, [*trained.values(), Path(data)])
    usual = ITERATIONS["digits" if data == "digits" else "mnist"]
    on_step(f"data: {data}")
    demo = _Demo(root, write_images(splits, root / "data"), on_step)
    models = demo.branches(trained, branch_iterations or usual[0])
    written, init = demo.fused(models, head_iterations or usual[1])
    comparisons = demo.proved(written, init, models)
    head = demo.head(written, init, head_iterations or usual[1])
    on_step("evaluating")
    scores = demo.scores({**models, "fused": head.caffemodel})
    alone = {p: Scorer(root / p / "train_val.prototxt", models[p], labels) for p, labels in BRANCHES.items()}
    whole = Scorer(written["train_val"], head.caffemodel)
    evaluation = score_nets(whole, demo.lists.path("test_all"), alone)
    page = root / "report.html"
    write_report(gather_report(root), page, comparisons=comparisons, evaluation=evaluation)
    files = [*written.values(), init, head.caffemodel, head.log, root / "fused" / "curves.png"]
    return Demonstration(scores, files, page)


def _checked(weights: Optional[Mapping[str, PathLike]]) -> Dict[str, Path]:
    """Return the weights of branches that are trained already; raise NetbuildError for anything else."""
    if not isinstance(weights or {}, Mapping):
        raise NetbuildError(f"weights: expected {{'odd': FILE, 'even': FILE}}, found {weights!r}")
    trained = {prefix: Path(path) for prefix, path in (weights or {}).items()}
    unknown = sorted(set(trained) - set(BRANCHES))
    if unknown:
        raise NetbuildError(f"weights for {unknown[0]!r}: the demo's branches are {' and '.join(BRANCHES)}")
    for path in trained.values():
        index(path)
    return trained


@dataclass(frozen=True)
class _Demo:
    """The steps of the recipe, each of which says what it does."""

    root: Path
    lists: Written
    say: Say

    def branches(self, trained: Mapping[str, Path], iterations: int) -> Dict[str, Path]:
        """Write the net of each branch, and train it unless it is trained already; return the weights."""
        models: Dict[str, Path] = dict(trained)
        for prefix in BRANCHES:
            folder = self.root / prefix
            _emit_branch(folder, prefix, self.lists, iterations)
            if prefix not in models:
                self.say(f"training the branch {prefix} alone: {iterations} iterations")
                result = _finished(train_solver(folder / "solver.prototxt", folder))
                draw_curves(result.log, folder / "curves.png", title=f"branch {prefix}")
                models[prefix] = result.caffemodel
        return models

    def fused(self, models: Mapping[str, Path], iterations: int) -> Tuple[Dict[str, Path], Path]:
        """Write the fused net, its files by name, and its weights."""
        written = _emit_fusion(self.root / "fused", self.lists, iterations)
        init = self.root / "fused" / "init.caffemodel"
        self.say("fusing the weights of both branches into one file")
        report = fuse_weights(written["train_val"], models, init)
        self.say(f"{report.plan.blob_count()} blobs bit-equal to their sources")
        return written, init

    def proved(self, written: Mapping[str, Path], init: Path, models: Mapping[str, Path]) -> List[Comparison]:
        """Compare the fused net with its branches; raise NetbuildError where it differs."""
        originals = {p: Original(str(self.root / p / "train_val.prototxt"), str(models[p])) for p in BRANCHES}
        comparisons = verify_branches(written["train_val"], init, originals)
        for one in comparisons:
            if not one.equal:
                where = f"from layer {one.first_difference!r} on" if one.differences else "in how images are prepared"
                raise NetbuildError(f"branch {one.prefix}: the fused net differs {where}")
            self.say(f"verified in Caffe: {one.seam} is bit-equal to what {one.prefix} computes alone")
        return comparisons

    def head(self, written: Mapping[str, Path], init: Path, iterations: int) -> Trained:
        """Train the head of the fused net, and let another engine compute it too."""
        folder = self.root / "fused"
        self.say(f"training the head: {iterations} iterations, the branches frozen")
        head = _finished(train_solver(written["solver"], folder, weights=init))
        draw_curves(head.log, folder / "curves.png", title="head of the fused net")
        self.say(_second_engine(written["deploy"], head.caffemodel))
        return head

    def scores(self, models: Mapping[str, Path]) -> List[Score]:
        """Return how often each net is right on the images of its own task."""
        nets = {name: self.root / name / "train_val.prototxt" for name in (*BRANCHES, "fused")}
        return [_score(name, net, models[name], self.lists) for name, net in nets.items()]


def _second_engine(net: Path, weights: Path) -> str:
    """Return what OpenCV says of the fused net; where it is not installed, that it was not asked."""
    if not have("cv2"):
        return f"OpenCV is not here to run the fused net as well: {getting('cv2')}"
    last = compare_engines(net, weights)[-1]
    if not last.equal:
        raise NetbuildError(f"OpenCV's {last.blob} differs from Caffe's by {last.largest_difference:g}")
    return f"OpenCV computes the same: its {last.blob} differs from Caffe's by {last.largest_difference:.1g} at most"


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
