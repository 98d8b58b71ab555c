"""NetSpec for machines without pycaffe: nets written as programs, with the interface and the results of pycaffe's own.

    net = NetSpec()
    net.data = layers.Input(shape={"dim": [1, 1, 28, 28]})
    net.conv1 = layers.Convolution(net.data, num_output=20, kernel_size=5)
    net.to_proto()

The interface is that of net_spec.py in BVLC Caffe 1.0 (python/caffe): programs do not notice which of the two they use.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any, Dict, List, Tuple, Union

from .messages import Message, schema

_Layers = Dict["Function", Message]
"""The layers that have been made, in the net's order."""


@lru_cache(maxsize=None)
def _options_by_type() -> Dict[str, str]:
    """Return the field of LayerParameter that holds the options of a layer type, as far as their names tell."""
    fields = schema().LayerParameter.DESCRIPTOR.fields
    return {
        field.message_type.name[: -len("Parameter")]: field.name
        for field in fields
        if field.name.endswith("_param") and field.message_type is not None
    }


def to_proto(*tops: Top) -> Message:
    """Return the NetParameter of all layers that these Tops need, named by their types and numbers."""
    layers: _Layers = {}
    numbers: Counter[str] = Counter()
    for top in tops:
        top.fn._to_proto(layers, {}, numbers)
    return _net_of(layers)


def _net_of(layers: _Layers) -> Message:
    net = schema().NetParameter()
    net.layer.extend(layers.values())
    return net


def assign_proto(message: Message, name: str, value: Any) -> None:
    """Set a field of a message: a dict fills a message, a list a repeated field, and so does a single value."""
    # Asked of the value, as fields of pycaffe's are: a message has no `extend`.
    repeated = hasattr(getattr(message, name), "extend")
    if repeated and not isinstance(value, list):
        value = [value]
    if isinstance(value, list):
        if isinstance(value[0], dict):
            for item in value:
                _fill(getattr(message, name).add(), item)
        else:
            getattr(message, name).extend(value)
    elif isinstance(value, dict):
        _fill(getattr(message, name), value)
    else:
        setattr(message, name, value)


def _fill(message: Message, values: Dict[str, Any]) -> None:
    for name, value in values.items():
        assign_proto(message, name, value)


class Top:
    """A blob that a layer makes."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        """The layer."""
        self.n = n
        """The blob's place among the layer's tops."""

    def to_proto(self) -> Message:
        """Return the NetParameter of all layers that this blob needs."""
        return to_proto(self)

    def _to_proto(self, layers: _Layers, names: Dict[Any, str], numbers: Counter[str]) -> None:
        self.fn._to_proto(layers, names, numbers)


class Function:
    """A layer: its type, the Tops that it reads, and its options."""

    def __init__(self, type_name: str, inputs: Tuple[Top, ...], params: Dict[str, Any]) -> None:
        for index, one in enumerate(inputs):
            if not isinstance(one, Top):
                raise TypeError(f"{type_name} input {index} is not a Top (type is {type(one)})")
        self.type_name = type_name
        self.inputs = inputs
        self.params = params
        self.ntop: int = params.pop("ntop", 1)
        self.in_place: bool = params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def _to_proto(self, layers: _Layers, names: Dict[Any, str], numbers: Counter[str]) -> None:
        if self in layers:
            return
        bottoms: List[str] = []
        for top in self.inputs:
            top._to_proto(layers, names, numbers)
            bottoms.append(layers[top.fn].top[top.n])
        layer = schema().LayerParameter(type=self.type_name, bottom=bottoms)
        layer.top.extend(bottoms if self.in_place else [self._top_name(top, names, numbers) for top in self.tops])
        layer.name = self._name(names, numbers)
        for name, value in self.params.items():
            self._set_option(layer, name, value)
        layers[self] = layer

    def _set_option(self, layer: Message, name: str, value: Any) -> None:
        """Set an option of the type, or where it has none of this name, a field of the layer itself."""
        if not name.endswith("param"):
            try:
                assign_proto(getattr(layer, _options_by_type()[self.type_name]), name, value)
                return
            except (AttributeError, KeyError):
                pass
        assign_proto(layer, name, value)

    def _name(self, names: Dict[Any, str], numbers: Counter[str]) -> str:
        if self not in names:
            names[self] = (
                self._top_name(self.tops[0], names, numbers) if self.ntop > 0 else _numbered(self.type_name, numbers)
            )
        return names[self]

    def _top_name(self, top: Top, names: Dict[Any, str], numbers: Counter[str]) -> str:
        if top not in names:
            names[top] = _numbered(top.fn.type_name, numbers)
        return names[top]


def _numbered(type_name: str, numbers: Counter[str]) -> str:
    numbers[type_name] += 1
    return f"{type_name}{numbers[type_name]}"


class NetSpec:
    """A net that is being written: what is assigned to its attributes, or to its items, has that name."""

    tops: Dict[str, Any]

    def __init__(self) -> None:
        super().__setattr__("tops", {})

    def __setattr__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        return self.tops[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getitem__(self, name: str) -> Any:
        return self.tops[name]

    def to_proto(self) -> Message:
        """Return the NetParameter of all layers that the assigned Tops need."""
        names: Dict[Any, str] = {top: name for name, top in self.tops.items()}
        layers: _Layers = {}
        numbers: Counter[str] = Counter()
        for top in self.tops.values():
            top._to_proto(layers, names, numbers)
        return _net_of(layers)


class Layers:
    """Gives a function for each layer type: `layers.Convolution(bottom, kernel_size=3)`."""

    def __getattr__(self, name: str) -> Any:
        def layer(*inputs: Top, **params: Any) -> Union[Function, Top, Tuple[Top, ...]]:
            function = Function(name, inputs, params)
            if function.ntop == 0:
                return function
            return function.tops[0] if function.ntop == 1 else function.tops

        return layer


class Parameters:
    """Gives the values of enums: `params.Pooling.MAX`."""

    def __getattr__(self, name: str) -> Any:
        return _Values(f"{name}Parameter")


class _Values:
    def __init__(self, message: str) -> None:
        self._message = message

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(schema(), self._message), name)


layers = Layers()
params = Parameters()
