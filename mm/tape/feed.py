"""A tape in the order of the exchange's clock."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mm.clock import US_PER_MS, US_PER_S, iso
from mm.tape.columns import DEPTH, GAP, KEYFRAME, PIECE, ROW_COLUMNS, SNAPSHOT, TOP_COLUMNS, TRADE, Ints
from mm.tape.events import TapeEvents

WINDOW_US = 600 * US_PER_S  # messages of the past from which the offset is estimated
QUICKEST_US = 500  # assumed minimum feed latency: half of a round trip inside one region
STRAY_US = 5 * US_PER_S  # no difference of true timestamps is that far from the median of its neighbours
NEIGHBOURS = 51  # last messages whose median tells a wrong timestamp, the message itself included
ENOUGH = 0.9  # share of the books, and of the trades, that must have a timestamp of the exchange
_NEVER = np.iinfo(np.int64).max

E = TypeVar("E", bound=TapeEvents)


@dataclass(frozen=True, eq=False)
class Feed:
    """A tape in the exchange's order.

    Attributes:
        sequence: The tape's events in the exchange's order, int64[n] positions.
        offset_us: Our clock minus the exchange's, median; None for a constant delay.
    """

    sequence: Ints
    clock_us: Ints
    by_event: Ints
    offset_us: int | None
    median_us: int
    p99_us: int
    stray: str = ""

    def to_dict(self) -> dict[str, float]:
        offset = {} if self.offset_us is None else {"clock_offset_ms": self.offset_us / US_PER_MS}
        return offset | {"median_ms": self.median_us / US_PER_MS, "p99_ms": self.p99_us / US_PER_MS}


def feed_of(tape: TapeEvents) -> Feed:
    stamped = _is_message(tape) & (tape.event_exch_us > 0)
    recv_us, late_us = tape.event_us[stamped], (tape.event_us - tape.event_exch_us)[stamped]
    offset_us, apart_us = _offsets(recv_us, late_us)
    stray = np.abs(apart_us) > STRAY_US
    happened = tape.event_us.copy()
    happened[stamped] = np.where(stray, recv_us, np.minimum(recv_us - late_us + offset_us, recv_us))
    middle = int(np.median(offset_us)) if len(offset_us) else 0
    return _in_order(tape, happened, stamped, middle, _named(recv_us, apart_us))


def strays(tape: TapeEvents) -> NDArray[np.bool_]:
    stamped = _is_message(tape) & (tape.event_exch_us > 0)
    stray = np.zeros(len(tape), bool)
    apart_us = _offsets(tape.event_us[stamped], (tape.event_us - tape.event_exch_us)[stamped])[1]
    stray[stamped] = np.abs(apart_us) > STRAY_US
    return stray


def delayed(tape: TapeEvents, late_us: int) -> Feed:
    """Delay a feed, as if each depth message and trade arrived *late_us* after it happened."""
    messages = _is_message(tape)
    happened = np.where(messages, tape.event_us - late_us, tape.event_us)
    return _in_order(tape, happened, messages, None, "")


def happened(tape: E, feed: Feed, begin_us: int, end_us: int) -> E:
    first, stop = np.searchsorted(feed.clock_us, (begin_us, end_us)).tolist()
    kinds = tape.kind[feed.sequence[: first + 1]]
    books = np.flatnonzero((kinds == SNAPSHOT) | (kinds == KEYFRAME))
    begin = int(books[-1]) if len(books) else first
    events = feed.sequence[begin:stop]
    sizes = np.diff(tape.first_row)[events]
    rows = np.repeat(tape.first_row[events] - (sizes.cumsum() - sizes), sizes) + np.arange(sizes.sum())
    return replace(
        tape,
        event_us=feed.clock_us[begin:stop],
        **{name: getattr(tape, name)[events] for name in ("event_exch_us", "recv_seq", "event_id", "kind")},
        first_row=np.concatenate(([0], sizes.cumsum())),
        **{name: getattr(tape, name)[rows] for name in ROW_COLUMNS},
        **{name: getattr(tape, name)[:0] for name in TOP_COLUMNS},
        start_us=begin_us,
        end_us=end_us,
    )


def why_no_feed(tape: TapeEvents) -> str:
    stamped = tape.event_exch_us > 0
    for name, kind in (("books", DEPTH), ("trades", TRADE)):
        those = tape.kind == kind
        if those.any() and np.count_nonzero(stamped & those) < ENOUGH * np.count_nonzero(those):
            return f"its {name} have no exchange times"
    stamped &= _is_message(tape)
    if not stamped.any():
        return "it has no exchange times"
    least, most, fine = _NEVER, -_NEVER, False
    for begin in range(0, len(tape), PIECE):  # of most tapes the first piece tells
        piece = slice(begin, begin + PIECE)
        exchange_us = tape.event_exch_us[piece][stamped[piece]]
        late_us = tape.event_us[piece][stamped[piece]] - exchange_us
        least, most = min(least, int(late_us.min(initial=_NEVER))), max(most, int(late_us.max(initial=-_NEVER)))
        fine = fine or bool((exchange_us % US_PER_S).any())
        if fine and least < most:
            return ""
    return "its exchange times are in whole seconds" if least < most else "its receive times are the exchange's"


def _is_message(tape: TapeEvents) -> NDArray[np.bool_]:
    messages: NDArray[np.bool_] = (tape.kind == DEPTH) | (tape.kind == TRADE)
    return messages


def _in_order(tape: TapeEvents, happened: Ints, stamped: NDArray[np.bool_], offset_us: int | None, stray: str) -> Feed:
    behind = (tape.kind == GAP) | (tape.kind == KEYFRAME)
    trades = tape.kind == TRADE
    for stream in (trades, ~trades):
        rows = np.flatnonzero(stream)
        happened[rows] = np.maximum.accumulate(_carried(happened[rows], behind[rows]))
    happened = np.where(tape.event_us < tape.start_us, happened, np.maximum(happened, tape.start_us))
    sequence = np.argsort(happened, kind="stable").astype(np.int64)
    latency = (tape.event_us - happened)[stamped]
    median, p99 = np.quantile(latency, [0.5, 0.99]).astype(np.int64).tolist() if len(latency) else (0, 0)
    return Feed(sequence, np.ascontiguousarray(happened[sequence]), happened, offset_us, median, p99, stray)


def _offsets(recv_us: Ints, late_us: Ints) -> tuple[Ints, Ints]:
    """Our clock minus the exchange's at each stamped message, and how far its difference is from its neighbours'.

    Those further than STRAY_US do not count; where none can be that far, all distances are 0.
    """
    apart_us = np.zeros_like(late_us)
    if not len(late_us):
        return late_us, apart_us
    if int(late_us.max()) - int(late_us.min()) <= STRAY_US:  # so no median is that far from a difference
        return _least(recv_us, late_us) - QUICKEST_US, apart_us
    median_us = _medians(late_us)
    apart_us = late_us - median_us
    counted = np.where(np.abs(apart_us) > STRAY_US, _NEVER, late_us)
    least, first = np.empty_like(late_us), 0
    while first < len(late_us):
        stop = _moved(median_us, first)
        least[first:stop] = _least(recv_us[first:stop], counted[first:stop])
        first = stop
    return np.where(least == _NEVER, late_us, least) - QUICKEST_US, apart_us


def _medians(late_us: Ints) -> Ints:
    """Median of each difference and the `NEIGHBOURS` - 1 before; of an even number the upper one."""
    import polars as pl

    rolled = pl.Series(late_us).rolling_quantile(0.5, "higher", window_size=NEIGHBOURS, min_samples=1)
    return rolled.to_numpy().astype(np.int64)


def _moved(median_us: Ints, first: int) -> int:
    at, size = first + 1, NEIGHBOURS
    while at < len(median_us):
        far = np.abs(median_us[at : at + size] - median_us[first]) > STRAY_US
        if far.any():
            return at + int(far.argmax())
        at, size = at + size, 2 * size
    return len(median_us)


def _least(us: Ints, late_us: Ints) -> Ints:
    block = (us - us[0]) // WINDOW_US
    borders = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(us)]
    least, before = np.empty_like(late_us), np.empty(0, np.int64)  # before: least from each place to its border
    begin = 0
    for low, high in pairwise(borders):
        part = np.minimum.accumulate(late_us[low:high])
        # Of the stretch before, which ascends, each value counts up to a window after the last place that has it.
        last = np.flatnonzero(np.append(before[1:] != before[:-1], True))[: len(before)]
        stop = np.searchsorted(us[low:high], us[begin:low][last] + WINDOW_US)
        values = np.append(before[last], _NEVER)
        np.minimum(part, np.repeat(values, np.diff(stop, prepend=0, append=len(part))), out=part)
        least[low:high] = part
        before, begin = np.minimum.accumulate(late_us[low:high][::-1])[::-1], low
    return least


def _carried(happened: Ints, behind: NDArray[np.bool_]) -> Ints:
    rows = np.flatnonzero(behind)
    begins = np.diff(rows, prepend=-1) != 1  # a stretch of such events has the instant before it
    begins[:1] = True
    first = rows[np.maximum.accumulate(np.where(begins, np.arange(len(rows)), 0))]
    happened[rows] = happened[np.maximum(first - 1, 0)]
    return happened


def _named(recv_us: Ints, apart_us: Ints) -> str:
    stray = np.abs(apart_us) > STRAY_US
    if not stray.any():
        return ""
    first = int(stray.argmax())
    way = "ahead of" if apart_us[first] < 0 else "behind"
    return (
        f"{np.count_nonzero(stray):,} messages have an exchange time more than {STRAY_US // US_PER_S} s from their "
        f"neighbours' time, and do not count for the offset of the clocks; the first was received at "
        f"{iso(int(recv_us[first]))}, {abs(int(apart_us[first])) / US_PER_S:,.1f} s {way} them"
    )
