"""What small commands take, side by side with an empty program that imports click and protobuf as they do.

Whole processes, in turn, several rounds. Wall time, and time on the processor (user and system), which other work on
the machine changes less; each is divided by that of the empty program of the same round, and medians are told. Peak
memory as the system accounts for it, for the child alone.

    python bench/startup.py [CASE...] [--rounds N] [--folder DIR]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

from processes import NETBUILD, Run, measured

EMPTY = [sys.executable, "-c", "import click, google.protobuf"]
MAKE = [sys.executable, str(Path(__file__).with_name("ways.py")), "make", "lenet", "10", "1", "28", "28", "odd", "even"]
NET = "single/train_val.prototxt"
WEIGHTS = ["--weights", "odd=odd.caffemodel", "--weights", "even=even.caffemodel"]


class Case(NamedTuple):
    """A row of the table of cases."""

    arguments: List[str]
    ratio: float
    """What its time is to be, at most, in times of the empty program."""
    mebibytes: Optional[float] = None
    """What its peak memory is to be, at most; None where nothing is asked."""


CASES = {
    "help": Case(["--help"], 1.5),
    "check": Case(["check", NET], 2),
    "summary": Case(["summary", NET], 2),
    "emit": Case(["emit", "lenet", "--classes", "10", "--data", "input", "--force", "-o", "out"], 2.5, 40),
    "fuse": Case(["fuse", "fused/deploy.prototxt", *WEIGHTS, "-o", "init.caffemodel"], 3),
}


def bench(names: Sequence[str], rounds: int, folder: Path) -> None:
    """Run the cases in turn, each beside the empty program, and print the table."""
    subprocess.run(MAKE, cwd=folder, check=True)
    pairs: Dict[str, List[Sequence[Run]]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        for name, found in pairs.items():
            pair = [measured(command, folder) for command in (EMPTY, [NETBUILD, *CASES[name].arguments])]
            if turn:  # the first round compiles modules and warms the page cache
                found.append(pair)
    empty = [pair[0] for found in pairs.values() for pair in found]
    print(f"{'':8} {'ms':>6} {'x':>6} {'ms cpu':>7} {'x cpu':>6} {'aim':>5} {'MiB':>6} {'aim':>5}")
    print(line("empty", list(zip(empty, empty)), Case([], 1)))
    for name, found in pairs.items():
        print(line(name, found, CASES[name]), flush=True)


def line(name: str, pairs: Sequence[Sequence[Run]], case: Case) -> str:
    """Return the line of a case in the table, of pairs of runs: the empty program's, and its own."""
    wall = statistics.median(run.wall for _, run in pairs) * 1000
    processor = statistics.median(run.processor for _, run in pairs) * 1000
    of_wall = statistics.median(run.wall / empty.wall for empty, run in pairs)
    of_processor = statistics.median(run.processor / empty.processor for empty, run in pairs)
    peak = max(run.mebibytes for _, run in pairs)
    memory = "" if case.mebibytes is None else f"{case.mebibytes:5.0f}"
    times = f"{wall:6.0f} {of_wall:6.2f} {processor:7.0f} {of_processor:6.2f} {case.ratio:5.1f}"
    return f"{name:8} {times} {peak:6.1f} {memory}".rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure small commands beside an empty program.")
    parser.add_argument("cases", metavar="CASE", nargs="*", help=f"of {', '.join(CASES)}; default: all of them")
    parser.add_argument("--rounds", type=int, default=15, help="default: 15")
    parser.add_argument("--folder", help="where to work; default: the folder for temporary files")
    given = parser.parse_args()
    for name in given.cases:
        if name not in CASES:
            parser.error(f"no case {name!r}; known are {', '.join(CASES)}")
    print(f"{given.rounds} rounds in turn, medians; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        bench(given.cases or list(CASES), given.rounds, Path(folder))


if __name__ == "__main__":
    main()
