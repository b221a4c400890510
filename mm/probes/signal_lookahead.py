"""The look-ahead check of one signal: its rows before an instant must not depend on later data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mm.clock import US_PER_S, iso
from mm.errors import ModelError, UsageError
from mm.probes.counterfactual import WEEK_US, cuts, feeds_like, market_at, mirrored, shifted, truncated
from mm.probes.data_access import FileWatch
from mm.probes.run_comparison import OPENED, PERTURBED, REPEAT, SHIFTED, TRUNCATED, Finding, Report
from mm.signals.compute import SignalRows, compute

if TYPE_CHECKING:
    from mm.signals.micro_price import MicroPriceFit
    from mm.signals.other_feed import OtherFeed
    from mm.tape.tape import Tape


@dataclass(frozen=True)
class SignalProbe:
    """The tests of one signal on one day.

    Attributes:
        name: Name of the signal.
        tape: The day.
        watch: The files that the signal's module opened when it was imported.
        skip: Names of tests to skip.
        seed: Seed of the cuts.
        micro_price: The fit of the signal ``micro_price`` to earlier days.
        others: The feeds of other markets.
    """

    name: str
    tape: "Tape"
    watch: FileWatch
    skip: frozenset[str]
    seed: int
    micro_price: "MicroPriceFit | None" = None
    others: "Mapping[str, OtherFeed]" = field(default_factory=dict)

    def run(self, count: int) -> Report:
        """Run all tests with *count* cuts.

        Raises:
            UsageError: If the signal has no defined value on the day.
            ModelError: If it raises on the original day.
        """
        report, base = Report(), self._rows(self.tape, self.others)
        known = ~np.isnan(base.values[0])
        if not known.any():
            raise UsageError(
                f"signal {self.name} has no defined value on {self.tape.symbol} {','.join(self.tape.days)}"
            )
        first_us = int(base.recv_us[known.argmax()])
        report.cuts = cuts(self.tape, first_us, count, self.seed)
        report.add(REPEAT, self._compare(REPEAT, base, self.tape, self.others))
        for test, counterfactual in ((TRUNCATED, truncated), (PERTURBED, mirrored)):
            for cut_us in report.cuts:
                tape = counterfactual(self.tape, cut_us)
                others = feeds_like(self.others, counterfactual, cut_us, tape)
                report.add(test, self._compare(test, base, tape, others, cut_us))
        if SHIFTED not in self.skip:
            later = shifted(self.tape)
            others = feeds_like(self.others, shifted, WEEK_US, later)
            report.add(SHIFTED, self._compare(SHIFTED, base, later, others, shift_us=WEEK_US))
        if OPENED not in self.skip:
            report.add_opened(self.watch)
        report.note_others(self.watch)
        return report

    def _rows(self, tape: "Tape", others: "Mapping[str, OtherFeed]") -> SignalRows:
        with self.watch.watching():
            return _joined(list(compute(tape, (self.name,), self.micro_price, others=others)))

    def _compare(
        self,
        test: str,
        base: SignalRows,
        tape: "Tape",
        others: "Mapping[str, OtherFeed]",
        cut_us: int | None = None,
        shift_us: int = 0,
    ) -> Finding | None:
        """Return the first row that differs on another tape, which is equal before the cut; None for none."""
        try:
            other = self._rows(tape, others)
        except ModelError as error:
            return Finding(test, cut_us, None, f"error that the whole day did not raise: {error}")
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


def _row_text(rows: SignalRows, at: int, size: int) -> str:
    if at >= size:
        return "no row"
    value = rows.values[0, at]
    return "null" if np.isnan(value) else f"{value:.12g}"


def _joined(pieces: Sequence[SignalRows]) -> SignalRows:
    if not pieces:
        return SignalRows(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((1, 0)))
    return SignalRows(*(np.concatenate(column, axis=-1) for column in zip(*pieces, strict=True)))
