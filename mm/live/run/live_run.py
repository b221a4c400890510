"""The runner of shadows and trades: each symbol learns its terms, plays while its market is recorded, and is
written.
"""

import asyncio
import sys
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mm.errors import SafetyError, TryLater
from mm.instrument import e8, from_exchange_info, short_text
from mm.live.account.kill_switch import KillSwitch, SwitchWatch
from mm.live.account.limits import NothingQuotable
from mm.live.pages.symbols_page import SymbolsPage
from mm.live.pages.trading_metrics import TradingMetrics
from mm.live.run.live_terms import ShadowTerms, learn_terms
from mm.live.run.other_markets import record_together
from mm.market_data.health import Health
from mm.market_data.monitor import Monitor
from mm.market_data.recording import Parts, Recording
from mm.play.setup import PlayKnobs

if TYPE_CHECKING:
    from mm.base.doors import Door
    from mm.live.account.limits import TradedAccount
    from mm.live.run.guard import RunGuard
    from mm.play.knobs import Day
    from mm.runs.in_progress import Run
    from mm.terminal.interrupts import TradeSignals


ROUNDED = "rounded to the step"
"""The source of a knob, in the manifest, whose quantity an exchange with a raised step no longer accepts."""


class LiveRun:
    """A shadow or a trade of one symbol.

    Attributes:
        regridded: The error that the exchange has another grid than at the start; None if it has not.
    """

    def __init__(
        self,
        run: "Run",
        strategy: PlayKnobs,
        parts: Parts,
        day: "Day",
        clock: Callable[[], int],
        key: str = "",
    ) -> None:
        self.run, self.symbol, self.day, self.parts = run, parts.days.symbol, day, parts
        self.key = key or self.symbol
        self.metrics = TradingMetrics(self.key, clock)
        self.terms: ShadowTerms
        self.announce: Callable[[str, bool], None] = _nothing
        self.follows = self.may_rest = False
        self.fits = True
        self.beside: Mapping[str, Parts] = {}
        self.own_views: Collection[str] = ()
        self.others: Mapping[str, ShadowTerms] = {}
        self.failure: BaseException | None = None
        self.strategy, self.clock = strategy, clock
        self.switch = KillSwitch(day.out_root, self.symbol, in_folder=self.key != self.symbol)
        self.switch_watch = SwitchWatch(self.switch)
        self.recording: Recording | None = None
        self.regridded: TryLater | None = None

    def check(self) -> None:
        if self.switch.triggered:
            raise SafetyError(self.switch.line())

    def alone(self) -> AbstractContextManager[None]:
        return nullcontext()

    @property
    def shown(self) -> list[TradingMetrics]:
        return [self.metrics]

    async def learn(self) -> None:
        """Ask for the terms, and prepare; nothing is recorded or sent yet."""
        found = await learn_terms(self.parts.rest.rest, self.symbol, self.day.day, self.run.log)
        self.strategy = self.suited(found)
        self.terms = found.fitted(self.strategy, self.day, self.run) if self.fits else found
        self.others = {
            name: await learn_terms(one.rest.rest, one.days.symbol, self.day.day, self.run.log)
            for name, one in self.beside.items()
        } | dict.fromkeys(self.own_views, self.terms)

    @property
    def seen_parts(self) -> dict[str, Parts]:
        return {**dict.fromkeys(self.own_views, self.parts), **self.beside}

    @property
    def quotes(self) -> bool:
        """Whether the run quotes; the knobs of quotes must then allow it."""
        return True

    def has_traded_with(self, *knobs: str) -> bool:
        """The latest earlier run of its kind had the same values of some `SIZING` knobs."""
        raise NotImplementedError

    def suited(self, terms: ShadowTerms) -> PlayKnobs:
        """Quantities on the exchange's step, which may have been raised; TryLater if QUOTE_QTY is below it now."""
        strategy, step_e8 = self.strategy, from_exchange_info(terms.entry, "exchangeInfo").lot_e8
        if strategy.market.qty_step is not None or not self.quotes:
            return strategy
        models, account = strategy.models, strategy.account
        qty = self._rounded("quote_qty", models.quote_qty, step_e8)
        if qty == "0":
            raise TryLater(
                "{quote_qty} is {}, less than the quantity step {} of {}, so nothing can be quoted; set a larger one, "
                "or start it again once the step is smaller",
                models.quote_qty,
                short_text(step_e8),
                self.symbol,
            )
        target = self._rounded("target_inventory", account.target_inventory, step_e8)
        models, account = replace(models, quote_qty=qty), replace(account, target_inventory=target)
        return replace(strategy, models=models, account=account)

    def _rounded(self, knob: str, qty: str | None, step_e8: int) -> str | None:
        """A quantity that was traded with, rounded toward 0 to the step; another one as it is."""
        if qty is None:
            return None
        rest_e8 = abs(e8(qty)) % step_e8
        if not rest_e8 or not self.has_traded_with(knob):
            return qty
        to = short_text(e8(qty) - rest_e8 if e8(qty) > 0 else e8(qty) + rest_e8)
        if to != "0" or knob != "quote_qty":
            step = short_text(step_e8)
            self.run.log.warning("quantity_rounded", knob=knob.upper(), given=qty, to=to, step_size=step)
            self.run.set_knobs(ROUNDED, **{knob: to})
        return to

    @contextmanager
    def under_changed_rules(self) -> Iterator[None]:
        """TryLater for a NothingQuotable whose knobs have traded: the exchange has changed, not they."""
        try:
            yield
        except NothingQuotable as error:
            if not self.has_traded_with(*error.knobs):
                raise
            raise TryLater(
                f"{error}; it has traded with the same before: it can be started again, and trades once the exchange's "
                f"rules and price allow it"
            ) from error

    async def close(self) -> None:
        for one in (self.parts, *self.beside.values()):
            await one.rest.rest.close()

    async def play(self) -> None:
        raise NotImplementedError

    def stop(self, reason: str) -> None:
        raise NotImplementedError

    def kill(self, reason: str) -> None:
        raise NotImplementedError

    def write(self) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        if self.failure is not None:
            raise self.failure
        self.write()

    def follow(self, symbol: str, why: str, killed: bool) -> None:
        if not self.follows:
            self.follows = True
            (self.kill if killed else self.stop)(f"{symbol}: {why}")

    async def record_market(self, recording: Recording, others: Sequence[Recording]) -> None:
        async with AsyncExitStack() as watching:
            for one, parts in zip((recording, *others), (self.parts, *self.beside.values()), strict=True):
                rest = parts.rest.rest
                monitor = Monitor(Health(parts.days.symbol, parts.days.run_id, rest), rest)
                await watching.enter_async_context(monitor.watching(one))
            await record_together(recording, others)

    def print_days(self, recording: Recording) -> None:
        for report in recording.reports:
            self.run.print(report.line())
            self.run.print(report.path)

    def grid_changed(self) -> bool:
        if self.regridded is None:
            self.regridded = self.terms.regridded(self.recording.session if self.recording else None)
        return self.regridded is not None


