"""Play a model on other futures of a tape, and say where it did not do the same before they part."""

import csv
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.replay import backtest
from mm.clock import US_PER_S, iso
from mm.errors import ModelError
from mm.lookahead import tables
from mm.lookahead.futures import WEEK_US, ended, knew, mirrored, shifted
from mm.lookahead.watch import Watch

if TYPE_CHECKING:
    from mm.backtest.rules import Rules
    from mm.tape.tape import Tape

REPEAT, TRUNCATED, PERTURBED, SHIFTED = "repeat", "truncated", "perturbed", "shifted"
FRESH, FILES, OPENED = "fresh", "files", "opened"
WHAT = {  # what each test plays, in the order in which they are told
    REPEAT: "the same run again in this process",
    FRESH: "the same run in a process of its own",
    TRUNCATED: "tapes that end at the cut",
    PERTURBED: "tapes mirrored behind the cut",
    SHIFTED: "the same tape a week later",
    FILES: "day folders that end at the cut",
    OPENED: "files of the day that the model opened itself",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a model could not have done without knowing what it must not know.

    Attributes:
        test: Which test found it.
        cut_us: From which instant on the two runs had other data; None where they had the same.
        us: When the model did something else; None where no instant can be named.
        told: In words.
    """

    test: str
    cut_us: int | None
    us: int | None
    told: str

    def answer(self) -> dict[str, Any]:
        """Return it as JSON values."""
        instants = {"cut": self.cut_us, "at": self.us}
        return {"test": self.test, **{name: us and iso(us) for name, us in instants.items()}, "told": self.told}


@dataclass
class Report:
    """What the tests found.

    Attributes:
        cuts: The instants at which the day was cut.
        played: How many comparisons each test made.
        findings: Those that failed.
        notes: What was not tested, or is worth knowing.
    """

    cuts: list[int] = field(default_factory=list)
    played: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, test: str, found: Finding | None) -> None:
        """Count a comparison of *test*, and keep what it found."""
        self.played[test] = self.played.get(test, 0) + 1
        if found is not None:
            self.findings.append(found)

    def failed(self, test: str) -> list[Finding]:
        """Return what a test found."""
        return [one for one in self.findings if one.test == test]

    def lines(self) -> Iterator[str]:
        """Yield what a person is told: each test, the first finding of each, and the notes."""
        for test, what in WHAT.items():
            if test in self.played:
                bad, all_ = len(self.failed(test)), self.played[test]
                counted = f"{bad} of {all_} differ" if bad else f"{all_} alike" if all_ > 1 else "alike"
                told = (str(bad) if bad else "none") if test == OPENED else counted
                yield f"{'FAILED' if bad else 'passed':<7} {test:<10} {what}: {told}"
                yield from (f"        {one.told}" for one in self.failed(test)[:1])
        yield from (f"note: {note}" for note in self.notes)


class Player:
    """Plays fresh models of one make, and keeps the tables of what they did.

    Args:
        make: Makes a quote and a fill model, for a tape that lies some µs later than the day.
        rules: The rules of the run.
        place: A folder for the tables.
        watch: Sees what the models open.
    """

    def __init__(self, make: Callable[[int], tuple[object, object]], rules: "Rules", place: Path, watch: Watch) -> None:
        self._make, self._rules, self._place, self._watch = make, rules, place, watch
        self._count = 0

    def play(self, tape: "Tape", shift_us: int = 0) -> Path:
        """Return the folder of the tables of a run; its instants are those of a tape that was not shifted.

        Raises:
            ModelError: If a model raises.
        """
        with self._watch.watching():
            result = backtest(tape, *self._make(shift_us), self._rules)
        self._count += 1
        return tables.write(result, self._place / str(self._count), shift_us)


@dataclass(frozen=True)
class Baseline:
    """The run that all others are held against.

    Attributes:
        tape: What it was played on.
        folder: Its tables.
    """

    tape: "Tape"
    folder: Path

    def against(self, test: str, other: Path, cut_us: int | None = None) -> Finding | None:
        """Return what tells another run's tables apart before the cut; None where nothing does."""
        found = tables.parting(self.folder, other, tables.NEVER_US if cut_us is None else cut_us)
        if found is None:
            return None
        before = "" if cut_us is None else f", {(cut_us - found.us) / US_PER_S:.3f} s before the cut"
        return Finding(
            test,
            cut_us,
            found.us,
            f"at {iso(found.us)}{before}: {found.other}; the first run: {found.did}; "
            f"it knew {knew(self.tape, found.us)}, inventory {self._inventory(found.us)}",
        )

    def _inventory(self, us: int) -> str:
        """Return what was held at an instant, as the state file tells it."""
        held = "0"
        with next(self.folder.glob("state_*.csv")).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if int(row["recv_us"]) > us:
                    break
                held = row["inventory"]
        return tables.short(held)


def cuts(tape: "Tape", after_us: int, count: int, seed: int) -> list[int]:
    """Return instants to cut a tape at: half of them anywhere, half just before the best prices change.

    A model that peeks a short way shows it where what comes next is another thing than what is.
    """
    draw = np.random.default_rng(seed)
    changes = tape.event_us[tape.top_event]
    changes = changes[changes > after_us]
    anywhere = count - count // 2 if len(changes) else count
    instants = draw.integers(after_us + 1, max(tape.end_us, after_us + 1) + 1, anywhere).tolist()
    instants += draw.choice(changes, count - anywhere).tolist() if len(changes) else []
    return sorted(set(instants))


def greatest_moves(tape: "Tape", after_us: int, horizons_s: Sequence[float]) -> list[int]:
    """Return the instants behind *after_us* at which the greatest moves of the mid begin, one for each horizon."""
    both = (tape.top_bid_ticks > 0) & (tape.top_ask_ticks > 0)
    us, mid2 = tape.event_us[tape.top_event][both], (tape.top_bid_ticks + tape.top_ask_ticks)[both]
    first = max(int(np.searchsorted(us, after_us, side="right")), 1)
    if first >= len(us):
        return []
    found = []
    for horizon_s in horizons_s:
        then = np.searchsorted(us, us[first:] + round(horizon_s * US_PER_S), side="right") - 1
        found.append(int(us[first + int(np.argmax(np.abs(mid2[then] - mid2[first - 1 : -1])))]))
    return sorted(set(found))


def greatest_prints(tape: "Tape", after_us: int) -> list[int]:
    """Return the instants behind *after_us* of the largest print that bought and the largest that sold."""
    late = tape.trades[tape.event_us[tape.trades] > after_us]
    rows = tape.first_row[late]
    found = []
    for side in (1, -1):
        own = np.flatnonzero(tape.row_side[rows] == side)
        if len(own):
            found.append(int(tape.event_us[late[own[np.argmax(tape.row_lots[rows[own]])]]]))
    return found


def check_cuts(
    report: Report, player: Player, base: Baseline, instants: Sequence[int], step: Callable[[int], None]
) -> None:
    """Play other futures in this process, and note what parts from *base* before its cut; *step* counts the plays."""
    for test, future in ((TRUNCATED, ended), (PERTURBED, mirrored)):
        for cut_us in instants:
            report.add(test, _held(player, base, (test, cut_us), future(base.tape, cut_us), 0))
            step(1)


def check_shift(report: Report, player: Player, base: Baseline) -> None:
    """Play the same market a week later; what a model does must have moved with it."""
    report.add(SHIFTED, _held(player, base, (SHIFTED, None), shifted(base.tape), WEEK_US))


def check_repeat(report: Report, player: Player, base: Baseline) -> bool:
    """Play the day once more in this process; return whether all was the same."""
    report.add(REPEAT, _held(player, base, (REPEAT, None), base.tape, 0))
    return not report.failed(REPEAT)


def _held(player: Player, base: Baseline, named: tuple[str, int | None], tape: "Tape", shift_us: int) -> Finding | None:
    """Return what a run on *tape* does otherwise than the baseline."""
    test, cut_us = named
    try:
        folder = player.play(tape, shift_us)
    except ModelError as error:
        return Finding(test, cut_us, None, f"it raised, which it did not on the whole day: {error}")
    found = base.against(test, folder, cut_us)
    shutil.rmtree(folder)
    return found
