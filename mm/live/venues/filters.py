"""The filters that an order is checked by before it is sent, and what balances leave to our orders."""

from collections.abc import Iterable

from mm.backtest.journal import RESTING_KINDS
from mm.errors import OffGrid
from mm.instrument import E8, Instrument, e8, short_text
from mm.live.venues.balances import Balances
from mm.live.venues.binance import why_of
from mm.live.venues.codes import FILTER_FAILED
from mm.live.venues.live_orders import LiveOrder
from mm.live.venues.refusals import Refusal

_MARKET = "MARKET"


class OrderChecks:
    def __init__(self, instrument: Instrument, most_orders: int = 0) -> None:
        self.instrument = instrument
        self.most_orders = most_orders
        self.average_e8 = 0

    def refusal(
        self, side: int, price: str, qty: str, kind: str, open_orders: Iterable[LiveOrder], *, reduces: bool = False
    ) -> Refusal | None:
        """Return why the exchange would refuse an order; None if no reason is known.

        The balance is not checked here: the order manager does that by `ours_e8`.
        """
        price_e8, _, why = self._terms(price, qty, kind, reduces=reduces)
        if why:
            return _failed(why)
        symbol = self.instrument.symbol
        if price_e8 and (why := self._percent(side, price_e8)):
            return _failed(f"{symbol}: {why}")
        if self.most_orders and kind in RESTING_KINDS:
            # A cancel that was sent before takes effect before.
            stay = sum(not order.cancelling for order in open_orders)
            if stay >= self.most_orders:
                return _failed(f"{symbol}: {stay} orders are open, MAX_NUM_ORDERS is {self.most_orders}")
        return None

    def bounds_e8(self, side: int) -> tuple[int, int]:
        limits, average_e8 = self.instrument.filters, self.average_e8
        up, down = (limits.bid_up_e8, limits.bid_down_e8) if side > 0 else (limits.ask_up_e8, limits.ask_down_e8)
        low_e8 = max(limits.min_price_e8, -(-average_e8 * down // E8) if up else 0)
        highs_e8 = [high for high in (limits.max_price_e8, average_e8 * up // E8) if high]
        return low_e8, min(highs_e8, default=0)

    def no_amendment(self, order: LiveOrder, qty: str, price: str = "") -> Refusal | None:
        filters = self.instrument.filters
        _, qty_e8, why = self._terms(order.price, qty, order.kind)
        if price:
            why = f"{self.instrument.symbol}: no order is moved to another price here"
        elif not filters.amend_allowed:
            why = f"{self.instrument.symbol}: orders are not amended here (amendAllowed)"
        elif not why and not order.booked_e8 < qty_e8 < order.qty_e8:
            booked, most = short_text(order.booked_e8), short_text(order.qty_e8)
            why = f"{self.instrument.symbol}: quantity {qty} is not between {booked}, which is filled, and {most}"
        return _failed(why) if why else None

    def _terms(self, price: str, qty: str, kind: str, *, reduces: bool = False) -> tuple[int, int, str]:
        """Return price (0 for a MARKET order) and quantity in 1e-8, and why any market would refuse them."""
        grid = self.instrument
        try:
            price_e8 = 0 if kind == _MARKET else grid.ticks(price) * grid.tick_e8
            qty_e8 = grid.lots(qty) * grid.lot_e8
        except OffGrid as error:
            return 0, 0, str(error)
        why = self._filter(price_e8, qty_e8, kind, reduces=reduces)
        return price_e8, qty_e8, why and f"{grid.symbol}: {why}"

    def _filter(self, price_e8: int, qty_e8: int, kind: str, *, reduces: bool) -> str:
        limits, notional_e8 = self.instrument.filters, price_e8 * qty_e8 // E8
        most_qty_e8, most_notional_e8 = limits.max_qty_e8, limits.max_notional_e8
        if qty_e8 <= 0 or qty_e8 < limits.min_qty_e8 or (most_qty_e8 and qty_e8 > most_qty_e8):
            least, most = short_text(limits.min_qty_e8), short_text(most_qty_e8)
            return f"quantity {short_text(qty_e8)} is not between {least} and {most} (LOT_SIZE)"
        if kind == _MARKET:
            return ""
        if price_e8 <= 0 or price_e8 < limits.min_price_e8 or (limits.max_price_e8 and price_e8 > limits.max_price_e8):
            least, most = short_text(limits.min_price_e8), short_text(limits.max_price_e8)
            return f"price {short_text(price_e8)} is not between {least} and {most} (PRICE_FILTER)"
        if notional_e8 < self.instrument.min_notional_e8 and not reduces:
            least = short_text(self.instrument.min_notional_e8)
            return f"{short_text(notional_e8)} is less than the minimum notional {least} (NOTIONAL)"
        if most_notional_e8 and notional_e8 > most_notional_e8:
            most = short_text(most_notional_e8)
            return f"{short_text(notional_e8)} is more than the maximum notional {most} (NOTIONAL)"
        return ""

    def _percent(self, side: int, price_e8: int) -> str:
        limits = self.instrument.filters
        up, down = (limits.bid_up_e8, limits.bid_down_e8) if side > 0 else (limits.ask_up_e8, limits.ask_down_e8)
        if not self.average_e8 or not up:
            return ""
        if self.average_e8 * down <= price_e8 * E8 <= self.average_e8 * up:
            return ""
        mean, low, high = short_text(self.average_e8), short_text(down), short_text(up)
        return (
            f"price {short_text(price_e8)} is not between {low} and {high} times the mean price {mean} (PERCENT_PRICE)"
        )


def _failed(why: str) -> Refusal:
    return Refusal(FILTER_FAILED, why, why_of(FILTER_FAILED, why))


def ours_e8(instrument: Instrument, balances: Balances, orders: Iterable[LiveOrder]) -> tuple[int, int]:
    """Return base and quote asset, in 1e-8, for the orders of one symbol."""
    locks_e8 = {-1: 0, 1: 0}
    for order in orders:
        locks_e8[order.side] += _locks_e8(order)
    base, quote = (balances.get(asset, ("0", "0")) for asset in (instrument.base_asset, instrument.quote_asset))
    return (
        e8(base[0]) + min(e8(base[1]), locks_e8[-1]),
        e8(quote[0]) + min(e8(quote[1]), locks_e8[1]),
    )


def _locks_e8(order: LiveOrder) -> int:
    left_e8 = max(order.qty_e8 - max(order.executed_e8, order.booked_e8), 0)
    return left_e8 if order.side < 0 else -(-e8(order.price or "0") * left_e8 // E8)
