"""The strategy of a shadow or a trade in an engine, and its feed from the recorded market."""

import asyncio
from array import array
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mm.backtest.engine.live_feed import EventTaker, LiveFeed
from mm.backtest.market_again import head_of
from mm.backtest.metrics.order_lives import mid_offsets
from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.replay import leg_results, run_terms, terms_of
from mm.backtest.result import Result
from mm.backtest.risk import limits_of, ramped_lots
from mm.backtest.strategy import LegModel
from mm.clock import US_PER_MS
from mm.instrument import E8, Instrument, e8, short_text
from mm.live._live_engine import LiveEngine
from mm.live.account.limits import NothingQuotable
from mm.live.run.decisions import DecisionLags
from mm.live.run.kept_models import keep_models
from mm.live.run.live_terms import ShadowTerms
from mm.live.run.step_log import StepLog
from mm.play.engine_rules import with_others
from mm.play.play import GivenModels
from mm.play.setup import PlayKnobs
from mm.runs.noted import note_made
from mm.signals.compute import NO_OTHERS
from mm.signals.other_feed import OtherFeed
from mm.tape.columns import Payment
from mm.tape.freshest import FreshestBook

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mm.backtest.engine.live_feed import FeedEvent
    from mm.backtest.journal import Journal
    from mm.live.run.trader import Trader
    from mm.market_data.day_journal import DayJournal
    from mm.market_data.market_events import MarketEvent, Subscriber
    from mm.market_data.market_state import MarketState
    from mm.markets.messages import BookTicker, Funding
    from mm.runs.in_progress import Run

STEP_S = 0.002  # interval of checks for due events while nothing arrives
OWN_FILLS = "the venue itself filled the orders, so no fill model is assumed"


REAL_FEED = {
    "kind": "recorded",
    "why": "the exchange is ahead of what it sends; a backtest with FEED_LATENCY=recorded corresponds",
    "median_ms": None,
}


@dataclass(frozen=True, kw_only=True)
class TradeStart:
    """The initial account of an engine, in 1e-8.

    Attributes:
        peak_e8: The highest equity so far; None: the equity at the first requote.
    """

    position_e8: int
    cash_e8: int
    added_e8: int = 0
    day_e8: int | None = None
    peak_e8: int | None = None
    clean_days: int = 0


class LivePlay:
    """A strategy, made from knobs and from the data known at the start.

    Args:
        start: The initial account; None for the account of the knobs.
    """

    def __init__(
        self,
        terms: ShadowTerms,
        knobs: PlayKnobs,
        run: "Run | None" = None,
        start: TradeStart | None = None,
        others: Mapping[str, OtherFeed] = NO_OTHERS,
        leg: LegModel | None = None,
    ) -> None:
        play = terms.play(knobs, run)
        self._play = play = play if leg is None else replace(play, given=GivenModels(leg))
        self._opening = play.markets.first
        self.grid: Instrument = self._opening.instrument
        known, limits, ramp = play.market_rules, limits_of(knobs.risk), knobs.risk.size_ramp
        clip = ramped_lots(known.quote_lots, known.step_lots, ramp, start.clean_days if start else 0)
        if run is not None and ramp is not None:
            _check_ramp(terms, self.grid, ramp, clip, (known.quote_lots, known.step_lots))
        if start is not None:
            limits = limits and replace(
                limits, added_equity_e8=start.added_e8, day_equity_e8=start.day_e8, peak_equity_e8=start.peak_e8
            )
            lots = start.position_e8 // self.grid.lot_e8
            known = replace(known, target_lots=known.target, start_lots=lots, start_cash_e8=start.cash_e8)
        self.rules = replace(known, risk=limits, quote_lots=clip, others=others, strict_clock=True)
        self._quotes, self._fills = leg or play.models.quotes(), play.models.fills()
        if run is not None:
            note_made(run, play)
            keep_models(run, knobs.models)


