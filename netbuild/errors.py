"""The one family of errors.

Everything a user can cause is raised as a `NetbuildError`, whose text says what is wrong, where, what was
expected, what was found and what to do. The command line prints that text and nothing else.
"""

from __future__ import annotations

from typing import Iterable, Sequence


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the question whether the most similar of the known words was meant, '' where none is similar."""
    # Imported where it is needed: it costs a tenth of what netbuild --help takes.
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), 1)
    return f"did you mean {near[0]!r}?" if near else ""


def some(names: Sequence[str], limit: int = 4) -> str:
    """Return the first few names, and how many more there are."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


class NetbuildError(Exception):
    """Base of all errors of netbuild: the text is written for the user."""


class GraphError(NetbuildError):
    """A net, a prototxt or a set of branches that Caffe would refuse or misread."""


class WeightsError(NetbuildError):
    """A weight file that cannot be read, or that does not fit the net it is meant for."""


class NetbuildWarning(UserWarning):
    """What the user should know and netbuild cannot decide; the command line prints it as a note."""


class CaffeError(NetbuildError):
    """No usable Caffe, or Caffe's engine gave up (its last words are in the text)."""
