"""netbuild: write Caffe networks as programs, fuse trained branches, prove them equal, train the new head.

The names below load what they need when they are first used: `import netbuild` loads neither Caffe nor numpy. Their
types stand in `__init__.pyi`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Dict, List

from .branches.table import BUILDERS

__version__ = "0.1.0"

_CONTENTS: Dict[str, str] = {
    # errors
    "NetbuildError": "errors",
    "CaffeError": "errors",
    "GraphError": "errors",
    "WeightsError": "errors",
    "DivergedError": "train.run",
    "StoppedError": "train.run",
    "NetbuildWarning": "errors",
    # nets
    "Staged": "proto",
    "read_net": "proto",
    "read_solver": "proto",
    "problems": "graph.check",
    "summarize": "costs.summary",
    "differences": "graph.differences",
    "draw_net": "show.drawing",
    # branches; the builders follow below
    "Branch": "branches.branch",
    "Input": "branches.branch",
    "MNIST": "branches.lenet",
    "qualify": "names",
    "prototxt": "branches.prototxt",
    "vgg": "branches.vgg",
    "resnet": "branches.resnet",
    "netspec": "schema",
    "find_branch": "branches.source",
    "find_builder": "branches.table",
    # fusion
    "Fusion": "fusion",
    "BranchSpec": "fusion.wiring",
    "Join": "fusion.joins",
    "Head": "fusion.heads",
    "build": "fusion",
    "join": "fusion.joins",
    "DataSource": "emit.source",
    "emit_files": "emit.files",
    # weights
    "fuse_weights": "fuse.fuse",
    "CopyOptions": "fuse.options",
    "HeadStart": "fuse.options",
    "check_sources": "fuse.provenance",
    "convert_weights": "fuse.convert",
    "extract_branch": "fuse.extract",
    "weight_report": "fuse.contents",
    "copy_branch": "fuse.live",
    # proof and evaluation
    "verify_branches": "verify.branches",
    "Original": "verify.branches",
    "compare_engines": "verify.engines",
    "score_nets": "evaluation.score",
    "Scorer": "evaluation.scorer",
    "Preparation": "evaluation.scorer",
    # training
    "train_solver": "train.run",
    "Features": "train.head",
    "make_features": "features.make",
    "Execution": "features.make",
    "diagnose": "doctor.report",
    "using_caffe": "engine.interpreter",
    # a fusion on one page, and an example
    "gather_report": "show.findings",
    "write_report": "show.report",
    "run_demo": "demo",
    **{name: f"branches.{module}" for name, module in BUILDERS.items()},
}
_MODULES = ("blocks",)
"""Modules that are public as a whole."""

__all__ = ["__version__", *_MODULES, *_CONTENTS]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _CONTENTS:
        raise AttributeError(f"module 'netbuild' has no attribute {name!r}")
    return getattr(import_module(f".{_CONTENTS[name]}", __name__), name)


def __dir__() -> List[str]:
    return sorted(__all__)
