"""Seeded fuzzing of what reads nets: check, summary, draw, diff and emit; real Caffe says whether check is right.

    python fuzz/prototxts.py SECONDS [SEED]

Any exception but a refusal in words is a crash, and so are twenty seconds for one net, memory beyond 4 GiB, and a net
of which check says nothing and on which Caffe aborts. Nets that check refuses and Caffe builds are listed.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import net_oracle
from net_mutation import mutated

from netbuild import proto
from netbuild._caffe import caffe as open_caffe

MEMORY = 4 << 30
ASKED = 0.25
"""The share of nets that Caffe is asked about: a fork takes longer than all the rest."""


def fuzz(seconds: float, seed: int, folder: Path) -> int:
    """Try nets until the time is over; return how many crashes there were, each told with its net."""
    caffe, random, end = open_caffe(), Random(seed), time.monotonic() + seconds
    nets = list(net_oracle.seeds())
    count, refused, crashes = Counter(), {}, Counter()
    while time.monotonic() < end:
        message = mutated(random.choice(nets), nets, random)
        count["runs"] += 1
        crash = None
        try:
            found = net_oracle.judge(message, random.choice(nets), folder, emits=random.random() < 0.3)
        except Exception:
            crash = traceback.format_exc()
            kind = " ".join(crash.splitlines()[-1:] + crash.splitlines()[-3:-2])
        else:
            count["sound" if found == [] else "with faults" if found else "not read"] += 1
            asked = found is not None and random.random() < ASKED
            for phase in proto.phases(message) if asked else ():
                if not net_oracle.askable(message, phase):
                    continue
                count["asked"] += 1
                said = net_oracle.built(caffe, folder / "net.prototxt", phase)
                if said is not None and not found:
                    crash, kind = f"check finds nothing wrong; {said}", net_oracle.kind_of(said)
                wrong = [text for text in found if not any(known in text for known in net_oracle.KNOWINGLY)]
                if said is None and wrong and len(wrong) == len(found) and "(phase" not in wrong[0]:
                    refused.setdefault(net_oracle.kind_of(wrong[0]), (wrong[0], proto.to_text(message)))
        if crash is not None:
            crashes[kind] += 1
            if crashes[kind] == 1:
                print(f"CRASH\n{crash}\n{proto.to_text(message)}", flush=True)
    for sentence, text in refused.values():
        print(f"REFUSED, BUT CAFFE BUILDS IT: {sentence}\n{text}")
    print(f"seed {seed}: {dict(count)}, {sum(crashes.values())} crashes of {len(crashes)} kinds")
    return len(crashes)


def main() -> None:
    """Fuzz for the time given, within bounded memory."""
    seconds, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(1 if fuzz(seconds, seed, Path(folder)) else 0)


if __name__ == "__main__":
    main()
