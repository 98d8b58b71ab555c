"""What the command line calls NET[@SEAM]: a builder, a function of the user's, or a prototxt, cut where it says."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any, Mapping, Optional, Sequence, Tuple

from ..errors import GraphError
from ..graph.rename import renamed
from ..layers import infer
from ..names import qualify
from ..proto import Staged
from ..schema import TEST, Message, netspec
from ..schema.programs import net_written
from .branch import Branch, Builder
from .calling import called
from .given import prototxts, require_no_state, split_seam
from .table import find_builder
from .written import Top, add_layers, blob_of


def find_branch(text: str, *, stages: Sequence[str] = (), level: Optional[int] = None) -> Builder:
    """Return the builder of what the command line calls NET[@SEAM].

    Args:
        text: The name of a builder (`resnet50`), a function of your own (`package.module:function`), or the path of a
            prototxt. Several prototxts, one for each phase, have a comma between them. What follows an `@` is the blob
            at which the branch ends.
        stages: Stages that choose layers of a prototxt, beside those of its own `state`.
        level: The level that does; by default that of its own `state`.

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

        return prototxt([Staged(file, stages, level) for file in files], seam or None)
    require_no_state(name, stages, level)
    builder = find_builder(name)
    return partial(cut_short, builder, seam) if seam else builder


def alone(builder: Builder, *, frozen: bool = False) -> Tuple[Message, Branch]:
    """Return a builder's net up to its seam, fed by an Input `data` of the shape that its source declares, if any."""
    net = netspec().NetSpec()
    net.data = netspec().layers.Input()
    branch = called(builder, net, net.data, "", frozen=frozen)
    message = net_written(net)
    if branch.input is not None and branch.input.shape is not None:
        message.layer[0].input_param.shape.add(dim=[1, *branch.input.shape])
    return message, branch


def taking(builder: Builder, inputs: Mapping[str, Top]) -> Builder:
    """Return a builder that takes what feeds its blobs by their names, as that of a prototxt does by itself."""
    if not inputs:
        return builder
    kinds = {one.name: one.kind for one in inspect.signature(builder).parameters.values()}
    takes = "inputs" in kinds or inspect.Parameter.VAR_KEYWORD in kinds.values()
    return builder if takes else partial(cut_short, builder, "")


def _no_head(*_: Any) -> Top:
    raise GraphError(
        "a builder's own classifier is not written where it begins behind its input: emit it as a net, and give its "
        "prototxt"
    )


def cut_short(
    builder: Builder,
    seam: str,
    net: Any,
    bottom: Optional[Top],
    prefix: str = "",
    *,
    frozen: bool = False,
    inputs: Mapping[str, Top] = {},
) -> Branch:
    """Write a part of a builder's branch: from the blobs of `inputs` on, where there are any, and up to a seam.

    '' stands for the seam that the builder has.
    """
    from ..graph.cut import cut
    from .declared import features_of

    message, branch = alone(builder, frozen=frozen)
    end = seam or branch.seam
    kept = cut(message, [end], list(inputs))
    features = type(kept)(layer=[layer for layer in kept.layer if layer.bottom])
    if not features.layer:
        raise GraphError(f"the seam {end!r} is an input of the net: there is nothing before it")
    reads_data = len(features.layer) < len(kept.layer)
    if reads_data == (bottom is None):
        where = " and ".join(map(repr, inputs)) or "its input"
        says = "still reads the net's input: say what feeds that" if reads_data else "does not read the net's input"
        raise GraphError(f"what comes after {where} {says}, or begin elsewhere")
    shapes = infer(message, TEST).blobs
    fed = {**({"data": bottom} if reads_data else {}), **inputs}
    declared = {**{blob: features_of(shapes.get(blob)) for blob in inputs}, "data": branch.input}
    outside = {blob: blob_of(net, top) for blob, top in fed.items()}
    written = renamed(features, partial(qualify, prefix), outside)
    tops = add_layers(net, written.layer, {outside[blob]: top for blob, top in fed.items()})
    shape = shapes.get(end)
    classifies = bool(inputs) and end == branch.seam
    return Branch(
        prefix,
        end,
        tops[qualify(prefix, end)],
        channels=shape[1] if shape is not None and len(shape) > 1 else None,
        classifier=branch.classifier if classifies else None,
        head=_no_head if classifies and branch.head else None,
        net_name=branch.net_name,
        input=declared[next(iter(fed))],
        reads={outside[blob]: declared[blob] for blob in fed},
    )
