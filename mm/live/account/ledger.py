"""The book of one symbol's fills and transfers: position, cash and fees, as the account's balances.

Amounts are integers in 1e-8 of their asset. One execution changes two balances and pays one commission:

- base: ``side · qty``; quote: ``-side ·`` the amount that the exchange reports, or without one ``price · qty``,
  truncated to 1e-8
- a commission in the base asset lowers the position, one in the quote asset the cash; one in another asset (BNB)
  changes neither and is valued at its fill's price, or without one recorded by asset

A contract's book also has the wallet: realized profits, as the exchange gives them, less commissions, and payments for
the position, each booked once by its id.

The result of trading is total = realized + unrealized - fees + paid. Realized is the profit of closed quantity, first
in, first out; a commission in the base asset counts as base sold at the price of its fill. Transfers change only the
balances.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from zlib import crc32

from mm.clock import US_PER_S, day_of
from mm.errors import Mismatch
from mm.instrument import E8, Instrument, e8, short_text
from mm.live.venues.fills import AccountFill

STANDARD_RATE_E8 = 100_000
"""The commission rate that counts while the account's is not known, 0.1 % of the notional, in 1e-8."""
KEPT_TRADES = 2_000
"""Booked trades that later runs remember: older ones are not looked for again."""
_MARKS = 2  # version of `trade_mark`: marks of another one are not compared
_QUARTER_US = 900 * US_PER_S


@dataclass(slots=True)
class BookedFill:
    """A fill of this run, as it was booked.

    Attributes:
        order_id: Our order id; 0 for an order of an earlier run.
        us: When it was reported to the engine, µs; 0 before.
        fee_e8: Value of its commission, in 1e-8 of the quote asset; None without a known price.
        state_row: Index of its row in the engine's state table; -1 before the engine has it.
        cash_e8: Cash after it less the value of commissions in other assets, in 1e-8 of the quote asset.
    """

    order_id: int
    fill: AccountFill
    us: int
    fee_e8: int | None
    state_row: int
    position_e8: int
    cash_e8: int


@dataclass(frozen=True, slots=True)
class PnlParts:
    """The result of trading, in 1e-8 of the quote asset: total = realized + unrealized - fees + paid.

    Attributes:
        unvalued: Commissions in assets without a given price, in 1e-8 of each asset; they are in no other part.
        paid: Funding and other payments of a contract; negative if they cost.
    """

    realized: int
    unrealized: int
    fees: int
    total: int
    unvalued: Mapping[str, int]
    paid: int = 0


def amounts(fees_e8: Mapping[str, int]) -> str:
    return ", ".join(f"{short_text(paid)} {asset}" for asset, paid in sorted(fees_e8.items()))


def trade_mark(fill: AccountFill) -> int:
    """Return a checksum that differs for two different trades with the same id.

    It ignores the time: an event and a query may differ by a millisecond.
    """
    paid_e8 = e8(fill.commission)
    terms = (fill.order_id, fill.side, e8(fill.price), e8(fill.qty), paid_e8, fill.commission_asset if paid_e8 else "")
    return crc32(repr(terms).encode()) or 1


@lru_cache(maxsize=256)
def _day_of_quarter(quarter: int) -> str:
    return day_of(quarter * _QUARTER_US)


