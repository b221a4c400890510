"""Statuses are reported as they are answered, a halt once; one connection's messages do not judge another's doubt."""

import json

from captured import NOON_US, decoder, trade
from mm.market_data.doubts import Doubts
from mm.market_data.market_state import MarketState


def statuses(*answered):
    """Return the reported statuses, and whether each trades."""
    events, (_, grid) = [], decoder()
    market = MarketState(grid, (events.append,), top_n=3)
    for second, status in enumerate(answered):
        market.status(NOON_US + 1_000_000 * second, status)
    return [(event.status, event.traded) for event in events if type(event).__name__ == "StatusReported"]


def test_a_status_of_trading_is_reported_each_time_and_a_halt_once():
    """A tape that begins later knows from the next answer that the symbol trades; a halt lasts until it ends."""
    assert statuses("TRADING", "TRADING", "HALT", "HALT", "BREAK", "TRADING", "TRADING", "HALT") == [
        ("TRADING", True),
        ("TRADING", True),
        ("HALT", False),
        ("BREAK", False),
        ("TRADING", True),
        ("TRADING", True),
        ("HALT", False),
    ]


class Ids:
    """Doubtful ids of a feed at 70,000,000, on several connections."""

    def __init__(self):
        self.doubts, (self.messages, _) = Doubts(), decoder()

    def take(self, trade_id, conn):
        raw = json.dumps(trade(trade_id)).encode()
        return self.doubts.take(NOON_US, self.messages.received(raw), conn, 1.0, raw, 70_000_000)


def test_a_far_id_is_refuted_by_the_next_one_of_its_own_connection_alone():
    """The other connection may be behind: it goes on where it was, and says nothing of what the first one has."""
    ids = Ids()
    assert ids.take(80_000_000, 1).held
    other = ids.take(70_000_001, 2)
    assert (other.wrong, other.right) == ((), ())
    assert ids.doubts.held is not None
    (wrong,) = ids.take(70_000_001, 1).wrong
    assert wrong.conn == 1
    assert ids.doubts.held is None
