from functools import partial

from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given
from nets import conv, data, layer, net, nets

from netbuild import names
from netbuild.graph.rename import renamed
from netbuild.schema import schema

NAMES = {"name", "bottom", "top", "param.name"}
"""The fields of a layer that carry names of the net."""
OTHER = {
    "type", "include.stage", "include.not_stage", "exclude.stage", "exclude.not_stage",
    "transform_param.mean_file", "data_param.source", "data_param.mean_file", "hdf5_data_param.source",
    "hdf5_output_param.file_name", "image_data_param.source", "image_data_param.mean_file",
    "image_data_param.root_folder", "infogain_loss_param.source", "window_data_param.source",
    "window_data_param.mean_file", "window_data_param.crop_mode", "window_data_param.root_folder",
    "python_param.module", "python_param.layer", "python_param.param_str",
}  # fmt: skip
"""Text that names files, code or types."""


def text_fields(descriptor, front="", above=()):
    for field in descriptor.fields:
        path = front + field.name
        if field.type == FieldDescriptor.TYPE_STRING:
            yield path
        elif field.message_type is not None and field.message_type.full_name not in above:
            yield from text_fields(field.message_type, f"{path}.", (*above, field.message_type.full_name))


def test_no_field_that_carries_a_name_is_forgotten():
    """A schema with a new text field fails here: decide whether it is a name."""
    found = {path for path in text_fields(schema().LayerParameter.DESCRIPTOR) if not path.endswith("filler.type")}
    assert found - OTHER == NAMES
    assert found >= NAMES


def test_every_name_gets_the_prefix_and_inputs_their_outer_name():
    message = net(data() + conv("c", "data", more='param { name: "w" } param { lr_mult: 2 }'))
    (found,) = renamed(type(message)(layer=message.layer[1:]), partial(names.qualify, "odd"), {"data": "rgb"}).layer
    assert (found.name, list(found.bottom), list(found.top)) == ("odd/c", ["rgb"], ["odd/c"])
    assert [spec.name for spec in found.param] == ["odd/w", ""]
    assert message.layer[1].name == "c"


def test_a_layer_in_place_on_an_input_gets_a_top_of_its_own():
    message = net(layer("pow", "Power", "data", "data") + conv("c", "data") + layer("r", "ReLU", "c", "c"))
    found = renamed(message, partial(names.qualify, "a"), {"data": "data"}).layer
    assert [(list(one.bottom), list(one.top)) for one in found] == [
        (["data"], ["a/data"]),
        (["a/data"], ["a/c"]),
        (["a/c"], ["a/c"]),
    ]


@given(nets(inputs=2))
def test_renaming_is_invertible(message):
    there = renamed(message, partial(names.qualify, "a"))
    assert all(one.name.startswith("a/") for one in there.layer)
    assert renamed(there, lambda name: names.local("a", name)) == message
