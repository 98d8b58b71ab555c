"""Prototxts are bytes to Caffe: what of them is no UTF-8, and what is to be read all the same."""

import pytest
from click.testing import CliRunner
from netbuild_cli.main import main
from nets import data, fc

from netbuild import proto
from netbuild.errors import GraphError
from netbuild.proto.decoding import decoded

NET = (data() + fc("fc", "data")).encode()
GBK, LATIN = "# 我的网络".encode("gbk"), "# café".encode("latin-1")
MARK = b"\xef\xbb\xbf"


@pytest.fixture()
def file(tmp_path):
    def write(content):
        path = tmp_path / "net.prototxt"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("comment", [GBK, LATIN, b"# \xff\xfe\x80", b"# it's \xff", b'# "\xff'])
@pytest.mark.parametrize("form", [b"%s\n" + NET, NET + b"%s", NET.replace(b"layer {", b"layer { %s\n", 1)])
def test_a_comment_in_any_encoding_is_none_of_ours(caffe, file, comment, form):
    path = file(form.replace(b"%s", comment))
    assert list(caffe.Net(str(path), caffe.TEST).params) == ["fc"]
    assert proto.read_net(path) == proto.read_net(file(NET))


def test_a_hash_in_a_string_begins_no_comment(file):
    path = file(NET + b'layer { name: "a#\xff" type: "ReLU" bottom: "fc" top: "fc" }')
    with pytest.raises(GraphError, match=r"line 3 is not UTF-8 \(bytes ff\), and not only in a comment"):
        proto.read_net(path)


def test_an_escaped_quote_ends_no_string(file):
    text = NET + b'layer { name: "a\\"#b" type: "ReLU" bottom: "fc" top: "fc" } # \xff'
    assert proto.read_net(file(text)).layer[-1].name == 'a"#b'


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lines_end_as_windows_ends_them_too(file, end):
    text = b"# \xce\xd2" + end + NET.replace(b"\n", end)
    assert proto.read_net(file(text)) == proto.read_net(file(NET))


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0b"])
def test_only_a_line_feed_ends_a_comment(file, mark):
    text = f'name: "a"\n# one{mark}force_backward: true\n{proto.to_text(proto.read_net(file(NET)))}'
    assert not proto.read_net(file(text.encode())).force_backward


def test_what_is_no_text_is_called_so(file):
    with pytest.raises(GraphError, match="is not text; a prototxt is expected here"):
        proto.read_net(file(b"\xff\0\xfe" * 30))


def test_a_byte_order_mark_is_passed_over_and_said_by_check(caffe, engine, file):
    """Caffe's parser gives up at it."""
    path = file(MARK + NET)
    assert proto.read_net(path) == proto.read_net(file(NET))
    found = CliRunner().invoke(main, ["check", str(file(MARK + GBK + b"\n" + NET))])
    assert found.exit_code == 1
    assert "begins with a byte order mark, at which Caffe gives up" in found.output


def test_the_text_is_what_the_bytes_say():
    assert decoded(MARK + "# é\nname: 'é'".encode(), "x") == "# é\nname: 'é'"
    assert decoded(LATIN + b"\nname: 'n'", "x") == "# caf?\nname: 'n'"
