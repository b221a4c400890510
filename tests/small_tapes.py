"""Tapes of a few events, and the slow way to walk through them."""

from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from mm.instrument import Instrument
from mm.tape.tape import DEPTH, GAP, KEYFRAME, TRADE, Tape

KINDS = {"book": (DEPTH, KEYFRAME), "gap": (GAP,), "trade": (TRADE,)}


def book(us, bid, ask, bid_lots=10, ask_lots=10):
    """A message after which these are the best prices (0 for none)."""
    return ("book", us, bid, ask, bid_lots, ask_lots)


def gap(us):
    return ("gap", us)


def trade(us, aggressor, ticks, trade_us=None, lots=1):
    """A print; *aggressor* +1 bought, -1 sold."""
    return ("trade", us, aggressor, ticks, us if trade_us is None else trade_us, lots)


def tape(events, start_us, end_us):
    """Return a tape of these events; behind every book message stands the keyframe to enter at."""
    told = [(kind, event) for event in events for kind in KINDS[event[0]]]
    groups = list(_rows(told))
    rows = [row for group in groups for row in group]
    tops = [(number, *_top(event)) for number, (kind, event) in enumerate(told) if kind in (DEPTH, GAP)]
    tops = [top for number, top in enumerate(tops) if number == 0 or top[1:] != tops[number - 1][1:]]
    columns = np.array(tops, np.int64).reshape(-1, 5).T
    return Tape(
        symbol="SIMUSDT",
        days=("20260105",),
        instrument=Instrument("SIMUSDT", 1_000_000, 100_000),
        step_lots=1,
        step_ticks=1,
        event_us=np.array([event[1] for _, event in told], np.int64),
        event_exch_us=np.array([event[4] if event[0] == "trade" else event[1] for _, event in told], np.int64),
        recv_seq=np.arange(len(told)),
        event_id=np.arange(len(told)),
        kind=np.array([kind for kind, _ in told], np.uint8),
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


def _rows(told):
    """Yield the rows of each event: the book shows its best prices alone, and takes back those that it showed."""
    shown = []
    for kind, event in told:
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
    """A short story: books that move, gaps, one-sided books, and prints in bursts of one trade time."""
    us, trade_us, told = 0, draw(st.integers(0, 1)), []
    for _ in range(draw(st.integers(0, size))):
        us += draw(st.sampled_from((0, 0, 1, 2, 5, 9)))
        what = draw(st.sampled_from(("book", "book", "trade", "trade", "trade", "gap")))
        if what == "book":
            bid = draw(st.integers(95, 100))
            ask = draw(st.sampled_from((0, bid + 1, bid + 1, bid + 2, bid + 3, bid + 6)))
            lots = st.integers(1, 9)
            told.append(book(us, bid, ask, draw(lots), draw(lots) if ask else 0))
        elif what == "trade":
            trade_us += draw(st.sampled_from((0, 0, 1)))
            lots = draw(st.sampled_from((1, 1, 2, 5)))
            told.append(trade(us, draw(st.sampled_from((1, -1))), draw(st.integers(88, 110)), trade_us, lots))
        else:
            told.append(gap(us))
    return told


def tops(events):
    """Yield ``(from_us, to_us, top)`` of every stretch, the last to the end of time; None is no book."""
    now, since = None, 0
    for event in events:
        if event[0] == "trade":
            continue
        yield since, event[1], now
        since = event[1]
        now = event[2:6] if event[0] == "book" and event[3] else None
    yield since, 1 << 62, now


def top_before(events, number):
    """Return the top that event *number* of the story meets."""
    books = [event for event in events[:number] if event[0] != "trade"]
    return books[-1][2:6] if books and books[-1][0] == "book" and books[-1][3] else None


def slow_touch(top, side, reference):
    """Return ``(reference, own best price)`` in ticks, exactly, or None without a book."""
    if top is None:
        return None
    bid, ask, bid_lots, ask_lots = top
    eighths = round(Fraction(8 * (ask - bid) * bid_lots, bid_lots + ask_lots))
    middle = {"mid": Fraction(bid + ask, 2), "micro": bid + Fraction(eighths, 8)}
    return middle.get(reference, bid if side > 0 else ask), bid if side > 0 else ask


def poisson_day(seed, seconds, A, k, *further):
    """Return the story of a market whose sweeps reach every exposed probe with rate A exp(-k delta).

    The mid walks, the spread is 1 to 3 ticks; a sweep beyond the touch goes on tick by tick with
    probability exp(-k), and prints at every price on its way. *further* pairs of A and k are flows beside it: λ is the
    sum of their exponentials.
    """
    rng = np.random.default_rng(seed)
    told, bid, spread, trade_us = [], 10_000, 1, 0
    for us in range(0, seconds * 1_000_000, 500_000):
        bid += int(rng.integers(-1, 2))
        spread = min(max(spread + int(rng.integers(-1, 2)), 1), 3)
        told.append(book(us, bid, bid + spread))
        bursts = []
        for rate, decay in ((A, k), *further):
            for aggressor, touch in ((1, bid + spread), (-1, bid)):
                for _ in range(rng.poisson(0.5 * rate * np.exp(-decay * spread / 2))):
                    ticks = [touch + aggressor * beyond for beyond in range(rng.geometric(1 - np.exp(-decay)))]
                    bursts.append((us + int(rng.integers(1, 500_000)), aggressor, ticks))
        for at_us, aggressor, ticks in sorted(bursts):
            trade_us += 1
            told += [trade(at_us, aggressor, price, trade_us) for price in ticks]
    return told
