"""The options that forks add to upstream's messages: honoured, known to be harmless, or said to be unknown."""

import pytest
from click.testing import CliRunner
from netbuild_cli.main import main
from nets import data, layer, net

from netbuild.branches.declared import declared_by
from netbuild.errors import NetbuildWarning
from netbuild.graph.freeze import frozen
from netbuild.graph.view import NetView
from netbuild.layers import infer
from netbuild.layers.fields import HARMLESS, READ, unclear
from netbuild.layers.fork_table import FORK_TYPES
from netbuild.layers.table import TYPES
from netbuild.layers.training import draws
from netbuild.schema import CARRIED, TEST, TRAIN, schema
from netbuild.schema.forks import forks_of, upstream

IN_NO_SCHEMA = {("DropoutParameter", "scale_train")}
"""Options of forks that no schema here has, and of which it is known all the same what they do."""
WINDOW = "num_output: 4 kernel_size: 3"


def conv(options, more=""):
    return layer("c", "Convolution", "data", more=f"convolution_param {{ {WINDOW} {options} }} {more}")


def carrying(text, field="convolution_param", said="twist: 3"):
    """Return a layer whose options carry a field that no Caffe known here has."""
    (one,) = net(text).layer
    getattr(getattr(one, field) if field else one, CARRIED).append(said)
    return one


def of_layers():
    """Yield each field of a fork on a message of upstream's that a layer holds: (message, field, the fields to it)."""
    seen, todo = set(), [(schema().LayerParameter.DESCRIPTOR, ())]
    while todo:
        message, path = todo.pop()
        if message.name in seen or message.name not in upstream().messages:
            continue
        seen.add(message.name)
        for field in message.fields:
            if forks_of(message.name, field.name):
                yield message.name, field, path
            elif field.message_type is not None and field.name != "blobs":
                todo.append((field.message_type, (*path, field)))


FIELDS = {f"{message}.{field.name}": (message, field, path) for message, field, path in of_layers()}


def with_field(field, path):
    """Return a layer of upstream's that gives this one field of a fork."""
    message = schema().LayerParameter(name="x", type="Power")
    inner = message
    for step in path:
        inner = getattr(inner, step.name)
        inner = inner.add() if hasattr(inner, "add") else inner
    value = getattr(inner, field.name)
    if field.message_type is not None:
        value.add() if hasattr(value, "add") else value.SetInParent()
    elif isinstance(value, (bool, int, float, str)):
        # The default, written out, says as much as any other value.
        setattr(inner, field.name, value)
    else:
        value.append("x" if field.type == field.TYPE_STRING else 1)
    return message


def test_there_are_more_than_a_hundred():
    assert len(FIELDS) > 100


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_an_option_of_a_fork_is_in_one_list_or_it_is_unknown(name):
    message, field, path = FIELDS[name]
    listed = field.name in (*READ.get(message, ()), *HARMLESS.get(message, ()))
    of_another_type = field.name in {row.options for row in (*TYPES.values(), *FORK_TYPES.values())}
    found = unclear(with_field(field, path))
    assert bool(found) is not (listed or (message == "LayerParameter" and of_another_type))
    assert all(one.endswith(field.name) for one in found)


def test_the_lists_hold_options_of_forks_once():
    listed = [(message, name) for lists in (READ, HARMLESS) for message, names in lists.items() for name in names]
    assert len(listed) == len(set(listed))
    assert {one for one in listed if not forks_of(*one)} == IN_NO_SCHEMA
    assert all(reason for reasons in HARMLESS.values() for reason in reasons.values())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (conv("relu: true"), []),
        (conv("hole: 2"), []),
        (conv("engine: MKLDNN"), []),
        (conv("fusion_type: SUM_FUSION"), ["convolution_param.fusion_type"]),
        (conv("weight_filler { diag_val: 1 }"), []),
        (conv("", "norm_param { }"), []),
        (conv("", "quantization_param { bw_params: 8 }"), []),
        (conv("", "trt_param { model: 'm' deploy: 'd' }"), ["trt_param"]),
        (layer("e", "Eltwise", "data data", more="eltwise_param { operation: STOCHASTIC_SUM }"), []),
        (layer("l", "SoftmaxWithLoss", "data data", more="loss_param { normalization: PRE_FIXED }"), []),
        (layer("m", "Mystery", "data", more="convolution_param { fusion_type: SUM_FUSION }"), []),
        (layer("d", "Data", more="transform_param { crop_h: 2 crop_w: 3 }"), []),
        (layer("d", "Data", more="transform_param { min_side: 3 }"), ["transform_param.min_side"]),
    ],
)
def test_what_is_unclear(text, found):
    assert unclear(net(text).layer[0]) == found


def test_a_field_that_no_caffe_has_is_unclear_wherever_it_stands():
    assert unclear(carrying(conv(""))) == ["convolution_param.twist"]
    assert unclear(carrying(conv(""), "", "twist { by: 3 }")) == ["twist"]
    roi = layer("x", "ROIPooling", "data data", more="roi_pooling_param { pooled_h: 7 pooled_w: 7 }")
    assert unclear(carrying(roi, "roi_pooling_param", "pad_ratio: 0.1")) == ["roi_pooling_param.pad_ratio"]
    deep = net(conv("weight_filler { }")).layer[0]
    getattr(deep.convolution_param.weight_filler, CARRIED).append("alpha: 1")
    assert unclear(deep) == ["convolution_param.weight_filler.alpha"]


