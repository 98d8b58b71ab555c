"""The Caffes that may have written a message as bytes: upstream, the installed one, the forks; each has its numbers."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, Callable, NamedTuple, Tuple

from .definitions import Definitions, overridden
from .forks import FORKS, of_fork, upstream
from .messages import module_of, schema, schema_of, upstream_schema
from .pycaffe import installed_definitions


class Dialect(NamedTuple):
    """The messages of one Caffe."""

    name: str
    """What messages call it."""
    definitions: Definitions
    classes: Callable[[], Any]
    """Returns a module of its message classes."""


@lru_cache(maxsize=None)
def dialects() -> Tuple[Dialect, ...]:
    """Return all that are known: upstream first, then the installed Caffe, then the forks."""
    installed = installed_definitions()
    own = (
        [Dialect("the installed Caffe", installed, lru_cache(None)(partial(module_of, installed)))] if installed else []
    )
    forks = [Dialect(fork.name, overridden(upstream(), of_fork(fork)), partial(schema_of, fork)) for fork in FORKS]
    return (upstream_dialect(), *own, *forks)


def upstream_dialect() -> Dialect:
    """Return the messages of upstream Caffe."""
    return Dialect("upstream Caffe", upstream(), upstream_schema)


@lru_cache(maxsize=None)
def schema_has_upstreams_numbers() -> bool:
    """Tell whether the classes of `schema()` read as bytes what upstream wrote; an installed fork may forbid it."""
    types = schema().DESCRIPTOR.message_types_by_name
    return all(
        types[message].fields_by_name[name].number == field.number
        for message, fields in upstream().messages.items()
        if "." not in message
        for name, field in fields.items()
    )
