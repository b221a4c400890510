"""The markets of a backtest: its days on one grid, others on their clock, and the days before."""

import hashlib
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from mm.backtest.as_traded import AsTraded, steps_path
from mm.base.audit_chain import audit_folder
from mm.clock import US_PER_MS, iso, us_from_ms
from mm.dayfolder.held_out import held_of, refuse_held
from mm.dayfolder.layout import DayFolder, day_folder, days_of, existing
from mm.dayfolder.ledger import LedgerView
from mm.dayfolder.rows import DefectList
from mm.errors import DataError, Mismatch, UsageError
from mm.instrument import e8, short_text
from mm.play.knobs import NO_OTHERS, NOT_AGAIN, Day, Market, OtherMarkets, TradeAgain
from mm.signals.contract import RecordedContract
from mm.signals.micro_price import MicroPriceFit, fit_micro_price
from mm.signals.other_feed import OtherFeed
from mm.tape.load import load_day
from mm.tape.received import received_day
from mm.tape.tape import Tape
from mm.tape.warnings import day_warnings

LITTLE = 0.99  # of the run's time that another market should cover
CLOCKS_US = 100 * US_PER_MS  # by which the receipt of two markets may differ without a note
KEYS = ("tape", "feed_latency_ms", "orders")
MICRO_PRICE = "micro_price"
MICRO_PRICE_DAYS = 5  # maximum number of earlier days for the fit of the micro-price


class FittedMicroPrice(NamedTuple):
    """The micro-price fitted on earlier days."""

    fit: MicroPriceFit | None = None
    tapes: "Sequence[Tape]" = ()


@dataclass(frozen=True)
class Markets:
    """The markets of a backtest.

    Attributes:
        fitting: Fits the micro-price, if a model reads it.
        declared: How each other market was given; with ``orders``, the knobs of orders there.
    """

    tapes: Sequence[Tape]
    others: Mapping[str, OtherFeed] = field(default_factory=dict)
    fitting: Callable[[], FittedMicroPrice] = FittedMicroPrice
    declared: Mapping[str, Any] = field(default_factory=dict)
    way: str = "OTHERS"

    @classmethod
    def open(cls, day: Day, market: Market, others: OtherMarkets = NO_OTHERS, again: TradeAgain = NOT_AGAIN) -> Self:
        return cls.beside(open_days(day, market, again), day, market, others, again)

    @classmethod
    def beside(
        cls, tapes: Sequence[Tape], day: Day, market: Market, others: OtherMarkets, again: TradeAgain = NOT_AGAIN
    ) -> Self:
        fitting = partial(micro_price_before, day, market, tapes[0])
        return cls(tapes, open_others(day, market, others, tapes, again), fitting, others.declared())

    @classmethod
    def given(cls, tapes: Sequence[Tape], others: Mapping[str, Any], micro_price: MicroPriceFit | None = None) -> Self:
        """*others* are tapes, or dicts of `KEYS`."""
        if len({tape.symbol for tape in tapes}) == 1:  # others are refused by their names
            tapes = on_one_grid(tapes)
        first = tapes[0]
        fit = None if micro_price is None else micro_price.checked(first.symbol, first.instrument.tick_e8)
        return cls(tapes, feeds_given(tapes, others), partial(FittedMicroPrice, fit), others, "others")

    @property
    def first(self) -> Tape:
        return self.tapes[0]

    @cached_property
    def micro_price(self) -> FittedMicroPrice:
        return self.fitting()


def open_days(day: Day, market: Market, again: TradeAgain = NOT_AGAIN) -> "list[Tape]":
    """Days on one grid, with order steps that every day allows; raises Mismatch, MissingDay or UsageError."""
    if not day.open_held_out:
        refuse_held(day.data_root, day.symbol, day.days())
    folders = [day_folder(day.data_root, day.symbol, name) for name in day.days()]
    if (traded := as_traded(day, again)) is not None:
        return [_as_traded(traded, market, folders)]
    opened = [
        load_day(
            folder,
            cache=day.tapes,
            damaged=day.damaged,
            open_held_out=day.open_held_out,
            tick_size_e8=_e8(market.tick_size),
            qty_step_e8=_e8(market.qty_step),
            min_notional_e8=_e8(market.min_notional),
        )
        for folder in folders
    ]
    return on_one_grid([_without_us(tape, folder, day) for tape, folder in zip(opened, folders, strict=True)])


def as_traded(day: Day, again: TradeAgain) -> AsTraded | None:
    """The trade that a backtest replays, if named."""
    if again.as_traded is None:
        return None
    path = steps_path(day.out_root, day.symbol, again.as_traded)
    return AsTraded.read(path, reported=again.traded_fills)


def _as_traded(traded: AsTraded, market: Market, folders: "list[DayFolder]") -> "Tape":
    if len(folders) != 1:
        raise UsageError("{as_traded} {}: a trade has one day, {day} names {}", traded.path.parent, len(folders))
    terms = traded.rows_run_id, traded.grid_e8, traded.end_us
    return _received(folders[0], *terms, _e8(market.qty_step))


