"""The look-ahead check of one signal: its rows before an instant must not depend on later data."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mm.base.knobs import knobs, shown
from mm.base.user_code import NAME
from mm.clock import US_PER_S, iso
from mm.errors import DataError, ModelError, UsageError
from mm.play.market import MICRO_PRICE, Markets
from mm.play.setup import Setup
from mm.probes.counterfactual import (
    HOURS_US,
    STRETCH,
    WEEK_US,
    cuts,
    feeds_like,
    market_at,
    mirrored,
    rare_instants,
    reflected,
    shifted,
    stretched,
    truncated,
)
from mm.probes.data_access import MODEL_RAISED, Child, run_command
from mm.probes.file_watch import FileWatch
from mm.probes.foresight import Acts
from mm.probes.lookahead import truncated_copies, unseen
from mm.probes.run_comparison import (
    FILES,
    FRESH,
    HOURS,
    OPENED,
    PERTURBED,
    REFLECTED,
    REPEAT,
    SHIFTED,
    STRETCHED,
    TRUNCATED,
    Finding,
    Report,
)
from mm.signals.compute import SignalRows, compute

if TYPE_CHECKING:
    from mm.signals.other_feed import OtherFeed
    from mm.tape.tape import Tape

COLUMNS = "signals.parquet"
_OWN = ("damaged",)


@dataclass
class SignalProbe:
    name: str
    setup: Setup
    watch: FileWatch
    skip: frozenset[str]
    place: Path
    report: Report = field(default_factory=Report)

    def __post_init__(self) -> None:
        self._markets = Markets.open(self.setup.day, self.setup.market, self.setup.others)
        (self.tape,) = self._markets.tapes
        self._micro_price = self._markets.micro_price.fit if self.name == MICRO_PRICE else None
        self._others = self._markets.others

    def run(self, count: int) -> Report:
        report, seed, base = self.report, self.setup.account.seed, self._rows(self.tape, self._others)
        known = ~np.isnan(base.values[0])
        if not known.any():
            raise UsageError(
                f"signal {self.name} has no defined value on {self.tape.symbol} {','.join(self.tape.days)}"
            )
        first_us = int(base.recv_us[known.argmax()])
        rare = _rare(base, count, seed)
        report.cuts = cuts(self.tape, first_us, count, seed, rare)
        report.add(REPEAT, self._compare(REPEAT, base, self.tape, self._others))
        if FRESH not in self.skip and self._is_own:
            child = self._child(self.setup, self.place / "fresh", (Path.cwd(), os.environ))
            report.add(FRESH, self._of_child(FRESH, base, child))
        for test, counterfactual in ((TRUNCATED, truncated), (PERTURBED, mirrored)):
            for cut_us in report.cuts:
                tape = counterfactual(self.tape, cut_us)
                others = feeds_like(self._others, counterfactual, cut_us, tape)
                report.add(test, self._compare(test, base, tape, others, cut_us))
        if SHIFTED not in self.skip:
            report.add(SHIFTED, self._shifted(SHIFTED, base, WEEK_US))
            report.add_hours(self._shifted(HOURS, base, HOURS_US))
            self._foresight(base)
        if FILES not in self.skip and self._is_own:
            self._files(base, first_us, rare)
        if OPENED not in self.skip:
            report.add_opened(self.watch, self.tape.start_us, self.setup.day.data_root)
        report.unseen += unseen(self.watch, self.skip, [self.name] if self._is_own else [])
        return report

    @property
    def _is_own(self) -> bool:
        return NAME.fullmatch(self.name) is not None

    def _shifted(self, test: str, base: SignalRows, by_us: int) -> Finding | None:
        later = shifted(self.tape, by_us)
        return self._compare(test, base, later, feeds_like(self._others, shifted, by_us, later), shift_us=by_us)

    def _foresight(self, base: SignalRows) -> None:
        own = Acts.of_values(base.recv_us, base.values[0], self.tape)
        for test, change, longer in ((STRETCHED, stretched, STRETCH), (REFLECTED, reflected, 1.0)):
            tape = change(self.tape, self.tape.start_us)
            try:
                rows = self._rows(tape, feeds_like(self._others, change, self.tape.start_us, tape))
            except ModelError as error:
                message = f"error that the day itself did not raise: {error}"
                self.report.add(test, Finding(test, None, None, message))
                continue
            surplus = own.surplus(Acts.of_values(rows.recv_us, rows.values[0], tape, longer), ("values",))
            self.report.add_foresight(test, surplus, vouched=self.watch.vouched)

    def _files(self, base: SignalRows, first_us: int, rare: list[int]) -> None:
        copies = truncated_copies(self.setup, self.tape, first_us, rare, self.place)
        for own, copy, cut_us in islice(copies, 0, None, 2):  # a signal that looks far ahead differs in each
            day = replace(self.setup.day, data_root=copy.data_root, out_root=own / "out")
            child = self._child(replace(self.setup, day=day), own, (copy.cwd, copy.environment()))
            # The last message of a truncated day is just before the cut, and changes nothing.
            self.report.add(FILES, self._of_child(FILES, base, child, cut_us - 1))

    def _child(self, setup: Setup, place: Path, copy: tuple[Path, Mapping[str, str]]) -> Child:
        groups = [setup.day, setup.market, setup.others]
        values = [(knob, getattr(group, knob.name)) for group in groups for knob in knobs(type(group))]
        words = [f"{knob.flag}={shown(value)}" for knob, value in values if value is not None and knob.name not in _OWN]
        return run_command(["signals", "compute"], [*words, f"--signals={self.name}"], place, copy)

    def _of_child(self, test: str, base: SignalRows, child: Child, cut_us: int | None = None) -> Finding | None:
        if child.code == MODEL_RAISED and not child.error.startswith("unforeseen"):
            return Finding(test, cut_us, None, f"error that this process did not raise: {child.error}")
        if child.code:
            raise DataError(f"the {test} test could not be computed: {child.error}; --skip {test} skips it")
        import polars as pl

        table = pl.read_parquet(child.folder / COLUMNS)
        values = table[self.name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        rows = SignalRows(table["recv_us"].to_numpy(), table["recv_seq"].to_numpy(), values.reshape(1, -1))
        return self._difference(test, base, rows, cut_us)

    def _rows(self, tape: "Tape", others: "Mapping[str, OtherFeed]") -> SignalRows:
        with self.watch.watching():
            return _joined(list(compute(tape, (self.name,), self._micro_price, others=others)))

    def _compare(
        self,
        test: str,
        base: SignalRows,
        tape: "Tape",
        others: "Mapping[str, OtherFeed]",
        cut_us: int | None = None,
        shift_us: int = 0,
    ) -> Finding | None:
        try:
            other = self._rows(tape, others)
        except ModelError as error:
            return Finding(test, cut_us, None, f"error that the whole day did not raise: {error}")
        return self._difference(test, base, other, cut_us, shift_us)

    def _difference(
        self, test: str, base: SignalRows, other: SignalRows, cut_us: int | None = None, shift_us: int = 0
    ) -> Finding | None:
        sizes = [
            len(table.recv_us) if cut_us is None else int(np.searchsorted(table.recv_us - by_us, cut_us))
            for table, by_us in ((base, 0), (other, shift_us))
        ]
        rows = min(sizes)
        own, theirs = base.values[0, :rows], other.values[0, :rows]
        differ = np.flatnonzero(~((own == theirs) | (np.isnan(own) & np.isnan(theirs))))
        if not len(differ) and sizes[0] == sizes[1]:
            return None
        at = int(differ[0]) if len(differ) else rows
        us = int((base if at < sizes[0] else other).recv_us[at])
        did, instead = (_row_text(table, at, size) for table, size in ((base, sizes[0]), (other, sizes[1])))
        before = "" if cut_us is None else f", {(cut_us - us) / US_PER_S:.3f} s before the cut"
        words = f"at {iso(us)}{before}: {instead}; the first run: {did}; market: {market_at(self.tape, us)}"
        return Finding(test, cut_us, us, words)


def _rare(rows: SignalRows, count: int, seed: int) -> list[int]:
    values = rows.values[0]
    changed = np.flatnonzero(~np.isnan(values[1:]) & (values[1:] != values[:-1])) + 1
    return rare_instants(rows.recv_us[changed], values[changed], count, seed)


def _row_text(rows: SignalRows, at: int, size: int) -> str:
    if at >= size:
        return "no row"
    value = rows.values[0, at]
    return "null" if np.isnan(value) else f"{value:.12g}"


def _joined(pieces: Sequence[SignalRows]) -> SignalRows:
    if not pieces:
        return SignalRows(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((1, 0)))
    return SignalRows(*(np.concatenate(column, axis=-1) for column in zip(*pieces, strict=True)))
