"""The public view of a trade: metrics, the state store, rows of breaches; it never blocks the trader."""

from typing import TYPE_CHECKING, Protocol

from mm.clock import US_PER_MS, US_PER_S
from mm.instrument import E8, decimal_text
from mm.live.ledger import SIDE_NAMES, AccountFill, amounts
from mm.live.market_watch import MarketWatch
from mm.live.metrics import TradingMetrics

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.live.audit import AuditLog
    from mm.live.state import StateWriter
    from mm.live.trade_history import LedgerBegin
    from mm.live.trade_play import TradePlay
    from mm.live.trader import TradeAccount

REFRESH_US = 100 * US_PER_MS
REPORT_US = 60 * US_PER_S
"""Time between two lines of progress, and between two warnings of one kind."""


class ThrottledWarnings:
    """Warnings limited to one of a kind per minute; the next one reports how many were suppressed.

    Args:
        log: Logs them.
    """

    def __init__(self, log: "Logger") -> None:
        self._log = log
        self._next_us: dict[tuple[str, str], int] = {}
        self._unshown: dict[tuple[str, str], int] = {}

    def warn(self, us: int, event: str, kind: str, **fields: object) -> None:
        """Log *event* of a *kind* at an instant, unless one of the kind was logged within a minute."""
        key = event, kind
        if us < self._next_us.get(key, us):
            self._unshown[key] = self._unshown.get(key, 0) + 1
            return
        self._next_us[key] = us + REPORT_US
        unshown = self._unshown.pop(key, 0)
        self._log.warning(event, **fields, **({"unshown": unshown} if unshown else {}))


class BreachSource(Protocol):
    """An order manager, or the paper exchange around one."""

    def breaches(self, first: int) -> list[tuple[int, str, int, int, int]]:
        """Return breaches from row *first* on: instant (µs), knob, value and bound in 1e-8, side."""


class BreachWarnings:
    """Warns of breaches of risk limits.

    Args:
        kept: Source of the breaches.
        warnings: Logs the warnings.
    """

    def __init__(self, kept: BreachSource, warnings: ThrottledWarnings) -> None:
        self._kept, self._warnings, self._seen = kept, warnings, 0

    def warned(self, us: int) -> list[tuple[int, dict[str, str]]]:
        """Warn at an instant of the breaches since the last call, and return the instant and the content of each."""
        found = []
        for at_us, limit, value_e8, bound_e8, side in self._kept.breaches(self._seen):
            sided = {"side": SIDE_NAMES[side]} if side else {}
            shown = {"limit": limit, "value": decimal_text(value_e8), "bound": decimal_text(bound_e8), **sided}
            self._warnings.warn(us, "risk_breach", limit + sided.get("side", ""), **shown)
            found.append((at_us, shown))
        self._seen += len(found)
        return found


