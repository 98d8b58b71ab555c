"""The reader of list files against Caffe's own reading."""

import os

import pytest
from PIL import Image

from netbuild.data.listing import read_lines
from netbuild.engine.child import run
from netbuild.errors import NetbuildError, printable

GOOD = b"a.png 7\n"
TAKEN_AS_MEANT = [
    b"a.png 3\n",
    b"a.png 3",
    b"a.png 3\r\n",
    b"an image.png 3\n",
    b"a.png \t3\n",
    b"a.png 3\t\r\n",
    b"a.png +3\n",
    b"a.png 03\n",
    b"a.png -1\n",
    "b\xfcrger.png 2\n".encode(),
    b"\xff\xfe.png 4\n",
    b"a.png 2147483647\n",
]
MISREAD = {
    b"a.png\t3\n": "tab",
    b"an image.png\t3\n": "tab",
    b"a.png,3\n": "comma",
    b"a.png;3\n": "semicolon",
    b"a.png\n": "none",
    b"a.png\r\n": "none",
    b"a.png cat\n": "label",
    b"a.png 1.5\n": "label",
    b"a.png 1e3\n": "label",
    b"a.png 0x10\n": "label",
    b"a.png -\n": "label",
    b"a.png 3 \n": "end",
    b"a.png \r\n": "end",
    b"a.png 4294967299\n": "large",
    b"\xef\xbb\xbfa.png 3\n": "mark",
    b"a.png\0x 3\n": "NUL",
    b"\n": "blank",
    b"\r\n": "blank",
    b" \t\n": "blank",
}


@pytest.fixture()
def outcomes(in_tmp):
    """What Caffe makes of lists: the labels of a batch of two, or why it gave up."""
    for name in ("a.png", "an image.png", "b\xfcrger.png", os.fsdecode(b"\xff\xfe.png")):
        with open(name, "wb") as file:  # noqa: PTH123 - one name is no text
            Image.new("L", (4, 4)).save(file, "PNG")
    (in_tmp / "net.prototxt").write_text(
        'layer { name: "d" type: "ImageData" top: "data" top: "label" image_data_param { source: "list.txt" '
        "is_color: false batch_size: 2 } }"
    )
    return lambda lists: list(run("jobs:first_batches", net="net.prototxt", lists=list(lists)))


def written(path, content):
    path.write_bytes(content)
    return read_lines(path)


def test_lines_are_taken_as_caffe_takes_them(outcomes, in_tmp):
    for line, found in zip(TAKEN_AS_MEANT, outcomes(GOOD + line for line in TAKEN_AS_MEANT)):
        listed = written(in_tmp / "again.txt", GOOD + line)
        assert not list(listed.misread()), line
        # A blob holds float32.
        assert [entry.label for entry in listed.entries()] == pytest.approx(found), line
        assert all(os.path.exists(entry.path) for entry in listed.entries())  # noqa: PTH110 - bytes


def test_lines_that_caffe_misreads_are_told_with_what_it_takes(outcomes, in_tmp):
    # As the first line: there a byte order mark stands.
    for (line, kind), found in zip(MISREAD.items(), outcomes(line + GOOD for line in MISREAD)):
        listed = written(in_tmp / "again.txt", line + GOOD)
        assert [(one.line, one.kind) for one in listed.misread()] == [(1, kind)], line
        first = next(listed.entries())
        if isinstance(found, str):
            path = os.fsdecode(first.path).split("\0")[0].strip()
            assert "Could not load" in found, line
            # What Caffe said of it is passed on escaped.
            assert printable(path.replace("\ufeff", "")) in found, (line, found)
        elif kind == "NUL":
            assert found[0] == 3
        elif kind != "large":
            assert found[0] == first.label, line


def test_the_last_line_that_is_blank_stops_caffe(outcomes, in_tmp):
    assert "Could not load" in outcomes([GOOD + b"\n"])[0]
    (blank,) = written(in_tmp / "again.txt", GOOD + b"\n").misread()
    assert (blank.line, blank.kind) == (2, "blank")
    assert len(read_lines(in_tmp / "again.txt").without_blank_lines()) == 1


def test_without_a_reader_of_labels_only_paths_count(in_tmp):
    listed = written(in_tmp / "list.txt", b"a.png\nb.png cat\n")
    assert not list(listed.misread(labelled=False))
    assert [entry.path for entry in listed.entries()] == [b"a.png", b"b.png"]


def test_one_sentence_for_each_kind_with_line_found_expected_and_remedy(in_tmp):
    listed = written(in_tmp / "list.txt", b"a.png 1\n" + b"a.png\t2\n" * 3 + b"a.png cat\n")
    tabs, word = listed.sentences(listed.misread())
    assert "list.txt': line 2 is 'a.png\\t2'; expected PATH LABEL: " in tabs
    assert "put one blank in its place (3 of 5 lines are such)" in tabs
    assert "line 5 is 'a.png cat'; expected PATH LABEL: the label 'cat' is no whole number, and Caffe takes 0" in word


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "list .*: the file is empty"), (None, "list .*: is a folder, and a file is expected")]
)
def test_what_is_no_list(in_tmp, content, said):
    (in_tmp / "list.txt").mkdir() if content is None else (in_tmp / "list.txt").write_bytes(content)
    with pytest.raises(NetbuildError, match=said):
        read_lines(in_tmp / "list.txt")


def test_hints_about_paths_that_lead_nowhere(in_tmp):
    (in_tmp / "root").mkdir()
    (in_tmp / "root" / "a.png").touch()
    (in_tmp / "list.txt").write_bytes(b"a.png 1\n")
    listed = read_lines("list.txt", "root")
    assert "1 of 1 images are not there; the first is 'roota.png' in line 1" in listed.absent([*listed.entries()])
    assert listed.absent([*listed.entries()]).endswith("end it in '/', 'root/'")
    (in_tmp / "b.png").touch()
    two = written(in_tmp / "list.txt", b"b.png  1\n")
    assert "take the blanks around the path away" in two.absent([*two.entries()])
