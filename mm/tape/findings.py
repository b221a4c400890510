"""What was found and mended while a day was read: how often, where, and in words."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mm.dayfolder.layout import DayFolder
from mm.tape.columns import GAP, SNAPSHOT, TRADE, EventName
from mm.tape.files import FileRead

FEW = 3
"""How many places of one finding are named; the others are counted."""

# One warning covers a group: a message out of order repeats ids and leaves a hole.
_SENTENCES: tuple[dict[str, str], ...] = (
    {
        "id_gaps": "update ids are missing {n} times{at}; the book is void from there to the next snapshot",
        "id_resets": (
            "the exchange reset its update ids {n} times{at}; the book is void from there to the next snapshot"
        ),
        "repeated_diffs": (
            "the update ids of {n} depth messages do not rise{at}; they bring nothing new and were left out"
        ),
    },
    {"off_tick_left_out": "{n} changes of levels off the tick{at} were left out, as in the recorder (see the ledger)"},
    {"snapshots_unused": "{n} snapshots{at} do not meet the depth messages around them and were left out"},
    {"duplicate_trades": "{n} trades repeat the id of an earlier one{at} and were left out"},
    {"misplaced": "{n} messages come after a later one in their file{at} and were sorted"},
    {"clock_raised": "the clock had stepped back at {n} messages{at}; each is given the time of the one before it"},
    {"ordered_by_time": "no recv_seq in some file: messages are ordered by receive time, depth before trades"},
    {"crossed": "{n} messages leave the book crossed or locked{at}; it is void from there to the next snapshot"},
)


class Place(NamedTuple):
    """A file, and what to look for in it."""

    path: Path
    what: str


def named(recv_seq: int, last_id: int, recv_us: int) -> str:
    """Return the best name that a message has: its `recv_seq`, else its id, else its instant."""
    if recv_seq >= 0:
        return f"recv_seq {recv_seq}"
    return f"id {last_id}" if last_id > 0 else f"recv_us {recv_us}"


@dataclass(frozen=True, slots=True)
class EventSources:
    """Which file an event of a tape comes from.

    Attributes:
        book: File of the depth messages, else of the frames.
        trades: File of the trades.
        ledger: File of the ledger.
        ledger_seqs: Numbers of the ledger's rows.
        snapshots: File of each snapshot, by its last update id.
    """

    book: Path
    trades: Path
    ledger: Path
    ledger_seqs: frozenset[int]
    snapshots: dict[int, Path]

    def places(self, events: Iterable[EventName]) -> list[Place]:
        """Return where *events* are found."""
        return [Place(self._path(event), named(event.recv_seq, event.last_id, event.recv_us)) for event in events]

    def _path(self, event: EventName) -> Path:
        if event.kind == TRADE:
            return self.trades
        if event.kind == SNAPSHOT:
            return self.snapshots.get(event.last_id, self.book)
        return self.ledger if event.kind == GAP and event.recv_seq in self.ledger_seqs else self.book


@dataclass(frozen=True, slots=True)
class Findings:
    """What was counted on a day, and where the first few of each are."""

    counts: Counter[str] = field(default_factory=Counter)
    places: defaultdict[str, list[Place]] = field(default_factory=lambda: defaultdict(list))

    def note(self, name: str, count: int, places: Iterable[Place] = ()) -> None:
        """Add *count* findings of a name; of their places, the first few of all are kept."""
        self.counts[name] += count
        there = self.places[name]
        there += islice(places, FEW - len(there))

    def warnings(self, folder: DayFolder) -> Iterator[str]:
        """Yield a warning for each group of findings that a reader needs; it begins with the file of the first."""
        for group in _SENTENCES:
            names = [name for name in group if self.counts[name]]
            if names:
                there = self.places.get(names[0])
                parts = [group[name].format(n=self.counts[name], at=self._at(name)) for name in names]
                yield f"{there[0].path if there else folder.path}: {'; '.join(parts)}"

    def never_synced(self, folder: DayFolder) -> str:
        """Return the message about a day without one valid book."""
        counts = self.counts
        waiting = counts["unsynced_diffs"] + counts["id_gaps"] + counts["id_resets"]
        return (
            f"{folder.path}: the book is never valid: {waiting} depth messages wait for a snapshot, "
            f"{counts['snapshots_unused']} snapshots do not meet them, {counts['crossed']} books are crossed; "
            f"record or import the day with a snapshot"
        )

    def _at(self, name: str) -> str:
        """Return the places of a finding in one clause; those in another file than the first include its name."""
        places = self.places.get(name)
        if not places:
            return ""
        first = places[0].path
        clause = ", ".join(at.what if at.path == first else f"{at.what} of {at.path.name}" for at in places)
        return f" ({clause}{', …' if self.counts[name] > len(places) else ''})"


def lost_lines(folder: DayFolder, reads: Sequence[FileRead]) -> tuple[int, list[str]]:
    """Return how many lines of damaged files are lost, and a warning for each file.

    The manifest says how many rows a file had; without it, at least the torn line is lost.
    """
    damaged = [read for read in reads if read.cut_off or read.torn_lines]
    rows = _manifest_rows(folder) if damaged else {}
    lost, warnings = 0, []
    for read in damaged:
        header = 1 if ".csv" in read.path.name else 0
        expected = rows.get(folder.relative(read.path), 0) + header
        count = max(expected - read.lines, read.torn_lines)
        how = "ends in the middle of its gzip data" if read.cut_off else "ends in the middle of a line"
        warnings.append(f"{read.path}: the file {how}; its {read.lines} whole lines are used, at least {count} lost")
        lost += count
    return lost, warnings


def _manifest_rows(folder: DayFolder) -> Mapping[str, int]:
    """Return the rows of each file by the manifest; empty where there is none that can be read."""
    try:
        files = json.loads(folder.manifest.read_bytes())["files"]
        return {entry["path"]: int(entry["rows"]) for entry in files}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
