"""Values as plain bytes: what travels between a caller and the process that has Caffe, or between machines.

Both may run another Python, another numpy: nothing here depends on how these store their own classes. A value is one
byte that says its kind, and what that kind needs; numbers are little-endian, a length takes 8 bytes:

    N T F           None, True, False
    I D S B P       int, float (8 bytes), str (UTF-8), bytes, Path: length and bytes, but for float
    L U E M         list, tuple, set, dict: how many items, and these; of a dict key and value in turn
    A V             numpy's array and scalar: type as numpy spells it ('<f4'), shape, values in C order
    O G X           a dataclass or NamedTuple, an enum's member, an error: the class as 'module:name', and what it holds
    .               nothing more comes

Classes are netbuild's own. What is of no such kind is a TypeError for whoever sends it.
"""

from __future__ import annotations

import dataclasses
import importlib
import io
import struct
import sys
from enum import Enum
from pathlib import Path, PurePath
from typing import IO, Any, Callable, Dict, List, Mapping, Set, Tuple, Type

from ..errors import NetbuildError

VERSION = 1
"""Another number for another form of these bytes."""
_ARRAYS = "biufcSUMm"
"""The kinds of numpy's types whose values are plain bytes."""
_PACKAGE = __name__.partition(".")[0] + "."


class BrokenError(Exception):
    """Bytes that hold no value: they end too early, or come from something else."""


class _End:
    """Says that nothing more comes."""


END = _End()
"""The last of what is written, so that a stream that breaks off is known for one."""


def packed(value: Any) -> bytes:
    """Return a value as bytes."""
    parts: List[Any] = []
    _put(value, parts)
    return b"".join(parts)


def unpacked(content: bytes) -> Any:
    """Return the value that the bytes hold; raises BrokenError where they hold none."""
    return read(io.BytesIO(content))


def write(value: Any, stream: IO[bytes]) -> None:
    """Write a value; nothing of one that cannot be written (TypeError)."""
    parts: List[Any] = []
    _put(value, parts)
    stream.writelines(parts)


def read(stream: IO[bytes]) -> Any:
    """Return the next value; raises BrokenError where none comes."""
    try:
        return _get(stream)
    # Whatever bytes may be: a number of items that no memory holds, a class that is not there, text that is none.
    except (ValueError, TypeError, LookupError, AttributeError, ImportError, MemoryError, OverflowError) as error:
        raise BrokenError(f"{type(error).__name__}: {error}") from error
    except RecursionError as error:
        raise BrokenError("nested too deeply") from error


def _put(value: Any, parts: List[Any]) -> None:
    put = _PUT.get(type(value)) or _put_of(value)
    put(value, parts)


def _put_of(value: Any) -> Callable[[Any, List[Any]], None]:
    """Return what writes a value whose own type is not in the table."""
    numpy = sys.modules.get("numpy")  # where it is not loaded, nothing of it is to be written
    if isinstance(value, Enum):
        return _put_member
    if numpy is not None and isinstance(value, numpy.ndarray):
        return _put_array
    if numpy is not None and isinstance(value, numpy.generic):
        return _put_scalar
    if isinstance(value, NetbuildError):
        return _put_error
    if _fields(value) is not None:
        return _put_object
    for kind, put in ((PurePath, _put_path), (dict, _put_dict)):
        if isinstance(value, kind):
            return put
    raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__} cannot be sent: it is no plain value")


def _put_bytes(content: bytes, parts: List[Any]) -> None:
    parts += (_length(len(content)), content)


def _put_text(text: str, parts: List[Any]) -> None:
    # A file's name that is not UTF-8 has lone surrogates.
    _put_bytes(text.encode("utf-8", "surrogatepass"), parts)


def _put_str(value: str, parts: List[Any]) -> None:
    parts.append(b"S")
    _put_text(value, parts)


def _put_blob(value: bytes, parts: List[Any]) -> None:
    parts.append(b"B")
    _put_bytes(value, parts)


def _put_int(value: int, parts: List[Any]) -> None:
    parts.append(b"I")
    _put_bytes(value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True), parts)


def _put_items(kind: bytes) -> Callable[[Any, List[Any]], None]:
    def put(values: Any, parts: List[Any]) -> None:
        parts += (kind, _length(len(values)))
        for value in values:
            _put(value, parts)

    return put


def _put_dict(values: Mapping[Any, Any], parts: List[Any]) -> None:
    parts += (b"M", _length(len(values)))
    for key, value in values.items():
        _put(key, parts)
        _put(value, parts)


def _put_path(value: PurePath, parts: List[Any]) -> None:
    parts.append(b"P")
    _put_text(str(value), parts)


def _put_array(value: Any, parts: List[Any]) -> None:
    import numpy as np

    if type(value) not in (np.ndarray, np.memmap):
        raise TypeError(f"an array of the class {type(value).__qualname__} cannot be sent")
    parts.append(b"A")
    _put_values(value, parts)


def _put_scalar(value: Any, parts: List[Any]) -> None:
    import numpy as np

    parts.append(b"V")
    _put_values(np.asarray(value), parts)


def _put_values(array: Any, parts: List[Any]) -> None:
    import numpy as np

    if array.dtype.kind not in _ARRAYS:
        raise TypeError(f"an array of {array.dtype} cannot be sent: its values are no plain bytes")
    _put_text(array.dtype.str, parts)
    _put(tuple(int(length) for length in array.shape), parts)
    parts.append(_length(array.nbytes))
    if array.nbytes:
        # Seen as bytes, and copied only where they do not lie in order.
        seen: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        parts.append(memoryview(seen))


