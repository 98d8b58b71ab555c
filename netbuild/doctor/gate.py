"""Before a training: whether its nets have layers that this Caffe computes wrong."""

from __future__ import annotations

from typing import Dict, Iterator, Mapping, Optional, Sequence

from .. import proto
from ..errors import CaffeError
from ..graph.view import NetView
from ..spelling import option
from .child import outcomes
from .selftest import FAILED, SelfTest
from .table import SELF_TESTS


def concerned(nets: Mapping[str, Sequence[NetView]]) -> Dict[str, str]:
    """Return, for the nets of each prototxt, which self-tests concern them: name to the first layer."""
    found: Dict[str, str] = {}
    for path, views in nets.items():
        for name, test in SELF_TESTS.items():
            layers = _layers(test, views)
            if layers:
                first, kind = next(iter(layers.items()))
                more = f" and {len(layers) - 1} more" if len(layers) > 1 else ""
                found.setdefault(name, f"{path}: layer {first!r} ({kind}){more}")
    return found


def _layers(test: SelfTest, views: Sequence[NetView]) -> Dict[str, str]:
    """Return the layers that a self-test concerns, each with its type and the first phase in which it does."""
    found: Dict[str, str] = {}
    for view in views:
        for index, layer in view.layers:
            if test.concerns(layer, view.training[index]):
                found.setdefault(layer.name, f"{layer.type}, {proto.phase_name(view.phase)}")
    return found


def doubts(concerned: Mapping[str, str], gpu: Optional[int], force: bool) -> Iterator[str]:
    """Run the self-tests of these names, in a child process that has Caffe loaded, or will load it.

    Raises CaffeError for the first that fails, naming the layer; with `force` yields such sentences instead.
    """
    for outcome in outcomes([SELF_TESTS[name] for name in concerned], gpu):
        if outcome.status != FAILED:
            continue
        sentence = (
            f"{concerned[outcome.name]}: this Caffe computes it wrong: it fails the self-test {outcome.name!r} "
            f"({outcome.detail}); {SELF_TESTS[outcome.name].remedy()}"
        )
        if not force:
            raise CaffeError(f"{sentence}; {option('force', True)} trains all the same")
        yield sentence
