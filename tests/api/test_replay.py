"""A recorded day as a market: its book is the tape's at every message, and its trades fill clients by priority."""

from mm import load_day
from mm.api.replay_flow import ReplayFlow
from mm.sim.matching._core import Matching
from named import events_of, feed_event, kind_of
from simulation import simulate_day


def displayed(core):
    """Return the levels that a core displays."""
    return {(side, ticks): lots for side in (1, -1) for ticks, lots in core.depth(side, None)}


def test_book_equals_the_tape_after_every_message(tmp_path):
    """A simulated day, recorded, loaded and played: level by level, with the trades in between."""
    folder = simulate_day(tmp_path, "zero_intelligence", hours=0.02, seed=7)
    tape = load_day(folder.path)
    core, book = Matching(), {}
    events = events_of(tape)
    flow = ReplayFlow(core, events)
    for event in events:
        if kind_of(event) == "snapshot":
            book = {}
        if kind_of(event) in ("snapshot", "depth"):
            for side, ticks, lots in event.rows:
                book[side, ticks] = lots
        flow._play(event)
        if kind_of(event) in ("snapshot", "depth"):
            assert displayed(core) == {place: lots for place, lots in book.items() if lots}
    core.check()
    assert sum(kind_of(event) == "depth" for event in events) > 100
    assert sum(kind_of(event) == "trade" for event in events) > 100


def test_client_is_filled_after_earlier_orders():
    """The day's own lots first; later lots queue after the client, and cancelled lots are taken from them."""
    core = Matching()
    events = [
        feed_event("snapshot", 10, 1, 1, [(1, 100, 5), (-1, 102, 5)]),
        feed_event("depth", 20, 2, 2, [(1, 100, 9)]),
        feed_event("depth", 30, 3, 3, [(1, 100, 6)]),
        feed_event("trade", 40, 4, 1, [(-1, 100, 6)]),
        feed_event("depth", 40, 5, 4, [(1, 100, 2)]),
        feed_event("gap", 50, 6, 0, []),
        feed_event("snapshot", 60, 7, 5, [(1, 98, 1), (-1, 99, 1)]),
    ]
    flow = ReplayFlow(core, events)
    flow.advance(15)
    client = core.submit(15, 7, 1, 100, 3)
    flow.advance(30)
    assert core.queue_ahead(client) == 5
    flow.advance(40)
    assert core.order(client)[3] == 2
    assert displayed(core) == {(1, 100): 4, (-1, 102): 5}
    flow.advance(60)
    assert core.order(client)[3] == 1  # the ask at 99 has come through its price
    assert flow.ended
    assert flow.counts() == {"depth_messages": 5, "trades": 1}
