"""A net as callers hold it: the path of its prototxt, a NetParameter, or a NetSpec."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Sequence, Union

from ..errors import GraphError
from ..files import PathLike
from ..schema import Message, schema
from ..schema.programs import net_written
from .net import read_net
from .state import in_state, tell_idle_stages
from .text import parsed
from .upgrade import is_current, upgraded

if TYPE_CHECKING:
    from typing import Protocol

    from google.protobuf.message import Message as ProtobufMessage

    class NetSpec(Protocol):
        """What a pycaffe NetSpec has."""

        def to_proto(self) -> Any:
            """Return the NetParameter."""


Bare = Union[PathLike, "ProtobufMessage", "NetSpec"]
"""A net, in the state that it tells itself."""


@dataclass(frozen=True)
class Staged:
    """A net in a state of the caller's: with stages, and at a level, by which Caffe chooses layers.

    Examples:
        >>> from netbuild import Staged, problems
        >>> problems(Staged("odd/deploy.prototxt", level=1))
        []
    """

    net: Bare
    """A path, a NetParameter or a NetSpec."""
    stages: Sequence[str] = ()
    """Beside those that the net's own `state` has."""
    level: Optional[int] = None
    """By default that of the net's own `state`."""

    def of(self, net: Bare) -> Staged:
        """Return another net in the same state."""
        return replace(self, net=net)


Net = Union[Bare, Staged]
"""A net as public functions take it. The path may be one of an old format, and so may the message."""

_FORMS = "expected a path of a prototxt, a NetParameter or a NetSpec"
_FULL_NAME = "caffe.NetParameter"


def net_of(net: Net) -> Message:
    """Return a net in the current format, of whichever form; a NetParameter that is in it already is itself returned.

    Raises GraphError for anything else, and for what cannot be upgraded.
    """
    if isinstance(net, Staged):
        bare = net_of(net.net)
        tell_idle_stages(bare, net.stages, name_of_net(net))
        return in_state(bare, net.stages, net.level)
    if isinstance(net, (str, os.PathLike)):
        return read_net(_require_path(net))
    message = _message(net)
    if type(message) is not schema().NetParameter:
        message = _of_our_schema(message)
    return message if is_current(message) else upgraded(message, name_of_net(message))


def name_of_net(net: Net) -> str:
    """Return what messages call a net: its path, or of one in memory 'the net'."""
    path = path_of(net)
    return "the net" if path is None else os.fspath(path)


def path_of(net: Net) -> Optional[PathLike]:
    """Return the path of a net that is given by one, None for one in memory."""
    bare = net.net if isinstance(net, Staged) else net
    return bare if isinstance(bare, (str, os.PathLike)) else None


def _require_path(path: PathLike) -> PathLike:
    if "{" in os.fspath(path) and not _is_file(path):
        raise GraphError(f"a net: {_FORMS}, found the text of a prototxt; write it to a file")
    return path


def _is_file(path: PathLike) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long for a name, or with NUL in it
        return False


def _message(net: Any) -> Message:
    # Asked of the type: a NetSpec takes every name for that of a Top.
    if hasattr(type(net), "DESCRIPTOR"):
        return net
    # A Top can make a net too, but one in which no layer has its name.
    if not hasattr(type(net), "to_proto") or type(net).__name__ == "Top":
        raise GraphError(f"a net: {_FORMS}, found {type(net).__name__}")
    try:
        return net_written(net)
    except Exception as error:
        # NetSpec looks at a layer's arguments only now.
        raise GraphError(f"a NetSpec gave a layer an argument that it does not take: {error}") from error


def _of_our_schema(message: Message) -> Message:
    """Return a NetParameter of another module's class, a caffe_pb2 of the caller's own, as one of ours."""
    from google.protobuf import text_format

    if message.DESCRIPTOR.full_name != _FULL_NAME:
        raise GraphError(f"a net: {_FORMS}, found a {message.DESCRIPTOR.name}")
    return parsed(text_format.MessageToString(message))
