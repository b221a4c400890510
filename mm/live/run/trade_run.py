"""One trade from start to end: exchange, audit log and gateway, and the job that is done with them.

The order of a start: the exchange's terms of the symbol; the audit logs of earlier runs; row 1 of this run's log; the
gateway, which reconciles; the job. An end is in reverse order, without placing orders.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mm.backtest.run_terms import FEE_RATE
from mm.base.audit_chain import audit_folder, audit_path
from mm.errors import DataError, MMError, TryLater
from mm.instrument import Instrument, e8, from_exchange_info, short_text
from mm.live.account.account_check import AccountCheck
from mm.live.account.exchange_account import ExchangeAccount
from mm.live.account.kill_switch import note_none_open
from mm.live.account.ledger import Ledger
from mm.live.account.limits import TradedAccount
from mm.live.account.locks import TraderLocks
from mm.live.account.unreconciled import UnreconciledSince
from mm.live.audit.books import BOOKS, CLIENT_IDS, runs_in, sizing
from mm.live.audit.history import EquityFile, RunHistory, read_history
from mm.live.audit.log import AuditLog
from mm.live.knobs import Contracts, OrderAccess, Trading, account_name
from mm.live.orders.access import ClientIds, GatewayRun
from mm.live.orders.gateway import START_S, Gateway
from mm.live.run.guard import holder_of
from mm.live.run.live_run import LiveRun
from mm.live.run.live_terms import UnlistedSymbol
from mm.live.run.trader import KILL
from mm.live.state.stores import StateStores
from mm.market_data.recording import Parts
from mm.play.setup import PlayKnobs

if TYPE_CHECKING:
    from mm.play.knobs import Day
    from mm.runs.in_progress import Run

_Found = TypeVar("_Found")
SETTLE_S = 0.02
CLOSED_S = 20.0
"""Longest time that a failed start waits for its guardian to close the position, in s."""
IN_ORDER = (KILL, "window_end")
ACCOUNT_FEES = "account"
"""Where a run's knobs come from that the account's commission rates have set."""


@dataclass(frozen=True, kw_only=True)
class TradeKnobs:
    """The knobs of a trade, the account at its exchange, and what tells the symbol from others of the process."""

    key: str
    at: ExchangeAccount
    trading: Trading
    access: OrderAccess
    stores: StateStores
    strategy: PlayKnobs
    contracts: Contracts | None = None

    @property
    def account(self) -> str:
        return account_name(self.trading.venue, self.at.market)


@dataclass(frozen=True)
class OpenTrade:
    """A trade whose gateway is ready."""

    trade: "TradeRun"
    history: RunHistory
    ledger: Ledger
    check: AccountCheck
    audit: AuditLog
    gateway: Gateway


class TradeJob(Protocol):
    """What a trade does with its gateway: `Quote` or `Flatten`."""

    @property
    def quotes(self) -> bool: ...

    @property
    def fits(self) -> bool: ...

    @property
    def ended(self) -> str | None: ...

    @property
    def position(self) -> Mapping[str, str]:
        """Position for the last row of the audit log, as text."""

    async def work(self, opened: OpenTrade) -> None: ...

    def stop(self, reason: str) -> bool:
        """Stop for a signal or `KILL`; return whether something could end."""

    def follows(self, why: str) -> bool: ...

    def log_unwritten(self, error: MMError) -> None: ...

    def write(self, trade: "TradeRun") -> None: ...


class TradeRun(LiveRun):
    """A trade of one symbol at one venue.

    Attributes:
        reconciled: When it last was, in s of the monotonic clock, and the tick; zeros without a gateway, and at an end.
        unreconciled: With FLATTEN_AFTER_S, since when it is not, from the first request of a first start on.
        unthrown: The end of a message that names a kill switch which could not be written.
    """

    def __init__(
        self,
        run: "Run",
        knobs: TradeKnobs,
        parts: Parts,
        day: "Day",
        account: TradedAccount,
        job: TradeJob,
    ) -> None:
        super().__init__(run, knobs.strategy, parts, day, knobs.at.session.around.clock, knobs.key)
        self.job, self.fits = job, job.fits
        self.knobs, self.at = knobs, knobs.at
        self.account = account
        self.at.balances.elsewhere = self._traded_elsewhere
        self.at.session.elsewhere = self._note_elsewhere
        self._elsewhere = set[str]()
        self.locks = TraderLocks(day.out_root, self.at.urls.rest, self.at.credentials.key)
        self.ids = ClientIds(run.id, self.at.session.around.nonce)
        self.equity = EquityFile(day.out_root, self.symbol, knobs.account)
        self.metrics.unjudged = True
        self.stopped = self.killed_by = self.unthrown = ""
        self._given = {name: value["value"] for name, value in run.about.knobs.items()}
        self._stop_wanted = asyncio.Event()
        self._throwing: Thread | None = None
        self._look: Thread | None = None
        self._others = set[str]()
        self._locked_elsewhere = False
        self._history: RunHistory | None = None
        self.reconciled: Callable[[], tuple[float, int]] = lambda: (0.0, 0)
        closes = job.quotes and knobs.contracts is not None and knobs.contracts.flatten_after_s is not None
        self.unreconciled = UnreconciledSince(day.out_root, self.symbol) if closes else None

    @property
    def sync(self) -> bool:
        trading = self.knobs.trading
        return trading.venue != "box" if trading.audit_sync is None else trading.audit_sync

    def stop(self, reason: str) -> None:
        self.stopped = self.stopped or reason
        self._stop_wanted.set()
        self.job.stop(reason)

    def kill(self, reason: str) -> None:
        self.killed_by = self.killed_by or reason
        self._stop_wanted.set()
        if not self.job.stop(KILL):
            self.throw(reason)

    def throw(self, reason: str) -> None:
        """Cancel and end in a thread: orders are still being cancelled, and a disk may be slow."""
        if self._throwing is None:
            self._throwing = Thread(target=self._throw, args=(reason,), name="kill")
            self._throwing.start()

    @contextmanager
    def _forgetting_unreconciled(self) -> Iterator[None]:
        """Leave a position to a person, at an end in order or one for which a person is needed."""
        in_order = False
        try:
            yield
            in_order = self.job.ended in IN_ORDER
        except MMError as error:
            in_order = not isinstance(error, TryLater)
            raise
        finally:
            if self.unreconciled and (in_order or self.killed_by or (self.stopped and not self.follows)):
                self.unreconciled.end()

    async def thrown(self) -> None:
        if self._throwing is not None:
            await asyncio.to_thread(self._throwing.join)

    def _throw(self, reason: str) -> None:
        try:
            self.switch.trigger(reason, self.clock())
        except OSError as error:
            self.unthrown = f"; its kill switch cannot be written ({error}): nothing prevents the next start"
            self.run.log.error("kill_switch_not_written", reason=reason, error=str(error))

    async def learn(self) -> None:
        """Ask for the terms, and prepare; nothing is recorded or sent yet. Raises TryLater or UsageError."""
        if self.unreconciled:
            await asyncio.to_thread(self.unreconciled.begin)
        try:
            with self.under_changed_rules(), self._forgetting_unreconciled():
                await super().learn()
        except UnlistedSymbol as error:
            folder = audit_folder(self.day.out_root, self.symbol)
            if not any(folder.glob("*.ndjson")):
                raise
            raise TryLater(
                f"the exchange does not list {self.symbol} any more, which was traded ({folder}), so no order of it is "
                f"open; ask the exchange what became of a position, and stop the unit of the symbol"
            ) from error

    @property
    def quotes(self) -> bool:
        return self.job.quotes

    def has_traded_with(self, *knobs: str) -> bool:
        """The latest trade that has sent an order had the same values of some `SIZING` knobs; raises DataError."""
        folder = audit_folder(self.day.out_root, self.symbol)
        history = self._history or read_history(folder, self.symbol, self.knobs.account, self.clock())
        before, now = history.books.traded, sizing(self.given())
        return bool(before) and all(before.get(name) == now[name] for name in knobs)

    def alone(self) -> AbstractContextManager[None]:
        return self.locks.alone(holder_of(self.run, self.day, self.knobs.trading.venue, self.at.market))

    def runs_known(self) -> set[str]:
        with suppress(DataError, OSError):  # the start says what is wrong with a log
            return {self.ids.run, *runs_in(audit_folder(self.day.out_root, self.symbol))}
        return {self.ids.run}

    def grid(self) -> Instrument:
        return from_exchange_info(self.terms.entry, "exchangeInfo")

    def _account_check(self, history: RunHistory, instrument: Instrument) -> AccountCheck:
        """Others may trade an asset too, by a lock of theirs or by events of their orders.

        An asset of several symbols of this process is compared from the start of the process on.
        """
        contract = self.knobs.contracts is not None
        assets = instrument.symbol if contract else instrument.base_asset, instrument.quote_asset
        ours = [name for name in self.at.symbols if name != self.symbol]
        shared = [asset for asset in assets if any(asset in name for name in ours)]
        said = list[str]()

        def left_out() -> list[str]:
            others = sorted(self._other_symbols())
            found = [asset for asset in assets if asset not in shared and any(asset in name for name in others)]
            if found != said:
                said[:] = found
                self.run.log.info("balances_shared", assets=found, symbols=others, note="they are not compared")
            return found

        left_out()
        return AccountCheck(
            instrument,
            history.begin_e8,
            adopts=self.knobs.access.adopt,
            left_out=left_out,
            shared=(shared, self.at.balances),
            ledger=history.books.ledger,
        )

    def _note_elsewhere(self, symbol: str) -> None:
        """Note the symbol for later starts too, which may find what was traded while nobody listened."""
        if symbol not in self._elsewhere and symbol not in self.at.symbols:
            self._elsewhere.add(symbol)
            with suppress(OSError):
                self.locks.note(symbol)

    def check(self) -> None:
        """SafetyError if the kill switch is triggered, unless that leaves the job to a person."""
        if self.job.quotes:
            super().check()

    def follow(self, symbol: str, why: str, killed: bool) -> None:
        if self.job.follows(why):
            super().follow(symbol, why, killed)

    def write(self) -> None:
        self.job.write(self)

    def _traded_elsewhere(self) -> bool:
        self._other_symbols()
        return bool(self._elsewhere) or self._locked_elsewhere

    def _other_symbols(self) -> set[str]:
        """Symbols that others trade by their locks, as of the last look.

        After the first one a thread looks, since the disk may stall: the next comparison knows, and three count.
        """
        if self._look is None:
            self._look_at_locks()
        if self._look is None or not self._look.is_alive():
            self._look = Thread(target=self._look_at_locks, daemon=True)
            self._look.start()
        return self._others

    def _look_at_locks(self) -> None:
        self._others = self.locks.symbols().difference(self.at.symbols)
        self._locked_elsewhere = any(map(self.locks.is_held, self._others))

    async def play(self) -> None:
        """Play until a signal, a kill, the end of the window or of the recording; SafetyError, UsageError, DataError or
        TryLater.
        """
        try:
            with self._forgetting_unreconciled():
                await self._play()
        finally:
            await self.thrown()
            if self.recording is None:
                await self.close()

    async def _play(self) -> None:
        await self.thrown()
        self.check()
        knobs, terms, instrument = self.knobs, self.terms, self.grid()
        path = audit_path(self.day.out_root, self.symbol, terms.day, self.run.id)
        self.equity.read(self.clock())
        history = read_history(path.parent, self.symbol, knobs.account, self.clock(), self.equity.written)
        self._history = history
        audit = AuditLog(path, sync=self.sync, clock=self.clock)
        try:
            await self._begin_log(audit, instrument, history)
            of_contract = knobs.contracts is not None
            ledger = history.books.ledger = history.books.ledger or Ledger(instrument, contract=of_contract)
            check = self._account_check(history, instrument)
            run = self._gateway_run(history, check)
            gateway = Gateway(self.at.session, run, audit, log=self.run.log)
            self.may_rest = True
            self.reconciled = lambda: (gateway.reconciled_s, instrument.tick_e8)
            self.metrics.unmanaged = lambda: len(gateway.orders.unmanaged())
            try:
                await self.unless_stopped(self._start(gateway))
                self._take_fees(gateway)
                await self.job.work(OpenTrade(self, history, ledger, check, audit, gateway))
            finally:
                self.reconciled = lambda: (0.0, 0)
                await gateway.stop()
                left = self._leave(audit, gateway.ending.left)
        except BaseException:
            await asyncio.to_thread(audit.close)
            raise
        await asyncio.to_thread(self._end_log, audit, left, unended=bool(gateway.states.open))

    def _leave(self, audit: AuditLog, left: tuple[str, ...]) -> tuple[str, ...]:
        """Say what may rest: in the log, to the guardian, and to all symbols of the process."""
        self.account.left[self.key] = left
        self.may_rest = bool(left)
        audit.append("stop", reason=self.job.ended or self.stopped or "error", open=left, **self.job.position)
        return left

    def _end_log(self, audit: AuditLog, left: tuple[str, ...], *, unended: bool) -> None:
        """*unended*: the log has orders without an end; without one that is *left* the exchange lists none of them."""
        try:
            audit.close()
            if unended and not left:
                note_none_open(self.day.out_root, self.symbol, self.clock())
            self.equity.log_ended(audit.end)
        except MMError as error:
            self.job.log_unwritten(error)
        except OSError as error:
            self.run.log.warning("equity_not_kept", error=str(error), note="the end of the audit log is not in it")

    async def _start(self, gateway: Gateway) -> None:
        """A start that fails for too long leaves the position to the guardian, and waits for it."""
        try:
            await gateway.start()
            await self._settle(gateway)
        except TryLater:
            kept = self.unreconciled
            if kept and not gateway.readiness.contested and await gateway.left_to_guardian():
                with suppress(TimeoutError):
                    async with asyncio.timeout(CLOSED_S):
                        while kept.path.exists():
                            await asyncio.sleep(SETTLE_S)
            raise

    async def _settle(self, gateway: Gateway) -> None:
        for _ in range(round(START_S / SETTLE_S)):
            if not gateway.states.open or gateway.states.reset:
                return
            await asyncio.sleep(SETTLE_S)
        raise TryLater(
            f"{self.symbol}: {len(gateway.states.open)} orders of earlier runs have not ended; start it again"
        )

    def _take_fees(self, gateway: Gateway) -> None:
        log, given, rates = self.run.log, self.strategy.account, gateway.fees.rates
        paid_e8 = gateway.fees.paid_e8
        if paid_e8 is None or rates is None:
            shown = {"maker": given.maker_fee_rate, "taker": given.taker_fee_rate}
            log.warning("fee_rates_unknown", **shown, note="the exchange does not give them; the configured ones count")
            return
        own = dict(zip(("maker_fee_rate", "taker_fee_rate"), map(short_text, paid_e8), strict=True))
        unset: dict[str, Any] = {name: rate for name, rate in own.items() if getattr(given, name) == FEE_RATE}
        for name in own.keys() - unset.keys():
            if e8(getattr(given, name)) != e8(own[name]):
                note = "the account pays its own; leave the knob out to quote by it"
                log.warning(
                    "fee_differs", knob=name.upper(), configured=getattr(given, name), account=own[name], note=note
                )
        self.run.set_knobs(ACCOUNT_FEES, **unset)
        self.strategy = replace(self.strategy, account=replace(given, **unset))
        log.info("account_fees", maker=own["maker_fee_rate"], taker=own["taker_fee_rate"], in_bnb=rates.burns)

    async def unless_stopped(self, work: Coroutine[Any, Any, _Found]) -> _Found:
        """Raises if the trade is stopped or killed before the end of *work*."""
        starting, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self._stop_wanted.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                return starting.result()
        finally:
            for task in (starting, stopping):
                task.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
        await self.thrown()
        self.check()
        raise TryLater(f"stopped ({self.stopped}) before orders could be sent; start it again")

    async def _begin_log(self, audit: AuditLog, instrument: Instrument, history: RunHistory) -> None:
        row = audit.start(
            instrument,
            self.run.id,
            venue=self.knobs.account,
            **{CLIENT_IDS: self.ids.run},
            **({"contract": True} if self.knobs.contracts else {}),
            initial_inventory=self.knobs.strategy.account.initial_inventory,
            knobs=self.given(),
            **{BOOKS: history.kept()},
        )
        if rearm := self.switch.rearmed():
            row = audit.append("rearm", reason=rearm.reason, was=rearm.was, at=rearm.at)
        await audit.synced(row)
        self.switch.rearm_logged()

    def left_text(self) -> str:
        each = self.account.left
        left = {key: each[key] for key in self.account.symbols if each.get(key)}
        if not left:
            return ""
        named = ", ".join(f"{key} {order.partition(' ')[2]}" for key, orders in left.items() for order in orders)
        first = self.account.exchanges[0].symbols
        own = [key for key in left if key in first] or first
        beside = "" if left.keys() <= set(first) else ", with the same OTHERS"
        return f"; may still be open: {named}; mm trade cancel --symbol {','.join(own)}{beside}"

    def given(self) -> dict[str, Any]:
        return self._given

    def note_leverage(self, leverage: int) -> bool:
        """Take the account's leverage for a knob that was left out, for the audit log; return whether it was."""
        left_out = self._given.get("leverage") is None
        self._given["leverage"] = leverage
        return left_out

    def _gateway_run(self, history: RunHistory, check: AccountCheck) -> GatewayRun:
        return GatewayRun(
            symbol=self.symbol,
            run_id=self.run.id,
            access=self.knobs.access,
            earlier=history.books.open_orders(),
            booked=history.booked,
            last_trade_id=history.last_trade_id,
            matched_us=history.books.matched_us,
            begun_us=history.books.begun_us or self.clock(),
            contract=self.knobs.contracts,
            unreconciled=self.unreconciled,
            account=check,
            ids=self.ids,
            runs=history.books.runs,
        )
