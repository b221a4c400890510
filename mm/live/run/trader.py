"""The loop of a trader: market events to the engine, its messages to the gateway, the gateway's reports back.

One object on one event loop, without a thread of its own. It waits only for the market and the gateway; a database, a
disk or a metrics page never blocks it.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from mm.backtest.journal import RESTING_KINDS
from mm.backtest.market_without_us import MarketWithoutUs
from mm.base._calls import begin_step, clear_step, end_step
from mm.clock import US_PER_S, now_us
from mm.instrument import Instrument, e8, short_text
from mm.live._live_engine import LiveEngine
from mm.live.orders.reasons import reason_of
from mm.live.orders.reports import OrderListener
from mm.live.run.observer import TradeObserver
from mm.live.run.step_log import StepLog
from mm.live.run.trade_account import TradeAccount
from mm.live.venues.balances import Balances, Transfer
from mm.live.venues.fills import AccountFill
from mm.live.venues.positions import MarginSeen, PositionIncome, PositionSeen, RuleSeen
from mm.live.venues.refusals import OF_THE_LIMITS, Refusal

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.backtest.engine.live_feed import FeedEvent

_Given = TypeVar("_Given")
_Found = TypeVar("_Found")
Message = tuple[str, int, int, int, int, str]
"""``place``, ``cancel``, ``amend`` or ``move``, order id, side, ticks, lots (of the last two: in total), kind."""

OF_RULES = frozenset(
    ("min_notional", "max_notional", "quantity_out_of_range", "quantity_below_step", "price_out_of_band")
)
"""Reasons of the engine for which the rules of the start keep an order back."""
MAX_WAIT_S = 0.05  # maximum time between two checks of kill switch and risk limits
MIN_WAIT_S = 0.0002
STOPPED_US = 100_000
"""Time without a step after which the process was stopped, or starved: the market has gone on meanwhile."""
HELD_MOST_US = 500_000
"""How long messages may take to be read after that, before the quotes are cancelled."""
UNREAD = "messages wait to be read"
_MOST = 2**63 - 1  # what the engine counts
FAILED = "error"
"""End reason when a model, or the program, has raised."""
KILL = "kill"
"""End reason when a limit, a switch or a signal has killed trading."""


class OrderGateway(Protocol):
    """Sends orders to an exchange; `mm.live.orders.symbol_orders.SymbolOrders` is one."""

    def place(self, order_id: int, side: int, price: str, qty: str, kind: str) -> None: ...

    def cancel(self, order_id: int) -> None: ...

    def amend(self, order_id: int, qty: str, price: str = "") -> None: ...

    def replace(self, old_id: int, new_id: int, side: int, price: str, qty: str, kind: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class TraderParts:
    """The parts of a trader.

    Attributes:
        watch: Called at least every `MAX_WAIT_S` seconds; returns why trading must end, else None.
        allow: Called before each step of the engine: sets what the account's limits allow; returns why quotes must
            wait, or an empty text.
        ask_status: Called once the exchange says that the symbol does not trade.
        doubt_rules: Called while filters of the start keep quotes back.
        unread: Returns whether messages of the market or of the account wait to be read.
        single_trades: Whether each print of the market is one trade, not an aggregate.
        steps: Gets what the engine is told, and when.
    """

    engine: LiveEngine
    grid: Instrument
    account: TradeAccount
    log: "Logger"
    model: str = "the strategy"
    observer: TradeObserver | None = None
    heard: "Callable[[tuple[FeedEvent, ...]], None]" = lambda _: None
    watch: Callable[[int], str | None] = lambda _: None
    allow: Callable[[], str] = lambda: ""
    decided: Callable[[], None] = lambda: None
    ended: Callable[[str], None] = lambda _: None
    ask_status: Callable[[], None] = lambda: None
    doubt_rules: Callable[[], None] = lambda: None
    clock: Callable[[], int] = now_us
    unread: Callable[[], bool] = lambda: False
    single_trades: bool = True
    target_lots: int = 0
    steps: StepLog = field(default_factory=StepLog)


class Trader(OrderListener):
    """Trades one symbol through a gateway; it is the gateway's listener, and receives the market's events.

    Attributes:
        ended: Why trading has ended; None while it continues. Afterwards nothing is sent.
    """

    def __init__(self, parts: TraderParts, gateway: OrderGateway) -> None:
        self.ended: str | None = None
        self.accepted_us: dict[int, int] = {}
        self._gateway, self._model = gateway, parts.model
        self._engine, self._grid, self._account = parts.engine, parts.grid, parts.account
        self._log, self._observer = parts.log, parts.observer
        self._watch, self._decided, self._clock = parts.watch, parts.decided, parts.clock
        self._allow, self._announce, self._heard = parts.allow, parts.ended, parts.heard
        self._market, self._steps, self._single_trades = MarketWithoutUs(), parts.steps, parts.single_trades
        self._target_lots, self._ask_status = parts.target_lots, parts.ask_status
        self._doubt_rules = parts.doubt_rules
        self._over = asyncio.Event()
        self._nap: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._lost, self._waits = "start", ""  # why the gateway is not ready, and why the account allows no quotes
        self._unread, self._step_us = parts.unread, 0
        self._held_us: int | None = None  # since when no step is made, since the process was stopped
        self._late = ""  # why quotes are pulled meanwhile

    # ------------------------------------------------------------------ the market and the clock

    def feed(self, events: "Iterable[FeedEvent]") -> None:
        events = tuple(events)
        self._steps.fed(len(events))
        self._show(self._market.without_us(events))
        self.act()

    def _show(self, events: "tuple[FeedEvent, ...]") -> None:
        try:
            self._heard(events)
            self._step(self._engine.feed, events)
        except Exception as error:
            self._fail(error)
            raise

    def _note(self, what: str, *given: object, us: int | None = None) -> None:
        """Note what the engine, or the market without our orders, is told; *us* is when, None for now."""
        self._steps.note(max(self._clock() if us is None else us, self._engine.now_us), what, *given)

    def _correct(self, what: str, *given: int) -> None:
        """Tell the market about an order of ours; a correction of the book that follows is shown."""
        self._note(what, *given)
        event: FeedEvent | None = getattr(self._market, what)(*given)
        if event is not None:
            with suppress(Exception):  # as for fills: `run` raises it
                self._show((event,))

    def advance(self, until_us: int) -> None:
        self.act(until_us)

    def act(self, us: int | None = None) -> None:
        if self.ended is not None:
            return
        us = self._clock() if us is None else us
        if self._is_held(us):
            return
        try:
            self.allow()
            if self._engine.next_due_us <= us:
                self._steps.step(max(us, self._engine.now_us))
            messages = self._step(self._engine.advance, us)
            if messages:
                self._send(messages, us)
            self._decided()
        except Exception as error:
            self._fail(error)
            raise
        if self._engine.manager.killed_for is not None:
            self.end(KILL)

    def _is_held(self, us: int) -> bool:
        """The process was stopped, and what came meanwhile has not been read: no step is made.

        If reading takes long, the quotes are pulled until it is done.
        """
        before_us, self._step_us = self._step_us, us
        if self._held_us is None and before_us and us - before_us > STOPPED_US:
            self._held_us = us
        if self._held_us is None:
            return False
        if not self._unread():
            self._held_us = None
            if self._late:
                self._late = ""
                self._pull_or_resume()
            return False
        if us - self._held_us <= HELD_MOST_US:
            return True
        if not self._late:
            self._late = UNREAD
            self._log.warning("messages_unread", since_ms=(us - self._held_us) // 1_000)
            self._pull_or_resume()
        return False

    def caught_up(self) -> bool:
        """Make a step; whether orders may leave."""
        self.act()
        return self._held_us is None or self.ended is not None

    def _step(self, play: Callable[[_Given], _Found], given: _Given) -> _Found:
        begin_step(self._model)
        try:
            found = play(given)
        except BaseException:
            clear_step()
            raise
        end_step(self._model)
        return found

    async def run(self) -> str:
        loop, look_s = asyncio.get_running_loop(), 0.0
        while self.ended is None:
            us, now_s = self._clock(), loop.time()
            if now_s >= look_s:
                look_s = now_s + MAX_WAIT_S
                try:
                    why = self._watch(us)
                except Exception as error:
                    self._fail(error)
                    raise
                if why is not None:
                    self.end(why)
                    break
                if not OF_RULES.isdisjoint(self._engine.manager.withheld_for):
                    self._doubt_rules()
            self.act(us)
            due_s = max((self._engine.next_due_us - us) / US_PER_S, MIN_WAIT_S)
            self._nap = loop.create_future()
            timer = loop.call_at(min(now_s + due_s, look_s), self._wake)
            await self._nap
            timer.cancel()
        if self._failure is not None:
            raise self._failure
        return self.ended or ""

    @property
    def lost(self) -> str:
        why = self._lost or self._late or self._engine.closed_for  # silence is no trouble of a closed market
        if why or not any(self._engine.best):
            return why or "no valid book"
        return self._engine.manager.limited_for or ""

    async def over(self) -> None:
        await self._over.wait()

    def end(self, why: str) -> None:
        """The first reason is kept."""
        if self.ended is None:
            self.ended = why
            self._over.set()
            self._wake()
            self._announce(why)

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        self.end(FAILED)

    def _wake(self) -> None:
        if self._nap is not None and not self._nap.done():
            self._nap.set_result(None)

    # ------------------------------------------------------------------ to the gateway

    def _send(self, messages: list[Message], us: int) -> None:
        """A cancel directly followed by an order of its side is sent as one replacement."""
        gateway, at, count = self._gateway, 0, len(messages)
        while at < count:
            action, order_id, side, ticks, lots, _ = messages[at]
            at += 1
            if action == "amend":
                gateway.amend(order_id, short_text(lots * self._grid.lot_e8))
            elif action == "move":
                action, price = "amend", short_text(ticks * self._grid.tick_e8)
                self._correct("moving", order_id, ticks, lots)
                gateway.amend(order_id, short_text(lots * self._grid.lot_e8), price)
            elif action == "place":
                gateway.place(order_id, *self._terms(messages[at - 1]))
            elif at < count and messages[at][0] == "place" and messages[at][2] == side:
                action, new_id = "replace", messages[at][1]
                self._correct("leaving", order_id)
                gateway.replace(order_id, new_id, *self._terms(messages[at]))
                order_id, at = new_id, at + 1
            else:
                self._correct("leaving", order_id)
                gateway.cancel(order_id)
            self._notify(action, order_id, us)

    def _terms(self, message: Message) -> tuple[int, str, str, str]:
        _, order_id, side, ticks, lots, kind = message
        if kind in RESTING_KINDS:
            self._correct("sent", order_id, side, ticks, lots)
        return side, short_text(ticks * self._grid.tick_e8), short_text(lots * self._grid.lot_e8), kind

    def _notify(self, action: str, order_id: int, us: int) -> None:
        if self._observer is not None:
            self._observer.order(action, order_id, us)

    # ------------------------------------------------------------------ from the gateway

    def accepted(self, order_id: int, us: int, exchange_id: int) -> None:  # noqa: ARG002 - the listener's signature
        self.accepted_us.setdefault(order_id, us)
        self._note("accepted", order_id, us=us)
        self._engine.accepted(order_id, us)
        self._notify("accepted", order_id, us)

    def in_book(self, order_id: int, exchange_us: int, left_e8: int) -> None:
        self._correct("known", order_id, exchange_us, left_e8 // self._grid.lot_e8)

    def rejected(self, order_id: int, us: int, side: int, refusal: Refusal) -> None:
        self._correct("never", order_id)
        reason = reason_of(refusal, side)
        self._note("rejected", order_id, reason, us=us)
        self._engine.rejected(order_id, us, reason)
        self._notify("rejected", order_id, us)
        if self._observer is not None:
            self._observer.rejected(reason, refusal.code, refusal.message)

    def paused(self, side: int, seconds: float) -> None:
        until_us = self._clock() + round(seconds * US_PER_S)
        self._note("hold", side, until_us)
        self._engine.hold(side, until_us)

    def filled(self, order_id: int, fill: AccountFill) -> None:
        us = self._clock()
        if self._single_trades:
            self._correct("traded", fill.trade_id)
        if not self._account.book(order_id, fill, us):
            return
        if self._observer is not None:
            self._observer.filled(fill, order_id, us)
        # Raised through the connection that reported the fill, an error would only close that; `run` raises it.
        with suppress(Exception):
            self.act(us)

    def closed(self, order_id: int, us: int, status: str) -> None:
        self._note("closed", order_id, status == "EXPIRED", us=us)
        self._engine.closed(order_id, us, status == "EXPIRED")
        self._notify(status.lower(), order_id, us)

    def cancel_failed(self, order_id: int, us: int, code: int) -> None:
        self._correct("stays", order_id)
        self._note("open_again", order_id)
        self._engine.open_again(order_id)
        self._log.warning("cancel_failed", order_id=order_id, code=code, at_us=us)

    def amended(self, order_id: int, us: int, qty: str, price: str = "", exchange_us: int = 0) -> None:
        if price:
            self._correct("moved", order_id, exchange_us)
        lots, ticks = e8(qty) // self._grid.lot_e8, self._grid.ticks(price) if price else 0
        self._note("amended", order_id, lots, ticks, us=us)
        self._engine.amended(order_id, us, lots, ticks)

    def amend_failed(self, order_id: int, us: int, refusal: Refusal) -> None:
        """An amendment that the exchange refuses for the order's sake is not retried."""
        self._correct("moved_not", order_id)
        given = order_id, refusal.why not in OF_THE_LIMITS, reason_of(refusal, 1)
        self._note("amend_failed", *given, us=self._engine.now_us)
        self._engine.amend_failed(*given)
        self._log.info("amend_failed", order_id=order_id, code=refusal.code, message=refusal.message, at_us=us)

    def untraded(self) -> None:
        """The symbol is halted: quotes end until it trades again."""
        self._ask_status()

    def funds(self, base_e8: int, quote_e8: int) -> None:
        held = min(base_e8 // self._grid.lot_e8, _MOST), min(quote_e8, _MOST)
        self._note("funds", *held)
        self._engine.funds(*held)

    def transferred(self, found: Transfer) -> None:  # noqa: ARG002 - the listener's signature
        self._account.transferred()
        if self._observer is not None:
            self._observer.transferred(self._clock())

    def paid(self, found: PositionIncome) -> None:
        us = self._clock()
        self._account.pay(found, us, self._target_lots)
        if self._observer is not None:
            self._observer.paid(found, us)

    def position(self, found: PositionSeen) -> None:
        if self._observer is not None:
            self._observer.contract.position = found

    def margin(self, found: MarginSeen) -> None:
        if self._observer is not None:
            self._observer.contract.margin = found

    def fee_rates(self, maker_e8: int, taker_e8: int) -> None:
        if self._observer:
            self._observer.metrics.fees_e8 = maker_e8, taker_e8

    def margin_called(self, us: int) -> None:  # noqa: ARG002 - the listener's signature
        if self._observer is not None:
            self._observer.contract.margin_calls += 1

    def forced(self, what: str) -> None:
        if self._observer is not None:
            self._observer.contract.forced[what] += 1

    def reduce_only(self, *, on: bool) -> None:
        us = self._clock()
        self._note("reduce_only", on, us=us)
        self._engine.reduce_only(on, us)
        self.act()

    def trading_rules(self, found: Sequence[RuleSeen]) -> None:
        if self._observer is not None:
            self._observer.contract.rules = found

    def protective_stop(self, trigger_e8: int | None) -> None:
        if self._observer is not None:
            self._observer.contract.stop_e8 = trigger_e8

    def countdown(self, until_us: int) -> None:
        if self._observer is not None:
            self._observer.contract.countdown_us = until_us

    def balances(self, held: Balances) -> None:  # noqa: ARG002 - the listener's signature
        if self._observer is not None:
            self._observer.metrics.account_us = self._clock()

    def ready_changed(self, ready: bool, why: str) -> None:
        if ready:
            self._log.info("gateway_ready")
        else:
            log = self._log.warning if self.ended is None else self._log.info
            log("gateway_lost", why=why)
        self._lost = "" if ready else f"gateway: {why}"
        us = self._clock()
        self._note("set_reached", ready, us=us)
        self._engine.set_reached(ready, us)
        self._pull_or_resume()
        self.act()

    def allow(self) -> None:
        why = self._allow()
        if why != self._waits:
            self._waits = why
            self._pull_or_resume()

    def _pull_or_resume(self) -> None:
        us, why = self._clock(), self._lost or self._late or self._waits or self._engine.closed_for
        if why:
            self._note("pull", why, us=us)
            self._engine.pull(why, us)
        else:
            self._note("resume", us=us)
            self._engine.manager.resume()

    def ack_latency(self, action: str, seconds: float) -> None:  # noqa: ARG002 - the listener's signature
        if self._observer is not None:
            self._observer.metrics.ack.observe(seconds)
