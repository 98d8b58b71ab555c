"""Why a process that ran Caffe ended: its last words, or the signal that ended it."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import IO, Optional

from ..errors import CaffeError, printable
from ..schema.forks import forks_of, forks_with
from ..spelling import either

_FATAL = re.compile(r"^F\d+ \S+\s+\d+ ([\w.]+:\d+)\] (.*)$", re.MULTILINE)
_UNKNOWN_FIELD = re.compile(r'Message type "caffe\.(\w+)" has no field named "(\w+)"')
_UNKNOWN_VALUE = re.compile(r'Unknown enumeration value of "([^"]*)" for field "(\w+)"')
_UNKNOWN_TYPE = re.compile(r"Unknown layer type: (\S+) \(known types: ")
_IN_PYTHON_LAYER = re.compile(r"^SystemError: .* returned NULL without setting an error$")
"""What Boost.Python leaves of an error in making a Python layer, which it has printed before."""
_RAISED = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Warning|Iteration)\b.*)$", re.MULTILINE)
_FRAME = re.compile(r'^  File "(.+)", line (\d+), in (\w+)$', re.MULTILINE)
_NOT_OF_USER = re.compile(rf"^{re.escape(str(Path(__file__).parent.parent))}/|^<|/(site|dist)-packages/|/lib/python\d")
"""Files of netbuild's own, and of Python and its packages."""
_OF_LAYERS = ("setup", "reshape", "forward", "backward")
"""What Caffe calls of a Python layer."""
_MISFIT = re.compile(
    r"Cannot copy param (\d+) weights from layer '(.+?)'; shape mismatch\. +Source param shape is ([\d ]*)\(\d+\); "
    r"target param shape is ([\d ]*)\(\d+\)"
)
_LINES = 4
"""Of what runs a Python elsewhere so many lines are told."""
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux keeps what a container may take (control groups 2 and 1)."""


class KilledError(CaffeError):
    """Caffe's process was ended by SIGKILL, which is what the system does where memory runs out."""


def machine_memory() -> int:
    """Return how many bytes of memory this machine has, or the container may take."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _LIMITS:
        with suppress(OSError, ValueError):  # none, or the word `max`
            there = min(there, int(Path(path).read_text()))
    return there


def ended_early(log: IO[bytes], code: int) -> CaffeError:
    """Return the error for a process with this exit status (-9: killed by signal 9) and log."""
    log.seek(0)
    text = log.read().decode("utf-8", "replace")
    lacking = _lacking(text)
    if lacking:
        return CaffeError(lacking)
    fatal = _FATAL.findall(text)
    if fatal:
        where, said = fatal[-1]
        misfit = _MISFIT.search(said)
        if misfit:
            return CaffeError(_misfit(*misfit.groups()))
        return CaffeError(f"Caffe gave up: {printable(said.strip())} ({where})")
    last = next(iter(text.strip().splitlines()[-1:]), None)
    if code == -signal.SIGKILL:
        return KilledError(
            "Caffe's process was killed by signal 9 (SIGKILL): probably by the system, because memory ran out (there "
            f"are {machine_memory() / 2**30:.1f} GiB); a smaller batch takes less"
            + ("" if last is None else f"; its log ends with: {printable(last)}")
        )
    if code > 0 and last is not None:
        in_layer = _in_python_layer(text, last)
        if in_layer:
            return CaffeError(in_layer)
        return CaffeError(f"Caffe's process ended early: {printable(last)}")
    return CaffeError(f"Caffe's process ended early: {_how(code, last)}")


def _misfit(blob: str, layer: str, found: str, expected: str) -> str:
    """Return the sentence for weights that do not fit the net which they are given for."""
    in_file, in_net = (" x ".join(shape.split()) or "a scalar" for shape in (found, expected))
    return (
        f"the weights do not fit the net: blob {blob} of the layer {printable(layer)!r} is {in_file} in the file and "
        f"{in_net} in the net; are they another net's, those of one branch alone (netbuild fuse puts all into one), or "
        "does the net read images of another size?"
    )


def _in_python_layer(text: str, last: str) -> str:
    """Return what went wrong in a Python layer of the user's, where a log tells of one; else ''."""
    if _IN_PYTHON_LAYER.match(last):
        *_, what = ("no reason was given", *_RAISED.findall(text)[:-1])
        looked = ""
        if "No module named" in what:
            looked = f"; modules are looked for in the current folder ({str(Path.cwd())!r}) and on PYTHONPATH"
        return f"a Python layer of the net cannot be made: {printable(what)}{looked}"
    frames = [frame for frame in _FRAME.findall(text) if not _NOT_OF_USER.search(frame[0])]
    if not any(function in _OF_LAYERS for _, _, function in frames):
        return ""
    file, line, function = frames[-1]
    return f"a Python layer of the net failed in {function}: {printable(last)} ({printable(file)}:{line})"


def _lacking(text: str) -> str:
    """Return what this Caffe lacks that a net has, where its log says so, and which Caffe has it; else ''."""
    field, kind, value = (pattern.search(text) for pattern in (_UNKNOWN_FIELD, _UNKNOWN_TYPE, _UNKNOWN_VALUE))
    if field:
        what, forks = f"the field {field[2]!r} of {field[1]}", forks_of(field[1], field[2])
    elif value:
        what, forks = f"the value {printable(value[1])!r} for the field {value[2]!r}", ()
    elif kind:
        what, forks = f"the layer type {printable(kind[1])!r}", forks_with(kind[1])
    else:
        return ""
    have = f"; the Caffe of {' or '.join(fork.name for fork in forks)} has it" if forks else ""
    named = either("--caffe", "using_caffe")
    return (
        f"this Caffe does not know {what}, which the net has{have}: run it with a Caffe that does; {named} "
        "or NETBUILD_CAFFE names its Python (netbuild doctor)"
    )


def ended_before(log: IO[bytes], code: int) -> str:
    """Return how a process ended that never began its work, with what its log has: whatever ran it says why."""
    log.seek(0)
    lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return f"it ended before it began, with {_how(code, ' / '.join(lines[-_LINES:]) or None)}"


def _how(code: int, last: Optional[str]) -> str:
    status = f"exit status {code}" if code else "what it sent breaks off, or something else was printed in between"
    if code < 0:
        status = f"signal {-code} ({_name(-code)})"
    if last is None:
        return f"{status}, and nothing in its log"
    return f"{status}: {printable(last)}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "a signal without a name"
