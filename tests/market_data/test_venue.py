"""Another venue is one object: its addresses, its limits, and a reader whose updates follow the rule of ids."""

import json

from captured import ASKS, NOON_US, SYMBOL, diff, events, folder, frames, snapshot
from mm.dayfolder.day_writer import DayWriter
from mm.market_data.binance_spot import BINANCE_SPOT, BinanceSpot
from mm.market_data.live_session import LiveSession
from mm.market_data.venue import Answer

URL = f"http://x/api/v3/depth?symbol={SYMBOL}&limit=5000"


class ChainedVenue(BinanceSpot):
    """A venue whose updates name the last id of the one before (`pu`), and count ids that are not sent."""

    name = "chained"

    def decoder(self, symbol, grid, *, packs=False):
        return Chained(BINANCE_SPOT.decoder(symbol, grid, packs=packs))


class Chained:
    """Read an update as one of the ids from `pu` + 1 on: it continues exactly the update that `pu` names."""

    def __init__(self, spot):
        self.answer, self.connected, self._spot = spot.answer, spot.connected, spot

    def received(self, body):
        message = json.loads(body)
        last_id = message["data"].pop("pu")
        message["data"]["U"] = last_id + 1
        return self._spot.received(json.dumps(message).encode())


def chained(before, first, last):
    """Return an update of the ids *first* to *last* after one that ended at *before*."""
    message = diff(first, last, [], ASKS)
    message["data"]["pu"] = before
    return json.dumps(message).encode()


def test_a_venue_with_another_rule_of_ids_is_one_object(tmp_path):
    """Ids that a venue does not send are no gap, and an update that follows another one than the last is one."""
    writer = DayWriter(folder(tmp_path), "R1", top_n=3)
    session = LiveSession(writer, NOON_US, 3, venue=ChainedVenue())
    session.message(NOON_US, chained(9, 11, 12))
    session.snapshot_answered(Answer(NOON_US, URL, 200, json.dumps(snapshot(11)).encode(), None))
    session.message(NOON_US, chained(12, 19, 20))
    assert session.market.book_id == 20
    session.message(NOON_US, chained(25, 26, 27))
    assert session.market.book_id is None
    session.finish(NOON_US, "SIGTERM", window_over=False)
    writer.seal()
    writer.close()
    assert [frame[1] for frame in frames(folder(tmp_path))] == [12, 20]
    (gap,) = events(folder(tmp_path), "gap")
    assert (gap["from_id"], gap["to_id"]) == (21, 25)
