"""What a scan and a screen make of each case with a known answer, once in a session, and how often they are right.

`python -m tests.plants.confusion` prints the counts over all cases; with `--families` also how often a screen agrees
with a full scan on the plants of every family, which takes minutes.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from swindex.crawler.detection.run import Options
from swindex.crawler.scanning import quiet, scan
from swindex.schema.record import Record
from swindex.schema.types import Intervention, Role, Verdict

from . import Plant, disk, generic
from .cases import CASES, Case
from .coverage import KINDS_OF

Ids = frozenset[str]
WINDOWS, WINDOW = 2, 201
"""Of the test text, on which effects are measured."""
EFFECTS = Options(texts=(str(disk.TEXT),), windows=WINDOWS, window=WINDOW)
STRONG = (Verdict.CONFIRMED, Verdict.NON_FINITE)
_ROOT = tempfile.TemporaryDirectory(prefix="swindex-cases-")
"""Of the checkpoints, as long as the session lasts."""


@dataclass(frozen=True)
class Seen:
    """A case as it was made, and the records of a scan and a screen."""

    case: Case
    plant: Plant
    record: Record
    screen: Record

    @property
    def ids(self) -> list[str]:
        """What must be found."""
        return [s.id for s in self.plant.scalars]

    @property
    def expected(self) -> set[Ids]:
        """The super weights."""
        return {frozenset(self.ids[n] for n in group) for group in self.case.groups}

    @property
    def confirmed(self) -> set[Ids]:
        """The smallest sets that the scan confirmed."""
        return smallest(
            frozenset(e.weights)
            for e in self.record.effects
            if e.intervention is Intervention.ZERO and e.verdict in STRONG
        )

    @property
    def candidates(self) -> set[str]:
        """What would be called a super weight if its effect were not measured: all that lasts."""
        return {w.id for w in self.record.super_weights if w.role in (Role.CREATOR, Role.AMPLIFIER)}


def smallest(sets: Iterable[Ids]) -> set[Ids]:
    """The sets that hold no other of them."""
    found = set(sets)
    return {s for s in found if not any(other < s for other in found)}


@cache
def seen(name: str) -> Seen:
    """Make, scan and screen one case."""
    quiet()
    case = CASES[name]
    plant = case.make(Path(_ROOT.name) / str(len(list(Path(_ROOT.name).iterdir()))))
    return Seen(case, plant, scan(str(plant.folder), options=EFFECTS), screened(plant.folder))


def screened(folder: Path) -> Record:
    """The record of a screen."""
    return scan(str(folder), options=Options(depth="screen"))


# --- counts ---


def of_groups(all_seen: Iterable[Seen]) -> Counter[str]:
    """True and false, positive and negative: confirmed sets; a case without any, of which none is confirmed, is one
    true negative."""
    counts: Counter[str] = Counter()
    for one in all_seen:
        _count(counts, one.expected, one.confirmed)
    return counts


def of_candidates(all_seen: Iterable[Seen]) -> Counter[str]:
    """The same of the scalars before effects are known: all that stand in a super weight, all that were found."""
    counts: Counter[str] = Counter()
    for one in all_seen:
        _count(counts, {i for group in one.expected for i in group}, one.candidates)
    return counts


def _count(counts: Counter[str], expected: set[Ids] | set[str], found: set[Ids] | set[str]) -> None:
    counts["true positive"] += len(expected & found)
    counts["false positive"] += len(found - expected)
    counts["false negative"] += len(expected - found)
    counts["true negative"] += not expected and not found


def agreement(full: Record, screen: Record) -> list[str]:
    """How a screen's finds differ from a scan's: nothing, or for each what is missing or too much and why."""
    ours, theirs = ({w.id: w for w in record.super_weights} for record in (full, screen))
    covered = set(screen.scans[0].layers_covered)
    reasons = [
        "later layer" if w.layer not in covered else "not on the first token" if w.token.position else "other"
        for i, w in ours.items()
        if i not in theirs
    ]
    return reasons + ["extra"] * len(set(theirs) - set(ours))


# --- the tables ---


def main(families: bool) -> None:
    """Print all tables."""
    torch.set_num_threads(1)
    everything = {name: seen(name) for name in CASES}
    for name, one in everything.items():
        print(f"{name:38} {_right(one):7} {sorted(one.candidates)} screen: {agreement(one.record, one.screen)}")
    print("groups    ", dict(of_groups(everything.values())))
    print("candidates", dict(of_candidates(everything.values())))
    print("screen    ", _tally(agreement(s.record, s.screen) for s in everything.values()))
    if families:
        print("families  ", _tally(_family(*case) for case in [(n, k) for n, kinds in KINDS_OF.items() for k in kinds]))


def _right(one: Seen) -> str:
    return "right" if one.confirmed == one.expected else "WRONG"


def _tally(differences: Iterable[list[str]]) -> dict[str, int]:
    """How many agree; how many differ for which reasons."""
    return dict(Counter(", ".join(sorted(set(d))) or "agree" for d in differences))


def _family(model_type: str, kind: str) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="swindex-screens-") as root:
        folder = generic.plant(model_type, Path(root) / model_type, kind).folder
        full = scan(str(folder), options=Options(effects=False))
        if full.scans[0].reason is not None:
            return ["refused"]
        return agreement(full, screened(folder))


if __name__ == "__main__":
    main("--families" in sys.argv)
