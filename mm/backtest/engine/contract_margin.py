"""The margin of a contract in a replay: between the account, which decides exactly, and the kernel, which watches."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.engine._margin import MarginWatch
from mm.backtest.journal import REJECT_REASONS
from mm.backtest.margin import NO_MARK, Grid, Liquidation, MarginAccount
from mm.backtest.margin_terms import MarginTerms
from mm.base.arrays import Floats, Ints
from mm.instrument import E8
from mm.margin.brackets import most_notional_e8
from mm.margin.wallet import ABOVE_BRACKET, MARGIN_INSUFFICIENT, OpenOrder
from mm.tape.columns import DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE
from mm.tape.marks import marks_of

if TYPE_CHECKING:
    from mm.backtest.engine.paper_exchange import PaperExchange
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
    """How a run used its margin; amounts in the quote asset.

    Attributes:
        ratio: Largest maintenance margin over margin balance; 1 liquidates.
        marks: Number of mark prices that were looked at, and how many of them were recorded.
    """

    terms: MarginTerms
    liquidated: Liquidation | None
    initial: float
    maintenance: float
    ratio: float
    leverage: float
    marks: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        marks, recorded = self.marks
        clearance = {} if self.liquidated is None else {"clearance_fee": self.liquidated.clearance_e8 / E8}
        return {
            "leverage": self.terms.leverage,
            "margin_type": "isolated" if self.terms.isolated else "cross",
            "brackets": self.terms.brackets_from,
            "mark": "recorded" if recorded == marks else "mid" if not recorded else "recorded and mid",
            "initial_max": self.initial,
            "maintenance_max": self.maintenance,
            "ratio_max": self.ratio,
            "leverage_max": self.leverage,
            **clearance,
        }


class ContractMargin:
    """The margin of a paper exchange's position.

    Attributes:
        liquidated: The liquidation, after which nothing is played; None without one.
    """

    def __init__(
        self, exchange: "PaperExchange", account: MarginAccount, symbol: str, terms: MarginTerms, *, alone: bool
    ) -> None:
        rules = exchange.rules
        self.account, self.symbol = account, symbol
        self.liquidated: Liquidation | None = None
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
        account.watch(symbol, self._watch.mark_before, self._bound)
        self._engine.watch_margin(self._watch)
        self._peaks = [0.0, 0.0, 0.0, 0.0]
        self._marks = [0, 0]
        self._changes = array("d")  # per change of the position: instant, lots, equity without the position's worth
        self._us, self._e8 = np.empty(0, np.int64), np.empty(0, np.int64)

    # the tape

    def begin(self, tape: "Tape", feed: "Feed | None") -> None:
        self._count_peaks()
        self._tape, self._feed = tape, feed
        marks = marks_of(tape, feed)
        self._marks[0] += len(marks.us)
        self._marks[1] += marks.recorded
        self._us, self._e8 = marks.us, marks.e8
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
        self.account.book(us, self.symbol, side, (ticks, lots), fee_e8)
        self._note(us)

    def refusal(self, us: int, side: int, ticks: int, lots: int, bid: int, ask: int) -> int:
        """Return the reason for which the exchange refuses an order, by its code in the journal; 0 for none."""
        if self.liquidated:
            return _REASONS[MARGIN_INSUFFICIENT]
        return _REASONS[self.account.can_open(us, self.symbol, OpenOrder(side, ticks, lots), (bid, ask))]

    def due(self, us: int) -> None:
        self._exchange.book_payments(us)
        if self.liquidated is None:
            self.look(us)

    # what the paper exchange tells

    def funding(self, us: int, paid_e8: int) -> None:
        """Book funding, and liquidate a position that cannot pay it."""
        if self.liquidated is not None:
            return
        self.account.funding(us, self.symbol, paid_e8)
        self._note(us)
        if not self._exchange.looks_at_margin:
            self.look(us)

    def look(self, us: int) -> None:
        self.account.look(us + 1)
        if not self.account.is_due(self.symbol):
            self.account.rebound()
            self._engine.rewatch()
            return
        self._engine.end_resting()
        contract = self.account.contract(self.symbol)
        initial = contract.position_margin_e8 / E8
        self.liquidated = end = self.account.liquidate(us, self.symbol, self._offers)
        self._engine.force(end.side, end.bankrupt_ticks, list(end.fills))
        self._raise(initial, end.maintenance_e8 / E8, end.equity_e8 / E8)
        self._note(us)
        self._engine.rewatch()
        self._exchange.end(LIQUIDATED)

    def _bound(self, low_e8: int, high_e8: int) -> None:
        self._watch.bound(low_e8, high_e8)

    def _orders(self) -> Sequence[OpenOrder]:
        return [OpenOrder(*order) for order in self._engine.resting]

    def _offers(self, side: int, limit: int) -> list[tuple[int, int]]:
        """Return the levels that a forced order can take: the book, less what traded since its last event."""
        if self._tape is None:
            return []
        taken = [row for row in self._engine.taken if row[0] == side]
        return offers_at(self._tape, self._feed, self._engine.now_us, side, limit, [row[1:] for row in taken])

    # the report

    def _raise(self, initial: float, maintenance: float, equity: float) -> None:
        ratios = (maintenance / equity, initial * self._terms.leverage / equity) if equity > 0 else (np.inf, np.inf)
        for number, value in enumerate((initial, maintenance, *ratios)):
            self._peaks[number] = max(self._peaks[number], value)

    def _note(self, us: int) -> None:
        contract, wallet = self.account.contract(self.symbol), self.account.wallet
        apart_e8 = wallet.equity_e8(contract) - contract.unrealised_e8 - contract.cost_e8
        self._changes.extend((us, contract.lots, apart_e8))

    def _count_peaks(self) -> None:
        if not len(self._us) or not len(self._changes):
            return
        changes = np.frombuffer(self._changes, np.float64).reshape(-1, 3)
        stop = int(np.searchsorted(self._us, self._engine.now_us, side="right"))
        us, price = self._us[:stop], self._e8[:stop] / E8
        at = np.searchsorted(changes[:, 0], us, side="right") - 1
        held = (at >= 0) & (changes[np.maximum(at, 0), 1] != 0)
        if self.liquidated is not None:
            held &= us <= self.liquidated.us
        at, price = at[held], price[held]
        lots, apart = changes[at, 1], changes[at, 2] / E8
        worth = lots * price * (self.account.contract(self.symbol).lot_e8 / E8)
        notional, equity = np.abs(worth), apart + worth
        maintenance = _maintenance(self._terms, notional)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(equity > 0, maintenance / equity, np.inf)
            leverage = np.where(equity > 0, notional / equity, np.inf)
        for number, values in enumerate((notional / self._terms.leverage, maintenance, ratio, leverage)):
            self._peaks[number] = max(self._peaks[number], float(values.max(initial=0.0)))
        last = changes[-1].copy()
        del changes  # a view of the array, which then may shrink
        self._changes = array("d", last)
        self._us = self._us[stop:]
        self._e8 = self._e8[stop:]

    def report(self) -> MarginReport:
        self._count_peaks()
        initial, maintenance, ratio, leverage = self._peaks
        marks, recorded = self._marks
        return MarginReport(
            terms=self._terms,
            liquidated=self.liquidated,
            initial=initial,
            maintenance=maintenance,
            ratio=ratio,
            leverage=leverage,
            marks=(marks, recorded),
        )


def _maintenance(terms: MarginTerms, notional: Floats) -> Floats:
    caps = np.array([bracket.cap_e8 / E8 for bracket in terms.brackets])
    at = np.minimum(np.searchsorted(caps, notional), len(caps) - 1)
    rates = np.array([bracket.rate_e8 / E8 for bracket in terms.brackets])
    cums = np.array([bracket.cum_e8 / E8 for bracket in terms.brackets])
    margin: Floats = np.maximum(notional * rates[at] - cums[at], 0.0)
    return margin


def offers_at(
    tape: "Tape", feed: "Feed | None", us: int, side: int, limit: int, taken: Sequence[tuple[int, ...]]
) -> list[tuple[int, int]]:
    """Return the levels, ticks and lots, best first, that an order of a side can take up to a price."""
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
