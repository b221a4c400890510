"""Connects a contract's margin account, which is exact, with the kernel, which watches the mark price."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mm.backtest.engine._margin import MarginWatch
from mm.backtest.journal import REJECT_REASONS
from mm.backtest.margin import NO_MARK, Grid, Liquidation, MarginAccount
from mm.backtest.margin_terms import MarginTerms
from mm.backtest.margin_use import MarginPeaks, MarginUse
from mm.base.arrays import Ints
from mm.instrument import E8
from mm.margin.brackets import most_notional_e8
from mm.margin.wallet import ABOVE_BRACKET, MARGIN_INSUFFICIENT, OpenOrder
from mm.tape.columns import DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE
from mm.tape.marks import marks_of

if TYPE_CHECKING:
    from mm.backtest.engine._engine import Engine
    from mm.backtest.rules import Rules
    from mm.tape.feed import Feed
    from mm.tape.tape import Tape

_REASONS = {
    MARGIN_INSUFFICIENT: REJECT_REASONS.index("insufficient_margin"),
    ABOVE_BRACKET: REJECT_REASONS.index("above_bracket"),
    0: 0,
}
LIQUIDATED = "liquidated"


@dataclass(frozen=True)
class MarginReport:
    terms: MarginTerms
    liquidations: tuple[Liquidation, ...]
    peaks: MarginPeaks
    marks: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        marks, recorded = self.marks
        parts, clearance = sum(one.left_lots > 0 for one in self.liquidations), dict[str, float]()
        if self.liquidations:
            clearance["clearance_fee"] = sum(one.clearance_e8 for one in self.liquidations) / E8
        if parts:
            clearance["liquidated_in_part"] = parts
        return {
            "leverage": self.terms.leverage,
            "margin_type": "isolated" if self.terms.isolated else "cross",
            "brackets": self.terms.brackets_from,
            "mark": "recorded" if recorded == marks else "mid" if not recorded else "recorded and mid",
            **peaks_shown(self.peaks),
            **clearance,
        }

    @property
    def liquidated_us(self) -> int | None:
        """When the position was closed whole."""
        return next((one.us for one in self.liquidations if not one.left_lots), None)


def peaks_shown(peaks: MarginPeaks) -> dict[str, float]:
    return {f"{name}_max": getattr(peaks, name) for name in ("initial", "maintenance", "ratio", "leverage")}


class ContractExchange(Protocol):
    """The exchange on which a contract is traded.

    Attributes:
        looks_at_margin: Whether payments are booked because the margin is looked at.
    """

    looks_at_margin: bool

    @property
    def engine(self) -> "Engine": ...
    @property
    def rules(self) -> "Rules": ...
    def book_payments(self, us: int) -> None: ...
    def advance(self, us: int) -> None: ...
    def end(self, reason: str) -> None: ...


class ContractMargin:
    def __init__(
        self, exchange: ContractExchange, account: MarginAccount, symbol: str, terms: MarginTerms, *, alone: bool
    ) -> None:
        rules = exchange.rules
        self.account, self.symbol = account, symbol
        self.liquidations = list[Liquidation]()
        self._exchange, self._engine, self._terms = exchange, exchange.engine, terms
        self._tape: Tape | None = None
        self._feed: Feed | None = None
        grid = Grid(
            tick_e8=rules.tick_e8,
            lot_e8=rules.lot_e8 * rules.multiplier,
            **({"most_ticks": most} if (most := rules.filters.max_price_e8 // rules.tick_e8) else {}),
        )
        account.add(symbol, terms, grid, self._orders, rules.start_lots)
        most_e8 = most_notional_e8(terms.leverage, terms.brackets)
        plain = alone and not terms.isolated
        self._watch = MarginWatch(self, terms.leverage, grid.lot_e8, grid.tick_e8, most_e8, plain)
        self._engine.watch_margin(self._watch)
        self.use = MarginUse(terms=terms, lot=grid.lot_e8 / E8)
        account.watch(symbol, self)
        self._marks = [0, 0]
        self._earned_e8 = 0  # what its trades and payments added to the wallet

    # the tape

    def begin(self, tape: "Tape", feed: "Feed | None") -> None:
        self.account.count_peaks(tape.start_us - 1)
        self._tape, self._feed = tape, feed
        marks = marks_of(tape, feed)
        self._marks[0] += len(marks.us)
        self._marks[1] += marks.recorded
        self.use.us, self.use.e8 = marks.us, marks.e8
        self._watch.take(marks.us, marks.e8)
        contract = self.account.contract(self.symbol)
        if contract.mark.e8 == NO_MARK and len(marks.e8) and self._exchange.rules.start_lots:
            self.account.mark(self.symbol, int(marks.e8[0]))
            self._watch.begin(contract.cost_e8)
            self._note(tape.start_us)
            self.account.rebound()
        self._engine.rewatch()

    # what the kernel asks

    def filled(self, us: int, side: int, ticks: int, lots: int, fee_e8: int) -> None:
        self._earned_e8 += self.account.book(us, self.symbol, side, (ticks, lots), fee_e8) - fee_e8
        self._note(us)

    def refusal(self, us: int, side: int, ticks: int, lots: int, bid: int, ask: int) -> int:
        """The journal's code of the reason for which the exchange refuses an order; 0 if it does not."""
        if self.account.ended:
            return _REASONS[MARGIN_INSUFFICIENT]
        return _REASONS[self.account.can_open(us, self.symbol, OpenOrder(side, ticks, lots), (bid, ask))]

    def due(self, us: int) -> None:
        self._exchange.book_payments(us)
        self.look(us)

    # what the paper exchange tells

    def funding(self, us: int, paid_e8: int) -> None:
        if self.account.ended:
            return
        self.account.funding(us, self.symbol, paid_e8)
        self._earned_e8 -= paid_e8
        self._note(us)
        if not self._exchange.looks_at_margin:
            self.look(us)

    def look(self, us: int) -> None:
        if not self.account.ended:
            self.account.settle(us, self)

    # what the account asks

    def mark_before(self, us: int) -> int:
        return self._watch.mark_before(us)

    def bound(self, low_e8: int, high_e8: int) -> None:
        self._watch.bound(low_e8, high_e8)
        self._engine.rewatch()

    def catch_up(self, us: int) -> None:
        self._exchange.advance(us)
        self._engine.pass_time(us)  # its tape may have ended
        self._exchange.book_payments(us)

    def liquidate(self, us: int) -> None:
        self._engine.end_resting()
        contract, wallet = self.account.contract(self.symbol), self.account.wallet
        self.account.count_peaks(us)
        amounts_e8 = (contract.position_margin_e8, contract.maintenance_e8, abs(contract.worth_e8))
        initial, maintenance, notional = (np.array([amount_e8 / E8]) for amount_e8 in amounts_e8)
        peaks, equity = self.use.peaks if contract.isolated else self.account.peaks, wallet.equity_e8(contract)
        peaks.see(initial, maintenance, notional, np.array([equity / E8]))
        realised_e8 = contract.realised_e8
        for one in self.account.liquidate(us, self.symbol, self._offers):
            self._engine.force(one.side, one.bankrupt_ticks, list(one.fills), not one.left_lots)
            self._earned_e8 += contract.realised_e8 - realised_e8 - one.clearance_e8
            realised_e8 = contract.realised_e8
            self.liquidations.append(one)
        self._note(us)

    def end(self) -> None:
        self._exchange.end(LIQUIDATED)
        self._engine.rewatch()

    def _orders(self) -> Sequence[OpenOrder]:
        return [OpenOrder(*order) for order in self._engine.resting]

    def _offers(self, side: int, limit: int) -> list[tuple[int, int]]:
        """The book without what traded since its last event: levels that a forced order can take."""
        if self._tape is None:
            return []
        taken = [row for row in self._engine.taken if row[0] == side]
        return offers_at(self._tape, self._feed, self._engine.now_us, side, limit, [row[1:] for row in taken])

    # the report

    def _note(self, us: int) -> None:
        contract = self.account.contract(self.symbol)
        own_e8 = contract.wallet_e8 if contract.isolated else self._earned_e8
        self.use.change(us, contract.lots, own_e8 - contract.cost_e8, self._earned_e8 - own_e8)

    def report(self) -> MarginReport:
        self.account.count_peaks(self._engine.now_us)
        own, cross = self.use.peaks, self.account.peaks
        shared = {} if self._terms.isolated else {"ratio": cross.ratio, "leverage": cross.leverage}
        marks = self._marks[0], self._marks[1]
        return MarginReport(self._terms, tuple(self.liquidations), replace(own, **shared), marks)


