"""Backtest of one or more tapes in one call."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.as_traded import as_reported
from mm.backtest.fills.intensity import Intensity, Poisson
from mm.backtest.journal import Orders
from mm.backtest.margin import MarginAccount
from mm.backtest.market_again import MarketAgain
from mm.backtest.metrics.order_lives import mid_offsets
from mm.backtest.models import FILL_BIAS
from mm.backtest.paper_exchange import PaperExchange, require_orders
from mm.backtest.result import Result
from mm.backtest.rules import NO_FEED, Rules
from mm.backtest.run_terms import RunTerms
from mm.backtest.strategy_info import bound_clips, strategy_fields
from mm.base.arrays import Ints
from mm.clock import US_PER_MS
from mm.errors import UsageError
from mm.signals.artefact import predictors_of
from mm.tape.columns import release
from mm.tape.load import require_symbol
from mm.tape.order_index import joined
from mm.tape.tape import Tape
from mm.tape.warnings import day_warnings, excluded_spans

if TYPE_CHECKING:
    from mm.backtest.journal import Journal
    from mm.backtest.paper_exchange import Leg
    from mm.signals.artefact import Artefact
    from mm.signals.other_feed import OtherFeed
    from mm.tape.feed import Feed
    from mm.tape.order_index import Consistency


def backtest(  # noqa: PLR0913 - inputs, terms and requested outputs
    tape: Tape | Iterable[Tape],
    quotes: object,
    fills: object,
    rules: Rules,
    *,
    step: Callable[[int], None] | None = None,
    intensity: Intensity | None = None,
    keeps_orders: bool = True,
    on_orders: "Callable[[Orders], None] | None" = None,
) -> "Result":
    """Play recorded days against a quote model and a fill model.

    Models that read only best prices and trades visit nothing else: equal results, faster.

    Args:
        intensity: Predicts fills; None uses a Poisson model's.
        on_orders: Gets each hour's order rows, which the journal then lacks.

    Raises:
        Mismatch: If tapes do not follow each other on one grid, or a predictor is of another market.
        UsageError: If the target inventory is beyond the quotes' bound.
        ModelError: If a user's model raises, or returns an invalid value.
    """

    def passed(us: int) -> None:
        if on_orders:
            on_orders(Orders(replay.exchange.engine.order_rows()))
        if step:
            step(us)

    given = (tape,) if isinstance(tape, Tape) else tape if isinstance(tape, Sequence) else ()
    for day in given:
        require_orders(fills, day)
    replay = Replay(quotes, fills, rules, intensity=intensity, keeps_orders=keeps_orders)
    for day in [tape] if isinstance(tape, Tape) else tape:
        replay.begin(day)
        if rules.as_traded is not None:
            for _, _, act in MarketAgain(replay.exchange, rules.as_traded, day).actions():
                act()
        else:
            replay.exchange.run(day, passed, best=not replay.exchange.needs_depth)
        if on_orders:
            on_orders(Orders(replay.exchange.engine.order_rows()))
        replay.ended(day)
        if not (len(given) == 1 or day.keep_mapped):  # a further run may read it
            day.release_memory()  # of many days, one is in memory
    return replay.result(given)


class Replay:
    """A backtest of one market, day by day; arguments as of `backtest` and `PaperExchange`."""

    def __init__(  # noqa: PLR0913 - as of `backtest`
        self,
        quotes: object,
        fills: object,
        rules: Rules,
        *,
        intensity: Intensity | None = None,
        keeps_orders: bool = True,
        account: MarginAccount | None = None,
        symbol: str = "",
    ) -> None:
        _check_target(quotes, rules)
        self.exchange = PaperExchange(quotes, fills, rules, keeps_orders=keeps_orders, account=account, symbol=symbol)
        self._models = (quotes, fills, intensity)
        self._predicting = _predicting(fills, intensity)
        self._first: Tape | None = None
        self._predictors = list["Artefact"]()
        self._days, self._spans = list[str](), list[tuple[int, int]]()
        self._offsets, self._queues = list[Ints](), list["Consistency"]()
        self._notes, self._excluded = list[str](), list[str]()
        self._sums = np.zeros(4, np.int64)  # lost lines, raised times, time without trades, all time

    @property
    def began(self) -> bool:
        return self._first is not None

    def begin(self, day: Tape) -> None:
        if self._first is None:
            self._first, self._predictors = day, _predictors(day, *self._models[:2])
        require_symbol(self._first, day, "backtest")
        self._days.extend(day.days)
        self._spans.append((day.start_us, day.end_us))

    def ended(self, day: Tape) -> None:
        exchange, rules = self.exchange, self.exchange.rules
        feed = exchange.last_feed
        if self._predicting is not None and self._predicting.reference != "mid":
            self._offsets.append(_reference_offsets(self._predicting.reference, day, feed))
        self._notes += [*day_warnings(day), *_feed_notes(day, feed, rules, is_first=day is self._first)]
        self._excluded += excluded_spans(day)
        if exchange.fills.needs_orders and day.orders is not None:
            self._queues.append(day.orders.consistency)
            self._excluded += exchange.without_log()
        self._sums += (
            *(day.meta.counts.get(name, 0) for name in ("lost_lines", "clock_raised")),
            day.doubts.untraded_us,
            day.doubts.window_us,
        )

    def result(self, played: Sequence[Tape]) -> "Result":
        """Raises UsageError if no day was played."""
        first, exchange, rules = self._first, self.exchange, self.exchange.rules
        if first is None:
            raise UsageError("backtest has no tape; give at least one")
        others = [span for feed in rules.others.values() for other in feed.tapes for span in excluded_spans(other)]
        # a day may be played in parts
        noted, left_out = (tuple(dict.fromkeys(said)) for said in (self._notes, [*self._excluded, *others]))
        journal = _journal(exchange)
        terms = terms_of(
            *(exchange, first, self._models),
            days=tuple(self._days),
            lost_lines=int(self._sums[0]),
            starts_us=tuple(begin for begin, _ in self._spans),
            between_days_us=sum(max(begin - end, 0) for (_, end), (begin, _) in pairwise(self._spans)),
            clock_raised=int(self._sums[1]),
            untraded=int(self._sums[2]) / max(int(self._sums[3]), 1),
            day_notes=noted,
            excluded=left_out,
            offsets=np.concatenate(self._offsets) if self._offsets else None,
            feed=exchange.first_feed,
            fifo_consistency=joined(self._queues).share,
            predictors=tuple(predictor.terms(journal.counters["first_us"]) for predictor in self._predictors),
        )
        return Result(journal, terms, played, leg_results(exchange, terms))


def _feed_notes(tape: Tape, feed: "Feed | None", rules: Rules, *, is_first: bool) -> Iterator[str]:
    if feed is None:
        if is_first and rules.feed_why.startswith(NO_FEED):
            yield f"{rules.feed_why}; orders meet the market when we receive it, although the exchange was ahead of us"
        return
    if feed.stray:
        yield f"{tape.symbol} {tape.days[0]}: {feed.stray}"
    if not is_first and rules.recorded_feed and (reason := tape.no_feed):
        yield f"{NO_FEED}{tape.symbol} {tape.days[0]}: {reason}; it was played under FEED_LATENCY=recorded all the same"


def leg_results(exchange: PaperExchange, run: RunTerms) -> dict[str, Result]:
    return {name: _leg_result(leg, exchange.rules.others[name], run) for name, leg in exchange.legs.items()}


def _leg_result(leg: "Leg", feed: "OtherFeed", run: RunTerms) -> Result:
    exchange, first = leg.exchange, feed.first
    days = tuple(day for tape in feed.tapes or (first,) for day in tape.days)
    terms = terms_of(exchange, first, (leg, exchange.fills, None), days=days, quote_model=run.quote_model)
    return Result(_journal(exchange), terms, feed.within_run())


def _journal(exchange: PaperExchange) -> "Journal":
    journal, again = exchange.journal(), exchange.rules.as_traded
    return as_reported(journal, again) if again is not None and again.reported else journal


def terms_of(
    exchange: PaperExchange, tape: Tape, models: tuple[object, object, Intensity | None], **played: Any
) -> RunTerms:
    """The terms of a run that *exchange* has played from *tape* on; *played* are the caller's additions."""
    terms, funding, margin = run_terms(tape, exchange.rules, models), dict[str, Any](), dict[str, Any]()
    if tape.meta.market.contract:
        doubts = ((payment.us, payment.mark_e8 > 0, payment.doubt) for payment in exchange.funding_doubts)
        funding = {
            "funding_e8": exchange.funding_e8,
            "target_funding": tuple(exchange.target_funding),
            "funding_doubts": tuple(doubts),
            "spot_fees": exchange.rules.default_fees,
        }
    if exchange.margin is not None:
        report = exchange.margin.report()
        margin = {"margin": report.to_dict(), "liquidated_us": report.liquidated_us}
    feed = {**(terms.feed or {}), **played.pop("feed", {})}
    return replace(terms, feed=feed, **played, **funding, **margin)