def _check_ramp(terms: ShadowTerms, grid: Instrument, ramp: str, clip: int, whole: tuple[int, int]) -> None:
    prices = [e8(price) for price in (terms.best_bid, terms.best_ask) if price]
    quote_lots, step_lots = whole
    if not prices or clip * grid.lot_e8 * max(prices) // E8 >= grid.min_notional_e8:
        return
    step_e8, price_e8 = step_lots * grid.lot_e8, max(prices)
    needed_e8 = -(-grid.min_notional_e8 * E8 // price_e8)
    share = max(clip, 1) / quote_lots
    least_e8 = -(-int(needed_e8 / share) // step_e8) * step_e8 + step_e8
    qty, worth = short_text(clip * grid.lot_e8), short_text(clip * grid.lot_e8 * price_e8 // E8)
    raise NothingQuotable(
        "{size_ramp} {} makes the quantity {}, worth {} at {}, less than the minimum notional {} (the exchange's, "
        "or {min_notional}): nothing would be quoted; set {quote_qty} to {} or more, or a larger fraction",
        ramp,
        qty,
        worth,
        short_text(price_e8),
        short_text(grid.min_notional_e8),
        short_text(least_e8),
    )


class PaperPlay(LivePlay):
    def __init__(
        self,
        terms: ShadowTerms,
        knobs: PlayKnobs,
        run: "Run | None" = None,
        others: Mapping[str, OtherFeed] = NO_OTHERS,
    ) -> None:
        super().__init__(terms, knobs, run, others=others)
        self.rules = with_others(self.rules, others, knobs.others.declared(), knobs.account)
        self.exchange = PaperExchange(self._quotes, self._fills, self.rules)
        intensity = self._play.models.intensity
        self._reference = "mid" if intensity is None else intensity.reference
        self._keeps_best = self._reference != "mid"
        self._best = array("q", (0,) * 5)  # of the fed events: arrival, best bid and ask, and lots, where these change

    def legs(self) -> dict[str, tuple[PaperExchange, Instrument]]:
        return {name: (leg.exchange, self.rules.others[name].grid) for name, leg in self.exchange.legs.items()}

    def feed(self, events: "Iterable[FeedEvent]") -> None:
        events = tuple(events)
        if not self._keeps_best:
            self.exchange.feed(events)
        for event in events if self._keeps_best else ():
            self.exchange.feed((event,))
            bid, ask, *lots = self.exchange.best
            found = bid, ask, *(lots if self._reference == "micro" else (0, 0))
            if found != tuple(self._best[-4:]):
                self._best.extend((event.us, *found))

    def advance(self, until_us: int) -> None:
        self.exchange.advance(until_us)

    def result(self, ended: Mapping[str, Any] | None = None) -> Result:
        """*ended* as in `RunTerms`."""
        self.exchange.end_legs(self.exchange.engine.now_us)
        journal = self.exchange.journal()
        begun = (max(journal.counters["first_us"], 0),)
        us, *best = np.array(self._best).reshape(-1, 5)[1:].T
        offsets = None if self._reference == "mid" else mid_offsets(self._reference, us, best[:2], best[2:])
        models = self._quotes, self._fills, self._play.models.intensity
        known = {"starts_us": begun, "ended": ended, "offsets": offsets}
        terms = terms_of(self.exchange, self._opening, models, **known)
        result = Result(journal, terms, legs=leg_results(self.exchange, terms))
        return self._play.described(result)


class TradePlay(LivePlay):
    def __init__(
        self,
        terms: ShadowTerms,
        knobs: PlayKnobs,
        start: TradeStart,
        run: "Run | None",
        others: Mapping[str, OtherFeed] = NO_OTHERS,
        leg: LegModel | None = None,
    ) -> None:
        super().__init__(terms, knobs, run, start, others, leg)
        self._sender = knobs.models.quote_model if leg else None
        self.engine, self.steps = LiveEngine(self._quotes, self.rules), StepLog()
        self.own_views: Collection[str] = ()
        self._others = others

    def hear(self, name: str, events: "Sequence[FeedEvent]") -> None:
        """Show the strategy events of another market."""
        self.steps.heard(name, len(events))
        self.engine.feed_other(name, events)

    def pull(self, why: str, us: int) -> None:
        self.steps.note(us, "pull", why)
        self.engine.pull(why, us)

    def kill(self, why: str, us: int) -> None:
        self.steps.note(us, "kill", why)
        self.engine.kill(why, us)

    def write_steps(self, path: Path, run_id: str) -> int:
        """Write what the engine was given, for a replay of the same; return the number of rows."""
        seen = {name: (one.grid.tick_e8, one.grid.lot_e8) for name, one in self._others.items()}
        head = {
            "rows_run_id": run_id,
            "end_us": self.engine.now_us,
            "grid_e8": (self.grid.tick_e8, self.grid.lot_e8),
            "own_views": sorted(self.own_views),
            "seen_e8": seen,
            **head_of(self.rules),
        }
        return self.steps.write(path, head)

    def result(
        self,
        journal: "Journal",
        ended: Mapping[str, Any],
        unvalued_fees: Mapping[str, str],
        payments: "Sequence[tuple[int, int, int]]" = (),
    ) -> Result:
        """Return a result as a backtest's; *ended* and *unvalued_fees* as in `RunTerms`. *payments* are instant, µs,
        cost, and the target inventory's part of the cost, in 1e-8 of the quote asset.
        """
        terms = run_terms(self._opening, self.rules, (self._quotes, self._fills, None))
        known: dict[str, Any] = {"fill_model": "exchange", "fill_bias": OWN_FILLS, "feed": REAL_FEED}
        known |= {"starts_us": (max(journal.counters["first_us"], 0),), "ended": ended, "unvalued_fees": unvalued_fees}
        if (rate_e8 := paid_rate_e8(journal, terms.instrument)) is not None and not unvalued_fees:
            known["maker_fees_e8"] = rate_e8, 0
        if self._opening.meta.market.contract:
            known["funding_e8"] = sum(cost_e8 for _, cost_e8, _ in payments)
            known["target_funding"] = tuple((us, of_target_e8) for us, _, of_target_e8 in payments)
        if self._sender is not None:
            known["quote_model"] = self._sender
        result = Result(journal, replace(terms, **known))
        return self._play.models.with_predictors(result, self._play.predictors)


def paid_rate_e8(journal: "Journal", grid: Instrument) -> int | None:
    """1e-8 of the notional: the exchange's own; None without fills."""
    worth = grid.tick_e8 * grid.lot_e8 * grid.multiplier
    fills = journal.fills
    notional_e16 = sum(
        ticks * lots * worth for ticks, lots in zip(fills.ticks.tolist(), fills.lots.tolist(), strict=True)
    )
    fees_e8 = sum(fills.fee_e8.tolist())
    return round(fees_e8 * E8 * E8 / notional_e16) if notional_e16 else None


class Follower:
    def __init__(self, player: "EventTaker", grid: Instrument, watch: "Subscriber") -> None:
        self.rows_run_id = ""
        self._player, self._grid, self._watch = player, grid, watch
        self._feed: LiveFeed | None = None

    def subscriber(self, journal: "DayJournal") -> "Subscriber":
        self.rows_run_id = journal.writer.run_id
        freshest = FreshestBook() if journal.writer.market.best_prices else None
        feed, watch = LiveFeed(self._player, self._grid, journal, strict=True, freshest=freshest), self._watch
        self._feed = feed

        def hear(event: "MarketEvent") -> None:
            if self._feed is not None:
                feed(event)
                watch(event)

        return hear

    def best(self, seq: int, recv_us: int, best: "BookTicker") -> None:
        if self._feed is not None:
            self._feed.best(seq, recv_us, best)

    def moved(self, to: str | None) -> None: ...

    def paid(self, payment: "Funding") -> None:
        """Only a paper account pays what the market is told to."""


class TradeFollower(Follower):
    """Feeds a trader, and keeps its clock running."""

    def __init__(self, trader: "Trader", grid: Instrument, watch: "Subscriber") -> None:
        super().__init__(trader, grid, watch)
        self._trader = trader

    async def follow(self, market: "MarketState", settled_us: Callable[[], int]) -> None:  # noqa: ARG002 - the protocol's
        await self._trader.run()
        await asyncio.Event().wait()

    def ended(self) -> None:
        self._trader.end("window_end")


class FollowedPlay(EventTaker, Protocol):
    """A play on a paper exchange: `PaperPlay`, or `PairedPlay` where it sees other markets."""

    grid: Instrument

    @property
    def exchange(self) -> PaperExchange: ...


class ShadowFollower(Follower):
    """Plays a market on a paper exchange while it is recorded.

    Args:
        clock: Returns the instant, in µs; it never falls, and stamps arriving data.
        kill_reason: Returns why all trading was stopped manually, else None; called every `STEP_S` seconds.

    Attributes:
        killed: Since when a manual kill stopped all sending, µs, and why; None without one.
        moved_to: Where the files of what it has played were set aside; empty: they are gone; None: they were not moved.
    """

    def __init__(
        self,
        play: FollowedPlay,
        clock: Callable[[], int],
        watch: "Subscriber | None" = None,
        kill_reason: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.lags = DecisionLags(lambda: play.exchange.decisions, clock)
        self.killed: tuple[int, str] | None = None
        self.payments: list[Payment] = []
        self._due: list[Funding] = []
        self._begun_us = clock()
        self.end_us = 0
        self.moved_to: str | None = None
        self._play, self._kill_reason = play, kill_reason
        note = self.lags.note

        def played(event: "MarketEvent") -> None:
            note()
            if watch:
                watch(event)

        super().__init__(play, play.grid, played)

    async def follow(self, market: "MarketState", settled_us: Callable[[], int]) -> None:
        """While nothing arrives, as far as no earlier event can still arrive."""
        while True:
            await asyncio.sleep(STEP_S)
            if self._feed is None:
                continue
            until_us = settled_us()
            # A kill comes after everything that happens at its instant, in the replay too: not while events of a later
            # instant have been played, but their timers have not.
            whole = self._feed.begun and self._feed.now_us <= until_us
            market.passed(until_us + 1)
            self._feed.advance(until_us)
            if whole:
                self._pay()
            if whole and self._play.exchange.killed is None and (why := self._kill_reason()) is not None:
                self._play.exchange.kill(why)
                self.killed = self._play.exchange.killed
            self.lags.note()

    def paid(self, payment: "Funding") -> None:
        if payment.paid_ms * US_PER_MS > self._begun_us:
            self._due.append(payment)

    def _pay(self) -> None:
        due, self._due = self._due, []
        for one in due:
            found = self._play.exchange.pay(e8(one.rate), e8(one.mark_price), one.paid_ms * US_PER_MS)
            self.payments.append(found)

    def moved(self, to: str | None) -> None:
        """End, because the day was moved: a replay reads one folder."""
        self.ended()
        self._feed, self.moved_to = None, self.moved_to or to or ""

    def ended(self) -> None:
        if self._feed is not None:
            self.end_us = self._feed.now_us
            self._feed.advance(self.end_us)
            self._pay()
            self.lags.note()
