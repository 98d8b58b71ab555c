"""Training a head on kept features side by side with training the whole net, as the fusion recipe does.

Both are `netbuild train` as whole processes, one after the other, on the fused LeNets of `netbuild demo`, by the same
solver and seed. The whole net runs with as many BLAS threads as it likes, and with one, as features are computed; with
one the two ways have to end at the same bits, which is checked. The whole net's time for all iterations is reckoned
from the log of `--whole` of them (all: `--whole 30000`, which takes ten minutes on MNIST).

    python bench/train.py [--data digits|MNIST] [--weights odd=FILE --weights even=FILE] [--iterations N] [--whole N]
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from netbuild import proto, run_demo
from netbuild.train.log import read_log
from netbuild.weights.index import index
from netbuild.weights.values import read_bytes
from netbuild.weights.wire import WireFile

NETBUILD = Path(sys.executable).with_name("netbuild")


def trained(folder: Path, name: str, iterations: int, *options: str, threads: Optional[int] = None) -> float:
    """Train the fused net's head in a process of its own; return the seconds that it took."""
    environment = dict(os.environ)
    if threads is not None:
        environment["OPENBLAS_NUM_THREADS"] = str(threads)
    command = [str(NETBUILD), "train", "fused/solver.prototxt", "--weights", "fused/init.caffemodel", "-o", name]
    command += ["--max-iter", str(iterations), "--no-plot", *options]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - start


def prepared(folder: Path, arguments: argparse.Namespace) -> None:
    """Fuse two LeNets, and give the solver a seed and a test after 1,000 iterations."""
    weights = dict(pair.split("=", 1) for pair in arguments.weights)
    run_demo(folder, data=arguments.data, weights=weights, head_iterations=1)
    path = folder / "fused" / "solver.prototxt"
    solver = proto.read_solver(path)
    solver.random_seed, solver.test_interval, solver.snapshot = 1, 1000, 0
    proto.write(path, solver)


def accuracies(log: Path) -> Dict[int, float]:
    return dict(read_log(log)["TEST", "accuracy"])


def seconds_each(log: Path) -> float:
    """Return the seconds of an iteration, tests included, by the log: without the start of the process."""
    with log.open(encoding="utf-8", newline="") as file:
        rows = [(int(row["iteration"]), float(row["seconds"])) for row in csv.DictReader(file)]
    return (rows[-1][1] - rows[0][1]) / (rows[-1][0] - rows[0][0])


def values(folder: Path) -> List[Tuple[str, bytes]]:
    """Return the head's blobs as its last snapshot has them."""
    (snapshot,) = folder.glob("*.caffemodel")
    with WireFile(snapshot) as file:
        return [(layer.name, read_bytes(file, blob)) for layer in index(snapshot).layers for blob in layer.blobs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="digits", help="digits, or a folder with MNIST")
    parser.add_argument("--weights", action="append", default=[], metavar="PREFIX=FILE", help="trained branches")
    parser.add_argument("--iterations", type=int, default=30_000, help="of the head; the recipe's 30,000 by default")
    parser.add_argument("--whole", type=int, default=1000, help="iterations for which the whole net is trained")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared(folder, arguments)
        whole = trained(folder, "whole", arguments.whole, "--features", "off")
        one = trained(folder, "whole1", arguments.whole, "--features", "off", threads=1)
        trained(folder, "first", arguments.whole, "--features", str(folder / "features"), threads=1)
        kept = trained(folder, "kept", arguments.iterations, "--features", str(folder / "features"))
        fresh = trained(folder, "head", arguments.iterations, "--features", str(folder / "anew"))
        same = values(folder / "first") == values(folder / "whole1")
        each = min(seconds_each(folder / run / "train_log.csv") for run in ("whole", "whole1"))
        scores = {run: accuracies(folder / run / "train_log.csv") for run in ("whole", "whole1", "first", "head")}
    reckoned = each * arguments.iterations
    print(f"{arguments.whole} iterations of the whole net: {whole:.1f} s, with one BLAS thread {one:.1f} s")
    print(f"{arguments.iterations} reckoned from the faster: {reckoned:.0f} s")
    print(f"{arguments.iterations} iterations of the head: {fresh:.1f} s, features included; {kept:.1f} s on kept ones")
    print(f"ratio: {reckoned / fresh:.1f} with the features, {reckoned / kept:.0f} on kept ones")
    verdict = "the same bits as" if same else "DIFFERENT bits from"
    print(f"weights after {arguments.whole} iterations on features: {verdict} the whole net's")
    for at in sorted({min(1000, arguments.whole), arguments.whole, arguments.iterations}):
        told = ", ".join(f"{run} {found[at]:.4f}" for run, found in scores.items() if at in found)
        print(f"validation accuracy after {at}: {told}")
    if not same:
        sys.exit(1)


if __name__ == "__main__":
    main()
