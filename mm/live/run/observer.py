"""The public view of a shadow or a trade: metrics, the state store, warnings, rows of breaches; it never blocks."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mm.backtest.journal import ACTIONS, REJECT_REASONS
from mm.backtest.risk import WITHHOLDING
from mm.clock import US_PER_MS, US_PER_S, exchange_us, now_us
from mm.instrument import E8, Instrument, decimal_text
from mm.live.account.ledger import Ledger, PnlParts, amounts
from mm.live.pages.contract_metrics import ContractMetrics
from mm.live.pages.trading_metrics import TradingMetrics
from mm.live.venues.fills import SIDE_NAMES, AccountFill
from mm.live.venues.positions import PositionIncome
from mm.market_data.lateness import Lateness
from mm.market_data.market_events import BookLost, ClockRead, DepthArrived, MarketEvent, TradeArrived
from mm.markets.trade_ids import TradeVerdict

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.backtest.engine._engine import Engine
    from mm.backtest.paper_exchange import PaperExchange
    from mm.backtest.rules import Rules
    from mm.live._live_engine import LiveEngine
    from mm.live.audit.history import LedgerBegin
    from mm.live.audit.log import AuditLog
    from mm.live.run.trade_account import TradeAccount
    from mm.live.state.writer import StateWriter
    from mm.live.venues.live_orders import LiveOrder
    from mm.markets.local_orderbook import LocalOrderBook

REFRESH_US = 100 * US_PER_MS
REPORT_US = 60 * US_PER_S
"""Time between two lines of progress, and between two warnings of one kind."""
LATE_US, UNCERTAIN_US = US_PER_S, US_PER_S // 4
"""From when a late market, and an offset of the clocks that is not known well, is said."""
QUIET_US = 2 * US_PER_S
"""Time without a resting order after which a run is not quoting: between two orders there may be none."""
WRITER_S = 2.0
REQUESTS = {"place": "PLACE", "cancel": "CANCEL_REQ", "amend": "AMEND"}  # requests, and their rows in the journal
TOP_LEVELS = 20


class ThrottledWarnings:
    """Warnings limited to one of a kind per minute; the next one reports how many were suppressed."""

    def __init__(self, log: "Logger") -> None:
        self._log = log
        self._next_us: dict[tuple[str, str], int] = {}
        self._unshown: dict[tuple[str, str], int] = {}

    def warn(self, us: int, event: str, kind: str, **fields: object) -> None:
        key = event, kind
        if us < self._next_us.get(key, us):
            self._unshown[key] = self._unshown.get(key, 0) + 1
            return
        self._next_us[key] = us + REPORT_US
        unshown = self._unshown.pop(key, 0)
        self._log.warning(event, **fields, **({"unshown": unshown} if unshown else {}))


class Observer:
    """Follows a run: a subscriber of its market, whose `refresh` updates metrics and state store."""

    def __init__(  # noqa: PLR0913 - what it shows, and where
        self,
        metrics: TradingMetrics,
        engine: "Engine | LiveEngine",
        rules: "Rules",
        log: "Logger",
        writer: "StateWriter | None" = None,
        audit: "AuditLog | None" = None,
        *,
        is_leg: bool = False,
    ) -> None:
        self.metrics, self.engine, self._rules, self._is_leg = metrics, engine, rules, is_leg
        self._log, self._writer, self._audit = log, writer, audit
        self._warnings = ThrottledWarnings(log)
        self._breaches = 0
        self._counted = Counter[str]()
        self._quoted_us: int | None = None
        self._book: LocalOrderBook | None = None  # as of the last event; None without a valid one
        self._last_id = 0
        self._messages = metrics.messages = {"depth": 0, "trade": 0}
        self._lateness = Lateness()

    # ------------------------------------------------------------------ the market

    def market(self, event: MarketEvent) -> None:
        if isinstance(event, DepthArrived):
            self._messages["depth"] += 1
            late_us = self._lateness.depth(event.recv_us, exchange_us(event.update.E))
            self.metrics.late_us = None if self._lateness.least_us is None else late_us
            if event.book is not None:
                self._book, self._last_id = event.book, event.update.u
                self.metrics.book_us = event.recv_us - late_us
            if late_us >= LATE_US:
                late_s, within_us = late_us / US_PER_S, self.metrics.clock_within_us or 0
                self._warnings.warn(
                    event.recv_us, "market_late", "", late_s=late_s, clock_within_s=within_us / US_PER_S
                )
        elif isinstance(event, ClockRead):
            self._lateness.measured(event.least_us)
            self.metrics.clock_within_us = event.within_us
            if event.within_us >= UNCERTAIN_US:
                self._warnings.warn(event.recv_us, "clock_uncertain", "", within_s=event.within_us / US_PER_S)
        elif isinstance(event, TradeArrived):
            self._messages["trade"] += 1
            if self._writer and event.verdict is not TradeVerdict.LATE:
                trade = event.trade
                self._writer.tick(event.recv_us, price=trade.p, qty=trade.q, side="SELL" if trade.m else "BUY")
        elif isinstance(event, BookLost):
            self._book = None
            self.metrics.gaps += 1

    # ------------------------------------------------------------------ what the kinds of observers differ in

    def _position_e8(self) -> int:
        raise NotImplementedError

    def _pnl(self, mid_e8: int) -> PnlParts:
        raise NotImplementedError

    def _equity_e8(self, mid_e8: int, total_e8: int) -> int:
        raise NotImplementedError

    def _quoted(self) -> tuple[int, int]:
        """Best buy and sell in ticks, 0 without one."""
        return self.engine.manager.quoted

    # ------------------------------------------------------------------ at each update

    def refresh(self, us: int) -> None:
        manager, metrics = self.engine.manager, self.metrics
        bid, ask = self.engine.best[:2]
        mid2 = bid + ask if bid and ask else 0
        self._show_breaches(us)
        self._count_rows({}, ("SKIP",))
        metrics.position_e8 = self._position_e8()
        metrics.quotes(us, *((abs(mid2 / 2 - ticks) if ticks and mid2 else None) for ticks in self._quoted()))
        metrics.why_not_ready = self._why_not_quoting(us, mid2)
        metrics.used |= manager.guard.used()
        if self._writer:
            metrics.writer = self._writer.queue, self._writer.lag_s
        if mid2:
            self._show_money(us, mid2 * self._rules.tick_e8 // 2)

    def _why_not_quoting(self, us: int, mid2: int) -> str:
        manager = self.engine.manager
        if not mid2:
            return "no valid book"
        if manager.stopped_for:
            age = self._lateness_text() if manager.stopped_for.upper() == "FEED_STALE_S" else ""
            return f"quotes are stopped: {manager.stopped_for}{age}"
        if any(self._quoted()) or self._is_leg:
            self._quoted_us = us
            return ""
        if self._quoted_us is not None and us - self._quoted_us < QUIET_US:
            return ""
        return self._why_none()

    def _why_none(self) -> str:
        manager = self.engine.manager
        reasons = [f"{side} {why}" for side, why in zip(("buy", "sell"), manager.withheld_for, strict=True) if why]
        return f"no quotes: {', '.join(reasons) or 'the model gives none, or they are not open yet'}"

    def _lateness_text(self) -> str:
        late_us, within_us = self._lateness.late_us, self.metrics.clock_within_us
        if within_us is None:
            return "; the clock was not measured against the exchange's, so the market's age is not known"
        if late_us < LATE_US:
            return ""
        return (
            f"; the market is {late_us / US_PER_S:.1f} s late by the exchange's clock (± {within_us / US_PER_S:.2f} s)"
        )

    def _show_breaches(self, us: int) -> None:
        for at_us, limit, value_e8, bound_e8, side in self.engine.manager.breaches(self._breaches):
            self._breaches += 1
            self.breached(us, limit, value_e8, bound_e8, at_us=at_us, side=side)

    def breached(self, us: int, limit: str, value_e8: int, bound_e8: int, *, at_us: int, side: int = 0) -> None:
        """A limit was breached; *side* 0 stands for both sides."""
        sided = {"side": SIDE_NAMES[side]} if side else {}
        shown = {"limit": limit, "value": decimal_text(value_e8), "bound": decimal_text(bound_e8), **sided}
        self._warnings.warn(us, "risk_breach", limit + sided.get("side", ""), **shown)
        if self._audit is not None:
            self._audit.append("breach", **shown, at_us=at_us)

    def _count_rows(self, requests: dict[str, str], refusals: tuple[str, ...]) -> None:
        rows, metrics = self.engine.manager.order_rows, self.metrics
        now = Counter({name: rows(ACTIONS.index(action), 0) for name, action in requests.items()})
        for action in refusals:
            for code, reason in enumerate(REJECT_REASONS):
                if reason:
                    now[f"{action} {reason}"] = rows(ACTIONS.index(action), code)
        for name in (now - self._counted).elements():
            if name in requests:
                metrics.orders[name] += 1
            else:
                reason = name.partition(" ")[2]
                metrics.rejects[reason.upper() if reason in WITHHOLDING else reason] += 1  # a limit: named by its knob
        self._counted |= now

    def _show_money(self, us: int, mid_e8: int) -> None:
        found = self._pnl(mid_e8)
        parts = {"realized": found.realized, "unrealized": found.unrealized, "fees": found.fees, "total": found.total}
        self.metrics.pnl_e8, self.metrics.unvalued_e8 = parts, found.unvalued
        self.metrics.equity_e8 = self._equity_e8(mid_e8, found.total)
        if self._writer is None:
            return
        if self._book is not None:
            self._writer.book(*self._book.top(TOP_LEVELS), us, self._last_id)
        shown: dict[str, str | None] = {name: decimal_text(value) for name, value in parts.items()}
        if found.paid:
            shown["funding"] = decimal_text(found.paid)
        if found.unvalued:
            shown |= {"fees": None, "total": None, "fees_unvalued": amounts(found.unvalued)}
        position = decimal_text(self._position_e8())
        self._writer.position(us, position)
        self._writer.pnl(us, **shown)
        self._writer.model(
            us,
            mid=decimal_text(mid_e8),
            inventory=position,
            target=decimal_text(self._rules.target * self._rules.lot_e8),
            quoted_ticks=list(self.engine.manager.quoted),
        )


class ShadowObserver(Observer):
    def __init__(
        self,
        exchange: "PaperExchange",
        grid: Instrument,
        log: "Logger",
        writer: "StateWriter | None" = None,
        clock: Callable[[], int] = now_us,
        leg: str | None = None,
    ) -> None:
        metrics, rules = TradingMetrics(leg or grid.symbol, clock), exchange.rules
        super().__init__(metrics, exchange.engine, rules, log, writer, is_leg=leg is not None)
        self._exchange, self._grid, self._clock, self._fills, self._killed = exchange, grid, clock, 0, False
        self._ledger = Ledger(grid, position_e8=rules.start_lots * grid.lot_e8)

    async def close(self) -> None:
        self.refresh(self._clock())
        if self._writer:
            await asyncio.to_thread(self._writer.close, WRITER_S)

    def refresh(self, us: int) -> None:
        self._take_fills()
        self._count_rows(REQUESTS, ("REJECT",))
        killed = self.engine.manager.killed()
        self.metrics.killed = killed is not None
        if killed is not None and not self._killed:
            self._killed = True
            self._log.warning("killed", reason=killed[1], note="quoting has stopped; the recording continues")
        super().refresh(us)

    def _take_fills(self) -> None:
        grid, rate_e8 = self._grid, self._rules.maker_fee_e8
        for us, order_id, side, ticks, lots in self._exchange.fills_from(self._fills):
            self._fills += 1
            notional_e16 = ticks * grid.tick_e8 * lots * grid.lot_e8
            fee = decimal_text(notional_e16 * rate_e8 // E8 // E8)
            price, qty = decimal_text(ticks * grid.tick_e8), decimal_text(lots * grid.lot_e8)
            fill = AccountFill(self._fills, order_id, "", side, price, qty, fee, grid.quote_asset, us, maker=True)
            self._ledger.book(fill)
            self.metrics.fills[side] += 1
        cost_e8 = self._exchange.funding_e8
        if more_e8 := cost_e8 + self._ledger.paid_e8:  # the ledger has what it brought
            self._ledger.pay(str(cost_e8), -more_e8, self._clock())

    def _position_e8(self) -> int:
        return self._ledger.position_e8

    def _pnl(self, mid_e8: int) -> PnlParts:
        return self._ledger.pnl_e8(mid_e8)

    def _equity_e8(self, mid_e8: int, total_e8: int) -> int:  # noqa: ARG002
        return self._rules.start_cash_e8 + self._ledger.cash_e8 + self._ledger.position_e8 * mid_e8 // E8


class TradeObserver(Observer):
    def __init__(  # noqa: PLR0913 - what it shows, and where
        self,
        metrics: TradingMetrics,
        engine: "LiveEngine",
        rules: "Rules",
        *,
        account: "TradeAccount",
        begin: "LedgerBegin",
        audit: "AuditLog",
        writer: "StateWriter",
        log: "Logger",
        unmanaged: "Callable[[], Sequence[LiveOrder]]" = tuple,
        is_leg: bool = False,
    ) -> None:
        super().__init__(metrics, engine, rules, log, writer, audit, is_leg=is_leg)
        self.account, self._begin, self.tick_e8 = account, begin, rules.tick_e8
        self._fills = self._orders = self._rejects = 0
        self._us, self._report_us, self._unmanaged = 0, 0, unmanaged
        self._next_us = 0
        self._accepted_us: dict[int, int | None] = {}  # of orders without a fill; None before the acceptance

    # ------------------------------------------------------------------ what the trader reports

    def order(self, action: str, order_id: int, us: int) -> None:
        if action in ("place", "cancel", "replace", "amend"):
            self.metrics.orders[action] += 1
            if action in ("place", "replace"):
                self._orders += 1
                self._accepted_us[order_id] = None
        elif action != "accepted":
            self._accepted_us.pop(order_id, None)
        elif order_id in self._accepted_us:
            self._accepted_us[order_id] = us

    def filled(self, fill: AccountFill, order_id: int, us: int) -> None:
        self._next_us = min(self._next_us, us)
        self.metrics.account_us = us
        self.metrics.fills[fill.side] += 1
        unvalued = self.account.ledger.unvalued
        if fill.commission_asset in unvalued:
            self._warnings.warn(
                us,
                "commission_without_price",
                fill.commission_asset,
                paid=decimal_text(unvalued[fill.commission_asset]),
                asset=fill.commission_asset,
                note="PnL is before these fees; limits count their largest value",
            )
        self._fills += 1
        if order_id in self._accepted_us:
            accepted_us = self._accepted_us.pop(order_id)
            # A fill may be reported before the acknowledgement of its order.
            self.metrics.ack_fill.observe(0.0 if accepted_us is None else max(0, us - accepted_us) / US_PER_S)

    def transferred(self, us: int) -> None:
        self.metrics.transferred_us, self._next_us = us, 0

    @property
    def contract(self) -> ContractMetrics:
        if self.metrics.contract is None:
            self.metrics.contract = ContractMetrics()
        return self.metrics.contract

    def paid(self, found: PositionIncome, us: int) -> None:
        self.contract.paid_us, self.metrics.account_us, self._next_us = found.us, us, 0

    def rejected(self, reason: str, code: int, message: str) -> None:
        self.metrics.rejects[reason] += 1
        self._rejects += 1
        self._warnings.warn(self._us, "order_rejected", reason, reason=reason, code=code, message=message)

    # ------------------------------------------------------------------ at each update

    def refresh(self, us: int) -> None:
        super().refresh(us)
        self.metrics.transfers_e8 = self.account.ledger.transfers_e8
        self.metrics.unjudged = not all(self.engine.best)
        if self.metrics.contract:
            self.metrics.contract.paid_e8 = self.account.ledger.paid_e8

    def _quoted(self) -> tuple[int, int]:
        """Nobody can move or cancel a quote whose order is not managed: it is none."""
        lost = {one.side for one in self._unmanaged()}
        buy, sell = super()._quoted()
        return 0 if 1 in lost else buy, 0 if -1 in lost else sell

    def _why_none(self) -> str:
        count = len(self._unmanaged())
        text = f"orders that may rest and that the exchange does not answer for, or refuses to cancel: {count}"
        return text if count else super()._why_none()

    def end(self, us: int, why: str) -> None:
        """Nothing is quoted from now on, though orders may rest until they are cancelled."""
        self.metrics.quotes(us, None, None)
        self.metrics.why_not_ready = f"the trade ends: {why}"

    def update(self, us: int) -> None:
        self._us = us
        self._show_breaches(us)
        if us >= self._next_us:
            self._next_us = us + REFRESH_US
            self.refresh(us)
        if us >= self._report_us:
            if self._report_us:
                self._report()
            self._report_us = us + REPORT_US

    def _report(self) -> None:
        equities_e8, unvalued = self.engine.manager.guard.equities_e8(), self.account.ledger.unvalued
        own_e8 = self._begin.worth_e8 + self.account.transfers_e8
        why = self.metrics.why_not_ready
        self._log.info(
            "trading",
            position=decimal_text(self.account.position_e8),
            pnl=decimal_text(equities_e8[0] - own_e8) if equities_e8 and not unvalued else "",
            **({"fees_unvalued": amounts(unvalued)} if unvalued else {}),
            fills=self._fills,
            orders=self._orders,
            rejected=self._rejects,
            **({"not_quoting": why} if why else {}),
        )

    def _position_e8(self) -> int:
        return self.account.position_e8

    def _pnl(self, mid_e8: int) -> PnlParts:
        found = self.account.ledger.pnl_e8(mid_e8)
        carried = (self.account.position_e8 - self.account.ledger.position_e8) * (mid_e8 - self._begin.mid_e8) // E8
        unrealized, total = found.unrealized + carried, found.total + carried
        return replace(found, unrealized=unrealized, total=total)

    def _equity_e8(self, mid_e8: int, total_e8: int) -> int:  # noqa: ARG002
        return self._begin.worth_e8 + self.account.transfers_e8 + total_e8
