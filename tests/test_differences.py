"""Two nets compared: what is written otherwise is the same, what is another is found."""

import json
from collections import Counter
from functools import partial

import numpy as np
import pytest
from commands import invoke
from counting import lines_run
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nets import conv, data, fc, layer, net, nets, relu, small

from netbuild import proto
from netbuild.graph.differences import Change, differences
from netbuild.graph.rename import renamed
from netbuild.names import qualify


@given(nets())
def test_a_net_is_itself(message):
    assert not differences(message, message).any
    assert not differences(message, proto.parsed(proto.to_text(message))).any


@given(nets())
def test_a_prefix_renames_and_changes_nothing_else(message):
    prefixed = renamed(message, partial(qualify, "odd"), {"data": "data"})
    found = differences(message, prefixed)
    assert (found.removed, found.added, found.changed) == ([], [], {})
    assert set(found.renamed) == {(one.name, f"odd/{one.name}") for one in message.layer}


@given(nets(), st.data())
def test_a_layer_left_out_is_found(message, draw):
    gone = draw.draw(st.integers(1, len(message.layer) - 1))
    less = type(message)(name=message.name, layer=[one for n, one in enumerate(message.layer) if n != gone])
    assert message.layer[gone].name in [*differences(message, less).removed, *dict(differences(message, less).renamed)]
    assert differences(less, message).any


SAME = [
    (conv("c", "data"), conv("c", "data", more="param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 1 }")),
    (
        layer("c", "Convolution", "data", more="convolution_param { num_output: 2 kernel_size: 3 }"),
        layer(
            "c",
            "Convolution",
            "data",
            more="convolution_param { stride: 1 num_output: 2 kernel_h: 3 kernel_w: 3 bias_term: true pad: 0 }",
        ),
    ),
    (
        layer("p", "Pooling", "data", more="pooling_param { kernel_size: 3 stride: 2 }"),
        layer(
            "p", "Pooling", "data", more="pooling_param { pool: MAX kernel_h: 3 kernel_w: 3 stride_h: 2 stride_w: 2 }"
        ),
    ),
    (
        layer("a", "Accuracy", "data", more="include { phase: TEST }"),
        layer("a", "Accuracy", "data", more="exclude { phase: TRAIN }"),
    ),
    (relu("a", "data") + fc("b", "data"), relu("a", "data") + fc("b", "data")),
    (conv("a", "data") + conv("b", "data"), conv("b", "data") + conv("a", "data")),
]


@pytest.mark.parametrize(("old", "new"), SAME)
def test_other_words_for_the_same(old, new):
    assert not differences(net(data() + old), net(data() + new)).any


CHANGED = [
    (conv("c", "data", 4), conv("c", "data", 5), "c", Change("convolution_param.num_output", 4, 5)),
    (conv("c", "data"), conv("c", "data", more="param { lr_mult: 0 }"), "c", Change("param[0].lr_mult", None, 0.0)),
    (
        layer("a", "Accuracy", "data", more="include { phase: TEST }"),
        layer("a", "Accuracy", "data"),
        "a",
        Change("phase", "TEST", None),
    ),
    (
        layer("a", "Accuracy", "data"),
        layer("a", "Accuracy", "data", more="include { phase: TRAIN }"),
        "a",
        Change("phase", None, "TRAIN"),
    ),
    (
        layer("p", "Pooling", "data", more="pooling_param { kernel_size: 3 }"),
        layer("p", "Pooling", "data", more="pooling_param { kernel_h: 3 kernel_w: 2 pool: AVE }"),
        "p",
        Change("pooling_param.pool", None, "AVE"),
    ),
    (relu("a", "data"), layer("a", "ReLU", "data"), "a", Change("top[0]", "data", "a")),
    (layer("a", "ReLU", "data"), layer("a", "TanH", "data"), "a", Change("type", "ReLU", "TanH")),
]


@pytest.mark.parametrize(("old", "new", "name", "change"), CHANGED)
def test_another_field_is_found(old, new, name, change):
    found = differences(net(data() + old), net(data() + new))
    assert change in found.changed[name]
    assert (found.removed, found.added, found.renamed) == ([], [], [])


def test_another_wiring_is_found():
    text = data() + conv("a", "data") + conv("b", "a") + conv("c", "%s")
    found = differences(net(text % "a"), net(text % "b"))
    assert found.changed == {"c": [Change("bottom[0]", "a", "b")]}


