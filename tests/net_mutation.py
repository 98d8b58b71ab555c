"""Damage inside a net's message: other numbers, names, blobs, types, phases and layers; what is left parses."""

from netbuild.layers.table import TYPES
from netbuild.proto import copied
from netbuild.schema import CARRIED, is_repeated
from netbuild.schema.forks import upstream

WHOLE = (0, 1, 2, 3, 5, 7, 64, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**62)
NUMBERS = (*WHOLE, *(-number for number in WHOLE[1:]))
REALS = (0.0, 1.0, -1.0, 0.5, 1e-45, 3e38, -3e38, float("inf"), float("nan"))
NAMES = ("", "data", "label", "x", "conv1", "odd/conv1", "a\0b", "\x1b[2J", "ünï", "../up", 'quo"te', "w" * 300)
OWN_OPTIONS = {
    **dict.fromkeys(("Deconvolution", "Im2col"), "convolution_param"),
    **dict.fromkeys(("LSTM", "RNN"), "recurrent_param"),
    **dict.fromkeys(("SoftmaxWithLoss", "Softmax"), "softmax_param"),
}


def mutated(net, others, random):
    """Return a net with one thing changed, or up to six; `others` are nets from which layers may come."""
    result = copied(net)
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        random.choices(WAYS, WEIGHTS)[0](result, others, random)
    return result


def _blobs(net):
    return [blob for layer in net.layer for blob in (*layer.top, *layer.bottom)] or ["data"]


def _change_value(net, _others, random):
    message = random.choice([net, *[layer for layer in net.layer for _ in range(4)]] if len(net.layer) else [net])
    while True:
        inner = [
            (field, value)
            for field, value in message.ListFields()
            if field.message_type is not None and len(str(value))
        ]
        if not inner or random.random() < 0.4:
            break
        field, value = random.choice(inner)
        message = random.choice(value) if is_repeated(field) else value
    _change_field(message, random)


def _change_field(message, random):
    there = [field for field, _ in message.ListFields() if field.name != CARRIED]
    field = random.choice(there if there and random.random() < 0.7 else _upstreams(message.DESCRIPTOR))
    if field.name == "blobs":
        # Values belong into weight files; those of a prototxt are not looked at.
        return
    if is_repeated(field):
        _change_list(message, field, random)
    elif random.random() < 0.2:
        message.ClearField(field.name)
    elif field.message_type is not None:
        _change_field(getattr(message, field.name), random)
        getattr(message, field.name).SetInParent()
    else:
        setattr(message, field.name, _value(field, random))


def _upstreams(descriptor):
    """The fields that any Caffe has, for it is asked about these nets; all of a message that only a fork has."""
    known = upstream().messages.get(descriptor.name)
    fields = [field for field in descriptor.fields if field.name != CARRIED]
    return [field for field in fields if known is None or field.name in known]


def _change_list(message, field, random):
    found = getattr(message, field.name)
    if len(found) and random.random() < 0.5:
        del found[random.randrange(len(found))]
    elif field.message_type is not None:
        if len(found) and random.random() < 0.5:
            found.add().CopyFrom(random.choice(found))
        else:
            _change_field(found.add(), random)
    elif len(found) and random.random() < 0.5:
        found[random.randrange(len(found))] = _value(field, random)
    else:
        # Now and then more than any blob has axes.
        found.extend([_value(field, random)] * random.choice((1, 1, 1, 2, 40)))


def _value(field, random):
    if field.enum_type is not None:
        values = field.enum_type.values
        known = upstream().enums.get(field.enum_type.full_name[len("caffe.") :], [value.name for value in values])
        return random.choice([value.number for value in values if value.name in known])
    if field.cpp_type == field.CPPTYPE_STRING:
        name = random.choice(NAMES)
        return name if field.type != field.TYPE_BYTES else name.encode()
    if field.cpp_type == field.CPPTYPE_BOOL:
        return random.random() < 0.5
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return random.choice(REALS)
    signed = field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_INT64)
    bits = 32 if field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_UINT32) else 64
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return random.choice([number for number in NUMBERS if least <= number <= most])


def _on_a_layer(change):
    def way(net, others, random):
        if len(net.layer):
            change(net, random.choice(net.layer), others, random)

    return way


def _change_options(_net, layer, _others, random):
    wanted = OWN_OPTIONS.get(layer.type, f"{layer.type.lower()}param").replace("_", "")
    own = [field for field in _upstreams(layer.DESCRIPTOR) if field.name.replace("_", "") == wanted]
    for field in own[: len(layer.type)]:
        _change_field(getattr(layer, field.name), random)


def _rewire(net, layer, _others, random):
    blobs = random.choice((layer.bottom, layer.top))
    if len(blobs):
        blobs[random.randrange(len(blobs))] = random.choice(_blobs(net))
    else:
        blobs.append(random.choice(_blobs(net)))


def _write_in_place(net, layer, _others, random):
    if len(layer.bottom) and len(layer.top):
        position = random.randrange(min(len(layer.bottom), len(layer.top)))
        before = layer.top[position]
        layer.top[position] = layer.bottom[position]
        # Those that read the old name go on reading what the layer makes.
        for other in net.layer:
            other.bottom[:] = [layer.bottom[position] if blob == before else blob for blob in other.bottom]


def _change_type(_net, layer, _others, random):
    layer.type = random.choice([*TYPES, "Mystery", "", "relu"])


def _change_rules(_net, layer, _others, random):
    rule = random.choice((layer.include, layer.exclude)).add()
    if random.random() < 0.8:
        rule.phase = random.randrange(2)
    else:
        _change_field(rule, random)


def _drop(net, layer, _others, _random):
    net.layer.remove(layer)


def _repeat(net, layer, _others, random):
    copy = net.layer.add()
    copy.CopyFrom(layer)
    if random.random() < 0.5:
        copy.name += "_2"


def _move(net, layer, _others, random):
    layers = [one for one in net.layer if one is not layer]
    layers.insert(random.randint(0, len(layers)), layer)
    moved = [copied(one) for one in layers]
    del net.layer[:]
    net.layer.extend(moved)


def _borrow(net, others, random):
    other = random.choice(others)
    if len(other.layer):
        layer = net.layer.add()
        layer.CopyFrom(random.choice(other.layer))
        for position in range(len(layer.bottom)):
            layer.bottom[position] = random.choice(_blobs(net))


WAYS = (
    _change_value,
    _on_a_layer(_change_options),
    _on_a_layer(_rewire),
    _on_a_layer(_write_in_place),
    _on_a_layer(_change_type),
    _on_a_layer(_change_rules),
    _on_a_layer(_drop),
    _on_a_layer(_repeat),
    _on_a_layer(_move),
    _borrow,
)
WEIGHTS = (6, 6, 3, 2, 1, 1, 1, 1, 1, 2)
