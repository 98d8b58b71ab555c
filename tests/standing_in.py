"""Public nets made such that Caffe can be asked about them without their files: inputs in place of data layers.

What a data layer makes stands partly in its options; the rest is tried out: of a few usual images, what fits the net.
"""

from typing import Dict, Iterator, List, Optional, Tuple

from netbuild.graph.view import NetView
from netbuild.layers import Shape
from netbuild.proto import NetState, copied, with_layers
from netbuild.schema import Message, schema

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
LIGHT = 2_000_000
"""Values in the parameters of a net whose fillers are left as they are: to draw more takes long."""


def stood_in(net: Message, state: NetState) -> Optional[Message]:
    """Return the net in a state with inputs for what files feed; None where no image that is tried fits."""
    kept = state.only(net)
    feeds = [layer for layer in kept.layer if layer.type in FEEDS]
    if not feeds and not any(layer.type in TAKES for layer in kept.layer):
        return kept
    tries = [_with_inputs(kept, shapes) for shapes in _guesses(kept, state, feeds)]
    fitting = [one for one in tries if not NetView(one, state.phase).misfits]
    return next(iter([*fitting, *tries]), None)


def _guesses(net: Message, state: NetState, feeds: List[Message]) -> Iterator[Dict[str, Shape]]:
    """Yield shapes for what files feed, one of the usual images after the other."""
    known = NetView(net, state.phase).shapes.blobs
    for image in IMAGES if feeds else [()]:
        yield {
            top: _completed(known.get(top), image, is_label=bool(number))
            for layer in feeds
            for number, top in enumerate(layer.top)
        }


def _completed(known: Shape, image: Tuple[int, ...], *, is_label: bool) -> Shape:
    if known is None:
        return (BATCH,) if is_label else (BATCH, *image)
    return tuple(length or usual for length, usual in zip(known, (BATCH, *image)))


def _with_inputs(net: Message, shapes: Dict[str, Shape]) -> Message:
    layers = [copied(layer) for layer in net.layer]
    for layer in layers:
        if layer.type in TAKES:
            layer.type = "Silence"
            layer.ClearField("hdf5_output_param")
        if layer.type in FEEDS:
            stand_in = schema().LayerParameter(name=layer.name, type="Input", top=layer.top)
            for top in layer.top:
                stand_in.input_param.shape.add(dim=shapes[top] or ())
            layer.CopyFrom(stand_in)
    return with_layers(net, layers)


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
