"""One trade from start to end: exchange, audit log, gateway, engine and recording.

The order of a start: the exchange's terms of the symbol; the audit logs of earlier runs; row 1 of this run's log; the
gateway, which reconciles; the account; the engine; the market. An end is in reverse order, without placing orders.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from mm.backtest.result import LEGS
from mm.backtest.summary_text import text_of
from mm.base.audit_chain import audit_path
from mm.clock import day_of
from mm.errors import Incomplete, MMError, TryLater, UsageError
from mm.instrument import E8, Instrument, decimal_text, e8, from_exchange_info, short_text
from mm.live.account.check import AccountCheck
from mm.live.account.ledger import Ledger, transfers_value_e8
from mm.live.account.limits import LOSS, Account, AccountSymbol
from mm.live.account.locks import TraderLocks
from mm.live.audit.books import BOOKS
from mm.live.audit.history import (
    ACCOUNT,
    MARK,
    EquityFile,
    EquityMarks,
    LedgerBegin,
    RunHistory,
    marks_at,
    read_history,
)
from mm.live.audit.log import AuditLog
from mm.live.knobs import OrderAccess, Trading
from mm.live.orders.access import GatewayRun
from mm.live.orders.gateway import START_S, Gateway
from mm.live.run.decisions import DecisionLags, decisions_name, decisions_of, write_decisions
from mm.live.run.desk import TradeDesk
from mm.live.run.live_run import LiveRun
from mm.live.run.other_markets import EngineTaker, OtherFollower, feeds_of, recordings
from mm.live.run.play import TradeFollower, TradePlay, TradeStart
from mm.live.run.terms import REGRIDDED, ShadowTerms
from mm.live.run.trade_files import with_acceptances, write_fills, write_state
from mm.live.run.trader import KILL, TradeAccount, Trader, TraderParts
from mm.live.state.stores import StateStores, state_writer
from mm.live.state.writer import StateWriter
from mm.market_data.days import is_of_disk
from mm.market_data.recording import Parts, Recording
from mm.play.setup import PlayKnobs

if TYPE_CHECKING:
    from mm.backtest.live_feed import FeedEvent
    from mm.backtest.result import Result
    from mm.live.knobs import VenueUrls
    from mm.live.run.leg_run import LegRun
    from mm.live.venues.keys import Credentials
    from mm.play.knobs import Day
    from mm.runs.in_progress import Run

_Found = TypeVar("_Found")
KILLED = 5
MANUAL = "triggered manually"
AUDIT_FAILED, DISK_FAILED, VENUE_RESET, KEY_REFUSED, GATEWAY_FAILED = "audit", "disk", "venue_reset", "key", "gateway"
WRITER_S, SETTLE_S = 2.0, 0.02


@dataclass(frozen=True, kw_only=True)
class TradeKnobs:
    """The knobs of a trade, addresses of the venue, and the key of the account."""

    urls: "VenueUrls"
    credentials: "Credentials"
    trading: Trading
    access: OrderAccess
    stores: StateStores
    strategy: PlayKnobs


@dataclass(frozen=True)
class TradeEnd:
    """The result of a trade.

    Attributes:
        reason: Why it ended: ``kill``, ``audit``, ``disk``, ``grid``, ``venue_reset``, ``key``, ``gateway``, a signal,
            the end of another symbol, or ``window_end``.
        killed_for: Why it was killed; None if it was not.
        refused: The disk's error for rows of the audit log or the day, or the error of a changed grid, a reset venue, a
            revoked key or a failed gateway; None if it could have continued.
        play: The strategy.
        account: Position and cash.
        trader: Has the acceptance time of each order.
        lags: The lag of each decision.
    """

    reason: str
    killed_for: str | None
    refused: MMError | None
    play: TradePlay
    account: TradeAccount
    trader: Trader
    lags: DecisionLags

    @property
    def why(self) -> str | None:
        """Why it ended early, as text; None if it ended normally."""
        killed = [f"killed: {self.killed_for}"] if self.killed_for is not None else []
        return "; ".join([*killed, *([str(self.refused)] if self.refused else [])]) or None

    @cached_property
    def result(self) -> "Result":
        """The result as that of a backtest."""
        journal = with_acceptances(self.play.engine.journal(), self.trader.accepted_us)
        ended = {"reason": self.reason, "why": self.why}
        return self.play.result(journal, ended, self.account.unvalued())


class TradeRun(LiveRun):
    """A trade of one symbol at one venue.

    Args:
        run: Its folder and log.
        knobs: Its knobs, addresses and key.
        parts: Parts of the recording.
        day: The recorded day.
        account: All symbols that this process trades, and the limits over them.
        clock: Returns the instant, in µs.

    Attributes:
        desk: Its public view; None before the engine starts.
        end: Its result, once it has ended without an error.
        locks: The files that it holds, alone.
        legs: Other symbols of the account to which its strategy sends orders, by their names in the strategy.
    """

    is_leg = False  # whether the strategy of another symbol sends its orders

    def __init__(
        self,
        run: "Run",
        knobs: TradeKnobs,
        parts: Parts,
        day: "Day",
        account: Account,
        clock: Callable[[], int],
    ) -> None:
        super().__init__(run, knobs.strategy, parts, day, clock)
        self.desk: TradeDesk | None = None
        self.legs: Mapping[str, LegRun] = {}
        self._knobs = knobs
        self._account = account
        account.balances.elsewhere = self._traded_elsewhere
        self.urls, self.credentials = knobs.urls, knobs.credentials
        self.locks = TraderLocks(day.out_root, self.urls.rest, self.credentials.key)
        self._equity = EquityFile(day.out_root, self.symbol, knobs.trading.venue)
        self._marked = ""  # the day whose mark is in the audit log
        self.metrics.unjudged = True
        self._trader: Trader | None = None
        self.end: TradeEnd
        self._lost: MMError | None = None
        self._stopped = self._killed_by = self._unthrown = ""
        self._unkept: OSError | None = None
        self._stop_wanted = asyncio.Event()

    @property
    def sync(self) -> bool:
        """Whether an order waits until its intent is on disk."""
        trading = self._knobs.trading
        return trading.venue != "box" if trading.audit_sync is None else trading.audit_sync

    def stop(self, reason: str) -> None:
        """End the trade in order; *reason* is a signal's name. May be called at any time."""
        self._stopped = self._stopped or reason
        self._stop_wanted.set()
        if self._trader:
            self._trader.end(reason)

    def kill(self, reason: str) -> None:
        """End the trade, and trigger its kill switch: after the cancels, once there are orders."""
        self._killed_by = self._killed_by or reason
        self._stop_wanted.set()
        if self._trader:
            self._trader.end(KILL)
        else:
            self._throw(reason)

    def _throw(self, reason: str) -> None:
        """Trigger the kill switch, also on a disk that refuses it: then the trade ends as killed all the same."""
        try:
            self._switch.trigger(reason, self._clock())
        except OSError as error:
            self._unthrown = f"; its kill switch cannot be written ({error}): nothing prevents the next start"
            self.run.log.error("kill_switch_not_written", reason=reason, error=str(error))

    def alone(self) -> AbstractContextManager[None]:
        """Exclude other traders from the same symbol and account until the block ends; raises TryLater if one runs."""
        return self.locks.alone(self.symbol)

    def _grid(self) -> Instrument:
        """Return the exchange's grid and filters of the symbol."""
        return from_exchange_info(self.terms.entry, "exchangeInfo")

    def _account_check(self, history: RunHistory, instrument: Instrument) -> AccountCheck:
        """Return the check of the balances; other traders of this host may have traded an asset too.

        An asset of several symbols of this process is compared from the start of the process on.
        """
        assets = instrument.base_asset, instrument.quote_asset
        others = sorted(self.locks.symbols() - {self.symbol})
        ours = [name for name in self._account.symbols if name != self.symbol]
        shared = [asset for asset in assets if any(asset in name for name in ours)]
        left_out = [asset for asset in assets if asset not in shared and any(asset in name for name in others)]
        if left_out:
            self.run.log.info("balances_shared", assets=left_out, symbols=others, note="they are not compared")
        return AccountCheck(
            instrument,
            history.begin_e8,
            adopts=self._knobs.access.adopt,
            left_out=left_out,
            shared=(shared, self._account.balances),
            ledger=history.books.ledger,
        )

    def _traded_elsewhere(self) -> bool:
        """Return whether another process trades on this account now."""
        return any(self.locks.is_held(name) for name in self.locks.symbols().difference(self._account.symbols))

    async def play(self) -> None:
        """Trade until a signal, a kill, the end of the window, or another end of the recording.

        Raises:
            SafetyError: If the kill switch is triggered.
            UsageError: If the exchange does not accept the key.
            DataError: If the symbol does not trade, an audit log cannot be read, or the venue was reset.
            TryLater: If the exchange cannot be reached, or the audit log cannot be written at the start.
        """
        self.check()
        knobs, terms, instrument = self._knobs, self.terms, self._grid()
        path = audit_path(self.day.out_root, self.symbol, terms.day, self.run.id)
        self._equity.read(self._clock())
        history = read_history(path.parent, self.symbol, knobs.trading.venue, self._clock(), self._equity.written)
        audit = AuditLog(path, sync=self.sync, clock=self._clock)
        try:
            await self._begin_log(audit, instrument, history)
            history.books.ledger = history.books.ledger or Ledger(instrument)
            check = self._account_check(history, instrument)
            run = self._gateway_run(history, check)
            gateway = Gateway(self._account.session, run, audit, log=self.run.log)
            self.may_rest = True
            try:
                await self._unless_stopped(self._ready(gateway))
                await self._with_gateway(history, check, audit, gateway)
            finally:
                await gateway.stop()
                self._account.left[self.symbol] = gateway.left
                self.may_rest = bool(gateway.left)
                audit.append("stop", reason=self._reason(), **self._position())
        except BaseException:
            audit.close()
            raise
        try:
            audit.close()
            self._equity.log_ended(audit.end)
        except TryLater as error:
            self._ended_early(error)
        except OSError as error:
            self.run.log.warning("equity_not_kept", error=str(error), note="the end of the audit log is not in it")

    async def _ready(self, gateway: Gateway) -> None:
        """Start the gateway, and wait for the end of earlier runs' orders: no limit counts these."""
        await gateway.start()
        for _ in range(round(START_S / SETTLE_S)):
            if not gateway.open_orders or gateway.reset:
                return
            await asyncio.sleep(SETTLE_S)
        raise TryLater(f"{self.symbol}: {gateway.open_orders} orders of earlier runs have not ended; start it again")

    def _ended_early(self, error: TryLater) -> None:
        """Keep that the last rows of the audit log could not be written."""
        self.end = replace(self.end, refused=error)

    async def _unless_stopped(self, work: Coroutine[Any, Any, _Found]) -> _Found:
        """Return the result of a part of the start; raises if the trade is stopped or killed before its end."""
        starting, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self._stop_wanted.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                return starting.result()
        finally:
            for task in (starting, stopping):
                task.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
        self.check()
        raise TryLater(f"stopped ({self._stopped}) before orders could be sent; start it again")

    def _reason(self) -> str:
        return (self._trader.ended if self._trader else None) or self._stopped or "error"

    def _position(self) -> dict[str, str]:
        account = self.desk.account if self.desk else None
        if account is None:
            return {}
        return {"position": decimal_text(account.position_e8), "cash": decimal_text(account.cash_e8)}

    async def _begin_log(self, audit: AuditLog, instrument: Instrument, history: RunHistory) -> None:
        """Write row 1, with the totals of the earlier logs."""
        row = audit.start(
            instrument,
            self.run.id,
            venue=self._knobs.trading.venue,
            initial_inventory=self._knobs.strategy.account.initial_inventory,
            knobs=self._given(),
            **{BOOKS: history.kept()},
        )
        await audit.synced(row)

    def write(self) -> None:
        """Write the results of the trade.

        Raises:
            Incomplete: If it was killed, or the disk refused a part of it; the run folder is whole.
        """
        end, symbol, left = self.end, self.symbol, self._left_text()
        try:
            write_trade(self.run, end, {name: one.end for name, one in self.legs.items() if one.failure is None})
        except OSError as error:
            unwritten = f"nor can the run folder be written ({error})"
            if end.killed_for is not None:
                raise Incomplete(f"{symbol} was {end.why}{self._unthrown}; {unwritten}{left}", KILLED) from error
            if end.refused is None:
                raise
            raise Incomplete(f"{symbol}: {end.refused}; {unwritten}{left}", end.refused.exit_code) from error
        if end.killed_for is not None:
            raise Incomplete(
                f"{symbol} was {end.why}{self._unthrown}; mm risk rearm --symbol {symbol} allows it to trade again"
                f"{left}",
                KILLED,
            )
        if end.refused is not None:
            raise Incomplete(f"{symbol}: trading ended: {end.refused}{left}", end.refused.exit_code)
        if left:
            raise Incomplete(f"{symbol}: trading ended: {end.reason}{left}", TryLater.exit_code)

    def _left_text(self) -> str:
        """Return the end of a message that names the orders of the account which may be open; empty without any."""
        each = self._account.left
        left = {symbol: each[symbol] for symbol in self._account.symbols if each.get(symbol)}
        if not left:
            return ""
        named = ", ".join(order for orders in left.values() for order in orders)
        return f"; may still be open: {named}; mm trade cancel --symbol {','.join(left)}"

    def _given(self) -> dict[str, Any]:
        """Return the run's knobs."""
        return {name: value["value"] for name, value in self.run.about.knobs.items()}

    def _note_changed_knobs(self, history: RunHistory, audit: AuditLog) -> None:
        """Write a row for knobs that have changed since the last start."""
        before, now = history.books.knobs, self._given()
        if before is None:
            return
        changed = {
            name: [before.get(name), now.get(name)]
            for name in sorted(before.keys() | now.keys())
            if before.get(name) != now.get(name)
        }
        if changed:
            audit.append("params", knobs=now, changed=changed)
            self.run.log.info("knobs_changed", knobs=sorted(changed))

    def _desk(
        self, play: TradePlay, account: TradeAccount, begin: LedgerBegin, audit: AuditLog, writer: StateWriter
    ) -> TradeDesk:
        self.desk = TradeDesk(
            *(self.metrics, play.engine, play.rules),
            account=account,
            begin=begin,
            audit=audit,
            writer=writer,
            log=self.run.log,
            is_leg=self.is_leg,
        )
        self.metrics.legs = [one.metrics for one in self.legs.values()]
        return self.desk

    def _gateway_run(self, history: RunHistory, check: AccountCheck) -> GatewayRun:
        return GatewayRun(
            symbol=self.symbol,
            run_id=self.run.id,
            access=self._knobs.access,
            sync=self.sync,
            earlier=history.books.open_orders(),
            booked=history.booked,
            last_trade_id=history.last_trade_id,
            matched_us=history.books.matched_us,
            account=check,
        )

    async def _with_gateway(
        self,
        history: RunHistory,
        check: AccountCheck,
        audit: AuditLog,
        gateway: Gateway,
    ) -> None:
        """Trade on a gateway that is ready."""
        knobs, held, ledger = self._knobs, history.held, history.books.ledger
        assert ledger is not None
        begin = history.begin or self._begin_ledger(audit, self.terms, check)
        self._note_changed_knobs(history, audit)
        inventory_e8 = e8(knobs.strategy.account.initial_inventory)
        transfers_e8 = transfers_value_e8(ledger, begin.mid_e8)
        day_e8, peak_e8 = marks_at(history, self._equity.marks, begin, inventory_e8, transfers_e8)
        start = TradeStart(
            position_e8=inventory_e8 + held.position_e8,
            cash_e8=begin.quote_e8 + held.cash_e8 - held.other_e8 - held.most_e8,
            added_e8=begin.added_e8(inventory_e8) + transfers_e8,
            day_e8=day_e8,
            peak_e8=peak_e8,
            clean_days=history.clean_days,
        )
        play = self._play(start)
        play.engine.manager.pull("start")
        account = TradeAccount(
            play.engine, ledger, play.grid, (inventory_e8, begin.quote_e8), held=held, price_e8=begin.mid_e8
        )
        await self._unless_stopped(self._join(play, start))
        writer = state_writer(knobs.stores, self.day.out_root, self.symbol, audit, self.run.log.warning)
        desk = self._desk(play, account, begin, audit, writer)
        lags = DecisionLags(lambda: play.engine.decisions, self._clock)
        parts = TraderParts(
            engine=play.engine,
            grid=play.grid,
            account=account,
            model=self._strategy.models.quote_model,
            log=self.run.log,
            desk=desk,
            heard=self._heard,
            watch=lambda us: self._watch(us, audit, desk, gateway),
            allow=lambda: self._account.allow(self.symbol),
            decided=lambda: self._decided(lags),
            ended=self._announce_end,
            clock=self._clock,
            single_trades=self.parts.days.trade_stream == "trade",
        )
        trader = self._trader = Trader(parts, gateway)
        self._begun(play, trader)
        try:
            follower = TradeFollower(trader, play.grid, desk.market)
            gateway.attach(trader)
            if self._stopped:
                trader.end(self._stopped)
            feeds = feeds_of(self.others)
            following = {name: OtherFollower(EngineTaker(name, play.engine), feed.grid) for name, feed in feeds.items()}
            others = recordings(self.beside, following, self.run.log, self._clock)
            reason, unrecorded = await self._record(trader, (follower, others), gateway, audit)
        finally:
            await gateway.stop()
            desk.refresh(self._clock())
            self._keep_last_marks(audit)
            await asyncio.to_thread(writer.close, WRITER_S)
        killed = self._killed_for() if reason == KILL else None
        self.end = TradeEnd(reason, killed, self._refused(audit, unrecorded), play, account, trader, lags)

    def _play(self, start: TradeStart) -> TradePlay:
        """Return the strategy, which sees its legs and sends orders to them."""
        feeds = feeds_of({**self.others, **{name: one.terms for name, one in self.legs.items()}})
        play = TradePlay(self.terms, self._strategy, start, self.run, feeds)
        play.engine.manager.take_legs({name: one.leg for name, one in self.legs.items()})
        for name, one in self.legs.items():
            one.leg.heard = partial(play.engine.feed_other, name)
        return play

    def _begun(self, play: TradePlay, trader: Trader) -> None:
        """Let a strategy with legs ask before each order what the limits of the account allow."""
        if self.legs or self.is_leg:
            play.engine.manager.allow = trader.allow

    def _heard(self, events: "tuple[FeedEvent, ...]") -> None:
        """Do nothing: the engine has the events."""

    def _decided(self, lags: DecisionLags) -> None:
        """Note the decision, and send the orders of the legs."""
        lags.note()
        for one in self.legs.values():
            one.leg.send()

    async def _join(self, play: TradePlay, start: TradeStart) -> None:
        """Join the other symbols of the account: none begins before all are known.

        Raises:
            UsageError: If a limit is below one order, so that nothing could be quoted.
        """
        prices = [e8(price) for price in (self.terms.best_bid, self.terms.best_ask) if price]
        self._check_limits(play, start.position_e8, max(prices, default=0))
        await self._account.join(self.symbol, AccountSymbol(play.engine, play.grid))

    def _check_limits(self, play: TradePlay, position_e8: int, price_e8: int) -> None:
        """Raise UsageError if a limit is below one order, at a price of the first book."""
        qty_e8 = play.rules.quote_lots * play.grid.lot_e8
        notional_e8, risk = qty_e8 * price_e8 // E8, self._strategy.risk
        self._account.check_order(self.symbol, notional_e8)
        if risk.max_order_notional is not None and notional_e8 > e8(risk.max_order_notional):
            raise UsageError(
                f"--max-order-notional (MAX_ORDER_NOTIONAL) is {risk.max_order_notional}, less than one order of "
                f"{self.symbol}, {short_text(notional_e8)}: nothing would be quoted; raise it, or lower QUOTE_QTY"
            )
        off_e8 = position_e8 - play.rules.target * play.grid.lot_e8
        if risk.max_position is not None and qty_e8 - abs(off_e8) > e8(risk.max_position):
            raise UsageError(
                f"--max-position (MAX_POSITION) is {risk.max_position}, less than one order of {self.symbol}, "
                f"{short_text(qty_e8)}: nothing would be quoted; raise it, or lower QUOTE_QTY"
            )

    def _announce_end(self, why: str) -> None:
        """End the other symbols too: at a kill they are killed in this very step."""
        self.announce(self._killed_for() if why == KILL else why, why == KILL)

    def _begin_ledger(self, audit: AuditLog, terms: ShadowTerms, check: AccountCheck) -> LedgerBegin:
        """Write a row with the account at the start of the ledger, which a killed run may have begun without one."""
        base_e8, quote_e8 = check.begin_e8 or (0, 0)
        prices = [e8(price) for price in (terms.best_bid, terms.best_ask) if price]
        if not prices:
            raise TryLater(f"the book of {self.symbol} is empty: there is no price to value the account at; try later")
        begin = LedgerBegin(base_e8, quote_e8, sum(prices) // len(prices))
        shown = {"base": decimal_text(base_e8), "quote": decimal_text(quote_e8), "mid": decimal_text(begin.mid_e8)}
        audit.append("params", knobs=self._given(), **{ACCOUNT: shown})
        return begin

    async def _record(
        self, trader: Trader, recorded_by: tuple[TradeFollower, list[Recording]], gateway: Gateway, audit: AuditLog
    ) -> tuple[str, OSError | None]:
        """Record and trade until one of the two ends; end the orders first, then the recording.

        *recorded_by* are the follower of the own market, and the recordings of the others.

        Returns:
            Why it ended, and the disk's error of the recording.
        """
        follower, others = recorded_by
        recording = self._recording = Recording(replace(self.parts, follower=follower), self.run.log, self._clock)
        recorded = asyncio.create_task(self._record_market(recording, others))
        ended = asyncio.create_task(trader.over())
        await asyncio.wait({recorded, ended}, return_when=asyncio.FIRST_COMPLETED)
        if recorded.done():
            error = recorded.exception()
            trader.end(DISK_FAILED if is_of_disk(error) else "recording_failed" if error else "window_end")
        ended.cancel()
        reason = trader.ended or "error"
        if reason == KILL:
            self._kill(gateway, audit)
        orders = asyncio.create_task(gateway.stop())  # before all else, whatever the reason
        await asyncio.sleep(0)
        recording.stop(reason)
        await asyncio.wait({recorded, orders})
        orders.result()
        self._print_days(recording)
        error = recorded.exception()
        if is_of_disk(error):
            return reason, error
        recorded.result()
        return reason, None

    def _kill(self, gateway: Gateway, audit: AuditLog) -> None:
        """Cancel everything and place nothing any more; the switch stays triggered."""
        reason = self._killed_for()
        if self.desk:
            self.desk.update(self._clock())
            if self.desk.engine.manager.killed_for is None:
                self.desk.engine.manager.kill(reason)
        audit.append("kill", reason=reason)
        gateway.cancel_all()
        self._throw(reason)
        self.run.log.error("killed", reason=reason, open_orders=gateway.open_orders)
        if self.desk:
            self.desk.metrics.killed = True

    def _killed_for(self) -> str:
        by_limit = self.desk.engine.manager.killed_for if self.desk else None
        return by_limit or self._switch.why() or self._killed_by or MANUAL

    def _watch(self, us: int, audit: AuditLog, desk: TradeDesk, gateway: Gateway) -> str | None:
        """Return why trading must end; called many times per second."""
        if self._switch.triggered:
            return KILL
        desk.update(us)
        try:
            self._keep_marks(desk, audit)
        except OSError as error:
            self._unkept = error
            return DISK_FAILED
        if loss := self._account.broken_loss():
            desk.breached(us, LOSS, *loss, at_us=us)
            self._killed_by = self._killed_by or LOSS
            return KILL
        if audit.failure is not None:
            return AUDIT_FAILED
        lost = {VENUE_RESET: gateway.reset, KEY_REFUSED: gateway.refused, GATEWAY_FAILED: gateway.failure}
        lost[REGRIDDED] = gateway.regridded
        for why, self._lost in lost.items():
            if self._lost:
                return why
        return REGRIDDED if self._grid_changed() else None

    def _refused(self, audit: AuditLog, unrecorded: OSError | None) -> MMError | None:
        """Return why it cannot continue: rows that the disk refused, including later ones, or another grid."""
        if audit.failure is not None:
            return TryLater(f"{audit.path}: the disk refused rows of the audit log ({audit.failure}); make room")
        if unrecorded is not None:
            return TryLater(f"the day can no longer be recorded ({unrecorded}); make room on the disk")
        if self._unkept is not None:
            return TryLater(f"the disk refuses the marks of the day's equity ({self._unkept}); make room on the disk")
        return self._lost or self._regridded

    def _keep_last_marks(self, audit: AuditLog) -> None:
        try:
            self._keep_marks(self.desk, audit, at_once=True)
        except OSError as error:
            self.run.log.warning("equity_not_kept", error=str(error), note="see the fills of this day in the audit log")

    def _keep_marks(self, desk: TradeDesk | None, audit: AuditLog, *, at_once: bool = False) -> None:
        """Keep the marks of equity, once there is an equity: those of a new day in the audit log too."""
        equities_e8 = desk and desk.engine.manager.guard.equities_e8()
        if not desk or not equities_e8:
            return
        (equity_e8, day_e8, peak_e8), day = equities_e8, day_of(desk.engine.manager.guard.observed_us)
        transfers_e8 = desk.account.transfers_e8
        marks = EquityMarks(
            *(self._knobs.trading.venue, day, day_e8, peak_e8), equity_e8=equity_e8, transfers_e8=transfers_e8
        )
        if marks.day != self._marked and audit.failure is None:
            self._marked = marks.day
            audit.append(MARK, **marks.row())
        self._equity.keep(self._clock(), marks, audit.end, at_once=at_once)


def write_trade(run: "Run", end: TradeEnd, legs: Mapping[str, TradeEnd]) -> None:
    """Write the results of a trade into its run, and those of its legs by name."""
    result = replace(end.result, legs={name: one.result for name, one in legs.items()})
    run.write_result(result)
    _write_account(run, end)
    for name, one in legs.items():
        _write_account(run, one, f"{LEGS}/{name}/")
    decisions, name = decisions_of(result.journal), decisions_name(run.symbol)
    rows = write_decisions(run.path(name), decisions, end.lags.of(decisions).tolist(), end.play.grid)
    run.output(name, rows, digest=False)
    run.print(text_of(result.summary))
    run.print(f"{len(end.account.fills)} fills; trading ended: {end.reason}")


def _write_account(run: "Run", end: TradeEnd, folder: str = "") -> None:
    """Write fills and state as the exchange and the ledger have them, over those of the engine."""
    journal, grid, fills = end.result.journal, end.play.grid, end.account.fills
    names = [f"{folder}{table}_{grid.symbol}.csv" for table in ("fills", "state")]
    run.output(names[0], write_fills(run.path(names[0]), fills, journal.mids, grid))
    run.output(names[1], write_state(run.path(names[1]), journal.state, fills, end.account.start_e8, grid))
