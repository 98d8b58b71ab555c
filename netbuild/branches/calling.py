"""A builder is called: whatever goes wrong in it becomes one sentence."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import Any, Iterator, List, Mapping

from ..errors import GraphError, NetbuildError, NetbuildWarning
from .branch import Branch, Builder

_OF_LAYER = "layer '"
_FORM = 'def NAME(net, bottom, prefix="", *, frozen=False)'


def called(
    builder: Builder, net: Any, bottom: Any, prefix: str, *, frozen: bool, inputs: Mapping[str, Any] = {}
) -> Branch:
    """Let a builder write its branch into a NetSpec; raise GraphError where it fails, or returns no branch."""
    who = f"branch {prefix!r}: its builder" if prefix else "the builder"
    more = {"inputs": inputs} if inputs else {}
    try:
        with _notes_of(prefix):
            branch = builder(net, bottom, prefix, frozen=frozen, **more)
    except NetbuildError as error:
        raise type(error)(f"branch {prefix!r}: {error}" if prefix else str(error)) from None
    except Exception as error:
        raise GraphError(f"{who} failed: {type(error).__name__}: {error}{_where(builder, error)}") from error
    if not isinstance(branch, Branch):
        raise GraphError(f"{who} returned {type(branch).__name__}, not a netbuild.Branch")
    return branch


@contextmanager
def _notes_of(prefix: str) -> Iterator[None]:
    """Let what is noted of a layer name the branch too: two of them may have layers of one name."""
    noted: List[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always", NetbuildWarning)
            yield
    finally:
        for one in noted:
            of_layer = prefix and str(one.message).startswith(_OF_LAYER)
            text = f"branch {prefix!r}: {one.message}" if of_layer else str(one.message)
            warnings.warn(text, one.category, stacklevel=4)


def _where(builder: Builder, error: Exception) -> str:
    """Return where a builder failed, in its own file if possible; where its call did, how builders are called."""
    import traceback

    code = getattr(builder, "__code__", None)
    own = getattr(code, "co_filename", "")
    *_, place = frames = traceback.extract_tb(error.__traceback__)
    if len(frames) == 1 and isinstance(error, TypeError):
        defined = f" ({own}:{code.co_firstlineno})" if code is not None else ""
        return f"{defined}; a builder is a function of the form {_FORM}"
    of_user = [frame for frame in frames if frame.filename == own]
    place = of_user[-1] if of_user else place
    return f" ({place.filename}:{place.lineno})"
