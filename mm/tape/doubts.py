"""Spans of a day that its messages put in doubt, and the warnings of a day, for every task that plays or fits one."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mm.clock import US_PER_S, iso
from mm.tape.columns import GAP, KEYFRAME, SNAPSHOT, TRADE, in_pieces

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.tape import Tape

NEAREST = 4096  # events searched first
MAX_STILL_S = 60
MIN_STILL_TRADES = 20
STILL_INTERVALS = 20
"""A book stands still that has no message for more seconds, trades, and mean times between its other messages."""


def day_warnings(tape: "Tape") -> Iterator[str]:
    """Yield the warnings of a day with the bare names of its files: where they lie changes no result."""
    at_start = re.compile(rf"^.*?/{tape.symbol}/{tape.days[0]}(/|: )")  # the path may have spaces
    folders = re.compile(rf"\S*/(?=[^\s/]*({tape.days[0]}|\.json|\.csv))")
    for warning in tape.meta.warnings:
        yield f"{tape.symbol} {tape.days[0]}: {folders.sub('', at_start.sub('', warning))}"
    still = still_books(tape)
    if not still:
        return
    longest = max(still, key=lambda span: span.length_us)
    seconds = sum(span.length_us for span in still) / US_PER_S
    trades = sum(span.trades for span in still)
    yield (
        f"{tape.symbol} {tape.days[0]}: the book stands still for {seconds:,.0f} s while {trades:,} trades change it "
        f"(longest from {iso(longest.start_us)[11:19]} to {iso(longest.end_us)[11:19]} UTC): its messages are missing "
        f"there or have a wrong time, and quotes, fills and λ of that time are those of an old book; import the day "
        f"again without that time, or with the messages of the book"
    )


class StillBook(NamedTuple):
    """A span without a message of the book although trades change it."""

    start_us: int
    end_us: int
    trades: int

    @property
    def length_us(self) -> int:
        """Its length in µs."""
        return self.end_us - self.start_us


def still_books(tape: "Tape") -> list[StillBook]:
    """Return the spans in which a valid book has no message for long, although trades go on.

    Every trade takes quantity from the book, so its stream has ended, or a message has the time of another hour. In a
    quiet market both are silent, and where whole books are recorded once a minute, that is the usual time between two.
    """
    if not len(tape):
        return []
    spans = list[StillBook]()
    messages, covered_us, total = 0, 0, 0
    us, trades, has_book = np.array([tape.start_us]), np.array([0]), tape.kind[:1] == KEYFRAME  # the last message
    for begin, kinds in in_pieces(tape.kind):
        at = np.flatnonzero((kinds != TRADE) & (kinds != KEYFRAME))
        us = np.append(us[-1:], np.maximum(tape.event_us[begin + at], tape.start_us))
        traded = total + np.cumsum(kinds == TRADE)
        trades, total = np.append(trades[-1:], traded[at]), int(traded[-1])
        has_book = np.append(has_book[-1:], kinds[at] != GAP)
        if begin + len(kinds) == len(tape):
            us, trades, has_book = np.append(us, tape.end_us), np.append(trades, total), np.append(has_book, False)
        lengths, between = np.diff(us), np.diff(trades)
        messages += int(has_book[:-1].sum())
        covered_us += int(lengths[has_book[:-1]].sum())
        long = has_book[:-1] & (lengths > MAX_STILL_S * US_PER_S) & (between >= MIN_STILL_TRADES)
        spans += [StillBook(int(us[k]), int(us[k + 1]), int(between[k])) for k in np.flatnonzero(long)]
    others = max(messages - 1, 1)
    return [span for span in spans if span.length_us * others > STILL_INTERVALS * (covered_us - span.length_us)]


def untraded_us(tape: "Tape") -> tuple[int, int]:
    """Return the length in µs of a stretch without trades longer than half the window (0: none), and of the window.

    Such a stretch contains the middle of the window, so the two trades around the middle determine it. If there is one,
    time without a book is excluded from both, as no quotes rest then.
    """
    window = tape.end_us - tape.start_us
    middle = int(np.searchsorted(tape.event_us, tape.start_us + window // 2))
    first = int(np.searchsorted(tape.event_us, tape.start_us))
    before, after = _first_trade(tape.kind[first:middle][::-1]), _first_trade(tape.kind[middle:])
    begin = tape.start_us if before is None else int(tape.event_us[middle - 1 - before])
    end = tape.end_us if after is None else int(tape.event_us[middle + after])
    if 2 * (end - begin) <= window:
        return 0, window
    with_book_us, covered = _with_book_us(tape, begin, end), _with_book_us(tape, tape.start_us, tape.end_us)
    return (with_book_us if 2 * with_book_us > covered else 0), covered


def _with_book_us(tape: "Tape", begin_us: int, end_us: int) -> int:
    """Return the µs of a time span with a valid book."""
    turns = np.flatnonzero((tape.kind == SNAPSHOT) | (tape.kind == KEYFRAME) | (tape.kind == GAP))
    ends_us = np.clip(np.append(tape.event_us[turns], end_us), begin_us, end_us)
    return int(np.diff(ends_us)[tape.kind[turns] != GAP].sum())


def _first_trade(kinds: "NDArray[np.uint8]") -> int | None:
    """Return the index of the first trade among *kinds* of events, or None; the first `NEAREST` are searched first."""
    width = NEAREST
    while not (is_trade := kinds[:width] == TRADE).any():
        if width >= len(kinds):
            return None
        width *= 16
    return int(is_trade.argmax())
