"""Rules of ids of markets whose snapshots come in the stream: a book is never silently wrong."""

import random

import pytest

from mm.ids import Follow
from mm.market_data.market_events import Anomaly, BookLost, DepthMissing, EpochOpened
from mm.market_data.sync_engine import BookState
from mm.markets.grid import Grid
from mm.markets.messages import DepthSnapshot, DepthUpdate
from mm.markets.sequence import FROM_STREAM, RELINKED, SyncEngine, Verdict

US = 1_767_600_000_000_000
DEPTH = 6


class Exchange:
    """A book of a few levels and the frames that tell of it; *links* sends OKX's previous ids."""

    def __init__(self, seed, *, links=False):
        self.draw = random.Random(seed)
        self.links, self.id = links, self.draw.randrange(1, 1_000)
        self.used, self.sides = {self.id}, {1: {}, -1: {}}
        for side, sign in ((1, -1), (-1, 1)):
            for level in range(DEPTH):
                self.sides[side][1_000 + sign * (1 + level)] = self.draw.randrange(1, 9)

    def levels(self, side):
        """Return a side as the exchange sends it, best first."""
        return [(str(ticks), str(lots)) for ticks, lots in sorted(self.sides[side].items(), reverse=side == 1)]

    def frame(self, kind, prev, b, a):
        return kind, prev, self.id, b, a, {side: dict(levels) for side, levels in self.sides.items()}

    def snapshot(self):
        """Tell the whole book, as after a subscription."""
        return self.frame("snapshot", -1, self.levels(1), self.levels(-1))

    def restart(self):
        """Begin the ids again, and tell the whole book."""
        self.id = 1
        return self.snapshot()

    def update(self):
        """Change a level of each side, and tell it."""
        prev, told = self.id, {1: [], -1: []}
        self.id += self.draw.randrange(1, 40) if self.links else 1
        if self.links and self.draw.random() < 0.1:
            lower = [number for number in range(max(prev - 200, 1), prev) if number not in self.used]
            self.id = self.draw.choice(lower or [self.id])  # a maintenance: on from a lower id
        self.used.add(self.id)
        for side, sign in ((1, -1), (-1, 1)):
            ticks = 1_000 + sign * self.draw.randrange(1, DEPTH + 4)
            lots = 0 if self.draw.random() < 0.4 and len(self.sides[side]) > 2 else self.draw.randrange(1, 9)
            if self.id == prev:
                continue
            if lots:
                self.sides[side][ticks] = lots
            else:
                self.sides[side].pop(ticks, None)
            told[side].append((str(ticks), str(lots)))
        return self.frame("update", prev, told[1], told[-1])

    def heartbeat(self):
        """Tell that nothing happened: an update that names its own id as the one before it."""
        return self.frame("update", self.id, [], [])


def state_of(rule):
    """Return a book state and the list of what it reports."""
    told = []
    return BookState(Grid(), told.append, top_n=2, rule=rule), told


