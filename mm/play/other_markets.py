"""Other markets of a run: their feeds on the clock of its own market."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mm.backtest.replay import day_warnings
from mm.clock import US_PER_MS, iso, us_from_ms
from mm.errors import Mismatch, UsageError
from mm.signals.other_feed import OtherFeed
from mm.tape.tape import Tape

LITTLE = 0.99  # of the run's time that another market should cover
CLOCKS_US = 100 * US_PER_MS  # by which the receipt of two markets may differ without a note
KEYS = ("tape", "feed_latency_ms", "orders")


def feed_of_market(
    name: str, own: Sequence[Tape], tapes: Sequence[Tape], feed_latency_ms: float | None = None
) -> OtherFeed:
    """Return the feed of another market, and what a reader of the results must know of it.

    Args:
        name: Its name in the run.
        own: The days of the run's own market.
        tapes: Its own days, in order of time.
        feed_latency_ms: Time from its exchange to us: its events are then placed by their exchange time, on the clock
            of the run's own tape. None takes their receive times as recorded, so one clock must have stamped both.

    Raises:
        Mismatch: If the two markets do not overlap in time, or have no exchange times to be placed by.
    """
    notes = [_overlap(name, own, tapes), *(f"{name}: {note}" for tape in tapes for note in day_warnings(tape))]
    ours, theirs = _late_us(own), _late_us(tapes)
    if feed_latency_ms is not None:
        if ours is None or theirs is None:
            lacking = own[0].symbol if ours is None else tapes[0].symbol
            raise Mismatch(
                f"OTHERS: {name} has feed_latency_ms, but {lacking} has no exchange times to place its events by; "
                f"leave it out"
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
    """Return *tape* with each event at its exchange time, plus *shift_us* to the clock of another tape.

    Events keep their order, as they came over one connection.
    """
    us = np.maximum.accumulate(tape.feed.by_event) + shift_us
    return tape.restamped(us, tape.start_us + shift_us, max(tape.end_us + shift_us, int(us[-1]) if len(us) else 0))


def _late_us(tapes: Sequence[Tape]) -> int | None:
    """Return the receive time less the exchange's of the fastest messages; None without exchange times."""
    stamped = [tape for tape in tapes if bool((tape.event_exch_us > 0).any())]
    return stamped[0].feed.offset_us if stamped else None


def _overlap(name: str, own: Sequence[Tape], tapes: Sequence[Tape]) -> str:
    """Return a note if another market covers a part of the run only; raise Mismatch if it covers nothing."""
    both = sum(
        max(min(one.end_us, other.end_us) - max(one.start_us, other.start_us), 0) for one in own for other in tapes
    )
    length = sum(one.end_us - one.start_us for one in own)
    if both == 0 and length:
        spans = [f"{one[0].symbol} covers {iso(one[0].start_us)} to {iso(one[-1].end_us)}" for one in (tapes, own)]
        raise Mismatch(
            f"OTHERS: {name} does not overlap with the run: {spans[0]}, {spans[1]}; give days that both markets have"
        )
    if both >= LITTLE * length:
        return ""
    return f"{name} ({tapes[0].symbol}) covers {100 * both / length:.0f} % of the run, and has no prices in the rest"


def feeds_given(own: Sequence[Tape], others: Mapping[str, Any]) -> dict[str, OtherFeed]:
    """Return the feeds of other markets given as tapes, or as dicts of `KEYS`, by name.

    Raises:
        UsageError: If a name or a declaration is invalid.
        Mismatch: As `feed_of_market`.
    """
    feeds = {}
    for name, given in others.items():
        one = given if isinstance(given, Mapping) else {"tape": given}
        tapes = [one["tape"]] if isinstance(one.get("tape"), Tape) else list(one.get("tape") or ())
        if not re.fullmatch(r"\w+", name) or not tapes or one.keys() - set(KEYS):
            raise UsageError(
                f"others[{name!r}] is {given!r}; give a tape, or a dict of {', '.join(KEYS)}, under a name such as lead"
            )
        feeds[name] = feed_of_market(name, own, tapes, one.get("feed_latency_ms"))
    return feeds
