"""The messages of Caffe and its forks: held to the descriptors of the Caffes at hand, and to protobuf's own parser."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, text_format

from netbuild.errors import CaffeError
from netbuild.schema import schema
from netbuild.schema.definitions import Definitions, Field, joined, of_descriptor, overridden, read
from netbuild.schema.forks import FORKS, forks_of, of_fork, upstream
from netbuild.schema.messages import CARRIED, file_descriptor, schema_of, upstream_schema
from netbuild.schema.pycaffe import installed_definitions, package_folder

DESCRIPTOR = """
import importlib.util, sys
from google.protobuf import descriptor_pb2
spec = importlib.util.spec_from_file_location("their_pb2", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
file = descriptor_pb2.FileDescriptorProto()
module.DESCRIPTOR.CopyToProto(file)
sys.stdout.buffer.write(file.SerializeToString())
"""


@pytest.fixture(scope="module")
def theirs():
    """The descriptor that the installed Caffe's own caffe_pb2 gives, in a process of its own."""
    try:
        generated = package_folder() / "proto" / "caffe_pb2.py"
    except CaffeError as error:
        pytest.skip(str(error))
    done = subprocess.run([sys.executable, "-c", DESCRIPTOR, os.fspath(generated)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this protobuf is too new for the installed caffe_pb2")
    return descriptor_pb2.FileDescriptorProto.FromString(done.stdout)


def by_name(file):
    """All messages of a FileDescriptorProto by name, the nested ones as they stand in their own."""
    return {message.name: message for message in file.message_type}


def is_the_wheel(file):
    return any(field.name == "ctc_loss_param" for field in by_name(file)["LayerParameter"].field)


def test_upstream_field_for_field(theirs):
    """Debian's Caffe is upstream; the wheel lacks one message of it and has what its own file says."""
    ours = upstream()
    if is_the_wheel(theirs):
        kendryte = next(fork for fork in FORKS if fork.name == "kendryte-caffe")
        ours = overridden(ours, of_fork(kendryte))
        del ours.messages["ClipParameter"], ours.messages["LayerParameter"]["clip_param"]
    mine = by_name(file_descriptor(ours))
    assert mine.keys() == by_name(theirs).keys()
    for name, message in by_name(theirs).items():
        assert sorted(mine[name].field, key=number) == sorted(message.field, key=number), name
        assert values(mine[name].enum_type) == values(message.enum_type), name
        assert not message.nested_type
    assert values(file_descriptor(ours).enum_type) == values(theirs.enum_type)


def values(enums):
    return {enum.name: {value.name: value.number for value in enum.value} for enum in enums}


def number(field):
    return field.number


def test_the_installed_schema_is_read_from_its_text(theirs):
    assert installed_definitions() == of_descriptor(theirs)


@pytest.mark.parametrize(
    "notation", ["serialized_pb={0!r}", "serialized_pb=_b({1!r})", "f = x.AddSerializedFile({0!r})"]
)
def test_every_notation_of_protoc(tmp_path, monkeypatch, notation):
    file = file_descriptor(Definitions({"NetParameter": {"name": Field("optional", "string", 1)}}, {}))
    raw = file.SerializeToString()
    (tmp_path / "caffe/proto").mkdir(parents=True)
    (tmp_path / "caffe/__init__.py").write_text("")
    (tmp_path / "caffe/proto/caffe_pb2.py").write_text("# text\n" + notation.format(raw, raw.decode("latin-1")) + "\n")
    monkeypatch.syspath_prepend(os.fspath(tmp_path))
    monkeypatch.delitem(sys.modules, "caffe", raising=False)
    importlib.invalidate_caches()
    assert installed_definitions() == of_descriptor(file)


def test_a_fork_that_is_installed_and_known_to_nobody(tmp_path):
    """Its own fields parse, and upstream's still do."""
    own = overridden(upstream(), Definitions({"PoolingParameter": {"twist": Field("optional", "uint32", 77, "5")}}, {}))
    raw = file_descriptor(own).SerializeToString()
    (tmp_path / "caffe/proto").mkdir(parents=True)
    (tmp_path / "caffe/__init__.py").write_text("")
    (tmp_path / "caffe/proto/caffe_pb2.py").write_text(f"x.AddSerializedFile({raw!r})")
    code = """
from netbuild.schema import schema
from netbuild.schema.messages import installed_has_more
print(schema().PoolingParameter().twist, schema().PoolingParameter().stride, *installed_has_more())
"""
    path = os.pathsep.join([os.fspath(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code], env=dict(os.environ, PYTHONPATH=path), capture_output=True, text=True, check=False
    )
    assert done.stdout == "5 1 PoolingParameter.twist\n", done.stderr


@pytest.mark.parametrize("fork", FORKS, ids=[fork.name for fork in FORKS])
def test_a_fork_has_all_its_numbers(fork):
    """protobuf takes each fork's own definitions: no number twice, no type that is not there."""
    module = schema_of(fork)
    for message, fields in of_fork(fork).messages.items():
        if "." not in message:
            descriptor = getattr(module, message).DESCRIPTOR
            assert {name: field.number for name, field in fields.items()}.items() <= {
                field.name: field.number for field in descriptor.fields
            }.items()


def test_all_forks_by_name_in_one_schema():
    """A net with layers of four forks, whose numbers clash."""
    text = """
    layer { name: "p" type: "PriorBox" prior_box_param { min_size: 30 aspect_ratio: 2 variance: 0.1 } }
    layer { name: "i" type: "Interp" interp_param { zoom_factor: 2 pad_beg: 0 } }
    layer { name: "b" type: "BN" bn_param { frozen: true slope_filler { type: "constant" value: 1 } } }
    layer { name: "c" type: "Convolution" convolution_param { num_output: 1 kernel_size: 3 hole: 2 } }
    layer { name: "q" type: "Pooling" pooling_param { kernel_size: 3 ceil_mode: false } }
    layers { name: "v" type: DENSE_CRF }
    """
    net = text_format.Parse(text, schema().NetParameter())
    assert net.layer[0].prior_box_param.min_size[:] == [30]
    assert net.layer[3].convolution_param.hole == 2
    assert not net.layer[4].pooling_param.ceil_mode
    again = text_format.Parse(text_format.MessageToString(net), schema().NetParameter())
    assert again == net


def test_upstream_has_its_own_numbers_among_the_forks():
    """What upstream wrote as bytes reads the same under both."""
    theirs = upstream_schema().NetParameter(name="n")
    layer = theirs.layer.add(name="l", type="Convolution")
    layer.convolution_param.kernel_size.append(3)
    layer.recurrent_param.num_output = 7
    ours = schema().NetParameter.FromString(theirs.SerializeToString())
    assert text_format.MessageToString(ours) == text_format.MessageToString(theirs)


def test_whose_field_it_is():
    assert [fork.name for fork in forks_of("LayerParameter", "prior_box_param")][:2] == ["SSD", "RefineDet"]
    assert forks_of("PoolingParameter", "stride") == ()
    assert [fork.name for fork in forks_of("EltwiseParameter.EltwiseOp", "STOCHASTIC_SUM")] == ["TSN"]


def test_numbers_that_clash_give_way():
    one = Definitions({"M": {"a": Field("optional", "int32", 5)}}, {"E": {"X": 0}})
    two = Definitions({"M": {"b": Field("optional", "int32", 5), "a": Field("repeated", "float", 6)}}, {"E": {"Y": 0}})
    both = joined([one, two])
    assert both.messages["M"]["a"] == Field("optional", "int32", 5)
    assert both.messages["M"]["b"].number > 20_000
    assert both.enums["E"]["X"] == 0 != both.enums["E"]["Y"]
    assert joined([one, two], widened=True).messages["M"]["a"] == Field("repeated", "float", 5)


def test_every_message_can_carry():
    for name in dir(schema()):
        made = getattr(schema(), name)
        if hasattr(made, "DESCRIPTOR") and hasattr(made.DESCRIPTOR, "fields_by_name"):
            assert CARRIED in made.DESCRIPTOR.fields_by_name


def test_a_file_has_what_it_imports_and_its_own(tmp_path):
    (tmp_path / "one.proto").write_text("message M {\n  optional int32 a = 1;\n}\nenum E {\n  X = 0;\n}\n")
    (tmp_path / "two.proto").write_text('import "one.proto";\nmessage M {\n  optional E b = 2;\n}\n')
    assert read(tmp_path / "two.proto") == Definitions(
        {"M": {"a": Field("optional", "int32", 1), "b": Field("optional", "E", 2)}}, {"E": {"X": 0}}
    )


def test_a_statement_that_is_none(tmp_path):
    path = Path(tmp_path / "x.proto")
    path.write_text("message M {\n  optional int32 a: 3;\n}\n")
    with pytest.raises(ValueError, match=r"x\.proto, line 2: not a statement that is known here"):
        read(path)


def test_no_caffe_is_loaded():
    code = "import sys; from netbuild.schema import schema; schema().NetParameter(); print([m for m in sys.modules if m.startswith('caffe')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert importlib.util.find_spec("netbuild.schema")