def _put_member(value: Enum, parts: List[Any]) -> None:
    parts.append(b"G")
    _put_class(type(value), parts)
    _put_text(value.name, parts)


def _put_object(value: Any, parts: List[Any]) -> None:
    parts.append(b"O")
    _put_class(type(value), parts)
    _put(_fields(value), parts)


def _put_error(error: NetbuildError, parts: List[Any]) -> None:
    parts.append(b"X")
    # One that a caller's own code has derived comes as the error of ours that it is.
    _put_class(next(kind for kind in type(error).__mro__ if kind.__module__.startswith(_PACKAGE)), parts)
    _put(error.args, parts)
    _put(dict(vars(error)), parts)


def _put_class(kind: type, parts: List[Any]) -> None:
    if not kind.__module__.startswith(_PACKAGE):
        raise TypeError(f"a {kind.__module__}.{kind.__qualname__} cannot be sent: its class is not netbuild's")
    _put_text(f"{kind.__module__}:{kind.__qualname__}", parts)


def _fields(value: Any) -> Any:
    """Return what a dataclass or a NamedTuple holds, by name; None for what is neither."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value))
    return None


def _length(length: int) -> bytes:
    return struct.pack("<Q", length)


_PUT: Dict[type, Callable[[Any, List[Any]], None]] = {
    type(None): lambda _value, parts: parts.append(b"N"),
    bool: lambda value, parts: parts.append(b"T" if value else b"F"),
    int: _put_int,
    float: lambda value, parts: parts.append(b"D" + struct.pack("<d", value)),
    str: _put_str,
    bytes: _put_blob,
    list: _put_items(b"L"),
    tuple: _put_items(b"U"),
    set: _put_items(b"E"),
    dict: _put_dict,
    _End: lambda _value, parts: parts.append(b"."),
}


def _get(stream: IO[bytes]) -> Any:
    kind = _taken(stream, 1)
    if kind not in _GET:
        raise ValueError(f"{kind!r} is no kind of value")
    return _GET[kind](stream)


def _taken(stream: IO[bytes], count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise BrokenError("it ends too early")
    return content


def _get_length(stream: IO[bytes]) -> int:
    return int(struct.unpack("<Q", _taken(stream, 8))[0])


def _get_bytes(stream: IO[bytes]) -> bytes:
    return _taken(stream, _get_length(stream))


def _get_text(stream: IO[bytes]) -> str:
    return _get_bytes(stream).decode("utf-8", "surrogatepass")


def _get_items(stream: IO[bytes]) -> List[Any]:
    return [_get(stream) for _ in range(_get_length(stream))]


def _get_dict(stream: IO[bytes]) -> Dict[Any, Any]:
    return {_get(stream): _get(stream) for _ in range(_get_length(stream))}


def _get_set(stream: IO[bytes]) -> Set[Any]:
    return set(_get_items(stream))


def _get_array(stream: IO[bytes]) -> Any:
    import numpy as np

    dtype = np.dtype(_get_text(stream))
    if dtype.kind not in _ARRAYS:
        raise ValueError(f"{dtype} is no type of plain bytes")
    array: Any = np.empty(_get(stream), dtype)
    if array.nbytes != _get_length(stream):
        raise ValueError("an array whose bytes are not those of its shape")
    if array.nbytes:
        _fill(stream, memoryview(array.reshape(-1).view(np.uint8)))
    return array


def _fill(stream: Any, view: memoryview) -> None:
    while len(view):
        count = stream.readinto(view)
        if not count:
            raise BrokenError("it ends too early")
        view = view[count:]


def _get_class(stream: IO[bytes], kind: Type[Any]) -> Any:
    """Return a class of netbuild's; ValueError for one that is not of this kind."""
    module, _, name = _get_text(stream).partition(":")
    if not module.startswith(_PACKAGE):
        raise ValueError(f"{module}: is not of netbuild")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise ValueError(f"{module}:{name}: is no class that is sent")
    return found


def _get_member(stream: IO[bytes]) -> Enum:
    kind: Type[Enum] = _get_class(stream, Enum)
    return kind[_get_text(stream)]


def _get_object(stream: IO[bytes]) -> Any:
    kind, fields = _get_class(stream, object), _get(stream)
    if not (dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")):
        raise ValueError(f"{kind}: is no class that is sent")
    return kind(**fields)


def _get_error(stream: IO[bytes]) -> NetbuildError:
    kind: Type[NetbuildError] = _get_class(stream, NetbuildError)
    arguments: Tuple[Any, ...] = _get(stream)
    # Not called: each class asks for arguments of its own.
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    vars(error).update(_get(stream))
    return error


_GET: Dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"N": lambda _stream: None,
    b"T": lambda _stream: True,
    b"F": lambda _stream: False,
    b"I": lambda stream: int.from_bytes(_get_bytes(stream), "little", signed=True),
    b"D": lambda stream: struct.unpack("<d", _taken(stream, 8))[0],
    b"S": _get_text,
    b"B": _get_bytes,
    b"P": lambda stream: Path(_get_text(stream)),
    b"L": _get_items,
    b"U": lambda stream: tuple(_get_items(stream)),
    b"E": _get_set,
    b"M": _get_dict,
    b"A": _get_array,
    b"V": lambda stream: _get_array(stream)[()],
    b"G": _get_member,
    b"O": _get_object,
    b"X": _get_error,
    b".": lambda _stream: END,
}
