"""NetSpec, by which nets are written as programs: pycaffe's own, without its engine; ours where there is no pycaffe."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, Iterator

from .loaded import offer
from .messages import MODULE, Message, schema
from .pycaffe import package_folder

_NETSPEC = "caffe.net_spec"


def netspec() -> Any:
    """Return the module with NetSpec, Top, layers and params: pycaffe's net_spec, or our own where there is none.

    A later `import caffe` gets this very module, so that there is one class NetSpec. The engine is not loaded.

    Returns:
        A module: `netspec().layers.PReLU(top)` makes a layer, as `caffe.layers.PReLU(top)` does; `netspec().params` has
        the enums, as `caffe.params`; `netspec().NetSpec()` is an empty net.

    Examples:
        >>> from netbuild import netspec
        >>> net, layers = netspec().NetSpec(), netspec().layers
        >>> net.data = layers.Input(shape={"dim": [1, 3, 8, 8]})
        >>> net.prelu = layers.PReLU(net.data)
        >>> print([layer.type for layer in net.to_proto().layer])
        ['Input', 'PReLU']
    """
    return _module()


@lru_cache(maxsize=None)
def _module() -> Any:
    if _NETSPEC in sys.modules:
        return sys.modules[_NETSPEC]
    # There is no pycaffe, or its net_spec fails: for want of a module, or because it was made for another Python.
    with suppress(Exception):
        return _loaded(package_folder())
    from . import own_netspec

    return own_netspec


class Collected(Dict[Any, Message]):
    """The layers of a NetSpec by its functions, being made into a net of our own classes."""


def has_our_classes() -> bool:
    """Tell whether NetSpec makes messages of our classes: not where the caller has imported caffe before netbuild."""
    return getattr(netspec(), "caffe_pb2", schema()) is schema()


def net_written(spec: Any) -> Message:
    """Return the net that a NetSpec stands for as a NetParameter of our classes, whatever those of the NetSpec's are.

    Fields that only ours know are in it: `spec.to_proto()` cannot give them where pycaffe's own classes lack them.
    """
    if has_our_classes() or not isinstance(spec, netspec().NetSpec):
        return spec.to_proto()
    layers, names = Collected(), {top: name for name, top in spec.tops.items()}
    numbers: Counter[str] = Counter()
    for top in spec.tops.values():
        top._to_proto(layers, names, numbers)
    return schema().NetParameter(layer=[as_class(layer, schema().LayerParameter) for layer in layers.values()])


def as_class(message: Message, kind: Any) -> Message:
    """Return a message as one of another class of the same name; raises ParseError for a field that it lacks."""
    from google.protobuf import text_format

    return message if type(message) is kind else text_format.Parse(text_format.MessageToString(message), kind())


def _loaded(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(_NETSPEC, folder / "net_spec.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with _packages(folder):
        spec.loader.exec_module(module)
    offer(_NETSPEC, module, folder)
    return module


@contextmanager
def _packages(folder: Path) -> Iterator[None]:
    """Let net_spec's `from .proto import caffe_pb2` give our schema: importing caffe itself would load its engine."""
    caffe, proto = ModuleType("caffe"), ModuleType("caffe.proto")
    caffe.__path__, proto.__path__ = [str(folder)], [str(folder / "proto")]
    stand_ins = {"caffe": caffe, "caffe.proto": proto, MODULE: schema()}
    vars(proto)["caffe_pb2"] = schema()
    before = {name: sys.modules[name] for name in stand_ins if name in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]
        sys.modules.update(before)
