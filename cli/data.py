"""netbuild data mnist, netbuild data digits."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Optional

import click

from netbuild.data.images import FORMATS
from netbuild.data.lists import Digits, total, write_images
from netbuild.extras import require

from .console import say
from .options import Function
from .progress import byte_progress, progress


@click.group("data")
def command() -> None:
    """Write images, and lists of them: train_odd.txt, train_even.txt, train_all.txt and the same for val and test."""


def _format_option(function: Function) -> Function:
    return click.option(
        "--format",
        "image_format",
        type=click.Choice(FORMATS),
        default="png",
        show_default=True,
        help="Format of the images.",
    )(function)


@command.command("mnist", short_help="MNIST: 70,000 handwritten digits, downloaded or from files.")
@click.argument("folder", metavar="DIR")
@click.option("--from", "source", metavar="PATH|URL", help="A folder of idx files, mnist.pkl.gz, or a URL of either.")
@_format_option
def mnist(folder: str, source: Optional[str], image_format: str) -> None:
    """Write MNIST: 50,000 images to train, 10,000 to validate, 10,000 to test."""
    from netbuild.data.mnist import load_mnist

    require("images need", "PIL")
    splits = load_mnist(source, Path(folder) / "download", progress=byte_progress("downloading"))
    _write(splits, folder, image_format)


@command.command("digits", short_help="scikit-learn's 1,797 digits; no network needed.")
@click.argument("folder", metavar="DIR")
@_format_option
def digits(folder: str, image_format: str) -> None:
    """Write the 1,797 digits that come with scikit-learn, enlarged to 28 x 28; no network is needed."""
    from netbuild.data.digits import load_digits

    _write(load_digits(), folder, image_format)


def _write(splits: Dict[str, Digits], folder: str, image_format: str) -> None:
    with progress(total(splits), "writing images") as bar:
        written = write_images(
            splits, folder, image_format=image_format, progress=lambda done, _all: bar.update(done - bar.pos)
        )
    for name, count in written.counts.items():
        say(f"{written.path(name)}  {count:,} images")
