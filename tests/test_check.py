from functools import partial

import pytest
from counting import lines_run
from google.protobuf import text_format

from netbuild.errors import GraphError
from netbuild.graph.check import problems, remarks, require_savable, require_sound
from netbuild.schema import TEST, TRAIN, schema


def net(text):
    return text_format.Parse(text, schema().NetParameter())


NEEDED = {
    "Convolution": "convolution_param { num_output: 5 kernel_size: 1 }",
    "InnerProduct": "inner_product_param { num_output: 5 }",
}


def layer(name, kind, bottoms, tops, more=""):
    named = "".join(f' bottom: "{blob}"' for blob in bottoms.split()) + "".join(f' top: "{n}"' for n in tops.split())
    return f'layer {{ name: "{name}" type: "{kind}"{named} {NEEDED.get(kind, "")} {more} }}'


DATA = layer("data", "Input", "", "data")
SEAMS = {"odd": "odd/ip", "even": "even/ip"}
BRANCHES = layer("odd/ip", "InnerProduct", "data", "odd/ip") + layer("even/ip", "InnerProduct", "data", "even/ip")


def test_a_sound_net_has_no_problems():
    assert problems(net(DATA + BRANCHES), SEAMS) == []


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        (DATA + layer("r", "ReLU", "dat", "r"), "layer 'r': unknown bottom 'dat'; did you mean 'data'?"),
        (
            DATA + layer("r", "ReLU", "xyz", "r"),
            "layer 'r': unknown bottom 'xyz'; no layer of this phase has it as a top",
        ),
        (
            layer("r", "ReLU", "data", "r") + DATA,
            "layer 'r': unknown bottom 'data'; the layer that makes it comes later",
        ),
        (
            DATA + layer("b", "ReLU", "data", "x") + layer("c", "ReLU", "data", "x"),
            "layer 'c': top 'x' is already made",
        ),
        (
            DATA + layer("a", "Power", "data", "a") + layer("e", "Eltwise", "data a", "a"),
            "layer 'e': top 'a' is already made by another layer",
        ),
        (DATA + layer("b", "PReLU", "data", "x") + layer("b", "PReLU", "x", "y"), "layers 1 and 2 are all called 'b'"),
        (DATA + layer("", "PReLU", "data", "x") + layer("", "PReLU", "x", "y"), "layers 1 and 2 have no name: weights"),
        (DATA + 'layer { name: "r" type: "ReLU" bottom: "data" top: "" }', "layer 'r' (ReLU): a top has no name"),
        (
            DATA + layer("a", "Power", "data", "a") + layer("r", "ReLU", "data", "data"),
            "layer 'r' works in place on 'data', which layer 'a' reads too",
        ),
        (
            DATA
            + layer("a", "Scale", "data", "a", 'param { name: "w" lr_mult: 0 }')
            + layer("b", "Scale", "data", "b", 'param { name: "w" lr_mult: 1 }'),
            "shared parameter 'w': layers 'a' and 'b' disagree on lr_mult",
        ),
    ],
)
def test_what_is_wrong_with_a_net_is_named(layers, sentence):
    found = problems(net(layers))
    assert any(text.startswith(sentence) for text in found), found


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        (
            layer("Convolution1", "Convolution", "data", "Convolution1")
            + layer("odd/ip", "InnerProduct", "Convolution1", "odd/ip")
            + layer("even/ip", "InnerProduct", "data", "even/ip"),
            "layer 'Convolution1' of branch 'odd' has an automatic name",
        ),
        (
            layer("conv", "Convolution", "data", "conv")
            + layer("odd/ip", "InnerProduct", "conv", "odd/ip")
            + layer("even/ip", "InnerProduct", "data", "even/ip"),
            "layer 'conv' of branch 'odd' lacks the prefix; assign its Top: net['odd/NAME']",
        ),
        (
            layer("odd/ip", "InnerProduct", "data", "odd/ip", 'param { name: "w" }')
            + layer("even/ip", "InnerProduct", "data", "even/ip", 'param { name: "w" }'),
            "shared parameter 'w' ties the branches 'even' and 'odd' together (layers 'odd/ip', 'even/ip')",
        ),
        (
            layer("odd/relu", "ReLU", "data", "data") + BRANCHES,
            "layer 'odd/relu' of branch 'odd' works in place on the shared input 'data', which layer 'even/ip' reads too",
        ),
        (layer("odd/ip", "InnerProduct", "data", "odd/ip"), "branch 'even': its seam 'even/ip' is no blob of the net"),
    ],
)
def test_what_would_tie_branches_together_is_named(layers, sentence):
    found = problems(net(DATA + layers), SEAMS)
    assert any(text.startswith(sentence) for text in found), found


