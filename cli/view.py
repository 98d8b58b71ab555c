"""netbuild view."""

from __future__ import annotations

import time

import click

from netbuild.errors import NetbuildError
from netbuild.extras import optional
from netbuild.files import existing_file

from .console import say

_SUFFIXES = (".prototxt", ".pbtxt", ".caffemodel", ".h5")


@click.command("view")
@click.argument("file", metavar="FILE")
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="Port on this machine.  [default: a free one]")
@click.option("--browser/--no-browser", default=True, help="Open a browser.  [default: browser]")
def command(file: str, port: int, browser: bool) -> None:
    """Open a prototxt or a weight file in Netron, in the browser, until Ctrl-C.

    The file is served to this machine only. If there is a network, Netron's own page looks up your country and reports
    to Netron's makers how it is used: a file's suffix, size and format, and the number of its layers.
    """
    path = existing_file(file, "file")
    if path.suffix not in _SUFFIXES:
        raise NetbuildError(f"file {file!r}: Netron knows a Caffe file by its suffix, one of {', '.join(_SUFFIXES)}")
    netron = optional("netron", "viewing needs")
    try:
        host, number = netron.start(str(path), address=("127.0.0.1", port or 0), browse=browser)
    except OSError as error:
        raise NetbuildError(
            f"port {port or 0}: cannot be listened on ({error.strerror}); choose another --port"
        ) from None
    say(f"http://{host}:{number} shows {file}; Ctrl-C ends it")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        netron.stop()
