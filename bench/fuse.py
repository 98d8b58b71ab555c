"""Fusing side by side with `cat` of the same bytes, with the recipe's way in pycaffe and with protobuf's own classes.

Whole processes, in turn, several rounds; wall time and peak memory as the system accounts for them. `cat` is
followed by `sync` of its file, since netbuild does not report success before the bytes are on the disk. netbuild also
compares every value with its source and takes the SHA-256 of the sources; the others do neither.

    python bench/fuse.py [SIZE...] [--rounds N] [--folder DIR]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

from processes import NETBUILD, Run, measured
from ways import OUTPUTS

WAYS = [sys.executable, str(Path(__file__).with_name("ways.py"))]
ONE_MESSAGE, MESSAGE_LIMIT = ("recipe", "protobuf"), 2**31 - 1
"""The ways that need the whole model as one message of protobuf's, and its largest size in bytes."""


class Size(NamedTuple):
    """A row of the table of sizes."""

    branches: int
    builder: str
    classes: int
    shape: Tuple[int, int, int]
    """Of an image: channels, height, width."""
    rounds: int


SIZES = {
    "lenet": Size(2, "lenet", 10, (1, 28, 28), 10),
    "resnet101": Size(2, "resnet101", 1000, (3, 224, 224), 7),
    "three-vgg16": Size(3, "vgg16", 1000, (3, 224, 224), 3),
    "vgg16": Size(4, "vgg16", 1000, (3, 224, 224), 5),
}


def commands(prefixes: Sequence[str]) -> Dict[str, List[str]]:
    """Return the ways by their names; each leaves what it writes in a file of its own."""
    files = " ".join(f"{prefix}.caffemodel" for prefix in prefixes)
    weights = [part for prefix in prefixes for part in ("--weights", f"{prefix}={prefix}.caffemodel")]
    fuse = [NETBUILD, "fuse", "fused/deploy.prototxt", *weights, "--over-2gb", "-o", OUTPUTS["netbuild"]]
    return {
        "cat": ["sh", "-c", f"cat {files} > {OUTPUTS['cat']} && sync {OUTPUTS['cat']}"],
        "netbuild": fuse,
        "recipe": [*WAYS, "recipe", *prefixes],
        "protobuf": [*WAYS, "protobuf", *prefixes],
    }


def bench(size: Size, rounds: int, folder: Path) -> None:
    """Make the files of a size, run all ways that can take it, print its part of the table."""
    prefixes = "abcdefgh"[: size.branches]
    # In a process of its own: a child counts the memory of the process that forks it as its own.
    made = [*WAYS, "make", size.builder, *map(str, (size.classes, *size.shape)), *prefixes]
    subprocess.run(made, cwd=folder, check=True)
    total = sum((folder / f"{prefix}.caffemodel").stat().st_size for prefix in prefixes)
    ways = commands(prefixes)
    impossible = [way for way in ONE_MESSAGE if total > MESSAGE_LIMIT]
    runs: Dict[str, List[Run]] = {way: [] for way in ways if way not in impossible}
    for turn in range(rounds + 1):
        for way, found in runs.items():
            # A new file each time: one that is truncated would get back the memory of its old pages.
            for output in OUTPUTS.values():
                (folder / output).unlink(missing_ok=True)
            run = measured(ways[way], folder)
            if turn:  # the first round warms the page cache
                found.append(run)
    print(f"\n{size.branches} x {size.builder}, {total / 2**20:,.0f} MiB; {rounds} rounds in turn, medians")
    report(runs)
    for way in impossible:
        print(f"{way:9} not possible: it makes one message of all, and protobuf's end at 2 GB")


def report(runs: Dict[str, List[Run]]) -> None:
    """Print a line for each way."""
    print(f"{'':9} {'seconds':>9} {'x cat':>8} {'peak MiB':>9}   seconds from - to")
    for way, found in runs.items():
        seconds = [run.wall for run in found]
        ratio = statistics.median(run.wall / cat.wall for run, cat in zip(found, runs["cat"]))
        peak = max(run.mebibytes for run in found)
        spread = f"{min(seconds):.3f} - {max(seconds):.3f}"
        print(f"{way:9} {statistics.median(seconds):9.3f} {ratio:8.2f} {peak:9.1f}   {spread}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuse side by side with cat, the recipe's way and protobuf's.")
    parser.add_argument("sizes", metavar="SIZE", nargs="*", help=f"of {', '.join(SIZES)}; default: all of them")
    parser.add_argument("--rounds", type=int, help="default: as the table of sizes says")
    parser.add_argument("--folder", help="where to work; vgg16 takes 7 GB; default: the folder for temporary files")
    given = parser.parse_args()
    for name in given.sizes or SIZES:
        if name not in SIZES:
            parser.error(f"no size {name!r}; known are {', '.join(SIZES)}")
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            bench(SIZES[name], given.rounds or SIZES[name].rounds, Path(folder))


if __name__ == "__main__":
    main()
