"""Tapes of a few events, and slow reference functions for them."""

from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from mm import Tape
from mm.instrument import Instrument
from mm.tape.tape import DEPTH, GAP, KEYFRAME, TRADE

KINDS = {"book": (DEPTH, KEYFRAME), "gap": (GAP,), "trade": (TRADE,)}


def book(us, bid, ask, bid_lots=10, ask_lots=10):
    """Return a book message with these best prices (0 for none)."""
    return ("book", us, bid, ask, bid_lots, ask_lots)


def gap(us):
    return ("gap", us)


def trade(us, aggressor, ticks, trade_us=None, lots=1):
    """Return a trade; *aggressor* is +1 for a buyer, -1 for a seller."""
    return ("trade", us, aggressor, ticks, us if trade_us is None else trade_us, lots)


def tape(events, start_us, end_us):
    """Return a tape of these events, with a keyframe after every book message."""
    numbered = [(kind, event) for event in events for kind in KINDS[event[0]]]
    groups = list(_rows(numbered))
    rows = [row for group in groups for row in group]
    tops = [(number, *_top(event)) for number, (kind, event) in enumerate(numbered) if kind in (DEPTH, GAP)]
    tops = [top for number, top in enumerate(tops) if number == 0 or top[1:] != tops[number - 1][1:]]
    columns = np.array(tops, np.int64).reshape(-1, 5).T
    return Tape(
        symbol="SIMUSDT",
        days=("20260105",),
        instrument=Instrument("SIMUSDT", 1_000_000, 100_000),
        step_lots=1,
        step_ticks=1,
        event_us=np.array([event[1] for _, event in numbered], np.int64),
        event_exch_us=np.array([event[4] if event[0] == "trade" else event[1] for _, event in numbered], np.int64),
        recv_seq=np.arange(len(numbered)),
        event_id=np.arange(len(numbered)),
        kind=np.array([kind for kind, _ in numbered], np.uint8),
        first_row=np.cumsum([0, *map(len, groups)], dtype=np.int64),
        row_side=np.array([row[0] for row in rows], np.int8),
        row_ticks=np.array([row[1] for row in rows], np.int64),
        row_lots=np.array([row[2] for row in rows], np.int64),
        top_event=columns[0],
        top_bid_ticks=columns[1],
        top_ask_ticks=columns[2],
        top_bid_lots=columns[3],
        top_ask_lots=columns[4],
        start_us=start_us,
        end_us=end_us,
    )


def _rows(numbered):
    """Yield the rows of each event: the book has best prices only, and removes the previous ones."""
    shown = []
    for kind, event in numbered:
        if kind == TRADE:
            yield [(event[2], event[3], event[5])]
            continue
        bid, ask, bid_lots, ask_lots = _top(event)
        now = [row for row in ((1, bid, bid_lots), (-1, ask, ask_lots)) if row[1]]
        gone = [(side, ticks, 0) for side, ticks, _ in shown if (side, ticks) not in {row[:2] for row in now}]
        yield [] if kind == GAP else now if kind == KEYFRAME else gone + now
        shown = now


def _top(event):
    return event[2:6] if event[0] == "book" else (0, 0, 0, 0)


@st.composite
def events(draw, size=40):
    """Draw events: moving books, gaps, one-sided books, and bursts of trades with one trade time."""
    us, trade_us, drawn = 0, draw(st.integers(0, 1)), []
    for _ in range(draw(st.integers(0, size))):
        us += draw(st.sampled_from((0, 0, 1, 2, 5, 9)))
        kind = draw(st.sampled_from(("book", "book", "trade", "trade", "trade", "gap")))
        if kind == "book":
            bid = draw(st.integers(95, 100))
            ask = draw(st.sampled_from((0, bid + 1, bid + 1, bid + 2, bid + 3, bid + 6)))
            lots = st.integers(1, 9)
            drawn.append(book(us, bid, ask, draw(lots), draw(lots) if ask else 0))
        elif kind == "trade":
            trade_us += draw(st.sampled_from((0, 0, 1)))
            lots = draw(st.sampled_from((1, 1, 2, 5)))
            drawn.append(trade(us, draw(st.sampled_from((1, -1))), draw(st.integers(88, 110)), trade_us, lots))
        else:
            drawn.append(gap(us))
    return drawn


def tops(events):
    """Yield ``(from_us, to_us, top)`` of every interval, the last without end; None is no book."""
    now, since = None, 0
    for event in events:
        if event[0] == "trade":
            continue
        yield since, event[1], now
        since = event[1]
        now = event[2:6] if event[0] == "book" and event[3] else None
    yield since, 1 << 62, now


def top_before(events, number):
    """Return the best prices before event *number*."""
    books = [event for event in events[:number] if event[0] != "trade"]
    return books[-1][2:6] if books and books[-1][0] == "book" and books[-1][3] else None


def slow_touch(top, side, reference):
    """Return the exact ``(reference, own best price)`` in ticks, or None without a book."""
    if top is None:
        return None
    bid, ask, bid_lots, ask_lots = top
    eighths = round(Fraction(8 * (ask - bid) * bid_lots, bid_lots + ask_lots))
    middle = {"mid": Fraction(bid + ask, 2), "micro": bid + Fraction(eighths, 8)}
    return middle.get(reference, bid if side > 0 else ask), bid if side > 0 else ask


def poisson_day(seed, seconds, A, k, *further):
    """Return the events of a market whose sweeps reach a quote at distance delta with rate A exp(-k delta).

    The mid is a random walk, the spread 1 to 3 ticks; a sweep beyond the best price continues tick by tick with
    probability exp(-k) and trades at every price. *further* pairs of A and k are additional flows: λ is the sum of
    their exponentials.
    """
    rng = np.random.default_rng(seed)
    day_events, bid, spread, trade_us = [], 10_000, 1, 0
    for us in range(0, seconds * 1_000_000, 500_000):
        bid += int(rng.integers(-1, 2))
        spread = min(max(spread + int(rng.integers(-1, 2)), 1), 3)
        day_events.append(book(us, bid, bid + spread))
        bursts = []
        for rate, decay in ((A, k), *further):
            for aggressor, touch in ((1, bid + spread), (-1, bid)):
                for _ in range(rng.poisson(0.5 * rate * np.exp(-decay * spread / 2))):
                    ticks = [touch + aggressor * beyond for beyond in range(rng.geometric(1 - np.exp(-decay)))]
                    bursts.append((us + int(rng.integers(1, 500_000)), aggressor, ticks))
        for at_us, aggressor, ticks in sorted(bursts):
            trade_us += 1
            day_events += [trade(at_us, aggressor, price, trade_us) for price in ticks]
    return day_events