def run_terms(tape: Tape, rules: Rules, models: tuple[object, object, Intensity | None]) -> RunTerms:
    """*models* are quotes, fills and intensity."""
    quotes, fills, intensity = models
    return RunTerms(
        seed=rules.latency_seed,
        instrument=replace(tape.instrument, multiplier=rules.multiplier),
        market=tape.meta.market.name,
        days=tape.days,
        quote_model=model_name(quotes),
        fill_model=model_name(fills),
        knows_next_move=getattr(fills, "knows_next_move", True) is not False,
        initial_cash_e8=rules.start_cash_e8,
        quote_lots=rules.quote_lots,
        target_lots=rules.target,
        days_a_year=rules.days_a_year,
        implausible_fees=rules.implausible_fees,
        maker_fees_e8=(rules.maker_fee_e8, rules.maker_unit_fee_e8),
        fill_bias=FILL_BIAS.get(model_name(fills)),
        intensity=_predicting(fills, intensity),
        others={name: feed.described() for name, feed in rules.others.items()} or None,
        feed={
            "kind": rules.feed_kind,
            "why": rules.feed_why or "the rules of the run",
            "median_ms": rules.feed_us / US_PER_MS,
            **({"late_ms": rules.feed_us / US_PER_MS} if rules.feed_us else {}),
        },
        **strategy_fields(quotes),
    )


