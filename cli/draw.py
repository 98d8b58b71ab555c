"""netbuild draw."""

from __future__ import annotations

from typing import Optional, Sequence

import click

from .complete import complete_net
from .console import say
from .options import classes_option, prefixes_option, state_options


@click.command("draw")
@click.argument("net", metavar="NET", shell_complete=complete_net)
@click.option("-o", "--output", metavar="FILE", required=True, help="File to write: .svg, .png, .pdf or .dot.")
@click.option(
    "--collapse", is_flag=True, help="Draw one box for a chain of layers, for a module, and for equal modules in a row."
)
@click.option("--phase", type=click.Choice(["train", "test"]), help="Phase to draw.  [default: train, if there is one]")
@prefixes_option("Prefix of a branch, if the names do not show it")
@classes_option
@state_options
def command(
    net: str,
    output: str,
    collapse: bool,
    phase: Optional[str],
    prefixes: Sequence[str],
    classes: Optional[int],
    stages: Sequence[str],
    level: Optional[int],
) -> None:
    """Draw NET, a prototxt or a builder, with Graphviz: a frame for each branch, shapes on the arrows.

    Boxes of frozen layers are blue with a dashed line, boxes of trainable layers orange with a thick line; each says
    which it is. An in-place layer is drawn inside the box of the layer whose blob it changes.
    """
    from netbuild.emit.named import named_net
    from netbuild.schema import TEST, TRAIN
    from netbuild.show.drawing import draw_net

    phases = {"train": TRAIN, "test": TEST, None: None}
    message = named_net(net, classes, stages=stages, level=level)
    draw_net(message, output, phase=phases[phase], prefixes=prefixes, collapse=collapse)
    say(output)
