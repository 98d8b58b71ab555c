"""What the command line calls NET[@SEAM]: a builder, a function of the user's, or a prototxt, cut where it says."""

from __future__ import annotations

from functools import partial
from typing import Any, Tuple

from ..errors import GraphError
from ..graph.rename import renamed
from ..layers import infer
from ..names import qualify
from ..schema import TEST, Message, netspec
from ..schema.programs import net_written
from .branch import Branch, Builder
from .calling import called
from .given import prototxts, split_seam
from .table import find_builder
from .written import Top, add_layers, blob_of


def find_branch(text: str) -> Builder:
    """Return the builder of what the command line calls NET[@SEAM].

    Args:
        text: The name of a builder (`resnet50`), a function of your own (`package.module:function`), or the path of a
            prototxt. Several prototxts, one for each phase, have a comma between them. What follows an `@` is the blob
            at which the branch ends.

    Returns:
        A builder, for `Fusion` or to be called with a NetSpec.

    Raises:
        GraphError: There is no such builder, function or seam.

    Examples:
        >>> from netbuild import BranchSpec, Fusion, build, find_branch
        >>> new = BranchSpec(find_branch("lenet@pool2"), frozen=False)
        >>> build(Fusion({"old": "odd/deploy.prototxt@pool2", "new": new}, classes=10)).seams
        {'old': 'old/pool2', 'new': 'new/pool2'}
    """
    name, seam = split_seam(text)
    files = prototxts(name)
    if files:
        # Here, since a builder's net is built without what reads and cuts others.
        from .prototxt import prototxt

        return prototxt(files, seam or None)
    builder = find_builder(name)
    return partial(_cut_short, builder, seam) if seam else builder


def alone(builder: Builder, *, frozen: bool = False) -> Tuple[Message, Branch]:
    """Return a builder's net up to its seam, fed by an Input `data` of the shape that its source declares, if any."""
    net = netspec().NetSpec()
    net.data = netspec().layers.Input()
    branch = called(builder, net, net.data, "", frozen=frozen)
    message = net_written(net)
    if branch.input is not None and branch.input.shape is not None:
        message.layer[0].input_param.shape.add(dim=[1, *branch.input.shape])
    return message, branch


def _cut_short(builder: Builder, seam: str, net: Any, bottom: Top, prefix: str = "", *, frozen: bool = False) -> Branch:
    """Write a builder's branch only up to another seam than its own."""
    from ..graph.cut import cut

    message, branch = alone(builder, frozen=frozen)
    kept = cut(message, [seam])
    if len(kept.layer) < 2:
        raise GraphError(f"the seam {seam!r} is an input of the net: there is nothing before it")
    shape = infer(message, TEST).blobs[seam]
    del kept.layer[0]
    outer = blob_of(net, bottom)
    written = renamed(kept, partial(qualify, prefix), {"data": outer})
    tops = add_layers(net, written.layer, {outer: bottom})
    channels = shape[1] if shape is not None and len(shape) > 1 else None
    top = tops[qualify(prefix, seam)]
    return Branch(prefix, seam, top, channels, classifier=None, net_name=branch.net_name, input=branch.input)
