"""How the command line calls a net, NET[@SEAM]: taken apart, with nothing read or built."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from ..errors import GraphError
from ..proto.state import listed
from ..spelling import option


def split_seam(text: str) -> Tuple[str, str]:
    """Split NET@SEAM, '' standing for no seam; a file may have an @ in its path."""
    if Path(text).is_file() or "@" not in text:
        return text, ""
    name, _, seam = text.rpartition("@")
    return name, seam


def prototxts(name: str) -> List[str]:
    """Return the files of a net that is named by its prototxts, none for a builder's name."""
    if Path(name).is_file():
        return [name]
    files = name.split(",")
    return files if all(Path(file).suffix == ".prototxt" or Path(file).is_file() for file in files) else []


def require_no_state(name: str, stages: Sequence[str], level: Optional[int]) -> None:
    """Raise GraphError where stages or a level are given for a builder, whose layers have no rules."""
    given = [option("stages", listed(stages), flag="stage")] if stages else []
    given += [] if level is None else [option("level", level)]
    if given:
        raise GraphError(f"{name}: the layers of a builder are in every stage; {given[0]} is for prototxts")
