"""Comparison of two runs of a model: the first row at which their tables differ, and a report of all tests."""

import csv
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.journal import INSTANT_MS, NEVER, Journal
from mm.backtest.replay import backtest
from mm.base.differences import first_difference
from mm.clock import US_PER_S, iso
from mm.errors import ModelError
from mm.instrument import E8
from mm.probes.counterfactual import STRETCH, market_at, rare_instants, short
from mm.probes.file_watch import DAY, LATER, OWN, PAST
from mm.probes.foresight import Acts

if TYPE_CHECKING:
    from mm.backtest.rules import Rules
    from mm.probes.file_watch import FileWatch
    from mm.probes.foresight import Surplus
    from mm.signals.other_feed import OtherFeed
    from mm.tape.feed import Feed
    from mm.tape.tape import Tape

NEVER_US = 1 << 62
REPEAT, TRUNCATED, PERTURBED, SHIFTED = "repeat", "truncated", "perturbed", "shifted"
FRESH, FILES, OPENED, HOURS = "fresh", "files", "opened", "hours"
STRETCHED, REFLECTED = "stretch", "reflected"
NO_STRETCH, LEAST_ORDERS = 0.02, 10  # share of equal orders, of so many, below which a model looks instants up
TESTS = {  # description of each test, in the printed order
    REPEAT: "the same run again in this process",
    FRESH: "the same run in a separate process",
    TRUNCATED: "tapes that end at the cut",
    PERTURBED: "tapes mirrored after the cut",
    SHIFTED: "the same tape a week later",
    HOURS: "the same tape 5 h 37 min 23 s later",
    STRETCHED: "the same tape, lasting 1 % longer",
    REFLECTED: "the same tape upside down",
    FILES: "day folders that end at the cut",
    OPENED: "files that the model opened itself, of the day or made after it began",
}


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
    stretch: dict[str, float] | None = None
    foresight: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add_foresight(self, test: str, surplus: "Surplus | None", *, vouched: bool) -> None:
        """What a model knows of the next moves on this day alone, it has looked up; *vouched*: in past data."""
        self.played.setdefault(test, 1)
        if surplus is None:
            self.unseen.append(f"what it knows of the next moves, as the day is too short for the test {test}")
            return
        self.foresight[test] = asdict(surplus)
        if surplus.knows and vouched:
            self.notes.append(f"{TESTS[test]}: {surplus}; in a table of past data, as --past says")
        elif surplus.knows:
            message = f"{surplus}: it looks them up; if in a table of past data, vouch for it by --past FILE"
            self.findings.append(Finding(test, None, None, message))

    def add_stretch(self, equal: Sequence[float], orders: int) -> None:
        """A model with a memory in seconds acts a little differently everywhere; one that looks instants up, anew."""
        whole, first, last = equal
        self.stretch = {"equal": whole, "first_tenth": first, "last_tenth": last}
        words = (
            f"on a day that lasts 1 % longer, {100 * whole:.3g} % of its orders are the same "
            f"({100 * first:.3g} % in the first tenth, {100 * last:.3g} % in the last)"
        )
        finding = None
        if whole < NO_STRETCH and orders >= LEAST_ORDERS:
            finding = Finding(STRETCHED, None, None, f"{words}: what it does is looked up by the instant")
        elif whole < 1:
            self.notes.append(
                f"{words}: decays and waits in seconds do that a little; what it knows by the instant, more"
            )
        self.add(STRETCHED, finding)

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
            kind, by = watch.kind(file, began_us, data_root), file.line
            made = "is gone" if file.changed_us is None else f"was made at {iso(file.changed_us)}"
            self.opened.append({"path": path, "by": by, "made": file.changed_us and iso(file.changed_us), "kind": kind})
            if kind == DAY:
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
            "stretch": self.stretch,
            "foresight": self.foresight,
        }

    def failed(self, test: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.test == test]

    def is_note(self, test: str) -> bool:
        """Whether it differs, without a failure."""
        stretched = self.stretch is not None and self.stretch["equal"] < 1 and not self.failed(STRETCHED)
        return bool(self.depends_on_time_of_day) if test == HOURS else test == STRETCHED and stretched

    def lines(self) -> Iterator[str]:
        for test, what in TESTS.items():
            if test in self.played:
                bad, all_ = len(self.failed(test)), self.played[test]
                counted = f"{bad} of {all_} differ" if bad else f"{all_} equal" if all_ > 1 else "equal"
                result = (str(bad) if bad else "none") if test == OPENED else counted
                if self.is_note(test):
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

    def equal_decisions(self, other: "RunTables", span: tuple[int, int]) -> tuple[list[float], int]:
        """Shares of equal orders and cancels to the second, and their number: in all, in the first and last tenth.

        *other* is on a tape that is stretched about the begin of *span*.
        """
        begin_us, end_us = span
        tenths = np.zeros((2, 10))
        own, theirs = self._decisions(begin_us, 1.0), other._decisions(begin_us, STRETCH)
        for at, counted in enumerate((own & theirs, own + theirs)):
            for (_, _, _, second), count in counted.items():
                place = 10 * (second * US_PER_S) // max(end_us - begin_us, 1)
                tenths[at, min(max(int(place), 0), 9)] += count
        shares = [2 * both / every if every else 1.0 for both, every in (tenths.sum(axis=1), *tenths.T[[0, 9]])]
        return shares, own.total()

    def _decisions(self, begin_us: int, factor: float) -> Counter[tuple[str, str, str, int]]:
        rows = (row for row in self.rows("orders") if row["action"] in ("PLACE", "CANCEL_REQ"))
        return Counter(
            (row["action"], row["side"], row["price"], round((int(row["recv_us"]) - begin_us) / factor / US_PER_S))
            for row in rows
        )

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
        self.last: Journal | None = None

    def acts(self, tape: "Tape", others: "Mapping[str, OtherFeed]", longer: float = 1.0) -> tuple[RunTables, Acts]:
        """Play a tape that is *longer*; also what was done at each second."""
        tables = self.play(tape, others=others)
        assert self.last is not None
        return tables, Acts.of_run(self.last, tape, longer)

    def play(self, tape: "Tape", shift_us: int = 0, others: "Mapping[str, OtherFeed] | None" = None) -> RunTables:
        with self._watch.watching():
            rules = self._rules if others is None else replace(self._rules, others=others)
            result = backtest(tape, *self._make(shift_us), rules)
        self._count += 1
        self.last = result.journal
        folder = self._place / str(self._count)
        replace(result, journal=_earlier(result.journal, shift_us)).write_tables(folder)
        return RunTables(folder)


