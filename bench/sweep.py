"""What `check` says of many nets against what real Caffe does with them: a table of counts, and each disagreement.

    python bench/sweep.py DIR [--mutants N] [--seed S]
    python bench/sweep.py --generated N [--seed S]
"""

from __future__ import annotations

import os

# Small nets gain nothing from threads, and forks of a process that has some may hang.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("GLOG_minloglevel", "2")

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, Iterator, NamedTuple, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import judged
from generated import made

from netbuild import proto
from netbuild.engine.caffe import caffe as open_caffe
from netbuild.proto import NetState
from netbuild.schema import Message


class Case(NamedTuple):
    """A net in one state; where it comes from."""

    title: str
    net: Message
    state: NetState


def generated(count: int, seed: int) -> Iterator[Case]:
    for number in range(count):
        net, state = made(Random(f"{seed} {number}"))
        for phase in (0, 1):
            yield Case(f"generated {seed} {number}", net, state._replace(phase=phase))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--generated", type=int, default=0)
    parser.add_argument("--mutants", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    caffe = open_caffe()
    counts: Counter[Tuple[str, str]] = Counter()
    told = set()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        path = os.path.join(folder, "net.prototxt")
        for case in generated(given.generated, given.seed):
            text = proto.to_text(case.net)
            Path(path).write_text(text, encoding="utf-8")
            verdict = judged.judged(caffe, path, case.state)
            counts[verdict.cell, verdict.reason] += 1
            if verdict.is_fault:
                from net_oracle import kind_of
                kind = verdict.cell, kind_of(verdict.words.strip().splitlines()[-1])
                if kind in told:
                    continue
                told.add(kind)
                def still(net):
                    Path(path).write_text(proto.to_text(net), encoding="utf-8")
                    v = judged.judged(caffe, path, case.state)
                    return v.cell == verdict.cell and kind_of(v.words.strip().splitlines()[-1]) == kind[1]
                small = judged.smaller(case.net, still)
                print("=====", case.title, case.state, verdict.cell, ":", verdict.words, "\n", proto.to_text(small), flush=True)
    for (cell, reason), number in sorted(counts.items()):
        print(f"{number:7}  {cell:32} {reason}")


if __name__ == "__main__":
    main()
