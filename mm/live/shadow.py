"""A shadow: the strategy of a backtest on paper, in the market that is being recorded.

What a backtest derives from the recorded day is fixed at the start, from the exchange's filters and its first book, and
stored (`ShadowTerms`), so that the replay of the day starts with the same numbers.
"""

import asyncio
import json
from array import array
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mm.backtest.live_feed import LiveFeed
from mm.backtest.metrics.market_paths import MarketRows, aggressors_of
from mm.backtest.metrics.order_lives import mid_offsets
from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.replay import run_terms
from mm.backtest.result import Result
from mm.backtest.risk import Risk, limits_of, ramped_lots
from mm.backtest.rules import Account, Execution, Rules
from mm.cli.config import Day, Market, Models
from mm.commands.assemble import MICRO_PRICE, check_agents, keep_models, micro_price_before, warn_of_fees
from mm.commands.assemble import rules as rules_of
from mm.errors import BrokenFile, TryLater, UsageError
from mm.instrument import Instrument, e8, from_exchange_info, short_text
from mm.live.decisions import DecisionLags
from mm.live.trade_venue import untrusted
from mm.market_data.grid import Grid
from mm.market_data.venue import Answer, DepthSnapshot, ExchangeInfo
from mm.models.builder import ModelBuilder, note_predictors
from mm.signals.micro_price import MicroPriceFit
from mm.tape.tape import TRADE, Tape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from structlog.typing import FilteringBoundLogger as Logger

    from mm.backtest.live_feed import FeedEvent
    from mm.market_data.day_journal import DayJournal
    from mm.market_data.live_session import LiveSession
    from mm.market_data.market_events import MarketEvent, Subscriber
    from mm.market_data.market_state import MarketState
    from mm.market_data.snapshot import RestClient
    from mm.runs.in_progress import Run

TERMS = "shadow.json"
REGRIDDED = "grid"
"""End reason when the exchange has changed the grid since the start."""
STEP_S = 0.002  # interval of checks for due events while nothing arrives
FINER = 1_000  # lots per quantity step: recorded books have finer quantities than the step
_BOOK_LEVELS = 5
_RETRY_S = 1.0
_WARN_EVERY = 60  # attempts with the same cause between two warnings
UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
"""OpenSSL's text in the cause of a request that failed by its certificate."""


@dataclass(frozen=True)
class PaperKnobs:
    """The knobs of a strategy, as in `mm backtest`."""

    market: Market
    execution: Execution
    account: Account
    models: Models
    risk: Risk


