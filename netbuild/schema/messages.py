"""The message classes of Caffe's nets, made of the definitions: no Caffe is needed, and any protobuf will do.

One set of classes takes the text of upstream and of every fork that is known here, and of the Caffe that is installed:
fields go by their names. What none of them has is carried: each message has a place for the text of such fields.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, List, Sequence, Tuple

from ..errors import CaffeError
from .definitions import PACKAGE, SCALARS, Definitions, Field, joined, overridden
from .forks import FORKS, Fork, of_fork, sources, upstream
from .kept import kept
from .loaded import offer
from .pycaffe import generated, installed_definitions, package_folder

Message = Any
"""A message of caffe.proto (NetParameter, LayerParameter, SolverParameter); its classes are made at run time."""

TRAIN, TEST = 0, 1
"""The values of caffe.proto's enum Phase."""

CARRIED = "netbuild_carried"
"""The field, in every message of `schema()`, that holds the text of fields which no Caffe known here has."""
_CARRIED_NUMBER = (1 << 29) - 1
"""The largest that protobuf allows."""
_FILE = "caffe.proto"
MODULE = "caffe.proto.caffe_pb2"
"""What pycaffe calls the module of its message classes."""


@lru_cache(maxsize=None)
def schema() -> Any:
    """Return a module of message classes and enums, in the place of pycaffe's caffe_pb2.

    Made of upstream's definitions, those of the known forks, and those of an installed Caffe that has more. A later
    `import caffe` gets this very module, so that there is one class for each message.
    """
    # To read and join all texts takes ten times as long as to read what came of it.
    module = _module_of_bytes(kept("schema", _sources(), _serialized))
    if MODULE not in sys.modules:
        with suppress(CaffeError):  # there is no pycaffe that could be imported later
            offer(MODULE, module, package_folder() / "proto")
    return module


def _sources() -> bytes:
    """Return all that the schema is made of."""
    programs = [Path(__file__).with_name("pycaffe.py"), Path(__file__)]
    return b"\0".join([sources(), *(file.read_bytes() for file in programs), generated()])


def _serialized() -> bytes:
    """Return the descriptor of `schema()`, as bytes of protobuf's."""
    known, installed = _known(), installed_definitions()
    everything = joined([installed, known]) if installed and _more(installed, known) else known
    for fields in everything.messages.values():
        fields[CARRIED] = Field("repeated", "string", _CARRIED_NUMBER)
    return _bytes_of(everything)


def _known() -> Definitions:
    return joined([upstream(), joined(map(of_fork, FORKS), widened=True)])


def installed_has_more() -> List[str]:
    """Return what the installed Caffe has that is not known here, or has otherwise: 'PoolingParameter.twist'."""
    installed = installed_definitions()
    return _more(installed, _known()) if installed else []


def _more(installed: Definitions, known: Definitions) -> List[str]:
    found: List[str] = []
    for message, fields in installed.messages.items():
        there = known.messages.get(message, {})
        for name, field in fields.items():
            # Numbers aside: texts go by names.
            if name not in there or there[name]._replace(number=field.number) != field:
                found.append(f"{message}.{name}")
    for enum, values in installed.enums.items():
        found += [f"{enum}.{value}" for value in values if value not in known.enums.get(enum, {})]
    return found


@lru_cache(maxsize=None)
def schema_of(fork: Fork) -> Any:
    """Return a module of message classes as one fork has them, field numbers included: for what it wrote as bytes."""
    return module_of(overridden(upstream(), of_fork(fork)))


@lru_cache(maxsize=None)
def upstream_schema() -> Any:
    """Return a module of message classes as upstream has them."""
    return module_of(upstream())


def is_repeated(field: Any) -> bool:
    """Tell whether a message has a list of a field's values; `field` is a FieldDescriptor of any protobuf."""
    # protobuf 7 has no `label` any more, and those before 6 have nothing else.
    return bool(field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED)


def values_of(field: Any, value: Any) -> Sequence[Any]:
    """Return the values that a message gives a field, one or more; `value` is what `ListFields` gives with it."""
    return value if is_repeated(field) else [value]