def _predicting(fills: object, intensity: Intensity | None) -> Intensity | None:
    return fills.intensity if intensity is None and isinstance(fills, Poisson) else intensity


def _predictors(tape: Tape, *models: object) -> "list[Artefact]":
    folders = any(
        hasattr(model, "predictor_folder") or "/" in "".join(getattr(model, "signals", ())) for model in models
    )
    if not folders:
        return []  # without importing their modules

    artefacts = {path: artefact for model in models for path, artefact in predictors_of(model).items()}
    for artefact in artefacts.values():
        artefact.check(tape.symbol, tape.instrument.tick_e8)
    return list(artefacts.values())


def _reference_offsets(reference: str, tape: Tape, feed: "Feed | None") -> Ints:
    us = tape.event_us if feed is None else feed.by_event
    prices, lots = (tape.top_bid_ticks, tape.top_ask_ticks), (tape.top_bid_lots, tape.top_ask_lots)
    return mid_offsets(reference, us[tape.top_event], prices, lots)


def model_name(model: object) -> str:
    name = getattr(model, "name", None)
    return name if isinstance(name, str) else type(model).__name__


def _check_target(quotes: object, rules: Rules) -> None:
    bound, away = bound_clips(quotes), (rules.start_lots - rules.target) / rules.quote_lots
    if bound is not None and abs(away) > bound:
        where = "below" if away > 0 else "above"
        raise UsageError(
            "{target_inventory} is {:g} clips {} the initial inventory, and the bound is {:g} clips; set a nearer "
            "target, a larger {quote_qty}, or a larger q_max in {quote_params_json}",
            abs(away),
            where,
            bound,
        )


def by_events(tapes: Sequence[Tape], step: Callable[[int], None]) -> Callable[[int], None]:
    """Turn progress in µs of tape into progress in events, which are closer to the work."""
    number = at_us = counted = 0

    def advance(us: int) -> None:
        nonlocal number, at_us, counted
        tape = tapes[number]
        at_us += us
        past = int(np.searchsorted(tape.event_us, tape.start_us + at_us, side="right"))
        release(tape.event_us)
        if at_us >= tape.end_us - tape.start_us:
            past, after = len(tape), ((number + 1) % len(tapes), 0, 0)
        else:
            after = (number, at_us, past)
        step(past - counted)
        number, at_us, counted = after

    return advance
