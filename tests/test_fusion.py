import dataclasses

import pytest

from netbuild import Branch, Fusion, Head, Join, blocks, build, lenet, netspec
from netbuild.branches.branch import Input
from netbuild.branches.resnet import resnet50
from netbuild.errors import GraphError
from netbuild.names import qualify
from netbuild.spelling import flags


def names(message):
    return [layer.name for layer in message.layer]


def test_join_and_head_are_named_after_the_branches():
    message = build(Fusion({"odd": lenet, "even": lenet}, 10)).message
    layers = {layer.name: layer for layer in message.layer}
    assert names(message)[-4:] == ["concat", "ip2", "accuracy", "loss"]
    assert list(layers["concat"].bottom) == ["odd/ip1", "even/ip1"]
    assert list(layers["concat"].top) == ["ip1_fused"]
    assert [spec.lr_mult for spec in layers["ip2"].param] == [1, 2]
    assert message.name == "LeNet"


def test_names_can_be_chosen():
    message = build(Fusion({"odd_": lenet, "even_": lenet}, heads=[Head(10, "score")], join=Join(blob="both"))).message
    assert names(message)[0] == "odd_conv1"
    assert names(message)[-4:] == ["concat", "score", "accuracy", "loss"]
    assert list(message.layer[-4].top) == ["both"]


def test_different_branches_join_under_a_common_name():
    def other(net, bottom, prefix="", *, frozen=False):
        return dataclasses.replace(lenet(net, bottom, prefix, frozen=frozen), seam="ip1", net_name="Other")

    assert build(Fusion({"a": lenet, "b": other}, 4)).message.name == "Fusion"


def test_one_branch_needs_no_join():
    assert "concat" not in names(build(Fusion({"odd": lenet}, 3)).message)


@pytest.mark.parametrize("pair", [("odd", "odd/")])
def test_two_branches_of_one_prefix_are_refused(pair):
    with pytest.raises(GraphError, match="two branches have the prefix 'odd' and 'odd/'"):
        build(Fusion(dict.fromkeys(pair, lenet), 10))


@pytest.mark.parametrize("prefixes", [("odd_", "odd_b_"), ("odd_b_", "odd_"), ("a", "a/odd")])
def test_prefixes_of_which_one_begins_another_are_refused(prefixes):
    with pytest.raises(GraphError, match="'(odd_|a)' and '(odd_b_|a/odd)' overlap: what begins with"):
        build(Fusion(dict.fromkeys(prefixes, lenet), 10))


def test_no_branch_and_no_class_are_refused():
    with pytest.raises(GraphError, match="no branch given"):
        build(Fusion({}, 10))
    with pytest.raises(GraphError, match="0 classes"):
        build(Fusion({"a": lenet}, 0))


def unassigned(net, bottom, prefix="", *, frozen=False):
    hidden = netspec().layers.InnerProduct(bottom, num_output=3)
    return Branch(prefix, "fc", blocks.fc(net, qualify(prefix, "fc"), hidden, 3, frozen=frozen), 3)


def assigned_twice(net, bottom, prefix="", *, frozen=False):
    first = blocks.fc(net, qualify(prefix, "fc"), bottom, 3, frozen=frozen)
    return Branch(prefix, "fc", blocks.fc(net, qualify(prefix, "fc"), first, 3, frozen=frozen), 3)


def in_place_on_input(net, bottom, prefix="", *, frozen=False):
    top = blocks.relu(net, qualify(prefix, "relu0"), bottom)
    return Branch(prefix, "fc", blocks.fc(net, qualify(prefix, "fc"), top, 3, frozen=frozen), 3)


def forgets_to_freeze(net, bottom, prefix="", *, frozen=False):
    return Branch(prefix, "fc", blocks.fc(net, qualify(prefix, "fc"), bottom, 3), 3)


