"""Drawings of nets, by Graphviz."""

from __future__ import annotations

import os
import subprocess
from html import escape
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .. import proto
from ..errors import NetbuildError, printable
from ..extras import optional
from ..files import PathLike, replacing, write_text
from ..graph.phases import made_for
from ..schema import TEST, TRAIN, Message
from .picture import Box, Picture, picture

FORMATS = ("svg", "png", "pdf", "dot")
_INK, _PAPER, _FRAME = "#1f2933", "#ffffff", "#f4f6f8"
_STATES: Dict[str, Dict[str, str]] = {
    "frozen": {"fillcolor": "#cfe3f5", "color": "#2b6095", "style": "filled,rounded,dashed"},
    "trainable": {"fillcolor": "#fbd9a5", "color": "#8a4b00", "style": "filled,rounded", "penwidth": "2.6"},
    "partly trainable": {
        "fillcolor": "#f3e6c8",
        "color": "#8a4b00",
        "style": "filled,rounded,dashed",
        "penwidth": "2.6",
    },
    "": {"fillcolor": _PAPER, "color": "#7b8794", "style": "filled,rounded"},
}
"""Told apart by colour, by the line around the box, and by a word in it."""
_SHAPES = {"input": {"shape": "ellipse"}, "end": {"shape": "ellipse", "peripheries": "2"}, "layer": {"shape": "box"}}


def draw_net(
    net: proto.Net,
    path: PathLike,
    *,
    phase: Optional[int] = None,
    prefixes: Sequence[str] = (),
    collapse: bool = False,
) -> None:
    """Draw a net into a file: its branches in frames, what is frozen, the shapes.

    Args:
        net: A path, a NetParameter or a NetSpec.
        path: The file, whose suffix says how: .svg, .png, .pdf or .dot.
        phase: 0 for TRAIN or 1 for TEST; by default TRAIN where the net has it.
        prefixes: The prefixes of its branches, where the layers' names do not tell them.
        collapse: Draw modules as one box each, for large nets.

    Raises:
        NetbuildError: Graphviz is missing. What it would draw is then beside the file, as .dot.

    Examples:
        >>> from pathlib import Path
        >>> from netbuild import draw_net
        >>> draw_net("fused/train_val.prototxt", "fused.dot")
        >>> Path("fused.dot").read_text().startswith("digraph")
        True
    """
    file = Path(path)
    kind = file.suffix[1:].lower()
    if kind not in FORMATS:
        raise NetbuildError(f"output {str(path)!r}: a drawing is one of {', '.join('.' + one for one in FORMATS)}")
    text = dot(proto.net_of(net), phase=phase, prefixes=prefixes, collapse=collapse)
    if kind == "dot":
        write_text(file, text)
        return
    try:
        drawn = _drawn(text, kind)
    except FileNotFoundError:
        beside = file.with_suffix(".dot")
        write_text(beside, text)
        raise NetbuildError(
            f"{str(path)!r} is not drawn: Graphviz is not installed (its command dot is not on PATH). The drawing "
            f"is in {str(beside)!r}; once Graphviz is there: dot -T{kind} -o {file} {beside}"
        ) from None
    with replacing(file) as stream:
        stream.write(drawn)


def svg(net: Message, *, phase: Optional[int] = None, prefixes: Sequence[str] = (), collapse: bool = False) -> str:
    """Return the drawing as an <svg> element, to be put into a page. Raises NetbuildError where Graphviz is missing."""
    try:
        drawn = _drawn(dot(net, phase=phase, prefixes=prefixes, collapse=collapse), "svg").decode()
    except FileNotFoundError:
        raise NetbuildError("drawings need Graphviz, whose command dot is not on PATH") from None
    return drawn[drawn.index("<svg") :]


def dot(net: Message, *, phase: Optional[int] = None, prefixes: Sequence[str] = (), collapse: bool = False) -> str:
    """Return the drawing in Graphviz's language."""
    if phase is None:
        phase = TRAIN if TRAIN in made_for(net) else TEST
    return _graph(picture(net, phase=phase, prefixes=prefixes, collapse=collapse))


def _graph(shown: Picture) -> str:
    digraph = optional("graphviz", "drawings need the package").Digraph(
        "net",
        graph_attr={"bgcolor": _PAPER, "fontname": "Helvetica", "fontcolor": _INK, "rankdir": "TB", "nodesep": "0.35"},
        node_attr={"fontname": "Helvetica", "fontcolor": _INK, "fontsize": "12", "margin": "0.14,0.07"},
        edge_attr={"fontname": "Helvetica", "fontcolor": "#52606d", "color": "#52606d", "fontsize": "10"},
    )
    boxes: Dict[str, List[Tuple[int, Box]]] = {branch: [] for branch in ["", *shown.branches]}
    for number, box in enumerate(shown.boxes):
        boxes[box.branch].append((number, box))
    _add_boxes(digraph, boxes.pop(""))
    for place, (branch, own) in enumerate(boxes.items(), 1):
        with digraph.subgraph(name=f"cluster_{place}") as frame:
            heading = f"<B>{_text(branch)}</B>  {', '.join(filter(None, shown.branches[branch]))}"
            look = {"style": "filled,rounded", "fillcolor": _FRAME, "color": "#9aa5b1", "margin": "14"}
            frame.attr(label=f"<{heading}>", labeljust="l", fontsize="13", **look)
            _add_boxes(frame, own)
    for arrow in shown.arrows:
        digraph.edge(str(arrow.source), str(arrow.target), label=f" {arrow.text} " if arrow.text else "")
    return str(digraph.source)


def _add_boxes(graph: Any, boxes: Sequence[Tuple[int, Box]]) -> None:
    for number, box in boxes:
        graph.node(str(number), label=_label(box), **_SHAPES[box.kind], **_STATES[box.state])


def _label(box: Box) -> str:
    """Return the text of a box as Graphviz's HTML: the name, and smaller what it is and whether it learns."""
    small = [_text(line) for line in (*box.lines, *([f"[{box.state}]"] if box.state else [])) if line]
    below = "".join(f'<BR/><FONT POINT-SIZE="10">{line}</FONT>' for line in small)
    return f"<<B>{_text(box.title)}</B>{below}>"


def _text(words: str) -> str:
    """Escape what is markup or an escape of Graphviz's (it puts a node's name for a \\N, in HTML too)."""
    # Older Graphviz takes a bracket at the end of a text for the end of its own section of characters.
    return escape(printable(words).replace("\\", "\\\\")).replace("]", "&#93;") or " "


def _drawn(text: str, kind: str) -> bytes:
    """Return what dot draws; FileNotFoundError where there is none."""
    graphviz = optional("graphviz", "drawings need the package")
    try:
        return bytes(graphviz.Source(text).pipe(format=kind, quiet=True))
    except graphviz.ExecutableNotFound:
        raise FileNotFoundError(os.fspath("dot")) from None
    except subprocess.CalledProcessError as error:
        output = error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else str(error.stderr)
        raise NetbuildError(f"Graphviz could not draw the net: {output.strip().splitlines()[-1:]}") from None
