"""Where a prototxt's braces do not pair: its parser stops far behind the place where one is missing."""

from __future__ import annotations

import re
from typing import List, NamedTuple, Optional

from .unknown import NoFormError, tokens

_LAYERS = ("layer", "layers")
_PLACE = re.compile(r"^(\d+):\d+ ")


class Fault(NamedTuple):
    """What is wrong with the braces."""

    line: int
    """Of what is not closed, or of what closes nothing."""
    words: str


def fault_before(text: str, complaint: str) -> Optional[str]:
    """Return what is wrong with the braces of a text, None where they pair, or where that is not what stops a parser.

    `complaint` is what the parser says, beginning with LINE:COLUMN: a fault that begins behind it is another's.
    """
    place = _PLACE.match(complaint)
    fault = _fault(text)
    if fault is None or (place is not None and int(place[1]) < fault.line):
        return None
    return fault.words


class _Opened(NamedTuple):
    name: str
    line: int


def _fault(text: str) -> Optional[Fault]:
    """Return the first place where braces do not pair; layers stand in no other layer, in no Caffe."""
    opened: List[_Opened] = []
    name, line, at = "", 1, 0
    try:
        found = tokens(text)
    except NoFormError:
        return None
    for token in found:
        line, at = line + text.count("\n", at, token.start), token.start
        if token.kind == "word":
            name = token.text
        elif token.kind == "mark" and token.text in ("{", "<"):
            if opened and name in _LAYERS and opened[-1].name in _LAYERS:
                start = opened[-1].line
                return Fault(start, f"the layer of line {start} is not closed: a '}}' is missing before line {line}")
            opened.append(_Opened(name, line))
        elif token.kind == "mark" and token.text in ("}", ">"):
            if not opened:
                return Fault(line, f"the {token.text!r} of line {line} closes nothing: it is one too many")
            opened.pop()
    if not opened:
        return None
    return Fault(opened[-1].line, f"{opened[-1].name!r} of line {opened[-1].line} is not closed: a '}}' is missing")
