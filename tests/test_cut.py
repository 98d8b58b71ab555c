import pytest
from hypothesis import given
from hypothesis import strategies as st
from nets import conv, data, fc, layer, net, relu, small

from netbuild.errors import GraphError
from netbuild.graph.cut import classifiers, cut, cut_points, outlets
from netbuild.graph.dominators import Dominators


def names(message):
    return [one.name for one in message.layer]


def test_a_cut_keeps_what_the_seam_depends_on_and_its_in_place_layers():
    cut_net = cut(net(small()), ["fc1"])
    assert names(cut_net) == ["data", "conv1", "bn1", "scale1", "relu1", "pool1", "fc1", "relu2", "drop"]
    assert cut_net.name == "Small"
    assert names(cut(net(small()), ["conv1"])) == ["data", "conv1", "bn1", "scale1", "relu1"]


def test_a_cut_keeps_what_the_net_says_of_itself():
    said = net('name: "n" force_backward: true default_forward_type: FLOAT16 mem_param { exclude_blob: "c" }')
    said.netbuild_carried.append("knob: 3")
    found = cut(
        type(said).FromString(said.SerializeToString() + net(data() + conv("c", "data")).SerializeToString()), ["c"]
    )
    found.ClearField("layer")
    assert found == said


def test_a_cut_goes_by_layer_not_by_name():
    """`x` is made, read, and worked on in place after that: the reader needs only the first two."""
    text = data() + conv("x", "data") + conv("y", "x") + relu("late", "y") + conv("z", "y") + conv("aside", "data")
    assert names(cut(net(text), ["y"])) == ["data", "x", "y", "late"]
    assert names(cut(net(text), ["z", "aside"])) == ["data", "x", "y", "late", "z", "aside"]


def test_a_cut_begins_at_blobs_that_come_from_elsewhere():
    """Each stands for its value after the last layer that works in place on it."""
    assert names(cut(net(small()), ["fc1"], ["conv1"])) == ["pool1", "fc1", "relu2", "drop"]
    block = (
        data() + conv("a", "data") + relu("r", "a") + conv("b", "a") + layer("sum", "Eltwise", "a b") + conv("c", "sum")
    )
    assert names(cut(net(block), ["c"], ["b"])) == ["data", "a", "r", "sum", "c"]
    assert names(cut(net(block), ["c"], ["a", "b"])) == ["sum", "c"]
    assert names(cut(net(block), ["c"], ["a"])) == ["b", "sum", "c"]
    halves = data() + layer("cut", "Slice", "data", "x y") + layer("e", "Eltwise", "x y") + conv("d", "y")
    assert names(cut(net(halves), ["e"], ["x", "y"])) == ["e"]
    assert names(cut(net(halves), ["d"], ["y"])) == ["d"]


def test_what_a_cut_cannot_begin_at_is_told():
    halves = net(data() + layer("cut", "Slice", "data", "x y") + layer("e", "Eltwise", "x y") + conv("d", "y"))
    with pytest.raises(GraphError, match="layer 'cut' makes 'x', .* and 'y', which 'e' depends on too: let 'y' come"):
        cut(halves, ["e"], ["x"])
    with pytest.raises(GraphError, match="layer 'cut' makes 'x', .* and 'y', which 'y' depends on too"):
        cut(halves, ["y"], ["x"])
    with pytest.raises(GraphError, match="'d' is to come from elsewhere, but 'e' does not depend on it$"):
        cut(halves, ["e"], ["d"])
    with pytest.raises(GraphError, match="'data' is to come .* 'd' does not depend on it other than through 'y'"):
        cut(halves, ["d"], ["data", "y"])
    with pytest.raises(GraphError, match="'d' is to come from elsewhere, and the net to end there"):
        cut(halves, ["d"], ["d"])
    with pytest.raises(GraphError, match="no blob 'z' in the net"):
        cut(halves, ["d"], ["z"])