def test_what_is_read_is_told_by_its_maker_not_by_its_name():
    image = (
        data("image", (1, 3, 8, 8)) + layer("r", "ReLU", "image", "data") + layer("sum", "Eltwise", "image data", "z")
    )
    in_place = data("data", (1, 3, 8, 8)) + relu("r", "data") + layer("sum", "Eltwise", "data data", "z")
    in_place = in_place.replace('name: "data"', 'name: "in"')
    image = image.replace('name: "image"', 'name: "in"')
    found = differences(net(image), net(in_place))
    assert found.changed["sum"] == [Change("bottom[0]", "data of in", "data of r")]
    assert differences(net(in_place), net(image)).changed["sum"] == [Change("bottom[0]", "data", "image")]
    # A layer that works in place comes between: what follows reads something else under the same name.
    text = data() + conv("c", "data") + "%s" + fc("f", "c")
    found = differences(net(text % ""), net(text % relu("r", "c")))
    assert (found.added, found.changed) == (["r"], {"f": [Change("bottom[0]", "c of c", "c of r")]})


def test_another_position_of_a_shared_parameter_is_found():
    scale = 'scale_param { bias_term: true } param { name: "%s" } param { name: "%s" }'
    text = data() + layer("a", "Scale", "data", more=scale % ("v", "w")) + layer("b", "Scale", "data", more=scale)
    found = differences(net(text % ("v", "w")), net(text % ("w", "v")))
    assert found.changed["b"][0] == Change("param[0] shared with", "a", "a (param[1])")


@st.composite
def wirings(draw):
    """Layers as (kind, what they read): each source a layer's number and which of its tops."""
    found, full = [("Input", [])], [(0, 0)]
    for _ in range(draw(st.integers(2, 5))):
        kind = draw(st.sampled_from(["ReLU", "ReLU", "Eltwise", "Convolution", "Slice"]))
        sources = [draw(st.sampled_from(full[-2:])) for _ in range(2 if kind == "Eltwise" else 1)]
        found.append((kind, sources))
        if kind == "Slice":
            found.append(("Concat", draw(st.permutations([(len(found) - 1, 0), (len(found) - 1, 1)]))))
        full.append((len(found) - 1, 0))
    return found


MORE = {
    "Input": "input_param { shape { dim: 2 dim: 4 dim: 3 dim: 3 } }",
    "Eltwise": "eltwise_param { coeff: 1 coeff: 2 }",
    "Convolution": "convolution_param { num_output: 4 kernel_size: 1 }",
}


@st.composite
def nets_of(draw, wiring):
    """A net of these layers: names dealt to blobs and layers, ReLU in place or not where nothing else reads its bottom."""
    blobs = draw(st.permutations([*"abcdefghijklmnop"]))
    names = draw(st.permutations([*"abcdefghijklmnop"])) if draw(st.booleans()) else [*"abcdefghijklmnop"]
    read = Counter(source for _, sources in wiring for source in sources)
    text, called = "", {}
    for number, (kind, sources) in enumerate(wiring):
        bottoms = [called[source] for source in sources]
        in_place = kind == "ReLU" and read[sources[0]] == 1 and draw(st.booleans())
        tops = bottoms if in_place else [blobs.pop() for _ in range(2 if kind == "Slice" else 1)]
        called.update(((number, position), blob) for position, blob in enumerate(tops))
        text += layer(names[number], kind, " ".join(bottoms), " ".join(tops), MORE.get(kind, ""))
    return net(text)


@st.composite
def pairs_of_nets(draw):
    """Two nets of the same layers, of which one may read something else in the second."""
    one = draw(wirings())
    other = list(one)
    if draw(st.booleans()):
        number = draw(st.integers(1, len(one) - 1))
        kind, sources = one[number]
        full = [(before, 0) for before, (what, _) in enumerate(one[:number]) if what != "Slice"]
        if kind == "Concat":
            other[number] = (kind, sources[::-1])
        else:
            position = draw(st.integers(0, len(sources) - 1))
            # What a layer in place makes has the name of what it reads.
            behind = [
                (at, 0) for at, (what, read) in enumerate(one[:number]) if (what, read) == ("ReLU", [sources[position]])
            ]
            full = behind or full
            other[number] = (kind, [*sources[:position], draw(st.sampled_from(full)), *sources[position + 1 :]])
    return draw(nets_of(one)), draw(nets_of(other))


def outputs(caffe, folder, message, weights, images):
    """What Caffe computes: each blob that nothing reads, with the parameters of each layer and its first input."""
    (folder / "n.prototxt").write_text(proto.to_text(message))
    alone = caffe.Net(str(folder / "n.prototxt"), caffe.TEST)
    for name, blobs in weights.items():
        for blob, values in zip(alone.params[name], blobs):
            blob.data[...] = values
    for blob in alone.inputs:
        alone.blobs[blob].data[...] = images
    alone.forward()
    return {blob: alone.blobs[blob].data.copy() for blob in alone.outputs}


