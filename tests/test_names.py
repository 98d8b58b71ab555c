import pytest
from hypothesis import given
from hypothesis import strategies as st

from netbuild import names


@pytest.mark.parametrize(
    ("prefix", "name"),
    [("odd", "odd/conv1"), ("odd2", "odd2/conv1"), ("odd_", "odd_conv1"), ("odd.", "odd.conv1"), ("", "conv1")],
)
def test_the_law(prefix, name):
    assert names.qualify(prefix, "conv1") == name
    assert names.local(prefix, name) == "conv1"


@pytest.mark.parametrize("name", ["even/conv1", "oddity/conv1", "odd", "odd/", "conv1"])
def test_names_of_others_are_not_local(name):
    assert names.local("odd", name) is None


@given(st.text(max_size=8), st.text(min_size=1, max_size=8))
def test_qualify_is_undone_by_local(prefix, name):
    assert names.local(prefix, names.qualify(prefix, name)) == name


def test_prefixes_nest():
    assert names.local("a", names.qualify("a", names.qualify("odd", "conv1"))) == "odd/conv1"


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("odd_conv1", "odd_"),
        ("odd_b_conv1", "odd_b_"),
        ("a/odd/conv1", "a/odd"),
        ("a/even/conv1", "a"),
        ("abc/conv1", None),
        ("a/", None),
    ],
)
def test_of_nested_prefixes_the_longest_owns(name, owner):
    for prefixes in (["odd_", "odd_b_", "a", "a/odd"], ["a/odd", "a", "odd_b_", "odd_"]):
        assert names.owner(prefixes, name) == owner


def test_no_name_at_all_is_of_the_empty_prefix():
    assert names.owner(["odd", ""], "") == ""
    assert names.owner(["odd", "odd_"], "") is None


def test_prefixes_overlap_where_one_begins_another():
    assert names.overlapping(["odd", "even", "odd_", "oddity"]) == []
    assert names.overlapping(["odd_b_", "odd_", "a", "a/odd"]) == [("odd_", "odd_b_"), ("a", "a/odd")]


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (["conv1", "ip1", "ip2"], "'conv1' is 'odd/conv1' here, 'conv1' is 'even_conv1' here"),
        (["odd/conv1", "odd/ip1", "ip2"], ""),
        (["stranger", "conv1", "another"], ""),
        ([], ""),
        # No prefix ends in a letter.
        (["v1"], ""),
    ],
)
def test_weights_of_one_branch_alone_are_told(held, told):
    net = ["odd/conv1", "odd/ip1", "even_conv1", "even_ip1", "ip2"]
    sentence = names.branch_alone(held, net)
    assert (told in sentence and "netbuild fuse" in sentence) if told else not sentence