def test_unless_the_row_knows_what_it_is():
    assert unclear(carrying(layer("s", "ShuffleChannel", "data"), "", "shuffle_channel_param { group: 3 }")) == []
    assert unclear(carrying(layer("s", "ReLU", "data"), "", "shuffle_channel_param { group: 3 }")) != []
    assert unclear(carrying(layer("d", "Dropout", "data"), "dropout_param", "scale_train: false")) == []


@pytest.mark.parametrize("options", ["fusion_type: SUM_FUSION", "twist: 3"])
def test_shapes_behind_an_unclear_option_are_unknown_and_that_is_said(in_tmp, options):
    text = data() + conv(options) + layer("p", "Pooling", "c", more="pooling_param { kernel_size: 2 }")
    (in_tmp / "net.prototxt").write_text(text)
    ran = CliRunner().invoke(main, ["check", "net.prototxt"])
    name = "convolution_param." + options.partition(":")[0]
    assert f"note: layer 'c': what {name} does is not known here; shapes after it are unknown" in ran.output
    assert ran.exit_code == 0
    ran = CliRunner().invoke(main, ["summary", "net.prototxt"])
    assert "c      Convolution  (unknown)" in ran.output
    assert ran.exit_code == 0


def test_what_depends_on_an_unclear_option_is_not_known():
    message = net(data() + conv("fusion_type: SUM_FUSION"))
    view = NetView(message, TEST)
    assert view.unclear_options == {"c": ["convolution_param.fusion_type"]}
    assert (view.shapes.blobs["c"], view.shapes.params[1]) == (None, None)
    assert view.training[1].frozen is False
    assert (view.training[1].learns, view.training[1].draws) == (None, None)
    with pytest.warns(
        NetbuildWarning, match="layer 'c': what convolution_param.fusion_type does is not known here; it has no param"
    ):
        frozen(message)


def test_a_second_bottom_of_a_fused_convolution_is_no_fault():
    text = data() + layer(
        "c", "Convolution", "data data", more=f"convolution_param {{ {WINDOW} fusion_type: SUM_FUSION }}"
    )
    assert NetView(net(text), TEST).misfits == []


@pytest.mark.parametrize(
    ("transform", "size"),
    [
        ("crop_size: 5 crop_h: 6 crop_w: 7", (5, 5)),
        ("crop_h: 6 crop_w: 7", (6, 7)),
        ("crop_height: 6 crop_width: 7", (6, 7)),
        ("resize_param { height: 300 width: 400 }", (300, 400)),
        ("resize_param { height: 300 width: 400 } crop_size: 5", (5, 5)),
        ("resize_param { resize_mode: FIT_SMALL_SIZE height: 300 width: 400 }", (None, None)),
        ("resize_param { height: 3 width: 4 } resize_param { height: 5 width: 6 }", (None, None)),
        ("random_resize_param { min_size: 8 max_size: 9 } crop_size: 5", (5, 5)),
        ("random_aspect_ratio_param { } crop_size: 5", (5, 5)),
        ("img_rand_resize_lower: 8 img_rand_resize_upper: 9 allow_upscale: true crop_size: 5", (5, 5)),
        ("vertical_stretch_lower: 0.5 vertical_stretch_upper: 2", (None, None)),
        ("", (11, 12)),
    ],
)
def test_sizes_of_images_in_the_forks(transform, size):
    """As data_transformer.cpp of SSD, of PSPNet, of Intel and of NVIDIA say (InferBlobShape)."""
    images = "image_data_param { batch_size: 2 new_height: 11 new_width: 12 }"
    text = layer("d", "ImageData", "", "data label", f"{images} transform_param {{ {transform} }}")
    assert infer(net(text), TEST).blobs["data"] == (2, 3, *size)


@pytest.mark.parametrize("name", ["distort_param", "expand_param", "noise_param", "random_resize_param"])
def test_images_changed_at_random_are_drawn(name):
    (one,) = net(layer("d", "Data", more=f"transform_param {{ {name} {{ }} }}")).layer
    assert draws(one, TRAIN)


def test_parameters_of_unknown_number_are_not_passed_over_in_silence(in_tmp):
    (in_tmp / "net.prototxt").write_text(data() + layer("x", "BN", "data", more="bn_param { frozen: true }"))
    ran = CliRunner().invoke(main, ["summary", "net.prototxt"])
    assert ran.exit_code == 0
    assert "note: net.prototxt: 1 layer with parameters of unknown number (x): these are not in the totals" in " ".join(
        ran.output.split()
    )


@pytest.mark.parametrize(
    ("options", "prepared"),
    [
        ("mean_value: 104 crop_size: 224", True),
        ("mean_value: 104 use_gpu_transform: true", True),
        ("mean_value: 104 resize_param { height: 300 width: 300 }", False),
        ("mean_value: 104 crop_h: 300 crop_w: 300", False),
        ("mean_value: 104 bgr2rgb: true", False),
    ],
)
def test_images_prepared_in_a_way_that_only_a_fork_has_are_not_said_to_be_prepared(options, prepared):
    """What upstream's data layers cannot do again must not be left out in silence."""
    text = layer("data", "Data", more=f"data_param {{ batch_size: 2 }} transform_param {{ {options} }}")
    assert declared_by(net(text).layer[0], None).prepared is prepared
