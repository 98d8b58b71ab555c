"""netbuild: write Caffe networks as programs, fuse trained branches, prove them equal, train the new head.

The names below load what they need when they are first used: `import netbuild` loads neither Caffe nor numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, List

__version__ = "0.1.0"

_CONTENTS = {
    # errors
    "NetbuildError": "errors",
    "CaffeError": "errors",
    "GraphError": "errors",
    "WeightsError": "errors",
    # graphs: builders, fusion, files
    "qualify": "names",
    "Branch": "branches.branch",
    "Input": "branches.branch",
    "prototxt": "branches.prototxt",
    "lenet": "branches.lenet",
    "alexnet": "branches.alexnet",
    "caffenet": "branches.alexnet",
    "vgg": "branches.vgg",
    "googlenet": "branches.googlenet",
    "squeezenet1_0": "branches.squeezenet",
    "squeezenet1_1": "branches.squeezenet",
    "mobilenet_v1": "branches.mobilenet",
    "mobilenet_v2": "branches.mobilenet",
    "resnet": "branches.resnet",
    "find_branch": "branches.source",
    "find_builder": "branches.table",
    "Fusion": "fusion",
    "BranchSpec": "fusion.wiring",
    "Join": "fusion.joins",
    "Head": "fusion.heads",
    "build": "fusion",
    "join": "fusion.joins",
    "DataSource": "emit.source",
    "emit_files": "emit.files",
    "problems": "graph.check",
    # weights
    "fuse_weights": "fuse.fuse",
    "CopyOptions": "fuse.options",
    "HeadStart": "fuse.options",
    "check_sources": "fuse.provenance",
    "convert_weights": "fuse.convert",
    "extract_branch": "fuse.extract",
    "weight_report": "fuse.contents",
    "copy_branch": "fuse.live",
    # proof, evaluation and training
    "verify_branches": "verify.branches",
    "compare_engines": "verify.engines",
    "score_nets": "evaluation.score",
    "Scorer": "evaluation.scorer",
    "Preparation": "evaluation.scorer",
    "make_features": "features.make",
    "Execution": "features.make",
    "Features": "train.head",
    "train_solver": "train.run",
    "diagnose": "doctor.report",
    # pictures and figures
    "summarize": "costs.summary",
    "differences": "graph.differences",
    "draw_net": "show.drawing",
    "gather_report": "show.findings",
    "write_report": "show.report",
    "run_demo": "demo",
}

__all__ = ["__version__", *_CONTENTS]


def __getattr__(name: str) -> Any:
    if name not in _CONTENTS:
        raise AttributeError(f"module 'netbuild' has no attribute {name!r}")
    return getattr(import_module(f".{_CONTENTS[name]}", __name__), name)


def __dir__() -> List[str]:
    return sorted(__all__)
