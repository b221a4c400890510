"""What is known at the start of a shadow or a trade: the knobs of its strategy, and the exchange's filters and book.

What a backtest derives from the recorded day is fixed at the start, from the exchange's filters and its first book, and
stored (`ShadowTerms`), so that the replay of the day starts with the same numbers.
"""

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mm.backtest.risk import NO_RISK
from mm.errors import BrokenFile, TryLater, UsageError
from mm.instrument import e8, from_exchange_info, short_text
from mm.live.account.limits import NothingQuotable
from mm.live.venues.addresses import untrusted
from mm.markets.grid import Grid
from mm.markets.messages import Answer, DepthSnapshot, ExchangeInfo
from mm.markets.registry import DEFAULT
from mm.play.knobs import Day, Market
from mm.play.market import Markets, micro_price_before
from mm.play.notes import log_notes
from mm.play.play import Play
from mm.play.setup import PlayKnobs
from mm.runs.noted import note_files, note_tapes
from mm.signals.micro_price import MicroPriceFit
from mm.tape.columns import Payment
from mm.tape.tape import Tape

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.market_data.live_session import LiveSession
    from mm.market_data.snapshot import RestClient
    from mm.runs.in_progress import Run

TERMS = "shadow.json"
REGRIDDED = "grid"
"""End reason when the exchange has changed the grid since the start."""
DAY_REPLACED = "day_replaced"
"""End reason when the recorded day goes on in other files."""
PAPER_FEED = "paper orders meet the market as it arrives; a backtest with FEED_LATENCY=none corresponds"
FINER = 1_000  # lots per quantity step: recorded books have finer quantities than the step
_BOOK_LEVELS = 50
_RETRY_S = 1.0
NOT_FOUND, NOT_FOUND_TRIES = 404, 5
"""The answer of a server of another market, and after how many of them a start ends."""
_WARN_EVERY = 60  # attempts with the same cause between two warnings
UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
"""OpenSSL's text in the cause of a request that failed by its certificate."""


class UnlistedSymbol(UsageError):
    """The exchange does not list the symbol."""


