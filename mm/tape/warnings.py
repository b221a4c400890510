"""What a day warns of, for every task that plays, fits or imports it."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from mm.clock import US_PER_S, iso
from mm.tape.doubts import CONTRARY_SIDES, FAR_TRADES, STANDING
from mm.tape.tape import Tape


def day_warnings(tape: Tape) -> Iterator[str]:
    """Bare file names: the folder changes no result."""
    at_start = re.compile(rf"^.*?/{tape.symbol}/{tape.days[0]}(/|: )")  # the path may have spaces
    folders = re.compile(rf"\S*/(?=[^\s/]*({tape.days[0]}|\.json|\.csv))")
    for warning in tape.meta.warnings:
        yield f"{tape.symbol} {tape.days[0]}: {folders.sub('', at_start.sub('', warning))}"
    if still := still_book(tape):
        yield f"{tape.symbol} {tape.days[0]}: {still}"


class BookDoubts(NamedTuple):
    """What the trades of a day say against its book.

    Attributes:
        standing: Spans (µs) without a market, as trades print through the book.
    """

    contrary: tuple[str, ...]
    notes: tuple[str, ...]
    standing: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, tape: Tape) -> "BookDoubts":
        contrary, far = (
            [line.partition(": ")[2] for line in tape.meta.warnings if found in line]
            for found in (CONTRARY_SIDES, FAR_TRADES)
        )
        excluded = [line for line in tape.meta.excluded if STANDING in line]
        way_out = "which is no time with a market; import the day again with the messages of the book"
        still = *(f"{line}, {way_out}" for line in excluded), *filter(None, [still_book(tape)])
        return cls(tuple(contrary), (*still, *far), tape.meta.standing)


def still_book(tape: Tape) -> str | None:
    """Warn if the book stands still in time that counts as time with a market."""
    still = tape.doubts.still
    if not still:
        return None
    longest = max(still, key=lambda span: span.length_us)
    seconds = sum(span.length_us for span in still) / US_PER_S
    trades = sum(span.trades for span in still)
    return (
        f"the book stands still for {seconds:,.0f} s while {trades:,} trades change it "
        f"(longest from {iso(longest.start_us)[11:19]} to {iso(longest.end_us)[11:19]} UTC): its messages are missing "
        f"there or have a wrong time, and quotes, fills and λ of that time are of an old book; import the day "
        f"again without that time, or with the messages of the book"
    )


def excluded_spans(tape: Tape) -> list[str]:
    """Each with its day and reason."""
    return [f"{tape.days[0]}: {sentence}" for sentence in tape.meta.excluded]