def _nothing(_why: str, _killed: bool) -> None: ...


def run_together(
    lives: Sequence[LiveRun],
    signals: "TradeSignals",
    account: "TradedAccount | None" = None,
    *,
    guard: "RunGuard | None" = None,
    door: "Door | None" = None,
    watched: bool,
) -> list[LiveRun]:
    """Run all until they end, the first in front; TryLater if a signal comes before the exchange has responded."""
    with ExitStack() as alone:
        for one in lives:
            one.check()
        for one in lives:
            alone.enter_context(one.alone())
        if guard is not None:
            guard.start()
            alone.callback(lambda: guard.close(empty=not any(live.may_rest for live in lives)))
        for one in lives:
            alone.enter_context(one.run.logging_behind())
            alone.callback(one.switch_watch.close)
        asyncio.run(_guarded(_run(lives, signals, account, door, watched=watched), guard))
    return sorted(lives, key=lambda one: one.follows)


async def _guarded(run: Coroutine[Any, Any, None], guard: "RunGuard | None") -> None:
    keeping = asyncio.create_task(guard.keep()) if guard else None
    try:
        await run
    finally:
        if keeping:
            keeping.cancel()


async def _run(
    lives: Sequence[LiveRun],
    signals: "TradeSignals",
    account: "TradedAccount | None",
    door: "Door | None",
    *,
    watched: bool,
) -> None:
    def stop(name: str) -> None:
        for live in lives:
            live.announce = _nothing  # each has the signal as its own reason
            live.stop(name)

    def kill(name: str) -> None:
        for live in lives:
            live.announce = _nothing
            live.kill(name)

    try:
        await _learn(lives, signals, account, kill)
        for live in lives:
            live.announce = _announce_to([other for other in lives if other is not live], live)
        signals.direct(stop, kill)
        knobs = lives[0].parts.days.knobs
        page = SymbolsPage([shown for live in lives for shown in live.shown], account, door)
        serving = page.shown if watched else page.served
        async with serving(str(knobs["metrics_host"]), int(knobs["metrics_port"])):
            # Threads that write rows keep the interpreter for this long while the loop waits, s; the default is 5 ms.
            sys.setswitchinterval(0.0002)
            await asyncio.gather(*map(_play, lives))
    finally:
        if account is not None:
            await account.close()


async def _play(one: LiveRun) -> None:
    try:
        await one.play()
    except (Exception, asyncio.CancelledError) as error:  # raised by `finish`, after the others have ended in order
        one.failure = error
        one.run.log.info("play_failed", error=f"{type(error).__name__}: {error}")
        one.announce("failed", False)
    else:
        one.announce("ended", False)


def _announce_to(others: Sequence[LiveRun], one: LiveRun) -> Callable[[str, bool], None]:
    def announce(why: str, killed: bool) -> None:
        if not one.follows:
            for other in others:
                other.follow(one.key, why, killed)

    return announce


async def _learn(
    lives: Sequence[LiveRun], signals: "TradeSignals", account: "TradedAccount | None", kill: Callable[[str], None]
) -> None:
    learning = [asyncio.ensure_future(live.learn()) for live in lives]
    whole = asyncio.gather(*learning)
    signals.direct(lambda _: whole.cancel(), kill)
    try:
        await whole
        if account is not None:
            account.check_assets([live.terms.entry["quoteAsset"] for live in lives])
    except BaseException as error:
        for task in learning:
            task.cancel()
        await asyncio.gather(*learning, return_exceptions=True)
        for live in lives:
            await live.close()
        if not isinstance(error, asyncio.CancelledError):
            raise
        raise TryLater("stopped before the exchange responded: nothing was sent; start it again") from None