def day_at(us: int) -> str:
    """Return what `day_of` does, cached by quarter of an hour for very many instants."""
    return _day_of_quarter(us // _QUARTER_US)


class Held(NamedTuple):
    """The book's content at one moment, in 1e-8; money in the quote asset."""

    position_e8: int = 0
    cash_e8: int = 0
    other_e8: int = 0
    most_e8: int = 0


def half_even(value: int, unit: int) -> int:
    whole, rest = divmod(value, unit)
    return whole + (2 * rest > unit or (2 * rest == unit and whole % 2))


def fee_e8(fill: AccountFill, instrument: Instrument) -> int | None:
    """Return the value in 1e-8 of the quote asset, rounded half to even; None without a known price."""
    paid_e8 = e8(fill.commission)
    if not paid_e8 or fill.commission_asset == instrument.quote_asset:
        return paid_e8
    rate_e8 = e8(fill.price) if fill.commission_asset == instrument.base_asset else fill.rate_e8
    return None if rate_e8 is None else half_even(paid_e8 * rate_e8, E8)


def most_fee_e8(fill: AccountFill, account_rate_e8: int | None = None) -> int:
    """Return the largest value of a commission without a known price, in 1e-8 of the quote asset; 0 for a rebate."""
    if fill.most_e8 is not None or e8(fill.commission) <= 0:
        return fill.most_e8 or 0
    notional_e16 = e8(fill.price) * e8(fill.qty)
    return -(-notional_e16 * max(account_rate_e8 or 0, STANDARD_RATE_E8) // E8**2)


def transfers_value_e8(ledger: "Ledger", price_e8: int) -> int:
    """Return the value in 1e-8 of the quote asset, with the base asset at *price_e8*."""
    base, quote = ledger.assets
    return ledger.transfers_e8.get(quote, 0) + ledger.transfers_e8.get(base, 0) * price_e8 // E8


NOTHING = Held()
"""What an empty book has."""


class Ledger:
    """The changes of the account by our own fills, each booked once, and by transfers.

    Args:
        position_e8: Base asset held at the start, in 1e-8, at the cost of the first observed price, of a fill or a mid.

    Attributes:
        opened_e8: What the open position of a contract was bought for, in 1e-8 of the quote asset; negative if short.
        run_fills: What this run has booked, by trade id, in the order of the exchange's reports; position and cash
            count from the start of the ledger.
    """

    def __init__(self, instrument: Instrument, *, position_e8: int = 0, contract: bool = False) -> None:
        if not instrument.base_asset or not instrument.quote_asset:
            raise Mismatch(
                f"{instrument.symbol}: base asset {instrument.base_asset!r} and quote asset "
                f"{instrument.quote_asset!r} must both be known to book commissions; check instrument.json"
            )
        self.position_e8, self.cash_e8, self.fills = position_e8, 0, 0
        self.fees_e8: dict[str, int] = {}
        self.last_trade_id: int | None = None
        self._instrument, self._first_e8 = instrument, position_e8
        self._booked: dict[int, int] = {}  # mark by trade id; 0 for one that is not known
        self.run_fills: dict[int, BookedFill] = {}
        self._day: tuple[str, Held, int] | None = None  # what was held before the first fill of a day, and its price
        self.transfers_e8: dict[str, int] = {}
        self._open: deque[tuple[int, int]] = deque()  # price_e8, signed quantity in 1e-8; all of one sign
        self._basis_e8: int | None = None  # value of the first position; None until there is a price
        self._realized_e16 = self._fees_value_e8 = self.other_e8 = self.most_e8 = 0
        self.unvalued: dict[str, int] = {}
        self.contract = contract
        self.opened_e8 = 0
        self.wallet_e8 = self.paid_e8 = self.paid_us = 0
        self._payments: dict[str, int] = {}  # the instants of the newest, by id
        if not position_e8:
            self._begin(0)

    @property
    def booked(self) -> Mapping[int, int]:
        return self._booked

    @property
    def assets(self) -> tuple[str, str]:
        grid = self._instrument
        return grid.symbol if self.contract else grid.base_asset, grid.quote_asset

    @property
    def held(self) -> Held:
        return Held(self.position_e8, self.cash_e8, self.other_e8, self.most_e8)

    def begin_run(self) -> Held:
        self.run_fills.clear()
        return self.held

    def before_day(self, day: str) -> tuple[Held, int] | None:
        """Return what was held before the first fill of *day*, and the price of that fill."""
        return None if self._day is None or self._day[0] != day else self._day[1:]

    def moved_e8(self) -> tuple[int, int]:
        base_e8, quote_e8 = (self.transfers_e8.get(asset, 0) for asset in self.assets)
        return self.position_e8 - self._first_e8 + base_e8, self.earned_e8 + quote_e8

    @property
    def earned_e8(self) -> int:
        return self.wallet_e8 if self.contract else self.cash_e8

    @property
    def entry_e8(self) -> int:
        held_e8 = self.position_e8
        sign = 1 if held_e8 > 0 else -1
        return half_even(sign * self.opened_e8 * E8, abs(held_e8)) if self.contract and held_e8 else 0

    def pay(self, payment_id: str, amount_e8: int, us: int) -> bool:
        """Book funding or the like, in 1e-8 of the quote asset, negative if it costs; False if booked before."""
        if payment_id in self._payments:
            return False
        self._payments[payment_id] = us
        if len(self._payments) > KEPT_TRADES:
            del self._payments[next(iter(self._payments))]
        self.cash_e8 += amount_e8
        self.wallet_e8 += amount_e8
        self.paid_e8 += amount_e8
        self.paid_us = max(self.paid_us, us)
        return True

    def transfer(self, asset: str, amount_e8: int) -> None:
        self.transfers_e8[asset] = self.transfers_e8.get(asset, 0) + amount_e8

    def forget_trades(self) -> None:
        self._booked.clear()
        self.last_trade_id = None

    def lose_position(self) -> None:
        """Close the position at its entry price: it went with an exchange that was reset."""
        self._move(self.entry_e8, -self.position_e8)
        self.cash_e8 += self.opened_e8
        self.opened_e8 = 0

    def book(self, fill: AccountFill, order_id: int = 0) -> bool:
        """Return False if the trade was booked before; *order_id* is 0 for an order of an earlier run."""
        if fill.trade_id in self._booked:
            return False
        price_e8, qty_e8, paid = e8(fill.price), e8(fill.qty), e8(fill.commission)
        if self._basis_e8 is None:
            self._begin(price_e8)
        if self._day is None or day_at(fill.us) > self._day[0]:
            self._day = day_at(fill.us), self.held, price_e8
        self._booked[fill.trade_id] = trade_mark(fill)
        self.fills += 1
        if not fill.forced:
            self.last_trade_id = max(fill.trade_id, self.last_trade_id or fill.trade_id)
        self.cash_e8 -= fill.side * fill.paid_e8
        if self.contract:
            in_quote = fill.commission_asset == self._instrument.quote_asset
            self.wallet_e8 += e8(fill.realized or "0") - (paid if in_quote else 0)
            self.opened_e8 += fill.side * fill.paid_e8 + e8(fill.realized or "0")
        self._move(price_e8, fill.side * qty_e8)
        if not self.position_e8:
            self.opened_e8 = 0  # what the exchange has rounded
        value_e8 = self._pay(fill, paid, price_e8)
        after = self.position_e8, self.cash_e8 - self.other_e8
        self.run_fills[fill.trade_id] = BookedFill(order_id, fill, 0, value_e8, -1, *after)
        return True

    def kept(self) -> dict[str, Any]:
        """Return the book with the newest `KEPT_TRADES` booked trades, as JSON for `Ledger.restored`."""
        grid = self._instrument
        names = grid.symbol, grid.base_asset, grid.quote_asset
        booked = sorted(self._booked.items())[-KEPT_TRADES:]
        found = vars(self) | {"_instrument": names, "_booked": booked, "_open": list(self._open), "_marks": _MARKS}
        del found["run_fills"]
        return found

    @classmethod
    def restored(cls, kept: Mapping[str, Any]) -> "Ledger":
        symbol, base, quote = kept["_instrument"]
        found = cls(instrument := Instrument(symbol, 1, 1, 0, base, quote))  # only the names are used, not the grid
        known = kept.get("_marks") == _MARKS
        vars(found).update({name: value for name, value in kept.items() if name != "_marks"})
        found._instrument = instrument
        found._booked = {trade_id: mark if known else 0 for trade_id, mark in kept["_booked"]}
        found._open = deque((price, qty) for price, qty in kept["_open"])
        if "opened_e8" not in kept and found.position_e8:  # kept by an earlier version
            found.opened_e8 = found.wallet_e8 - found.cash_e8
        day = kept.get("_day")
        found._day = day and (day[0], Held(*day[1]), day[2])
        return found

    def pnl_e8(self, mid_e8: int) -> PnlParts:
        """Return the result since the start of the ledger, with the position valued at *mid_e8* in 1e-8."""
        if self._basis_e8 is None:
            self._begin(mid_e8)
        total = self.cash_e8 + half_even(self.position_e8 * mid_e8, E8) - (self._basis_e8 or 0) - self.other_e8
        realized = half_even(self._realized_e16, E8)
        unrealized = total - realized + self._fees_value_e8 - self.paid_e8
        return PnlParts(realized, unrealized, self._fees_value_e8, total, dict(self.unvalued), self.paid_e8)

    def _begin(self, price_e8: int) -> None:
        self._basis_e8 = half_even(self._first_e8 * price_e8, E8)
        if self._first_e8:
            self._open.append((price_e8, self._first_e8))

    def _pay(self, fill: AccountFill, paid_e8: int, price_e8: int) -> int | None:
        instrument, asset = self._instrument, fill.commission_asset
        if not paid_e8:
            return 0
        value_e8 = fee_e8(fill, instrument)
        self.fees_e8[asset] = self.fees_e8.get(asset, 0) + paid_e8
        if value_e8 is None:
            self.unvalued[asset] = self.unvalued.get(asset, 0) + paid_e8
            self.most_e8 += most_fee_e8(fill)
            return None
        self._fees_value_e8 += value_e8
        if asset == instrument.quote_asset:
            self.cash_e8 -= paid_e8
        elif asset == instrument.base_asset:
            self._move(price_e8, -paid_e8)
        else:
            self.other_e8 += value_e8
        return value_e8

    def _move(self, price_e8: int, qty_e8: int) -> None:
        """Realize closed quantity, oldest first."""
        self.position_e8 += qty_e8
        while qty_e8 and self._open and (self._open[0][1] > 0) != (qty_e8 > 0):
            cost_e8, held_e8 = self._open[0]
            closed = min(abs(held_e8), abs(qty_e8))
            sign = 1 if held_e8 > 0 else -1
            self._realized_e16 += sign * closed * (price_e8 - cost_e8)
            qty_e8 += sign * closed
            if closed == abs(held_e8):
                self._open.popleft()
            else:
                self._open[0] = (cost_e8, held_e8 - sign * closed)
        if qty_e8:
            self._open.append((price_e8, qty_e8))
