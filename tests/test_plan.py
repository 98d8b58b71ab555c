import re

import pytest

from netbuild.errors import WeightsError
from netbuild.fuse.declared import Declared
from netbuild.fuse.fit import equal_count_shape, fits
from netbuild.fuse.plan import make_plan
from netbuild.weights.model import Blob, Layer, Model


def blob(*shape, legacy=False):
    return Blob(shape, legacy, 4, ((0, 4),))


def model(path, **layers):
    return [Model(path, tuple(Layer(name, blobs) for name, blobs in layers.items()))]


TARGET = [
    Declared("data", []),
    Declared("odd/conv", [(2, 1, 3, 3), (2,)]),
    Declared("odd/relu", []),
    Declared("head", [(4, None)]),
]


def test_what_goes_where_what_is_left_and_what_is_not_wanted():
    plan = make_plan(TARGET, {"odd": model("o", conv=(blob(2, 1, 3, 3), blob(2)), ip2=(blob(5, 2),))})
    assert [(copy.target, copy.path, copy.source) for copy in plan.copies] == [("odd/conv", "o", "conv")]
    assert plan.unused == {"odd": ("ip2",)}
    assert plan.left_to_fillers == ("head",)


@pytest.mark.parametrize(
    ("source", "row"),
    [
        ({}, r"missing +odd/conv +2 x 1 x 3 x 3, 2 +o: conv +no such layer"),
        ({"conv": (blob(2, 1, 3, 3),)}, r"mismatch +odd/conv +2 x 1 x 3 x 3, 2 +o: conv +2 x 1 x 3 x 3$"),
        ({"conv": (blob(2, 3, 3, 3), blob(2))}, r"mismatch .* 2 x 3 x 3 x 3, 2$"),
        ({"conv": (blob(2, 1, 3, 3), blob(2)), "relu": (blob(1),)}, r"mismatch +odd/relu +no blobs +o: relu +1$"),
    ],
)
def test_misfits_are_a_table(source, row):
    with pytest.raises(WeightsError) as refused:
        make_plan(TARGET, {"odd": model("o", **source)})
    assert re.search(row, str(refused.value), re.MULTILINE), str(refused.value)
    assert "nothing was written" in str(refused.value)


def test_all_misfits_are_told_at_once():
    target = [Declared("odd/a", [(1,)]), Declared("odd/b", [(2,)])]
    with pytest.raises(WeightsError, match="2 problems"):
        make_plan(target, {"odd": model("o", a=(blob(3),))})


def test_ambiguities_are_refused():
    twice = [Model("o", (Layer("conv", (blob(1),)), Layer("conv", (blob(1),))))]
    with pytest.raises(WeightsError, match="ambiguous.*one layer.*2 of this name"):
        make_plan([Declared("odd/conv", [(1,)])], {"odd": twice})
    once = model("o", conv=(blob(1),))
    with pytest.raises(WeightsError, match="ambiguous.*the target.*several"):
        make_plan([Declared("odd/conv", [(1,)])] * 2, {"odd": once})


def test_of_nested_prefixes_the_longest_owns_a_layer():
    outer = model("x", **{"odd/conv": (blob(1),), "fc": (blob(1),)})
    target = [Declared("a/odd/conv", [(1,)]), Declared("a/fc", [(1,)])]
    plan = make_plan(target, {"a": outer, "a/odd": model("o", conv=(blob(1),))})
    assert [(copy.target, copy.path) for copy in plan.copies] == [("a/odd/conv", "o"), ("a/fc", "x")]
    assert plan.unused == {"a": ("odd/conv",), "a/odd": ()}


def test_layers_of_unknown_type_are_copied_or_told():
    known = model("x", custom=(blob(7),))
    plan = make_plan([Declared("a/custom", None), Declared("a/mystery", None)], {"a": known})
    assert [copy.target for copy in plan.copies] == ["a/custom"]
    assert plan.left_to_fillers == ("a/mystery",)


def test_a_prefix_without_layers_is_told_with_those_there_are():
    with pytest.raises(WeightsError, match=r"no layer +evn/\*.*odd/"):
        make_plan(TARGET, {"evn": model("o", conv=())})


def test_unknown_lengths_are_taken_from_the_file():
    plan = make_plan([Declared("a/fc", [(5, None), None])], {"a": model("x", fc=(blob(5, 8), blob(5)))})
    assert plan.copies[0].shapes == ((5, 8), (5,))
    plan = make_plan([Declared("a/custom", None)], {"a": model("x", custom=(blob(7),))})
    assert plan.copies[0].shapes == ((7,),)


@pytest.mark.parametrize(
    ("stored", "declared", "fit"),
    [
        ((1, 1, 2, 3), (2, 3), True),
        ((1, 1, 1, 2), (2,), True),
        ((2, 1, 1, 1), (2,), False),
        ((2, 3, 4, 5), (2, 3, 4, 5), True),
        ((1, 1, 1, 2), (1, 1, 1, 1, 2), False),
    ],
)
def test_old_shapes_fit_as_in_caffe(stored, declared, fit):
    assert fits(blob(*stored, legacy=True), declared) is fit
    assert fits(blob(*stored), declared) is (stored == declared)


def test_old_shapes_become_the_targets():
    plan = make_plan([Declared("a/fc", [(5, None)])], {"a": model("x", fc=(blob(1, 1, 5, 8, legacy=True),))})
    assert plan.copies[0].shapes == ((5, 8),)


def test_what_is_reshaped_keeps_its_outputs():
    assert equal_count_shape(blob(2, 3, 3, 3), (2, 27)) == (2, 27)
    assert equal_count_shape(blob(2, 3, 3, 3), (2, None)) == (2, 27)
    assert equal_count_shape(blob(2, 3, 3, 3), (27, 2)) is None
    assert equal_count_shape(blob(2, 27), (2, 3, 3, 3)) == (2, 3, 3, 3)
    assert equal_count_shape(blob(1, 1, 2, 27, legacy=True), (2, 3, 3, 3)) == (2, 3, 3, 3)
    assert equal_count_shape(blob(2, 3, 3, 3), (2, 28)) is None
