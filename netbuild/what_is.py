"""What a file is, by its first bytes: whoever cannot read what was given asks here, to say what it is instead.

One table for all readers: people give a web page for weights as often as for a prototxt. Nothing here is sure of more
than the first kilobytes, and nothing is refused because of it: a reader first fails, or sees that it must.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Set, Tuple

from .files import PathLike

HEAD = 4096
"""Bytes that are looked at."""
WEIGHTS, NET, SOLVER, STATE, BLOB = "weights", "net", "solver", "solverstate", "blob"
PROTOTXT, IMAGE, LIST = "prototxt", "image", "list"
"""The kinds of files that readers ask for."""


class Kind(NamedTuple):
    """What a file is."""

    what: str
    """In words, with its article: 'a web page'."""
    remedy: str = ""
    """What to do, whatever was expected; empty where that depends on it."""
    kind: str = ""
    """Which of the kinds it is that a reader may ask for; empty for none."""

    def instead_of(self, wanted: str) -> str:
        """Return the end of a sentence about a file that is none of the `wanted` kind: what it is, and what to do."""
        return f"is {self.what}; {self.remedy or _ADVICE.get((wanted, self.kind)) or _EXPECTED[wanted]}"


_EXPECTED = {
    WEIGHTS: "Caffe's weights are .caffemodel or .h5 files",
    NET: "the prototxt of a net is expected here",
    SOLVER: "the prototxt of a solver is expected here",
    STATE: "a solverstate is expected here, saved beside the weights",
    BLOB: "what compute_image_mean writes (.binaryproto) is expected here",
    IMAGE: "an image is expected here",
    LIST: "a list is expected here, with a path and a label in each line",
}
_ADVICE = {
    (WEIGHTS, NET): "give the weights of that net, a .caffemodel or .h5 file",
    (WEIGHTS, PROTOTXT): "give the weights of that net, a .caffemodel or .h5 file",
    (WEIGHTS, SOLVER): "give weights, a .caffemodel or .h5 file",
    (WEIGHTS, STATE): "give the .caffemodel that was saved with it",
    (NET, WEIGHTS): "give the prototxt of their net",
    (SOLVER, NET): "the prototxt of a solver is expected here, which names the net",
}
"""What to do where one of Caffe's own kinds was given for another."""

LMDB = Kind("an LMDB database, or the file of one")
_UNPACK = "unpack it first"
_AS_TEXT = "save it as plain text, UTF-8"


class _Row(NamedTuple):
    """Files that begin as a regular expression says."""

    begins: bytes
    kind: Kind


