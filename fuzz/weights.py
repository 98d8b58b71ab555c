"""Coverage-guided fuzzing of the reader of caffemodels; protobuf's own parser says what is right.

    python fuzz/weights.py SECONDS [libFuzzer options]

Any exception but a refusal in words is a crash, and so is a value, shape or name that protobuf reads otherwise, a sound
file that is refused, or memory beyond 512 MiB. At the end libFuzzer tells executions, coverage and peak memory.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
with atheris.instrument_imports(include=["netbuild.weights", "netbuild.files"]):
    import oracle

FILE = os.memfd_create("input")
PATH = f"/proc/self/fd/{FILE}"
STDERR = os.fdopen(os.dup(2), "w")
"""For crashes: the other one is closed, for protobuf's library tells there of every name that is no text."""


def one_input(raw: bytes) -> None:
    """Let the oracle judge one file."""
    os.ftruncate(FILE, 0)
    os.pwrite(FILE, raw, 0)
    try:
        oracle.judge(raw, PATH)
    except BaseException:
        traceback.print_exc(file=STDERR)
        raise


def main() -> None:
    """Fuzz for the time given, from the oracle's seeds."""
    seconds, *options = sys.argv[1:]
    with tempfile.TemporaryDirectory() as corpus:
        for number, raw in enumerate(oracle.seeds()):
            (Path(corpus) / f"seed{number}").write_bytes(raw)
        limits = ["-rss_limit_mb=512", "-max_len=4096", "-close_fd_mask=2", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", *limits, *options, corpus], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
