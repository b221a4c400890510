"""Every order of a day, from its order log: who is ahead of whom at each price, and which orders met the queue.

A *step* is a LEVEL row of the log, counted from 0. An order's rank is the step at which it joined its price: earlier is
ahead. With this index ``queue_orders`` needs neither a book of orders nor the log.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from mm.clock import US_PER_S
from mm.dayfolder.layout import ROW_EXPIRE, ROW_LEVEL, ROW_REST, ROW_TRADE
from mm.tape._book import best_after_each
from mm.tape.columns import DEPTH, TRADE, Ints
from mm.tape.feed import strays

if TYPE_CHECKING:
    from mm.tape.events import TapeEvents
    from mm.tape.feed import Feed

MAY_NOT_REST = 1  # reason of an EXPIRE row: an order that may not rest, as `mm.sim.matching.order_log.REASON_IOC`
UNRANKED = 2**31 - 1  # rank of an execution against nothing displayed: behind all that is
ANY_PRICE = 1 << 61
MOST_STEPS = 2**31 - 2
QUIET_US = US_PER_S  # messages that much before or after a log's changes are not covered by it
CHANGE = np.dtype([("step", np.int32), ("joined", np.int32), ("lots", np.int64)])
MEET = np.dtype(
    [
        ("ticks", np.int64),
        ("lots", np.int64),
        ("joined", np.int32),
        ("side", np.int8),
        ("kind", np.uint8),
        ("begins", np.uint8),
        ("_", np.uint8),
    ]
)
KEPT = {
    "step_us": np.int64,
    "level": np.int64,
    "begin": np.int64,
    "change": CHANGE,
    "top_step": np.int32,
    "top_bid": np.int64,
    "top_ask": np.int64,
    "meet_us": np.int64,
    "meet": MEET,
    "near": np.int32,
    "other_meet": np.int64,
    "other_ticks": np.int64,
    "other_side": np.int8,
}
"""The arrays of an index, and their types."""
EXECUTED, RESTED, EXPIRED = range(3)
"""Kinds of meets."""
READINGS = ("print", "order")
"""Where an execution was: at its own price, or at the resting price of its order."""

Columns = Mapping[str, Ints]
NEEDED = {
    "us": np.int64,
    "kind": np.int8,
    "order_id": np.int64,
    "other_id": np.int64,
    "side": np.int8,
    "ticks": np.int64,
    "lots": np.int64,
}
"""The columns of a log that an index is made from, and their types here."""


@dataclass(frozen=True, slots=True)
class Consistency:
    """How far a market is first in, first out: *first_lots* of its executed lots had the first maker of a queue."""

    executed_lots: int
    first_lots: int

    @property
    def share(self) -> float | None:
        return self.first_lots / self.executed_lots if self.executed_lots else None


def joined(parts: Iterable[Consistency]) -> Consistency:
    every = list(parts)
    return Consistency(sum(part.executed_lots for part in every), sum(part.first_lots for part in every))


@dataclass(frozen=True, eq=False, kw_only=True)
class OrderIndex:
    """The orders of a day by price, and the orders that met them; instants are the log's.

    Attributes:
        step_us: Of each step.
        level: Prices with changes, ``2 * ticks``, + 1 for bids, ascending.
        begin: Start of each one's changes, and the end.
        change: `CHANGE`[n], by level: step, rank of the changed order, lots after it.
        top_step, top_bid, top_ask: Best prices (ticks) after the steps that changed one; 0 for none.
        meet_us: Of each *meet*: an execution, or an order that rests or expires with lots left.
        meet: `MEET`[m]: price (an order's limit), lots, maker's rank (`UNRANKED`: none displayed), side of the
            aggressor or order, kind, and whether it is its order's first.
        near: Meets except orders that rest at a price no better than their side's best: these reach an order of ours
            only after another has.
        other_meet, other_ticks, other_side: Executions whose order rests elsewhere, and where.
        spans: Stretches [begin_us, end_us) of the log; None: everything.
    """

    step_us: Ints
    level: Ints
    begin: Ints
    change: NDArray[np.void]
    top_step: NDArray[np.int32]
    top_bid: Ints
    top_ask: Ints
    meet_us: Ints
    meet: NDArray[np.void]
    near: NDArray[np.int32]
    other_meet: Ints
    other_ticks: Ints
    other_side: NDArray[np.int8]
    consistency: Consistency
    spans: tuple[tuple[int, int], ...] | None = None

    @classmethod
    def kept(cls, entry: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        spans = entry["spans"] and tuple((begin, end) for begin, end in entry["spans"])
        return cls(**arrays, consistency=Consistency(**entry["consistency"]), spans=spans)

    def entry(self) -> dict[str, Any]:
        own = self.consistency
        consistency = {"executed_lots": own.executed_lots, "first_lots": own.first_lots}
        return {"consistency": consistency, "spans": self.spans}

    def faults(self) -> Iterator[str]:
        steps, changes, meets = len(self.step_us), len(self.change), len(self.meet)
        rises = (self.begin[:1] == 0).all() and (self.begin[-1:] == changes).all() and (np.diff(self.begin) > 0).all()
        if len(self.begin) != len(self.level) + 1 or not rises or (np.diff(self.level) <= 0).any():
            yield f"the {len(self.level)} levels of orders do not cover the {changes} changes"
        if len(self.meet_us) != meets or (np.diff(self.meet_us) < 0).any() or (np.diff(self.step_us) < 0).any():
            yield "instants decrease"
        step = self.change["step"]
        fell = np.diff(step) <= 0
        fell[self.begin[1:-1] - 1] = False
        if fell.any() or ((step < 0) | (step >= steps) | (self.change["joined"] > step)).any():
            yield "changes of a level are not in the order of steps"
        if len({len(self.top_step), len(self.top_bid), len(self.top_ask)}) > 1 or (np.diff(self.top_step) <= 0).any():
            yield "best prices are not in the order of steps"
        if (np.diff(self.near) <= 0).any() or ((self.near < 0) | (self.near >= meets)).any():
            yield f"the near meets are not some of the {meets}, in order"
        if ((self.other_meet < 0) | (self.other_meet >= meets)).any() or len(self.other_meet) != len(self.other_ticks):
            yield f"an execution elsewhere is not one of the {meets} meets"

    def meets(self, reading: str) -> NDArray[np.void]:
        return self.meet if reading == READINGS[0] else self._by_order

    @cached_property
    def _by_order(self) -> NDArray[np.void]:
        meet = self.meet.copy()
        meet["ticks"][self.other_meet], meet["side"][self.other_meet] = self.other_ticks, self.other_side
        return meet

    def in_units(self, ticks: int, lots: int) -> Self:
        if ticks == lots == 1:
            return self
        change, meet = self.change.copy(), self.meet.copy()
        change["lots"] *= lots
        meet["lots"] *= lots
        priced = meet["ticks"] != ANY_PRICE
        meet["ticks"][priced] *= ticks
        own = self.consistency
        return replace(
            self,
            level=(self.level >> 1) * (2 * ticks) + (self.level & 1),
            change=change,
            meet=meet,
            top_bid=self.top_bid * ticks,
            top_ask=self.top_ask * ticks,
            other_ticks=self.other_ticks * ticks,
            consistency=Consistency(own.executed_lots * lots, own.first_lots * lots),
        )

    def shifted(self, by_us: int) -> Self:
        spans = self.spans and tuple((begin + by_us, end + by_us) for begin, end in self.spans)
        return replace(self, step_us=self.step_us + by_us, meet_us=self.meet_us + by_us, spans=spans)

    def before(self, us: int, tape: "TapeEvents") -> Self:
        """What had happened before *us* on *tape*'s clock."""
        step_us, meet_us = self.at(tape, None)
        steps, meets = int(np.searchsorted(step_us, us)), int(np.searchsorted(meet_us, us))
        known = self.change["step"] < steps
        begin = np.append(0, np.cumsum(known))[self.begin]
        has, tops = np.diff(begin) > 0, int(np.searchsorted(self.top_step, steps))
        others = int(np.searchsorted(self.other_meet, meets))
        return replace(
            self,
            step_us=self.step_us[:steps],
            level=self.level[has],
            begin=np.append(begin[:-1][has], begin[-1]),
            change=self.change[known],
            top_step=self.top_step[:tops],
            top_bid=self.top_bid[:tops],
            top_ask=self.top_ask[:tops],
            meet_us=self.meet_us[:meets],
            meet=self.meet[:meets],
            near=self.near[: np.searchsorted(self.near, meets)],
            other_meet=self.other_meet[:others],
            other_ticks=self.other_ticks[:others],
            other_side=self.other_side[:others],
        )

    def at(self, tape: "TapeEvents", feed: "Feed | None") -> tuple[Ints, Ints]:
        """Instants of steps and meets on the clock on which *tape* is played."""
        found: tuple[Ints, Ints] = self._kept("at", tape, feed, self._at)
        return found

    def _at(self, tape: "TapeEvents", feed: "Feed | None") -> tuple[Ints, Ints]:
        shifts = clock_shifts(tape, feed)
        return placed(self.step_us, shifts), placed(self.meet_us, shifts)

    def _kept(self, name: str, tape: "TapeEvents", feed: "Feed | None", make: Callable[..., Any]) -> Any:
        """What *make* made of the same tape and feed for the play before, if it was of them."""
        last = self._last.get(name)
        if last is None or last[0] is not tape or last[1] is not feed:
            last = self._last[name] = tape, feed, make(tape, feed)
        return last[2]

    @cached_property
    def _last(self) -> dict[str, Any]:
        return {}

    def dark(self, tape: "TapeEvents", feed: "Feed | None") -> list[tuple[int, int]]:
        """*tape*'s stretches without a log, on the clock on which it is played.

        They are outside its spans, and where the market went on before the log's first change of a level or after its
        last.
        """
        return list(self._kept("dark", tape, feed, self._dark))

    def _dark(self, tape: "TapeEvents", feed: "Feed | None") -> list[tuple[int, int]]:
        starts_us, ends_us = tape.start_us, tape.end_us + 1
        dark = self._beyond(tape, feed)
        if self.spans is not None:
            edges = placed(np.array(self.spans, np.int64).ravel(), clock_shifts(tape, feed)).tolist()
            dark += zip([starts_us, *edges[1::2]], [*edges[::2], ends_us], strict=True)
        stretches: list[tuple[int, int]] = []
        for begin, end in sorted((max(begin, starts_us), min(end, ends_us)) for begin, end in dark):
            if begin < end and stretches and begin <= stretches[-1][1]:
                stretches[-1] = stretches[-1][0], max(end, stretches[-1][1])
            elif begin < end:
                stretches.append((begin, end))
        return stretches

    def _beyond(self, tape: "TapeEvents", feed: "Feed | None") -> list[tuple[int, int]]:
        told = ((tape.kind == DEPTH) | (tape.kind == TRADE)) & (np.diff(tape.first_row) > 0) & ~strays(tape)
        clock_us = (tape.event_us if feed is None else feed.by_event)[told]
        us = np.where(tape.event_exch_us > 0, tape.event_exch_us, tape.event_us)[told]
        if not len(us) or not len(self.step_us):
            return []
        first, last = (int(self.step_us[at]) for at in (0, -1))
        beyond = []
        if (early := us < first - QUIET_US).any():
            beyond.append((tape.start_us, int(clock_us[early].max()) + 1))
        if (late := us > last + QUIET_US).any():
            beyond.append((int(clock_us[late].min()), tape.end_us + 1))
        return beyond


def clock_shifts(tape: "TapeEvents", feed: "Feed | None") -> tuple[Ints, Ints]:
    """Exchange times, ascending, and how far the playing clock is ahead of each.

    Between two stamped messages the earlier one's shift holds; without stamps both clocks are one.
    """
    stamped = ((tape.kind == DEPTH) | (tape.kind == TRADE)) & (tape.event_exch_us > 0) & ~strays(tape)
    exchange_us = tape.event_exch_us[stamped]
    clock_us = (tape.event_us if feed is None else feed.by_event)[stamped]
    order = np.argsort(exchange_us, kind="stable")
    return exchange_us[order], (clock_us - exchange_us)[order]


def placed(us: Ints, shifts: tuple[Ints, Ints]) -> Ints:
    exchange_us, shift = shifts
    if not len(exchange_us):
        return us
    from_row = np.append(np.searchsorted(us, exchange_us), len(us))
    ahead = np.repeat(shift, np.diff(from_row))
    before = np.full(from_row[0], shift[0])
    moved: Ints = np.maximum.accumulate(us + np.concatenate((before, ahead)))
    return moved


def order_index(parts: Iterable[Columns], spans: Sequence[tuple[int, int]] | None = None) -> OrderIndex:
    """Index a log given in parts of rows; raises ValueError if times decrease, or above 2³¹ level changes."""
    columns = _played(parts)
    us = columns["us"]
    steps = np.flatnonzero(columns["kind"] == ROW_LEVEL)
    if len(steps) > MOST_STEPS:
        raise ValueError(f"it has {len(steps):,} changes of levels; at most {MOST_STEPS:,} can be played")
    side, ticks, lots = (columns[name][steps] for name in ("side", "ticks", "lots"))
    row, bid, ask = best_after_each(side.astype(np.int8), ticks, lots)
    key = 2 * ticks + (side > 0)
    order = np.argsort(key, kind="stable")
    change = np.empty(len(steps), CHANGE)
    change["step"], change["lots"] = order, lots[order]
    level, first = np.unique(key[order], return_index=True)
    grown = np.empty_like(lots)
    grown[order] = _by(change["lots"], first)
    del side, ticks, lots  # of a day of 40 million rows each array of steps is 130 MB
    joined, left = _lives(columns["order_id"][steps], key, grown)
    change["joined"] = joined[order]
    del order, grown
    meets = _meets(columns, steps, joined, (row, bid, ask))
    return OrderIndex(
        step_us=us[steps],
        level=level,
        begin=np.append(first, len(steps)).astype(np.int64),
        change=change,
        top_step=row,
        top_bid=bid,
        top_ask=ask,
        **meets,
        consistency=_consistency(columns, steps, joined, left, key),
        spans=None if spans is None else tuple((int(begin), int(end)) for begin, end in spans),
    )


def _played(parts: Iterable[Columns]) -> Columns:
    """The rows that an index needs, in few bytes: a whole day's other rows need not fit in memory."""
    kept: dict[str, list[Ints]] = {name: [np.empty(0, kind)] for name, kind in NEEDED.items()}
    rows, last_us = 0, -ANY_PRICE
    for part in parts:
        us = part["us"]
        if len(fell := np.flatnonzero(np.diff(us, prepend=last_us) < 0)):
            raise ValueError(f"row {rows + fell[0] + 1} is at {us[fell[0]]}, before the row above it")
        rows, last_us = rows + len(us), us[-1] if len(us) else last_us
        used = np.isin(part["kind"], (ROW_LEVEL, ROW_TRADE, ROW_REST, ROW_EXPIRE))
        for name, column in kept.items():
            column.append(part[name][used].astype(NEEDED[name]))
    return {name: np.concatenate(kept.pop(name)) for name in NEEDED}


def _by(lots: Ints, first: Ints) -> Ints:
    """Differences from the lots before; a level begins with 0."""
    by = np.diff(lots, prepend=0)
    by[first] = lots[first]
    return by


def _lives(number: Ints, key: Ints, grown: Ints) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """When each step's order joined its price, and the step that took the rest of it.

    An order that returns joins again; one that stays leaves after all steps.
    """
    order = np.lexsort((key, number)).astype(np.int32)
    same = (np.diff(number[order]) == 0) & (np.diff(key[order]) == 0)
    begins = np.append(True, ~same)[: len(order)]
    del number, key
    grown = grown[order]
    total = np.cumsum(grown)
    base = total - grown
    run = _run(begins)
    ended = total - base[run] <= 0
    del total, base
    begins |= np.append(False, ended[:-1])[: len(order)]
    run = _run(begins)
    stop = np.append(np.flatnonzero(begins)[1:], len(order))[np.cumsum(begins) - 1] - 1 if len(order) else run
    joined, left = np.empty(len(order), np.int32), np.empty(len(order), np.int32)
    joined[order] = order[run]
    left[order] = np.where(ended[stop], order[stop], len(order)) if len(order) else 0
    return joined, left


def _run(begins: NDArray[np.bool_]) -> NDArray[np.int32]:
    at: NDArray[np.int32] = np.maximum.accumulate(np.where(begins, np.arange(len(begins), dtype=np.int32), 0))
    return at


def _makers(columns: Columns, trades: Ints, steps: Ints) -> Ints:
    """The LEVEL row behind each execution; -1 if nothing displayed was executed."""
    step = np.searchsorted(steps, trades)
    known = step < len(steps)
    known[known] &= columns["order_id"][steps[step[known]]] == columns["other_id"][trades[known]]
    known &= columns["other_id"][trades] != 0
    return np.where(known, step, -1)


def _meets(columns: Columns, steps: Ints, joined: NDArray[np.int32], tops: tuple[Any, Ints, Ints]) -> dict[str, Any]:
    kind = columns["kind"]
    kept = (kind == ROW_TRADE) | ((kind == ROW_REST) & (columns["lots"] > 0))
    kept |= (kind == ROW_EXPIRE) & (columns["other_id"] == MAY_NOT_REST) & (columns["lots"] > 0)
    kept &= np.abs(columns["side"]) == 1
    rows = np.flatnonzero(kept)
    us, side, ticks, taker = (columns[name][rows] for name in ("us", "side", "ticks", "order_id"))
    kinds = np.select([kind[rows] == ROW_TRADE, kind[rows] == ROW_REST], [EXECUTED, RESTED], EXPIRED)
    meet = np.zeros(len(rows), MEET)
    market = (kinds == EXPIRED) & (ticks == 0)
    meet["ticks"] = np.where(market & (side > 0), ANY_PRICE, ticks)
    meet["lots"], meet["side"], meet["kind"] = columns["lots"][rows], side, kinds
    meet["begins"] = np.append(True, (np.diff(us) != 0) | (np.diff(taker) != 0) | (np.diff(side) != 0))[: len(rows)]
    meet["joined"] = UNRANKED
    executed = np.flatnonzero(kinds == EXECUTED)
    maker = _makers(columns, rows[executed], steps)
    executed, maker = executed[maker >= 0], maker[maker >= 0]
    meet["joined"][executed] = joined[maker]
    at_ticks, at_side = columns["ticks"][steps[maker]], -columns["side"][steps[maker]]
    elsewhere = (at_ticks != meet["ticks"][executed]) | (at_side != meet["side"][executed])
    near = (kinds != RESTED) | _improves(np.searchsorted(steps, rows), side, ticks, tops)
    return {
        "meet_us": us,
        "meet": meet,
        "near": np.flatnonzero(near).astype(np.int32),
        "other_meet": executed[elsewhere].astype(np.int64),
        "other_ticks": at_ticks[elsewhere],
        "other_side": at_side[elsewhere].astype(np.int8),
    }


def _improves(step: Ints, side: Ints, ticks: Ints, tops: tuple[Any, Ints, Ints]) -> NDArray[np.bool_]:
    top_step, bid, ask = tops
    at = np.searchsorted(top_step, step) - 1
    best = np.where(side > 0, np.append(bid, 0)[at], np.append(ask, 0)[at])
    best[at < 0] = 0
    better: NDArray[np.bool_] = (best == 0) | (side * (ticks - best) > 0)
    return better


def _consistency(
    columns: Columns, steps: Ints, joined: NDArray[np.int32], left: NDArray[np.int32], key: Ints
) -> Consistency:
    """An order is first if all that joined its price before have left."""
    trades = np.flatnonzero(columns["kind"] == ROW_TRADE)
    maker = _makers(columns, trades, steps)
    trades, maker = trades[maker >= 0], maker[maker >= 0]
    lots = columns["lots"][trades]
    joins = np.flatnonzero(joined == np.arange(len(joined)))
    joins = joins[np.argsort(key[joins], kind="stable")]  # by price, in the order of joining
    level = np.cumsum(np.diff(key[joins], prepend=-1) != 0)
    high = level * (len(steps) + 1)
    latest = np.maximum.accumulate(left[joins] + high)
    before = np.append(-1, latest[:-1])[: len(joins)] - high  # below 0: none joined before
    last_left = np.empty(len(joined), np.int64)
    last_left[joins] = before
    first = last_left[joined[maker]] < maker
    return Consistency(int(lots.sum()), int(lots[first].sum()))