_BYTES: Tuple[_Row, ...] = (
    _Row(rb"\x1f\x8b", Kind("compressed with gzip", _UNPACK)),
    _Row(rb"BZh\d", Kind("compressed with bzip2", _UNPACK)),
    _Row(rb"\xfd7zXZ", Kind("compressed with xz", _UNPACK)),
    _Row(rb"\x28\xb5\x2f\xfd", Kind("compressed with zstd", _UNPACK)),
    _Row(rb"7z\xbc\xaf", Kind("a 7z archive", _UNPACK)),
    _Row(rb"Rar!", Kind("a rar archive", _UNPACK)),
    _Row(rb".{257}ustar", Kind("a tar archive", _UNPACK)),
    _Row(rb"PK\x03\x04.{26}archive/|PK\x03\x04.{26}\w+/(data\.pkl|version)", Kind("a zip archive, as PyTorch writes")),
    _Row(rb"PK\x03\x04.{26}[\w/]+\.npy", Kind("a zip archive of numpy's arrays (.npz)")),
    _Row(rb"PK[\x03\x05\x07]", Kind("a zip archive", _UNPACK)),
    _Row(rb"\x93NUMPY", Kind("an array of numpy's (.npy)")),
    _Row(rb"\x80[\x02-\x05]|\((dp|lp)\d|ccopy_reg\n", Kind("a pickle of Python's, as PyTorch writes")),
    _Row(rb"\x89HDF\r\n\x1a\n", Kind("an HDF5 file", kind=WEIGHTS)),
    _Row(rb".{16}\xde\xc0\xef\xbe", LMDB),
    _Row(rb".{4}TFL3", Kind("a net of TensorFlow Lite's")),
    _Row(rb"MATLAB 5", Kind("a MAT file of MATLAB's")),
    _Row(rb"\x89PNG|\xff\xd8\xff|GIF8|II\*\0|MM\0\*|BM.{4}\0{4}", Kind("an image", kind=IMAGE)),
    _Row(rb"%PDF", Kind("a PDF")),
    _Row(rb"\x7fELF|MZ.{30}", Kind("a program")),
    _Row(rb"\0{64}", Kind("empty but for zeros, as of a download or a copy that broke off", "get it again")),
    _Row(rb"\xff\xfe|\xfe\xff", Kind("text in UTF-16", _AS_TEXT)),
)
_TEXTS: Tuple[_Row, ...] = (
    _Row(
        rb"version https://git-lfs",
        Kind("a pointer of Git LFS, not the file itself", "fetch that: git lfs pull"),
    ),
    _Row(
        rb"(?i)<(!doctype html|html|head|!--|\?xml[^>]*>\s*<!doctype html)",
        Kind("a web page", "download the file itself, not the page about it"),
    ),
    _Row(rb"<", Kind("text in angle brackets, as XML or a web page", "download the file itself")),
    _Row(rb"[IWEF]\d{4} \d\d:\d\d:\d\d|Log file created at", Kind("a log of Caffe's")),
    _Row(rb"(import|from) [\w.]+|def \w+\(|#!.*python|class \w+[(:]", Kind("a program in Python")),
    _Row(rb'[{\[]\s*["{\[}\]]', Kind("JSON")),
    _Row(rb"\[\w+\]\s", Kind("a configuration file, as of Darknet")),
)
_TOP_LEVEL_NET = rb"(layers?|input(_dim|_shape)?)\s*[:{]"
_TOP_LEVEL_SOLVER = rb"(net|train_net|test_net|base_lr|max_iter|lr_policy|solver_mode|snapshot_prefix|test_iter)\s*:"
_FIELD = rb"""\w+\s*(:\s*(["'\d.-]|true|false|[A-Z_]+\s)|\{)"""
_LISTED = rb"([^\n=]*\S[ \t]+-?\d+[ \t]*\r?\n)+"


def what_is(path: PathLike) -> Optional[Kind]:
    """Return what a file is, by its first bytes; None where they tell nothing, or it cannot be read."""
    return of_head(_first_bytes(path))


def _first_bytes(path: PathLike) -> bytes:
    with suppress(OSError), Path(path).open("rb") as file:
        return file.read(HEAD)
    return b""


def instead(head: bytes, wanted: str) -> str:
    """Return what `said` does, of a file's bytes."""
    kind = of_head(head[:HEAD])
    is_wanted = kind is not None and (kind.kind == wanted or (kind.kind == PROTOTXT and wanted in (NET, SOLVER)))
    return "" if kind is None or is_wanted else kind.instead_of(wanted)


def said(path: PathLike, wanted: str) -> str:
    """Return what a file is instead of the `wanted` kind, 'is a web page; ...'; empty where that is not known.

    Empty too for a file that seems to be of that kind: what is wrong with it then its reader has to say.
    """
    return instead(_first_bytes(path), wanted)


def of_head(head: bytes) -> Optional[Kind]:
    """Return what `what_is` does, of a file's first bytes."""
    if not head:
        return None
    for row in _BYTES:
        if re.match(row.begins, head, re.DOTALL):
            return row.kind
    return _of_text(head) if _is_text(head) else _of_message(head)


def _is_text(head: bytes) -> bool:
    return not re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]", head)


