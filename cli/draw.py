"""netbuild draw."""

from __future__ import annotations

from typing import Optional, Sequence

import click

from netbuild.emit.named import named_net
from netbuild.engine.caffe import TEST, TRAIN
from netbuild.show.drawing import draw_net

from .builders import complete_net
from .console import say


@click.command("draw")
@click.argument("net", metavar="NET", shell_complete=complete_net)
@click.option("-o", "--output", metavar="FILE", required=True, help="What to write: a .svg, .png, .pdf or .dot.")
@click.option("--collapse", is_flag=True, help="Draw chains, modules and equal modules in a row as one box each.")
@click.option("--phase", type=click.Choice(["train", "test"]), help="Phase to draw.  [default: train, if there is one]")
@click.option("--prefix", "prefixes", multiple=True, help="A branch, where the names do not tell; repeat for several.")
@click.option("--classes", type=click.IntRange(1), help="Of a builder: the net that trains, with so many classes.")
def command(
    net: str, output: str, collapse: bool, phase: Optional[str], prefixes: Sequence[str], classes: Optional[int]
) -> None:
    """Draw NET, a prototxt or a builder: branches in frames, frozen and trainable parts, shapes on the arrows.

    Boxes of frozen layers are blue with a dashed line, of trainable ones orange with a thick line, and each says so.
    Layers in place stand in the box of the layer whose blob they change. Graphviz draws.
    """
    phases = {"train": TRAIN, "test": TEST, None: None}
    draw_net(named_net(net, classes), output, phase=phases[phase], prefixes=prefixes, collapse=collapse)
    say(output)
