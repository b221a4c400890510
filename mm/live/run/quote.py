"""The job of quoting: a strategy sends orders in one symbol until a signal, a kill, or the end of its window."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from mm.backtest.account_limits import LOSS
from mm.errors import Incomplete, MMError, TryLater, UsageError
from mm.instrument import E8, decimal_text, e8, short_text
from mm.live.account.ledger import transfers_value_e8
from mm.live.account.limits import AccountSymbol, NothingQuotable
from mm.live.audit.history import ACCOUNT, DayMarks, LedgerBegin, marks_at
from mm.live.run.decisions import DecisionLags
from mm.live.run.live_play import TradeFollower, TradePlay, TradeStart
from mm.live.run.live_terms import REGRIDDED
from mm.live.run.observer import TradeObserver
from mm.live.run.order_source import OrderSource
from mm.live.run.other_markets import EngineTaker, OtherFollower, recordings
from mm.live.run.trade_account import TradeAccount
from mm.live.run.trade_end import KILLED, TradeEnd, write_trade
from mm.live.run.trade_run import OpenTrade, TradeRun
from mm.live.run.trader import KILL, Trader, TraderParts
from mm.live.state.stores import state_writer
from mm.live.state.writer import StateWriter
from mm.live.venues.positions import ContractSetup, check_bracket
from mm.market_data.days import is_of_disk
from mm.market_data.recording import Recording
from mm.play.knobs import Market

MANUAL = "triggered manually"
AUDIT_FAILED, DISK_FAILED, VENUE_RESET, KEY_REFUSED, GATEWAY_FAILED = "audit", "disk", "venue_reset", "key", "gateway"
CONTESTED = "another_trader"
MARGIN_RATIO, MAX_DAILY_LOSS = "MAX_MARGIN_RATIO", "MAX_DAILY_LOSS"
WRITER_S = 2.0


class Quote:
    quotes = True

    def __init__(self, source: OrderSource) -> None:
        self.end: TradeEnd
        self.source = source
        self._quoting: Quoting | None = None

    @property
    def fits(self) -> bool:
        return not self.source.is_leg

    @property
    def ended(self) -> str | None:
        return self._quoting.trader.ended if self._quoting and self._quoting.trader else None

    @property
    def lost(self) -> str:
        trader = self._quoting.trader if self._quoting else None
        return trader.lost if trader else "start"

    @property
    def position(self) -> Mapping[str, str]:
        observer = self._quoting.observer if self._quoting else None
        if observer is None:
            return {}
        return {"position": decimal_text(observer.account.position_e8), "cash": decimal_text(observer.account.cash_e8)}

    def stop(self, reason: str) -> bool:
        trader = self._quoting.trader if self._quoting else None
        if trader:
            trader.end(reason)
        return trader is not None

    def follows(self, why: str) -> bool:  # noqa: ARG002 - the protocol's
        return True

    async def work(self, opened: OpenTrade) -> None:
        self._quoting = Quoting(self.source, opened)
        self.end = await self._quoting.play()

    def log_unwritten(self, error: MMError) -> None:
        self.end = replace(self.end, refused=error)

    def write(self, trade: TradeRun) -> None:
        """Incomplete if it was killed, or the disk refused a part of it; the run folder is whole."""
        end, symbol, left = self.end, trade.key, trade.left_text()
        try:
            legs = {name: leg.quote.end for name, leg in self.source.legs.items() if leg.trade.failure is None}
            write_trade(trade.run, end, legs)
        except OSError as error:
            unwritten = f"nor can the run folder be written ({error})"
            if end.killed_for is not None:
                raise Incomplete(f"{symbol} was {end.why}{trade.unthrown}; {unwritten}{left}", KILLED) from error
            if end.refused is None:
                raise
            raise Incomplete(f"{symbol}: {end.refused}; {unwritten}{left}", end.refused.exit_code) from error
        if end.killed_for is not None:
            raise Incomplete(
                f"{symbol} was {end.why}{trade.unthrown}; {trade.switch.rearming} allows it to trade again{left}",
                KILLED,
            )
        if end.refused is not None:
            raise Incomplete(f"{symbol}: trading ended: {end.refused}{left}", end.refused.exit_code)
        if left:
            raise Incomplete(f"{symbol}: trading ended: {end.reason}{left}", TryLater.exit_code)


class Quoting:
    """Quoting in one symbol, from a gateway that is ready to the end."""

    def __init__(self, source: OrderSource, opened: OpenTrade) -> None:
        self.observer: TradeObserver | None = None
        self.trader: Trader | None = None
        self._source, self._opened, self._trade = source, opened, opened.trade
        self._audit, self._gateway = opened.audit, opened.gateway
        self._marks = DayMarks(opened.trade.knobs.account, opened.trade.equity, opened.audit)
        self._others: list[Recording] = []
        self._lost: MMError | None = None
        self._play: TradePlay | None = None
        self._unkept: OSError | None = None
        self._leverage, self._said_above = 0, ""  # with which MAX_POSITION was allowed, and what was said since

    async def play(self) -> TradeEnd:
        trade, gateway, source = self._trade, self._gateway, self._source
        history, ledger = self._opened.history, self._opened.ledger
        knobs, held = trade.knobs, history.held
        setup = gateway.contract.setup if gateway.contract else None
        filled = setup is not None and trade.note_leverage(setup.leverage)
        begin = history.begin or self._begin_ledger()
        self._note_changed_knobs(filled=filled)
        inventory_e8 = e8(knobs.strategy.account.initial_inventory)
        transfers_e8 = transfers_value_e8(ledger, begin.mid_e8)
        day_e8, peak_e8 = marks_at(history, trade.equity.marks, begin, inventory_e8, transfers_e8)
        start = TradeStart(
            position_e8=inventory_e8 + held.position_e8,
            cash_e8=begin.cash_e8(held),
            added_e8=begin.added_e8(inventory_e8) + transfers_e8,
            day_e8=day_e8,
            peak_e8=peak_e8,
            clean_days=history.clean_days,
        )
        with trade.under_changed_rules():
            play = source.play(trade, start)
        self._play = play
        play.pull("start", trade.clock())
        account = TradeAccount(
            *(play.engine, ledger, play.grid, (inventory_e8, begin.quote_e8)),
            held=held,
            price_e8=begin.mid_e8,
            steps=play.steps,
        )
        await trade.unless_stopped(self._join(play, start.position_e8))
        writer = state_writer(knobs.stores, trade.day.out_root, trade.symbol, self._audit, trade.run.log.warning)
        observer = self._open_observer(play, account, begin, writer)
        lags = DecisionLags(lambda: play.engine.decisions, trade.clock)
        parts = TraderParts(
            engine=play.engine,
            grid=play.grid,
            account=account,
            model=trade.strategy.models.quote_model,
            log=trade.run.log,
            observer=observer,
            heard=source.heard,
            watch=lambda us: self._watch(us, observer),
            allow=lambda: trade.account.allow(trade.key) or source.waits(),
            decided=lambda: self._decided(lags),
            ended=self._announce_end,
            ask_status=self._ask_status,
            doubt_rules=gateway.rules.doubt,
            clock=trade.clock,
            unread=self._is_unread,
            single_trades=trade.parts.days.trade_stream == "trade",
            target_lots=play.rules.target,
            steps=play.steps,
        )
        trader = self.trader = Trader(parts, gateway.orders)
        source.begun(play, trader)
        try:
            follower = TradeFollower(trader, play.grid, observer.market)
            gateway.reports.attach(trader)
            if trade.stopped:
                trader.end(trade.stopped)
            grids = {name: trade.others[name].opening(Market()).instrument for name in trade.beside}
            following = {name: OtherFollower(EngineTaker(name, play), grid) for name, grid in grids.items()}
            others = self._others = recordings(trade.beside, following, trade.run.log, trade.clock)
            reason, unrecorded = await self._record(trader, follower, others)
        finally:
            await gateway.stop()
            play.engine.pass_time(trade.clock())
            observer.refresh(trade.clock())
            self._keep_last_marks()
            await asyncio.to_thread(writer.close, WRITER_S)
        killed = self._killed_for() if reason == KILL else None
        return TradeEnd(reason, killed, self._refused(unrecorded), play, account, trader, lags)

    async def _join(self, play: TradePlay, position_e8: int) -> None:
        """No symbol of the account begins before all are known."""
        trade = self._trade
        prices = [e8(price) for price in (trade.terms.best_bid, trade.terms.best_ask) if price]
        with trade.under_changed_rules():
            self._check_limits(play, position_e8, max(prices, default=0))
        await trade.account.join(trade.key, AccountSymbol(play.engine))

    def _check_limits(self, play: TradePlay, position_e8: int, price_e8: int) -> None:
        """UsageError if a limit is below one order, at a price of the first book."""
        symbol = self._trade.key
        qty_e8 = play.rules.quote_lots * play.grid.lot_e8
        notional_e8, risk = qty_e8 * price_e8 // E8, self._trade.strategy.risk
        self._trade.account.check_order(symbol, notional_e8)
        if risk.max_order_notional is not None and notional_e8 > e8(risk.max_order_notional):
            raise NothingQuotable(
                "{max_order_notional} is {}, less than one order of {}, {}: nothing would be quoted; raise it, or "
                "lower {quote_qty}",
                risk.max_order_notional,
                symbol,
                short_text(notional_e8),
            )
        off_e8 = position_e8 - play.rules.target * play.grid.lot_e8
        if risk.max_position is not None and qty_e8 - abs(off_e8) > e8(risk.max_position):
            # Two knobs contradict each other whatever the exchange's rules.
            kind = NothingQuotable if self._trade.strategy.models.quote_qty is None else UsageError
            raise kind(
                "{max_position} is {}, less than one order of {}, {}: nothing would be quoted; raise it, or lower "
                "{quote_qty}",
                risk.max_position,
                symbol,
                short_text(qty_e8),
            )
        contract = self._gateway.contract
        if contract and contract.setup and risk.max_position is not None:
            if self._trade.has_traded_with("max_position", "leverage"):
                self._leverage = contract.setup.leverage
            self._check_bracket(contract.setup, price_e8)
            contract.also = lambda setup: self._check_bracket(setup, price_e8)

    def _check_bracket(self, setup: ContractSetup, price_e8: int) -> None:
        """UsageError if MAX_POSITION is above the bracket of a leverage that it was not traded with."""
        try:
            check_bracket(self._trade.key, setup, e8(self._trade.strategy.risk.max_position or "0"), price_e8)
        except UsageError as error:
            if setup.leverage != self._leverage:
                raise
            # It was allowed: the exchange has lowered the bracket, and refuses what is above it.
            if self._said_above != str(error):
                self._said_above = str(error)
                self._trade.run.log.warning("position_above_bracket", why=str(error))
        else:
            self._leverage, self._said_above = setup.leverage, ""

    def _open_observer(
        self, play: TradePlay, account: TradeAccount, begin: LedgerBegin, writer: StateWriter
    ) -> TradeObserver:
        self.observer = TradeObserver(
            *(self._trade.metrics, play.engine, play.rules),
            account=account,
            begin=begin,
            audit=self._audit,
            writer=writer,
            log=self._trade.run.log,
            unmanaged=self._gateway.orders.unmanaged,
            is_leg=self._source.is_leg,
        )
        self._trade.metrics.legs = [leg.trade.metrics for leg in self._source.legs.values()]
        return self.observer

    def _begin_ledger(self) -> LedgerBegin:
        base_e8, quote_e8 = self._opened.check.begin_e8 or (0, 0)
        terms = self._trade.terms
        prices = [e8(price) for price in (terms.best_bid, terms.best_ask) if price]
        if not prices:
            raise TryLater(f"the book of {terms.symbol} is empty: there is no price to value the account at; try later")
        begin = LedgerBegin(base_e8, quote_e8, sum(prices) // len(prices))
        shown = {"base": decimal_text(base_e8), "quote": decimal_text(quote_e8), "mid": decimal_text(begin.mid_e8)}
        self._audit.append("params", knobs=self._trade.given(), **{ACCOUNT: shown})
        return begin

    def _note_changed_knobs(self, *, filled: bool) -> None:
        """*filled*: the account has given one that was left out, and the log's first row lacks it."""
        before, now = self._opened.history.books.knobs, self._trade.given()
        if before is None:
            return
        changed = {
            name: [before.get(name), now.get(name)]
            for name in sorted(before.keys() | now.keys())
            if before.get(name) != now.get(name)
        }
        if changed or filled:
            self._audit.append("params", knobs=now, changed=changed)
        if changed:
            self._trade.run.log.info("knobs_changed", knobs=sorted(changed))

    def _announce_end(self, why: str) -> None:
        self._trade.announce(self._killed_for() if why == KILL else why, why == KILL)

    def _is_unread(self) -> bool:
        trades = [self._trade, *(leg.trade for leg in self._source.legs.values())]
        markets = [*self._others, *(one.recording for one in trades if one.recording)]
        return any(one.at.session.unread for one in trades) or any(one.unread for one in markets)

    def _ask_status(self) -> None:
        if self._trade.recording is not None:
            self._trade.recording.ask_status()

    async def _record(
        self, trader: Trader, follower: TradeFollower, others: list[Recording]
    ) -> tuple[str, OSError | None]:
        """Record and trade until one of the two ends: the orders first, then the recording.

        Returns:
            Why it ended, and the recording's disk error.
        """
        trade, gateway = self._trade, self._gateway
        recording = trade.recording = Recording(replace(trade.parts, follower=follower), trade.run.log, trade.clock)
        recorded = asyncio.create_task(trade.record_market(recording, others))
        ended = asyncio.create_task(trader.over())
        await asyncio.wait({recorded, ended}, return_when=asyncio.FIRST_COMPLETED)
        if recorded.done():
            error = recorded.exception()
            trader.end(DISK_FAILED if is_of_disk(error) else "recording_failed" if error else "window_end")
        ended.cancel()
        reason = trader.ended or "error"
        if reason == KILL:
            self._kill()
        if self.observer:
            self.observer.end(trade.clock(), reason)
        orders = asyncio.create_task(gateway.stop(compares=reason != KILL))  # before all else, whatever the reason
        await asyncio.sleep(0)
        recording.stop(reason)
        await asyncio.wait({recorded, orders})
        orders.result()
        trade.print_days(recording)
        error = recorded.exception()
        if is_of_disk(error):
            return reason, error
        recorded.result()
        return reason, None

    def _kill(self) -> None:
        reason, us = self._killed_for(), self._trade.clock()
        if self.observer:
            self.observer.update(us)
        if self._play and self._play.engine.manager.killed_for is None:
            self._play.kill(reason, us)
        self._audit.append("kill", reason=reason)
        self._gateway.ending.kill()
        self._trade.throw(reason)
        self._trade.run.log.error("killed", reason=reason, open_orders=len(self._gateway.states.open))
        if self.observer:
            self.observer.metrics.killed = True

    def _killed_for(self) -> str:
        by_limit = self.observer.engine.manager.killed_for if self.observer else None
        return by_limit or self._trade.switch_watch.why or self._trade.killed_by or MANUAL

    def _watch(self, us: int, observer: TradeObserver) -> str | None:
        trade, readiness = self._trade, self._gateway.readiness
        if trade.switch_watch.triggered:
            return KILL
        observer.update(us)
        try:
            self._keep_marks()
        except OSError as error:
            self._unkept = error
            return DISK_FAILED
        loss = trade.account.broken_loss()
        if breach := (LOSS, *loss) if loss else self._margin_breach(observer):
            observer.breached(us, *breach, at_us=us)
            trade.killed_by = trade.killed_by or breach[0]
            return KILL
        if self._audit.failure is not None:
            return AUDIT_FAILED
        lost = {VENUE_RESET: readiness.reset, KEY_REFUSED: readiness.refused, GATEWAY_FAILED: readiness.failure}
        lost |= {CONTESTED: readiness.contested, REGRIDDED: self._gateway.rules.regridded}
        for why, self._lost in lost.items():
            if self._lost:
                return why
        return REGRIDDED if trade.grid_changed() else None

    def _margin_breach(self, observer: TradeObserver) -> tuple[str, int, int] | None:
        """The limit that is broken at the mark price, its value and its bound, in 1e-8."""
        wanted, found = self._trade.knobs.contracts, observer.metrics.contract
        if wanted is None or found is None:
            return None
        if wanted.max_margin_ratio is not None and found.ratio is not None:
            bound_e8 = e8(wanted.max_margin_ratio)
            if found.ratio * E8 > bound_e8:
                return MARGIN_RATIO, min(round(min(found.ratio, 1e9) * E8), E8 * E8), bound_e8
        loss, equities_e8 = self._trade.strategy.risk.max_daily_loss, observer.engine.manager.guard.equities_e8()
        bid, ask = observer.engine.best[:2]
        if loss is None or equities_e8 is None or not (bid and ask):
            return None
        mid_e8 = (bid + ask) * observer.tick_e8 // 2
        lost_e8 = equities_e8[1] - equities_e8[0] - found.at_mark_e8(observer.account.position_e8, mid_e8)
        return (MAX_DAILY_LOSS, lost_e8, e8(loss)) if lost_e8 > e8(loss) else None

    def _refused(self, unrecorded: OSError | None) -> MMError | None:
        audit = self._audit
        if audit.error is not None:
            return audit.error
        if unrecorded is not None:
            return TryLater(f"the day can no longer be recorded ({unrecorded}); make room on the disk")
        if self._unkept is not None:
            return TryLater(f"the disk refuses the marks of the day's equity ({self._unkept}); make room on the disk")
        return self._lost or self._trade.regridded or self._gateway.readiness.differs

    def _keep_last_marks(self) -> None:
        try:
            self._keep_marks(at_once=True)
        except OSError as error:
            note = "see the fills of this day in the audit log"
            self._trade.run.log.warning("equity_not_kept", error=str(error), note=note)

    def _keep_marks(self, *, at_once: bool = False) -> None:
        observer = self.observer
        equities_e8 = observer and observer.engine.manager.guard.equities_e8()
        if not observer or not equities_e8:
            return
        guard, trade = observer.engine.manager.guard, self._trade
        marks = *equities_e8, observer.account.transfers_e8
        self._marks.keep(trade.clock(), marks, guard.observed_us, at_once=at_once)

    def _decided(self, lags: DecisionLags) -> None:
        lags.note()
        self._source.decided()
