"""What commands on large nets take, and how that grows: emitting fusions, summaries, checks.

Whole processes, several rounds; wall time and peak memory as the system accounts for them. With --before, an older
checkout of netbuild does the same in the same run, in turn with this one, and the ratio of the two is told.

    python bench/nets.py [CASE...] [--rounds N] [--before CHECKOUT] [--limit SECONDS] [--folder DIR]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

HERE = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-c", "import sys; sys.argv[0] = 'netbuild'; from cli.main import main; main()"]
"""netbuild of the checkout that PYTHONPATH names, whichever is installed."""
NET = "net.prototxt"


class Case(NamedTuple):
    """A row of the table of cases."""

    command: List[str]
    layers: Optional[Iterator[str]] = None
    """The net that the command reads, layer by layer, as prototxt."""
    status: int = 0
    """How the command ends."""


class Run(NamedTuple):
    """One finished process; None stands for one that was ended at the limit."""

    seconds: Optional[float]
    mebibytes: float


def layer(name: str, kind: str, bottoms: Sequence[str], tops: Sequence[str], options: str = "") -> str:
    """Return a layer as prototxt."""
    blobs = [f'  bottom: "{blob}"\n' for blob in bottoms] + [f'  top: "{blob}"\n' for blob in tops]
    return f'layer {{\n  name: "{name}"\n  type: "{kind}"\n{"".join(blobs)}{options}}}\n'


DATA = layer(
    "data",
    "Input",
    [],
    ["data"],
    "  input_param {\n    shape {\n      dim: 1\n      dim: 8\n      dim: 4\n      dim: 4\n    }\n  }\n",
)
CONVOLUTION = "  convolution_param {\n    num_output: 8\n    kernel_size: 1\n  }\n"


def chain(count: int) -> Iterator[str]:
    """Yield a net of convolutions, one behind the other."""
    yield DATA
    last = "data"
    for number in range(count - 1):
        yield layer(f"conv{number}", "Convolution", [last], [f"conv{number}"], CONVOLUTION)
        last = f"conv{number}"


def mistakes(count: int) -> Iterator[str]:
    """Yield a net in which every layer has a mistake: a fifth each of five kinds."""
    yield DATA
    for number in range(count // 5):
        rate = f'  param {{\n    name: "shared"\n    lr_mult: {number % 7}\n  }}\n'
        yield layer(f"lost{number}", "Convolution", [f"dat{number}"], [f"lost{number}"], CONVOLUTION)
        yield layer(f"late{number}", "Convolution", [f"late{number + 1}"], [f"late{number}"], CONVOLUTION)
        yield layer("name", "Convolution", ["data"], [f"name{number}"], CONVOLUTION)
        yield layer(f"top{number}", "Convolution", ["data"], ["top"], CONVOLUTION)
        yield layer(f"rate{number}", "Convolution", ["data"], [f"rate{number}"], CONVOLUTION + rate)


def fusion(count: int, builder: str) -> Case:
    """Return the case of a fusion of so many branches of one builder."""
    branches = [part for number in range(count) for part in ("--branch", f"b{number}={builder}")]
    return Case(["emit", "fusion", *branches, "--classes", "10", "--force", "-o", "out"])


def summary(count: int) -> Case:
    """Return the case of a summary of so many layers."""
    return Case(["summary", NET], chain(count))


def seams(count: int) -> Case:
    """Return the case of listing where a net of so many layers can be cut."""
    return Case(["check", "--seams", NET], chain(count))


def wrong(count: int) -> Case:
    """Return the case of checking a net of so many layers that are all wrong."""
    return Case(["check", NET], mistakes(count), status=1)


SIZES = (1000, 3000, 10000)
CASES: Dict[str, Callable[[], Case]] = {
    **{f"fusion-{count}": partial(fusion, count, "resnet50") for count in (2, 4, 8, 32)},
    "two-resnet101": partial(fusion, 2, "resnet101"),
    **{f"summary-{count}": partial(summary, count) for count in SIZES},
    **{f"seams-{count}": partial(seams, count) for count in SIZES},
    **{f"mistakes-{count}": partial(wrong, count) for count in SIZES},
}
"""What makes each row of the table, when it is its turn."""


def measured(checkout: Path, case: Case, folder: Path, limit: float) -> Run:
    """Run a command of a checkout to its end or to the limit; a failure ends the benchmark."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    start = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen([*COMMAND, *case.command], cwd=folder, env=environment, stdout=log, stderr=log)
        ended = False
        while not ended and time.perf_counter() - start < limit:
            time.sleep(0.005)
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            ended = bool(pid)
        seconds = time.perf_counter() - start
        if not ended:
            child.kill()
            _, status, usage = os.wait4(child.pid, 0)
        child.returncode = status
        log.seek(0)
        said = log.read()
        # Python ends with 1 where it breaks down, as check does for a net with mistakes.
        if ended and (status != case.status << 8 or b"Traceback" in said):
            raise SystemExit(f"{checkout}: {' '.join(case.command[:3])} (wait status {status}): {said.decode()}")
    return Run(seconds if ended else None, usage.ru_maxrss / 1024)


def bench(name: str, checkouts: Dict[str, Path], rounds: int, limit: float, folder: Path) -> None:
    """Run a case in each checkout in turn, print its lines of the table."""
    case = CASES[name]()
    if case.layers is not None:
        (folder / NET).write_text("".join(case.layers))
    runs: Dict[str, List[Run]] = {which: [] for which in checkouts}
    for turn in range(rounds + 1):
        for which, checkout in checkouts.items():
            # What takes longer than the limit once is not tried again.
            if median(runs[which]) is not None or not runs[which]:
                run = measured(checkout, case, folder, limit)
                if turn or run.seconds is None:  # the first round compiles modules and warms the page cache
                    runs[which].append(run)
    for which, found in runs.items():
        print(line(name, which, found, runs["now"], limit), flush=True)


def line(name: str, which: str, found: Sequence[Run], now: Sequence[Run], limit: float) -> str:
    """Return a line of the table, with the ratio to the runs of this checkout where there is one."""
    seconds, reference = median(found), median(now)
    time_text = f"over {limit:g}" if seconds is None else f"{seconds:.2f}"
    ratio = "" if which == "now" or seconds is None or reference is None else f"{seconds / reference:8.2f}"
    return f"{name:16} {which:7} {time_text:>9} {max(run.mebibytes for run in found):9.1f} {ratio}"


def median(runs: Sequence[Run]) -> Optional[float]:
    """Return the median of the seconds; None where a run was ended at the limit."""
    seconds = [run.seconds for run in runs if run.seconds is not None]
    return statistics.median(seconds) if seconds and len(seconds) == len(runs) else None


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure commands on large nets.")
    parser.add_argument("cases", metavar="CASE", nargs="*", help=f"of {', '.join(CASES)}; default: all of them")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--before", type=Path, help="an older checkout of netbuild, to be measured in turn")
    parser.add_argument("--limit", type=float, default=60, help="seconds after which a command is ended; default: 60")
    parser.add_argument("--folder", help="where to work; default: the folder for temporary files")
    given = parser.parse_args()
    checkouts = {"now": HERE, **({"before": given.before.resolve()} if given.before else {})}
    for name in given.cases or CASES:
        if name not in CASES:
            parser.error(f"no case {name!r}; known are {', '.join(CASES)}")
    print(f"{given.rounds} rounds in turn, medians\n{'':16} {'':7} {'seconds':>9} {'peak MiB':>9}    x now")
    for name in given.cases or CASES:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            bench(name, checkouts, given.rounds, given.limit, Path(folder))


if __name__ == "__main__":
    main()