@dataclass(frozen=True)
class ShadowTerms:
    """The data known at the start of a shadow, and its rows of the day: all that its replay needs.

    Attributes:
        symbol: Upper case.
        day: The recorded day, YYYYMMDD.
        entry: The exchange's entry of the symbol with its filters.
        best_bid: The best bid of the first book, as text; None if there was none.
        best_ask: The best ask, in the same form.
        book_us: When that book arrived, in µs.
        rows_run_id: The run whose rows of the day the shadow received; empty before the first.
        end_us: The instant up to which it was played, µs; 0 before the end.
        killed: Since when a manual kill stopped all sending, µs, and why; None without one.
        micro_price: The fit of the signal ``micro_price`` to the previous days, as JSON; None if no model reads it.
    """

    symbol: str
    day: str
    entry: dict[str, Any]
    best_bid: str | None
    best_ask: str | None
    book_us: int
    rows_run_id: str = ""
    end_us: int = 0
    killed: tuple[int, str] | None = None
    micro_price: dict[str, Any] | None = None

    @classmethod
    def read(cls, folder: Path) -> "ShadowTerms":
        """Return the terms of the shadow in the run *folder*; raises BrokenFile if they cannot be read."""
        path = folder / TERMS
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            killed = content.pop("killed", None)
            return cls(**content, killed=killed and (int(killed[0]), str(killed[1])))
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            why = f"not the terms of a shadow ({error})"
            raise BrokenFile(f"{path}: {why}; name the folder of a shadow's run") from error

    def write(self, folder: Path) -> None:
        """Write them into the run's *folder*."""
        (folder / TERMS).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def regridded(self, session: "LiveSession | None") -> TryLater | None:
        """Return an error if the exchange has changed the grid since the start; None if it is the same.

        Prices, quantities and limits of a run are in the steps of its start: it must end, and another one start.
        """
        if session is None or session.instrument is None:
            return None
        known, now = from_exchange_info(self.entry, TERMS), session.grid
        before = {"tick_size": short_text(known.tick_e8), "step_size": short_text(known.lot_e8)}
        changes = [f"{name} from {before[name]} to {text}" for name, text in now.items() if text != before[name]]
        if not changes:
            return None
        return TryLater(f"the exchange has changed the grid of {self.symbol}: {', '.join(changes)}; start it again")

    def fitted(self, knobs: PaperKnobs, day: Day, run: "Run") -> "ShadowTerms":
        """Return the terms with the micro-price of the previously recorded days, if the quote model reads it.

        Args:
            knobs: The strategy.
            day: The traded day, and the folder of the earlier ones.
            run: Records the read files, and keeps their tapes.
        """
        opening = self.opening(knobs.market)
        quotes = ModelBuilder(None, knobs.models, opening, knobs.account.seed).quotes()
        if MICRO_PRICE not in getattr(quotes, "signals", ()):
            return self
        fit = micro_price_before(run, day, knobs.market, opening, run.tapes)
        return replace(self, micro_price=fit.to_json() if fit else None)

    def rules(self, knobs: PaperKnobs, opening: Tape, run: "Run | None") -> Rules:
        """Return the rules of a run that begins with *opening*, without its limits."""
        known = rules_of(opening, knobs.execution, knobs.account, knobs.models, run=run)
        if run is not None:
            warn_of_fees(run.log, opening, known)
        fit = None if self.micro_price is None else MicroPriceFit.from_json(self.micro_price, TERMS)
        return replace(known, decisions=True, micro_price=fit)

    def opening(self, market: Market) -> Tape:
        """Return a tape of only the first book: the grid, and all that a backtest derives from the start of a day.

        Its lot is a thousandth of the quantity step, or 1e-8 if that does not divide it.
        """
        known = from_exchange_info(self.entry, TERMS)
        step_e8 = known.lot_e8 if market.qty_step is None else e8(market.qty_step)
        tick_e8 = known.tick_e8 if market.tick_size is None else e8(market.tick_size)
        least_e8 = known.min_notional_e8 if market.min_notional is None else e8(market.min_notional)
        if known.tick_e8 % tick_e8:
            whole = short_text(known.tick_e8)
            raise UsageError(f"--tick-size (TICK_SIZE) is {market.tick_size}; it must divide the exchange's {whole}")
        lot_e8 = 1 if step_e8 % FINER else step_e8 // FINER
        grid = replace(known, tick_e8=tick_e8, lot_e8=lot_e8, min_notional_e8=least_e8)
        bids, asks = (_level(grid, price) for price in (self.best_bid, self.best_ask))
        tape = Tape.of(grid, [(self.book_us, "snapshot", bids, asks)], self.day)
        return replace(tape, step_lots=step_e8 // lot_e8)


def _level(grid: Instrument, price: str | None) -> list[tuple[int, int]]:
    return [] if price is None else [(grid.ticks(price), 1)]


async def learn_terms(rest: "RestClient", symbol: str, day: str, log: "Logger") -> ShadowTerms:
    """Return the exchange's current terms of *symbol*; queries are retried without limit until there is a response.

    Raises:
        UsageError: If it does not have the symbol.
        SafetyError: If its certificate is not trusted.
    """
    entry = await _until(rest, symbol, log, lambda: rest.exchange_info(symbol), ExchangeInfo)

    async def book() -> Answer:
        await rest.until_depth(symbol, _BOOK_LEVELS)
        return await rest.depth(symbol, _BOOK_LEVELS)

    found = await _until(rest, symbol, log, book, DepthSnapshot)
    bid, ask = (side[0][0] if side else None for side in (found[1].bids, found[1].asks))
    return ShadowTerms(symbol, day, msgspec.json.decode(entry[1].text), bid, ask, found[0])


async def _until(
    rest: "RestClient", symbol: str, log: "Logger", query: Callable[[], Any], kind: type[Any]
) -> tuple[int, Any]:
    """Return the arrival time and the content of a response of *kind*."""
    decoder, last_cause, tried = rest.venue.decoder(symbol, Grid()), "", 0
    while True:
        answer: Answer = await query()
        cause = answer.cause
        if cause is None:
            try:
                message = decoder.answer(answer.url, answer.body)
            except (ValueError, msgspec.MsgspecError) as error:
                cause = str(error)
            else:
                if isinstance(message, kind):
                    return answer.recv_us, message
                cause = "not what was requested"
        if cause and UNTRUSTED in cause:
            raise untrusted(answer.url, cause)
        if answer.status == 400:
            reply = answer.body[:200].decode(errors="replace")
            raise UsageError(f"--symbol (SYMBOL) {symbol!r} is not known: {answer.url} responded {reply}")
        if cause != last_cause or tried % _WARN_EVERY == 0:
            last_cause = cause
            log.warning("exchange_silent", url=answer.url, cause=cause, tried_again_after_s=_RETRY_S)
        tried += 1
        await asyncio.sleep(_RETRY_S)


class PaperPlay:
    """The strategy of a run on a paper exchange, made from knobs and from the data known at the start.

    Args:
        terms: The data known at the start.
        knobs: The strategy.
        run: Records the read files; None if another run has recorded them.

    Attributes:
        exchange: The paper exchange; its journal has the decisions.
        grid: Grid of prices and quantities.
    """

    def __init__(self, terms: ShadowTerms, knobs: PaperKnobs, run: "Run | None" = None) -> None:
        self._opening = terms.opening(knobs.market)
        self._builder = ModelBuilder(run, knobs.models, self._opening, knobs.account.seed)
        known = terms.rules(knobs, self._opening, run)
        clip = ramped_lots(known.quote_lots, known.step_lots, knobs.risk.size_ramp)
        self.rules = replace(known, risk=limits_of(knobs.risk), quote_lots=clip)
        self._quotes, self._fills = self._builder.quotes(), self._builder.fills()
        if run is not None:
            note_predictors(run, self._builder.predictors, terms.book_us)
            keep_models(run, knobs.models)
        check_agents(run, knobs.models, knobs.execution, [self._opening])
        self.exchange = PaperExchange(self._quotes, self._fills, self.rules)
        self.grid = self._opening.instrument
        intensity = self._builder.intensity
        self._uses_prints = intensity is not None and bool(intensity.states)
        self._reference = "mid" if intensity is None else intensity.reference
        self._keeps_best = self._uses_prints or self._reference != "mid"
        self._best = array("q", (0,) * 5)  # of the fed events: arrival, best bid and ask, and lots, where these change
        self._prints = array("q")  # of the fed events: arrival, trade time, aggressor's side and price of each

    def feed(self, events: "Iterable[FeedEvent]") -> None:
        """Play events of a live market on the exchange."""
        events = tuple(events)
        if not self._keeps_best:
            self.exchange.feed(events)
        for event in events if self._keeps_best else ():
            self.exchange.feed((event,))
            bid, ask, *lots = self.exchange.best
            found = bid, ask, *(lots if self._reference == "micro" else (0, 0))
            if found != tuple(self._best[-4:]):
                self._best.extend((event.us, *found))
        for event in events if self._uses_prints else ():
            if event.kind == TRADE:
                self._prints.extend((event.us, event.exch_us, *event.rows[0][:2]))

    def advance(self, until_us: int) -> None:
        """Play everything due up to an instant."""
        self.exchange.advance(until_us)

    def result(self, ended: Mapping[str, Any] | None = None) -> Result:
        """Return the result; *ended* is the end reason of a live run, as in `RunTerms`."""
        journal = self.exchange.journal()
        terms = run_terms(self._opening, self.rules, (self._quotes, self._fills, self._builder.intensity))
        begun = (max(journal.counters["first_us"], 0),)
        us, *best = np.array(self._best).reshape(-1, 5)[1:].T
        offsets = None if self._reference == "mid" else mid_offsets(self._reference, us, best[:2], best[2:])
        market = None
        if self._uses_prints:
            hits = aggressors_of(*np.array(self._prints, np.int64).reshape(-1, 4).T)
            market = MarketRows.of_prices(hits, us, *best[:2])
        terms = replace(terms, starts_us=begun, ended=ended, market=market, offsets=offsets)
        return self._builder.based(Result(journal, terms))


class ShadowFollower:
    """Plays a market on a paper exchange while it is recorded.

    Args:
        play: The strategy.
        clock: Returns the instant, in µs; it never falls, and stamps arriving data.
        watch: Called with each event after it was played.
        kill_reason: Returns why all trading was stopped manually, else None; called every `STEP_S` seconds.

    Attributes:
        lags: The lag of each decision.
        killed: Since when a manual kill stopped all sending, µs, and why; None without one.
        rows_run_id: The run of the rows of the day; empty before the first.
        end_us: The instant up to which it was played, µs; 0 before the end.
    """

    def __init__(
        self,
        play: PaperPlay,
        clock: Callable[[], int],
        watch: "Subscriber | None" = None,
        kill_reason: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.lags = DecisionLags(lambda: play.exchange.decisions, clock)
        self.killed: tuple[int, str] | None = None
        self.rows_run_id = ""
        self.end_us = 0
        self._play, self._watch, self._kill_reason = play, watch, kill_reason
        self._feed: LiveFeed | None = None

    def take(self, journal: "DayJournal") -> "Subscriber":
        """Return the subscriber of market events, which handles each one after *journal* has numbered it."""
        self.rows_run_id = journal.writer.run_id
        feed = self._feed = LiveFeed(self._play, self._play.grid, journal)
        note, watch = self.lags.note, self._watch

        def take(event: "MarketEvent") -> None:
            feed(event)
            note()
            if watch:
                watch(event)

        return take

    async def follow(self, market: "MarketState", settled_us: Callable[[], int]) -> None:
        """Advance time while nothing arrives, as far as no earlier event can still arrive."""
        while self._feed is not None:
            await asyncio.sleep(STEP_S)
            until_us = settled_us()
            # A kill comes after everything that happens at its instant, in the replay too: not while events of a later
            # instant have been played, but their timers have not.
            whole = self._feed.begun and self._feed.now_us <= until_us
            market.passed(until_us + 1)
            self._feed.advance(until_us)
            if whole and self._play.exchange.killed is None and (why := self._kill_reason()) is not None:
                self._play.exchange.kill(why)
                self.killed = self._play.exchange.killed
            self.lags.note()

    def ended(self) -> None:
        """Process everything due at the last instant; no more events follow."""
        if self._feed is not None:
            self.end_us = self._feed.now_us
            self._feed.advance(self.end_us)
            self.lags.note()