def take(state, at, frame):
    """Give a frame to the book state."""
    kind, prev, last_id, b, a, _ = frame
    if kind == "snapshot":
        state.snapshot(US + at, DepthSnapshot(last_id, b, a))
    else:
        first_id = prev + 1 if state.ids.rule.relinks else last_id
        state.take(US + at, DepthUpdate(US // 1_000, "A", first_id, last_id, b, a), one_of_many=False)


def book_of(state):
    """Return the valid book, None without one."""
    if not state.ids.synced:
        return None
    return {
        side: {int(p): int(q) for p, q in levels} for side, levels in zip((1, -1), state.book.levels(), strict=True)
    }


@pytest.mark.parametrize("links", [False, True])
@pytest.mark.parametrize("seed", range(60))
def test_book_after_lost_and_doubled_frames_is_the_exchange_book_or_none(seed, links):
    """Whatever is lost, doubled or begun again: where there is a book it is the exchange's, and it comes back."""
    exchange = Exchange(seed, links=links)
    state, told = state_of(RELINKED if links else FROM_STREAM)
    draw, valid = random.Random(seed + 1), 0
    frames = [exchange.snapshot()]
    for at in range(200):
        kind = draw.random()
        if kind < 0.02:
            frame = exchange.snapshot()
        elif kind < 0.03 and not links:
            frame = exchange.restart()
        elif kind < 0.06 and links:
            frame = exchange.heartbeat()
        else:
            frame = exchange.update()
        frames = [*frames[-1:], frame]
        lost, doubled = draw.random() < 0.02, draw.random() < 0.02
        for sent in [] if lost else [frame] * (1 + doubled):
            take(state, at, sent)
            book = book_of(state)
            assert book in (None, sent[-1])
            valid += book is not None
    take(state, 200, exchange.snapshot())
    assert book_of(state) == exchange.snapshot()[-1]
    assert valid > 5
    opened = [event for event in told if isinstance(event, EpochOpened)]
    assert len(opened) >= 1 + sum(isinstance(event, BookLost) for event in told) * bool(opened[1:])


def test_lost_frames_before_a_snapshot_are_a_gap_of_its_ids():
    """A snapshot that jumps over ids says which were lost: the time between is no market."""
    exchange = Exchange(1)
    state, told = state_of(FROM_STREAM)
    take(state, 0, exchange.snapshot())
    first = exchange.id
    for _ in range(3):
        exchange.update()
    take(state, 9, exchange.snapshot())
    (missing,) = [event.missing for event in told if isinstance(event, DepthMissing)]
    assert (missing.first_id, missing.last_id) == (first + 1, first + 2)
    assert [event.cause for event in told if isinstance(event, BookLost)] == ["gap"]
    assert book_of(state) == exchange.snapshot()[-1]


def test_equal_snapshot_proves_the_book_and_another_one_is_an_anomaly():
    """Only a snapshot of the book's own id says anything about the frames before it."""
    exchange = Exchange(2)
    state, told = state_of(FROM_STREAM)
    take(state, 0, exchange.snapshot())
    take(state, 1, exchange.snapshot())
    assert not [event for event in told if isinstance(event, Anomaly)]
    exchange.sides[1][999] = 50
    take(state, 2, exchange.snapshot())
    assert [event.kind for event in told if isinstance(event, Anomaly)] == ["snapshot_differs"]


@pytest.mark.parametrize("known", [5, 700, 10_000_000])
def test_first_id_is_a_restart_however_far_the_last_one_was(known):
    """A service that has just begun is a few ids ahead of its restart, which no distance shows."""
    engine = SyncEngine(rule=FROM_STREAM)
    engine.snapshot(known)
    assert engine.snapshot(1).verdict is Verdict.RESET
    assert engine.diff(2, 2, "next") is Verdict.APPLY
    assert FROM_STREAM.follow(known, 1, 1) is Follow.RESET


def test_crossed_snapshot_leaves_no_book():
    """The exchange's book is another one now, so the old one must not go on."""
    exchange = Exchange(3)
    state, _ = state_of(FROM_STREAM)
    take(state, 0, exchange.snapshot())
    exchange.update()
    exchange.sides[1][2_000] = 1
    take(state, 1, exchange.snapshot())
    assert book_of(state) is None
    del exchange.sides[1][2_000]
    take(state, 2, exchange.update())
    assert book_of(state) is None
    take(state, 3, exchange.snapshot())
    assert book_of(state) == exchange.snapshot()[-1]


def test_rules_of_binance_follow_as_before():
    """Neither falls nor restarts by itself."""
    engine = SyncEngine()
    engine.snapshot(10)
    assert [engine.diff(11, 12, 0), engine.diff(12, 12, 0), engine.diff(14, 15, 0)] == [
        Verdict.APPLY,
        Verdict.STALE,
        Verdict.GAP,
    ]
