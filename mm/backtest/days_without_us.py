"""Recorded days on which we traded, without our own orders and trades."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mm.backtest.engine.live_feed import FeedEvent
from mm.backtest.market_without_us import MarketWithoutUs
from mm.clock import US_PER_MS
from mm.tape.build import EventColumns, RecordedRows, TapeBuilder
from mm.tape.columns import TapeFacts
from mm.tape.freshest import Row
from mm.tape.tape import DEPTH, KEYFRAME, SNAPSHOT, TRADE, Tape


@dataclass(frozen=True)
class RecordedOrder:
    """One of our orders, with the exchange's instants."""

    side: int
    price_e8: int
    qty_e8: int
    left_e8: tuple[tuple[int, int], ...]
    fills: tuple[tuple[int, int], ...] = ()
    client_id: str = ""


@dataclass(frozen=True)
class OwnActivity:
    orders: tuple[RecordedOrder, ...]
    trade_ids: frozenset[int]

    @classmethod
    def joined(cls, parts: "Iterable[OwnActivity]") -> "OwnActivity":
        activities = list(parts)
        ids = frozenset(number for part in activities for number in part.trade_ids)
        return cls(tuple(order for part in activities for order in part.orders), ids)


def without_us(tape: Tape, own: OwnActivity) -> Tape:
    """Our orders of other days change nothing."""
    ours = sorted((order for order in own.orders if order.left_e8), key=lambda order: order.left_e8[0][0])
    is_ours = (tape.kind == TRADE) & np.isin(tape.event_id, np.array(sorted(own.trade_ids), np.int64))
    kept = (tape.kind != KEYFRAME) & ~is_ours
    kept[:1] = True  # a KEYFRAME with which a tape begins
    rows, start, size = RecordedRows((1, 1)), tape.first_row[:-1].copy(), np.diff(tape.first_row)
    rows.add((tape.row_side, tape.row_ticks, tape.row_lots))
    changed = list(_changed(tape, ours)) if ours else []
    if changed:
        flat = np.array([row for _, rows_of_event in changed for row in rows_of_event], np.int64).reshape(-1, 3)
        sizes = np.array([len(rows_of_event) for _, rows_of_event in changed], np.int64)
        first = rows.add((flat[:, 0].astype(np.int8), flat[:, 1].copy(), flat[:, 2].copy()))
        at = np.array([event for event, _ in changed], np.int64)
        start[at], size[at] = first + np.cumsum(sizes) - sizes, sizes
    columns = (tape.event_us, tape.event_exch_us, tape.recv_seq, tape.event_id, tape.kind, start, size)
    builder = TapeBuilder(EventColumns(*(column[kept] for column in columns)), rows, _frame_follows(tape.kind, kept))
    taken = f"{len(ours)} orders and {int(is_ours.sum())} trades of ours are taken off the recorded market"
    meta = replace(tape.meta, warnings=(*tape.meta.warnings, taken), cache="off", file="")
    facts = TapeFacts(tape.instrument, tape.days, tape.step_lots, tape.start_us, tape.end_us, meta)
    read = None if tape.read_again is None else partial(_read_again, tape.read_again, own)
    without = replace(Tape.built(facts, builder.arrays()), step_ticks=tape.step_ticks, read_again=read)
    return without.with_orders(None, _log_has_us if tape.has_orders else lambda: tape.no_orders)


def _log_has_us() -> str:
    return (
        "our own orders are taken off this day (OWN_ORDERS), and not off its order log, which numbers all orders anew: "
        "ours are not known in it; set OWN_ORDERS=keep to play it"
    )


def _read_again(read: Callable[..., Tape], own: OwnActivity, **options: Any) -> Tape:
    return without_us(read(**options), own)


def _frame_follows(kind: NDArray[np.uint8], kept: NDArray[np.bool_]) -> NDArray[np.uint8]:
    frames = np.flatnonzero(kind[1:] == KEYFRAME)  # the events before them
    flags = np.zeros(int(kept.sum()), np.uint8)
    flags[(np.cumsum(kept) - 1)[frames]] = 1
    return flags


class _OwnRows:
    """The rows at our orders' prices only: a whole day has too many to look at one by one."""

    def __init__(self, tape: Tape, ours: Sequence[RecordedOrder]) -> None:
        tick_e8 = tape.instrument.tick_e8
        self._prices = {(order.side, order.price_e8 // tick_e8) for order in ours}
        keys = np.array(sorted(2 * ticks + (side > 0) for side, ticks in self._prices), np.int64)
        rows = np.flatnonzero(np.isin(2 * tape.row_ticks + (tape.row_side > 0), keys))
        self._rows = list(
            zip(tape.row_side[rows].tolist(), tape.row_ticks[rows].tolist(), tape.row_lots[rows].tolist(), strict=True)
        )
        self._first = np.searchsorted(rows, tape.first_row).tolist()
        self._tape = tape

    def at(self, event: int) -> list[Row]:
        return self._rows[self._first[event] : self._first[event + 1]]

    def others(self, event: int) -> list[Row]:
        return [row for row in self._tape.rows(event) if row[:2] not in self._prices]


def _book_ms(tape: Tape) -> "NDArray[np.int64]":
    """The exchange time (ms) of the book after each event; a snapshot is dated just before the next message."""
    stamps = tape.event_exch_us // US_PER_MS
    stamped = np.flatnonzero((tape.kind == DEPTH) & (stamps > 0))
    coming = np.searchsorted(stamped, np.arange(len(tape)))
    following = np.append(stamps[stamped], np.iinfo(np.int64).max)[coming] - 1
    return np.where(stamps > 0, stamps, np.where(tape.kind == SNAPSHOT, following, 0))


def _changed(tape: Tape, ours: Sequence[RecordedOrder]) -> Iterator[tuple[int, Sequence[Row]]]:
    grid, market, coming = tape.instrument, MarketWithoutUs(), list(reversed(ours))
    stamp_ms, number = _book_ms(tape), 0
    is_book = (tape.kind == DEPTH) | (tape.kind == SNAPSHOT)
    first = np.flatnonzero(is_book & (stamp_ms >= ours[0].left_e8[0][0] // US_PER_MS))[:1]
    if not len(first):
        return
    own_rows = _OwnRows(tape, ours)
    whole = np.flatnonzero((tape.kind[: first[0]] == KEYFRAME) | (tape.kind[: first[0]] == SNAPSHOT))
    begin = int(whole[-1] if len(whole) else first[0])
    for event in (begin + np.flatnonzero(tape.kind[begin:] != TRADE)).tolist():
        while coming and coming[-1].left_e8[0][0] // US_PER_MS <= stamp_ms[event]:
            order, number = coming.pop(), number + 1
            market.sent(number, order.side, order.price_e8 // grid.tick_e8, order.qty_e8 // grid.lot_e8)
            for us, left_e8 in order.left_e8:
                market.known(number, us, left_e8 // grid.lot_e8)
        if tape.kind[event] == KEYFRAME and event != begin:
            continue
        kind, rows = int(tape.kind[event]), own_rows.at(event)
        shown = FeedEvent(SNAPSHOT if kind == KEYFRAME else kind, 0, 0, 0, rows, int(stamp_ms[event]) * US_PER_MS)
        (event_without_us,) = market.without_us((shown,))
        if list(event_without_us.rows) != rows:
            yield event, [*own_rows.others(event), *event_without_us.rows]
        if not coming and market.alone:
            return