def _beside(traded: AsTraded, name: str, theirs: Day) -> "Tape":
    if name not in traded.beside:
        raise UsageError("{as_traded} {}: the trade did not see {} of {others}; give its own", traded.path.parent, name)
    return _received(day_folder(theirs.data_root, theirs.symbol, theirs.days()[0]), *traded.received(name))


def _received(
    folder: DayFolder, run_id: str, grid_e8: tuple[int, int], end_us: int, qty_step_e8: int | None = None
) -> "Tape":
    tape = received_day(folder, run_id, grid_e8, end_us, qty_step_e8)
    if tape is None:
        raise DataError("{}: no market of the run {}, which {as_traded} names", folder.path, run_id)
    return tape


def _without_us(tape: "Tape", folder: "DayFolder", day: Day) -> "Tape":
    market = tape.meta.market
    roots = [root for root in (day.out_root, day.out_root / market.name) if audit_folder(root, folder.symbol).is_dir()]
    if day.own_orders == "keep" or (day.own_orders == "auto" and not roots):
        return tape
    from mm.backtest.days_without_us import OwnActivity, without_us  # imported here: most days have no orders of ours
    from mm.play.own_activity import is_of_contract, logs_of_day, own_activity

    view = LedgerView.of(folder, DefectList(folder))
    if day.own_orders == "auto":
        paths = [path for root in roots for path in logs_of_day(root, folder.symbol, folder.day, view.runs)]
        logs = [path for path in paths if is_of_contract(path) is market.contract]
    else:
        path = Path(day.own_orders).expanduser()
        logs = sorted(path.glob("*.ndjson")) if path.is_dir() else [path]
    if not logs:
        return tape
    own = OwnActivity.joined(own_activity(path) for path in logs)
    if view.knob("trade_stream", "trade") != "trade":  # an aggregate is of several trades, and stays
        own = replace(own, trade_ids=frozenset())
    without = without_us(tape, own)
    read = [
        (os.path.relpath(path, day.data_root), path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in logs
    ]
    meta = replace(without.meta, inputs=(*without.meta.inputs, *read))
    return replace(without, meta=meta).with_orders_of(without)  # which says why there are none


def on_one_grid(opened: "Sequence[Tape]") -> "list[Tape]":
    """A common lot size, and order steps that every day allows; Mismatch if ticks differ."""
    ticks = {tape.instrument.tick_e8: tape.days[0] for tape in opened}
    if len(ticks) > 1:
        named = ", ".join(f"{name} has {short_text(tick)}" for tick, name in ticks.items())
        raise Mismatch(
            "{}: the days have different tick sizes ({}); run them separately, or set {tick_size}",
            opened[0].symbol,
            named,
        )
    lot_e8 = math.gcd(*(tape.instrument.lot_e8 for tape in opened))
    opened = [tape.with_lot(lot_e8) for tape in opened]
    ticks_of, lots_of = {tape.step_ticks for tape in opened}, {tape.step_lots for tape in opened}
    if len(ticks_of) == len(lots_of) == 1:
        return opened
    step_ticks, step_lots = math.lcm(*ticks_of), math.lcm(*lots_of)
    return [replace(tape, step_ticks=step_ticks, step_lots=step_lots).with_orders_of(tape) for tape in opened]


def other_day(day: Day, others: OtherMarkets, name: str) -> Day:
    declared = others.declared()[name]
    return replace(day, symbol=declared["symbol"], data_root=Path(declared.get("data_root") or day.data_root))


def open_others(
    day: Day, market: Market, others: OtherMarkets, own: "Sequence[Tape]", again: TradeAgain = NOT_AGAIN
) -> dict[str, OtherFeed]:
    traded = as_traded(day, again)
    grid = replace(market, tick_size=None, qty_step=None, min_notional=None)
    feeds = {}
    for name, declared in others.declared().items():
        theirs = other_day(day, others, name)
        read = open_days(theirs, grid) if traded is None else [_beside(traded, name, theirs)]
        opened = [_with_contract(tape, theirs) for tape in read]
        feed = feed_of_market(name, own, opened, declared.get("feed_latency_ms"))
        if feed.feed_latency_ms is None:  # else arrivals are not those that were recorded
            days = tuple(one for tape in opened for one in tape.days)
            told = RecordedContract(theirs.data_root, theirs.symbol, days)
            told()  # before a model runs, so that nothing is read on its behalf
            feed = feed._replace(told=told)
        feeds[name] = feed
    return feeds


def _with_contract(tape: Tape, day: Day) -> Tape:
    folders = [DayFolder(day.data_root, tape.symbol, name) for name in tape.days]
    read = [
        (os.path.relpath(path, day.data_root), path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for folder in folders
        if (path := existing(folder.contract))
    ]
    if not read:
        return tape
    return replace(tape, meta=replace(tape.meta, inputs=(*tape.meta.inputs, *read))).with_orders_of(tape)


def micro_price_before(day: Day, market: Market, tape: Tape) -> FittedMicroPrice:
    """Fit on the recorded days before *tape*, at most the last `MICRO_PRICE_DAYS`."""
    earlier = [name for name in days_of(day.data_root, day.symbol) if name < tape.days[0]]
    held = held_of(day.data_root, day.symbol, earlier)
    names = [name for name in earlier if name not in held][-MICRO_PRICE_DAYS:]
    grid = replace(market, qty_step=None, min_notional=None)
    opened = [read for name in names for read in open_days(replace(day, day=name), grid)]
    fitting = [read for read in opened if read.instrument.tick_e8 == tape.instrument.tick_e8]
    return FittedMicroPrice(fit_micro_price(fitting) if fitting else None, fitting)


def _e8(text: str | None) -> int | None:
    return None if text is None else e8(text)


def feed_of_market(
    name: str, own: Sequence[Tape], tapes: Sequence[Tape], feed_latency_ms: float | None = None
) -> OtherFeed:
    """Return the feed of another market, and notes for a reader of the results.

    Args:
        feed_latency_ms: Time from its exchange to us: events are placed by exchange time on the run's clock. None takes
            receive times as recorded, so one clock must have stamped both.
    """
    notes = [_overlap(name, own, tapes), *(f"{name}: {note}" for tape in tapes for note in day_warnings(tape))]
    ours, theirs = _late_us(own), _late_us(tapes)
    if feed_latency_ms is not None:
        if ours is None or theirs is None:
            lacking = own[0].symbol if ours is None else tapes[0].symbol
            raise Mismatch(
                "{others}: {} has feed_latency_ms, but {} has no exchange times to place its events by; leave it out",
                name,
                lacking,
            )
        tapes = [placed(tape, ours - theirs) for tape in tapes]
    elif ours is not None and theirs is not None and abs(theirs - ours) > CLOCKS_US:
        notes.append(
            f"clocks: {name} ({tapes[0].symbol}) was received {theirs / US_PER_MS:+,.0f} ms from its exchange's time "
            f"and {own[0].symbol} {ours / US_PER_MS:+,.0f} ms, so their clocks or routes differ by "
            f"{abs(theirs - ours) / US_PER_MS:,.0f} ms; feed_latency_ms in OTHERS places both by exchange time"
        )
    span = own[0].start_us, own[-1].end_us
    delay_us = 0 if feed_latency_ms is None else us_from_ms(feed_latency_ms)
    return OtherFeed(tapes[0].instrument, tuple(tapes), delay_us, tuple(filter(None, notes)), feed_latency_ms, span)


def placed(tape: Tape, shift_us: int) -> Tape:
    """Events at exchange times plus *shift_us*, in recorded order, as they came over one connection."""
    us = np.maximum.accumulate(tape.feed.by_event) + shift_us
    return tape.restamped(us, tape.start_us + shift_us, max(tape.end_us + shift_us, int(us[-1]) if len(us) else 0))


def _late_us(tapes: Sequence[Tape]) -> int | None:
    stamped = [tape for tape in tapes if bool((tape.event_exch_us > 0).any())]
    return stamped[0].feed.offset_us if stamped else None


def _overlap(name: str, own: Sequence[Tape], tapes: Sequence[Tape]) -> str:
    both = sum(
        max(min(tape.end_us, other.end_us) - max(tape.start_us, other.start_us), 0) for tape in own for other in tapes
    )
    length = sum(tape.end_us - tape.start_us for tape in own)
    if both == 0 and length:
        spans = [f"{span[0].symbol} covers {iso(span[0].start_us)} to {iso(span[-1].end_us)}" for span in (tapes, own)]
        raise Mismatch(
            "{others}: {} does not overlap with the run: {}, {}; give days that both markets have",
            name,
            spans[0],
            spans[1],
        )
    if both >= LITTLE * length:
        return ""
    return f"{name} ({tapes[0].symbol}) covers {100 * both / length:.0f} % of the run, and has no prices in the rest"


def feeds_given(own: Sequence[Tape], others: Mapping[str, Any]) -> dict[str, OtherFeed]:
    """Feeds of tapes, or of dicts of `KEYS`; raises UsageError or Mismatch."""
    feeds = {}
    for name, given in others.items():
        entry = given if isinstance(given, Mapping) else {"tape": given}
        tapes = [entry["tape"]] if isinstance(entry.get("tape"), Tape) else list(entry.get("tape") or ())
        if not re.fullmatch(r"\w+", name) or not tapes or entry.keys() - set(KEYS):
            raise UsageError(
                f"others[{name!r}] is {given!r}; give a tape, or a dict of {', '.join(KEYS)}, under a name such as lead"
            )
        feeds[name] = feed_of_market(name, own, tapes, entry.get("feed_latency_ms"))
    return feeds
