"""The bytes of a prototxt as text. To Caffe they are bytes: a comment may be in any encoding, and often is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Optional

from ..errors import GraphError
from ..files import PathLike

_MARK = b"\xef\xbb\xbf"
_COMMENT = re.compile(r"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|#[^\n]*""")
"""A comment, or a string, in which a # begins none."""
_NOT_UTF8 = re.compile("[\udc80-\udcff]+")


class NoTextError(Exception):
    """The bytes are no text at all."""


def decoded(raw: bytes, source: str) -> str:
    """Return the text of a prototxt: in comments a ? for what is not UTF-8, and no byte order mark.

    `source` names the file. Raises NoTextError for what is no text, and GraphError for bytes beyond comments that are
    not UTF-8: Caffe takes them in names and paths, protobuf in Python does not.
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        if b"\0" in raw:
            raise NoTextError from None
    text = _COMMENT.sub(_readable, raw.decode("utf-8-sig", "surrogateescape"))
    left = _NOT_UTF8.search(text)
    if left is None:
        return text
    line = text.count("\n", 0, left.start()) + 1
    found = left[0].encode("utf-8", "surrogateescape")[:8].hex(" ")
    raise GraphError(
        f"{source}: line {line} is not UTF-8 (bytes {found}), and not only in a comment: Caffe takes such names and "
        "paths, and here they cannot be kept; save the file as UTF-8, and call what they name likewise"
    )


def _readable(match: re.Match[str]) -> str:
    return match[0] if match[1] else _NOT_UTF8.sub("?", match[0])


def mark_fault(path: PathLike) -> Optional[str]:
    """Return what is wrong with a file that begins with a byte order mark, None for any other.

    Caffe's parser gives up at it. What is read here and written anew has none.
    """
    with Path(path).open("rb") as file:
        marked = file.read(len(_MARK)) == _MARK
    return "begins with a byte order mark, at which Caffe gives up: save it as UTF-8 without one" if marked else None