def offers_at(
    tape: "Tape", feed: "Feed | None", us: int, side: int, limit: int, taken: Sequence[tuple[int, ...]]
) -> list[tuple[int, int]]:
    """Levels (ticks, lots), best first, that an order can take up to its price."""
    stop = int(np.searchsorted(tape.event_us if feed is None else feed.clock_us, us, side="right"))
    order: Ints = np.arange(stop) if feed is None else feed.sequence[:stop]
    kinds = tape.kind[order]
    turns = np.flatnonzero((kinds == SNAPSHOT) | (kinds == KEYFRAME) | (kinds == GAP))
    if not len(turns) or kinds[turns[-1]] == GAP:
        return []
    events, kinds = order[turns[-1] :], kinds[turns[-1] :]
    rows = _rows_of(tape, events[kinds != TRADE])
    rows = rows[tape.row_side[rows] == -side][::-1]
    ticks, latest = np.unique(tape.row_ticks[rows], return_index=True)  # the last row of each level
    book = dict(zip(ticks.tolist(), tape.row_lots[rows][latest].tolist(), strict=True))
    changes = np.flatnonzero((kinds == SNAPSHOT) | (kinds == DEPTH))
    after = events[changes[-1] if len(changes) else 0 :]
    prints = _rows_of(tape, after[tape.kind[after] == TRADE])
    prints = prints[tape.row_side[prints] == side]
    gone = [*taken, *zip(tape.row_ticks[prints].tolist(), tape.row_lots[prints].tolist(), strict=True)]
    for level, lots in gone:
        book[level] = book.get(level, 0) - lots
    reached = side * int((side * tape.row_ticks[prints]).max()) if len(prints) else None
    left = [
        (level, lots)
        for level, lots in book.items()
        if lots > 0 and side * (limit - level) >= 0 and (reached is None or side * (level - reached) >= 0)
    ]
    return sorted(left, key=lambda one: side * one[0])


def _rows_of(tape: "Tape", events: Ints) -> Ints:
    first, size = tape.first_row[events], tape.first_row[events + 1] - tape.first_row[events]
    begins = np.cumsum(size) - size
    return np.repeat(first - begins, size) + np.arange(int(size.sum()))
