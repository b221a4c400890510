"""The account at every state row, the parts of the PnL, and round trips."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.journal import State
from mm.backtest.metrics.spans import NO_SPANS, PERIOD_US, Spans
from mm.base.arithmetic import changes, greatest, median, whole_sum
from mm.base.arrays import Floats, Ints, Mask, Numbers, Rows
from mm.clock import US_PER_S
from mm.errors import MMError
from mm.instrument import E8
from mm.tape.columns import in_pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mm.backtest.journal import Fills, Journal, Mids
    from mm.backtest.run_terms import RunTerms
    from mm.instrument import Instrument


SAFE = 2**62


@dataclass(frozen=True)
class EquitySeries:
    """Exact money of one or several accounts, at the instants when it changes.

    Attributes:
        equity: Cash + inventory at the mark, in units (Python integers beyond 64 bits).
        quoting: PnL of the quoting since the first row, in units: change of equity less the target inventory's, without
            the target's funding.
        spans: Time with a market; each begins at a row.
    """

    us: Ints
    valid: Mask
    equity: Numbers
    quoting: Numbers
    per_quote: int
    spans: Spans

    @cached_property
    def clock(self) -> Ints:
        return self.spans.clock(self.us)

    @cached_property
    def changes(self) -> Floats:
        """Change per period of the spans, in units; the last row at an instant counts."""
        begins = self.spans.periods
        first, last = (np.searchsorted(self.us, us, side="right") - 1 for us in (begins, begins + PERIOD_US))
        change: Floats = (self.quoting[last] - self.quoting[first]).astype(np.float64)
        return change

    @property
    def left_out(self) -> float:
        """Quoting PnL (quote asset) in no period: between spans, and in their last parts."""
        if not len(self.quoting):
            return 0.0
        return self.quote(self.quoting[-1]) - float(self.changes.sum()) / self.per_quote

    def quote(self, units: int) -> float:
        return int(units) / self.per_quote


@dataclass(frozen=True)
class AccountSeries(EquitySeries):
    """The exact account at every state row of a run.

    Attributes:
        marks2: Bid + ask, ticks; without a valid book the previous row's (else the next's).
        half_tl: Units per half tick·lot.
    """

    inventory: Ints
    marks2: Ints
    half_tl: int
    fee: int


def together(accounts: "Sequence[EquitySeries]") -> EquitySeries:
    """Sum *accounts* of one quote asset; each counts with its last row by then, or its first.

    The spans are the first account's, where the strategy quotes.
    """
    instants = np.unique(np.concatenate([account.us for account in accounts]))
    us = np.concatenate((instants[:1], instants))
    per_quote = math.lcm(*(account.per_quote for account in accounts))
    valid = np.ones(len(us), np.bool_)
    equity, quoting = np.zeros(len(us), object), np.zeros(len(us), object)
    for account in accounts:
        row, scale = np.maximum(np.searchsorted(account.us, us, side="right") - 1, 0), per_quote // account.per_quote
        row[0] = 0  # an account may have more than one row at its first instant
        valid &= account.valid[row]
        equity += account.equity[row].astype(object) * scale
        quoting += account.quoting[row].astype(object) * scale
    if max(greatest(equity), greatest(quoting)) < SAFE // 2:
        equity, quoting = equity.astype(np.int64), quoting.astype(np.int64)
    return EquitySeries(us, valid, equity, quoting, per_quote, accounts[0].spans)


def account_of(journal: "Journal", terms: "RunTerms") -> AccountSeries:
    spans = Spans.of(journal.spans)
    paid_us = np.array([at_us for at_us, _ in terms.target_funding], np.int64)
    edges_us = (spans.periods, spans.periods + PERIOD_US, spans.begin_us, spans.end_us)
    state = journal.state_at(telling_rows(journal.state, np.unique(np.concatenate((paid_us, *edges_us)))))
    state = _with_begins(state, spans.begin_us, journal.mids)
    return account_series(
        state, terms.instrument, terms.initial_cash_e8, terms.target_lots, terms.target_funding, spans
    )


def _with_begins(state: State, begin_us: Ints, mids: "Mids") -> State:
    row = np.searchsorted(state.us, begin_us, side="right") - 1
    at = np.searchsorted(mids.us, begin_us, side="right") - 1
    known = (row >= 0) & (at >= 0)
    row, begin_us, mid2 = row[known], begin_us[known], mids.mid2[at[known]]
    other = (mid2 > 0) & ((mid2 != state.mid2[row]) | (state.us[row] != begin_us))
    added = state[row[other]]
    added.us, added.mid2 = begin_us[other], mid2[other]
    return State(np.insert(state, row[other] + 1, added, axis=0)) if len(added) else state


def account_changes(state: State) -> Mask:
    """Whether each row but the first differs from the one before it in what is held, owed or quoted."""
    columns = (state.inventory_lots, state.cash_tl, state.fees_e8, state.mid2)
    changed: Mask = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return changed


def telling_rows(state: State, also_us: Ints) -> Rows:
    """The rows around each change, and around each of *also_us* (ascending)."""
    kept = np.zeros(len(state), np.bool_)
    kept[:1] = kept[-1:] = True
    for begin, rows in in_pieces(state, 1):
        piece = State(rows)
        also = np.searchsorted(also_us, piece.us) + np.searchsorted(also_us, piece.us, "right")
        changed = account_changes(piece) | (also[1:] != also[:-1])
        kept[begin : begin + len(changed)] |= changed
        kept[begin + 1 : begin + 1 + len(changed)] |= changed
    return np.flatnonzero(kept)


def changes_60s(account: EquitySeries) -> Floats:
    return account.changes / account.per_quote


def account_series(
    state: State,
    instrument: "Instrument",
    initial_cash_e8: int,
    target_lots: int = 0,
    target_funding: "Sequence[tuple[int, int]]" = (),
    spans: Spans = NO_SPANS,
) -> AccountSeries:
    """Return the account of a journal's *state* rows."""
    half_tl, fee = 5 * instrument.tick_lot_e16, 10**9  # in units of 1e-17
    common = math.gcd(half_tl, fee)  # a divisor of 10**17, too
    half_tl, fee = half_tl // common, fee // common
    us, inventory, cash_tl, fees_e8, mid2 = _columns(state)
    valid, marks2 = mid2 > 0, _carried(mid2)
    held = (greatest(inventory) + abs(target_lots)) * greatest(marks2)
    largest = half_tl * (2 * greatest(cash_tl) + held) + fee * (abs(initial_cash_e8) + 2 * greatest(fees_e8))
    whole = np.int64 if max(largest, half_tl) < SAFE else object
    cash_half_tl = 2 * cash_tl.astype(whole) + inventory.astype(whole) * marks2
    units = half_tl * cash_half_tl + fee * (initial_cash_e8 - fees_e8.astype(whole))
    quoting = units - half_tl * target_lots * marks2.astype(units.dtype)
    for at_us, paid_e8 in target_funding:
        row = int(np.searchsorted(us, at_us, side="right"))
        if row and us[row - 1] == at_us:
            row -= 1  # the last row of the instant follows the payment
        quoting[row:] += fee * paid_e8
    series = (us, valid, units, quoting - quoting[:1], 10**17 // common, spans)
    return AccountSeries(*series, inventory, marks2, half_tl, fee)


def _columns(state: State) -> list[Ints]:
    columns = [np.empty(len(state), np.int64) for _ in range(5)]
    for begin, rows in in_pieces(state):
        piece = State(rows)
        of_account = (piece.us, piece.inventory_lots, piece.cash_tl, piece.fees_e8, piece.mid2)
        for column, values in zip(columns, of_account, strict=True):
            column[begin : begin + len(piece)] = values
    return columns


def _carried(mid2: Ints) -> Ints:
    known = np.flatnonzero(mid2)
    if len(known) in (0, len(mid2)):
        return mid2
    return mid2[known[np.maximum(np.searchsorted(known, np.arange(len(mid2)), side="right") - 1, 0)]]


@dataclass(frozen=True)
class Pnl:
    """A run's PnL from first to last state row, in the account series' units (`split`): total = quoting + hold, quoting
    = spread + inventory − fees.
    """

    total: int
    quoting: int
    hold: int
    spread: int
    inventory: int
    fees: int


def split(fills: "Fills", account: "AccountSeries", terms: "RunTerms | None" = None) -> Pnl | None:
    """The PnL and its parts; None if no state row has a valid book to mark at.

    Spread is the sum of s·q·(m − p) over fills, m the mid before; inventory is the position beyond the target times the
    mid's move between fills, minus its funding; hold is the target's. All are summed from fills and checked against the
    account: MMError is a bug in the engine.
    """
    if not account.valid.any():
        return None
    target, funding_e8 = (0, 0) if terms is None else (terms.target_lots, terms.funding_e8 or 0)
    kept_e8 = 0 if terms is None else sum(paid_e8 for _, paid_e8 in terms.target_funding)
    marks2 = np.concatenate((account.marks2[:1], fill_marks(fills, account), account.marks2[-1:]))
    side, ticks, lots, fee_e8 = fills.side, fills.ticks, fills.lots, fills.fee_e8
    held = np.append(account.inventory[:1], fills.inventory_lots)
    largest = 2 * max(greatest(marks2), 2 * greatest(ticks)) * max(greatest(held), greatest(lots), 1)
    whole = np.int64 if max(largest, greatest(fee_e8)) * (len(fills) + 1) < SAFE else object
    marks2, signed, held = marks2.astype(whole), side.astype(whole) * lots, held.astype(whole)
    spread, moved = int((signed * (marks2[1:-1] - 2 * ticks)).sum()), int((held * np.diff(marks2)).sum())
    fees = whole_sum(fee_e8)
    carried = target * int(marks2[-1] - marks2[0])
    hold = carried * account.half_tl - kept_e8 * account.fee
    inventory = (moved - carried) * account.half_tl - (funding_e8 - kept_e8) * account.fee
    quoting = spread * account.half_tl + inventory - fees * account.fee
    total = int(account.equity[-1]) - int(account.equity[0])
    if residual := total - quoting - hold or int(account.quoting[-1]) - quoting:
        raise MMError(
            f"journal: fills and state rows differ by {account.quote(residual)} of the quote asset over "
            f"{len(fills)} fills; this is a fault of the engine, please report it with the run's manifest"
        )
    return Pnl(total, quoting, hold, spread * account.half_tl, inventory, fees * account.fee)


def fill_marks(fills: "Fills", account: "AccountSeries") -> Ints:
    marks2 = fills.mid2.copy()
    if (marks2 > 0).all():
        return marks2
    unmarked = np.flatnonzero(marks2 <= 0)
    row = np.searchsorted(account.us, fills.us[unmarked], side="right") - 1
    marks2[unmarked] = account.marks2[np.maximum(row, 0)]
    return marks2


@dataclass(frozen=True)
class Pairs:
    """Matched lots, a row per buying and selling fill."""

    buy: Ints
    sell: Ints
    lots: Ints

    @property
    def closing(self) -> Ints:
        return np.maximum(self.buy, self.sell)


def pairs(fills: "Fills") -> Pairs:
    """First in, first out: lots bought and lots sold are numbered, and equal numbers are a pair."""
    whole = np.int64 if whole_sum(fills.lots) < SAFE else object
    buys, sells = (np.flatnonzero((fills.side == side) & (fills.lots != 0)) for side in (1, -1))
    bought, sold = (np.cumsum(fills.lots[rows].astype(whole)) for rows in (buys, sells))
    last = np.sort(np.concatenate((bought, sold)), kind="stable")  # number of the last lot of each pair of fills
    last = last[changes(last)]
    last = last[: np.searchsorted(last, min(bought[-1:].sum(), sold[-1:].sum()), side="right")]
    lots = np.diff(last, prepend=last[:1] * 0).astype(np.int64)
    return Pairs(buys[np.searchsorted(bought, last)], sells[np.searchsorted(sold, last)], lots)


def realised(fills: "Fills", matched: Pairs, account: "AccountSeries") -> int:
    moves = fills.ticks[matched.sell] - fills.ticks[matched.buy]
    whole = np.int64 if greatest(moves) * greatest(matched.lots) * len(moves) < SAFE else object
    return 2 * account.half_tl * int((moves.astype(whole) * matched.lots).sum())


def round_trip_stats(fills: "Fills", matched: Pairs, instrument: "Instrument") -> dict[str, Any]:
    """Money in the quote asset, after the fees of both ends."""
    if len(matched.lots) == 0:
        return {"n": 0, **dict.fromkeys(("win_rate", "mean", "median", "best", "worst", "holding_s"))}
    result, held_us = round_trips(fills, matched, instrument.tick_lot_e16 / (E8 * E8))
    return {
        "n": len(result),
        "win_rate": float(np.count_nonzero(result > 0)) / len(result),
        "mean": float(result.mean()),
        "median": median(result),
        "best": float(result.max()),
        "worst": float(result.min()),
        "holding_s": median(held_us) / US_PER_S,
    }


def round_trips(fills: "Fills", matched: Pairs, notional: float) -> tuple[Floats, Floats]:
    """Each trip's PnL after fees, and its duration (µs); *notional* is a tick·lot's value, quote asset."""
    us, ticks, lots, fee_e8 = map(np.ascontiguousarray, (fills.us, fills.ticks, fills.lots, fills.fee_e8))
    buy, sell, closing = matched.buy, matched.sell, matched.closing
    fee = fee_e8 / E8 / np.maximum(lots, 1)  # per lot
    earned = matched.lots * ((ticks[sell] - ticks[buy]) * notional - fee[sell] - fee[buy])
    opened = matched.lots * (us[np.minimum(buy, sell)] - us[0]).astype(np.float64)
    trips = changes(closing)
    earned, opened, total = (np.add.reduceat(each, trips) for each in (earned, opened, matched.lots.astype(np.float64)))
    return earned, us[closing[trips]] - us[0] - opened / total