def test_an_automatic_name_in_a_file_is_a_name():
    auto = layer("Convolution1", "Convolution", "data", "Convolution1")
    auto += layer("ip", "InnerProduct", "Convolution1", "ip")
    assert problems(net(DATA + auto), {"": "ip"}) == []
    assert problems(net(DATA + auto)) == []


def test_in_place_chains_and_phases_are_fine():
    chain = (
        layer("ip", "InnerProduct", "data", "ip") + layer("r", "ReLU", "ip", "ip") + layer("d", "Dropout", "ip", "ip")
    )
    both = layer("data", "Data", "", "data", "include { phase: TRAIN }") + layer(
        "data", "Data", "", "data", "include { phase: TEST }"
    )
    assert problems(net(both + chain)) == []


def test_a_problem_of_one_phase_says_which():
    only_test = layer("data", "Data", "", "data", "include { phase: TEST }") + layer("r", "ReLU", "data", "r")
    assert problems(net(only_test)) == []
    assert problems(net(only_test), in_phases=[TEST, TRAIN]) == [
        "layer 'r': unknown bottom 'data'; layer 'data' makes it, but only in phase TEST (phase TRAIN)"
    ]


def test_a_bottom_that_one_phase_lacks_twice_is_told_of_that_phase_alone():
    both = layer("d", "Input", "", "d") + layer("r", "Input", "", "r", "exclude { phase: TRAIN }")
    assert problems(net(both + layer("e", "Eltwise", "r r", "e")), in_phases=[TEST, TRAIN]) == [
        "layer 'e': unknown bottom 'r'; layer 'r' makes it, but not in phase TRAIN (phase TRAIN)"
    ]


def test_of_very_many_unknown_bottoms_the_first_few_get_a_hint():
    lost = "".join(layer(f"r{number}", "ReLU", "dat", f"x{number}") for number in range(50))
    found = problems(net(DATA + lost))
    assert len(found) == 50
    assert [number for number, text in enumerate(found) if "did you mean 'data'?" in text] == [*range(21)]


def test_all_problems_come_in_one_error():
    broken = net(layer("a", "ReLU", "x", "a") + layer("b", "ReLU", "y", "b"))
    with pytest.raises(GraphError, match=r"net.prototxt:(?s:.*)unknown bottom 'x'(?s:.*)unknown bottom 'y'"):
        require_sound(broken, "net.prototxt")


def test_hdf5_snapshots_and_slashes():
    solver = schema().SolverParameter(snapshot_format=schema().SolverParameter.HDF5)
    with pytest.raises(GraphError, match="2 layers have '/' in their names .first 'odd/ip'.*BINARYPROTO"):
        require_savable(solver, net(DATA + BRANCHES))
    require_savable(solver, net(DATA))
    require_savable(schema().SolverParameter(), net(DATA + BRANCHES))


def test_a_parameter_that_two_branches_share_is_found_where_one_prefix_begins_with_the_other():
    shared = 'param { name: "w" }'
    text = (
        DATA
        + layer("odd_ip", "InnerProduct", "data", "odd_ip", shared)
        + layer("odd_b_ip", "InnerProduct", "data", "odd_b_ip", shared)
    )
    for seams in ({"odd_": "odd_ip", "odd_b_": "odd_b_ip"}, {"odd_b_": "odd_b_ip", "odd_": "odd_ip"}):
        assert problems(net(text), seams) == [
            "shared parameter 'w' ties the branches 'odd_' and 'odd_b_' together (layers 'odd_ip', 'odd_b_ip'): put "
            "each branch's prefix in front of it"
        ]


def test_the_layers_of_a_branch_are_checked_though_its_prefix_begins_with_another():
    text = DATA + layer("lost", "InnerProduct", "data", "lost") + layer("a/odd/r", "ReLU", "lost", "a/odd/r")
    inner = "layer 'lost' of branch 'a/odd' lacks the prefix; assign its Top: net['a/odd/NAME'] = ..."
    outer = layer("a/ip", "InnerProduct", "data", "a/ip")
    assert problems(net(text + outer), {"a": "a/ip", "a/odd": "a/odd/r"}) == [inner]


