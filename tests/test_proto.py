import pytest

from netbuild import proto
from netbuild.errors import GraphError, NetbuildError
from netbuild.schema import TEST, TRAIN, schema


def net(text):
    from google.protobuf import text_format

    return text_format.Parse(text, schema().NetParameter())


def names(message, phase):
    return [layer.name for _, layer in proto.of_phase(message, phase)]


def test_phases_as_caffe_filters_them():
    rules = net(
        'layer { name: "both" } layer { name: "train" include { phase: TRAIN } }'
        'layer { name: "test" exclude { phase: TRAIN } } layer { name: "staged" include { stage: "deploy" } }'
        'layer { name: "either" include { phase: TRAIN } include { phase: TEST } }'
        'layer { name: "level" include { min_level: 1 } } layer { name: "rule" include { not_stage: "x" } }'
    )
    assert names(rules, TRAIN) == ["both", "train", "either", "rule"]
    assert names(rules, TEST) == ["both", "test", "either", "rule"]


def test_input_fields_become_an_input_layer(tmp_path):
    old = tmp_path / "old.prototxt"
    dims = [1, 3, 8, 8]
    four_numbers = " ".join(f"input_dim: {dim}" for dim in dims)
    shape = "input_shape { " + " ".join(f"dim: {dim}" for dim in dims) + " }"
    for shapes in (four_numbers, shape):
        old.write_text(f'input: "data" {shapes} layer {{ name: "r" type: "ReLU" bottom: "data" top: "r" }}')
        read = proto.read_net(old)
        assert [layer.type for layer in read.layer] == ["Input", "ReLU"]
        assert list(read.layer[0].input_param.shape[0].dim) == dims
        assert not read.input
    old.write_text('input: "data" input: "more" input_shape { dim: 1 }')
    with pytest.raises(GraphError, match="2 inputs but 1 input shapes"):
        proto.read_net(old)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"layer { name: 'x' nam: 1", "'layer' of line 1 is not closed: a '}' is missing"),
        (b"layers { name: 'x' } layer { name: 'y' }", "has layers of the current format .'layer'. and of an old one"),
        (b"\xff\xfe\x00", "is text in UTF-16; save it as plain text"),
        (b"", "the file is empty"),
    ],
)
def test_what_cannot_be_read_is_told_with_the_file(tmp_path, content, reason):
    path = tmp_path / "bad.prototxt"
    path.write_bytes(content)
    with pytest.raises(NetbuildError, match=reason) as refused:
        proto.read_net(path)
    assert "bad.prototxt" in str(refused.value)


def test_writing_and_reading_gives_the_same_net(tmp_path):
    message = net('name: "n" layer { name: "a/b" type: "Data" transform_param { scale: 0.00390625 mean_value: 128 } }')
    proto.write(tmp_path / "n.prototxt", message)
    assert proto.read_net(tmp_path / "n.prototxt") == message