def _earlier(journal: Journal, by_us: int) -> Journal:
    moved = (journal.orders.copy(), journal.fills.copy(), journal.state.copy())
    for table in moved:
        for column in table.columns:
            if column.kind == INSTANT_MS:
                us = column.of_table(table)
                us[:] = np.where(us == NEVER, NEVER, us - by_us)
    orders, fills, state = moved
    return replace(journal, orders=orders, fills=fills, state=state)


@dataclass(frozen=True)
class Baseline:
    """The run that others are compared with.

    Attributes:
        feed: A tape in the order of the exchange, which acts on a message before it arrives; None without a delay.
    """

    tape: "Tape"
    tables: RunTables
    feed: "Callable[[Tape], Feed] | None" = None

    def compare(
        self, test: str, other: RunTables, cut_us: int | None = None, tape: "Tape | None" = None
    ) -> Finding | None:
        """Up to where *tape*, equal until *cut_us*, may differ at the exchange."""
        until_us = NEVER_US if cut_us is None else cut_us
        if self.feed is not None and cut_us is not None:
            for one in (self.tape, tape or self.tape):
                happened_us = self.feed(one).by_event[one.event_us.searchsorted(cut_us) :]
                until_us = int(happened_us.min(initial=until_us))
        difference = self.tables.first_difference(other, until_us)
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
        finding = self.compare(test, tables, cut_us, tape)
        shutil.rmtree(tables.folder)
        return finding
