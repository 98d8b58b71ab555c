"""Before a training: whether its nets have layers that this Caffe computes wrong."""

from __future__ import annotations

from typing import Dict, Iterator, Mapping, Optional, Sequence

from .. import proto
from ..errors import CaffeError
from .child import outcomes
from .selftest import FAILED
from .table import SELF_TESTS


def concerned(nets: Mapping[str, Sequence[int]]) -> Dict[str, str]:
    """Return, for prototxts and the phases each is used in, which self-tests concern them: name to the first layer."""
    found: Dict[str, str] = {}
    for path, phases in nets.items():
        net = proto.read_net(path)
        for name, test in SELF_TESTS.items():
            layers: Dict[str, str] = {}
            for phase in phases:
                for _, layer in proto.of_phase(net, phase):
                    if test.concerns(layer, phase):
                        layers.setdefault(layer.name, f"{layer.type}, {proto.phase_name(phase)}")
            if layers:
                first, kind = next(iter(layers.items()))
                more = f" and {len(layers) - 1} more" if len(layers) > 1 else ""
                found.setdefault(name, f"{path}: layer {first!r} ({kind}){more}")
    return found


def doubts(concerned: Mapping[str, str], gpu: Optional[int], force: bool) -> Iterator[str]:
    """Run the self-tests of these names, in a child process that has Caffe loaded, or will load it.

    Raises CaffeError for the first that fails, naming the layer; with `force` yields such sentences instead.
    """
    for outcome in outcomes([SELF_TESTS[name] for name in concerned], gpu):
        if outcome.status == FAILED:
            sentence = (
                f"{concerned[outcome.name]}: this Caffe computes it wrong: it fails the self-test "
                f"{outcome.name!r} ({outcome.told}); "
                f"{SELF_TESTS[outcome.name].remedy}"
            )
            if not force:
                raise CaffeError(f"{sentence}; --force trains all the same")
            yield sentence
