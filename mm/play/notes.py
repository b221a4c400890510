"""Notes on a backtest before it plays, as values; each caller words them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.backtest.exchange_sessions import sessions_of
from mm.backtest.metrics.notes import short_of_fee
from mm.backtest.preset import Hours
from mm.backtest.quotes.agent_file import SavedAgent
from mm.backtest.rules import Execution, Rules
from mm.backtest.run_terms import (
    ASSUMED_FEES,
    DAYS_NOT_PLAYED,
    FEE_RATE,
    IMPLAUSIBLE_FEE,
    SPOT_FEES,
    UNEARNED_FEE,
    fraction_of,
)
from mm.clock import missing_days
from mm.instrument import E8, assets_of, e8, short_text
from mm.play.engine_rules import first_mid_e8
from mm.signals.artefact import Artefact
from mm.tape.warnings import day_warnings

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.backtest.result import Result
    from mm.play.market import Markets
    from mm.tape.tape import Tape

FIRST_MIN = 10  # minutes that are played to see whether quotes can earn the fee


@dataclass(frozen=True, slots=True)
class Note:
    name: str
    fields: Mapping[str, Any]
    is_warning: bool = True
    words: str = ""

    @classmethod
    def warning(cls, name: str, words: str = "", **fields: Any) -> "Note":
        return cls(name, fields, words=words)

    @classmethod
    def info(cls, name: str, **fields: Any) -> "Note":
        return cls(name, fields, is_warning=False)


def words_of(notes: Iterable[Note]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{note.name}: {note.words}" for note in notes if note.words))


def day_notes(tapes: "Iterable[Tape]") -> tuple[str, ...]:
    return tuple(dict.fromkeys(note for tape in tapes for note in day_warnings(tape)))


def log_notes(log: "Logger", notes: Iterable[Note]) -> None:
    for note in notes:
        (log.warning if note.is_warning else log.info)(note.name, **note.fields)


def missing_days_note(tapes: "Sequence[Tape]") -> Iterator[Note]:
    if between := missing_days([day for tape in tapes for day in tape.days]):
        yield Note.warning(DAYS_NOT_PLAYED, days=between, way_out="run the parts separately, or add these days")


def holidays_note(hours: Hours | None) -> Iterator[Note]:
    if hours is not None and hours.calendar and sessions_of(hours.calendar, 2000) is None:
        way_out = "pip install 'mm-research[calendars]'"
        words = f"holidays and early closes of {hours.calendar} are unknown and count as open: {way_out}"
        yield Note.warning("holidays_unknown", words, calendar=hours.calendar, way_out=way_out)


LEAST_CLIP = 1
"""Value of a clip, in dollars or euros, below which exchanges accept no order: Binance's least is 5."""
_DOLLARS = {"USDT", "USDC", "FDUSD", "TUSD", "BUSD", "DAI", "USD", "EUR"}


def clip_note(tape: "Tape", quote_lots: int) -> Iterator[Note]:
    grid, mid_e8 = tape.instrument, first_mid_e8(tape)
    quote = grid.quote_asset or assets_of(grid.symbol)[1]
    worth = (mid_e8 or 0) * quote_lots * grid.lot_e8 * grid.multiplier / E8 / E8
    if quote in _DOLLARS and 0 < worth < LEAST_CLIP:
        way_out = "set QUOTE_QTY, or MIN_NOTIONAL to the exchange's least"
        words = (
            f"a clip of {short_text(quote_lots * grid.lot_e8)} is worth {worth:.2g} {quote}, less than exchanges "
            f"accept (5 on Binance), so these orders could not be sent: {way_out}"
        )
        yield Note.warning("small_clip", words, clip_worth=round(worth, 4), quote_asset=quote, way_out=way_out)


