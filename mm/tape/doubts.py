"""Spans that a day's messages put in doubt: a book that stands still, a long time without trades."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mm.clock import US_PER_S
from mm.tape.columns import DEPTH, GAP, KEYFRAME, SNAPSHOT, TRADE, Ints, in_pieces

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.events import TapeEvents

NEAREST = 4096  # events searched first
MAX_STILL_S = 60
MIN_STILL_TRADES = 20
STILL_INTERVALS = 20
"""A book stands still that has no message for more seconds, trades, and mean times between its other messages."""
STANDING = "the book has no message while"
FAR_TRADES = (
    "have a price over five times away from the best prices of the day: they are of another symbol, or in another "
    "unit; import the day again without them"
)
CONTRARY_SIDES = (
    "have an aggressor's side contrary to the book before them, far more than agree with it; the side is swapped: "
    "correct is_buyer_maker (the mapping of the import), and import the day again"
)


class StillBook(NamedTuple):
    """A span without book messages although trades change the book."""

    start_us: int
    end_us: int
    trades: int

    @property
    def length_us(self) -> int:
        return self.end_us - self.start_us


class Doubts(NamedTuple):
    """What a tape's messages put in doubt; `Tape.doubts` keeps it for the next run."""

    still: list[StillBook]
    untraded_us: int
    window_us: int


def doubts_of(tape: "TapeEvents") -> Doubts:
    return Doubts(still_books(tape), *untraded_us(tape))


def still_books(tape: "TapeEvents") -> list[StillBook]:
    long = [
        StillBook(begin_us, end_us, int(np.count_nonzero(tape.kind[last + 1 : following] == TRADE)))
        for last, following, begin_us, end_us in _silences(tape.kind, tape.event_us, (tape.start_us, tape.end_us))
        if (tape.kind[last] != GAP if last >= 0 else (tape.kind[:1] == KEYFRAME).any())
    ]
    long = [span for span in long if span.trades >= MIN_STILL_TRADES]
    if not long:
        return []
    covered_us = _with_book_us(tape.kind, tape.event_us, (tape.start_us, tape.end_us))
    messages = np.count_nonzero((tape.kind == SNAPSHOT) | (tape.kind == DEPTH)) + (tape.kind[0] == KEYFRAME)
    others = max(messages - 1, 1)
    return [span for span in long if span.length_us * others > STILL_INTERVALS * (covered_us - span.length_us)]


def silent_books(kind: "NDArray[np.uint8]", event_us: Ints, end_us: int) -> Iterator[tuple[int, int]]:
    """Yield the event before, and the end (µs), of each span; later messages do not count, so parts of a day agree."""
    start_us = int(event_us[0]) if len(event_us) else end_us
    for last, following, begin_us, until_us in _silences(kind, event_us, (start_us, end_us)):
        if last < 0 or kind[last] == GAP or np.count_nonzero(kind[last:following] == TRADE) < MIN_STILL_TRADES:
            continue
        earlier = int(np.count_nonzero((kind[:last] == SNAPSHOT) | (kind[:last] == DEPTH)))
        earlier_us = _with_book_us(kind, event_us, (start_us, begin_us))
        if earlier >= STILL_INTERVALS and (until_us - begin_us) * earlier > STILL_INTERVALS * earlier_us:
            yield last, until_us


def _silences(
    kind: "NDArray[np.uint8]", event_us: Ints, window_us: tuple[int, int]
) -> Iterator[tuple[int, int, int, int]]:
    start_us, end_us = window_us
    last, last_us = -1, start_us
    for begin, kinds in in_pieces(kind):
        at = np.flatnonzero((kinds != TRADE) & (kinds != KEYFRAME))
        us = np.maximum(event_us[begin : begin + len(kinds)][at], start_us)
        for k in np.flatnonzero(np.diff(us, prepend=last_us) > MAX_STILL_S * US_PER_S).tolist():
            before, before_us = (begin + int(at[k - 1]), int(us[k - 1])) if k else (last, last_us)
            yield before, begin + int(at[k]), before_us, int(us[k])
        if len(at):
            last, last_us = begin + int(at[-1]), int(us[-1])
    if end_us - last_us > MAX_STILL_S * US_PER_S:
        yield last, len(kind), last_us, end_us


def untraded_us(tape: "TapeEvents") -> tuple[int, int]:
    """Length (µs) of a stretch without trades longer than half the window (0: none), and the window's.

    It contains the window's middle, so the two trades around that decide. Bookless time is excluded from both.
    """
    window = tape.end_us - tape.start_us
    middle = int(np.searchsorted(tape.event_us, tape.start_us + window // 2))
    first = int(np.searchsorted(tape.event_us, tape.start_us))
    before, after = _first_trade(tape.kind[first:middle][::-1]), _first_trade(tape.kind[middle:])
    begin = tape.start_us if before is None else int(tape.event_us[middle - 1 - before])
    end = tape.end_us if after is None else int(tape.event_us[middle + after])
    if 2 * (end - begin) <= window:
        return 0, window
    spans = (begin, end), (tape.start_us, tape.end_us)
    with_book_us, covered = (_with_book_us(tape.kind, tape.event_us, span) for span in spans)
    return (with_book_us if 2 * with_book_us > covered else 0), covered


def _with_book_us(kind: "NDArray[np.uint8]", event_us: Ints, span_us: tuple[int, int]) -> int:
    turns = np.flatnonzero((kind == SNAPSHOT) | (kind == KEYFRAME) | (kind == GAP))
    ends_us = np.clip(np.append(event_us[turns], span_us[1]), *span_us)
    return int(np.diff(ends_us)[kind[turns] != GAP].sum())


def _first_trade(kinds: "NDArray[np.uint8]") -> int | None:
    width = NEAREST
    while not (is_trade := kinds[:width] == TRADE).any():
        if width >= len(kinds):
            return None
        width *= 16
    return int(is_trade.argmax())
