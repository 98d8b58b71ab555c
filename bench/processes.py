"""Whole processes, measured: what the benchmarks of commands share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import List, NamedTuple

NETBUILD = shutil.which("netbuild", path=str(Path(sys.executable).parent)) or "netbuild"
"""The command that is installed beside this Python."""


class Run(NamedTuple):
    """One finished process."""

    wall: float
    """Seconds from its start to its end."""
    processor: float
    """Seconds on the processor."""
    mebibytes: float


def measured(command: List[str], folder: Path) -> Run:
    """Run a command to its end; a failure ends the benchmark."""
    # Compiled modules are kept, as where netbuild is installed.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = status
        if status:
            log.seek(0)
            raise SystemExit(f"{' '.join(command[:3])} failed (wait status {status}): {log.read().decode()}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