def test_all_missing_seams_are_named_with_near_ones():
    with pytest.raises(GraphError, match="no blob 'conv2' and no 'nothing' in the net; did you mean 'conv1'"):
        cut(net(small()), ["conv2", "nothing"])
    with pytest.raises(GraphError, match="no blob 'zzz' in the net; its last blob is 'prob'"):
        cut(net(small()), ["zzz"])


LOSS = layer("label", "Input") + layer("loss", "SoftmaxWithLoss", "fc3 label")
HEADS = {
    "softmax": (small(), [("fc3", "fc1", "fc3")]),
    "loss and accuracy": (
        data() + fc("fc1", "data") + fc("fc3", "fc1") + LOSS + layer("acc", "Accuracy", "fc3 label"),
        [("fc3", "fc1", "fc3")],
    ),
    "no loss": (data() + fc("ip1", "data") + fc("ip2", "ip1"), [("ip2", "ip1", "ip2")]),
    "a convolution that classifies": (
        data() + conv("c1", "data") + conv("c10", "c1") + relu("r", "c10") + layer("pool", "Pooling", "c10")
        + layer("prob", "Softmax", "pool"),
        [("c10", "c1", "pool")],
    ),
    "two that are held against each other": (
        data() + conv("c1", "data") + fc("f", "c1") + fc("g", "c1") + data("pair", (2,)) + layer("l", "ContrastiveLoss", "f g pair"),
        [],
    ),
    "auxiliary": (
        data() + conv("c1", "data") + fc("aux", "c1") + conv("c2", "c1") + fc("fc3", "c2") + LOSS
        + layer("auxloss", "SoftmaxWithLoss", "aux label"),
        [("fc3", "c2", "fc3"), ("aux", "c1", "aux")],
    ),
    "a sigmoid inside and one at the end": (
        data() + fc("h", "data") + layer("s", "Sigmoid", "h", "h") + conv("c", "h") + layer("p", "Sigmoid", "c"),
        [("c", "h", "c")],
    ),
    "features only": (data() + conv("c1", "data") + layer("pool", "Pooling", "c1"), []),
    "a head after a join": (
        data() + fc("a", "data") + fc("b", "data") + layer("j", "Concat", "a b") + fc("fc3", "j") + LOSS,
        [("fc3", "j", "fc3")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HEADS)
def test_classifiers_are_found(kind):
    text, expected = HEADS[kind]
    assert [tuple(found) for found in classifiers(net(text))] == expected


def test_cut_points_are_the_blobs_that_all_goes_through():
    block = data() + conv("stem", "data") + conv("a", "stem") + conv("b", "a") + layer("sum", "Eltwise", "stem b")
    assert cut_points(net(block + fc("fc3", "sum") + layer("prob", "Softmax", "fc3"))) == ["stem", "sum", "fc3"]
    assert cut_points(net(small())) == ["conv1", "pool1", "fc1", "fc3"]
    sliced = data() + conv("c", "data") + layer("s", "Slice", "c", "x y") + layer("j", "Concat", "x y") + fc("f", "j")
    assert cut_points(net(sliced)) == ["c", "j", "f"]
    two = data() + data("more") + conv("a", "data") + conv("b", "more") + layer("sum", "Eltwise", "a b")
    assert cut_points(net(two)) == ["sum"]


TARGET = data("target", (2, 1))
LOSSES = {
    "a loss that judges what no layer here makes as scores": (
        data() + conv("c", "data") + layer("up", "Deconvolution", "c", more="convolution_param { num_output: 4 kernel_size: 3 }")
        + layer("score", "Crop", "up data", more="crop_param { axis: 2 offset: 1 }") + data("label", (2, 1, 6, 6))
        + layer("loss", "SoftmaxWithLoss", "score label"),
        # Crop takes the size of `data`, and none of its values.
        ["c", "up", "score"],
    ),
    "two towers": (
        data() + data("other") + conv("a", "data") + relu("r", "a") + conv("b", "other") + relu("s", "b") + TARGET
        + layer("loss", "ContrastiveLoss", "a b target"),
        ["a", "b"],
    ),
    "three of one tower": (
        data() + conv("a", "data") + layer("cut", "Slice", "a", "x y z", "slice_param { axis: 1 slice_point: [1, 2] }")
        + layer("loss", "TripletLoss", "x y z"),
        ["a"],
    ),
    "a sum of losses, and what nobody reads": (
        data() + conv("a", "data") + layer("e", "Eltwise", "a a") + layer("l", "EuclideanLoss", "e a")
        + layer("half", "Power", "l", more="power_param { scale: 0.5 } loss_weight: 1") + layer("none", "Silence", "a", " "),
        ["a", "e"],
    ),
    "a loss of other layers": (
        data() + conv("a", "data") + layer("n", "Reduction", "a", more="loss_weight: 1"),
        ["a"],
    ),
    "no loss": (data() + conv("a", "data") + layer("p", "Pooling", "a") + layer("none", "Silence", "a", " "), ["a", "p"]),
    "a loss of the input alone": (data() + layer("l", "EuclideanLoss", "data data"), ["l"]),
}  # fmt: skip


@pytest.mark.parametrize("case", LOSSES)
def test_where_nothing_classifies_a_net_ends_at_what_its_losses_judge(case):
    text, expected = LOSSES[case]
    assert cut_points(net(text)) == expected


@st.composite
def graphs(draw):
    """The bottoms of each layer, by numbers of layers before it; [] for an input."""
    size = draw(st.integers(1, 12))
    return [[], *(draw(st.lists(st.integers(0, index - 1), max_size=3)) for index in range(1, size))]


def reached(sources, without):
    """Return the layers that something comes to from an input, where one layer lets nothing through."""
    found = set()
    for index, above in enumerate(sources):
        if index != without and (not above or found.intersection(above)):
            found.add(index)
    return found


@given(graphs())
def test_a_cut_point_is_what_lets_nothing_past_it(sources):
    text = "".join(
        layer(f"l{index}", "Eltwise" if above else "Input", " ".join(f"l{one}" for one in above))
        for index, above in enumerate(sources)
    )
    ends = set(range(len(sources))).difference(*sources)
    expected = [
        f"l{index}"
        for index, above in enumerate(sources)
        if above and any(end == index or end not in reached(sources, without=index) for end in ends)
    ]
    assert cut_points(net(text)) == expected


def test_outlets_are_named_once_however_often_they_are_read():
    text = data() + conv("odd/a", "data") + layer("sum", "Eltwise", "odd/a odd/a")
    assert outlets(net(text), "odd") == ["odd/a"]


class Counted(dict):
    """A dict that counts what is looked up in it."""

    looked_up = 0

    def __getitem__(self, key):
        self.looked_up += 1
        return super().__getitem__(key)


@pytest.mark.parametrize(
    "sources",
    [
        lambda index: [index - 1],
        lambda index: [index - 1, 0],
        lambda index: [index - 1, max(0, index - 2)],
        # A chain, each layer of which meets the input aside.
        lambda index: [index - 1, 0] if index % 2 else [max(0, index - 2)],
        # Two chains, whose layers meet aside, pair by pair.
        lambda index: [index - 1, index - 2] if index % 3 == 2 else [max(0, index - 3)],
    ],
)
def test_the_way_to_a_common_dominator_is_short_however_long_the_net_is(sources):
    steps = []
    for size in (1000, 8000):
        tree = Dominators()
        tree._nodes = Counted(tree._nodes)
        for index in range(size):
            tree.add(index, sources(index) if index else [])
        steps.append(tree._nodes.looked_up / size)
    # The number of steps for a layer grows with the logarithm of the depth: by 3 doublings here, of 2 steps each.
    assert steps[1] - steps[0] < 40