class _Module(ModuleType):
    """A module whose classes are made when they are asked for: few programs use more than ten of four hundred."""

    def __init__(self, file: Any) -> None:
        super().__init__(MODULE, "Messages of caffe.proto, as netbuild knows them.")
        self.DESCRIPTOR = file
        for enum in file.enum_types_by_name.values():
            vars(self).update((value.name, value.number) for value in enum.values)

    def __getattr__(self, name: str) -> Any:
        file = self.DESCRIPTOR
        if name in file.message_types_by_name:
            made: Any = _class_of(file.message_types_by_name[name])
        elif name in file.enum_types_by_name:
            from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

            made = EnumTypeWrapper(file.enum_types_by_name[name])
        else:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        setattr(self, name, made)
        return made

    def __dir__(self) -> List[str]:
        return sorted({*vars(self), *self.DESCRIPTOR.message_types_by_name, *self.DESCRIPTOR.enum_types_by_name})


def _class_of(descriptor: Any) -> Any:
    from google.protobuf import message_factory

    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return _factory(descriptor.file.pool).GetPrototype(descriptor)


@lru_cache(maxsize=None)
def _factory(pool: Any) -> Any:
    from google.protobuf.message_factory import MessageFactory

    return MessageFactory(pool)


def module_of(definitions: Definitions) -> ModuleType:
    """Return a module of message classes made of the definitions, with their numbers."""
    return _module_of_bytes(_bytes_of(definitions))


def _bytes_of(definitions: Definitions) -> bytes:
    content: bytes = file_descriptor(definitions).SerializeToString()
    return content


def _module_of_bytes(descriptor: bytes) -> ModuleType:
    from google.protobuf.descriptor_pool import DescriptorPool

    # A pool of its own: in the common one Caffe's engine may have put the messages of the same names.
    pool: Any = DescriptorPool()
    pool.AddSerializedFile(descriptor)
    return _Module(pool.FindFileByName(_FILE))


def file_descriptor(definitions: Definitions) -> Any:
    """Return the definitions as protobuf's FileDescriptorProto."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    file = FileDescriptorProto(name=_FILE, package=PACKAGE, syntax="proto2")
    places: Dict[str, Any] = {}
    # An outer message comes before what it holds.
    for name in sorted(definitions.messages):
        scope, _, short = name.rpartition(".")
        places[name] = (places[scope].nested_type if scope else file.message_type).add(name=short)
    for name, values in definitions.enums.items():
        scope, _, short = name.rpartition(".")
        enum = (places[scope].enum_type if scope else file.enum_type).add(name=short)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    for name, fields in definitions.messages.items():
        for field_name, field in _for_netspec(fields) if name == "LayerParameter" else fields.items():
            _add(places[name].field, field_name, field, definitions)
    return file


def _for_netspec(fields: Dict[str, Field]) -> List[Tuple[str, Field]]:
    """Return a layer's fields, those of options whose message an earlier field holds already before all others.

    NetSpec writes a type's options to the last field that holds its message: for ReLU this must be upstream's
    relu_param, not a fork's relu6_param.
    """
    first: Dict[str, str] = {}
    for name, field in fields.items():
        first.setdefault(field.type, name)
    return sorted(fields.items(), key=lambda one: not one[0].endswith("_param") or first[one[1].type] == one[0])


def _add(fields: Any, name: str, field: Field, definitions: Definitions) -> None:
    added = fields.add(name=name, number=field.number, label=_LABELS[field.label])
    if field.type in _TYPES:
        added.type = _TYPES[field.type]
    else:
        added.type = _MESSAGE if field.type in definitions.messages else _ENUM
        added.type_name = f".{PACKAGE}.{field.type}"
    if field.default is not None:
        added.default_value = field.default[1:-1] if field.default.startswith('"') else field.default
    if field.packed:
        added.options.packed = True


# As in protobuf's descriptor.proto.
_LABELS = {"optional": 1, "required": 2, "repeated": 3}
_TYPES = dict(zip(SCALARS, (1, 2, 3, 5, 8, 9, 12, 13)))
_MESSAGE, _ENUM = 11, 14
