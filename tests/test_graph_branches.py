"""Branches known by their names: against nets written by hand."""

import tracemalloc

import pytest
from nets import conv, data, fc, layer, net, relu

from netbuild.branches.lenet import lenet
from netbuild.branches.table import BUILDERS, find_builder
from netbuild.errors import GraphError
from netbuild.fusion import Fusion, build
from netbuild.fusion.joins import Join
from netbuild.graph.branches import prefixes, require_prefixes


def two(join="concat"):
    own = [data(), conv("odd/conv1", "data"), relu("odd/relu1", "odd/conv1"), conv("even/conv1", "data")]
    return net("".join(own) + layer(join, "Concat", "odd/conv1 even/conv1") + fc("fc10", join))


def test_the_joined_prefixes_are_the_branches():
    assert prefixes(two()) == ["odd", "even"]


def test_a_module_is_no_branch():
    assert prefixes(two("odd/concat")) == []


def test_a_module_that_adds_the_one_before_joins_nothing():
    text = "".join([data(), conv("m1/conv", "data"), conv("m2/conv", "m1/conv")])
    assert prefixes(net(text + layer("sum", "Eltwise", "m1/conv m2/conv"))) == []
    for name in BUILDERS:
        assert prefixes(build(Fusion({"": find_builder(name)}, 10, frozen=False)).message) == [], name


def test_only_the_outermost_branches_of_a_fusion_of_fusions():
    inner = "".join([data(), conv("a/odd/conv1", "data"), conv("a/even/conv1", "data"), conv("b/conv1", "data")])
    joined = layer("a/concat", "Concat", "a/odd/conv1 a/even/conv1") + layer("sum", "Eltwise", "a/concat b/conv1")
    assert prefixes(net(inner + joined)) == ["a", "b"]


def test_a_built_fusion():
    assert prefixes(build(Fusion({"odd": lenet, "even": lenet}, 10)).message) == ["odd", "even"]


def test_what_stands_between_a_branch_and_the_join_hides_neither():
    for bridge in ("flatten", "fc=4"):
        built = build(Fusion({"odd": lenet, "even": lenet}, 10, join=Join("concat", bridge=bridge)))
        assert prefixes(built.message) == ["odd", "even"]
    own = [data(), conv("odd/conv1", "data"), conv("even/conv1", "data"), fc("x", "odd/conv1")]
    assert prefixes(net("".join(own) + layer("sum", "Eltwise", "x even/conv1"))) == ["odd", "even"]
    # What one group is made of is no branch beside it, however it comes there.
    behind = conv("m/conv", "x") + layer("sum", "Eltwise", "x m/conv")
    assert prefixes(net("".join(own) + behind)) == []
    # Nor are modules whose activations are of no group.
    modules = [data(), conv("m/conv", "data"), relu("r", "m/conv"), conv("n/conv", "data"), relu("s", "n/conv")]
    assert prefixes(net("".join(modules) + layer("sum", "Eltwise", "m/conv n/conv"))) == []


def test_a_join_of_one_phase_counts():
    own = [data(), conv("odd/conv1", "data"), conv("even/conv1", "data")]
    join = layer("concat", "Concat", "odd/conv1 even/conv1", more="include { phase: TEST }")
    assert prefixes(net("".join(own) + join)) == ["odd", "even"]


def test_what_is_given_goes_before_what_is_found():
    assert require_prefixes(two(), ["odd"]) == ["odd"]
    assert require_prefixes(two(), []) == ["odd", "even"]
    with pytest.raises(GraphError, match=r"'ood': no layer's name begins with 'ood/'.* odd, even$"):
        require_prefixes(two(), ["ood"])


def test_joins_of_thousands_of_groups_take_no_more_than_a_number_for_each_layer():
    """Each layer `s<n>` joins two groups that nothing else has: sets of all groups behind it would be millions."""
    count = 3000
    text, last = data(), "data"
    for number in range(count):
        text += layer(f"a{number}/x", "Power", last) + layer(f"b{number}/x", "Power", last)
        last = f"s{number}"
        text += layer(last, "Eltwise", f"a{number}/x b{number}/x")
    message = net(text)
    tracemalloc.start()
    try:
        found = prefixes(message)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == [f"{side}{number}" for number in range(count) for side in "ab"]
    assert peak < 40 * 2**20
