"""Coverage-guided fuzzing of the readers of weight files; protobuf's own parser and h5py say what is right.

    python fuzz/weights.py caffemodel|hdf5 SECONDS [libFuzzer options]

Any exception but a refusal in words is a crash, and so are a value, shape, name, type or definition that protobuf reads
otherwise, a sound caffemodel that is refused, two minutes for one file, or memory beyond 512 MiB. At the end libFuzzer
tells executions, coverage and peak memory.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from functools import partial
from pathlib import Path
from random import Random
from typing import Callable, List

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
with atheris.instrument_imports(include=["netbuild"]):
    import oracle
    from mutation import mutated

TARGETS = {
    "caffemodel": (oracle.judge, oracle.seeds, ["-max_len=4096"]),
    "hdf5": (oracle.judge_hdf5, oracle.hdf5_seeds, ["-max_len=8192", "-len_control=0"]),
}
"""What judges a file, what to begin with, and the lengths to try: HDF5 has none that are short."""
STDERR = os.fdopen(os.dup(2), "w")
"""For crashes: the other one is closed, for protobuf's library tells there of every name that is no text."""


def judged(judge: Callable[[bytes, str], object], path: Path, raw: bytes) -> object:
    """Let the oracle judge one file, and return what it says."""
    path.write_bytes(raw)
    try:
        return judge(raw, str(path))
    except BaseException:
        traceback.print_exc(file=STDERR)
        raise


def mutate(raw: bytes, most: int, seed: int) -> bytes:
    """Change any bytes, or those of a part of a message and the lengths around it."""
    random = Random(seed)
    if random.random() < 0.3:
        return atheris.Mutate(raw, most)
    return mutated(raw, lambda part: atheris.Mutate(part, max(len(part), 64)), random)[:most]


def fuzz(target: str, seconds: str, options: List[str], folder: Path) -> None:
    """Fuzz for the time given, from the oracle's seeds; the process ends here."""
    judge, seeds, lengths = TARGETS[target]
    one_input = partial(judged, judge, folder / "input")
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, raw in enumerate(seeds()):
        (corpus / f"seed{number}").write_bytes(raw)
    if not any(one_input(raw) for raw in seeds()):
        raise SystemExit("none of the seeds is read: there is nothing to fuzz")
    # The timeout goes by the clock on the wall: a machine that pauses for a minute is no crash.
    limits = [f"-max_total_time={seconds}", "-rss_limit_mb=512", "-timeout=120", *lengths]
    mutators = {"custom_mutator": mutate} if target == "caffemodel" else {}
    prints = ["-close_fd_mask=2", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *limits, *prints, *options, str(corpus)], one_input, **mutators)
    atheris.Fuzz()


def main() -> None:
    """Fuzz in a process of its own, for libFuzzer leaves without cleaning up."""
    target, seconds, *options = sys.argv[1:]
    # In memory where there is a place for that: a file is written for each execution.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        child = os.fork()
        if not child:
            fuzz(target, seconds, options, Path(folder))
        _, status = os.waitpid(child, 0)
    sys.exit(1 if status else 0)


if __name__ == "__main__":
    main()
