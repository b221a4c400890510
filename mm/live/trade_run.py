"""One trade from start to end: exchange, audit log, gateway, engine and recording.

The order of a start: the exchange's terms of the symbol; the audit logs of earlier runs; row 1 of this run's log; the
gateway, which reconciles; the account; the engine; the market. An end is in reverse order, without placing orders.
"""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mm.clock import now_us
from mm.errors import MMError, SafetyError, TryLater
from mm.instrument import Instrument, decimal_text, e8, from_exchange_info
from mm.live.account_check import AccountCheck
from mm.live.audit import AuditLog, audit_path
from mm.live.audit_books import BOOKS
from mm.live.decisions import DecisionLags
from mm.live.desk import Play, TradeDesk
from mm.live.gateway import Gateway, GatewayRun, Surroundings
from mm.live.kill_switch import KillSwitch
from mm.live.ledger import Ledger
from mm.live.metrics import TradingMetrics
from mm.live.order_access import OrderAccess
from mm.live.other_markets import NO_MARKETS, record_together
from mm.live.play import TradeFollower, TradePlay, TradeStart
from mm.live.state import StateWriter
from mm.live.state_stores import StateStores, state_writer
from mm.live.terms import REGRIDDED, PaperKnobs, ShadowTerms
from mm.live.trade_files import with_acceptances
from mm.live.trade_history import ACCOUNT, ADOPTED, EquityFile, LedgerBegin, RunHistory, read_history
from mm.live.trade_venue import Trading
from mm.live.trader import KILL, TradeAccount, Trader, TraderParts
from mm.market_data.days import is_of_disk
from mm.market_data.health import Health
from mm.market_data.monitor import Monitor
from mm.market_data.rate_budget import shared_path
from mm.market_data.recording import Parts, Recording

if TYPE_CHECKING:
    from mm.backtest.result import Result
    from mm.cli.config import Day
    from mm.live.keys import Credentials
    from mm.live.order_access import VenueUrls
    from mm.runs.in_progress import Run

MANUAL = "triggered manually"
AUDIT_FAILED, DISK_FAILED, VENUE_RESET, KEY_REFUSED = "audit", "disk", "venue_reset", "key_refused"
WRITER_S = 2.0


@dataclass(frozen=True, kw_only=True)
class TradeKnobs:
    """The knobs of a trade."""

    trading: Trading
    access: OrderAccess
    stores: StateStores
    strategy: PaperKnobs
    out_root: Path


