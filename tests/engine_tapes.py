"""Small adversarial tapes: short times, few prices, many events per instant, gaps, windows and seams.

An operation is drawn as numbers and applied to the current book, so that any list of operations is a valid tape.
"""

from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import numpy as np
from hypothesis import strategies as st

from mm import PaperExchange, Tape
from mm.instrument import Instrument
from mm.tape._book import LEVEL_PAGE as PAGE
from mm.tape.tape import TapeMeta

TEST = Instrument("TESTUSDT", tick_e8=1_000_000, lot_e8=1_000)
BEGIN_US = 1_000_000_000

OPERATION = st.tuples(
    st.sampled_from([0, 0, 0, 1, 1, 2, 3, 5, 9]),  # units of time since the previous operation
    st.sampled_from([0, 0, 0, -1, 1]),  # additional µs
    st.sampled_from(["depth"] * 5 + ["trade"] * 4 + ["snapshot", "gap", "keyframe"]),
    st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(-1, 3), st.integers(0, 4)), min_size=1, max_size=3),
)
OPERATIONS = st.one_of(st.lists(OPERATION, max_size=6), st.lists(OPERATION, min_size=6, max_size=40))


class Teller:
    """Turns operations into events without ever crossing the book, and keeps the book."""

    def __init__(self, base_ticks, us):
        self.base, self.us, self.valid = base_ticks, us, False
        self.sides = {1: {}, -1: {}}
        self.events = []

    def price(self, side, offset):
        return max(self.base - side * offset + (side < 0), 1)

    def set(self, levels):
        for side, offset, lots in levels:
            ticks, own = self.price(side, offset), self.sides[side]
            other = [price for price, held in self.sides[-side].items() if held]
            if not lots or not other or (ticks < min(other) if side > 0 else ticks > max(other)):
                own[ticks] = lots
                yield side, ticks, lots

    def tell(self, kind, levels):
        """Append one event, or none if it would be invalid."""
        if kind == "snapshot" or (kind == "depth" and not self.valid):
            self.sides, self.valid = {1: {}, -1: {}}, True
            list(self.set([(1, 1, 2), (-1, 1, 2), (1, 2, 1), (-1, 3, 1), *levels]))
            self.events.append((self.us, "snapshot", *self.book()))
        elif kind == "depth":
            rows = list(self.set(levels))
            self.events.append((self.us, "depth", *([row[1:] for row in rows if row[0] == side] for side in (1, -1))))
        elif kind == "trade":
            side, offset, lots = levels[0]
            self.events.append((self.us, "trade", side, self.price(-side, offset), lots + 1))
        elif kind == "gap":
            self.events.append((self.us, "gap"))
            self.valid = False
        elif self.valid:
            self.events.append((self.us, "keyframe"))

    def events_or_snapshot(self):
        """Return the events, adding a snapshot if there are none."""
        if not self.events:
            self.tell("snapshot", [])
        return self.events

    def book(self):
        return [[level for level in self.sides[side].items() if level[1]] for side in (1, -1)]


def append_operations(teller, operations, unit):
    for units, beside, kind, levels in operations:
        teller.us += max(units * unit + beside, 0)
        after_trade = teller.events and teller.events[-1][1] in ("trade", "gap", "keyframe")
        teller.tell("depth" if kind == "keyframe" and after_trade else kind, levels)


@st.composite
def one_tape(draw, unit):
    """Draw one tape, and its builder with the final book."""
    teller = Teller(draw(st.sampled_from([100, 100, PAGE, 2])), BEGIN_US)
    if draw(st.booleans()):
        teller.tell("snapshot", [(1, 0, 1)])
    append_operations(teller, draw(OPERATIONS), unit)
    return Tape.of(TEST, teller.events_or_snapshot()), teller


@st.composite
def windows(draw, unit):
    """Draw one window of a tape, or two adjacent ones; bounds are instants of events or beyond both ends."""
    tape, _ = draw(one_tape(unit))
    marks = [tape.start_us - 1, tape.end_us + 1, tape.end_us + unit, *tape.event_us.tolist()]
    a, b, c = sorted(draw(st.lists(st.sampled_from(marks), min_size=3, max_size=3)))
    a, b, c = min(a, tape.end_us), min(max(b, tape.start_us), tape.end_us), max(c, tape.start_us)
    return (tape.between(a, b), tape.between(b, c))[: draw(st.integers(1, 2))]


@st.composite
def two_tapes(draw, unit, joined, apart=(0, 1, 3)):
    """Draw two consecutive tapes and all events; if *joined*, the second begins with the final book of the first."""
    first, teller = draw(one_tape(unit))
    events, teller.events = teller.events, []
    teller.us += draw(st.sampled_from(apart)) * unit
    sewed = joined and teller.valid
    if sewed:
        teller.events.append((teller.us, "snapshot", *teller.book()))
    teller.valid = joined and teller.valid
    append_operations(teller, draw(OPERATIONS), unit)
    second = Tape.of(TEST, teller.events_or_snapshot())
    shift = int(first.recv_seq[-1])
    numbers = {"recv_seq": second.recv_seq + shift, "event_id": second.event_id + shift * (second.event_id > 0)}
    second = replace(second, **numbers)
    return *(sewn(first, second) if sewed else (first, second)), [*events, *teller.events]


def sewn(first, second):
    """Return two tapes, of which the second carries on the book of the first."""
    return replace(first, meta=TapeMeta(last_update_id=7)), replace(second, meta=TapeMeta(carried_from=7))


@st.composite
def tapes(draw, unit):
    """Draw one tape, windows of one, or two with or without a seam; exchange stamps are those of a delayed feed."""
    one = one_tape(unit).map(lambda drawn: drawn[:1])
    two = [two_tapes(unit, joined).map(lambda drawn: drawn[:2]) for joined in (True, False)]
    drawn = draw(st.one_of(one, one, windows(unit), *two))
    travel = draw(travels(unit))
    return tuple(stamped(tape, *travel) for tape in drawn)


def travels(unit):
    """How long messages took, over and over, and how far our clock was ahead."""
    late = st.sampled_from([0, 0, 1, 499, 500, 501, unit, 3 * unit, 9 * unit])
    return st.tuples(st.lists(late, min_size=1, max_size=9), st.sampled_from([0, 0, 1_234, -777]))


def stamped(tape, late, ahead_us):
    """Return a tape whose messages have the latencies *late*, repeated, with our clock ahead by *ahead_us*."""
    journeys = np.resize(np.array(late, np.int64), len(tape))
    return replace(tape, event_exch_us=tape.event_us - journeys - ahead_us)


@contextmanager
def every_event():
    """Visit every event of a tape, also for models that need only the best prices."""
    with patch.object(PaperExchange, "needs_depth", True):
        yield
