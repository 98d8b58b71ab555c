from functools import partial

from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given
from nets import conv, data, layer, net, nets

from netbuild import names
from netbuild.graph.rename import renamed
from netbuild.schema import CARRIED, schema

NAMES = {"name", "bottom", "top", "param.name"}
"""The fields of a layer that carry names of the net."""
OTHER = {
    "type", "include.stage", "include.not_stage", "exclude.stage", "exclude.not_stage",
    "transform_param.mean_file", "data_param.source", "data_param.mean_file", "hdf5_data_param.source",
    "hdf5_output_param.file_name", "image_data_param.source", "image_data_param.mean_file",
    "image_data_param.root_folder", "infogain_loss_param.source", "window_data_param.source",
    "window_data_param.mean_file", "window_data_param.crop_mode", "window_data_param.root_folder",
    "python_param.module", "python_param.layer", "python_param.param_str",
    # of forks
    "annotated_data_param.label_map_file", "augmentation_param.mode", "augmentation_param.write_augmented",
    "augmentation_param.write_mean", "convolution_param.conv_algorithm", "convolution_param.conv_algos_override",
    "data_param.preselection_file", "dense_image_data_param.mean_file", "dense_image_data_param.root_folder",
    "dense_image_data_param.source", "detection_evaluate_param.name_size_file", "detection_output_param.save_file",
    "detection_output_param.save_output_param.label_map_file",
    "detection_output_param.save_output_param.name_size_file",
    "detection_output_param.save_output_param.output_directory",
    "detection_output_param.save_output_param.output_format",
    "detection_output_param.save_output_param.output_name_prefix", "engine", "mat_read_param.prefix",
    "mat_read_param.source", "mat_write_param.prefix", "mat_write_param.source", "mean_param.file",
    "reader_param.file", "region_loss_param.class_map", "region_loss_param.softmax_tree", "seg_data_param.root_dir",
    "seg_data_param.source", "trt_param.calibrator", "trt_param.deploy", "trt_param.deploy_outputs",
    "trt_param.model", "video_data_param.mean_file", "video_data_param.name_pattern", "video_data_param.source",
    "video_data_param.video_file", "writer_param.file", "writer_param.folder", "writer_param.prefix",
    "writer_param.suffix", "yolo_detection_output_param.label_map_file",
}  # fmt: skip
"""Text that names files, code or types; `trt_param` names blobs of another net."""
OF_THE_NET = {
    "name", "input", "state.stage", "engine", "default_conv_algos_override", "compile_net_state.kept_bn_layers",
    "compile_net_state.negative_conv_names", "multinode.model_parallel.layer_from",
    "multinode.model_parallel.layer_to", "multinode.compress_layer_type_list.layer_type", "mem_param.exclude_blob",
}  # fmt: skip
"""Text that the net has beside its layers."""


def text_fields(descriptor, front="", above=()):
    for field in descriptor.fields:
        path = front + field.name
        if field.type == FieldDescriptor.TYPE_STRING:
            yield path
        elif field.message_type is not None and field.message_type.full_name not in above:
            yield from text_fields(field.message_type, f"{path}.", (*above, field.message_type.full_name))


def is_kind(path):
    """Tell whether a field says of what kind a filler is, or how to draw a number; or holds what is not known."""
    return path.endswith(("filler.type", ".rand_type", CARRIED))


def test_no_field_that_carries_a_name_is_forgotten():
    """A schema with a new text field fails here: decide whether it is a name."""
    found = {path for path in text_fields(schema().LayerParameter.DESCRIPTOR) if not is_kind(path)}
    assert found - OTHER == NAMES
    assert found >= NAMES
    layers = ("layer.", "layers.")
    of_net = text_fields(schema().NetParameter.DESCRIPTOR)
    assert {path for path in of_net if not path.startswith(layers) and not is_kind(path)} == OF_THE_NET


def test_every_name_gets_the_prefix_and_inputs_their_outer_name():
    message = net(data() + conv("c", "data", more='param { name: "w" } param { lr_mult: 2 }'))
    (found,) = renamed(type(message)(layer=message.layer[1:]), partial(names.qualify, "odd"), {"data": "rgb"}).layer
    assert (found.name, list(found.bottom), list(found.top)) == ("odd/c", ["rgb"], ["odd/c"])
    assert [spec.name for spec in found.param] == ["odd/w", ""]
    assert message.layer[1].name == "c"


def test_names_in_the_options_of_forks_nets_get_the_prefix():
    message = net("""
    mem_param { optimize_train: true exclude_blob: "c" exclude_blob: "d" }
    compile_net_state { kept_bn_layers: "bn" negative_conv_names: "c" }
    multinode { model_parallel { layer_from: "c" layer_to: "d" } model_parallel { layer_from: "bn" num_nodes: 2 } }
    """)
    expected = net("""
    mem_param { optimize_train: true exclude_blob: "a/c" exclude_blob: "a/d" }
    compile_net_state { kept_bn_layers: "a/bn" negative_conv_names: "a/c" }
    multinode { model_parallel { layer_from: "a/c" layer_to: "a/d" } model_parallel { layer_from: "a/bn" num_nodes: 2 } }
    """)
    assert renamed(message, partial(names.qualify, "a")) == expected
    plain = net(conv("c", "data"))
    assert renamed(plain, partial(names.qualify, "")) == plain


def test_a_layer_without_a_name_stays_without():
    message = net('layer { type: "ReLU" bottom: "x" top: "y" }')
    (found,) = renamed(message, partial(names.qualify, "a")).layer
    assert not found.HasField("name")


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
