"""Position, cash and fees of our own fills, to the last 1e-8, as the account's balances move.

Every amount is an integer in 1e-8 of its asset. One execution moves two balances and pays one commission:

- base: ``side · qty``, quote: ``-side · price · qty``, the latter cut to 1e-8 as the exchange cuts it
- a commission in the base asset lowers the position, one in the quote asset the cash; one in another asset (BNB) moves
  neither and is kept by asset

The result of trading is divided as total = realized + unrealized - fees. Realized is what was bought and sold again,
first in, first out; a commission in the base asset counts as base sold at the price of its fill.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mm.errors import Mismatch
from mm.instrument import E8, Instrument, e8

BUY, SELL = 1, -1
SIDE_NAMES = {BUY: "BUY", SELL: "SELL"}
SIDES = {"BUY": BUY, "SELL": SELL, BUY: BUY, SELL: SELL}
"""A side of a file (BUY, SELL) or of the program (+1, -1) as that of the program."""


@dataclass(frozen=True, slots=True)
class AccountFill:
    """One execution of one of our orders, in the exchange's own text.

    Attributes:
        trade_id: The exchange's number of the trade, which is unique within a symbol.
        order_id: The exchange's number of the order.
        client_id: Our name of the order.
        side: +1 bought, -1 sold.
        price: In the quote asset.
        qty: In the base asset.
        commission: In *commission_asset*; negative for a rebate.
        commission_asset: What the commission was paid in.
        us: The exchange's instant of the trade, in µs.
        maker: Whether our order rested.
    """

    trade_id: int
    order_id: int
    client_id: str
    side: int
    price: str
    qty: str
    commission: str
    commission_asset: str
    us: int
    maker: bool

    def row(self) -> dict[str, Any]:
        """Return the fields as files hold them: the side as BUY or SELL."""
        return {
            "trade_id": self.trade_id,
            "order_id": self.order_id,
            "client_id": self.client_id,
            "side": SIDE_NAMES[self.side],
            "price": self.price,
            "qty": self.qty,
            "commission": self.commission,
            "commission_asset": self.commission_asset,
            "us": self.us,
            "maker": self.maker,
        }


@dataclass(frozen=True, slots=True)
class PnlParts:
    """The result of trading, in 1e-8 of the quote asset: total = realized + unrealized - fees.

    Attributes:
        realized: What was bought and sold again earned, before fees.
        unrealized: What the open position gained at the mid.
        fees: Value of the commissions at their fills, without those of *unvalued*.
        total: Move of cash and position at the mid, less the value of commissions in other assets.
        unvalued: Commissions in assets whose price was not given, in 1e-8 of each asset; they are in no other part.
    """

    realized: int
    unrealized: int
    fees: int
    total: int
    unvalued: Mapping[str, int]


def half_even(value: int, unit: int) -> int:
    """Return *value* / *unit*, rounded half to even; *unit* is above 0."""
    whole, rest = divmod(value, unit)
    return whole + (2 * rest > unit or (2 * rest == unit and whole % 2))


def fee_e8(fill: AccountFill, instrument: Instrument, rate_e8: int | None = None) -> int | None:
    """Return the value of a fill's commission in 1e-8 of the quote asset, rounded half to even.

    Args:
        fill: The execution.
        instrument: Names the base and the quote asset.
        rate_e8: Price of the commission's asset in the quote asset, in 1e-8, where it is neither of the two.

    Returns:
        The value; None where the asset is another and its price is not given.
    """
    return _value_e8(fill.commission_asset, e8(fill.commission), e8(fill.price), instrument, rate_e8)


def _value_e8(asset: str, paid_e8: int, price_e8: int, instrument: Instrument, rate_e8: int | None) -> int | None:
    if not paid_e8 or asset == instrument.quote_asset:
        return paid_e8
    if asset == instrument.base_asset:
        rate_e8 = price_e8
    return None if rate_e8 is None else half_even(paid_e8 * rate_e8, E8)


class Ledger:
    """The account's moves by our own fills, each booked once.

    Args:
        instrument: Names the base and the quote asset.
        position_e8: Base asset held when the ledger begins, in 1e-8.
        price_e8: What that position cost, in 1e-8 of the quote asset; None takes the first price that is seen, of a
            fill or of a mid.

    Attributes:
        position_e8: Base asset held, in 1e-8.
        cash_e8: Quote asset received less paid since the ledger began, in 1e-8.
        fees_e8: Commissions paid, in 1e-8 of each asset.
        last_trade_id: Greatest trade id booked; None before the first.
        fills: How many executions are booked.

    Raises:
        Mismatch: If the instrument does not name both assets: commissions could not be booked.
    """

    def __init__(self, instrument: Instrument, *, position_e8: int = 0, price_e8: int | None = None) -> None:
        if not instrument.base_asset or not instrument.quote_asset:
            raise Mismatch(
                f"{instrument.symbol}: base asset {instrument.base_asset!r} and quote asset "
                f"{instrument.quote_asset!r} must both be known to book commissions; check instrument.json"
            )
        self.position_e8, self.cash_e8, self.fills = position_e8, 0, 0
        self.fees_e8: dict[str, int] = {}
        self.last_trade_id: int | None = None
        self._instrument, self._first_e8 = instrument, position_e8
        self._booked: set[int] = set()
        self._open: deque[tuple[int, int]] = deque()  # price_e8, signed quantity in 1e-8; all of one sign
        self._basis_e8: int | None = None  # value of the first position; None until a price is seen
        self._realized_e16 = self._fees_value_e8 = self._other_value_e8 = 0
        self._unvalued: dict[str, int] = {}
        if price_e8 is not None or not position_e8:
            self._begin(price_e8 or 0)

    @property
    def trade_ids(self) -> frozenset[int]:
        """The ids of all trades booked."""
        return frozenset(self._booked)

    def __contains__(self, trade_id: object) -> bool:
        """Return whether the trade of this id is booked."""
        return trade_id in self._booked

    def book(self, fill: AccountFill, rate_e8: int | None = None) -> bool:
        """Book an execution; False where its trade id was booked before, and nothing moves.

        Args:
            fill: The execution.
            rate_e8: Price of a commission's asset that is neither base nor quote, in 1e-8 of the quote asset.
        """
        if fill.trade_id in self._booked:
            return False
        price_e8, qty_e8, paid = e8(fill.price), e8(fill.qty), e8(fill.commission)
        if self._basis_e8 is None:
            self._begin(price_e8)
        self._booked.add(fill.trade_id)
        self.fills += 1
        self.last_trade_id = max(fill.trade_id, self.last_trade_id or fill.trade_id)
        self.cash_e8 -= fill.side * (price_e8 * qty_e8 // E8)  # cut below 1e-8 as the exchange does
        self._move(price_e8, fill.side * qty_e8)
        asset = fill.commission_asset
        self._pay(asset, paid, price_e8, _value_e8(asset, paid, price_e8, self._instrument, rate_e8))
        return True

    def kept(self) -> dict[str, Any]:
        """Return all that it holds, as JSON; `Ledger.of` takes it back."""
        grid = self._instrument
        names = grid.symbol, grid.base_asset, grid.quote_asset
        return vars(self) | {"_instrument": names, "_booked": sorted(self._booked), "_open": list(self._open)}

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> "Ledger":
        """Return a ledger that holds what `kept` has returned."""
        symbol, base, quote = kept["_instrument"]
        found = cls(instrument := Instrument(symbol, 1, 1, 0, base, quote))  # of the grid only the names are used
        mixed = {"_booked": set(kept["_booked"]), "_open": deque((price, qty) for price, qty in kept["_open"])}
        vars(found).update(kept, _instrument=instrument, **mixed)
        return found

    def pnl_e8(self, mid_e8: int) -> PnlParts:
        """Return the result since the ledger began, with the position valued at *mid_e8* of the quote asset."""
        if self._basis_e8 is None:
            self._begin(mid_e8)
        total = self.cash_e8 + half_even(self.position_e8 * mid_e8, E8) - (self._basis_e8 or 0) - self._other_value_e8
        realized = half_even(self._realized_e16, E8)
        unrealized = total - realized + self._fees_value_e8
        return PnlParts(realized, unrealized, self._fees_value_e8, total, dict(self._unvalued))

    def _begin(self, price_e8: int) -> None:
        """Open the first position at a price."""
        self._basis_e8 = half_even(self._first_e8 * price_e8, E8)
        if self._first_e8:
            self._open.append((price_e8, self._first_e8))

    def _pay(self, asset: str, paid_e8: int, price_e8: int, value_e8: int | None) -> None:
        """Book a commission of *paid_e8*, worth *value_e8* of the quote asset."""
        instrument = self._instrument
        if not paid_e8:
            return
        self.fees_e8[asset] = self.fees_e8.get(asset, 0) + paid_e8
        if value_e8 is None:
            self._unvalued[asset] = self._unvalued.get(asset, 0) + paid_e8
            return
        self._fees_value_e8 += value_e8
        if asset == instrument.quote_asset:
            self.cash_e8 -= paid_e8
        elif asset == instrument.base_asset:
            self._move(price_e8, -paid_e8)
        else:
            self._other_value_e8 += value_e8

    def _move(self, price_e8: int, qty_e8: int) -> None:
        """Move the position by a signed quantity at a price; what closes earlier quantity is realized, oldest first."""
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
