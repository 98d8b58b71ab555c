"""What `check` says of many nets against what real Caffe does with them: a table of counts, and each disagreement.

    python bench/sweep.py DIR [--mutants N] [--seed S]
    python bench/sweep.py --generated N [--seed S]
    python bench/sweep.py --fused N [--seed S]

Nets come from all prototxts under DIR, each in the phases that it is made for, or are generated, N of them in both
phases; mutants are nets of DIR with something changed. A disagreement for no written reason is shown, of generated
nets and mutants with the smallest net that has it, and the exit code is 1. With `--fused` nets made at random are fused
with a copy of themselves: seams, frozen parameters and what is taken out again are compared with the net alone.
"""

from __future__ import annotations

import os

# Small nets gain nothing from threads, and forks of a process that has some may hang.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("GLOG_minloglevel", "2")

import argparse
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import fused_twice
import judged
from generated import made, trained_alone
from net_mutation import mutated
from net_oracle import kind_of
from standing_in import lightened, stood_in

from netbuild import proto
from netbuild.engine.caffe import caffe as open_caffe
from netbuild.errors import NetbuildError
from netbuild.proto import NetState
from netbuild.schema import TEST, TRAIN, Message

SMALL = 200
"""Layers of a net that mutants are made of: others take longer, and show no more."""


class Case(NamedTuple):
    """A net in one state."""

    title: str
    text: str
    state: NetState


def generated(count: int, seed: int) -> Iterator[Case]:
    """Yield nets made at random, each in both phases."""
    for number in range(count):
        net, state = made(Random(f"{seed} {number}"))
        for phase in (TRAIN, TEST):
            yield Case(f"generated {seed} {number}", proto.to_text(net), state._replace(phase=phase))


class Public:
    """The nets of a folder."""

    def __init__(self, folder: Path) -> None:
        self.files = 0
        self.unread: Dict[str, str] = {}
        self.nets: Dict[str, Message] = {}
        for path in sorted(folder.rglob("*.prototxt")):
            self.files += 1
            title = str(path.relative_to(folder))
            try:
                net = proto.read_net(path)
            except NetbuildError as error:
                self.unread[title] = str(error)
                continue
            if len(net.layer):
                self.nets[title] = net

    def cases(self) -> Iterator[Case]:
        for title, net in self.nets.items():
            yield from _in_its_phases(title, net)

    def mutants(self, count: int, seed: int) -> Iterator[Case]:
        """Yield nets of the folder with something changed."""
        nets = {title: net for title, net in self.nets.items() if len(net.layer) < SMALL}
        others = list(nets.values())
        for number in range(count):
            random = Random(f"{seed} {number}")
            title = random.choice(sorted(nets))
            yield from _in_its_phases(f"{title}, mutant {seed} {number}", mutated(nets[title], others, random))


def _in_its_phases(title: str, net: Message) -> Iterator[Case]:
    for phase in proto.phases(net):
        state = NetState(phase)
        alone = stood_in(net, state)
        if len(alone.layer):
            yield Case(title, proto.to_text(lightened(alone)), state)


class Sweep:
    """The counts, and the disagreements that were told."""

    def __init__(self, caffe: Any, folder: str) -> None:
        self._caffe, self._path = caffe, str(Path(folder, "net.prototxt"))
        self.counts: Counter[Tuple[str, str]] = Counter()
        self._told: Set[Tuple[str, str]] = set()
        self.asked: Set[str] = set()

    def add(self, case: Case, *, shrinks: bool) -> None:
        verdict = self._judged(case.text, case.state)
        self.counts[verdict.cell, verdict.reason] += 1
        if verdict.cell != judged.NOT_ASKED:
            self.asked.add(case.title)
        kind = _kind(verdict)
        if verdict.is_fault and kind not in self._told:
            self._told.add(kind)
            print(f"===== {case.title}, {_state_text(case.state)}\n{verdict.cell}: {verdict.words}", flush=True)
            if shrinks:
                print(self._smallest(case, kind), flush=True)

    def _judged(self, text: str, state: NetState) -> judged.Verdict:
        Path(self._path).write_text(text, encoding="utf-8")
        return judged.judged(self._caffe, self._path, state)

    def _smallest(self, case: Case, kind: Tuple[str, str]) -> str:
        def still(net: Message) -> bool:
            return _kind(self._judged(proto.to_text(net), case.state)) == kind

        return str(proto.to_text(judged.smaller(proto.parsed(case.text), still)))

    def show(self) -> None:
        """Print the table."""
        for cell in judged.CELLS:
            of_cell = {why: number for (one, why), number in self.counts.items() if one == cell}
            print(f"{sum(of_cell.values()):8}  {cell}")
            for why, number in sorted(of_cell.items(), key=lambda item: -item[1]):
                if why or cell in judged.DISAGREE:
                    print(f"{'':10}{number:8}  {why or 'for no written reason'}")


def fuse_copies(caffe: Any, count: int, seed: int) -> int:
    """Fuse nets made at random with copies of themselves; return of how many something was wrong."""
    wrong, refused = 0, 0
    for number in range(count):
        with tempfile.TemporaryDirectory() as folder:
            net, shape, seam = trained_alone(Random(f"{seed} {number}"))
            path = Path(folder, "net.prototxt")
            path.write_text(proto.to_text(net), encoding="utf-8")
            try:
                found = fused_twice.faults(caffe, path, shape, seam, Path(folder))
            except NetbuildError as error:
                refused += 1
                print(f"refused: {error}")
                continue
            except Exception:
                found = [traceback.format_exc()]
            if found:
                wrong += 1
                print(f"===== fused {seed} {number}\n" + "\n".join(found) + f"\n{proto.to_text(net)}", flush=True)
    print(f"{count} nets fused with a copy of themselves: {wrong} of them wrong, {refused} refused in words")
    return wrong


def _kind(verdict: judged.Verdict) -> Tuple[str, str]:
    return verdict.cell, kind_of((verdict.words.strip().splitlines() or [""])[-1])


def _state_text(state: NetState) -> str:
    more = f", level {state.level}, stages {sorted(state.stages)}" if state.level or state.stages else ""
    return f"phase {proto.phase_name(state.phase)}{more}"


def main(arguments: Optional[List[str]] = None) -> int:
    """Sweep; return 1 where there is a disagreement for no written reason."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="a folder of prototxts")
    parser.add_argument("--generated", type=int, default=0, metavar="N", help="make N nets")
    parser.add_argument("--mutants", type=int, default=0, metavar="N", help="change N of the folder's nets")
    parser.add_argument("--fused", type=int, default=0, metavar="N", help="fuse N nets with a copy of themselves")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    # What the commands tell of other Caffes' fields is no matter here.
    warnings.simplefilter("ignore")
    if given.fused:
        return int(fuse_copies(open_caffe(), given.fused, given.seed) > 0)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        sweep = Sweep(open_caffe(), folder)
        for case in generated(given.generated, given.seed):
            sweep.add(case, shrinks=True)
        if given.folder is not None:
            public = Public(given.folder)
            for case in public.cases() if not given.mutants else public.mutants(given.mutants, given.seed):
                sweep.add(case, shrinks=bool(given.mutants))
            print(f"{public.files} files, {len(public.unread)} not read as nets, {len(public.nets)} with layers")
    sweep.show()
    print(f"{sum(sweep.counts.values())} nets in one state each; {len(sweep.asked)} nets asked about")
    return int(any(cell in judged.DISAGREE and not why for cell, why in sweep.counts))


if __name__ == "__main__":
    sys.exit(main())