class TradeDesk:
    """Follows a trader.

    Args:
        metrics: The metrics for Prometheus, filled here.
        play: The strategy.
        account: Position and cash.
        begin: The account at the start of the ledger.
        audit: Receives breaches.
        writer: The state store.
        log: Logs events.

    Attributes:
        metrics: As given.
        play: As given.
        account: As given.
        market: Subscriber of market events.
    """

    def __init__(  # noqa: PLR0913 - what it shows, and where
        self,
        metrics: TradingMetrics,
        play: "TradePlay",
        account: "TradeAccount",
        *,
        begin: "LedgerBegin",
        audit: "AuditLog",
        writer: "StateWriter",
        log: "Logger",
    ) -> None:
        self.metrics = metrics
        self.play, self.account = play, account
        self._begin, self._audit, self._writer, self._log = begin, audit, writer, log
        self.market = MarketWatch(metrics, writer)
        self._warnings = ThrottledWarnings(log)
        self._breaches = BreachWarnings(play.engine.manager, self._warnings)
        self._fills = self._orders = self._rejects = 0
        self._us, self._report_us = 0, 0
        self._next_us = 0
        self._accepted_us: dict[int, int | None] = {}  # of orders without a fill; None before the acceptance

    # ------------------------------------------------------------------ the trader's observer

    def order(self, action: str, order_id: int, side: int, price: str, qty: str, us: int) -> None:  # noqa: ARG002
        """Count a sent request; record the acceptance time of an order until its first fill."""
        if action in ("place", "cancel", "replace", "amend"):
            self.metrics.order(action)
            if action in ("place", "replace"):
                self._orders += 1
                self._accepted_us[order_id] = None
        elif action not in ("accepted", "amended"):
            self._accepted_us.pop(order_id, None)
        elif order_id in self._accepted_us:
            self._accepted_us[order_id] = us

    def filled(self, fill: AccountFill, order_id: int, us: int) -> None:
        """Count a fill."""
        self.metrics.fill(fill.side)
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
            self.metrics.ack_fill(0.0 if accepted_us is None else (us - accepted_us) / US_PER_S)

    def rejected(self, reason: str, code: int, message: str) -> None:
        """Count a rejection; warn of the first of its kind within a minute."""
        self.metrics.reject(reason)
        self._rejects += 1
        self._warnings.warn(self._us, "order_rejected", reason, reason=reason, code=code, message=message)

    def ack(self, action: str, seconds: float) -> None:  # noqa: ARG002 - the observer's signature
        """Record the latency of a response."""
        self.metrics.ack(seconds)

    def account_changed(self, us: int) -> None:
        """Show the account again at the next update."""
        self._next_us = min(self._next_us, us)

    # ------------------------------------------------------------------ at each update

    def update(self, us: int) -> None:
        """Record new breaches, and update the public view every tenth of a second."""
        self._us = us
        for at_us, shown in self._breaches.warned(us):
            self._audit.append("breach", **shown, at_us=at_us)
        if us >= self._next_us:
            self._next_us = us + REFRESH_US
            self.refresh(us)
        if us >= self._report_us:
            if self._report_us:
                self._report()
            self._report_us = us + REPORT_US

    def _report(self) -> None:
        """Log a line of progress."""
        equity_e8, unvalued = self.play.engine.manager.guard.equities_e8()[0], self.account.ledger.unvalued
        self._log.info(
            "trading",
            position=decimal_text(self.account.position_e8),
            pnl=decimal_text(equity_e8 - self._begin.worth_e8) if equity_e8 and not unvalued else "",
            **({"fees_unvalued": amounts(unvalued)} if unvalued else {}),
            fills=self._fills,
            orders=self._orders,
            rejected=self._rejects,
        )

    def refresh(self, us: int) -> None:
        """Update metrics and state store."""
        engine, grid, metrics = self.play.engine, self.play.grid, self.metrics
        bid, ask = engine.best
        mid2 = bid + ask if bid and ask else 0
        quoted = engine.manager.quoted
        metrics.position(self.account.position_e8)
        metrics.state_writer(self._writer.queue, self._writer.lag_s)
        metrics.quotes(us, *((abs(mid2 / 2 - ticks) if ticks and mid2 else None) for ticks in quoted))
        metrics.why_not_ready = "" if mid2 else "no valid book"
        self.market.show()
        if not mid2:
            return
        mid_e8 = mid2 * grid.tick_e8 // 2
        parts = self._pnl(mid_e8)
        metrics.pnl(**parts)
        equity_e8 = self._begin.worth_e8 + parts["total"]
        metrics.equity(equity_e8)
        metrics.unvalued(self.account.ledger.unvalued)
        for limit, share in engine.manager.guard.used().items():
            metrics.risk_used(limit, share)
        self._store(us, mid_e8, parts)

    def _pnl(self, mid_e8: int) -> dict[str, int]:
        """Return the parts of the PnL since the start of the ledger, including the change of the initial inventory."""
        found = self.account.ledger.pnl_e8(mid_e8)
        carried = (self.account.position_e8 - self.account.ledger.position_e8) * (mid_e8 - self._begin.mid_e8) // E8
        return {
            "realized": found.realized,
            "unrealized": found.unrealized + carried,
            "fees": found.fees,
            "total": found.total + carried,
        }

    def _store(self, us: int, mid_e8: int, parts: dict[str, int]) -> None:
        """Pass the book, the PnL and the strategy's state to the state store."""
        self.market.store(us)
        unvalued = self.account.ledger.unvalued
        shown: dict[str, str | None] = {name: decimal_text(value) for name, value in parts.items()}
        if unvalued:
            shown |= {"fees": None, "total": None, "fees_unvalued": amounts(unvalued)}
        self._writer.pnl(us, **shown)
        self._writer.model(
            us,
            mid=decimal_text(mid_e8),
            inventory=decimal_text(self.account.position_e8),
            target=decimal_text(self.play.rules.target * self.play.grid.lot_e8),
            quoted_ticks=list(self.play.engine.manager.quoted),
        )
