"""How a run used an account's margin: its largest margins, and how close it came to a liquidation."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mm.backtest.margin_terms import MarginTerms
from mm.base.arrays import Floats, Ints
from mm.instrument import E8

_CHANGE = 4  # numbers of a change


@dataclass(slots=True)
class MarginPeaks:
    """Largest values at the mark prices; amounts in the quote asset.

    Attributes:
        ratio: Maintenance margin over margin balance; 1 liquidates.
    """

    initial: float = 0.0
    maintenance: float = 0.0
    ratio: float = 0.0
    leverage: float = 0.0

    def see(self, initial: Floats, maintenance: Floats, notional: Floats, equity: Floats) -> None:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(equity > 0, maintenance / equity, np.inf)
            leverage = np.where(equity > 0, notional / equity, np.inf)
        self.initial = max(self.initial, float(initial.max(initial=0.0)))
        self.maintenance = max(self.maintenance, float(maintenance.max(initial=0.0)))
        self.ratio = max(self.ratio, float(ratio.max(initial=0.0)))
        self.leverage = max(self.leverage, float(leverage.max(initial=0.0)))

    def count(self, uses: "Sequence[MarginUse]", start: float, stop_us: int) -> None:
        """*start* is the first balance."""
        cross = [use for use in uses if not use.terms.isolated]
        instants = np.unique(np.concatenate([use.us[: use.seen(stop_us)] for use in cross] or [np.empty(0, np.int64)]))
        initial, maintenance, notional = np.zeros((3, len(instants)))
        equity = np.full(len(instants), start)
        for use in uses:
            lots, behind, beside = use.at(instants)
            if use.terms.isolated:
                equity += beside
                continue
            worth = lots * use.prices(instants) * use.lot
            size = np.abs(worth)
            notional += size
            initial += size / use.terms.leverage
            maintenance += use.maintenance(size)
            equity += behind + worth
        held = notional > 0
        self.see(initial[held], maintenance[held], notional[held], equity[held])


@dataclass(slots=True, kw_only=True)
class MarginUse:
    """The marks of a contract not counted yet, and the changes of its position.

    Attributes:
        peaks: Of the position; ratio and leverage only if it is isolated.
    """

    terms: MarginTerms
    lot: float
    us: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    e8: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    peaks: MarginPeaks = field(default_factory=MarginPeaks)
    _last: float = 0.0  # price of the last mark that was counted
    _changes: "array[float]" = field(default_factory=lambda: array("d"))

    def change(self, us: int, lots: int, behind_e8: int, beside_e8: int) -> None:
        """Add a change.

        Args:
            behind_e8: Margin balance without the position's worth: all it has earned (if isolated, its own margin),
                less its cost.
            beside_e8: What an isolated position has added to the balance of the others.
        """
        self._changes.extend((us, lots, behind_e8 / E8, beside_e8 / E8))

    def seen(self, stop_us: int) -> int:
        return int(np.searchsorted(self.us, stop_us, side="right"))

    def at(self, instants: Ints) -> tuple[Floats, Floats, Floats]:
        """Lots and the two amounts of `change` at instants; 0 before the first change."""
        changes = np.frombuffer(self._changes, np.float64).reshape(-1, _CHANGE)
        found = np.searchsorted(changes[:, 0], instants, side="right")
        rows = np.concatenate([np.zeros((1, _CHANGE)), changes])[found]
        return rows[:, 1], rows[:, 2], rows[:, 3]

    def prices(self, instants: Ints) -> Floats:
        first = self._last or (self.e8[0] / E8 if len(self.e8) else 0.0)  # a position may be older than the first mark
        known: Floats = np.concatenate([[first], self.e8 / E8])
        return known[np.searchsorted(self.us, instants, side="right")]

    def maintenance(self, notional: Floats) -> Floats:
        brackets = self.terms.brackets
        at = np.minimum(np.searchsorted([one.cap_e8 / E8 for one in brackets], notional), len(brackets) - 1)
        rates, cums = (np.array([getattr(one, name) / E8 for one in brackets])[at] for name in ("rate_e8", "cum_e8"))
        margin: Floats = np.maximum(notional * rates - cums, 0.0)
        return margin

    def count(self, stop_us: int) -> None:
        stop = self.seen(stop_us)
        lots, behind, _ = self.at(self.us[:stop])
        held = lots != 0
        worth = (lots * self.e8[:stop] / E8 * self.lot)[held]
        size = np.abs(worth)
        equity = behind[held] + worth if self.terms.isolated else np.full(len(size), np.inf)
        self.peaks.see(size / self.terms.leverage, self.maintenance(size), size, equity)
        if stop:
            self._last = self.e8[stop - 1] / E8
        self.us, self.e8 = self.us[stop:], self.e8[stop:]
        changes = np.frombuffer(self._changes, np.float64).reshape(-1, _CHANGE)
        last = changes[max(int(np.searchsorted(changes[:, 0], stop_us, side="right")) - 1, 0) :].copy()
        del changes  # a view of the array, which then may shrink
        self._changes = array("d", last.ravel())
