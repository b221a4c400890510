"""Comparison of two runs of a model: the first row at which their tables differ, and a report of all tests."""

import csv
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.journal import FILL_COLUMNS, ORDER_COLUMNS, STATE_COLUMNS, Journal
from mm.backtest.replay import backtest
from mm.base.differences import first_difference
from mm.clock import US_PER_S, iso
from mm.errors import ModelError
from mm.instrument import E8
from mm.probes.counterfactual import market_at, rare_instants, short
from mm.probes.file_watch import DAY, LATER, OWN, PAST

if TYPE_CHECKING:
    from mm.backtest.rules import Rules
    from mm.probes.file_watch import FileWatch
    from mm.signals.other_feed import OtherFeed
    from mm.tape.tape import Tape

NEVER_US = 1 << 62
REPEAT, TRUNCATED, PERTURBED, SHIFTED = "repeat", "truncated", "perturbed", "shifted"
FRESH, FILES, OPENED, HOURS = "fresh", "files", "opened", "hours"
TESTS = {  # description of each test, in the printed order
    REPEAT: "the same run again in this process",
    FRESH: "the same run in a separate process",
    TRUNCATED: "tapes that end at the cut",
    PERTURBED: "tapes mirrored after the cut",
    SHIFTED: "the same tape a week later",
    HOURS: "the same tape 5 h 37 min 23 s later",
    FILES: "day folders that end at the cut",
    OPENED: "files that the model opened itself, of the day or made after it began",
}
_COLUMNS = {"orders": ORDER_COLUMNS, "fills": FILL_COLUMNS, "state": STATE_COLUMNS}


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference that indicates information from the future."""

    test: str
    cut_us: int | None
    us: int | None
    message: str

    def to_dict(self) -> dict[str, Any]:
        instants = {"cut": self.cut_us, "at": self.us}
        return {"test": self.test, **{name: us and iso(us) for name, us in instants.items()}, "message": self.message}


@dataclass
class Report:
    cuts: list[int] = field(default_factory=list)
    played: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    opened: list[dict[str, Any]] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    depends_on_time_of_day: bool | None = None

    def add(self, test: str, finding: Finding | None) -> None:
        self.played[test] = self.played.get(test, 0) + 1
        if finding is not None:
            self.findings.append(finding)

    def add_hours(self, finding: Finding | None) -> None:
        """Acting differently at another time of day is no error."""
        self.played[HOURS] = 1
        self.depends_on_time_of_day = finding is not None
        if finding is not None:
            self.notes.append(f"it depends on the time of day: from what does it know? {finding.message}")

    def add_opened(self, watch: "FileWatch", began_us: int, data_root: Path) -> None:
        self.played[OPENED] = 1
        for path, file in sorted(watch.opened.items()):
            kind, by = watch.kind(file, began_us, data_root), file.line or "compiled code"
            made = "is gone" if file.changed_us is None else f"was made at {iso(file.changed_us)}"
            self.opened.append({"path": path, "by": by, "made": file.changed_us and iso(file.changed_us), "kind": kind})
            if kind in (DAY, LATER) and file.again is False and file.line is None:
                self.notes.append(f"{path} was opened once, perhaps by another process: run the check again, alone")
            elif kind == DAY:
                message = f"it opened {path} at {by}, which would not exist in live trading"
                self.findings.append(Finding(OPENED, None, None, message))
            elif kind == LATER:
                message = (
                    f"it opened {path} at {by}, which {made}, after the played day began ({iso(began_us)}); "
                    f"if it holds nothing later than that, say so: --past {path}"
                )
                self.findings.append(Finding(OPENED, None, None, message))
            elif kind != OWN:
                vouched = ", as --past says" if kind == PAST else ""
                self.notes.append(f"it read {path} at {by}, whose content was not checked{vouched}")

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": not self.findings,
            "cuts": len(self.cuts),
            "tests": {name: {"played": count, "failed": len(self.failed(name))} for name, count in self.played.items()},
            "findings": [finding.to_dict() for finding in self.findings],
            "notes": self.notes,
            "opened": self.opened,
            "unseen": self.unseen,
            "depends_on_time_of_day": self.depends_on_time_of_day,
        }

    def failed(self, test: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.test == test]

    def lines(self) -> Iterator[str]:
        for test, what in TESTS.items():
            if test in self.played:
                bad, all_ = len(self.failed(test)), self.played[test]
                counted = f"{bad} of {all_} differ" if bad else f"{all_} equal" if all_ > 1 else "equal"
                result = (str(bad) if bad else "none") if test == OPENED else counted
                if test == HOURS and self.depends_on_time_of_day:
                    result = "differs"
                verdict = "FAILED" if bad else "note" if result == "differs" else "passed"
                yield f"{verdict:<7} {test:<10} {what}: {result}"
                yield from (f"        {finding.message}" for finding in self.failed(test)[:1])
        yield from (f"note: {note}" for note in self.notes)
        if self.unseen:
            yield f"unseen: {'; '.join(self.unseen)}"


@dataclass(frozen=True)
class RunTables:
    """The CSV files of a run in *folder*, as written by ``mm backtest`` and :class:`ModelPlayer`."""

    folder: Path

    def rows(self, table: str) -> Iterator[dict[str, str]]:
        with self._path(table).open(newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)

    @property
    def first_order_us(self) -> int | None:
        return next((int(row["recv_us"]) for row in self.rows("orders") if row["action"] == "PLACE"), None)

    def rare_actions(self, tape: "Tape", count: int, seed: int) -> list[int]:
        import polars as pl

        columns = ["recv_us", "action", "side", "price", "qty"]
        rows = pl.read_csv(self._path("orders"), columns=columns, schema_overrides={"qty": pl.String})
        rows = rows.filter(pl.col("action").is_in(["PLACE", "CANCEL_REQ"]))
        us = rows["recv_us"].to_numpy()
        top = np.searchsorted(tape.event_us[tape.top_event], us, side="right") - 1
        mid2 = np.where(top >= 0, (tape.top_bid_ticks + tape.top_ask_ticks)[np.maximum(top, 0)], 0)
        away2 = np.rint(rows["price"].to_numpy() * E8 / tape.instrument.tick_e8).astype(np.int64) * 2 - mid2
        kinds = (rows["action"] + rows["side"] + rows["qty"]).to_numpy().astype(str)
        return rare_instants(us, np.char.add(kinds, np.char.mod(" %d", away2)), count, seed)

    def inventory_at(self, us: int) -> str:
        held = "0"
        for row in self.rows("state"):
            if int(row["recv_us"]) > us:
                break
            held = row["inventory"]
        return short(held)

    def first_difference(self, other: "RunTables", until_us: int = NEVER_US) -> tuple[int, str, str] | None:
        """The first differing order or fill before *until_us*: instant, and both rows as text."""
        differences = [
            difference
            for table in ("orders", "fills")
            if (difference := self._difference(other, table)) and difference[0] < until_us
        ]
        return min(differences, key=lambda difference: difference[0], default=None)

    def _difference(self, other: "RunTables", table: str) -> tuple[int, str, str] | None:
        with self._path(table).open(encoding="utf-8") as own, other._path(table).open(encoding="utf-8") as theirs:
            names = next(csv.reader([own.readline()]))
            theirs.readline()
            difference = first_difference(own, theirs)
        if difference is None:
            return None
        rows = [dict(zip(names, next(csv.reader([line])), strict=True)) if line else None for line in difference[1:]]
        us = min(int(row["recv_us"]) for row in rows if row)
        did, instead = (_in_words(row) if row and int(row["recv_us"]) == us else "nothing" for row in rows)
        return us, did, instead

    def _path(self, table: str) -> Path:
        return next(self.folder.glob(f"{table}_*.csv"))


def _in_words(row: Mapping[str, str]) -> str:
    order = f"order {row['order_id']}, {row['side']} {short(row['qty'])} at {short(row['price'])}"
    if "reason" in row:
        return f"fill of {order} ({row['reason']})"
    return f"{row['action']} {order} {row['reject_reason'] or row['cancel_reason']}".rstrip()


class ModelPlayer:
    def __init__(
        self, make: Callable[[int], tuple[object, object]], rules: "Rules", place: Path, watch: "FileWatch"
    ) -> None:
        self._make, self._rules, self._place, self._watch = make, rules, place, watch
        self._count = 0

    def play(self, tape: "Tape", shift_us: int = 0, others: "Mapping[str, OtherFeed] | None" = None) -> RunTables:
        with self._watch.watching():
            rules = self._rules if others is None else replace(self._rules, others=others)
            result = backtest(tape, *self._make(shift_us), rules)
        self._count += 1
        folder = self._place / str(self._count)
        replace(result, journal=_earlier(result.journal, shift_us)).write_tables(folder)
        return RunTables(folder)


def _earlier(journal: Journal, by_us: int) -> Journal:
    moved = {}
    for name, columns in _COLUMNS.items():
        table = getattr(journal, name).copy()
        instants = [place for place, column in enumerate(columns) if column == "us" or column.endswith("_us")]
        table[:, instants] = np.where(table[:, instants] == -1, -1, table[:, instants] - by_us)
        moved[name] = table
    return replace(journal, **moved)


@dataclass(frozen=True)
class Baseline:
    tape: "Tape"
    tables: RunTables

    def compare(self, test: str, other: RunTables, cut_us: int | None = None) -> Finding | None:
        difference = self.tables.first_difference(other, NEVER_US if cut_us is None else cut_us)
        if difference is None:
            return None
        us, did, instead = difference
        before = "" if cut_us is None else f", {(cut_us - us) / US_PER_S:.3f} s before the cut"
        return Finding(
            test,
            cut_us,
            us,
            f"at {iso(us)}{before}: {instead}; the first run: {did}; "
            f"market: {market_at(self.tape, us)}, inventory {self.tables.inventory_at(us)}",
        )

    def play(
        self,
        player: ModelPlayer,
        test: str,
        tape: "Tape",
        cut_us: int | None = None,
        shift_us: int = 0,
        others: "Mapping[str, OtherFeed] | None" = None,
    ) -> Finding | None:
        try:
            tables = player.play(tape, shift_us, others)
        except ModelError as error:
            return Finding(test, cut_us, None, f"error that the whole day did not raise: {error}")
        finding = self.compare(test, tables, cut_us)
        shutil.rmtree(tables.folder)
        return finding
