"""Public nets made such that upstream's Caffe can be asked about them: inputs in place of what it cannot have.

What a data layer makes stands partly in its options; the rest is tried out: of a few usual images, what fits the net.
For a layer that only a fork has stands an input of the shapes that we give its tops; the fields of forks are left out.
check and Caffe are asked about the same net, which is as good as the public one, except for what was left out.
"""

from typing import Any, Dict, Iterator, List, Sequence, Set, Tuple

from netbuild.graph.view import NetView
from netbuild.layers import Shape
from netbuild.layers.table import TYPES
from netbuild.proto import NetState, copied, with_layers
from netbuild.schema import Message, is_repeated, schema, values_of
from netbuild.schema.forks import upstream

IMAGES = (
    (3, 227, 227),
    (3, 224, 224),
    (1, 28, 28),
    (3, 28, 28),
    (3, 32, 32),
    (1, 227, 227),
    (3, 321, 321),
    (3, 512, 512),
)
BATCH = 2
FEEDS = ("Data", "HDF5Data", "ImageData", "WindowData")
TAKES = ("HDF5Output",)
OF_DETECTION = {
    **dict.fromkeys(("rois", "gt_boxes"), (BATCH, 5)),
    "im_info": (1, 3),
    **dict.fromkeys(("bbox_targets", "bbox_inside_weights", "bbox_outside_weights", "bbox_loss_weights"), (BATCH, 84)),
}
"""What detectors' own data layers make."""
LIGHT = 2_000_000
"""Values in the parameters of a net whose fillers are left as they are: to draw more takes long."""


def stood_in(net: Message, state: NetState) -> Message:
    """Return the net in a state with inputs for what Caffe lacks, as far as it is known of what shape they are."""
    kept = state.only(net)
    feeds = [layer for layer in kept.layer if not layer.bottom and (layer.type in FEEDS or _is_open(layer))]
    # What feeds a net in a fork is its own kind of data layer.
    feeds += [layer for layer in kept.layer if not layer.bottom and layer.type not in TYPES]
    tries = [_of_upstream(_with_inputs(kept, shapes), state) for shapes in _guesses(kept, state, feeds)]
    return next((one for one in tries if not NetView(one, state.phase).misfits), tries[0])


def _is_open(layer: Message) -> bool:
    """Tell whether a layer leaves it to others what it makes: an Input without a shape, or a program's own data."""
    return layer.type == "Python" or (layer.type == "Input" and not layer.input_param.shape)


def _guesses(net: Message, state: NetState, feeds: List[Message]) -> Iterator[Dict[str, Shape]]:
    """Yield shapes for what files feed, one of the usual images after the other."""
    known = NetView(net, state.phase).shapes.blobs
    for image in IMAGES if feeds else [()]:
        yield {
            top: _completed(top, known.get(top), image, is_label=bool(number))
            for layer in feeds
            for number, top in enumerate(layer.top)
        }


def _completed(name: str, known: Shape, image: Tuple[int, ...], *, is_label: bool) -> Shape:
    if known is None:
        return OF_DETECTION.get(name) or ((BATCH,) if is_label or "label" in name else (BATCH, *image))
    usual_lengths = (BATCH, *image, *[1] * len(known))
    return tuple(length or usual for length, usual in zip(known, usual_lengths))


def _with_inputs(net: Message, shapes: Dict[str, Shape]) -> Message:
    layers = [copied(layer) for layer in net.layer]
    for layer in layers:
        if layer.type in TAKES:
            layer.type = "Silence"
            layer.ClearField("hdf5_output_param")
        if layer.top and all(top in shapes for top in layer.top) and not layer.bottom:
            layer.CopyFrom(_input(layer, [shapes[top] for top in layer.top]))
    return with_layers(net, layers)


def _input(layer: Message, shapes: Sequence[Shape]) -> Message:
    stand_in = schema().LayerParameter(name=layer.name, type="Input", top=layer.top)
    for shape in shapes:
        stand_in.input_param.shape.add(dim=shape or ())
    return stand_in


def _of_upstream(net: Message, state: NetState) -> Message:
    """Return the net without what only forks have, and without what reads layers of theirs that make who knows what."""
    view = NetView(net, state.phase)
    layers: List[Message] = []
    unknown: Set[str] = set()
    for index, layer in enumerate(net.layer):
        shapes = view.shapes.tops[index]
        foreign = layer.type not in TYPES or layer.type == "Python"
        if unknown.intersection(layer.bottom) or (foreign and any(shape is None or None in shape for shape in shapes)):
            unknown.update(layer.top)
        elif foreign:
            tops = [(top, shape) for top, shape in zip(layer.top, shapes) if top not in layer.bottom]
            alone = copied(layer)
            alone.top[:] = [top for top, _ in tops]
            layers += [_input(alone, [shape for _, shape in tops])] if tops else []
        else:
            layers.append(layer)
    return _without_own(with_layers(net, layers))


def _without_own(message: Message) -> Message:
    """Return a message without the fields and values that upstream does not have."""
    result = copied(message)
    known = upstream().messages.get(message.DESCRIPTOR.full_name[len("caffe.") :], {})
    for field, value in message.ListFields():
        if field.name not in known or (
            field.enum_type is not None and any(_is_own(field, one) for one in values_of(field, value))
        ):
            result.ClearField(field.name)
        elif field.message_type is not None:
            result.ClearField(field.name)
            for one in values_of(field, value):
                made = getattr(result, field.name)
                (made.add() if is_repeated(field) else made).CopyFrom(_without_own(one))
    return result


def _is_own(field: Any, value: int) -> bool:
    known = upstream().enums.get(field.enum_type.full_name[len("caffe.") :], {})
    return field.enum_type.values_by_number[value].name not in known


def lightened(net: Message) -> Message:
    """Return the net without what its parameters begin with, where there are so many that drawing takes long."""
    view = NetView(net, 1)
    values = 0
    for shapes in view.shapes.params.values():
        for shape in shapes or ():
            count = 1
            for length in shape or ():
                count *= length or 1
            values += count
    if values < LIGHT:
        return net
    result = copied(net)
    for layer in result.layer:
        for options, value in layer.ListFields():
            if options.message_type is not None and options.name.endswith("_param"):
                for field in ("weight_filler", "bias_filler", "filler"):
                    if field in value.DESCRIPTOR.fields_by_name:
                        value.ClearField(field)
    return result