def drops_out(net, bottom, prefix="", *, frozen=False):
    top = blocks.fc(net, qualify(prefix, "fc"), bottom, 3, frozen=frozen)
    net[qualify(prefix, "drop")] = netspec().layers.Dropout(top)
    return Branch(prefix, "drop", net[qualify(prefix, "drop")], 3)


def in_place_unassigned(net, bottom, prefix="", *, frozen=False):
    top = blocks.fc(net, qualify(prefix, "ip"), bottom, 3, frozen=frozen)
    return Branch(prefix, "ip", netspec().layers.ReLU(top, in_place=True), 3)


def misspelt(net, bottom, prefix="", *, frozen=False):
    net[qualify(prefix, "fc")] = netspec().layers.InnerProduct(
        bottom, num_outputs=3, **blocks.param_specs(2, frozen=frozen)
    )
    return Branch(prefix, "fc", net[qualify(prefix, "fc")], 3)


def too_old(net, bottom):
    return None


def no_branch(net, bottom, prefix="", *, frozen=False):
    return blocks.fc(net, qualify(prefix, "fc"), bottom, 3, frozen=frozen)


@pytest.mark.parametrize(
    ("builder", "reason"),
    [
        (unassigned, "layer 'InnerProduct1' of branch 'a' has an automatic name"),
        (assigned_twice, "layer 'InnerProduct1' of branch 'a' has an automatic name"),
        (in_place_on_input, "layer 'a/relu0' of branch 'a' works in place on the shared input 'data'"),
        (forgets_to_freeze, "layer 'a/fc' .InnerProduct. learning: give each of its 2 blobs a param with lr_mult 0"),
        (drops_out, "layer 'a/drop' .Dropout. at random"),
        (too_old, "branch 'a': its builder failed: TypeError"),
        (misspelt, "num_outputs"),
        (no_branch, "its builder returned Top, not a netbuild.Branch"),
    ],
)
def test_faults_of_builders_are_found_before_caffe_sees_the_net(builder, reason):
    with pytest.raises(GraphError, match=reason):
        build(Fusion({"a": builder, "b": lenet}, 10))


@pytest.mark.parametrize("builder", [unassigned, assigned_twice, in_place_unassigned])
def test_automatic_names_of_a_builder_are_refused_in_a_net_alone(builder):
    with pytest.raises(GraphError, match="automatic name"):
        build(Fusion({"": builder}, 10, frozen=False))


@pytest.mark.parametrize(("head", "blob"), [("loss", None), ("ip1_fused", None), (None, "ip2"), ("data", None)])
def test_names_that_would_push_others_out_are_refused(head, blob):
    with pytest.raises(GraphError, match="automatic name|not assigned|unknown bottom|called so already"):
        build(Fusion({"a": lenet, "b": lenet}, heads=[Head(10, head)], join=Join(blob=blob)))


@pytest.mark.parametrize(("as_flags", "options"), [(False, "head or blob"), (True, "--head or --blob")])
def test_the_options_that_named_it_are_said_as_their_reader_gives_them(as_flags, options):
    with flags(as_flags), pytest.raises(
        GraphError, match=f"was given to another .by {options}, say.; choose different"
    ):
        build(Fusion({"a": lenet, "b": lenet}, heads=[Head(10, "loss")]))


def test_the_empty_prefix_is_for_a_net_alone():
    with pytest.raises(GraphError, match="the empty prefix is for a net alone"):
        build(Fusion({"": lenet, "b": lenet}, 10))


def test_branches_of_different_sizes_cannot_share_an_input():
    with pytest.raises(
        GraphError, match="'data' in different sizes .a: .1, 28, 28., b: .3, 224, 224..: give one an inp"
    ):
        build(Fusion({"a": lenet, "b": resnet50}, 10))
    inputs = build(Fusion({"a": lenet, "b": lenet}, 10)).inputs
    assert inputs == {"data": Input((1, 28, 28), (128,), 1 / 256, layer="mnist")}