@dataclass(frozen=True)
class ShadowTerms:
    """The data known at the start of a shadow, and its rows of the day: all that its replay needs."""

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
    others: "dict[str, ShadowTerms]" = field(default_factory=dict)
    venue: str = DEFAULT.venue
    payments: tuple[Payment, ...] = ()
    book_tick: str = ""
    book_step: str = ""
    moved_to: str | None = None

    @classmethod
    def read(cls, folder: Path) -> "ShadowTerms":
        path = folder / TERMS
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            why = f"not the terms of a shadow ({error})"
            raise BrokenFile(f"{path}: {why}; name the folder of a shadow's run") from error

    def write(self, folder: Path) -> None:
        (folder / TERMS).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def regridded(self, session: "LiveSession | None") -> TryLater | None:
        """An error if the exchange has changed the grid: the run must end, and another one start."""
        if session is None or session.instrument is None:
            return None
        known, now = from_exchange_info(self.entry, TERMS), session.grid
        before = {"tick_size": short_text(known.tick_e8), "step_size": short_text(known.lot_e8)}
        changes = [f"{name} from {before[name]} to {text}" for name, text in now.items() if text != before[name]]
        if not changes:
            return None
        return TryLater(f"the exchange has changed the grid of {self.symbol}: {', '.join(changes)}; start it again")

    def fitted(self, knobs: PlayKnobs, day: Day, run: "Run") -> "ShadowTerms":
        opening = self.opening(knobs.market)
        if not self._play(knobs, opening).reads_micro_price:
            return self
        found = micro_price_before(day, knobs.market, opening)
        note_tapes(run, found.tapes)
        return replace(self, micro_price=found.fit.to_json() if found.fit else None)

    def play(self, knobs: PlayKnobs, run: "Run | None") -> Play:
        play = self._play(knobs, self.opening(knobs.market))
        if run is not None:
            log_notes(run.log, play.notes)
            note_files(run, play.knobs.files)
        fit = None if self.micro_price is None else MicroPriceFit.from_json(self.micro_price, TERMS)
        return replace(
            play, market_rules=replace(play.market_rules, decisions=True, micro_price=fit, feed_why=PAPER_FEED)
        )

    def _play(self, knobs: PlayKnobs, opening: Tape) -> Play:
        as_received = replace(knobs.execution, feed_latency="none")
        return Play.of(replace(knobs, execution=as_received, risk=NO_RISK), Markets([opening]))

    def opening(self, market: Market) -> Tape:
        """Only the first book: all that a backtest derives from the start of a day.

        Its lot is a thousandth of the quantity step, or 1e-8 if that does not divide it.
        """
        known = from_exchange_info(self.entry, TERMS)
        step_e8 = known.lot_e8 if market.qty_step is None else e8(market.qty_step)
        tick_e8 = known.tick_e8 if market.tick_size is None else e8(market.tick_size)
        least_e8 = known.min_notional_e8 if market.min_notional is None else e8(market.min_notional)
        if known.tick_e8 % tick_e8:
            whole = short_text(known.tick_e8)
            raise NothingQuotable("{tick_size} is {}; it must divide the exchange's {}", market.tick_size, whole)
        lot_e8, price_step_e8 = 1 if step_e8 % FINER else step_e8 // FINER, known.tick_e8
        tick_e8, lot_e8 = gcd(tick_e8, e8(self.book_tick or "0")), gcd(lot_e8, e8(self.book_step or "0"))
        grid = replace(known, tick_e8=tick_e8, lot_e8=lot_e8, min_notional_e8=least_e8)
        bids, asks = ([(grid.ticks(price), 1)] if price else [] for price in (self.best_bid, self.best_ask))
        tape = Tape.of(grid, [(self.book_us, "snapshot", bids, asks)], self.day)
        tape = replace(tape, step_lots=step_e8 // lot_e8, step_ticks=price_step_e8 // tick_e8)
        return replace(tape, meta=replace(tape.meta, venue=self.venue))


async def learn_terms(rest: "RestClient", symbol: str, day: str, log: "Logger") -> ShadowTerms:
    """Queries are retried without limit."""
    asking = (
        _until(rest, symbol, log, lambda: rest.exchange_info(symbol), ExchangeInfo),
        book_of(rest, symbol, log, _BOOK_LEVELS),
    )
    entry, (us, book) = await asyncio.gather(*asking)
    bid, ask = (side[0][0] if side else None for side in (book.bids, book.asks))
    found = msgspec.json.decode(entry[1].text)
    known, levels = from_exchange_info(found, TERMS), [*book.bids, *book.asks]
    book_tick = _finer(known.tick_e8, (price for price, _ in levels))
    book_step = _finer(known.lot_e8, (qty for _, qty in levels))
    if book_tick:
        log.warning("orders_off_tick", symbol=symbol, tick_size=short_text(known.tick_e8), book_tick=book_tick)
    terms = ShadowTerms(symbol, day, found, bid, ask, us, venue=rest.feed.market.venue)
    return replace(terms, book_tick=book_tick, book_step=book_step)


def _finer(step_e8: int, texts: Iterable[str]) -> str:
    seen_e8 = gcd(step_e8, *map(e8, texts))
    return "" if seen_e8 == step_e8 else short_text(seen_e8)


async def book_of(rest: "RestClient", symbol: str, log: "Logger", levels: int) -> tuple[int, DepthSnapshot]:
    """When the current book arrived, µs, and its best *levels* per side."""

    async def book() -> Answer:
        await rest.until_depth(symbol, levels)
        return await rest.depth(symbol, levels)

    return await _until(rest, symbol, log, book, DepthSnapshot)


async def _until(
    rest: "RestClient", symbol: str, log: "Logger", query: Callable[[], Any], kind: type[Any]
) -> tuple[int, Any]:
    decoder, last_cause, tried = rest.feed.decoder(symbol, Grid()), "", 0
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
            reply = f"responded {answer.body[:200].decode(errors='replace')}"
            raise UnlistedSymbol("{symbol} {!r} is not known: {} {}", symbol, answer.url, reply)
        if kind is ExchangeInfo and rest.feed.refuses_symbol(answer, symbol):
            raise UnlistedSymbol("{symbol} {!r} is not known: {} does not list it", symbol, answer.url)
        if answer.status == NOT_FOUND and tried >= NOT_FOUND_TRIES:
            raise TryLater(
                "{} answers 404 again and again: it does not serve {market} {}; give its market ({market}, or of one "
                "of {others} the key market), or another address ({rest_url}, or its key rest_url)",
                answer.url,
                rest.feed.market.name,
            )
        if cause != last_cause or tried % _WARN_EVERY == 0:
            last_cause = cause
            log.warning("exchange_silent", url=answer.url, cause=cause, tried_again_after_s=_RETRY_S)
        tried += 1
        await asyncio.sleep(_RETRY_S)