@settings(max_examples=500)
@given(pairs_of_nets())
def test_what_is_the_same_but_for_its_names_computes_the_same(caffe, tmp_path_factory, both):
    old, new = both
    found = differences(old, new)
    told = [change.field for changes in found.changed.values() for change in changes]
    if found.removed or found.added or not all(field.startswith("top") for field in told):
        return
    folder = tmp_path_factory.mktemp("n", numbered=True)
    random = np.random.RandomState(0)
    (folder / "n.prototxt").write_text(proto.to_text(old))
    called = {**{one.name: one.name for one in old.layer}, **dict(found.renamed)}
    params = {
        name: [random.randn(*blob.data.shape) for blob in blobs]
        for name, blobs in caffe.Net(str(folder / "n.prototxt"), caffe.TEST).params.items()
    }
    images = random.randn(2, 4, 3, 3)
    one = outputs(caffe, folder, old, params, images)
    other = outputs(caffe, folder, new, {called[name]: blobs for name, blobs in params.items()}, images)
    tops = {one.name: list(one.top) for one in new.layer}
    blobs = {blob: tops[called[one.name]][number] for one in old.layer for number, blob in enumerate(one.top)}
    for blob, values in one.items():
        np.testing.assert_array_equal(values, other[blobs[blob]])


@given(nets(), st.data())
def test_each_rewiring_is_found(message, draw):
    new = proto.copied(message)
    index = draw.draw(st.sampled_from([n for n, one in enumerate(new.layer) if one.bottom]))
    position = draw.draw(st.integers(0, len(new.layer[index].bottom) - 1))
    before = list(new.layer)[:index]
    blobs = sorted({blob for one in before for blob in one.top} - {new.layer[index].bottom[position]})
    assume(blobs)
    new.layer[index].bottom[position] = draw.draw(st.sampled_from(blobs))
    assert f"bottom[{position}]" in [one.field for one in differences(message, new).changed[new.layer[index].name]]


def test_what_counts_of_a_shared_parameter_is_who_shares_it():
    text = data() + "".join(conv(name, "data", more="param { name: '%s' }") for name in "abc")
    old = net(text % ("w", "w", "x"))
    assert not differences(old, net(text % ("v", "v", "w"))).any
    assert differences(old, net(text % ("w", "x", "w"))).changed == {
        "b": [Change("param[0] shared with", "a", None)],
        "c": [Change("param[0] shared with", None, "a")],
    }


def test_the_net_itself():
    found = differences(net("name: 'A'"), net("force_backward: true"))
    assert found.net == [Change("name", "A", None), Change("force_backward", None, True)]


def test_data_layers_of_one_name_are_told_apart_by_phase():
    source = "include { phase: %s } image_data_param { source: '%s' batch_size: 2 }"
    text = "".join(
        layer("d", "ImageData", tops="data label", more=source % one) for one in (("TRAIN", "t"), ("TEST", "%s"))
    )
    found = differences(net(text % "v"), net(text % "w"))
    assert found.changed == {"d": [Change("image_data_param.source", "v", "w")]}


def test_the_command(in_tmp):
    (in_tmp / "a.prototxt").write_text(small())
    (in_tmp / "same.prototxt").write_text("# a comment\n" + small())
    (in_tmp / "b.prototxt").write_text(small(classes=5).replace('"fc1"', '"ip1"').replace('"drop"', '"dropout"'))
    assert invoke("diff", "a.prototxt", "same.prototxt").output == "the same net\n"
    told = invoke("diff", "a.prototxt", "b.prototxt", code=1).output.splitlines()
    assert told == [
        "= fc1 -> ip1",
        "= drop -> dropout",
        "~ relu2: top[0]: fc1 -> ip1",
        "~ fc3: inner_product_param.num_output: 3 -> 5",
        "",
        "2 layers renamed, 2 layers changed",
    ]
    assert json.loads(invoke("diff", "a.prototxt", "b.prototxt", "--json", code=1).output)["renamed"][0] == [
        "fc1",
        "ip1",
    ]
    proto.write("c.prototxt", renamed(net(small()), partial(qualify, "odd"), {"data": "data"}))
    assert invoke("diff", "a.prototxt", "c.prototxt", code=1).output.splitlines()[0] == "= * -> odd/* (11 layers)"


@pytest.mark.parametrize("name", ["l{}", "l"])
def test_comparing_takes_what_grows_with_the_layers(name):
    """Layers that are all renamed, in the other order: to look through all others for each would take the square."""
    steps = []
    for count in (100, 1000):
        options = "power_param {{ shift: {} }}"
        layers = [layer(name.format(n), "Power", "data", f"l{n}", options.format(n)) for n in range(count)]
        message, other = net(data() + "".join(layers)), net(data() + "".join(layers[::-1]))
        other = renamed(other, partial(qualify, "odd"), {"data": "data"})
        assert len(differences(message, other).renamed) == count + 1
        steps.append(lines_run(partial(differences, message, other)))
    assert steps[1] < 12 * steps[0]
