"""A first line in a file that is meant to be edited: by it a later run knows whether a hand has changed the file."""

from __future__ import annotations

import hashlib
from pathlib import Path


def stamped(text: str) -> str:
    """Return the text of a prototxt under a line that tells its digest."""
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]
    return f"# written by netbuild, which keeps it once it is edited ({digest})\n{text}"


def is_as_written(path: Path) -> bool:
    """Tell whether a file is, to the letter, what `stamped` returned for it."""
    text = path.read_bytes().decode("utf-8", "replace")
    return text == stamped(text.partition("\n")[2])