def test_layers_that_share_a_parameter_are_held_to_the_first_that_says_how_it_learns():
    text = DATA + "".join(
        layer(f"l{number}", "InnerProduct", "data", f"l{number}", f'param {{ name: "w" {rate} }}')
        for number, rate in enumerate(["", "lr_mult: 1", "lr_mult: 2", "lr_mult: 3", "lr_mult: 1 decay_mult: 0"])
    )
    assert problems(net(text)) == [
        "shared parameter 'w': layers 'l1' and 'l2' disagree on lr_mult",
        "shared parameter 'w': layers 'l1' and 'l3' disagree on lr_mult",
    ]


def mistakes(kind, count):
    """A net with the same mistake so many times."""
    numbers = range(count)
    return (
        DATA
        + {
            "unknown": lambda: "".join(layer(f"r{n}", "ReLU", f"lost{n}", f"r{n}") for n in numbers),
            "later": lambda: "".join(layer(f"r{n}", "ReLU", f"r{n + 1}", f"r{n}") for n in numbers),
            "doubled": lambda: "".join(layer("r", "ReLU", "data", "r") for _ in numbers),
            "in place": lambda: (
                "".join(layer(f"r{n}", "ReLU", "data", "data") for n in numbers)
                + "".join(layer(f"p{n}", "Power", "data", f"p{n}") for n in numbers)
            ),
            "shared": lambda: "".join(
                layer(f"s{n}", "Scale", "data", f"s{n}", f'param {{ name: "w" lr_mult: {n % 5} }}') for n in numbers
            ),
            "branches": lambda: (
                "".join(
                    layer(f"odd/p{n}", "Power", "data", f"odd/p{n}")
                    + layer(f"even/p{n}", "Power", "data", f"even/p{n}")
                    + layer(f"odd/r{n}", "ReLU", "data", "data")
                    + layer(f"lost{n}", "ReLU", "data", "data")
                    for n in numbers
                )
                + layer("odd/ip", "Concat", "data " + " ".join(f"odd/p{n}" for n in numbers), "odd/ip")
                + layer("even/ip", "Concat", "data " + " ".join(f"even/p{n}" for n in numbers), "even/ip")
            ),
        }[kind]()
    )


@pytest.mark.parametrize("kind", ["unknown", "later", "doubled", "in place", "shared", "branches"])
def test_what_a_net_full_of_mistakes_takes_grows_with_its_layers(kind):
    few, many = (lines_run(partial(problems, net(mistakes(kind, count)), SEAMS)) for count in (100, 400))
    assert many < 5 * few


def test_many_layers_in_place_on_one_blob_take_what_grows_with_them():
    """Each leaves what the gradients of those before it need, so that none is the one to be named."""
    steps = []
    for count in (100, 400):
        relus = "".join(layer(f"r{n}", "ReLU", "c", "c") for n in range(count))
        loss = layer("ip", "InnerProduct", "c", "ip") + layer("loss", "EuclideanLoss", "ip ip", "loss")
        message = net(DATA + layer("c", "InnerProduct", "data", "c") + relus + loss)
        assert remarks(message) == []
        steps.append(lines_run(partial(remarks, message)))
    assert steps[1] < 5 * steps[0]


def test_who_overwrites_what_many_gradients_read_is_found_once_for_each():
    """One memory under many names, each worked on in place and then read by a layer whose gradient reads it."""
    texts = []
    for count in (100, 400):
        numbers = range(count)
        text = DATA + layer("c", "Power", "data", "c")
        text += "".join(layer(f"f{n}", "Flatten", "c", f"f{n}") for n in numbers)
        text += "".join(layer(f"q{n}", "InnerProduct", f"f{n}", f"q{n}") for n in numbers)
        text += "".join(layer(f"r{n}", "ReLU", f"f{n}", f"f{n}") for n in numbers)
        sums = layer("sum", "Eltwise", " ".join(f"q{n}" for n in numbers), "sum")
        texts.append(text + sums + layer("loss", "EuclideanLoss", "sum q0", "loss"))
    few, many = (net(text) for text in texts)
    assert (len(remarks(few)), len(remarks(many))) == (100, 400)
    assert lines_run(partial(remarks, many)) < 5 * lines_run(partial(remarks, few))