def unearned_fee(first: "Result") -> Iterator[Note]:
    """Warn, from a play of the first `FIRST_MIN` minutes, that the quotes rest nearer than the fee; at most once."""
    short = short_of_fee(first.journal, first.terms, first.summary["quoted_half_spread_ticks"]["p50"])
    if short is not None:
        way_out = "quotes rest nearer; set MAKER_FEE_RATE to your account's rate, or quote wider"
        # how far they rest is a number of the whole run, which the summary's line has
        yield Note.warning(UNEARNED_FEE, first_minutes=FIRST_MIN, fee_ticks=round(short[1], 4), way_out=way_out)


def fee_notes(markets: "Markets", *rules: Rules) -> Iterator[Note]:
    yield from _fee_notes(markets.first, rules)
    for name, feed in markets.others.items():
        legs = [market_rules.legs[name] for market_rules in rules if name in market_rules.legs]
        for note in _fee_notes(feed.first, legs):
            yield replace(note, fields={"market": name, **note.fields})


def _fee_notes(tape: "Tape", rules: Sequence[Rules]) -> Iterator[Note]:
    odd = {(knob, rate_e8): None for market_rules in rules for knob, rate_e8 in market_rules.implausible_fees.items()}
    for knob, rate_e8 in odd:
        way_out = fraction_of(knob, rate_e8)
        yield Note.warning(IMPLAUSIBLE_FEE, knob=knob, rate=short_text(rate_e8), way_out=way_out)
    usual = tape.meta.market.fees
    if usual and any(tuple(map(e8, usual)) == (one.maker_fee_e8, one.taker_fee_e8) for one in rules):
        words = (
            f"fills pay {usual[0]} (maker) and {usual[1]} (taker), the fees assumed for {tape.meta.market.title}: set "
            f"MAKER_FEE_RATE and TAKER_FEE_RATE to your account's"
        )
        yield Note.warning(ASSUMED_FEES, words, maker=usual[0], taker=usual[1])
    if tape.meta.market.contract and any("MAKER_FEE_RATE" in market_rules.default_fees for market_rules in rules):
        way_out = "set MAKER_FEE_RATE to your account's rate"
        yield Note.warning(SPOT_FEES, day=tape.days[0], rate=FEE_RATE, way_out=way_out)


def agent_notes(path: Path, agent: SavedAgent, execution: Execution, tapes: "Sequence[Tape]") -> Iterator[Note]:
    """How a market or run differs from the agent's training."""
    trained, symbol = agent.terms.symbol, tapes[0].symbol
    if trained != symbol:
        words = f"the agent {path.name} was trained on {trained}, and this is {symbol}"
        yield Note.warning("agent_of_another_symbol", words, path=str(path), trained_on=trained, symbol=symbol)
    trained_ms, played_ms = agent.requote_interval_ms, execution.requote_interval_ms
    if trained_ms != played_ms:
        way_out = f"set REQUOTE_INTERVAL_MS={trained_ms:g}, or train an agent with {played_ms:g}"
        words = f"the agent {path.name} quotes every {played_ms:g} ms, but learned at {trained_ms:g} ms: {way_out}"
        fields = {"path": str(path), "trained_ms": trained_ms, "way_out": way_out}
        yield Note.warning("agent_requotes_otherwise", words, **fields)
    overlap = sorted({day for tape in tapes for day in tape.days} & agent.days)
    if overlap:
        yield Note.warning("agent_in_sample", path=str(path), days=",".join(overlap))


def predictor_notes(predictors: Mapping[str, Artefact], begin_us: int) -> Iterator[Note]:
    """Predictors that do not suit a run from *begin_us*."""
    for path, artefact in predictors.items():
        if artefact.is_in_sample(begin_us):
            way_out = "read the PnL as in-sample, or fit it on earlier days"
            days = ",".join(artefact.about["days"])
            yield Note.warning("predictor_in_sample", path=path, days=days, way_out=way_out)
        if not artefact.about["usable"]:
            best = artefact.about["score"]["best_baseline"]
            yield Note.warning("predictor_not_usable", path=path, does_not_beat=best)
