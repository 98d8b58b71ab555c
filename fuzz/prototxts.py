"""Seeded fuzzing of what reads nets: check, summary, draw, diff and emit; real Caffe says whether check is right.

    python fuzz/prototxts.py SECONDS [SEED]

Any exception but a refusal in words is a crash, and so are twenty seconds for one net, memory beyond 4 GiB, and a net
of which check says nothing and on which Caffe aborts. Nets that check refuses and Caffe builds are listed.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, List, Set, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import net_oracle
from net_mutation import mutated

from netbuild import proto
from netbuild.engine.caffe import caffe as open_caffe
from netbuild.schema import Message

MEMORY = 4 << 30
ASKED, EMITTED = 0.4, 0.2
"""The shares of nets that Caffe is asked about, and that are emitted: both take longer than all the rest."""


def fuzz(seconds: float, seed: int, folder: Path) -> int:
    """Try nets until the time is over; return how many kinds of crashes there were, each told with its net."""
    caffe, random, end = open_caffe(), Random(seed), time.monotonic() + seconds
    nets = list(net_oracle.seeds())
    count: Counter[str] = Counter()
    told: Set[str] = set()
    while time.monotonic() < end:
        message = mutated(random.choice(nets), nets, random)
        asks = random.random() < ASKED
        state, troubles = tried(
            caffe if asks else None, message, random.choice(nets), folder, random.random() < EMITTED
        )
        count.update(["nets", state, *["asked about"] * asks])
        for is_crash, text in troubles:
            kind = net_oracle.kind_of(" ".join(text.splitlines()[-3:]))
            count["crashes" if is_crash else "refused, but built"] += 1
            if kind not in told:
                told.add(kind)
                print(
                    f"{'CRASH' if is_crash else 'REFUSED, BUT CAFFE BUILDS IT'}: {text}\n{proto.to_text(message)}",
                    flush=True,
                )
    print(f"seed {seed}: " + ", ".join(f"{number} {what}" for what, number in count.items()))
    return count["crashes"]


def tried(
    caffe: Any, message: Message, other: Message, folder: Path, emits: bool
) -> Tuple[str, List[Tuple[bool, str]]]:
    """Return what became of one net, and (whether it is a crash, what is wrong) for what should not be."""
    try:
        found = net_oracle.judge(message, other, folder, emits=emits)
    except Exception:
        return "broken", [(True, traceback.format_exc())]
    if found is None:
        return "not read", []
    state = "with faults" if found else "sound"
    disagreeing = net_oracle.disagreements(caffe, message, folder / "net.prototxt") if caffe else ()
    return state, list(disagreeing)


def main() -> None:
    """Fuzz for the time given, within bounded memory."""
    seconds, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    # In memory where there is a place for that: a file is written for each net.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        sys.exit(1 if fuzz(seconds, seed, Path(folder)) else 0)


if __name__ == "__main__":
    main()
