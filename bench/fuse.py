"""Fusing two ResNet-101, side by side with `cat` of the same bytes and with the recipe's way in pycaffe.

Whole processes, in turn, several rounds; wall time and peak memory as the system accounts for them. `cat` is
followed by `sync` of its file, since netbuild does not report success before the bytes are on the disk.

    python bench/fuse.py [ROUNDS]
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, NamedTuple

RECIPE = """
import os
os.environ["GLOG_minloglevel"] = "2"
import caffe
fused = caffe.Net("fused/deploy.prototxt", caffe.TEST)
for prefix in "a", "b":
    net = caffe.Net("single/deploy.prototxt", prefix + ".caffemodel", caffe.TEST)
    for name, blobs in net.params.items():
        for index, blob in enumerate(blobs):
            if prefix + "/" + name in fused.params:
                fused.params[prefix + "/" + name][index].data[...] = blob.data[...]
fused.save("recipe.caffemodel")
"""
MAKE = """
import os
os.environ["GLOG_minloglevel"] = "2"
import caffe
from netbuild import DataSource, Fusion, emit_files
from netbuild.branches.resnet import IMAGENET, resnet101
source = DataSource(IMAGENET, kind="input", train_batch=1, test_batch=1)
emit_files(Fusion({"": resnet101}, 1000, frozen=False), source, "single")
emit_files(Fusion({"a": resnet101, "b": resnet101}, 20), source, "fused")
for prefix in "a", "b":
    caffe.Net("single/train_val.prototxt", caffe.TRAIN).save(prefix + ".caffemodel")
"""


class Run(NamedTuple):
    """One finished process."""

    seconds: float
    mebibytes: float


def measured(command: List[str], folder: Path) -> Run:
    start = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status) if hasattr(os, "waitstatus_to_exitcode") else status
    if status:
        raise SystemExit(f"{command[0]} failed with {child.returncode}")
    return Run(seconds, usage.ru_maxrss / 1024)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    netbuild = shutil.which("netbuild", path=str(Path(sys.executable).parent)) or "netbuild"
    weights = ["--weights", "a=a.caffemodel", "--weights", "b=b.caffemodel"]
    commands = {
        "cat": ["sh", "-c", "cat a.caffemodel b.caffemodel > cat.out && sync cat.out"],
        "netbuild": [netbuild, "fuse", "fused/deploy.prototxt", *weights, "-o", "init.caffemodel"],
        "recipe": [sys.executable, "-c", RECIPE],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: a child counts the memory of the process that forks it as its own.
        subprocess.run([sys.executable, "-c", MAKE], cwd=folder, check=True, stderr=subprocess.DEVNULL)
        runs: Dict[str, List[Run]] = {label: [] for label in commands}
        for turn in range(rounds + 1):
            for label, command in commands.items():
                # A new file each time: one that is truncated would get back the memory of its old pages.
                for output in "cat.out", "init.caffemodel", "recipe.caffemodel":
                    (folder / output).unlink(missing_ok=True)
                run = measured(command, folder)
                if turn:  # the first round warms the page cache
                    runs[label].append(run)
        size = sum((folder / f"{prefix}.caffemodel").stat().st_size for prefix in "ab")
        print(f"two ResNet-101, {size / 2**20:.0f} MiB; {rounds} rounds in turn, medians")
        for label, found in runs.items():
            ratio = statistics.median(run.seconds / cat.seconds for run, cat in zip(found, runs["cat"]))
            seconds = statistics.median(run.seconds for run in found)
            print(f"{label:9} {seconds:7.3f} s  {ratio:6.2f} x cat  peak {max(r.mebibytes for r in found):7.1f} MiB")
        speed = statistics.median(r.seconds / n.seconds for r, n in zip(runs["recipe"], runs["netbuild"]))
        print(f"netbuild is {speed:.1f} times as fast as the recipe's way")


if __name__ == "__main__":
    main()
