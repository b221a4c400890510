"""The oracle's risk limits, written from docs/trading.md: integers, with everything recomputed each time."""

from datetime import datetime
from zoneinfo import ZoneInfo

from mm import Rules
from mm.backtest.risk import LIMITS, RiskLimits
from oracle_market import BUY, SELL, Order

SECOND_US = 10**6
HEALTHY_US = 10 * SECOND_US
MOST = 2**62
KILLS, PULLS = ("MAX_DAILY_LOSS", "MAX_DRAWDOWN", "KILLED"), ("MAX_MOVE", "FEED_STALE_S", "LATENCY_THRESHOLD_MS")


def share_e8(part, whole):
    """Return a share in 1e-8, rounded down; MOST if the whole is not positive."""
    return part * 10**8 // whole if whole > 0 else MOST


class Risk:
    """The limits of a run and its history of mids, orders and equity; equities are twice 1e-16 of the quote asset."""

    def __init__(self, rules: Rules) -> None:
        self.rules, self.limits = rules, rules.risk or RiskLimits()
        self.rows: list[tuple[int, int, int, int, int]] = []
        self.mids: list[tuple[int, int]] = []
        self.acks: list[int] = []
        self.sent: list[int] = []
        self.equities: list[int] = []
        self.day, self.day_equity = None, 0
        self.killed: tuple[int, str] | None = None
        self.manual = ""
        self.pulled: list[str] = []  # by which limits, the earliest first
        self.healthy_us = 0
        self.broken: dict[int, set[str]] = {BUY: set(), SELL: set()}  # in this requote, and in the previous one
        self.before: dict[int, set[str]] = {BUY: set(), SELL: set()}
        self.band = -1

    # Limits that stop all quotes

    def look(self, market) -> str:
        """Record a requote; return why no quotes may rest, or an empty text."""
        self.before, self.broken = self.broken, {BUY: set(), SELL: set()}
        if self.rules.risk and not self.killed:
            self.observe(market)
            found = next(self.stops(market), None)
            if found and found[0] in KILLS:
                self.note(market.us, *found)
                self.killed = (market.us, found[0])
            elif found:
                self.healthy_us = market.us + HEALTHY_US
                if found[0] not in self.pulled:
                    self.note(market.us, *found)
                    self.pulled.append(found[0])
            elif market.us >= self.healthy_us:
                self.pulled = []
        return self.halted()

    def halted(self) -> str:
        if self.killed:
            return self.killed[1].lower() if self.killed[1] in KILLS else "killed"
        return (self.manual and "pulled") or (self.pulled[0].lower() if self.pulled else "")

    def observe(self, market) -> None:
        self.mids.append((market.us, market.received_book.mid2))
        waiting = [one for one in market.open if one.status == "SENT" or one.move_ticks]
        self.wait_us = max([0, *self.acks, *(market.us - one.sent_us for one in waiting)])
        self.acks = []
        equity, limits = self.equity(market), self.limits
        if not self.equities and limits.peak_equity_e8 is not None:
            self.equities.append(2 * limits.peak_equity_e8 * 10**8)
        self.equities.append(equity)
        day = datetime.fromtimestamp(market.us // SECOND_US, ZoneInfo("Europe/Berlin")).date()
        if day != self.day:
            given = limits.day_equity_e8 if self.day is None else None
            self.day, self.day_equity = day, equity if given is None else 2 * given * 10**8

    def equity(self, market) -> int:
        account, mid2 = market.account, self.mids[-1][1] if self.mids else 0
        return 2 * (account.cash_e16 + self.limits.added_equity_e8 * 10**8) + account.e16(account.inventory * mid2)

    def stops(self, market):
        """Yield each limit that stops all quotes: its name, the value and the bound."""
        limits, equity, peak = self.limits, self.equities[-1], max(self.equities)
        lost, fell = self.day_equity - equity, peak - equity
        if limits.max_daily_loss_e8 is not None and lost > 2 * limits.max_daily_loss_e8 * 10**8:
            yield "MAX_DAILY_LOSS", lost // (2 * 10**8), limits.max_daily_loss_e8
        most = limits.max_drawdown_e8
        if most is not None and fell > 0 and (peak <= 0 or fell * 10**8 > most * peak):
            yield "MAX_DRAWDOWN", share_e8(fell, peak), most
        since_us = market.us - max(SECOND_US, self.rules.requote_us)
        recent, mid2 = [mid2 for us, mid2 in self.mids if us >= since_us], self.mids[-1][1]
        for other in (min(recent), max(recent)):
            if limits.max_move_e8 is not None and abs(mid2 - other) * 10**8 > limits.max_move_e8 * other:
                yield "MAX_MOVE", share_e8(abs(mid2 - other), other), limits.max_move_e8
        silent_us = market.us - market.market_us
        if limits.feed_stale_us is not None and silent_us > limits.feed_stale_us:
            yield "FEED_STALE_S", silent_us * 100, limits.feed_stale_us * 100
        if limits.slow_ack_us is not None and self.wait_us > limits.slow_ack_us:
            yield "LATENCY_THRESHOLD_MS", self.wait_us * 10**5, limits.slow_ack_us * 10**5

    # Limits that withhold an order

    def refuses(self, order: Order, market) -> str:
        """Return why a sendable order is withheld, or an empty text."""
        if self.halted() or not self.rules.risk:
            return self.halted()
        found = next(self.breaks(order, market), None)
        if found is None:
            return ""
        if found[0] not in self.before[order.side] | self.broken[order.side]:
            self.note(market.us, *found, order.side)
        self.broken[order.side].add(found[0])
        return found[0].lower()

    def breaks(self, order: Order, market):
        """Yield each limit that an order would break."""
        limits, rules, equity = self.limits, self.rules, self.equity(market)
        mid2 = self.mids[-1][1] if self.mids else 0
        others = [other for other in market.open if other.side == order.side and other.id != order.id]
        before = sum(other.open_lots for other in market.open if other.id == order.id)  # of an order that moves
        after = order.side * market.account.inventory + sum(other.open_lots for other in others)
        after += max(order.left, before)
        off = after - order.side * rules.target
        if limits.max_position_e8 is not None and off * rules.lot_e8 > max(limits.max_position_e8, 0) and off > 0:
            yield "MAX_POSITION", off * rules.lot_e8, limits.max_position_e8
        exposed, most = market.account.e16(after * mid2), limits.max_leverage_e8
        if most is not None and exposed > 0 and (equity <= 0 or exposed * 10**8 > most * equity):
            yield "MAX_LEVERAGE", share_e8(exposed, equity), most
        if limits.max_open_orders is not None and len(others) + 1 > limits.max_open_orders:
            yield "MAX_OPEN_ORDERS", (len(others) + 1) * 10**8, limits.max_open_orders * 10**8
        notional, most = market.account.notional_e16(order, market.book), limits.max_order_notional_e8
        if most is not None and notional > most * 10**8:
            yield "MAX_ORDER_NOTIONAL", notional // 10**8, most
        away, most = abs(2 * order.ticks - mid2), limits.price_band_e8
        if most is not None and mid2 and order.kind != "MARKET" and away * 10**8 > most * mid2:
            yield "PRICE_BAND", share_e8(away, mid2), most
        sent, most = sum(us > market.us - SECOND_US for us in self.sent), limits.max_orders_per_s
        if most is not None and sent + 1 > most:
            yield "MAX_ORDERS_PER_S", (sent + 1) * 10**8, most * 10**8

    # Limits that move quotes

    def widened(self, prices, market):
        """Return the prices of both sides, moved away from the mid by the factor of the inventory's band."""
        held, limits = abs(market.account.inventory - self.rules.target) * self.rules.lot_e8, self.limits
        reached = [band for band in limits.widen_bands if held * 10**8 >= band[0] * limits.max_position_e8]
        if reached and len(reached) != self.band:
            self.note(market.us, "WIDEN_BANDS", share_e8(held, limits.max_position_e8), reached[-1][0])
        self.band = len(reached)
        if not reached:
            return prices
        mid, factor = market.received_book.mid2 / 2, reached[-1][1]
        bids = [bid if bid is None or bid >= mid else mid - factor * (mid - bid) for bid in prices[0]]
        asks = [ask if ask is None or ask <= mid else mid + factor * (ask - mid) for ask in prices[1]]
        return bids, asks

    def note(self, us: int, name: str, value_e8: int, bound_e8: int, side: int = 0) -> None:
        self.rows.append((us, LIMITS.index(name), min(value_e8, MOST), min(bound_e8, MOST), side))
