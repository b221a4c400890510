"""The strategy of a trade in a live engine, and its feed from the recorded market."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mm.backtest.live_feed import LiveFeed
from mm.backtest.replay import run_terms
from mm.backtest.result import Result
from mm.backtest.risk import limits_of, ramped_lots
from mm.commands.assemble import check_agents, keep_models
from mm.instrument import Instrument
from mm.live._live_engine import LiveEngine
from mm.live.shadow import PaperKnobs, ShadowTerms
from mm.models.builder import ModelBuilder, note_predictors

if TYPE_CHECKING:
    from mm.backtest.journal import Journal
    from mm.live.trader import Trader
    from mm.market_data.day_journal import DayJournal
    from mm.market_data.market_events import MarketEvent, Subscriber
    from mm.market_data.market_state import MarketState
    from mm.runs.in_progress import Run

OWN_FILLS = "the venue itself filled the orders, so no fill model is assumed"


@dataclass(frozen=True, kw_only=True)
class TradeStart:
    """The initial account of an engine, in 1e-8.

    Attributes:
        position_e8: Base asset held from our own fills, on top of INITIAL_INVENTORY.
        cash_e8: Cash of the engine's account.
        added_e8: Equity other than these two, in the quote asset.
        day_e8: Equity at the start of the day; None: that of the first requote.
        peak_e8: The highest equity so far; None: that of the first requote.
        clean_days: Days without a breach, for SIZE_RAMP.
    """

    position_e8: int
    cash_e8: int
    added_e8: int = 0
    day_e8: int | None = None
    peak_e8: int | None = None
    clean_days: int = 0


class TradePlay:
    """The strategy of a trade, made from knobs, the data known at the start, and the account.

    Args:
        terms: The data known at the start.
        knobs: The strategy, and the limits.
        start: The initial account.
        run: Records the read files.

    Attributes:
        engine: Decides what to send.
        grid: Grid of prices and quantities; its lot divides the exchange's step.
    """

    def __init__(self, terms: ShadowTerms, knobs: PaperKnobs, start: TradeStart, run: "Run | None") -> None:
        self._opening = terms.opening(knobs.market)
        self.grid: Instrument = self._opening.instrument
        self._builder = ModelBuilder(run, knobs.models, self._opening, knobs.account.seed)
        known = terms.rules(knobs, self._opening, run)
        limits = limits_of(knobs.risk)
        if limits is not None:
            limits = replace(
                limits, added_equity_e8=start.added_e8, day_equity_e8=start.day_e8, peak_equity_e8=start.peak_e8
            )
        self.rules = replace(
            known,
            target_lots=known.target,
            start_lots=start.position_e8 // self.grid.lot_e8,
            start_cash_e8=start.cash_e8,
            quote_lots=ramped_lots(known.quote_lots, known.step_lots, knobs.risk.size_ramp, start.clean_days),
            risk=limits,
        )
        self._quotes, self._fills = self._builder.quotes(), self._builder.fills()
        if run is not None:
            note_predictors(run, self._builder.predictors, terms.book_us)
            keep_models(run, knobs.models)
        check_agents(run, knobs.models, knobs.execution, [self._opening])
        self.engine = LiveEngine(self._quotes, self.rules)

    def result(self, journal: "Journal", ended: Mapping[str, Any], unvalued_fees: Mapping[str, str]) -> Result:
        """Return the result as that of a backtest; *ended* and *unvalued_fees* are those of `RunTerms`."""
        terms = run_terms(self._opening, self.rules, (self._quotes, self._fills, None))
        begun = (max(journal.counters["first_us"], 0),)
        terms = replace(terms, fill_model="exchange", fill_bias=OWN_FILLS, starts_us=begun, ended=ended)
        terms = replace(terms, unvalued_fees=unvalued_fees)
        return self._builder.with_predictors(Result(journal, terms))


class TradeFollower:
    """Feeds a trader with the market that is being recorded, and keeps its clock running.

    Args:
        trader: The trader.
        grid: Grid of its engine.
        watch: Called with each event after the trader has handled it.
    """

    def __init__(self, trader: "Trader", grid: Instrument, watch: "Subscriber") -> None:
        self._trader, self._grid, self._watch = trader, grid, watch

    def take(self, journal: "DayJournal") -> "Subscriber":
        """Return the subscriber of market events, which handles each one after *journal* has numbered it."""
        feed, watch = LiveFeed(self._trader, self._grid, journal), self._watch

        def take(event: "MarketEvent") -> None:
            feed(event)
            watch(event)

        return take

    async def follow(self, market: "MarketState", settled_us: Callable[[], int]) -> None:  # noqa: ARG002 - the protocol's
        """Run the trader until trading ends; the recording continues until it is stopped."""
        await self._trader.run()
        await asyncio.Event().wait()

    def ended(self) -> None:
        """Stop trading at the end of the recording's window, unless it has ended before."""
        self._trader.end("window_end")
