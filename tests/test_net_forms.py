"""A net as callers hold it: path, message, NetSpec; and what is none of these."""

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from nets import net, small

from netbuild import lenet, proto, read_solver
from netbuild.engine.caffe import caffe as open_caffe
from netbuild.engine.caffe import schema
from netbuild.errors import GraphError, NetbuildError


def test_a_message_that_is_current_is_itself():
    message = net(small())
    assert proto.net_of(message) is message


def test_the_three_forms_are_one_net(tmp_path, caffe):
    spec = caffe.NetSpec()
    spec.data = caffe.layers.Input(shape={"dim": [1, 1, 28, 28]})
    lenet(spec, spec.data, "odd")
    path = tmp_path / "net.prototxt"
    path.write_text(str(spec.to_proto()))
    expected = text_format.Parse(path.read_text(), schema().NetParameter())
    for form in (path, str(path), spec.to_proto(), spec):
        assert proto.net_of(form) == expected


OLD = """
    input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
    layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: 3 } }
    layers { name: "r" type: RELU bottom: "c" top: "c" }
"""
LEARNS = 'layer { name: "n" type: "BatchNorm" param { } param { lr_mult: 0 } param { lr_mult: 0 decay_mult: 0 } }'


@pytest.mark.parametrize("text", [OLD, LEARNS, LEARNS.replace("param { } ", "")])
def test_an_old_message_is_upgraded_as_its_file_is(tmp_path, text):
    path = tmp_path / "old.prototxt"
    path.write_text(text)
    message = text_format.Parse(text, schema().NetParameter())
    before = str(message)
    assert proto.net_of(message) == proto.read_net(path)
    assert str(message) == before


def other_schema(extra=""):
    """A NetParameter of a schema of the caller's own, as a fork's caffe_pb2 has it."""
    file = descriptor_pb2.FileDescriptorProto()
    schema().DESCRIPTOR.CopyToProto(file)
    if extra:
        layer = next(one for one in file.message_type if one.name == "LayerParameter")
        layer.field.add(name=extra, number=9999, type=9, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptor = pool.FindMessageTypeByName("caffe.NetParameter")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


def test_a_message_of_another_schema_is_taken():
    theirs = text_format.Parse(small(), other_schema()())
    assert type(theirs) is not schema().NetParameter
    ours = proto.net_of(theirs)
    assert type(ours) is schema().NetParameter
    assert ours == net(small())


def test_what_only_the_other_schema_knows_is_refused():
    theirs = text_format.Parse('layer { name: "x" type: "ROI" roi: "y" }', other_schema("roi")())
    with pytest.raises(GraphError, match="what this Caffe's schema does not know: .*roi"):
        proto.net_of(theirs)


@pytest.mark.parametrize(
    ("what", "found"),
    [
        (3, "int"),
        (None, "NoneType"),
        (lenet, "function"),
        (open_caffe().layers.Input(), "Top"),
        (schema().SolverParameter(), "a SolverParameter"),
        (small(), "the text of a prototxt"),
        (small() * 50, "the text of a prototxt"),
    ],
)
def test_anything_else_is_refused_in_words(what, found):
    with pytest.raises(GraphError, match=f"a NetParameter or a NetSpec, found {found}"):
        proto.net_of(what)


def test_a_netspec_with_a_wrong_argument_is_refused_in_words(caffe):
    spec = caffe.NetSpec()
    spec.data = caffe.layers.Input(shap={"dim": [1]})
    with pytest.raises(GraphError, match="an argument that it does not take"):
        proto.net_of(spec)


def test_a_file_whose_name_has_a_brace(in_tmp):
    (in_tmp / "{a}.prototxt").write_text(small())
    assert proto.net_of("{a}.prototxt") == net(small())


def test_what_is_no_path_is_refused_in_words():
    with pytest.raises(NetbuildError, match="prototxt: expected a path, found SolverParameter"):
        read_solver(schema().SolverParameter())