@dataclass(frozen=True)
class TradeEnd:
    """The result of a trade.

    Attributes:
        reason: Why it ended: ``kill``, ``audit``, ``disk``, ``grid``, ``venue_reset``, ``key_refused``, a signal, or
            ``window_end``.
        killed_for: Why it was killed; None if it was not.
        refused: The disk's error for rows of the audit log or the day, or the error of a changed grid or a reset venue;
            None if it could have continued.
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

    def result(self) -> "Result":
        """Return the result as that of a backtest."""

        journal = with_acceptances(self.play.engine.journal(), self.trader.accepted_us)
        ended = {"reason": self.reason, "why": self.why}
        return self.play.result(journal, ended, self.account.unvalued())


class TradeRun:
    """A trade of one symbol at one venue.

    Args:
        run: Its folder and log.
        knobs: Its knobs.
        urls: Addresses of the venue.
        credentials: Key of the account.
        parts: Parts of the recording.
        clock: Returns the instant, in µs.

    Attributes:
        desk: Its public view; None before the engine starts.
        beside: The other markets that its strategy sees.
        metrics: The metrics for Prometheus.
    """

    def __init__(
        self,
        run: "Run",
        knobs: TradeKnobs,
        urls: "VenueUrls",
        credentials: "Credentials",
        parts: Parts,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self.desk: TradeDesk | None = None
        self.beside = NO_MARKETS
        self.metrics = TradingMetrics(parts.days.symbol, clock)
        self._run, self._knobs, self._parts, self._clock = run, knobs, parts, clock
        self._urls, self._credentials = urls, credentials
        self._symbol = parts.days.symbol
        self._switch = KillSwitch(knobs.out_root, self._symbol)
        self._equity = EquityFile(knobs.out_root, self._symbol, knobs.trading.venue)
        self._marks: tuple[int | None, int | None] = (None, None)
        self._trader: Trader | None = None
        self._recording: Recording | None = None
        self._regridded: TryLater | None = None
        self._reset: MMError | None = None
        self._stopped = ""
        self._stop_wanted = asyncio.Event()

    @property
    def sync(self) -> bool:
        """Whether an order waits until its intent is on disk."""
        trading = self._knobs.trading
        return trading.venue != "box" if trading.audit_sync is None else trading.audit_sync

    def fitted(self, terms: ShadowTerms, day: "Day") -> ShadowTerms:
        """Return the terms with the strategy's data from the days before *day*."""
        return terms.fitted(self._knobs.strategy, day, self._run)

    def check(self) -> None:
        """Raise SafetyError if the kill switch is triggered."""
        if self._switch.triggered:
            raise SafetyError(self._switch.line())

    def stop(self, reason: str) -> None:
        """End the trade in order; *reason* is a signal's name. May be called at any time."""
        self._stopped = self._stopped or reason
        self._stop_wanted.set()
        if self._trader:
            self._trader.end(reason)

    def kill(self, reason: str) -> None:
        """Trigger the kill switch, which ends the trade."""
        self._switch.trigger(reason, self._clock())
        self._stop_wanted.set()
        if self._trader:
            self._trader.end(KILL)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Exclude other traders of this user from the same symbol and account until the block ends.

        Raises:
            TryLater: If there is one already.
        """
        path = self._lock_path(self._symbol)
        if path is None:
            yield
            return
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise TryLater(
                    f"another trader of {self._symbol} runs on this account; stop it first, or trade another symbol"
                ) from None
            yield
        finally:
            os.close(descriptor)

    def _lock_path(self, symbol: str) -> Path | None:
        account = hashlib.sha256(self._credentials.key.encode()).hexdigest()[:16]
        return shared_path("trader", f"{urlsplit(self._urls.rest).netloc}-{account}-{symbol}")

    def _account_check(self, history: RunHistory, instrument: Instrument) -> AccountCheck:
        """Return the check of the balances, without assets that this host's traders of other symbols trade too."""
        path = self._lock_path("")
        names = [one.stem.removeprefix(path.stem) for one in path.parent.glob(f"{path.stem}*")] if path else []
        others = [name for name in names if name != self._symbol]
        assets = instrument.base_asset, instrument.quote_asset
        left_out = [asset for asset in assets if any(asset in name for name in others)]
        if left_out:
            self._run.log.info("balances_shared", assets=left_out, symbols=others, note="they are not compared")
        adopts = self._knobs.access.adopt
        return AccountCheck(instrument, history.balances_e8, adopts=adopts, left_out=left_out)

    async def trade(self, terms: ShadowTerms) -> TradeEnd:
        """Trade until a signal, a kill, the end of the window, or another end of the recording.

        Raises:
            SafetyError: If the kill switch is triggered.
            UsageError: If the exchange does not accept the key.
            DataError: If the symbol does not trade, an audit log cannot be read, or the venue was reset.
            TryLater: If the exchange cannot be reached, or the audit log cannot be written at the start.
        """
        self.check()
        knobs, instrument = self._knobs, from_exchange_info(terms.entry, "exchangeInfo")
        path = audit_path(knobs.out_root, self._symbol, terms.day, self._run.id)
        self._marks = self._equity.read(self._clock())
        history = read_history(path.parent, self._symbol, knobs.trading.venue, self._clock(), self._equity.written)
        audit = AuditLog(path, sync=self.sync, clock=self._clock)
        try:
            await self._begin_log(audit, instrument, history)
            check = self._account_check(history, instrument)
            run, around = self._gateway_run(history, check), Surroundings(clock=self._clock)
            gateway = Gateway(self._urls, self._credentials, run, None, audit, log=self._run.log, around=around)
            try:
                await self._ready(gateway)
                end = await self._with_gateway(terms, history, check, audit, gateway)
            finally:
                await gateway.stop()
                audit.append("stop", reason=self._reason(), **self._position())
        except BaseException:
            audit.close()
            raise
        try:
            audit.close()
            self._equity.log_ended(audit.end)
        except TryLater as error:
            return replace(end, refused=error)
        except OSError as error:
            self._run.log.warning("equity_not_kept", error=str(error), note="the end of the audit log is not in it")
        return end

    async def _ready(self, gateway: Gateway) -> None:
        """Wait until orders can be sent; raises if the trade is stopped or killed before that."""
        starting, stopping = asyncio.ensure_future(gateway.start()), asyncio.ensure_future(self._stop_wanted.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                return
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
            self._run.id,
            venue=self._knobs.trading.venue,
            initial_inventory=self._knobs.strategy.account.initial_inventory,
            knobs=self._given(),
            **{BOOKS: history.kept()},
        )
        await audit.synced(row)

    def _given(self) -> dict[str, Any]:
        """Return the run's knobs."""
        return {name: value["value"] for name, value in self._run.about.knobs.items()}

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
            self._run.log.info("knobs_changed", knobs=sorted(changed))

    def _desk(
        self, play: TradePlay, account: TradeAccount, begin: LedgerBegin, audit: AuditLog, writer: StateWriter
    ) -> TradeDesk:
        self.desk = TradeDesk(self.metrics, play, account, begin=begin, audit=audit, writer=writer, log=self._run.log)
        return self.desk

    def _gateway_run(self, history: RunHistory, check: AccountCheck) -> GatewayRun:
        ledger = history.books.ledger
        return GatewayRun(
            symbol=self._symbol,
            run_id=self._run.id,
            access=self._knobs.access,
            sync=self.sync,
            earlier=history.books.open_orders(),
            booked=history.booked,
            last_trade_id=history.last_trade_id,
            position_e8=ledger.position_e8 if ledger and ledger.fills == len(ledger.booked) else None,
            account=check,
        )

    async def _with_gateway(
        self,
        terms: ShadowTerms,
        history: RunHistory,
        check: AccountCheck,
        audit: AuditLog,
        gateway: Gateway,
    ) -> TradeEnd:
        """Trade on a gateway that is ready."""
        knobs, grid = self._knobs, gateway.instrument
        begin = history.begin or self._begin_ledger(audit, terms, check, history.books.ledger)
        if any(check.adopted_e8):
            self._note_adopted(check, audit)
        self._note_changed_knobs(history, audit)
        inventory_e8 = e8(knobs.strategy.account.initial_inventory)
        ledger = history.books.ledger or Ledger(grid)
        start = TradeStart(
            position_e8=inventory_e8 + ledger.position_e8,
            cash_e8=begin.quote_e8 + ledger.cash_e8 - ledger.other_e8 - ledger.most_e8,
            added_e8=begin.added_e8(inventory_e8),
            day_e8=self._marks[0],
            peak_e8=self._marks[1],
            clean_days=history.clean_days,
        )
        play = TradePlay(terms, knobs.strategy, start, self._run, self.beside.feeds())
        play.engine.manager.pull("start")
        account = TradeAccount(play.engine, ledger, play.grid, (inventory_e8, begin.quote_e8))
        writer = state_writer(knobs.stores, knobs.out_root, self._symbol, audit, self._run.log.warning)
        desk = self._desk(play, account, begin, audit, writer)
        lags = DecisionLags(lambda: play.engine.decisions, self._clock)
        parts = TraderParts(
            engine=play.engine,
            grid=play.grid,
            account=account,
            log=self._run.log,
            observer=desk,
            watch=lambda us: self._watch(us, audit, desk, terms, gateway),
            decided=lags.note,
            clock=self._clock,
        )
        trader = self._trader = Trader(parts, gateway)
        try:
            follower = TradeFollower(trader, play.grid, desk.market)
            gateway.attach(trader)
            if self._stopped:
                trader.end(self._stopped)
            others = self.beside.recordings(play.engine, self._run.log, self._clock)
            reason, unrecorded = await self._record(trader, (follower, others), gateway, audit)
        finally:
            desk.refresh(self._clock())
            self._keep_last_marks(play, audit)
            await asyncio.to_thread(writer.close, WRITER_S)
        killed = self._killed_for(play) if reason == KILL else None
        return TradeEnd(reason, killed, self._refused(audit, unrecorded), play, account, trader, lags)

    def _note_adopted(self, check: AccountCheck, audit: AuditLog) -> None:
        """Write a row with the difference of the account that is accepted."""
        base, quote = map(decimal_text, check.adopted_e8)
        audit.append("params", knobs=self._given(), **{ADOPTED: {"base": base, "quote": quote}})
        self._run.log.warning("account_adopted", base=base, quote=quote)

    def _begin_ledger(
        self, audit: AuditLog, terms: ShadowTerms, check: AccountCheck, ledger: Ledger | None
    ) -> LedgerBegin:
        """Write a row with the account at the start of the ledger, which a killed run may have begun without one."""
        base_e8, quote_e8 = check.begin_e8 or (0, 0)
        if ledger is not None:
            base_e8, quote_e8 = base_e8 - ledger.position_e8, quote_e8 - ledger.cash_e8
        prices = [e8(price) for price in (terms.best_bid, terms.best_ask) if price]
        if not prices:
            raise TryLater(f"the book of {self._symbol} is empty: there is no price to value the account at; try later")
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
        recording = self._recording = Recording(replace(self._parts, follower=follower), self._run.log, self._clock)
        recorded = asyncio.create_task(self._recorded(recording, others))
        ended = asyncio.create_task(trader.over())
        await asyncio.wait({recorded, ended}, return_when=asyncio.FIRST_COMPLETED)
        if recorded.done():
            error = recorded.exception()
            trader.end(DISK_FAILED if is_of_disk(error) else "recording_failed" if error else "window_end")
        ended.cancel()
        reason = trader.ended or "error"
        if reason == KILL:
            self._kill(gateway, audit)
        recording.stop(reason)
        orders = asyncio.create_task(gateway.stop())
        await asyncio.wait({recorded, orders})
        orders.result()
        for report in recording.reports:
            self._run.print(report.line())
            self._run.print(report.path)
        error = recorded.exception()
        if is_of_disk(error):
            return reason, error
        recorded.result()
        return reason, None

    async def _recorded(self, recording: Recording, others: list[Recording]) -> None:
        """Record, with a health file next to the day's files; the other markets beside."""
        rest = self._parts.rest.rest
        monitor = Monitor(Health(self._symbol, self._parts.days.run_id, rest), rest)
        async with monitor.watching(recording, "127.0.0.1", 0):
            await record_together(recording, others)

    def _kill(self, gateway: Gateway, audit: AuditLog) -> None:
        """Cancel everything and place nothing any more; the switch stays triggered."""
        reason = self._killed_for(self.desk.play if self.desk else None)
        if self.desk:
            self.desk.update(self._clock())
            if self.desk.play.engine.manager.killed_for is None:
                self.desk.play.engine.manager.kill(reason)
        audit.append("kill", reason=reason)
        gateway.cancel_all()
        self._switch.trigger(reason, self._clock())
        self._run.log.error("killed", reason=reason, open_orders=gateway.open_orders)
        if self.desk:
            self.desk.metrics.killed(True)

    def _killed_for(self, play: Play | None) -> str:
        by_limit = play.engine.manager.killed_for if play else None
        return by_limit or self._switch.why() or MANUAL

    def _watch(self, us: int, audit: AuditLog, desk: TradeDesk, terms: ShadowTerms, gateway: Gateway) -> str | None:
        """Return why trading must end; called many times per second."""
        desk.update(us)
        self._keep_marks(desk.play, audit)
        if self._switch.triggered:
            return KILL
        if audit.failure is not None:
            return AUDIT_FAILED
        self._reset = gateway.reset or gateway.key_refused
        if self._reset:
            return KEY_REFUSED if gateway.key_refused else VENUE_RESET
        self._regridded = terms.regridded(self._recording.session if self._recording else None)
        return REGRIDDED if self._regridded else None

    def _refused(self, audit: AuditLog, unrecorded: OSError | None) -> MMError | None:
        """Return why it cannot continue: rows that the disk refused, including later ones, or another grid."""
        if audit.failure is not None:
            return TryLater(f"{audit.path}: the disk refused rows of the audit log ({audit.failure}); make room")
        if unrecorded is not None:
            return TryLater(f"the day can no longer be recorded ({unrecorded}); make room on the disk")
        return self._reset or self._regridded

    def _keep_last_marks(self, play: TradePlay, audit: AuditLog) -> None:
        try:
            self._keep_marks(play, audit, at_once=True)
        except OSError as error:
            self._run.log.warning(
                "equity_not_kept", error=str(error), note="see the fills of this day in the audit log"
            )

    def _keep_marks(self, play: Play, audit: AuditLog, *, at_once: bool = False) -> None:
        equity_e8, day_e8, peak_e8 = play.engine.manager.guard.equities_e8()
        if equity_e8:
            self._equity.keep(self._clock(), day_e8, peak_e8, audit.end, at_once=at_once)