def _of_text(head: bytes) -> Optional[Kind]:
    text = re.sub(rb"\A(\xef\xbb\xbf)?\s*", b"", head)
    for row in _TEXTS:
        if re.match(row.begins, text):
            return row.kind
    bare = re.sub(rb"(?m)#.*$", b"", text)
    if re.search(rb"(?m)^\s*" + _TOP_LEVEL_NET, bare):
        return Kind("the prototxt of a net", kind=NET)
    if re.search(rb"(?m)^\s*" + _TOP_LEVEL_SOLVER, bare):
        return Kind("the prototxt of a solver", kind=SOLVER)
    if re.search(rb"(?m)^\w+:[ \t]*\r?$", bare):
        return Kind("YAML, as of a recipe (netbuild run reads one)")
    if re.match(_FIELD, bare.lstrip()):
        return Kind("a prototxt", kind=PROTOTXT)
    if re.match(_LISTED, text):
        return Kind("a list of files and their labels", kind=LIST)
    return None


_VARINT, _BYTES_TYPE, _FIXED = 0, 2, 5


class _Field(NamedTuple):
    """The beginning of a field of a protobuf message."""

    number: int
    wire_type: int
    payload: bytes
    """As much of it as is among the first bytes; empty for a number."""


def _of_message(head: bytes) -> Optional[Kind]:
    """Return what a message of protobuf's is, by the numbers of its first fields."""
    fields = list(_fields(head))
    if not fields:
        return None
    first, seen = fields[0], {(one.number, one.wire_type) for one in fields}
    if (first.number, first.wire_type) == (1, _VARINT):
        return _of_counted(fields, seen)
    if (first.number, first.wire_type) in ((5, _BYTES_TYPE), (5, _FIXED)):
        return _ARRAY
    if first.number == 1 and first.payload.startswith(b"\n"):
        return Kind("a net of TensorFlow's")
    if first.wire_type == _BYTES_TYPE and {(100, _BYTES_TYPE), (2, _BYTES_TYPE)} & seen:
        return Kind("weights (a .caffemodel)", kind=WEIGHTS)
    return None


_ARRAY = Kind("one array of Caffe's (.binaryproto), as of a mean image", kind=BLOB)


def _of_counted(fields: List[_Field], seen: Set[Tuple[int, int]]) -> Kind:
    """Return what a message is that begins with a number: onnx.proto, saved_model.proto, caffe.proto say so."""
    if {(7, _BYTES_TYPE), (8, _BYTES_TYPE)} & seen and (2, _VARINT) not in seen:
        return Kind("a net in ONNX")
    if {(2, _VARINT), (3, _VARINT)} <= seen:
        return Kind("an entry of a database (Datum)") if (4, _BYTES_TYPE) in seen else _ARRAY
    if len(fields) > 1 and fields[1].number == 2 and fields[1].payload.startswith(b"\n"):
        return Kind("a net of TensorFlow's (SavedModel)")
    return Kind("a solverstate", kind=STATE)


def _fields(head: bytes) -> Iterator[_Field]:
    """Yield a message's first fields, as far as the first bytes go; none that has a form of no message of Caffe's."""
    at = 0
    while at < len(head):
        tag, at = _number(head, at)
        number, wire_type = tag >> 3, tag & 7
        if not number or wire_type not in (_VARINT, _BYTES_TYPE, _FIXED):
            return
        if wire_type == _BYTES_TYPE:
            length, at = _number(head, at)
            yield _Field(number, wire_type, head[at : at + length])
            at += length
        else:
            yield _Field(number, wire_type, b"")
            at = _number(head, at)[1] if wire_type == _VARINT else at + 4


def _number(head: bytes, at: int) -> Tuple[int, int]:
    """Return the number (varint) that stands in these bytes, and where it ends."""
    value = shift = 0
    while at < len(head):
        value |= (head[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not head[at - 1] & 0x80:
            break
    return value, at
