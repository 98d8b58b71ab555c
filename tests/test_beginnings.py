"""Where an original's branch begins in a fused net, and what only looks like that."""

import pytest
from nets import conv, data, fc, layer, net, relu

from netbuild.graph.view import NetView
from netbuild.verify.beginnings import FusedBranch, beginnings

OWN = (
    data() + layer("scaled", "Power", "data", more="power_param { scale: 2 }") + conv("c1", "scaled", 6) + relu("r1", "c1")
    + conv("c2", "c1") + layer("drop", "Dropout", "c2", "c2") + fc("f", "c2")
)  # fmt: skip


def found(fused, original=OWN, seam="f", prefix="b"):
    """Return where the branch begins in a fused net, whose other branch is called `a`."""
    views = [NetView.of_all_layers(net(text)) for text in (fused, original)]
    return beginnings(FusedBranch(views[0], prefix, ["a", prefix]), views[1], seam)


def branch(*layers):
    """Return layers of branch `b`, each (function, name, bottom)."""
    return "".join(make(f"b/{name}", bottom) for make, name, bottom in layers)


SCALED = layer("b/scaled", "Power", "data", more="power_param { scale: 2 }")
REST = branch((conv, "c2", "b/c1"), (fc, "f", "b/c2"))
WHOLE = data() + SCALED + conv("b/c1", "b/scaled", 6) + relu("b/r1", "b/c1") + REST


@pytest.mark.parametrize(
    ("fused", "begins"),
    [
        (data() + conv("a/c1", "data", 6) + branch((conv, "c2", "a/c1"), (fc, "f", "b/c2")), ["c1"]),
        (data() + conv("a/c2", "data") + branch((fc, "f", "a/c2")), ["c2"]),
        # What feeds it need be no branch, nor a layer.
        (data() + conv("new", "data", 6) + branch((conv, "c2", "new"), (fc, "f", "b/c2")), ["c1"]),
        (data("code", (2, 6, 6, 6)) + branch((conv, "c2", "code"), (fc, "f", "b/c2")), ["c1"]),
        # All of it, and what is left out without effect.
        (WHOLE, []),
    ],
)
def test_a_branch_begins_where_it_reads_what_it_does_not_make(fused, begins):
    assert found(fused) == begins


@pytest.mark.parametrize(
    "fused",
    [
        # Wired wrongly: what it should read is there.
        data() + conv("a/c1", "data", 6) + WHOLE.replace(data(), "").replace(REST, REST.replace("b/c1", "a/c1")),
        # The original scales its images itself, and the fused net lost that.
        data() + conv("b/c1", "data", 6) + relu("b/r1", "b/c1") + REST,
        # A lost activation.
        data() + SCALED + conv("b/c1", "b/scaled", 6) + REST,
    ],
)
def test_a_fault_in_the_wiring_is_no_beginning(fused):
    assert found(fused) == []


def test_a_net_alone_begins_at_an_input_of_another_shape():
    fused = data("code", (2, 6, 6, 6)) + conv("c2", "code") + fc("f", "c2")
    views = [NetView.of_all_layers(net(text)) for text in (fused, OWN)]
    assert beginnings(FusedBranch(views[0], "", [""]), views[1], "f") == ["c1"]
