"""The one family of errors.

Everything a user can cause is raised as a `NetbuildError`, whose text says what is wrong, where, what was
expected, what was found and what to do. The command line prints that text and nothing else.
"""

from __future__ import annotations

from typing import Iterable, Optional, Sequence

_LARGEST = 3.4028234663852886e38
"""Of floats of 32 bits."""


def printable(text: str) -> str:
    """Return the text with its control characters escaped, as Python writes them.

    Names and paths come from files of others: shown as they are, they could command the terminal or forge a line.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def some(names: Sequence[str], limit: int = 4) -> str:
    """Return the first few names, and how many more there are."""
    more = len(names) - limit
    return ", ".join(map(printable, names[:limit])) + (f" and {more} more" if more > 0 else "")


def did_you_mean(word: str, known: Iterable[str], otherwise: Optional[str] = None, *, likeness: float = 0.6) -> str:
    """Return the end of a sentence about a word that is not among the known ones: 'did you mean ...?'.

    Where none is close, by difflib's ratio of likeness, it is `otherwise`, or the list of all.
    """
    # Imported where it is needed: it costs a tenth of what netbuild --help takes.
    from difflib import get_close_matches

    names = list(known)
    near = get_close_matches(word, names, 1, likeness)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known are {', '.join(map(printable, names))}" if otherwise is None else otherwise


class NetbuildError(Exception):
    """Base of all errors of netbuild: the text is written for the user.

    Examples:
        >>> from netbuild import NetbuildError, read_solver
        >>> try:
        ...     read_solver("nowhere.prototxt")
        ... except NetbuildError as error:
        ...     print(error)
        prototxt 'nowhere.prototxt': no such file
    """


class GraphError(NetbuildError):
    """A net, a prototxt or a set of branches that Caffe would refuse or misread.

    Examples:
        >>> from netbuild import Fusion, GraphError, build, lenet
        >>> try:
        ...     build(Fusion({"odd_": lenet, "odd_b_": lenet}, classes=10))
        ... except GraphError as error:
        ...     print(error)
        the prefixes 'odd_' and 'odd_b_' overlap: ...
    """


class WeightsError(NetbuildError):
    """A weight file that cannot be read, or that does not fit the net it is meant for.

    Examples:
        >>> from netbuild import WeightsError, fuse_weights
        >>> try:
        ...     fuse_weights("fused/deploy.prototxt", {"odd": "odd.caffemodel"}, "init.caffemodel")
        ... except WeightsError as error:
        ...     print(error)
        3 frozen layers would get no weights, ...
    """


class NetbuildWarning(UserWarning):
    """What the user should know and netbuild cannot decide; the command line prints it as a note.

    Examples:
        >>> import warnings
        >>> from netbuild import DataSource, Fusion, NetbuildWarning, emit_files, lenet
        >>> with warnings.catch_warnings(record=True) as notes:
        ...     warnings.simplefilter("always", NetbuildWarning)
        ...     paths = emit_files(Fusion({"": lenet}, classes=5), DataSource(kind="input"), "net")
        >>> print(notes[0].message)
        data of kind input is taken as it is; give 'data' images that are less 128, times 0.00390625
    """


def require_finite(what: str, values: Iterable[float]) -> None:
    """Raise GraphError for a value that no net can hold in its 32 bits: NaN, infinity, too large."""
    for value in values:
        if not abs(value) <= _LARGEST:
            raise GraphError(f"{what} is {value:g}; a finite number is needed")


def require_type(value: object, kind: type, what: str) -> None:
    """Raise NetbuildError for an argument of another kind than a public function takes; `what` is its name."""
    if not isinstance(value, kind):
        raise NetbuildError(f"{what}: expected {kind.__name__}(...), found {value!r}")


def require_factor(what: str, value: float) -> None:
    """Raise GraphError for a factor on images that is no finite number, or 0."""
    require_finite(what, [value])
    if not value:
        raise GraphError(f"{what} is 0, which makes all images alike")


class CaffeError(NetbuildError):
    """No usable Caffe, or Caffe's engine gave up (its last words are in the text).

    Examples:
        >>> from netbuild import CaffeError, diagnose
        >>> try:
        ...     diagnose(gpu=99)
        ... except CaffeError as error:
        ...     print("no GPU here")
        no GPU here
    """
