"""What runs in a child process to learn whether Caffe can read an image: real Caffe, which aborts where it cannot."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Iterator, Sequence

from ..engine.caffe import caffe
from ..engine.child import apart
from ..errors import CaffeError
from ..schema import TEST

_NET = """layer {{ name: "data" type: "ImageData" top: "data" top: "label"
  image_data_param {{ source: "{}/list.txt" batch_size: 1 }} }}"""


def unread(paths: Sequence[str]) -> Iterator[str]:
    """Yield the paths of the images that this Caffe cannot read."""
    caffe()
    with tempfile.TemporaryDirectory() as folder:
        net = Path(folder) / "net.prototxt"
        net.write_text(_NET.format(folder), "utf-8")
        for path in paths:
            (Path(folder) / "list.txt").write_bytes(os.fsencode(path) + b" 0\n")
            try:
                list(apart(lambda: _open(net)))
            except CaffeError:
                yield path


def _open(net: Path) -> Iterator[None]:
    """Build the net: its data layer reads the first image."""
    caffe().Net(str(net), TEST)
    yield
